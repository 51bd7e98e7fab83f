"""One access token for all workers."""

from __future__ import annotations

import threading
from datetime import timedelta

import httpx
import pytest
from fakes import APPID, SECRET
from sqlalchemy import update

from engage.core import clock
from engage.wechat.errors import (
    WeChatBusy,
    WeChatMisconfigured,
    WeChatRateLimited,
    WeChatTokenRejected,
    refusal_for,
)
from engage.wechat.models import WeChatToken
from engage.wechat.tokens import DatabaseTokenStore, FetchedToken

PHONE = "/wxa/business/getuserphonenumber"
TOKEN = "/cgi-bin/stable_token"
TWO_HOURS = timedelta(seconds=7200)


class Source:
    """What a store fetches from: counts, and gives a new token only when forced."""

    def __init__(self, life: timedelta = TWO_HOURS) -> None:
        self.calls: list[bool] = []
        self.life = life
        self.number = 1

    def __call__(self, *, force: bool) -> FetchedToken:
        self.calls.append(force)
        self.number += force
        return FetchedToken(f"token-{self.number}", self.life)


def phone(gateway, wechat) -> str:
    return gateway.phone_number(wechat.phone_code(), wechat.openid("youth"))


@pytest.fixture
def store(database) -> DatabaseTokenStore:
    return DatabaseTokenStore(database, sleep=lambda _: None)


def test_two_workers_that_start_cold_fetch_once_and_both_work(workers, wechat):
    wechat.fault(TOKEN, latencyMs=300, times=None)
    gateways = [workers.new(), workers.new(), workers.new()]
    ready = threading.Barrier(len(gateways))
    numbers = []

    def work(gateway) -> None:
        ready.wait()
        numbers.append(phone(gateway, wechat))

    threads = [threading.Thread(target=work, args=(gateway,)) for gateway in gateways]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(numbers) == 3
    assert len(wechat.requests(TOKEN)) == 1


def test_a_token_is_kept_over_calls_and_workers(workers, wechat):
    for gateway in (workers.new(), workers.new()):
        phone(gateway, wechat)
        phone(gateway, wechat)
    assert len(wechat.requests(TOKEN)) == 1


def test_a_token_at_its_end_is_renewed_without_a_refusal(gateway, wechat, frozen):
    phone(gateway, wechat)
    frozen.move(seconds=7200 - 201)
    phone(gateway, wechat)
    assert len(wechat.requests(TOKEN)) == 1
    frozen.move(seconds=2)
    phone(gateway, wechat)
    assert len(wechat.requests(TOKEN)) == 2
    assert [entry["answer"]["errcode"] for entry in wechat.requests(PHONE)] == [0, 0, 0]


def test_a_token_that_wechat_calls_expired_is_renewed_within_the_call(gateway, wechat):
    phone(gateway, wechat)
    wechat.advance(7200)
    assert phone(gateway, wechat).startswith("+86")
    assert [entry["answer"]["errcode"] for entry in wechat.requests(PHONE)] == [0, 42001, 0]
    assert len(wechat.requests(TOKEN)) == 2


def test_classic_tokens_fetched_by_others_do_not_disturb(gateway, wechat):
    phone(gateway, wechat)
    query = {"grant_type": "client_credential", "appid": APPID, "secret": SECRET}
    for _ in range(3):
        httpx.get(f"{wechat.base_url}/cgi-bin/token", params=query, trust_env=False).raise_for_status()
    phone(gateway, wechat)
    assert len(wechat.requests(TOKEN)) == 1
    assert len(wechat.requests(PHONE)) == 2


def test_a_forced_refresh_by_others_is_followed(gateway, wechat):
    phone(gateway, wechat)
    body = {"grant_type": "client_credential", "appid": APPID, "secret": SECRET, "force_refresh": True}
    httpx.post(f"{wechat.base_url}{TOKEN}", json=body, trust_env=False).raise_for_status()
    assert phone(gateway, wechat).startswith("+86")
    forced = [entry["body"]["force_refresh"] for entry in wechat.requests(TOKEN)]
    assert forced == [False, True, False]


@pytest.mark.parametrize("errcode", [40001, 40014, 42001])
def test_a_storm_of_refused_tokens_ends_after_two_requests(gateway, wechat, errcode):
    wechat.fault(PHONE, errcode=errcode, times=None)
    with pytest.raises(WeChatTokenRejected) as refused:
        phone(gateway, wechat)
    assert len(wechat.requests(PHONE)) == 2
    assert refusal_for(refused.value).code == "wechat_unavailable"
    assert [entry["body"]["force_refresh"] for entry in wechat.requests(TOKEN)] == [False, False, True]


def test_a_lasting_storm_does_not_use_up_the_forced_refreshes(workers, wechat):
    wechat.fault(PHONE, errcode=40001, times=None)
    for gateway in (workers.new(), workers.new(), workers.new()):
        with pytest.raises(WeChatTokenRejected):
            phone(gateway, wechat)
    assert len(wechat.requests(PHONE)) == 6
    assert [entry["body"]["force_refresh"] for entry in wechat.requests(TOKEN)].count(True) == 1


