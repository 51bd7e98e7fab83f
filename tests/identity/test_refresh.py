"""Refresh tokens: rotation, lost answers, reuse, log-out."""

from __future__ import annotations

from threading import Barrier
from uuid import UUID

import jwt
import pytest
from counting import count_statements
from sqlalchemy import func, select

from engage.app import create_app
from engage.core import clock
from engage.core.crypto import sha256
from engage.core.db import Nobody, Work
from engage.identity.models import AuthSession, PersonStatus, RefreshToken, SessionEnd
from engage.identity.service import set_standing

CODE = "021ByuFs0fNXie1T5lJs0IwBFs0ByuF1"


@pytest.fixture
def logged_in(client, gateway, frozen):
    """The answer of a fresh log-in."""
    gateway.openids[CODE] = "oGZUI0egBJY1zhBYw2KhdUfwVJJE"
    return client.post("/v1/auth/wechat/login", json={"code": CODE}).json


def refresh(client, token):
    return client.post("/v1/auth/refresh", json={"refresh_token": token})


def me(client, tokens):
    answer = client.get("/v1/me", headers={"Authorization": f"Bearer {tokens['access_token']}"})
    return answer.status_code, answer.json.get("code")


def ending(database):
    with database.reading() as connection:
        return tuple(connection.execute(select(AuthSession.ended_at, AuthSession.end_reason)).one())


def count_tokens(database):
    with database.reading() as connection:
        return connection.scalar(select(func.count()).select_from(RefreshToken))


def test_a_refresh_token_gives_new_tokens_of_the_same_session(client, logged_in, database):
    answer = refresh(client, logged_in["refresh_token"])
    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "no-store"
    assert (answer.json["token_type"], answer.json["expires_in"]) == ("Bearer", 900)
    assert len(answer.json["refresh_token"]) == 43
    assert answer.json["refresh_token"] != logged_in["refresh_token"]
    sessions = [
        jwt.decode(tokens["access_token"], options={"verify_signature": False})["sid"]
        for tokens in (logged_in, answer.json)
    ]
    assert sessions[0] == sessions[1]
    assert me(client, answer.json) == (200, None)
    with database.reading() as connection:
        hashes = set(connection.scalars(select(RefreshToken.token_hash)))
    assert hashes == {sha256(logged_in["refresh_token"]), sha256(answer.json["refresh_token"])}


def test_the_session_lives_on_from_each_refresh(client, logged_in, frozen):
    tokens = logged_in
    for _ in range(3):
        frozen.move(days=29)
        tokens = refresh(client, tokens["refresh_token"]).json
        assert me(client, tokens) == (200, None)
    frozen.move(days=30)
    answer = refresh(client, tokens["refresh_token"])
    assert (answer.status_code, answer.json["code"]) == (401, "refresh_token_invalid")


def test_a_session_older_than_a_setting_lowered_meanwhile_is_over(app, logged_in, database, settings, frozen):
    lowered = create_app(settings.replace(session_days=1))
    frozen.move(days=1)
    answer = refresh(lowered.test_client(), logged_in["refresh_token"])
    assert (answer.status_code, answer.json["code"]) == (401, "refresh_token_invalid")
    assert count_tokens(database) == 1
    lowered.extensions["engage.database"].dispose()


def test_a_lost_answer_is_given_again_for_half_a_minute(client, logged_in, database, frozen):
    first = refresh(client, logged_in["refresh_token"]).json
    frozen.move(seconds=30)
    again = refresh(client, logged_in["refresh_token"]).json
    assert again["refresh_token"] == first["refresh_token"]
    assert me(client, again) == (200, None)
    assert count_tokens(database) == 2
    assert refresh(client, again["refresh_token"]).status_code == 200


def test_later_use_of_a_used_token_ends_the_session_for_everybody(client, logged_in, database, frozen):
    newest = refresh(client, logged_in["refresh_token"]).json
    frozen.move(seconds=31)
    assert me(client, newest) == (200, None)
    answer = refresh(client, logged_in["refresh_token"])
    assert (answer.status_code, answer.json["code"]) == (401, "refresh_token_reused")
    assert ending(database) == (clock.now(), SessionEnd.REFRESH_REUSED)
    assert me(client, newest) == (401, "session_ended")
    for token in (newest["refresh_token"], logged_in["refresh_token"]):
        assert refresh(client, token).json["code"] == "session_ended"
    assert count_tokens(database) == 2


def test_a_token_two_generations_old_is_stolen_however_soon_it_comes(client, logged_in, database, frozen):
    second = refresh(client, logged_in["refresh_token"]).json
    refresh(client, second["refresh_token"])
    frozen.move(seconds=1)
    assert refresh(client, logged_in["refresh_token"]).json["code"] == "refresh_token_reused"
    assert ending(database)[1] is SessionEnd.REFRESH_REUSED


