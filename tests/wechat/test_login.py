"""The gateway's log-in against the stand-in, over real HTTP."""

from __future__ import annotations

import socket

import httpx
import pytest
from fakes import APPID, SECRET

from engage.wechat import gateway as gateway_module
from engage.wechat.errors import (
    WeChatAccountBlocked,
    WeChatBusy,
    WeChatError,
    WeChatMisconfigured,
    WeChatNotConfigured,
    WeChatRateLimited,
    WeChatRequestBug,
    WeChatTransport,
    WeChatUnavailable,
    WeChatUserActionNeeded,
    refusal_for,
)
from engage.wechat.gateway import WeChatGateway

LOGIN = "/sns/jscode2session"


def test_a_code_gives_openid_and_unionid_and_needs_no_access_token(gateway, wechat):
    session = gateway.code_to_session(wechat.login_code("youth"))
    assert (session.openid, session.unionid) == (wechat.openid("youth"), wechat.unionid("youth"))
    assert [entry["path"] for entry in wechat.requests()] == [LOGIN]


def test_an_app_outside_the_open_platform_gives_no_unionid(gateway, wechat):
    wechat.add_app(unionBound=False)
    assert gateway.code_to_session(wechat.login_code("youth")).unionid is None


def test_the_same_person_is_the_same_openid_at_every_log_in(gateway, wechat):
    first = gateway.code_to_session(wechat.login_code("youth"))
    assert gateway.code_to_session(wechat.login_code("youth")) == first
    assert gateway.code_to_session(wechat.login_code("other")) != first


def test_a_used_code_asks_the_user_to_act_again(gateway, wechat):
    code = wechat.login_code()
    gateway.code_to_session(code)
    with pytest.raises(WeChatUserActionNeeded) as refused:
        gateway.code_to_session(code)
    assert refused.value.errcode == 40163
    assert refused.value.rid == wechat.requests()[-1]["rid"]


def test_an_expired_code_asks_the_user_to_act_again(gateway, wechat):
    code = wechat.login_code()
    wechat.advance(301)
    with pytest.raises(WeChatUserActionNeeded) as refused:
        gateway.code_to_session(code)
    assert refused.value.errcode == 40029


def test_a_code_is_good_for_five_minutes(gateway, wechat, frozen):
    code = wechat.login_code()
    wechat.advance(300)
    assert gateway.code_to_session(code).openid


def test_a_blocked_user_is_told_apart_from_a_bad_code(gateway, wechat):
    wechat.add_user("youth", blocked=True)
    with pytest.raises(WeChatAccountBlocked) as refused:
        gateway.code_to_session(wechat.login_code("youth"))
    assert refused.value.errcode == 40226
    assert not isinstance(refused.value, WeChatUserActionNeeded)


@pytest.mark.parametrize("busy", [1, 2])
def test_a_busy_answer_is_asked_again_with_the_same_code(gateway, wechat, workers, busy):
    wechat.fault(LOGIN, errcode=-1, times=busy)
    assert gateway.code_to_session(wechat.login_code()).openid
    assert len(wechat.requests(LOGIN)) == busy + 1
    assert len(workers.naps) == busy
    assert workers.naps == sorted(workers.naps)


def test_after_three_busy_answers_it_gives_up(gateway, wechat):
    wechat.fault(LOGIN, errcode=-1, times=None)
    with pytest.raises(WeChatBusy) as busy:
        gateway.code_to_session(wechat.login_code())
    assert len(wechat.requests(LOGIN)) == 3
    assert isinstance(refusal_for(busy.value), WeChatUnavailable)


@pytest.mark.parametrize("drop", ["before", "after"])
def test_a_lost_answer_is_never_asked_for_again(gateway, wechat, workers, drop):
    wechat.fault(LOGIN, drop=drop)
    code = wechat.login_code()
    with pytest.raises(WeChatTransport) as lost:
        gateway.code_to_session(code)
    assert not lost.value.is_unsent
    assert len(wechat.requests(LOGIN)) == 1
    assert workers.naps == []
    refusal = refusal_for(lost.value)
    assert (refusal.status, refusal.code) == (503, "wechat_unavailable")
    assert refusal.retry_after
    if drop == "after":
        with pytest.raises(WeChatUserActionNeeded):
            gateway.code_to_session(code)


