"""Access tokens: three algorithms, what is refused, and the cache of verified ones."""

from __future__ import annotations

import base64
import json
import time
from datetime import timedelta

import jwt
import pytest
from contract import ContractClient
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from factories import Factory
from sqlalchemy import update

from engage.app import create_app
from engage.core import clock, ids
from engage.core.config import TokenAlgorithm
from engage.identity import caller
from engage.identity.errors import TokenInvalid
from engage.identity.models import AuthSession, Person, PersonStatus, SessionEnd

LIFE = timedelta(minutes=15)
MEMBERS_ONLY = "/v1/me/messages"


@pytest.fixture(scope="module", params=list(TokenAlgorithm))
def signing_app(request, app, settings):
    """An application that signs with one of the algorithms."""
    signing = create_app(settings.replace(token_algorithm=request.param))
    signing.test_client_class = ContractClient
    yield signing
    signing.extensions["engage.database"].dispose()


def token_for(app, person, life=LIFE, database=None):
    session = Factory(database or app.extensions["engage.database"], app).session(person.id)
    with app.app_context():
        return caller.issue_access_token(person.id, session.id, life)


def ask(app, token, scheme="Bearer"):
    answer = app.test_client().get(MEMBERS_ONLY, headers={"Authorization": f"{scheme} {token}"})
    return answer.status_code, answer.json.get("code")


def first_key(app):
    """The key derived from the secret of an application."""
    keys = app.extensions[caller.SIGNING_KEYS].known()
    return keys.keys[keys.first]


def verified(app):
    return app.extensions[caller.SIGNING_KEYS].known().verified


def part(value):
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def claims_of(token):
    return jwt.decode(token, options={"verify_signature": False})


def test_a_token_is_good_for_its_life_and_not_a_second_longer(signing_app, make, frozen):
    token = token_for(signing_app, make.person())
    for _ in range(2):  # the second time from the cache
        assert ask(signing_app, token) == (200, None)
    frozen.move(minutes=14, seconds=59)
    assert ask(signing_app, token) == (200, None)
    frozen.move(seconds=1)
    assert ask(signing_app, token) == (401, "token_expired")


def test_an_expired_token_that_was_never_seen_is_expired_too(signing_app, make, frozen):
    token = token_for(signing_app, make.person())
    frozen.move(minutes=15)
    assert ask(signing_app, token) == (401, "token_expired")


def test_a_changed_claim_breaks_the_signature(signing_app, make, frozen):
    token = token_for(signing_app, make.person())
    head, _, signature = token.split(".")
    changed = part({**claims_of(token), "sub": str(make.person().id)})
    assert ask(signing_app, f"{head}.{changed}.{signature}") == (401, "token_invalid")
    assert ask(signing_app, token[:-4] + ("AAAA" if token[-4:] != "AAAA" else "BBBB")) == (
        401,
        "token_invalid",
    )


@pytest.mark.parametrize("name", ["none", "None", "NONE"])
def test_an_unsigned_token_is_refused(signing_app, make, frozen, name):
    claims = claims_of(token_for(signing_app, make.person()))
    for signature in ("", "c2ln"):
        unsigned = f"{part({'alg': name, 'typ': 'JWT'})}.{part(claims)}.{signature}"
        assert ask(signing_app, unsigned) == (401, "token_invalid")


def test_the_public_key_is_no_shared_secret(signing_app, make, frozen):
    claims = claims_of(token_for(signing_app, make.person()))
    public = first_key(signing_app).public
    if isinstance(public, bytes):
        secrets = [b"\x00" * 32]
    else:
        secrets = [
            public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
            public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        ]
    for secret in secrets:
        # By hand: PyJWT itself refuses to sign with a PEM text.
        message = f"{part({'alg': 'HS256', 'typ': 'JWT'})}.{part(claims)}"
        signature = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256).sign(
            message.encode(), secret
        )
        confused = f"{message}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"
        assert ask(signing_app, confused) == (401, "token_invalid")


def test_another_algorithm_in_the_settings_logs_nobody_out(signing_app, settings, make, frozen):
    """While it is changed some processes sign with one and some with the other."""
    person = make.person()
    ours = first_key(signing_app).algorithm
    for other in TokenAlgorithm:
        if other is not ours:
            stranger = create_app(settings.replace(token_algorithm=other))
            token = token_for(stranger, person, database=signing_app.extensions["engage.database"])
            stranger.extensions["engage.database"].dispose()
            assert ask(signing_app, token) == (200, None)


def test_a_key_is_good_for_its_own_algorithm_only(signing_app, make, frozen):
    claims = claims_of(token_for(signing_app, make.person()))
    keys = signing_app.extensions[caller.SIGNING_KEYS].known().keys
    for key in keys.values():
        for other in keys.values():
            token = jwt.encode(claims, other.private, other.algorithm.value, headers={"kid": key.kid})
            assert ask(signing_app, token) == ((200, None) if key is other else (401, "token_invalid"))
            if key is not other:  # before the library, which only happens to find the kind of key wrong
                with signing_app.app_context(), pytest.raises(TokenInvalid):
                    caller._verifying({"kid": key.kid, "alg": other.algorithm.value}, {})


def test_a_token_of_an_installation_with_another_secret_is_refused(signing_app, settings, make, frozen):
    algorithm = first_key(signing_app).algorithm
    stranger = create_app(
        settings.replace(token_algorithm=algorithm, secret_key="another secret, also long enough")
    )
    token = token_for(stranger, make.person(), database=signing_app.extensions["engage.database"])
    stranger.extensions["engage.database"].dispose()
    assert ask(signing_app, token) == (401, "token_invalid")