def test_the_end_of_one_session_leaves_the_others(client, gateway, logged_in, frozen):
    gateway.openids["second"] = "oGZUI0egBJY1zhBYw2KhdUfwVJJE"
    other = client.post("/v1/auth/wechat/login", json={"code": "second"}).json
    refresh(client, logged_in["refresh_token"])
    frozen.move(minutes=1)
    assert refresh(client, logged_in["refresh_token"]).json["code"] == "refresh_token_reused"
    assert me(client, other) == (200, None)
    assert refresh(client, other["refresh_token"]).status_code == 200


@pytest.mark.parametrize("token", ["x", "A" * 43, "A" * 200])
def test_an_unknown_token_is_refused(client, logged_in, token):
    answer = refresh(client, token)
    assert (answer.status_code, answer.json["code"]) == (401, "refresh_token_invalid")


def test_an_access_token_is_no_refresh_token(client, logged_in):
    assert refresh(client, logged_in["access_token"]).status_code == 422


@pytest.mark.parametrize(
    ("body", "pointer", "code"),
    [
        ({}, "/refresh_token", "required"),
        ({"refresh_token": None}, "/refresh_token", "null"),
        ({"refresh_token": 1}, "/refresh_token", "not_text"),
        ({"refresh_token": "A" * 201}, "/refresh_token", "too_long"),
        ({"refresh_token": "a.b"}, "/refresh_token", "bad_format"),
        ({"refresh_token": "A" * 43, "more": 1}, "/more", "unknown_field"),
    ],
)
def test_bad_bodies_are_refused(client, frozen, body, pointer, code):
    answer = client.post("/v1/auth/refresh", json=body)
    assert answer.status_code == 422
    assert {"pointer": pointer, "code": code}.items() <= answer.json["errors"][0].items()


@pytest.mark.parametrize(
    ("status", "code"),
    [(PersonStatus.SUSPENDED, "account_suspended"), (PersonStatus.CLOSED, "account_closed")],
)
def test_an_account_that_may_not_be_used_is_told_so_and_once_restored_logs_in_again(
    client, logged_in, database, status, code
):
    def stand(standing):
        with database.transaction() as session:
            work = Work(session, Nobody(), clock.now(), database.settings)
            set_standing(work, UUID(logged_in["user"]["id"]), standing, "核实身份")

    stand(status)
    for _ in range(2):
        answer = refresh(client, logged_in["refresh_token"])
        assert (answer.status_code, answer.json["code"]) == (403, code)
    assert me(client, logged_in) == (403, code)
    stand(PersonStatus.ACTIVE)
    answer = refresh(client, logged_in["refresh_token"])
    assert (answer.status_code, answer.json["code"]) == (401, "session_ended")


def test_log_out_stops_every_token_of_the_session_at_once(client, logged_in, database):
    newest = refresh(client, logged_in["refresh_token"]).json
    bearer = {"Authorization": f"Bearer {newest['access_token']}"}
    answer = client.post("/v1/auth/logout", headers=bearer)
    assert (answer.status_code, answer.data) == (204, b"")
    assert ending(database) == (clock.now(), SessionEnd.LOGGED_OUT)
    for tokens in (newest, logged_in):
        assert me(client, tokens) == (401, "session_ended")
        assert refresh(client, tokens["refresh_token"]).json["code"] == "session_ended"
    assert client.post("/v1/auth/logout", headers=bearer).status_code == 401


def test_log_out_leaves_the_other_sessions(as_user, make, frozen):
    person = make.person()
    phone, tablet = as_user(person.id), as_user(person.id)
    assert phone.post("/v1/auth/logout").status_code == 204
    assert phone.get("/v1/me").status_code == 401
    assert tablet.get("/v1/me").status_code == 200


def test_log_out_needs_a_log_in(client):
    assert client.post("/v1/auth/logout").json["code"] == "not_logged_in"


def test_a_refresh_takes_four_statements(app, client, logged_in):
    with count_statements(app) as sent:
        refresh(client, logged_in["refresh_token"])
    assert len(sent) == 4


def test_requests_that_leave_together_get_the_same_successor(app, client, logged_in, database, meanwhile):
    start = Barrier(8)

    def run():
        start.wait()
        return refresh(app.test_client(), logged_in["refresh_token"])

    answers = [each.result() for each in [meanwhile(run) for _ in range(8)]]
    assert [answer.status_code for answer in answers] == [200] * 8
    assert len({answer.json["refresh_token"] for answer in answers}) == 1
    assert count_tokens(database) == 2
    assert ending(database) == (None, None)


def test_thieves_that_come_together_end_the_session_once(app, client, logged_in, database, frozen, meanwhile):
    refresh(client, logged_in["refresh_token"])
    frozen.move(minutes=1)
    start = Barrier(8)

    def run():
        start.wait()
        return refresh(app.test_client(), logged_in["refresh_token"]).json["code"]

    codes = {each.result() for each in [meanwhile(run) for _ in range(8)]}
    assert codes <= {"refresh_token_reused", "session_ended"}
    assert "refresh_token_reused" in codes
    assert ending(database) == (clock.now(), SessionEnd.REFRESH_REUSED)
    assert count_tokens(database) == 2
