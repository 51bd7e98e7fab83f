"""Signing keys: changed without logging anybody out, retired at once, noticed by every process, and forged tokens of all kinds."""

from __future__ import annotations

import base64
import json
import time
from datetime import UTC, datetime, timedelta

import jwt
import pytest
from counting import count_statements
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from sqlalchemy import event, select

from engage.app import create_app
from engage.core import clock
from engage.core.config import TokenAlgorithm
from engage.core.db import Nobody, Work
from engage.identity import caller
from engage.identity.errors import NoSuchSigningKey
from engage.identity.models import SigningKey
from engage.identity.service import retire_key, rotate_keys
from engage.identity.tokens import signing

MEMBERS_ONLY = "/v1/me/messages"
LIFE = timedelta(minutes=15)


@pytest.fixture
def keys(app, database, monkeypatch):
    """The keys of this process, which has read none yet and does not keep them after the test."""
    fresh = signing.SigningKeys(database)
    monkeypatch.setitem(app.extensions, caller.SIGNING_KEYS, fresh)
    return fresh


@pytest.fixture
def change(database, keys):
    """Return a function that runs a change of the keys, unseen by the process until it reads again."""

    def change(service, *given, **settings):
        with database.transaction() as session:
            work = Work(session, Nobody(), clock.now(), database.settings.replace(**settings))
            return service(work, *given)

    return change


@pytest.fixture
def elapse(keys, frozen, monkeypatch):
    """Return a function that lets time go by for the clock and for the age of what is known."""
    passed = [0.0]
    started = time.monotonic()
    monkeypatch.setattr(signing.time, "monotonic", lambda: started + passed[0])

    def elapse(seconds):
        passed[0] += seconds
        frozen.move(seconds=seconds)

    return elapse


def issue(app, make, person=None, life=LIFE):
    session = make.session((person or make.person()).id)
    with app.app_context():
        return caller.issue_access_token(session.person_id, session.id, life)


def ask(app, token):
    answer = app.test_client().get(MEMBERS_ONLY, headers={"Authorization": f"Bearer {token}"})
    return answer.status_code, answer.json.get("code")


def kid_of(token):
    return jwt.get_unverified_header(token)["kid"]


def part(value):
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def claims_of(token):
    return jwt.decode(token, options={"verify_signature": False})


def test_a_fresh_installation_signs_with_the_derived_key_without_a_row(app, make, keys, frozen, database):
    token = issue(app, make)
    assert kid_of(token) == signing.derived_kid(database.settings)
    assert ask(app, token) == (200, None)
    with database.reading() as connection:
        assert connection.execute(select(SigningKey)).all() == []


def test_a_token_from_before_keys_had_names_is_taken(app, make, keys, frozen):
    claims = claims_of(issue(app, make))
    first = keys.known().keys[keys.known().first]
    assert ask(app, jwt.encode(claims, first.private, first.algorithm.value)) == (200, None)


def test_changing_the_key_logs_nobody_out(app, make, change, elapse):
    """Also to another algorithm: each key keeps its own."""
    old = issue(app, make)
    assert ask(app, old) == (200, None)
    made = change(rotate_keys, token_algorithm=TokenAlgorithm.ES256)
    assert kid_of(issue(app, make)) == kid_of(old), "not before all have read of it"
    elapse(31)
    new = issue(app, make)
    assert (kid_of(new), jwt.get_unverified_header(new)["alg"]) == (made, "ES256")
    assert kid_of(old) != made
    elapse(15 * 60 - 32)
    assert ask(app, new) == (200, None)
    assert ask(app, old) == (200, None), "to its last second"
    newest = change(rotate_keys, token_algorithm=TokenAlgorithm.HS256)
    elapse(60)
    assert ask(app, old) == (401, "token_expired")
    assert kid_of(issue(app, make)) == newest
    elapse(3600)
    assert ask(app, issue(app, make)) == (200, None)


