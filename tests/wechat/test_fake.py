"""The stand-in itself: WeChat's rules on the wire."""

from __future__ import annotations

import json
import logging
import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from fakes import APPID, SECRET

from engage.wechat.fake import DEFAULT_APPID, DEFAULT_SECRET, FakeServer, create_fake, openid_of

LOGIN = "/sns/jscode2session"
PHONE = "/wxa/business/getuserphonenumber"
STABLE = "/cgi-bin/stable_token"
CLASSIC = "/cgi-bin/token"
RID = r"[0-9a-f]{8}-[0-9a-f]{8}-[0-9a-f]{8}"


class Caller:
    """A backend that speaks to WeChat by hand."""

    def __init__(self, base_url: str) -> None:
        self._http = httpx.Client(base_url=base_url, trust_env=False)

    def get(self, path: str, **query: str) -> httpx.Response:
        return self._http.get(path, params=query)

    def post(self, path: str, body: object = None, **query: str) -> httpx.Response:
        content = b"" if body is None else json.dumps(body, ensure_ascii=False).encode()
        return self._http.post(
            path, params=query, content=content, headers={"Content-Type": "application/json"}
        )

    def raw(self, path: str, **options) -> httpx.Response:
        return self._http.post(path, **options)

    def login(self, code: str, **changes: str) -> dict:
        query = {
            "appid": APPID,
            "secret": SECRET,
            "js_code": code,
            "grant_type": "authorization_code",
            **changes,
        }
        return self.get(LOGIN, **query).json()

    def stable(self, **changes: object) -> dict:
        return self.post(
            STABLE, {"grant_type": "client_credential", "appid": APPID, "secret": SECRET, **changes}
        ).json()

    def classic(self) -> dict:
        return self.get(CLASSIC, grant_type="client_credential", appid=APPID, secret=SECRET).json()

    def phone(self, token: str, code: str = "x", **body: str) -> dict:
        return self.post(PHONE, {"code": code, **body}, access_token=token).json()

    def close(self) -> None:
        self._http.close()


@pytest.fixture
def caller(wechat):
    caller = Caller(wechat.base_url)
    yield caller
    caller.close()


# Log-in


def test_success_has_no_errcode_and_comes_as_text(caller, wechat):
    query = {
        "appid": APPID,
        "secret": SECRET,
        "js_code": wechat.login_code(),
        "grant_type": "authorization_code",
    }
    response = caller.get(LOGIN, **query)
    assert response.headers["Content-Type"] == "text/plain"
    assert set(response.json()) == {"session_key", "openid", "unionid"}
    assert len(response.json()["session_key"]) == 24


def test_codes_and_ids_have_wechats_forms(wechat):
    assert re.fullmatch(r"0[A-Za-z0-9]{31}", wechat.login_code())
    assert re.fullmatch(r"[0-9a-f]{64}", wechat.phone_code())
    assert re.fullmatch(r"o[A-Za-z0-9_-]{27}", wechat.openid("youth"))
    assert re.fullmatch(r"o[A-Za-z0-9_-]{27}", wechat.unionid("youth"))


@pytest.mark.parametrize(
    ("changes", "errcode"),
    [
        ({"appid": "", "secret": ""}, 41002),
        ({"secret": "", "js_code": ""}, 41004),
        ({"js_code": "", "grant_type": "x"}, 41008),
        ({"grant_type": "x", "appid": "wx0"}, 40002),
        ({"appid": "wx0", "secret": "x"}, 40013),
        ({"secret": "x", "js_code": "x"}, 40125),
        ({"js_code": "x"}, 40029),
    ],
)
def test_log_in_checks_in_this_order(caller, wechat, changes, errcode):
    answer = caller.login(wechat.login_code(), **changes)
    assert answer["errcode"] == errcode
    assert re.fullmatch(rf".+, rid: {RID}", answer["errmsg"])


def test_a_code_is_good_once_even_after_its_time(caller, wechat):
    code = wechat.login_code()
    assert caller.login(code)["openid"]
    wechat.advance(600)
    assert caller.login(code)["errcode"] == 40163


@pytest.mark.parametrize(("seconds", "errcode"), [(299, None), (301, 40029)])
def test_a_code_is_good_for_five_minutes(caller, wechat, frozen, seconds, errcode):
    code = wechat.login_code()
    wechat.advance(seconds)
    assert caller.login(code).get("errcode") == errcode


def test_a_code_of_another_app_is_invalid(caller, wechat):
    wechat.add_app("wxother", "s")
    code = wechat.login_code(appid="wxother")
    assert caller.login(code)["errcode"] == 40029
    assert caller.login(code, appid="wxother", secret="s")["openid"] == openid_of("wxother", "youth")


