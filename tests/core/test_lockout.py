"""Lock-out: who fails too often at a gate is locked out of it, over all workers, for a while, and has ways back."""

from __future__ import annotations

from contextvars import copy_context
from datetime import timedelta
from functools import partial
from types import SimpleNamespace

import pytest
from contract import ContractClient
from identity.conftest import ScriptedGateway
from limits import parse
from limits.errors import StorageError
from racing import at_once
from sqlalchemy import func, insert, select

from engage.app import APIS, create_app
from engage.core import clock, lockout, openapi
from engage.core.audit import AuditEntry
from engage.core.errors import DatabaseBusy, RateLimited
from engage.core.lockout import By, FailedAttempts, Gate, guarded
from engage.core.logging import Trace, current
from engage.identity.models import WeChatAccount
from engage.identity.tokens.api_keys import new_key
from engage.orgs.models import Role
from engage.wechat.errors import WeChatBusy

OPERATIONS = [operation for api in APIS for operation in api.operations]
OPENID = "oGZUI0egBJY1zhBYw2KhdUfwVJJE"
PROFILE = {
    "name": "李晓燕",
    "gender": "female",
    "birth_on": "2006-03-05",
    "hometown_code": "140524",
    "current_code": "140100",
}
GATES = {
    "log_in", "refresh", "api_key", "certificate", "invitation", "phone_code", "wechat_proof", "login_ticket", "page_log_in",
}  # fmt: skip
NO_TICKET = "01890a5d-ac96-774b-bcce-b302099a8057"


@pytest.fixture
def gateway(app, database, monkeypatch):
    scripted = ScriptedGateway(database)
    monkeypatch.setitem(app.extensions, "engage.wechat", scripted)
    return scripted


@pytest.fixture
def strict(database, monkeypatch):
    """Three failures in ten minutes at every gate."""
    rates = {f"limit_{name}": parse("3/10 minutes") for name in GATES}
    monkeypatch.setattr(database, "settings", database.settings.replace(**rates))


@pytest.fixture
def desk(app, make, as_user, settings, database, gateway, frozen, strict):
    """Somebody who has logged in, and a function for each gate that tries something there, right or wrong."""
    person = make.staff(Role.OFFICER, org=make.org(name="晋城市团委", division_code="140500"))
    with database.transaction() as session:
        account = {"appid": settings.wechat_appid, "openid": OPENID, "linked_at": clock.now()}
        session.execute(insert(WeChatAccount).values(person_id=person.id, **account))
    key = new_key()
    make.api_key(person, key)

    def send(method, url, address="203.0.113.7", token=None, **request):
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        client = app.test_client()
        return client.open(
            url, method=method, environ_overrides={"REMOTE_ADDR": address}, headers=headers, **request
        )

    def log_in(code="wrong", **request):
        return send("POST", "/v1/auth/wechat/login", json={"code": code}, **request)

    def refresh(token="wrong-" * 8, **request):
        return send("POST", "/v1/auth/refresh", json={"refresh_token": token}, **request)

    def figures(token=None, **request):
        url = "/v1/statistics/participation?from=2026-09-01&to=2026-10-01&by=county"
        return send("GET", url, token=token or new_key(key.public_id).text, **request)

    def certificate(code="K7QF-2M4X-AB3D-EFGH-JKLM-NPQR", **request):
        return send("GET", f"/v1/certificates/{code}", **request)

    def invitation(who=person):
        return as_user(who.id).post("/v1/role-invitations/acceptance", json={"token": "x" * 43})

    def phone_code(code="wrong", who=person):
        return as_user(who.id).put("/v1/me", json={**PROFILE, "phone_code": code})

    def wechat_proof(code="wrong", who=person):
        return as_user(who.id).post("/v1/me/second-factor", json={"wechat_code": code})

    def page_log_in(**request):
        return send("POST", f"/v1/login-tickets/{NO_TICKET}/tokens", json={"secret": "x" * 43}, **request)

    tries = {
        "wechat_proof": (wechat_proof, 422, "wechat_proof_refused"),
        "page_log_in": (page_log_in, 404, "no_such_login_ticket"),
        "log_in": (log_in, 401, "wechat_code_refused"),
        "refresh": (refresh, 401, "refresh_token_invalid"),
        "api_key": (figures, 401, "api_key_invalid"),
        "certificate": (certificate, 404, "no_such_certificate"),
        "invitation": (invitation, 404, "no_such_invitation"),
        "phone_code": (phone_code, 422, "wechat_phone_code_refused"),
    }
    return SimpleNamespace(
        person=person, good_key=key.text, tries=tries, **{name: each[0] for name, each in tries.items()}
    )