def test_another_process_takes_a_key_it_has_not_read_of(app, make, change, elapse, settings):
    other = create_app(settings)
    other.test_client_class = app.test_client_class
    assert ask(other, issue(other, make)) == (200, None)
    elapse(2)  # its keys are young yet, but a name that it does not know makes it read again
    made = change(retire_key, signing.derived_kid(settings))
    token = issue(app, make)
    assert kid_of(token) == made
    assert ask(other, token) == (200, None)
    other.extensions["engage.database"].dispose()


def test_a_leaked_key_is_good_for_nothing_within_seconds_and_nobody_logs_in_again(
    app, client, make, keys, change, elapse
):
    person = make.person()
    token = issue(app, make, person)
    leaked = keys.known().keys[kid_of(token)]
    forged = jwt.encode(
        claims_of(issue(app, make)), leaked.private, leaked.algorithm.value, headers={"kid": leaked.kid}
    )
    for each in (token, forged):  # the second time from the cache of verified ones
        assert [ask(app, each), ask(app, each)] == [(200, None)] * 2
    made = change(retire_key, leaked.kid)
    elapse(signing.REREAD_SECONDS)
    for each in (token, forged):
        # Expired, not invalid: a client refreshes and goes on.
        assert ask(app, each) == (401, "token_expired")
    assert kid_of(issue(app, make)) == made
    assert ask(app, issue(app, make)) == (200, None)


def test_a_key_that_does_not_sign_is_retired_alone(make, app, change, elapse, keys):
    first = keys.known().first
    made = change(rotate_keys)
    elapse(60)
    assert change(retire_key, first) is None
    elapse(60)
    assert kid_of(issue(app, make)) == made
    with pytest.raises(NoSuchSigningKey):
        change(retire_key, "0123456789abcdef")


def test_keys_are_read_once_in_a_while_and_not_for_each_request(app, database, make, keys, elapse):
    token = issue(app, make)
    read = []
    event.listen(
        database.reader, "before_cursor_execute",
        note := lambda _c, _cursor, statement, *_: read.append(1) if "FROM signing_key" in statement else None,
    )  # fmt: skip
    try:
        for _ in range(20):
            ask(app, token)
        assert read == []
        elapse(signing.REREAD_SECONDS)
        for _ in range(20):
            ask(app, token)
        assert len(read) == 1
        # Nor does somebody who makes up names cost more than a statement a second.
        key = jwt.encode(claims_of(token), "x" * 32, "HS256", headers={"kid": "made-up"})
        elapse(1)
        for _ in range(20):
            assert ask(app, key) == (401, "token_invalid")
        assert len(read) == 2
    finally:
        event.remove(database.reader, "before_cursor_execute", note)
    with count_statements(app) as sent:
        ask(app, token)
    assert len(sent) == 2


def test_verified_tokens_are_not_forgotten_when_nothing_has_changed(app, make, keys, elapse):
    token = issue(app, make)
    ask(app, token)
    before = keys.known()
    elapse(signing.REREAD_SECONDS)
    assert keys.known() is before
    assert len(before.verified) == 1


def test_private_keys_are_sealed(database, change, frozen):
    kid = change(rotate_keys)
    with database.reading() as connection:
        sealed = connection.scalar(select(SigningKey.seed_sealed).where(SigningKey.kid == kid))
    opened = database.settings.keyring.open(sealed, f"signing-key:{kid}")
    assert base64.b64decode(opened) not in sealed
    with pytest.raises(Exception, match="cannot be opened"):
        database.settings.keyring.open(sealed, "signing-key:another")


def test_forged_and_broken_tokens_are_refused_by_every_kind_of_key(app, make, change, elapse, keys, settings):
    """Each algorithm signs in turn, while the keys of the others still verify."""
    for algorithm in TokenAlgorithm:
        kid = change(rotate_keys, token_algorithm=algorithm)
        elapse(31)
        token = issue(app, make)
        assert kid_of(token) == kid
        key, claims = keys.known().keys[kid], claims_of(token)
        assert ask(app, token) == (200, None)
        for name, forged in _forgeries(key, token, claims, keys.known().keys.values()).items():
            assert ask(app, forged) == (401, "token_invalid"), (algorithm, name)