def test_a_blocked_user_keeps_the_code(caller, wechat):
    wechat.add_user("youth", blocked=True)
    code = wechat.login_code("youth")
    assert [caller.login(code)["errcode"] for _ in range(2)] == [40226, 40226]


def test_a_new_code_rotates_the_session_key_unless_told_to_keep_it(caller, wechat):
    first = caller.login(wechat.login_code())["session_key"]
    kept = caller.login(wechat.login_code(keepSessionKey=True))["session_key"]
    assert kept == first != caller.login(wechat.login_code())["session_key"]


def test_a_user_logs_in_a_hundred_times_a_minute(caller, wechat, frozen):
    for _ in range(100):
        assert "openid" in caller.login(wechat.login_code())
    code = wechat.login_code()
    assert caller.login(code)["errcode"] == 45011
    assert "openid" in caller.login(wechat.login_code("other"))
    wechat.advance(60)
    assert "openid" in caller.login(code)


def test_log_in_is_asked_with_get(caller):
    assert caller.post(LOGIN, {}).json()["errcode"] == 43001


# Tokens


def test_the_stable_token_is_the_same_with_the_seconds_left(caller, wechat, frozen):
    first = caller.stable()
    assert first["expires_in"] == 7200
    assert re.fullmatch(r"\d+_[A-Za-z0-9_-]+", first["access_token"])
    assert len(first["access_token"]) == 157
    wechat.advance(6899)
    assert caller.stable() == {"access_token": first["access_token"], "expires_in": 301}
    wechat.advance(1)
    renewed = caller.stable()
    assert renewed["access_token"] != first["access_token"]
    assert renewed["expires_in"] == 7200
    assert caller.phone(first["access_token"])["errcode"] == 40029  # it lives to its end
    wechat.advance(300)
    assert caller.phone(first["access_token"])["errcode"] == 42001


def test_force_kills_the_old_token_at_most_twenty_times_a_day(caller, wechat, frozen):
    old = caller.stable()["access_token"]
    forced = caller.stable(force_refresh=True)["access_token"]
    assert forced != old
    assert caller.phone(old)["errcode"] == 40001
    assert caller.phone(forced)["errcode"] == 40029
    wechat.advance(29)
    assert caller.stable(force_refresh=True)["access_token"] == forced
    for _ in range(19):
        wechat.advance(31)
        assert "access_token" in caller.stable(force_refresh=True)
    wechat.advance(31)
    assert caller.stable(force_refresh=True)["errcode"] == 45009
    assert "access_token" in caller.stable()
    wechat.advance(86_400)
    assert "access_token" in caller.stable(force_refresh=True)


def test_a_classic_token_ends_the_one_before_after_five_minutes_and_no_stable_one(caller, wechat, frozen):
    stable, first, second = caller.stable()["access_token"], caller.classic(), caller.classic()
    assert first["expires_in"] == 7200
    assert first["access_token"] != second["access_token"]
    assert caller.phone(first["access_token"])["errcode"] == 40029
    wechat.advance(300)
    assert caller.phone(first["access_token"])["errcode"] == 40001
    assert caller.phone(second["access_token"])["errcode"] == 40029
    assert caller.phone(stable)["errcode"] == 40029


def test_the_classic_quota_can_be_switched_on(frozen):
    query = {"grant_type": "client_credential", "appid": "wxquota", "secret": "s"}
    app = create_fake(appid="wxquota", secret="s", control=True, source=lambda: frozen.now)
    client = app.test_client()
    client.post("/__fake__/apps", json={"appid": "wxquota", "secret": "s", "classicQuota": True})
    answers = [client.get(CLASSIC, query_string=query).get_json().get("errcode") for _ in range(2001)]
    assert answers == [None] * 2000 + [45009]
    frozen.move(days=1)
    assert "access_token" in client.get(CLASSIC, query_string=query).get_json()


@pytest.mark.parametrize(
    ("changes", "errcode"),
    [
        ({"appid": "", "secret": ""}, 41002),
        ({"secret": "", "grant_type": "x"}, 41004),
        ({"grant_type": "x", "appid": "wx0"}, 40002),
        ({"appid": "wx0", "secret": "x"}, 40013),
        ({"secret": "x"}, 40125),
        ({"force_refresh": "yes"}, 47001),
    ],
)
def test_the_token_operation_checks_in_this_order(caller, changes, errcode):
    answer = caller.stable(**changes)
    assert answer["errcode"] == errcode
    assert re.fullmatch(rf"[^,]+ rid: {RID}", answer["errmsg"])