def codes(attempt, times):
    return [attempt().json["code"] for _ in range(times)]


def rows(database):
    with database.reading() as connection:
        return connection.scalar(select(func.count()).select_from(FailedAttempts))


def test_the_gates_are_those_of_this_table():
    gates = {operation.gate.name: operation.gate for operation in OPERATIONS if operation.gate}
    assert gates.keys() == GATES
    for operation in OPERATIONS:
        documented = {refusal.code for refusal in openapi.refusals(operation)}
        assert ("locked_out" in documented) == (operation.gate is not None)
        assert operation.gate is None or {kind.code for kind in operation.gate.failures} <= documented
        # Whoever is not known cannot be counted by who they are.
        assert operation.gate is None or operation.gate.by is By.ADDRESS or operation.access.name == "member"


def test_at_every_gate_too_many_failures_lock_out_for_a_while(desk, frozen, subtests):
    for name, (attempt, status, code) in desk.tries.items():
        with subtests.test(name):
            shown = name.replace("_", "-")
            failed = [attempt() for _ in range(3)]
            assert [(answer.status_code, answer.json["code"]) for answer in failed] == [(status, code)] * 3
            assert f'"{shown}";q=3;w=600' in failed[0].headers["RateLimit-Policy"]
            assert f'"{shown}";r=2;t=600' in failed[0].headers["RateLimit"]
            refused = attempt()
            assert (refused.status_code, refused.json["code"]) == (429, "locked_out")
            assert refused.headers["Retry-After"] == "600"
            assert f'"{shown}";r=0;t=600' in refused.headers["RateLimit"]
            assert "600" in refused.json["detail"]
            frozen.move(seconds=599)
            assert attempt().headers["Retry-After"] == "1"
            frozen.move(seconds=1)
            assert attempt().json["code"] == code


def test_each_lock_is_longer_up_to_an_hour_and_a_quiet_day_makes_it_short_again(desk, frozen):
    waits = []
    for _ in range(5):
        assert codes(desk.invitation, 3) == ["no_such_invitation"] * 3
        waits.append(int(desk.invitation().headers["Retry-After"]))
        frozen.move(seconds=waits[-1])
    assert waits == [600, 1200, 2400, 3600, 3600]
    frozen.move(hours=24)
    codes(desk.invitation, 3)
    assert desk.invitation().headers["Retry-After"] == "600"


def test_failures_from_one_address_lock_out_no_other_and_nobody_who_has_the_right_thing(
    desk, gateway, frozen
):
    gateway.openids["right"] = gateway.openids["again"] = OPENID
    tokens = desk.log_in("right").json
    for attempt in (desk.log_in, desk.refresh, desk.api_key, desk.certificate):
        codes(attempt, 4)
        assert attempt(address="203.0.113.8").json["code"] != "locked_out"
    assert desk.refresh(tokens["refresh_token"]).status_code == 200
    assert desk.api_key(desk.good_key).status_code == 200
    # A log-in asks WeChat, which answers only so often: there it is everybody behind the address, and nobody is asked.
    asked = len(gateway.asked)
    assert desk.log_in("again").json["code"] == "locked_out"
    assert len(gateway.asked) == asked
    assert desk.log_in("again", address="203.0.113.9").status_code == 200


def test_a_person_is_locked_out_by_nobody_else_and_success_forgets(desk, make, gateway, frozen, database):
    other = make.person()
    for _ in range(4):
        desk.invitation(other)
    assert desk.invitation(other).json["code"] == "locked_out"
    assert desk.invitation().json["code"] == "no_such_invitation"
    assert rows(database) == 2
    gateway.phones = {("right", OPENID): "+8613800138000", ("busy", OPENID): WeChatBusy(-1, None, "/")}
    assert desk.phone_code("busy").status_code == 503  # nobody's fault
    assert desk.phone_code(None).status_code == 200  # nothing tried
    assert codes(desk.phone_code, 2) == ["wechat_phone_code_refused"] * 2
    assert desk.phone_code("right").status_code == 200
    # It was charged for, so it counts; but who has failed twice only is not locked out.
    refused = desk.phone_code("right")
    assert (refused.json["code"], refused.headers["Retry-After"]) == ("rate_limited", "600")


