"""Rate limits: by whom requests are counted, what clients are told, and what happens where a count cannot be shared."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import timedelta

import fakeredis
import pytest
import redis
from contract import described, document
from limits import parse
from limits.errors import StorageError
from limits.storage import RedisStorage
from limits.util import MissingModule
from sqlalchemy import func, select

from engage.api_keys.models import Scope
from engage.core import clock, ids
from engage.core.audit import AuditEntry
from engage.core.config import Settings, SettingsError
from engage.core.limits import REFUSAL_WEIGHT, Limiter, Memory, subject_of
from engage.identity import caller
from engage.identity.tokens.api_keys import new_key
from engage.orgs.models import Role

PUBLIC = "/v1/hub-kinds"
FIGURES = "/v1/statistics/participation?from=2026-09-01&to=2026-10-01&by=county"


@pytest.fixture
def limit(app, monkeypatch):
    """Return a function that sets limits as ``person="5/minute"``; the others are off. It returns what counts."""

    def limit(**rates):
        off = dict.fromkeys(("limit_person", "limit_key", "limit_address"))
        settings = Settings(**off | {f"limit_{name}": parse(rate) for name, rate in rates.items()})
        limiter = Limiter(settings, caller.shown)
        monkeypatch.setitem(app.extensions, "engage.limiter", limiter)
        return limiter

    return limit


@pytest.fixture
def ask(app):
    """Return a function that asks from an address, with a token or key or with nothing."""

    def ask(address="203.0.113.7", token=None, url=PUBLIC, **request):
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        client = app.test_client()
        return client.open(url, environ_overrides={"REMOTE_ADDR": address}, headers=headers, **request)

    return ask


def told(answer):
    """Return the policy, what is left, and in how many seconds there is more."""
    left, reset = answer.headers["RateLimit"].split(";")[1:]
    return (
        answer.headers["RateLimit-Policy"],
        int(left.removeprefix("r=")),
        int(reset.removeprefix("t=")),
    )


def test_each_answer_says_what_is_left_and_one_too_many_is_refused_until_the_window_is_over(
    limit, as_user, make, frozen
):
    limit(person="3/minute")
    client = as_user(make.person().id)
    policy, left, reset = told(client.get("/v1/me"))
    assert (policy, left) == ('"person";q=3;w=60', 2)
    assert 1 <= reset <= 60
    frozen.move(seconds=reset - 1)
    assert told(client.get("/v1/me/sessions")) == (policy, 1, 1)
    assert told(client.get("/v1/activities/0199f0c2-b7a0-7c3f-9f5d-2f7a1c3e5b7d")) == (policy, 0, 1)
    refused = client.get("/v1/me", headers={"Accept-Language": "zh"})
    assert (refused.status_code, refused.mimetype) == (429, "application/problem+json")
    assert refused.json["code"] == "rate_limited"
    assert refused.json["detail"] == "请求过于频繁，请 1 秒后再试。"
    assert refused.json["title"] == "请求过于频繁"
    assert refused.headers["Retry-After"] == "1"
    assert refused.headers["Cache-Control"] == "no-store"
    assert told(refused) == (policy, 0, 1)
    english = client.get("/v1/me", headers={"Accept-Language": "en"})
    assert english.json["detail"] == "Too many requests; try again in 1 seconds."
    frozen.move(seconds=1)
    assert told(client.get("/v1/me")) == (policy, 2, 60)


def test_three_thousand_phones_behind_one_address_are_counted_each_by_itself(limit, ask, make, frozen):
    limit(person="3/minute", address="2/minute")
    tokens = [make.access_token(make.person().id) for _ in range(4)]
    for token in tokens:
        for url in ("/v1/me", "/v1/activities", PUBLIC):  # also where no token is asked for
            answer = ask(token=token, url=url)
            assert answer.status_code == 200
            assert told(answer)[0] == '"person";q=3;w=60'
        assert ask(token=token, url="/v1/me").status_code == 429
    assert [told(ask())[:2] for _ in range(2)] == [('"address";q=2;w=60', 1), ('"address";q=2;w=60', 0)]
    assert ask().status_code == 429
    assert ask(address="203.0.113.8").status_code == 200
    late = make.access_token(make.person().id)
    assert ask(token=late, url="/v1/me").status_code == 200  # whatever became of the address


def test_who_shows_what_is_not_good_counts_by_address(limit, ask, make, frozen):
    limit(person="100/minute", address="4/minute")
    good = make.access_token(make.person().id)
    for token in (None, "x", good[:-4] + "AAAA", "engage_nonsense"):
        assert ask(token=token, url="/v1/me").status_code in (401, 403)
    for token in (None, "x"):
        assert ask(token=token, url="/v1/me").json["code"] == "rate_limited"
    assert ask(token=good, url="/v1/me").status_code == 200


def test_a_key_counts_for_itself_and_one_that_is_none_takes_nothing_from_it(limit, ask, make, frozen):
    limit(key="2/minute")
    officer = make.staff(Role.OFFICER, org=make.org(name="晋城市团委", division_code="140500"))
    one, two = new_key(), new_key()
    for made in (one, two):
        make.api_key(officer, made, scopes=[Scope.READ_FIGURES.value])
    other = new_key(one.public_id).text  # the same beginning, another secret
    for _ in range(3):
        ask(token=other, url=FIGURES)
    assert [ask(token=one.text, url=FIGURES).status_code for _ in range(3)] == [200, 200, 429]
    assert told(ask(token=two.text, url=FIGURES))[:2] == ('"key";q=2;w=60', 1)


def test_keys_that_are_nobodys_count_for_the_address_however_many_there_are(limit, ask, make, frozen):
    limit(key="100/minute", address="4/minute")
    officer = make.staff(Role.OFFICER, org=make.org(name="晋城市团委", division_code="140500"))
    good, ended = new_key(), new_key()
    make.api_key(officer, good)
    make.api_key(officer, ended, created_at=clock.now() - timedelta(days=9), expires_at=clock.now())
    for left in (3, 2, 1):
        answer = ask(token=new_key().text, url=FIGURES)
        assert answer.status_code == 401
        assert answer.headers["RateLimit"].startswith(f'"address";r={left};')
    assert ask(token=new_key(ended.public_id).text, url=FIGURES).json["code"] == "api_key_invalid"
    for made_up in (new_key().text, new_key(good.public_id).text, new_key(ended.public_id).text):
        refused = ask(token=made_up, url=FIGURES)
        assert (refused.status_code, refused.json["code"]) == (429, "rate_limited")
    assert ask(token=new_key().text, url=FIGURES, address="203.0.113.8").status_code == 401
    assert told(ask(token=good.text, url=FIGURES))[:2] == ('"key";q=100;w=60', 99)


def test_a_key_that_is_somebodys_and_refused_counts_for_itself_and_cannot_fill_the_log(
    limit, ask, make, database, frozen
):
    limit(key="20/minute", address="1/minute")
    officer = make.staff(Role.OFFICER, org=make.org(name="晋城市团委", division_code="140500"))
    over, revoked = new_key(), new_key()
    make.api_key(officer, over, created_at=clock.now() - timedelta(days=9), expires_at=clock.now())
    make.api_key(officer, revoked, revoked_at=clock.now())
    for made in (over, revoked):
        first, *others = [ask(token=made.text, url=FIGURES) for _ in range(6)]
        assert (first.status_code, first.headers["RateLimit"][:10]) == (401, '"key";r=10')
        assert [answer.status_code for answer in others] == [401, 429, 429, 429, 429]
    with database.reading() as connection:
        assert connection.scalar(select(func.count()).where(AuditEntry.actor_id == officer.id)) == 4


def test_an_address_of_ipv6_is_its_network(limit, ask):
    limit(address="1/minute")
    assert ask(address="2001:db8:1:2::1").status_code == 200
    assert ask(address="2001:db8:1:2:ffff::9").status_code == 429
    assert ask(address="2001:db8:1:3::1").status_code == 200
    assert subject_of("::ffff:203.0.113.7") == "203.0.113.7"
    assert [subject_of(none) for none in (None, "", "unix:")] == [None] * 3


def test_a_refused_attempt_of_staff_weighs_as_much_as_its_entry_is_for_good(
    limit, as_user, make, database, frozen
):
    limit(person=f"{REFUSAL_WEIGHT * 2}/minute")
    person = make.person()
    client = as_user(person.id)
    codes = [client.get("/v1/role-grants").json["code"] for _ in range(5)]
    assert codes == ["not_allowed", "not_allowed", *["rate_limited"] * 3]
    with database.reading() as connection:
        entries = select(func.count()).where(AuditEntry.actor_id == person.id)
        assert connection.scalar(entries) == 2


def test_reaching_for_what_is_another_s_weighs_as_much_and_ones_own_refusals_do_not(
    limit, as_user, make, frozen
):
    limit(person=f"{REFUSAL_WEIGHT * 2}/minute")
    client = as_user(make.person().id)
    codes = [client.get(f"/v1/enclave-applications/{ids.new_id()}").json["code"] for _ in range(3)]
    assert codes == [*["no_such_enclave_application"] * 2, "rate_limited"]
    client = as_user(make.person().id)
    codes = [client.get(f"/v1/activities/{ids.new_id()}/sign-up").json["code"] for _ in range(REFUSAL_WEIGHT)]
    assert set(codes) == {"no_such_activity"}


def test_limits_can_be_off(limit, ask, make):
    limit()
    for token in (None, make.access_token(make.person().id)):
        answer = ask(token=token)
        assert answer.status_code == 200
        assert "RateLimit" not in answer.headers


def test_what_is_kept_in_memory_is_bounded_and_needs_no_thread(frozen):
    threads = threading.active_count()
    memory = Memory(most=100)
    assert memory.add("first", 1, 1) == 1
    for number in range(10_000):
        memory.add(f"address/{number}", 1, 1)
        assert len(memory) <= 100
        if number % 20 == 0:
            memory.add("first", 1, 1)
    assert memory.add("first", 1, 1) == 502  # who goes on is remembered
    assert memory.add("first", 2, 1) == 1
    assert memory.add("address/1", 1, 1) == 1
    assert threading.active_count() == threads


def test_workers_share_their_counts_in_redis(limit, ask, frozen):
    server = fakeredis.FakeServer()
    url = "redis://shared"

    def shared():
        pool = redis.ConnectionPool(connection_class=fakeredis.FakeRedisConnection, server=server)
        return RedisStorage(url, connection_pool=pool, wrap_exceptions=True)

    for left in (3, 2, 1, 0):
        limiter = limit(address="4/minute")  # another worker each time
        limiter.shared = shared()
        assert told(ask())[1] == left
    assert ask().status_code == 429
    kept = fakeredis.FakeStrictRedis(server=server)
    (name,) = kept.keys()
    assert 0 < kept.ttl(name) <= 60


def test_without_redis_each_worker_counts_by_itself_and_asks_again_later(limit, ask, frozen, monkeypatch):
    class Away:
        asked = 0

        def incr(self, key, expiry, amount=1):
            self.asked += 1
            raise StorageError(ConnectionError())

    limiter = limit(address="2/minute")
    limiter.shared = away = Away()
    assert [ask().status_code for _ in range(3)] == [200, 200, 429]
    assert away.asked == 1  # it is not waited for by each request
    limiter._shared_from = 0.0
    assert ask().status_code == 429
    assert away.asked == 2
    nobody_listens = Limiter(replace(Settings(), redis_url="redis://127.0.0.1:1/0"), caller.shown)
    with pytest.raises(StorageError):
        nobody_listens.shared.incr("x", 60)


def test_without_its_package_redis_cannot_be_set(monkeypatch):
    monkeypatch.setattr("limits.util.get_dependency", lambda _name: (MissingModule, None))
    with pytest.raises(SettingsError, match="engage\\[redis\\]"):
        Limiter(replace(Settings(), redis_url="redis://127.0.0.1:1/0"), caller.shown)


def test_every_operation_documents_its_limit(subtests):
    for path in document()["paths"].values():
        for operation in path.values():
            with subtests.test(operation["operationId"]):
                refused = described(operation["responses"]["429"])
                assert "`rate_limited`" in refused["description"]
                assert set(refused["headers"]) == {"RateLimit", "RateLimit-Policy", "Retry-After"}
                success = next(answer for code, answer in operation["responses"].items() if code < "300")
                assert set(success["headers"]) == {"RateLimit", "RateLimit-Policy"}
    assert set(document()["components"]["headers"]) == {"RateLimit", "RateLimit-Policy", "Retry-After"}
