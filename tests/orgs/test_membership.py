"""The mirror of formal membership, over HTTP."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from engage.core import ids
from engage.identity.models import PersonStatus
from engage.orgs.models import Membership, OrgStatus, Role

MEMBER = {"status": "member", "external_ref": "TY-0356-00018"}


@pytest.fixture
def held(database):
    """Return what is recorded about a person."""

    def read(person):
        with database.reading() as connection:
            columns = (Membership.org_id, Membership.status, Membership.external_ref)
            row = connection.execute(select(*columns).where(Membership.person_id == person.id)).one_or_none()
        return row and (row.org_id, row.status.value, row.external_ref)

    return read


@pytest.fixture
def county(make, frozen):
    return make.org(make.org(name="市"), name="县")


def path(org, person):
    return f"/v1/orgs/{org.id}/members/{person.id}"


def test_an_officer_records_a_member(as_user, make, county, held):
    youth, officer = make.person(), make.staff(Role.OFFICER, org=county)
    answer = as_user(officer.id).put(path(county, youth), json=MEMBER)
    assert answer.json == {
        "person_id": str(youth.id),
        "org_id": str(county.id),
        **MEMBER,
        "recorded_at": "2026-10-01T10:00:00+08:00",
    }
    assert held(youth) == (county.id, "member", "TY-0356-00018")


def test_repeating_it_replaces_what_was_recorded(as_user, make, county, held):
    youth, client = make.person(), as_user(make.staff(Role.OFFICER, org=county).id)
    assert client.put(path(county, youth), json=MEMBER).status_code == 200
    assert client.put(path(county, youth), json={"status": "aged_out"}).status_code == 200
    assert held(youth) == (county.id, "aged_out", None)


def test_who_may_record(client, as_user, make, county, held):
    youth, other = make.person(), make.org()
    assert client.put(path(county, youth), json=MEMBER).status_code == 401
    assert client.delete(path(county, youth)).status_code == 401
    for person in (youth, make.staff(Role.OFFICER, org=other), make.staff(Role.BRANCH_SECRETARY, org=county)):
        for answer in (
            as_user(person.id).put(path(county, youth), json=MEMBER),
            as_user(person.id).delete(path(county, youth)),
        ):
            assert (answer.status_code, answer.json["code"]) == (403, "not_allowed")
    assert held(youth) is None


def test_a_membership_held_elsewhere_is_moved_only_by_who_manages_both(as_user, make, county, held):
    youth, other = make.person(), make.org(make.org())
    make.membership(youth, other)
    officer = make.staff(Role.OFFICER, org=county)
    answer = as_user(officer.id).put(path(county, youth), json=MEMBER)
    assert (answer.status_code, answer.json["code"]) == (409, "member_elsewhere")
    assert held(youth)[0] == other.id
    make.grant(officer, Role.OFFICER, org=other)
    assert as_user(officer.id).put(path(county, youth), json=MEMBER).status_code == 200
    assert held(youth)[0] == county.id


def test_people_and_organisations_must_be_there(as_user, make, county):
    client = as_user(make.staff(Role.PLATFORM_ADMIN, org=county).id)
    closed = make.org(county, status=OrgStatus.MERGED)
    gone = make.person(status=PersonStatus.CLOSED)
    unknown = ids.new_id()
    for address, status, code in [
        (f"/v1/orgs/{county.id}/members/{unknown}", 404, "no_such_person"),
        (path(county, gone), 404, "no_such_person"),
        (f"/v1/orgs/{unknown}/members/{gone.id}", 404, "no_such_org"),
        (path(closed, make.person()), 409, "org_not_active"),
    ]:
        answer = client.put(address, json=MEMBER)
        assert (answer.status_code, answer.json["code"]) == (status, code)


@pytest.mark.parametrize(
    ("body", "pointer", "code"),
    [
        ({}, "/status", "required"),
        ({"status": "guest"}, "/status", "not_choice"),
        ({"status": "member", "external_ref": 7}, "/external_ref", "not_text"),
        ({"status": "member", "external_ref": "x" * 65}, "/external_ref", "too_long"),
        ({"status": "member", "org_id": "x"}, "/org_id", "unknown_field"),
    ],
)
def test_wrong_input_is_refused(as_user, make, county, body, pointer, code):
    answer = as_user(make.staff(Role.OFFICER, org=county).id).put(path(county, make.person()), json=body)
    assert answer.status_code == 422
    assert {"pointer": pointer, "code": code}.items() <= answer.json["errors"][0].items()


def test_ids_must_be_ids(as_user, make, county):
    client = as_user(make.staff(Role.OFFICER, org=county).id)
    assert (
        client.put(f"/v1/orgs/{county.id}/members/1", json=MEMBER).json["errors"][0]["pointer"]
        == "/person_id"
    )
    assert client.delete(f"/v1/orgs/1/members/{county.id}").json["errors"][0]["pointer"] == "/org_id"


def test_a_membership_is_ended_once_and_only_where_it_is_held(as_user, make, county, held):
    youth, client = make.person(), as_user(make.staff(Role.OFFICER, org=county).id)
    below = make.org(county)
    make.membership(youth, below)
    assert client.delete(path(county, youth)).status_code == 204
    assert held(youth) is not None
    assert client.delete(path(below, youth)).status_code == 204
    assert held(youth) is None
    assert client.delete(path(below, youth)).status_code == 204
    assert client.delete(f"/v1/orgs/{ids.new_id()}/members/{youth.id}").json["code"] == "no_such_org"