def test_who_succeeds_begins_anew(desk, make, database, as_user, frozen):
    officer, invited = as_user(desk.person.id), make.person()
    town = make.org(make.org(name="市"), name="镇")
    make.grant(desk.person, Role.OFFICER, org=town)
    body = {"role": "analyst", "reason": "新任", "org_id": str(town.id)}
    token = officer.post("/v1/role-invitations", json=body).json["token"]
    codes(lambda: desk.invitation(invited), 2)
    accepted = as_user(invited.id).post("/v1/role-invitations/acceptance", json={"token": token})
    assert accepted.status_code == 200
    assert rows(database) == 0
    assert codes(lambda: desk.invitation(invited), 3) == ["no_such_invitation"] * 3


def test_of_many_at_once_over_two_workers_exactly_the_limit_are_tried(desk, app, database, as_user, frozen):
    """By person, where what is tried could be guessed, and by address."""
    second = create_app(database.settings)
    second.test_client_class = ContractClient
    token = as_user(desk.person.id).environ_base["HTTP_AUTHORIZATION"]
    try:
        for url, body in (
            ("/v1/role-invitations/acceptance", {"token": "x" * 43}),
            ("/v1/auth/refresh", {"refresh_token": "wrong-" * 8}),
        ):
            clients = [worker.test_client() for worker in (app, second) * 5]
            calls = [
                partial(client.post, url, json=body, headers={"Authorization": token}) for client in clients
            ]
            answers = sorted(answer.status_code for answer in at_once(calls))
            assert answers[3:] == [429] * 7
            assert 429 not in answers[:3]
    finally:
        second.extensions["engage.database"].dispose()


def test_a_lock_is_one_entry_and_what_it_refuses_none(desk, database, frozen):
    def entries():
        found = select(AuditEntry.action, AuditEntry.result, AuditEntry.object_kind)
        with database.reading() as connection:
            mine = found.where(AuditEntry.actor_id == desk.person.id).order_by(AuditEntry.id)
            return [tuple(row) for row in connection.execute(mine)]

    codes(desk.invitation, 10)
    failures = [("accept_role_invitation", "no_such_invitation", "role-invitations")] * 3
    assert entries() == [*failures, ("lock_out", "locked_out", "invitation")]


def test_who_cannot_be_counted_does_not_get_to_try_and_redis_has_no_part_in_it(
    desk, app, database, gateway, frozen, monkeypatch
):
    class Away:
        def incr(self, *_):
            raise StorageError(ConnectionError())

    monkeypatch.setattr(app.extensions["engage.limiter"], "shared", Away())
    assert codes(desk.log_in, 4)[-1] == "locked_out"

    def busy():
        raise DatabaseBusy

    asked = len(gateway.asked)
    with monkeypatch.context() as away:
        away.setattr(database, "reading", busy)
        assert desk.log_in(address="203.0.113.8").status_code == 503
    monkeypatch.setattr("engage.core.lockout._Attempt._add", lambda *_: busy())
    assert desk.phone_code().status_code == 503
    assert len(gateway.asked) == asked


def test_what_costs_something_each_time_is_counted_each_time_from_an_address_too(database, frozen, strict):
    make = guarded(lambda *_: "made", Gate("certificate", By.ADDRESS, (), counts_success=True))

    def made(address):
        current.set(Trace("x", 0.0, address=address))
        return make(None, None, database, None, {})

    def ask(address):
        return copy_context().run(made, address)

    assert [ask("203.0.113.7") for _ in range(3)] == ["made"] * 3
    with pytest.raises(RateLimited):
        ask("203.0.113.7")
    assert ask("203.0.113.8") == "made"
    frozen.move(minutes=10)
    assert ask("203.0.113.7") == "made"


def test_gates_can_be_off(desk, database, monkeypatch):
    monkeypatch.setattr(database, "settings", database.settings.replace(limit_refresh=None))
    assert codes(desk.refresh, 5) == ["refresh_token_invalid"] * 5
    assert rows(database) == 0


def test_what_says_nothing_any_more_is_deleted(desk, database, frozen):
    desk.refresh()
    codes(desk.invitation, 3)

    def purge():
        with database.transaction() as session:
            return lockout.purge(session, clock.now())

    assert purge() == 0
    frozen.move(minutes=10)
    assert purge() == 1
    frozen.move(hours=24)
    assert purge() == 1
    assert rows(database) == 0
    assert timedelta(hours=24) == lockout.REMEMBERED


def test_codes_for_pages_are_bounded_whether_used_or_not(app, strict, frozen):
    def make_one(address):
        return app.test_client().post("/v1/login-tickets", environ_overrides={"REMOTE_ADDR": address})

    assert [make_one("203.0.113.7").status_code for _ in range(4)] == [201, 201, 201, 429]
    assert make_one("203.0.113.8").status_code == 201
    frozen.move(minutes=10)
    assert make_one("203.0.113.7").status_code == 201