@pytest.mark.parametrize(
    ("claim", "value"),
    [
        ("aud", "another-api"),
        ("aud", None),
        ("iss", "another"),
        ("type", "refresh"),
        ("sid", None),
        ("sid", "no id"),
        ("sub", None),
        ("sub", "no id"),
        ("exp", None),
    ],
)
def test_claims_that_are_wrong_or_missing_are_refused_although_we_signed_them(
    signing_app, make, frozen, claim, value
):
    claims = claims_of(token_for(signing_app, make.person()))
    if value is None:
        del claims[claim]
    else:
        claims[claim] = value
    token = jwt.encode(claims, first_key(signing_app).private, first_key(signing_app).algorithm.value)
    assert ask(signing_app, token) == (401, "token_invalid")


@pytest.mark.parametrize(
    "token",
    [
        "",
        "x",
        "..",
        "a.b.c",
        "é.é.é",
        f"{part({'alg': 'EdDSA'})}.{part([1])}.c2ln",
        f"{part([])}.{part({})}.c2ln",
        base64.urlsafe_b64encode(b"[" * 2000).decode() + ".e30.c2ln",
        part({"alg": "EdDSA"}) + "." + base64.urlsafe_b64encode(b"[" * 2000).decode() + ".c2ln",
    ],
)
def test_what_is_no_token_is_refused(app, frozen, token):
    assert ask(app, token) == (401, "token_invalid")


def test_a_huge_token_is_refused_before_anybody_parses_it(app, frozen, monkeypatch):
    monkeypatch.setattr(caller, "decode_token", lambda *_, **__: pytest.fail("parsed"))
    started = time.perf_counter()
    assert ask(app, "a" * 100_000) == (401, "token_invalid")
    assert time.perf_counter() - started < 0.5


def test_only_bearer_tokens_are_taken_whatever_the_case(app, make, frozen):
    token = token_for(app, make.person())
    assert ask(app, token, "bearer") == (200, None)
    assert ask(app, token, "Basic") == (401, "token_invalid")
    assert ask(app, "", "") == (401, "token_invalid")
    assert ask(app, f"{token} {token}") == (401, "token_invalid")


def test_a_token_is_verified_once(app, make, frozen, monkeypatch):
    token = token_for(app, make.person())
    verified = []
    original = caller.decode_token
    monkeypatch.setattr(
        caller, "decode_token", lambda *given, **more: verified.append(1) or original(*given, **more)
    )
    for _ in range(3):
        assert ask(app, token) == (200, None)
    assert verified == [1]


def test_a_refused_token_is_not_remembered(app, make, frozen):
    verified(app).clear()
    for token in ("x", "a.b.c", "a" * 9000):
        ask(app, token)
    assert verified(app) == {}


def test_the_cache_is_bounded(app, make, frozen, monkeypatch):
    monkeypatch.setattr(caller, "_CACHE_SIZE", 2)
    person = make.person()
    verified(app).clear()
    for _ in range(5):
        assert ask(app, token_for(app, person)) == (200, None)
    assert len(verified(app)) <= 2


def test_an_ended_session_stops_its_tokens_at_once(app, database, make, frozen):
    person = make.person()
    token = token_for(app, person)
    assert ask(app, token) == (200, None)
    with database.transaction() as session:
        session.execute(update(AuthSession).values(ended_at=clock.now(), end_reason=SessionEnd.LOGGED_OUT))
    assert ask(app, token) == (401, "session_ended")


def test_a_session_past_its_time_stops_a_token_that_would_live_on(app, database, make, frozen):
    person = make.person()
    token = token_for(app, person, life=timedelta(days=60))
    frozen.move(days=30)
    assert ask(app, token) == (401, "session_ended")


@pytest.mark.parametrize(
    ("status", "code"),
    [(PersonStatus.SUSPENDED, "account_suspended"), (PersonStatus.CLOSED, "account_closed")],
)
def test_an_account_that_may_not_be_used_is_refused_at_once(app, database, make, frozen, status, code):
    person = make.person()
    token = token_for(app, person)
    assert ask(app, token) == (200, None)
    with database.transaction() as session:
        session.execute(update(Person).values(status=status))
    assert ask(app, token) == (403, code)


def test_a_session_of_somebody_else_is_no_session(app, make, frozen):
    session = make.session(make.person().id)
    with app.app_context():
        mixed = caller.issue_access_token(make.person().id, session.id, LIFE)
        gone = caller.issue_access_token(ids.new_id(), ids.new_id(), LIFE)
    assert ask(app, mixed) == (401, "session_ended")
    assert ask(app, gone) == (401, "session_ended")


def test_without_a_token_one_is_asked_to_log_in(client):
    answer = client.get(MEMBERS_ONLY)
    assert (answer.status_code, answer.json["code"]) == (401, "not_logged_in")
    assert answer.headers["WWW-Authenticate"] == "Bearer"


def test_what_anyone_may_read_can_be_asked_with_a_good_token_or_none(client, as_user, make, frozen):
    assert client.get("/v1/hubs").status_code == 200
    assert as_user(make.person().id).get("/v1/hubs").status_code == 200
    answer = client.get("/v1/hubs", headers={"Authorization": "Bearer x"})
    assert (answer.status_code, answer.json["code"]) == (401, "token_invalid")
