"""The whole way: a phone with codes of WeChat, our service, and the stand-in for WeChat over real HTTP."""

from __future__ import annotations

import pytest
from sqlalchemy import func, select

from engage.identity.models import Person, WeChatAccount

PROFILE = {
    "name": "李晓燕",
    "gender": "female",
    "birth_on": "2006-03-05",
    "hometown_code": "140524",
    "current_code": "140100",
}


def log_in(client, code):
    return client.post("/v1/auth/wechat/login", json={"code": code})


def count(database, table):
    with database.reading() as connection:
        return connection.scalar(select(func.count()).select_from(table))


def test_from_the_first_log_in_to_the_last_log_out(client, wechat, database):
    code = wechat.login_code("youth")
    tokens = log_in(client, code).json
    assert tokens["is_new"] is True
    assert log_in(client, code).json["refresh_token"] == tokens["refresh_token"]
    assert len(wechat.requests("/sns/jscode2session")) == 1
    with database.reading() as connection:
        assert connection.scalars(select(WeChatAccount.openid)).all() == [wechat.openid("youth")]

    bearer = {"Authorization": f"Bearer {tokens['access_token']}"}
    wechat.add_user("youth", phone="13800138000")
    with_phone = {**PROFILE, "phone_code": wechat.phone_code("youth")}
    me = client.put("/v1/me", json=with_phone, headers=bearer)
    assert (me.status_code, me.json["phone_masked"], me.json["profile_complete"]) == (
        200,
        "138****8000",
        True,
    )

    tokens = client.post("/v1/auth/refresh", json={"refresh_token": tokens["refresh_token"]}).json
    bearer = {"Authorization": f"Bearer {tokens['access_token']}"}
    assert client.get("/v1/me", headers=bearer).json == me.json
    assert client.post("/v1/auth/logout", headers=bearer).status_code == 204
    assert client.get("/v1/me", headers=bearer).json["code"] == "session_ended"
    assert log_in(client, wechat.login_code("youth")).json["is_new"] is False


def test_a_phone_code_of_somebody_else_is_refused(client, wechat):
    wechat.add_user("other", phone="13900139000")
    bearer = {"Authorization": f"Bearer {log_in(client, wechat.login_code('youth')).json['access_token']}"}
    for stolen in (wechat.phone_code("other"), wechat.login_code("youth"), "a" * 64):
        answer = client.put("/v1/me", json={**PROFILE, "phone_code": stolen}, headers=bearer)
        assert (answer.status_code, answer.json["code"]) == (422, "wechat_phone_code_refused")


def test_a_code_that_wechat_does_not_know_or_that_is_too_old_is_refused(client, wechat, database):
    old = wechat.login_code("youth")
    wechat.advance(301)
    for code in (old, "0" * 32):
        answer = log_in(client, code)
        assert (answer.status_code, answer.json["code"]) == (401, "wechat_code_refused")
    assert count(database, Person) == 0


def test_a_code_that_was_used_elsewhere_is_refused(client, wechat, frozen):
    code = wechat.login_code("youth")
    assert log_in(client, code).status_code == 200
    frozen.move(minutes=2)
    assert log_in(client, code).json["code"] == "wechat_code_refused"


def test_an_account_that_wechat_restricts_is_refused(client, wechat, database):
    wechat.add_user("youth", blocked=True)
    answer = log_in(client, wechat.login_code("youth"))
    assert (answer.status_code, answer.json["code"]) == (403, "wechat_account_blocked")
    assert count(database, Person) == 0


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        ({"errcode": -1, "errmsg": "system error", "times": 3}, 503, "wechat_unavailable"),
        ({"errcode": 40125, "errmsg": "invalid appsecret", "times": 1}, 502, "wechat_misconfigured"),
        ({"drop": "before", "times": 1}, 503, "wechat_unavailable"),
    ],
)
def test_after_a_fault_of_wechat_the_same_code_may_be_tried_again(client, wechat, fault, status, code):
    given = wechat.login_code("youth")
    wechat.fault("/sns/jscode2session", **fault)
    answer = log_in(client, given)
    assert (answer.status_code, answer.json["code"]) == (status, code)
    assert log_in(client, given).status_code == 200


def test_one_busy_answer_is_not_noticed(client, wechat):
    wechat.fault("/sns/jscode2session", errcode=-1, errmsg="system error", times=1)
    assert log_in(client, wechat.login_code("youth")).status_code == 200
