"""Sessions: seen and ended by their owner, at an end for good some day, and what is told when one is stolen."""

from __future__ import annotations

from datetime import timedelta

import pytest
from counting import count_statements
from sqlalchemy import select

from engage.identity.models import MAX_DEVICE_CHARS, AuthSession, PersonStatus, SessionEnd, device_of
from engage.messages.service import deliver_due

OPENID = "oGZUI0egBJY1zhBYw2KhdUfwVJJE"
IPHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 16_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148"
    " MicroMessenger/8.0.50(0x18003234) NetType/WIFI Language/zh_CN"
)


@pytest.fixture
def log_in(client, gateway, frozen):
    """Log the same person in, each time with another code; return the tokens."""
    codes = iter(f"code{number}" for number in range(100))

    def log_in(agent=IPHONE):
        code = next(codes)
        gateway.openids[code] = OPENID
        answer = client.post("/v1/auth/wechat/login", json={"code": code}, headers={"User-Agent": agent})
        assert answer.status_code == 200
        return answer.json

    return log_in


def bearer(tokens):
    return {"Authorization": f"Bearer {tokens['access_token']}"}


def sessions(client, tokens, **query):
    answer = client.get("/v1/me/sessions", headers=bearer(tokens), query_string=query)
    assert answer.status_code == 200, answer.json
    assert answer.headers["Cache-Control"] == "no-store"
    return answer.json


def refresh(client, tokens):
    return client.post("/v1/auth/refresh", json={"refresh_token": tokens["refresh_token"]})


def test_a_person_sees_where_they_are_logged_in(client, log_in, frozen, as_user, make):
    as_user(make.person().id)  # somebody else's session is nobody's business
    phone = log_in()
    frozen.move(minutes=6)
    tablet = log_in("Mozilla/5.0 (iPad; CPU OS 17_0 like Mac OS X) MicroMessenger/8.0.50")
    frozen.move(minutes=6)
    phone = refresh(client, phone).json
    first, second = sessions(client, tablet)["items"]
    assert [first["device"], second["device"]] == ["iPad · WeChat", "iPhone · WeChat"]
    assert [first["is_current"], second["is_current"]] == [True, False]
    assert second["created_at"] == "2026-10-01T10:00:00+08:00"
    assert second["last_used_at"] == "2026-10-01T10:12:00+08:00"
    assert second["expires_at"] == "2026-10-31T10:12:00+08:00"
    assert first["last_used_at"] == first["created_at"]
    page = sessions(client, phone, limit=1)
    following = sessions(client, phone, limit=1, cursor=page["next_cursor"])
    assert [page["items"][0]["id"], following["items"][0]["id"]] == [first["id"], second["id"]]
    assert following["next_cursor"] is None


def test_one_session_is_ended_or_all_the_others_and_their_tokens_stop_at_once(client, log_in, make):
    mine, lost, third = log_in(), log_in(), log_in()
    ids = {item["id"] for item in sessions(client, mine)["items"]}
    lost_id = next(item["id"] for item in sessions(client, lost)["items"] if item["is_current"])
    address = f"/v1/me/sessions/{lost_id}"
    assert client.delete(address, headers=bearer(mine)).status_code == 204
    assert client.get("/v1/me", headers=bearer(lost)).json["code"] == "session_ended"
    assert refresh(client, lost).json["code"] == "session_ended"
    assert client.delete(address, headers=bearer(mine)).json["code"] == "no_such_session"
    others = make.session(make.person().id).id
    answer = client.delete(f"/v1/me/sessions/{others}", headers=bearer(mine))
    assert (answer.status_code, answer.json["code"]) == (404, "no_such_session")
    assert client.delete("/v1/me/sessions", headers=bearer(mine)).status_code == 204
    assert client.get("/v1/me", headers=bearer(third)).json["code"] == "session_ended"
    (left,) = sessions(client, mine)["items"]
    assert left["id"] in ids
    assert client.delete(f"/v1/me/sessions/{left['id']}", headers=bearer(mine)).status_code == 204
    assert client.get("/v1/me", headers=bearer(mine)).json["code"] == "session_ended"


def test_ending_the_others_touches_nobody_else(as_user, make, database, frozen):
    first, second = make.person(), make.person()
    one, other = as_user(first.id), as_user(second.id)
    as_user(first.id)
    assert one.delete("/v1/me/sessions").status_code == 204
    assert other.get("/v1/me").status_code == 200
    with database.reading() as connection:
        ended = connection.execute(
            select(AuthSession.person_id, AuthSession.end_reason).where(AuthSession.ended_at.is_not(None))
        )
        assert [*ended] == [(first.id, SessionEnd.LOGGED_OUT)]


