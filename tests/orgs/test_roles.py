"""Granting roles from the command line's service, and reading one's own."""

from __future__ import annotations

from datetime import timedelta

import pytest
from counting import count_statements
from sqlalchemy import func, select

from engage.core import clock, ids
from engage.core.errors import InvalidInput
from engage.identity.errors import AccountClosed, AccountSuspended, NoSuchPerson
from engage.identity.models import PersonStatus
from engage.orgs import service
from engage.orgs.errors import GrantEndsEarly, NoSuchGrantPlace, OrgNotActive, RoleAlreadyHeld, RoleNotHere
from engage.orgs.models import OrgStatus, Role, RoleGrant


@pytest.fixture
def grant(database, frozen):
    def give(person, role, reason="换届", **values):
        with database.transaction() as session:
            return service.grant_role(session, clock.now(), person.id, role, reason=reason, **values)

    return give


@pytest.fixture
def granted(database):
    def count():
        with database.reading() as connection:
            return connection.scalar(select(func.count()).select_from(RoleGrant))

    return count


def test_a_granted_role_works_at_once_and_is_seen(grant, make, as_user):
    person, org = make.person(), make.org(name="共青团陵川县委员会")
    hub = make.hub(org, name="崇文镇青年之家")
    given = grant(person, Role.OFFICER, org_id=org.id, ends_at=clock.now() + timedelta(days=365))
    grant(person, Role.HUB_MANAGER, hub_id=hub.id, granted_by=make.person().id)
    assert given.starts_at == clock.now()
    items = as_user(person.id).get("/v1/me/roles").json["items"]
    assert items == [
        {
            "role": "officer",
            "org": {"id": str(org.id), "name": "共青团陵川县委员会"},
            "hub": None,
            "starts_at": "2026-10-01T10:00:00+08:00",
            "ends_at": "2027-10-01T10:00:00+08:00",
        },
        {
            "role": "hub_manager",
            "org": None,
            "hub": {"id": str(hub.id), "name": "崇文镇青年之家"},
            "starts_at": "2026-10-01T10:00:00+08:00",
            "ends_at": None,
        },
    ]


def test_only_roles_in_force_are_seen(make, as_user, frozen):
    person, org, now = make.person(), make.org(), clock.now()
    make.grant(person, Role.ANALYST, org=org, ends_at=now)
    make.grant(person, Role.OFFICER, org=org, starts_at=now + timedelta(seconds=1))
    make.grant(make.person(), Role.OFFICER, org=org)
    assert as_user(person.id).get("/v1/me/roles").json == {"items": []}


def test_only_somebody_logged_in_has_roles(client):
    answer = client.get("/v1/me/roles")
    assert (answer.status_code, answer.json["code"]) == (401, "not_logged_in")


def test_reading_roles_takes_one_statement_beside_the_caller(make, as_user, app):
    person = make.person()
    for _ in range(4):
        make.grant(person, Role.OFFICER, org=make.org())
    client = as_user(person.id)
    with count_statements(app) as sent:
        assert len(client.get("/v1/me/roles").json["items"]) == 4
    assert len(sent) == 2


def test_roles_go_where_they_belong(grant, make, granted):
    person, org = make.person(), make.org()
    hub = make.hub(org)
    for role, values in [
        (Role.HUB_MANAGER, {"org_id": org.id}),
        (Role.OFFICER, {"hub_id": hub.id}),
        (Role.OFFICER, {}),
        (Role.HUB_MANAGER, {}),
        (Role.OFFICER, {"org_id": org.id, "hub_id": hub.id}),
        (Role.HUB_MANAGER, {"org_id": org.id, "hub_id": hub.id}),
    ]:
        with pytest.raises(RoleNotHere):
            grant(person, role, **values)
    assert granted() == 0


def test_what_cannot_be_granted_is_refused(grant, make, granted):
    person, org, nobody = make.person(), make.org(), ids.new_id()
    closed = make.org(status=OrgStatus.DISSOLVED)
    here = {"org_id": org.id}
    for refusal, who, role, values in [
        (NoSuchGrantPlace, person, Role.OFFICER, {"org_id": nobody}),
        (NoSuchGrantPlace, person, Role.HUB_MANAGER, {"hub_id": nobody}),
        (OrgNotActive, person, Role.OFFICER, {"org_id": closed.id}),
        (GrantEndsEarly, person, Role.OFFICER, {**here, "ends_at": clock.now()}),
        (InvalidInput, person, Role.OFFICER, {**here, "reason": " "}),
        (InvalidInput, person, Role.OFFICER, {**here, "reason": "因" * 201}),
        (AccountSuspended, make.person(status=PersonStatus.SUSPENDED), Role.OFFICER, here),
        (AccountClosed, make.person(status=PersonStatus.CLOSED), Role.OFFICER, here),
    ]:
        with pytest.raises(refusal):
            grant(who, role, **values)
    person.id = nobody
    with pytest.raises(NoSuchPerson):
        grant(person, Role.OFFICER, **here)
    assert granted() == 0


def test_a_role_is_not_given_twice_but_again_after_its_end(grant, make, granted, frozen):
    person, org = make.person(), make.org()
    hub = make.hub(org)
    end = clock.now() + timedelta(days=1)
    grant(person, Role.OFFICER, org_id=org.id, ends_at=end)
    grant(person, Role.ANALYST, org_id=org.id)
    grant(person, Role.OFFICER, org_id=make.org().id)
    grant(person, Role.HUB_MANAGER, hub_id=hub.id)
    for role, values in [(Role.OFFICER, {"org_id": org.id}), (Role.HUB_MANAGER, {"hub_id": hub.id})]:
        with pytest.raises(RoleAlreadyHeld):
            grant(person, role, **values)
    frozen.set(end)
    grant(person, Role.OFFICER, org_id=org.id)
    assert granted() == 5