def test_each_token_operation_has_its_method(caller):
    assert caller.get(STABLE).json()["errcode"] == 43002
    assert caller.post(CLASSIC, {}).json()["errcode"] == 43001


# Phone numbers, and what all operations with a token have in common


def test_the_phone_answer_has_wechats_shape(caller, wechat, frozen):
    wechat.add_user("youth", phone="12066600001")
    response = caller.post(PHONE, {"code": wechat.phone_code()}, access_token=caller.stable()["access_token"])
    assert response.headers["Content-Type"] == "application/json; encoding=utf-8"
    assert response.json() == {
        "errcode": 0,
        "errmsg": "ok",
        "phone_info": {
            "phoneNumber": "12066600001",
            "purePhoneNumber": "12066600001",
            "countryCode": "86",
            "watermark": {"timestamp": int(frozen.now.timestamp()), "appid": APPID},
        },
    }


def test_a_foreign_number_carries_its_area_code(caller, wechat):
    wechat.add_user("guest", phone="2025550123", countryCode="1")
    info = caller.phone(caller.stable()["access_token"], wechat.phone_code("guest"))["phone_info"]
    assert (info["phoneNumber"], info["purePhoneNumber"], info["countryCode"]) == (
        "12025550123",
        "2025550123",
        "1",
    )


def test_phone_errors_carry_a_hint(caller):
    answer = caller.phone(caller.stable()["access_token"])
    assert re.fullmatch(rf"invalid code hint: \[\w{{8}}-\w{{6}}\] rid: {RID}", answer["errmsg"])


def test_a_phone_code_of_another_app_is_refused(caller, wechat):
    wechat.add_app("wxother", "s")
    code = wechat.phone_code(appid="wxother")
    assert caller.phone(caller.stable()["access_token"], code)["errcode"] == 40013


@pytest.mark.parametrize(
    ("options", "errcode"),
    [
        ({"params": {}}, 41001),
        ({"params": {"access_token": "2"}}, 40001),
        ({"content": b""}, 44002),
        ({"content": b"{"}, 47001),
        ({"content": b"[]"}, 47001),
        ({"data": {"code": "x"}}, 47001),
        ({"json": {}}, 40029),
        ({"json": {"code": ["x"]}}, 40029),
    ],
)
def test_operations_with_a_token_check_in_this_order(caller, options, errcode):
    options = {"params": {"access_token": caller.stable()["access_token"]}, **options}
    assert caller.raw(PHONE, **options).json()["errcode"] == errcode


def test_the_token_is_checked_before_the_method(caller):
    assert caller.get(PHONE).json()["errcode"] == 41001
    assert caller.get(PHONE, access_token=caller.stable()["access_token"]).json()["errcode"] == 43002


@pytest.mark.parametrize("path", [PHONE, STABLE])
def test_a_post_without_a_length_is_refused_before_all_else(caller, wechat, path):
    wechat.fault(path, errcode=-1)
    response = caller.raw(path, content=iter([b"{}"]))
    assert (response.status_code, response.content) == (412, b"")
    assert caller.post(path, {}).json()["errcode"] == -1


@pytest.mark.parametrize("path", ["/", "/wxa/unknown", "/__fake__x"])
def test_any_other_address_is_an_invalid_url(caller, path):
    response = caller.get(path)
    assert (response.status_code, response.json()["errcode"]) == (200, 40066)


# Identity, control plane, process


def test_the_same_seed_gives_the_same_people_after_a_restart_and_codes_do_not_repeat():
    codes, openids = set(), set()
    instant = datetime(2026, 10, 1, tzinfo=UTC)
    for minutes in range(2):
        app = create_fake(
            control=True, source=lambda minutes=minutes: instant + timedelta(minutes=minutes)
        ).test_client()
        codes.add(app.post("/__fake__/users/youth/login-code").get_json()["code"])
        openids.add(app.get("/__fake__/users").get_json()["users"][0]["openid"])
    assert len(codes) == 2
    assert openids == {openid_of(DEFAULT_APPID, "youth")}
    other = create_fake(control=True, seed="another").test_client()
    assert other.post("/__fake__/users", json={"key": "youth"}).get_json()["openid"] not in openids


def test_users_given_at_the_start_are_there_again_after_a_reset():
    app = create_fake(
        control=True, users=[{"key": "p1", "nickname": "李四", "phone": "12066600002"}]
    ).test_client()
    app.post("/__fake__/users", json={"key": "p2"})
    assert [user["key"] for user in app.get("/__fake__/users").get_json()["users"]] == ["p1", "p2"]
    app.post("/__fake__/reset")
    assert [user["nickname"] for user in app.get("/__fake__/users").get_json()["users"]] == ["李四"]