def test_a_wrong_secret_is_a_matter_for_the_operator_and_does_not_hold_up_the_next(workers, wechat):
    for secret, errcode in (("f" * 32, 40125), ("e" * 32, 40125)):
        with pytest.raises(WeChatMisconfigured) as refused:
            phone(workers.new(secret=secret), wechat)
        assert refused.value.errcode == errcode
    assert phone(workers.new(), wechat).startswith("+86")


def test_40001_from_the_token_operation_is_about_the_secret(gateway, wechat):
    wechat.fault(TOKEN, errcode=40001)
    with pytest.raises(WeChatMisconfigured):
        phone(gateway, wechat)
    assert len(wechat.requests(TOKEN)) == 1


def test_a_limit_on_tokens_closes_the_way_for_a_moment(gateway, wechat):
    wechat.fault(TOKEN, errcode=45011)
    for _ in range(2):
        with pytest.raises(WeChatRateLimited):
            phone(gateway, wechat)
    assert len(wechat.requests(TOKEN)) == 1


@pytest.mark.parametrize(
    "body",
    [
        '{"access_token":"t"}',
        '{"access_token":"","expires_in":7200}',
        '{"access_token":"t","expires_in":0}',
        '{"expires_in":7200}',
    ],
)
def test_an_answer_without_a_usable_token_is_not_kept(gateway, wechat, body):
    wechat.fault(TOKEN, body=body)
    with pytest.raises(Exception, match=TOKEN):
        phone(gateway, wechat)
    assert phone(gateway, wechat).startswith("+86")


def test_doctor_learns_that_wechat_is_reachable_and_disturbs_nobody(workers, wechat):
    working = workers.new()
    phone(working, wechat)
    workers.new().check()
    phone(working, wechat)
    assert [entry["body"]["force_refresh"] for entry in wechat.requests(TOKEN)] == [False, False]
    with pytest.raises(WeChatMisconfigured):
        workers.new(secret="f" * 32).check()
    wechat.fault(TOKEN, errcode=-1, times=3)
    with pytest.raises(WeChatBusy):
        workers.new().check()


# The store by itself


def test_the_kept_token_is_sealed(store, database):
    assert store.get(Source()) == "token-1"
    with database.transaction() as session:
        row = session.get_one(WeChatToken, APPID)
        assert b"token-1" not in row.token_sealed
        assert row.claimed_until is None


def test_a_token_that_cannot_be_opened_is_fetched_again(store, database):
    source = Source()
    store.get(source)
    with database.transaction() as session:
        session.execute(update(WeChatToken).values(token_sealed=b"\x09broken"))
    assert store.get(source) == "token-1"
    assert source.calls == [False, False]


def test_the_others_use_the_old_token_while_one_renews(store, frozen):
    store.get(Source())
    frozen.move(seconds=7200 - 100)
    unused = Source()

    def fetch(*, force: bool) -> FetchedToken:
        assert store.get(unused) == "token-1"  # another worker, meanwhile
        return FetchedToken("renewed", TWO_HOURS)

    assert store.get(fetch) == "renewed"
    assert store.get(unused) == "renewed"
    assert unused.calls == []


def test_a_refused_token_is_not_given_to_anybody_while_one_renews(database):
    source = Source()
    seen = []

    def fetch(*, force: bool) -> FetchedToken:
        waiting.get(source)
        return FetchedToken("renewed", TWO_HOURS)

    waiting = DatabaseTokenStore(database, sleep=seen.append)
    waiting.get(source)
    assert waiting.replace_if("token-1", fetch) == "renewed"
    assert len(seen) > 10  # the other one waited, then fetched by itself
    assert source.calls == [False, False]


def test_a_token_that_another_worker_replaced_is_taken_over_without_a_fetch(store):
    source = Source()
    store.get(source)
    assert store.replace_if("an older one", source) == "token-1"
    assert source.calls == [False]


def test_a_claim_of_a_worker_that_died_runs_out(database, store, frozen):
    with database.transaction() as session:
        session.add(WeChatToken(appid=APPID, claimed_until=clock.now() + timedelta(seconds=12)))
    frozen.move(seconds=13)
    naps = []
    assert DatabaseTokenStore(database, sleep=naps.append).get(Source()) == "token-1"
    assert naps == []


def test_a_failed_fetch_gives_the_claim_back(store):
    def fail(*, force: bool) -> FetchedToken:
        raise WeChatBusy(-1, None, TOKEN)

    with pytest.raises(WeChatBusy):
        store.get(fail)
    naps = []
    store._sleep = naps.append
    assert store.get(Source()) == "token-1"
    assert naps == []


def test_force_is_used_only_for_a_token_that_comes_back_and_rarely(store, frozen):
    source = Source()
    token = store.get(source)
    assert store.replace_if(token, source) == "token-2"
    assert source.calls == [False, False, True]
    frozen.move(minutes=74)
    assert store.replace_if("token-2", source) == "token-2"
    frozen.move(minutes=2)
    assert store.replace_if("token-2", source) == "token-3"
    assert source.calls.count(True) == 2