def test_a_late_answer_is_never_asked_for_again(gateway, wechat, monkeypatch):
    monkeypatch.setattr(gateway_module, "_READ_SECONDS", 0.2)
    wechat.fault(LOGIN, latencyMs=600)
    with pytest.raises(WeChatTransport, match="no answer in time"):
        gateway.code_to_session(wechat.login_code())
    assert len(wechat.requests(LOGIN)) == 1


@pytest.mark.parametrize(
    "fault",
    [
        {"httpStatus": 502},
        {"httpStatus": 302},
        {"body": "<html>busy</html>"},
        {"body": "[]"},
        {"body": '{"errcode":"many"}'},
        {"body": '{"errcode":1e999}'},
        {"body": "[" * 5000},
        {"body": '{"openid":""}'},
        {"body": '{"openid":7}'},
        {"body": '{"openid":"' + "o" * 65 + '"}'},
        {"body": '{"openid":"o\\n"}'},
        {"body": '{"openid":"o123","unionid":7}'},
        {"body": '{"openid":"o123","padding":"' + "x" * 70_000 + '"}'},
        {"truncate": True},
    ],
    ids=lambda fault: str(fault)[:40],
)
def test_an_answer_that_is_not_wechats_is_no_answer(gateway, wechat, fault):
    wechat.fault(LOGIN, **fault)
    with pytest.raises(WeChatTransport):
        gateway.code_to_session(wechat.login_code())
    assert len(wechat.requests(LOGIN)) == 1


def test_an_error_number_may_come_as_text(gateway, wechat):
    wechat.fault(LOGIN, body='{"errcode":"40029","errmsg":"invalid code"}')
    with pytest.raises(WeChatUserActionNeeded) as refused:
        gateway.code_to_session(wechat.login_code())
    assert (refused.value.errcode, refused.value.rid) == (40029, None)


@pytest.mark.parametrize(
    ("errcode", "kind", "refusal"),
    [
        (40013, WeChatMisconfigured, WeChatNotConfigured),
        (40125, WeChatMisconfigured, WeChatNotConfigured),
        (40164, WeChatMisconfigured, WeChatNotConfigured),
        (41008, WeChatRequestBug, WeChatNotConfigured),
        (99999, WeChatRequestBug, WeChatNotConfigured),
        (45009, WeChatRateLimited, WeChatUnavailable),
        (45011, WeChatRateLimited, WeChatUnavailable),
    ],
)
def test_an_error_number_has_one_meaning_and_is_not_asked_again(gateway, wechat, errcode, kind, refusal):
    wechat.fault(LOGIN, errcode=errcode)
    with pytest.raises(kind) as refused:
        gateway.code_to_session(wechat.login_code())
    assert type(refused.value) is kind
    assert type(refusal_for(refused.value)) is refusal
    assert len(wechat.requests(LOGIN)) == 1


def test_a_wrong_secret_is_a_matter_for_the_operator(workers, wechat):
    with pytest.raises(WeChatMisconfigured) as refused:
        workers.new(secret="f" * 32).code_to_session(wechat.login_code())
    assert refused.value.errcode == 40125


@pytest.mark.parametrize("missing", [{"appid": ""}, {"secret": ""}])
def test_without_credentials_nothing_is_sent(workers, wechat, missing):
    gateway = workers.new(**missing)
    for call in (lambda: gateway.code_to_session("x"), lambda: gateway.phone_number("x", "o"), gateway.check):
        with pytest.raises(WeChatMisconfigured):
            call()
    assert wechat.requests() == []