def test_a_session_slides_but_not_for_ever(client, log_in, frozen):
    tokens = log_in()
    for _ in range(6):
        frozen.move(days=29)
        tokens = refresh(client, tokens).json
    (only,) = sessions(client, tokens)["items"]
    assert (
        only["expires_at"] == "2027-03-30T10:00:00+08:00"
    )  # 180 days after the log-in, not 30 after the last refresh
    frozen.move(days=6, seconds=-1)
    assert client.get("/v1/me", headers=bearer(refresh(client, tokens).json)).status_code == 200
    frozen.move(seconds=1)
    assert client.get("/v1/me", headers=bearer(tokens)).status_code == 401
    answer = refresh(client, tokens)
    assert (answer.status_code, answer.json["code"]) == (401, "refresh_token_invalid")


def test_whose_log_in_was_stolen_is_told_once_in_both_languages(app, client, log_in, database, frozen):
    """The thief refreshes first; when the owner does, both are out, and the owner finds out why."""
    owner = log_in()
    thief = refresh(client, owner).json
    frozen.move(minutes=10)
    assert refresh(client, owner).json["code"] == "refresh_token_reused"
    assert refresh(client, owner).json["code"] == "session_ended"
    assert refresh(client, thief).json["code"] == "session_ended"
    assert client.get("/v1/me", headers=bearer(thief)).json["code"] == "session_ended"
    assert deliver_due(database) == 1
    again = log_in()
    (message,) = client.get("/v1/me/messages", headers=bearer(again)).json["items"]
    assert (message["kind"], message["subject_kind"]) == ("session_stolen", "session")
    assert message["text"].startswith("安全提醒：您10月1日10:00的登录凭证被重复使用")
    english = client.get("/v1/me/messages", headers={**bearer(again), "Accept-Language": "en"}).json
    assert english["items"][0]["text"].startswith("Security: ")


def test_a_refresh_that_arrives_twice_on_a_bad_network_ends_nothing(client, log_in, database, frozen):
    tokens = log_in()
    answers = []
    for seconds in (0, 1, 8, 20):  # a client that gives up and tries again
        frozen.move(seconds=seconds)
        answers.append(refresh(client, tokens).json["refresh_token"])
    assert len(set(answers)) == 1
    assert refresh(client, {"refresh_token": answers[0]}).status_code == 200
    assert deliver_due(database) == 0


def test_only_known_words_of_a_user_agent_are_kept():
    for agent, device in {
        IPHONE: "iPhone · WeChat",
        "Mozilla/5.0 (Linux; Android 13; V2046A Build/TP1A) Chrome/116.0 MicroMessenger/8.0.49": "Android · WeChat",
        "Mozilla/5.0 (Phone; OpenHarmony 5.0) ArkWeb/4.1 MicroMessenger/1.0": "HarmonyOS · WeChat",
        "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15) Chrome/98 wechatdevtools/1.06 MicroMessenger/8": "Mac · WeChat DevTools",
        "Mozilla/5.0 (Windows NT 10.0; Win64) Chrome/120.0 Safari/537.36 Edg/120.0": "Windows · Edge",
        "Mozilla/5.0 (X11; Linux x86_64; rv:120.0) Gecko/20100101 Firefox/120.0": "Linux · Firefox",
        "": None,
        "curl/8.4.0": None,
        "李晓燕的手机 13800138000 <script>": None,
        "x" * 5000 + IPHONE: None,
    }.items():
        assert device_of(agent) == device
        assert len(device or "") <= MAX_DEVICE_CHARS


def test_reading_sessions_takes_one_statement_beside_the_caller(app, client, log_in):
    tokens = log_in()
    with count_statements(app) as sent:
        sessions(client, tokens)
    assert len(sent) == 2


def test_each_account_that_may_not_be_used_has_its_own_answer(client, gateway, as_user, make, frozen):
    """Stopped, closed, too young, restricted by WeChat: a client can tell them apart and so can a person."""
    from engage.wechat.errors import WeChatAccountBlocked

    gateway.openids["blocked"] = WeChatAccountBlocked(40226, None, "/sns/jscode2session")
    profile = {"name": "小明", "gender": "male", "hometown_code": "140502", "current_code": "140502"}
    child = as_user(make.person().id)
    birth = (frozen.now.date() - timedelta(days=13 * 365)).isoformat()
    answers = {
        "account_suspended": as_user(make.person(status=PersonStatus.SUSPENDED).id).get("/v1/me"),
        "account_closed": as_user(make.person(status=PersonStatus.CLOSED).id).get("/v1/me"),
        "too_young": child.put("/v1/me", json={**profile, "birth_on": birth}),
        "wechat_account_blocked": client.post("/v1/auth/wechat/login", json={"code": "blocked"}),
    }
    assert {code: (answer.status_code, answer.json["code"]) for code, answer in answers.items()} == {
        code: (403, code) for code in answers
    }
    assert len({answer.json["detail"] for answer in answers.values()}) == 4
