"""Log-in with WeChat: first time, repeated, in parallel, and when WeChat says no."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import timedelta
from threading import Barrier, Event

import jwt
import pytest
from counting import count_statements
from sqlalchemy import func, select, update

from engage.core import clock
from engage.core.crypto import sha256
from engage.core.db import Errand
from engage.identity import service
from engage.identity.models import (
    AuthSession,
    LoginAttempt,
    Person,
    PersonStatus,
    RefreshToken,
    WeChatAccount,
)
from engage.wechat.errors import WeChatAccountBlocked, WeChatBusy, WeChatMisconfigured, WeChatUserActionNeeded

CODE = "021ByuFs0fNXie1T5lJs0IwBFs0ByuF1"
OPENID = "oGZUI0egBJY1zhBYw2KhdUfwVJJE"


def log_in(client, code=CODE):
    return client.post("/v1/auth/wechat/login", json={"code": code})


def count(database, table):
    with database.reading() as connection:
        return connection.scalar(select(func.count()).select_from(table))


def session_of(answer):
    return jwt.decode(answer.json["access_token"], options={"verify_signature": False})["sid"]


def test_the_first_log_in_creates_a_person_without_a_profile(client, gateway, frozen):
    gateway.openids[CODE] = OPENID
    answer = log_in(client)
    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "no-store"
    body = answer.json
    assert (body["token_type"], body["expires_in"], body["is_new"]) == ("Bearer", 900, True)
    assert len(body["refresh_token"]) == 43
    user = dict(body["user"])
    assert user.pop("id")
    assert user == {
        "name": None,
        "gender": None,
        "birth_on": None,
        "hometown": None,
        "current": None,
        "phone_masked": None,
        "profile_complete": False,
        "created_at": "2026-10-01T10:00:00+08:00",
    }


def test_the_access_token_is_good_at_once(client, gateway, frozen):
    gateway.openids[CODE] = OPENID
    body = log_in(client).json
    me = client.get("/v1/me", headers={"Authorization": f"Bearer {body['access_token']}"})
    assert (me.status_code, me.json) == (200, body["user"])


def test_the_same_person_comes_back(client, gateway, database, frozen):
    gateway.openids |= {CODE: OPENID, "second": OPENID}
    first, second = log_in(client), log_in(client, "second")
    assert second.json["is_new"] is False
    assert second.json["user"]["id"] == first.json["user"]["id"]
    assert session_of(second) != session_of(first)
    assert second.json["refresh_token"] != first.json["refresh_token"]
    assert (count(database, Person), count(database, AuthSession)) == (1, 2)


def test_openids_differ_by_case(client, gateway, database, frozen):
    gateway.openids |= {"first": "oAb", "second": "oAB"}
    assert log_in(client, "first").json["user"]["id"] != log_in(client, "second").json["user"]["id"]


def test_an_openid_of_another_mini_program_is_another_person(client, gateway, database, make, frozen):
    person = make.person()
    make.add(
        WeChatAccount(appid="wx0000000000000000", openid=OPENID, person_id=person.id, linked_at=clock.now())
    )
    gateway.openids[CODE] = OPENID
    assert log_in(client).json["user"]["id"] != str(person.id)


def test_a_unionid_that_appears_later_is_kept(client, gateway, database, frozen):
    gateway.openids |= {"first": OPENID, "second": f"{OPENID}/union", "third": OPENID}
    for code in ("first", "second", "third"):
        log_in(client, code)
    with database.reading() as connection:
        assert connection.scalars(select(WeChatAccount.unionid)).all() == ["union"]


def test_only_hashes_are_stored(client, gateway, database, frozen):
    gateway.openids[CODE] = OPENID
    token = log_in(client).json["refresh_token"]
    with database.reading() as connection:
        assert connection.scalars(select(RefreshToken.token_hash)).all() == [sha256(token)]
        assert connection.scalars(select(LoginAttempt.code_hash)).all() == [sha256(CODE)]


def test_a_lost_answer_is_given_again_for_a_minute(client, gateway, database, frozen):
    gateway.openids[CODE] = OPENID
    first = log_in(client)
    frozen.move(seconds=59)
    again = log_in(client)
    assert again.status_code == 200
    for field in ("refresh_token", "is_new", "user"):
        assert again.json[field] == first.json[field]
    assert session_of(again) == session_of(first)
    assert len(gateway.asked) == 1
    assert (count(database, AuthSession), count(database, RefreshToken)) == (1, 1)


def test_after_a_minute_wechat_decides_again(client, gateway, database, frozen):
    gateway.openids[CODE] = OPENID
    log_in(client)
    frozen.move(seconds=60)
    answer = log_in(client)
    assert (answer.status_code, answer.json["code"]) == (401, "wechat_code_refused")
    assert len(gateway.asked) == 2
    assert count(database, AuthSession) == 1


def test_a_repetition_after_log_out_is_refused(client, gateway, frozen):
    gateway.openids[CODE] = OPENID
    token = log_in(client).json["access_token"]
    assert client.post("/v1/auth/logout", headers={"Authorization": f"Bearer {token}"}).status_code == 204
    assert log_in(client).json["code"] == "wechat_code_refused"


def test_a_repetition_after_the_token_was_used_is_refused(client, gateway, frozen):
    gateway.openids[CODE] = OPENID
    token = log_in(client).json["refresh_token"]
    assert client.post("/v1/auth/refresh", json={"refresh_token": token}).status_code == 200
    assert log_in(client).json["code"] == "wechat_code_refused"


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (WeChatUserActionNeeded(40029, None, "/sns/jscode2session"), 401, "wechat_code_refused"),
        (WeChatUserActionNeeded(40163, None, "/sns/jscode2session"), 401, "wechat_code_refused"),
        (WeChatAccountBlocked(40226, None, "/sns/jscode2session"), 403, "wechat_account_blocked"),
        (WeChatBusy(-1, None, "/sns/jscode2session"), 503, "wechat_unavailable"),
    ],
)
def test_what_wechat_says_reaches_the_client_and_the_code_may_be_tried_again(
    client, gateway, database, frozen, error, status, code
):
    gateway.openids[CODE] = error
    answer = log_in(client)
    assert (answer.status_code, answer.json["code"]) == (status, code)
    for table in (Person, WeChatAccount, AuthSession, RefreshToken, LoginAttempt):
        assert count(database, table) == 0
    gateway.openids[CODE] = OPENID
    assert log_in(client).status_code == 200


def test_a_fault_of_the_program_releases_the_claim_too(errand, gateway, database, frozen):
    gateway.openids[CODE] = RuntimeError("no")
    with pytest.raises(RuntimeError):
        service.log_in(errand, gateway, CODE)
    assert count(database, LoginAttempt) == 0


def test_an_outcome_that_was_kept_although_its_commit_seemed_to_fail_is_given_again(
    client, errand, gateway, database, frozen
):
    class LosesTheAnswerToTheSecondCommit(Errand):
        @contextmanager
        def work(self):
            blocks.append(1)
            with super().work() as work:
                yield work
            if len(blocks) == 2:
                raise ConnectionError

    blocks: list[int] = []
    gateway.openids[CODE] = OPENID
    with pytest.raises(ConnectionError):
        service.log_in(
            LosesTheAnswerToTheSecondCommit(database, errand.actor, errand.settings), gateway, CODE
        )
    assert len(blocks) == 3
    assert log_in(client).json["is_new"] is True
    assert len(gateway.asked) == 1


@pytest.mark.parametrize(
    ("status", "code"),
    [(PersonStatus.SUSPENDED, "account_suspended"), (PersonStatus.CLOSED, "account_closed")],
)
def test_an_account_that_may_not_be_used_is_refused(client, gateway, database, frozen, status, code):
    gateway.openids |= {"first": OPENID, "second": OPENID}
    log_in(client, "first")
    with database.transaction() as session:
        session.execute(update(Person).values(status=status))
    for attempt in ("second", "first"):  # a new log-in, and a repetition of the one that worked
        answer = log_in(client, attempt)
        assert (answer.status_code, answer.json["code"]) == (403, code)
    assert count(database, AuthSession) == 1


def test_no_connection_is_held_while_wechat_is_asked(client, gateway, frozen):
    gateway.openids[CODE] = OPENID
    log_in(client)
    assert gateway.held == [0]


def test_a_log_in_takes_a_constant_number_of_statements(app, client, gateway, frozen):
    gateway.openids |= {"first": OPENID, "second": OPENID}
    log_in(client, "first")
    with count_statements(app) as sent:
        log_in(client, "second")
    assert len(sent) <= 8  # the first asks who is locked out, the last is the entry of the audit log
    with count_statements(app) as sent:
        log_in(client, "second")
    assert len(sent) <= 5


def test_while_a_code_is_exchanged_another_request_is_told_to_wait(client, app, gateway, frozen, meanwhile):
    asked, answer = Event(), Event()

    def slow():
        asked.set()
        assert answer.wait(10)
        return OPENID

    gateway.openids[CODE] = slow
    first = meanwhile(log_in, app.test_client())
    assert asked.wait(10)
    second = log_in(client)
    answer.set()
    assert (second.status_code, second.json["code"], second.headers["Retry-After"]) == (
        409,
        "login_in_progress",
        "1",
    )
    assert first.result().status_code == 200
    third = log_in(client)
    assert third.json["refresh_token"] == first.result().json["refresh_token"]
    assert len(gateway.asked) == 1


def test_an_abandoned_exchange_is_taken_over_after_half_a_minute(client, gateway, make, frozen):
    make.add(LoginAttempt(code_hash=sha256(CODE), started_at=clock.now()))
    gateway.openids[CODE] = OPENID
    frozen.move(seconds=29)
    assert log_in(client).json["code"] == "login_in_progress"
    frozen.move(seconds=1)
    assert log_in(client).status_code == 200


@pytest.fixture
def overtaken(app, client, gateway, frozen, meanwhile):
    """Begin a log-in that gets no answer from WeChat for 31 seconds; return how to end it."""
    asked, answer, openid = Event(), Event(), []

    def slow():
        asked.set()
        assert answer.wait(10)
        if isinstance(openid[0], Exception):
            raise openid[0]
        return openid[0]

    gateway.openids[CODE] = slow
    running = meanwhile(log_in, app.test_client())
    assert asked.wait(10)
    frozen.move(seconds=31)

    def end(result):
        openid.append(result)
        answer.set()
        return running.result()

    yield end
    answer.set()


def test_who_was_overtaken_leaves_the_outcome_of_the_other(client, gateway, database, overtaken):
    gateway.openids[CODE] = OPENID
    second = log_in(client)
    assert overtaken(OPENID).json["code"] == "login_in_progress"
    assert log_in(client).json["refresh_token"] == second.json["refresh_token"]
    assert (count(database, Person), count(database, AuthSession)) == (1, 1)


def test_who_was_overtaken_in_vain_still_gets_in(client, gateway, overtaken):
    assert log_in(client).json["code"] == "wechat_code_refused"
    late = overtaken(OPENID)
    assert late.status_code == 200
    assert log_in(client).json["refresh_token"] == late.json["refresh_token"]


def test_who_was_overtaken_and_fails_leaves_the_claim_of_the_other(
    app, client, gateway, overtaken, meanwhile
):
    asked, answer = Event(), Event()

    def slow():
        asked.set()
        assert answer.wait(10)
        return OPENID

    gateway.openids[CODE] = slow
    second = meanwhile(log_in, app.test_client())
    assert asked.wait(10)
    assert overtaken(WeChatBusy(-1, None, "/sns/jscode2session")).status_code == 503
    assert log_in(client).json["code"] == "login_in_progress"
    answer.set()
    assert second.result().status_code == 200


def test_of_many_requests_with_one_code_one_asks_wechat(app, gateway, database, meanwhile):
    start = Barrier(8)
    gateway.openids[CODE] = OPENID

    def run():
        start.wait()
        return log_in(app.test_client())

    answers = [each.result() for each in [meanwhile(run) for _ in range(8)]]
    assert len(gateway.asked) == 1
    given = {answer.json["refresh_token"] for answer in answers if answer.status_code == 200}
    assert len(given) == 1
    assert {answer.json["code"] for answer in answers if answer.status_code != 200} <= {"login_in_progress"}
    assert (count(database, Person), count(database, AuthSession), count(database, RefreshToken)) == (1, 1, 1)


def test_many_first_log_ins_of_one_person_make_one_person(app, gateway, database, meanwhile):
    start = Barrier(8)
    # All have asked WeChat before anyone writes: the race is about the person, not about the code.
    for number in range(8):
        gateway.openids[f"code{number}"] = lambda: (start.wait(10), OPENID)[1]
    answers = [
        each.result()
        for each in [meanwhile(log_in, app.test_client(), f"code{number}") for number in range(8)]
    ]
    assert [answer.status_code for answer in answers] == [200] * 8
    assert sorted(answer.json["is_new"] for answer in answers) == [False] * 7 + [True]
    assert len({answer.json["user"]["id"] for answer in answers}) == 1
    assert (count(database, Person), count(database, WeChatAccount), count(database, AuthSession)) == (
        1,
        1,
        8,
    )


@pytest.mark.parametrize(
    ("body", "pointer", "code"),
    [
        ({}, "/code", "required"),
        ({"code": None}, "/code", "null"),
        ({"code": 17}, "/code", "not_text"),
        ({"code": ""}, "/code", "too_short"),
        ({"code": "a" * 129}, "/code", "too_long"),
        ({"code": "码"}, "/code", "bad_format"),
        ({"code": "a\nb"}, "/code", "bad_characters"),
        ({"code": "a", "appid": "x"}, "/appid", "unknown_field"),
        ([], "", "not_object"),
    ],
)
def test_bad_bodies_are_refused_before_anything_is_asked(
    client, gateway, database, frozen, body, pointer, code
):
    answer = client.post("/v1/auth/wechat/login", json=body)
    assert (answer.status_code, answer.json["code"]) == (422, "invalid_input")
    assert {"pointer": pointer, "code": code}.items() <= answer.json["errors"][0].items()
    assert gateway.asked == []
    assert count(database, LoginAttempt) == 0


def test_a_token_of_whatever_kind_does_not_stop_a_log_in(client, gateway, frozen):
    gateway.openids[CODE] = OPENID
    answer = client.post("/v1/auth/wechat/login", json={"code": CODE}, headers={"Authorization": "Bearer x"})
    assert answer.status_code == 200


def test_other_faults_of_wechat_are_ours(client, gateway, frozen):
    gateway.openids[CODE] = WeChatMisconfigured(40013, None, "/sns/jscode2session")
    assert log_in(client).status_code == 502


def test_the_session_ends_with_its_refresh_token(client, gateway, database, frozen):
    gateway.openids[CODE] = OPENID
    log_in(client)
    with database.reading() as connection:
        session_ends = connection.scalar(select(AuthSession.expires_at))
        token_ends = connection.scalar(select(RefreshToken.expires_at))
    assert session_ends == token_ends == clock.now() + timedelta(days=30)