def test_no_connection_is_tried_three_times_as_the_code_is_unused(workers):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        gateway = workers.new(base_url=f"http://127.0.0.1:{closed.getsockname()[1]}")
        with pytest.raises(WeChatTransport) as failed:
            gateway.code_to_session("x")
    assert failed.value.is_unsent
    assert len(workers.naps) == 2


@pytest.mark.parametrize(("costs", "tries", "naps"), [(8.9, 3, 2), (9.9, 2, 1), (20.0, 1, 0)])
def test_a_call_has_twenty_seconds_whatever_it_consists_of(workers, costs, tries, naps):
    now, timeouts, slept = [0.0], [], []

    def connect(request: httpx.Request) -> httpx.Response:
        timeouts.append(request.extensions["timeout"])
        now[0] += costs
        raise httpx.ConnectTimeout("slow", request=request)

    def nap(seconds: float) -> None:
        slept.append(seconds)
        now[0] += seconds

    client = httpx.Client(transport=httpx.MockTransport(connect))
    gateway = workers.new(make_client=lambda: client, sleep=nap, monotonic=lambda: now[0])
    with pytest.raises(WeChatTransport):
        gateway.code_to_session("x")
    assert (timeouts[0]["connect"], timeouts[0]["read"]) == (3.0, 8.0)
    assert (len(timeouts), len(slept)) == (tries, naps)
    if tries == 3:
        assert 0 < timeouts[2]["connect"] == timeouts[2]["read"] < 20 - 2 * costs


def test_a_dripping_answer_ends_in_time(workers):
    now = [0.0]

    class Drip(httpx.SyncByteStream):
        def __iter__(self):
            while True:
                now[0] += 2
                yield b" "

    transport = httpx.MockTransport(lambda _: httpx.Response(200, stream=Drip()))
    gateway = workers.new(make_client=lambda: httpx.Client(transport=transport), monotonic=lambda: now[0])
    with pytest.raises(WeChatTransport, match="no answer in time"):
        gateway.code_to_session("x")
    assert now[0] <= 14


def test_a_limit_of_one_user_does_not_shut_out_the_others(gateway, wechat):
    for _ in range(100):
        gateway.code_to_session(wechat.login_code("eager"))
    with pytest.raises(WeChatRateLimited) as limited:
        gateway.code_to_session(wechat.login_code("eager"))
    assert limited.value.errcode == 45011
    assert gateway.code_to_session(wechat.login_code("patient")).openid == wechat.openid("patient")


def test_a_limit_of_all_closes_the_way_for_a_moment(workers, wechat):
    now = [0.0]
    gateway = workers.new(monotonic=lambda: now[0])
    wechat.fault(LOGIN, errcode=45009)
    code = wechat.login_code()
    for _ in range(3):
        with pytest.raises(WeChatRateLimited) as limited:
            gateway.code_to_session(code)
        assert refusal_for(limited.value).retry_after == 3600
    assert len(wechat.requests(LOGIN)) == 1
    now[0] = 11
    assert gateway.code_to_session(code).openid


def test_requests_go_only_to_the_address_set_whatever_the_environment_says(workers, wechat, monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    assert workers.new().code_to_session(wechat.login_code()).openid


def test_a_forked_process_gets_connections_of_its_own(workers, wechat, monkeypatch):
    made = []

    def make_client() -> httpx.Client:
        made.append(gateway_module.new_client())
        return made[-1]

    gateway = workers.new(make_client=make_client)
    assert made == []
    for pid in (1, 1, 2):
        monkeypatch.setattr(gateway_module.os, "getpid", lambda pid=pid: pid)
        gateway.code_to_session(wechat.login_code())
    assert len(made) == 2
    for client in made:
        client.close()


def test_errors_say_what_operators_need_and_no_more():
    error = WeChatError(40029, "6166f719-6cb5d09c-633ab469", LOGIN)
    assert str(error) == "/sns/jscode2session: errcode 40029, rid 6166f719-6cb5d09c-633ab469"
    assert SECRET not in repr(vars(WeChatGateway(base_url="http://x", appid=APPID, secret="", tokens=None)))