def _forgeries(key, token, claims, others):
    head, body, signature = token.split(".")

    def signed(changes=None, **headers):
        payload = {name: value for name, value in {**claims, **(changes or {})}.items() if value is not None}
        return jwt.encode(payload, key.private, key.algorithm.value, headers={"kid": key.kid, **headers})

    found = {
        "alg none": f"{part({'alg': 'none', 'kid': key.kid})}.{body}.",
        "alg none, signed": f"{part({'alg': 'none', 'kid': key.kid})}.{body}.{signature}",
        "no alg": f"{part({'kid': key.kid})}.{body}.{signature}",
        "another body": f"{head}.{part({**claims, 'sub': claims['sid']})}.{signature}",
        "another audience": signed({"aud": "engage-other"}),
        "another issuer": signed({"iss": "somebody"}),
        "no subject": signed({"sub": None}),
        "a refresh token": signed({"type": "refresh"}),
        "not valid yet": signed({"nbf": datetime.now(UTC) + timedelta(minutes=12)}),
        "issued in time to come": signed({"iat": datetime.now(UTC) + timedelta(minutes=12)}),
        "unknown kid": signed(kid="0123456789abcdef"),
        "kid of another type": f"{part({'alg': key.algorithm.value, 'kid': 7})}.{body}.{signature}",
        "kid that is a path": signed(kid="../../dev/null"),
        "no kid": f"{part({'alg': key.algorithm.value})}.{body}.{signature}",
        "two signatures": f"{token}.{signature}",
        "100 KB": token + "A" * 100_000,
        "100 KB of key": f"engag{'e' * 100_000}",
    }
    for size in range(0, len(token), 9):
        found[f"cut at {size}"] = token[:size]
    for other in others:
        if other.kid != key.kid:
            # A key of ours, under the name or the algorithm of another one.
            found[f"as {other.kid}"] = signed(kid=other.kid)
            confused = jwt.encode(claims, other.private, other.algorithm.value, headers={"kid": key.kid})
            found[f"by {other.kid}"] = confused
    if key.algorithm is not TokenAlgorithm.HS256:
        for name, form in (("PEM", Encoding.PEM), ("DER", Encoding.DER)):
            public = key.public.public_bytes(form, PublicFormat.SubjectPublicKeyInfo)
            message = f"{part({'alg': 'HS256', 'typ': 'JWT', 'kid': key.kid})}.{body}"
            # By hand: PyJWT itself refuses to sign with a PEM text.
            made = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256).sign(
                message.encode(), public
            )
            found[f"public key as secret, {name}"] = (
                f"{message}.{base64.urlsafe_b64encode(made).rstrip(b'=').decode()}"
            )
    return found


def test_clocks_of_our_machines_may_differ_by_ten_minutes(app, make, keys, frozen):
    """The machine that signs is ahead of the one that verifies; what the phone's clock says is never asked."""
    token = issue(app, make)
    first = keys.known().keys[keys.known().first]
    ahead = datetime.now(UTC) + timedelta(minutes=9)
    claims = {**claims_of(token), "iat": ahead, "nbf": ahead}
    assert ask(app, jwt.encode(claims, first.private, first.algorithm.value)) == (200, None)
    frozen.move(minutes=-10)  # this machine behind: the token lives longer here
    assert ask(app, token) == (200, None)
    frozen.move(minutes=20)  # and ahead: shorter, but not dead on arrival
    assert ask(app, token) == (200, None)
    frozen.move(minutes=5)
    assert ask(app, token) == (401, "token_expired")
    answer = app.test_client().get(MEMBERS_ONLY, headers={
        "Authorization": f"Bearer {issue(app, make)}", "Date": "Thu, 01 Jan 1970 00:00:00 GMT",
    })  # fmt: skip
    assert answer.status_code == 200
