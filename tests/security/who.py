"""Pretending to be somebody: forged, altered, foreign and stolen tokens."""

from __future__ import annotations

import base64
import json
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from engage.identity.tokens import signing

from .report import Report
from .target import Target

KIND = "Tokens: pretending to be somebody"
ADDRESS = "/v1/me"
_DAY = 86_400


def _part(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def _by_hand(header: Any, claims: Any, sign: Any = lambda _: b"") -> str:
    """Sign as no library would."""
    message = f"{_part(header)}.{_part(claims)}"
    return f"{message}.{base64.urlsafe_b64encode(sign(message.encode())).rstrip(b'=').decode()}"


def forged(token: str, settings: Any) -> dict[str, str]:
    """Return tokens that must not be taken, by what is wrong with them; those of a known secret are signed by the real key."""
    claims = jwt.decode(token, options={"verify_signature": False})
    header = jwt.get_unverified_header(token)
    real = signing.keys_of([], settings).get(header["kid"])
    stranger = Ed25519PrivateKey.generate()
    public = (real.public if real else stranger.public_key()).public_bytes
    hs256 = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256)

    def signed(**changes: Any) -> str:
        changed = {name: value for name, value in {**claims, **changes}.items() if value is not None}
        key = real.private if real else stranger
        return jwt.encode(changed, key, "EdDSA", headers={"kid": header["kid"]})

    def foreign(**more: Any) -> str:
        return jwt.encode(claims, stranger, "EdDSA", headers={"kid": header["kid"], **more})

    head, body, signature = token.split(".")
    other = {**claims, "sub": "0199f0c2-b7a0-7c3f-9f5d-2f7a1c3e5b7d"}
    found = {
        "alg none": _by_hand({**header, "alg": "none"}, claims),
        "alg NoNe with a signature": _by_hand({**header, "alg": "NoNe"}, claims, lambda _: b"sig"),
        "somebody else's id in the claims": f"{head}.{_part(other)}.{signature}",
        "signature cut short": token[:-20],
        "signature left out": f"{head}.{body}.",
        "signature of zeros": f"{head}.{body}.{'A' * len(signature)}",
        "our own key under the real kid": foreign(),
        "our own key in the header (jwk)": foreign(jwk={"kty": "OKP", "crv": "Ed25519", "x": _part("x")}),
        "where to find our key (jku)": foreign(jku="https://evil.example/keys"),
        "kid ../../dev/null": jwt.encode(
            claims, b"\0" * 32, "HS256", headers={"kid": "../../../../dev/null"}
        ),
        "kid with SQL": jwt.encode(claims, b"\0" * 32, "HS256", headers={"kid": "x' UNION SELECT '' --"}),
        "critical extension unknown": foreign(crit=["exp2"], exp2=1),
        "truncated to its head": head,
        "three dots": "...",
        "100 KB": "a" * 100_000,
        "nested header": base64.urlsafe_b64encode(b"[" * 2000).decode() + ".e30.c2ln",
        "expired yesterday": signed(exp=int(claims["exp"]) - 400 * _DAY),
        "good from tomorrow": signed(nbf=int(claims["iat"]) + 400 * _DAY),
        "another audience": signed(aud="another-api"),
        "no audience": signed(aud=None),
        "another issuer": signed(iss="evil"),
        "a refresh token's type": signed(type="refresh"),
        "no session": signed(sid=None),
        "a session made up": signed(sid="0199f0c2-b7a0-7c3f-9f5d-2f7a1c3e5b7d"),
        "no end": signed(exp=None),
    }
    for name, form in {"PEM": Encoding.PEM, "DER": Encoding.DER}.items():
        secret = public(form, PublicFormat.SubjectPublicKeyInfo)
        confused = _by_hand(
            {**header, "alg": "HS256"}, claims, lambda message, secret=secret: hs256.sign(message, secret)
        )
        found[f"key confusion: HS256 with the public key as {name}"] = confused
    return found


def attempts(target: Target, report: Report) -> None:
    """Try them all."""
    for what, token in forged(target.tokens["youth"], target.settings).items():
        answer = target.send("GET", ADDRESS, headers={"Authorization": f"Bearer {token}"})
        # Gunicorn itself refuses a header of 100 KB.
        report.add(KIND, what, answer, answer.status_code in (400, 401, 431))
    for what, value in {
        "nothing": "", "Basic": "Basic YWRtaW46YWRtaW4=", "an API key made up": "Bearer engage_" + "a" * 16 + "_" + "b" * 38,
        "two tokens": f"Bearer {target.tokens['youth']} {target.tokens['manager']}",
    }.items():  # fmt: skip
        answer = target.send("GET", ADDRESS, headers={"Authorization": value})
        report.add(KIND, what, answer, answer.status_code == 401 or code_of_key(answer))
    answer = target.send("GET", ADDRESS, params={"access_token": target.tokens["youth"]})
    report.add(KIND, "the token in the address", answer, answer.status_code == 401)
    answer = target.send("GET", ADDRESS, headers={"Cookie": f"access_token_cookie={target.tokens['youth']}"})
    report.add(KIND, "the token in a cookie", answer, answer.status_code == 401)
    if target.sign_in is not None:
        _stolen(target, report)


def code_of_key(answer: Any) -> bool:
    """Say whether it was refused as a key where keys are not taken."""
    return answer.status_code == 403 and answer.json()["code"] == "api_key_not_taken"


def _stolen(target: Target, report: Report) -> None:
    """A refresh token is copied; its owner goes on, then the thief comes."""
    mine = target.sign_in("migrant")
    stolen = mine["refresh_token"]
    as_access = target.send("GET", ADDRESS, headers={"Authorization": f"Bearer {stolen}"})
    report.add(KIND, "a refresh token as an access token", as_access, as_access.status_code == 401)
    as_refresh = target.send(
        "POST", "/v1/auth/refresh", json={"refresh_token": mine["access_token"][:190].replace(".", "")}
    )
    report.add(KIND, "an access token as a refresh token", as_refresh, as_refresh.status_code == 401)
    for _ in range(2):
        mine = target.send("POST", "/v1/auth/refresh", json={"refresh_token": mine["refresh_token"]}).json()
    thief = target.send("POST", "/v1/auth/refresh", json={"refresh_token": stolen})
    report.add(KIND, "a stolen refresh token, after its owner went on", thief, thief.status_code == 401)
    after = target.send("GET", ADDRESS, headers={"Authorization": f"Bearer {mine['access_token']}"})
    report.add(KIND, "… and the session that it belonged to, afterwards", after, after.status_code == 401)
    out = target.sign_in("migrant")
    bearer = {"Authorization": f"Bearer {out['access_token']}"}
    target.send("POST", "/v1/auth/logout", headers=bearer)
    for what, answer in {
        "an access token after log-out": target.send("GET", ADDRESS, headers=bearer),
        "a refresh token after log-out": target.send(
            "POST", "/v1/auth/refresh", json={"refresh_token": out["refresh_token"]}
        ),
    }.items():
        report.add(KIND, what, answer, answer.status_code == 401)