def test_a_user_is_found_by_id_too(wechat, caller):
    user = wechat.add_user("youth")
    assert caller.login(wechat.login_code(user["id"]))["openid"] == user["openid"]


def test_the_control_plane_is_off_unless_asked_for():
    app = create_fake().test_client()
    answer = app.post("/__fake__/users/youth/login-code", json={})
    assert answer.get_json()["errcode"] == 40066


def test_the_control_plane_answers_this_machine_only():
    app = create_fake(control=True).test_client()
    answer = app.get("/__fake__/users", environ_base={"REMOTE_ADDR": "192.0.2.1"})
    assert answer.status_code == 403


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/users", {}),
        ("/users", {"key": "x", "colour": "red"}),
        ("/users", [1]),
        ("/apps", {"appid": "x"}),
        ("/clock", {}),
        ("/faults", {"times": 1}),
        ("/faults", {"path": "/", "drop": "sometimes"}),
        ("/faults", {"path": "/", "colour": "red"}),
        ("/users/youth/login-code", {"colour": "red"}),
    ],
)
def test_the_control_plane_says_what_it_does_not_understand(path, body):
    answer = create_fake(control=True).test_client().post(f"/__fake__{path}", json=body)
    assert answer.status_code == 400
    assert answer.get_json()["error"]


def test_faults_are_counted_per_path_and_end_with_a_reset(caller, wechat):
    wechat.fault(CLASSIC, errcode=-1, times=2)
    assert "access_token" in caller.stable()
    assert [caller.classic().get("errcode") for _ in range(3)] == [-1, -1, None]
    wechat.fault(CLASSIC, httpStatus=503, times=None)
    assert caller.get(CLASSIC).status_code == 503
    wechat.reset()
    assert "access_token" in caller.classic()


@pytest.mark.parametrize(("drop", "is_used"), [("before", False), ("after", True)])
def test_a_dropped_connection_may_have_done_its_work(caller, wechat, drop, is_used):
    code = wechat.login_code()
    wechat.fault(LOGIN, drop=drop)
    with pytest.raises(httpx.RemoteProtocolError):
        caller.login(code)
    assert (caller.login(code).get("errcode") == 40163) is is_used


def test_a_truncated_answer_is_shorter_than_it_says(caller, wechat):
    wechat.fault(LOGIN, truncate=True)
    with pytest.raises(httpx.RemoteProtocolError, match="peer closed"):
        caller.login(wechat.login_code())


def test_being_slow_is_left_to_the_sleep_given():
    naps = []
    app = create_fake(control=True, sleep=naps.append).test_client()
    app.post("/__fake__/faults", json={"path": CLASSIC, "latencyMs": 9000})
    assert app.get(CLASSIC).get_json()["errcode"] == 41002
    assert naps == [9.0]


def test_the_server_writes_no_access_log(caller, wechat, caplog):
    caplog.set_level(logging.DEBUG, "werkzeug")
    caller.login(wechat.login_code())
    assert caplog.records == []


def test_a_taken_port_is_an_error_not_an_exit(wechat):
    port = int(wechat.base_url.rpartition(":")[2])
    with pytest.raises(OSError, match="in use"):
        FakeServer(create_fake(), port)


def test_it_runs_as_a_process_of_its_own(tmp_path):
    users = tmp_path / "users.json"
    users.write_text(json.dumps([{"key": "youth", "nickname": "小明"}]), encoding="utf-8")
    command = [sys.executable, "-m", "engage.wechat.fake", "--port", "0", "--control", "--users", str(users)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            base_url = process.stdout.readline().strip()
            with httpx.Client(base_url=base_url, trust_env=False) as http:
                code = http.post("/__fake__/users/youth/login-code").json()["code"]
                query = {
                    "appid": DEFAULT_APPID,
                    "secret": DEFAULT_SECRET,
                    "js_code": code,
                    "grant_type": "authorization_code",
                }
                assert http.get(LOGIN, params=query).json()["openid"] == openid_of(DEFAULT_APPID, "youth")
        finally:
            process.terminate()


def test_a_process_says_that_its_port_is_taken(wechat):
    port = wechat.base_url.rpartition(":")[2]
    command = [sys.executable, "-m", "engage.wechat.fake", "--port", port]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 1
    assert f"127.0.0.1:{port}" in done.stderr
