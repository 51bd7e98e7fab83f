"""Enclave branches: finding, reading, creating, editing and dissolving them."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import pytest
from counting import count_statements
from sqlalchemy import func, select, update

from engage.core import ids
from engage.core.db import Look
from engage.enclaves.models import (
    ApplicationState,
    EnclaveApplication,
    EnclaveBranch,
    EnclaveParticipation,
    EnclaveStatus,
)
from engage.enclaves.queries import my_branch_for_home
from engage.identity.caller import Claim
from engage.messages.models import OutboxEntry
from engage.orgs.models import Org, OrgPath, OrgStatus, Role

TAIYUAN = "37.87,112.57"


def find(client, **query):
    return client.get("/v1/enclave-branches", query_string=query)


def ids_of(answer):
    return [item["id"] for item in answer.json["items"]]


def body_of(parent, **values):
    return {
        "name": "陵川县驻太原团工委",
        "parent_org_id": str(parent.id),
        "home_county_code": "140524",
        "host_city_code": "140100",
        "host_org": "太原市晋城商会",
        "address": "小店区学府街 1 号",
        "position": {"lat": 37.8699, "lng": 112.5665},
        "contact_phone": "0351-0001234",
        "description": "第一行\n第二行",
        **values,
    }


def edit_of(**values):
    body = body_of(Org(id=ids.new_id()), status="active")
    del body["parent_org_id"], body["home_county_code"]
    return body | values


def put(client, home, body, version="*"):
    return client.put(home.url, json=body, headers={"If-Match": version})


@pytest.fixture
def rows(database):
    def read():
        with database.reading() as connection:
            tables = (EnclaveBranch, EnclaveApplication, EnclaveParticipation, Org)
            return [connection.execute(select(table.__table__).order_by(table.id)).all() for table in tables]

    return read


# Finding and reading


def test_branches_are_found_by_home_county_and_host_city(client, make, city):
    in_taiyuan = make.enclave_branch(city)
    in_beijing = make.enclave_branch(city, host_city_code="110000")
    of_gaoping = make.enclave_branch(city, home_county_code="140581")
    assert ids_of(find(client)) == [str(branch.id) for branch in (in_taiyuan, in_beijing, of_gaoping)]
    assert ids_of(find(client, home_county="140581")) == [str(of_gaoping.id)]
    assert ids_of(find(client, host_city="110000")) == [str(in_beijing.id)]
    assert ids_of(find(client, home_county="140581", host_city="110000")) == []


def test_branches_near_me_come_by_distance_within_the_circle(client, make, city):
    far = make.enclave_branch(city, lat=37.90, lng=112.57)
    near = make.enclave_branch(city, lat=37.871, lng=112.57)
    make.enclave_branch(city, lat=38.5, lng=112.57)
    make.enclave_branch(city)
    answer = find(client, near=TAIYUAN)
    assert ids_of(answer) == [str(near.id), str(far.id)]
    assert [item["distance_m"] for item in answer.json["items"]] == [111, 3336]
    assert ids_of(find(client, near=TAIYUAN, radius_m=1000)) == [str(near.id)]


@pytest.mark.parametrize("near", [{}, {"near": TAIYUAN}])
def test_pages_join_without_gap_or_repetition(client, make, city, near):
    for number in range(5):
        make.enclave_branch(city, lat=37.87 + number // 2 * 0.001, lng=112.57)
    whole = ids_of(find(client, **near))
    first = find(client, limit=3, **near).json
    second = find(client, limit=3, cursor=first["next_cursor"], **near).json
    assert [item["id"] for item in first["items"] + second["items"]] == whole
    assert (len(set(whole)), second["next_cursor"]) == (5, None)


def test_a_visitor_reads_a_branch_without_anything_of_their_own(client, home):
    answer = client.get(home.url)
    assert answer.json["home_county"] == {"code": "140524", "name": "陵川县"}
    assert answer.json["host_city"] == {"code": "140100", "name": "太原市"}
    assert (answer.json["my"], answer.json["can_decide"], answer.json["participants_count"]) == (
        None,
        False,
        0,
    )
    again = client.get(home.url, headers={"If-None-Match": answer.headers["ETag"]})
    assert (again.status_code, again.data) == (304, b"")


def test_a_member_reads_the_state_of_their_newest_application(as_user, home, youth, applied):
    mine = as_user(youth.id)
    assert mine.get(home.url).json["my"]["application"]["state"] == "submitted"
    mine.post(f"{applied}/withdrawal")
    assert mine.get(home.url).json["my"]["application"]["state"] == "withdrawn"
    mine.post(f"{home.url}/applications", json={})
    assert mine.get(home.url).json["my"]["application"]["state"] == "submitted"
    stranger = as_user(home.officer.id).get(home.url).json
    assert stranger["my"] == {"application": None, "is_participant": False}
    assert stranger["can_decide"] is True


def test_the_count_is_of_those_who_take_part_now(client, make, home, frozen):
    for left_at in (None, None, frozen.now):
        make.add(
            EnclaveParticipation(
                branch_id=home.branch.id, person_id=make.person().id, joined_at=frozen.now, left_at=left_at
            )
        )
    assert client.get(home.url).json["participants_count"] == 2


@pytest.fixture
def dissolved(database, home):
    with database.transaction() as session:
        session.execute(update(EnclaveBranch).values(status=EnclaveStatus.DISSOLVED))
    return home


def test_a_dissolved_branch_is_seen_only_by_those_who_look_after_it(client, as_user, make, city, dissolved):
    other = make.staff(Role.OFFICER, org=make.org(city, division_code="140502"))
    for stranger in (client, as_user(make.person().id), as_user(other.id)):
        assert stranger.get(dissolved.url).json["code"] == "no_such_enclave_branch"
        assert ids_of(find(stranger)) == []
    for person in (dissolved.secretary, dissolved.officer, make.staff(Role.PLATFORM_ADMIN, org=city)):
        assert as_user(person.id).get(dissolved.url).json["status"] == "dissolved"
        assert ids_of(find(as_user(person.id))) == [str(dissolved.branch.id)]


def test_a_branch_whose_node_was_dissolved_is_hidden_too(client, database, home):
    with database.transaction() as session:
        session.execute(update(Org).where(Org.id == home.branch.id).values(status=OrgStatus.DISSOLVED))
    assert client.get(home.url).status_code == 404


def test_lists_and_details_are_one_statement(app, client, as_user, make, city, home, youth, applied):
    """Beside the one that reads who asks."""
    for size in (0, 6):
        for _ in range(size):
            make.enclave_branch(city, lat=37.87, lng=112.57)
        for caller, knowing in ((client, 0), (as_user(youth.id), 1)):
            for url in ("/v1/enclave-branches", f"/v1/enclave-branches?near={TAIYUAN}", home.url):
                with count_statements(app) as sent:
                    caller.get(url)
                assert len(sent) == knowing + 1, sent


@pytest.mark.parametrize(
    ("query", "pointer", "code"),
    [
        ({"nope": "1"}, "/nope", "unknown_field"),
        ({"home_county": "14"}, "/home_county", "too_short"),
        ({"host_city": "太原市太原市"}, "/host_city", "bad_format"),
        ({"near": "x"}, "/near", "not_point"),
        ({"cursor": "AAAA"}, "/cursor", "bad_cursor"),
    ],
)
def test_bad_queries_name_what_is_wrong(client, query, pointer, code):
    answer = find(client, **query)
    assert answer.status_code == 422
    assert {"pointer": pointer, "code": code}.items() <= answer.json["errors"][0].items()


def test_an_unknown_or_malformed_id(client):
    assert client.get(f"/v1/enclave-branches/{ids.new_id()}").json["code"] == "no_such_enclave_branch"
    assert client.get("/v1/enclave-branches/x").json["errors"][0]["code"] == "not_id"


# Creating


def test_an_officer_of_the_home_county_creates_a_branch(as_user, home, client, database):
    officer = as_user(home.officer.id)
    answer = officer.post("/v1/enclave-branches", json=body_of(home.county))
    assert answer.status_code == 201
    assert answer.headers["Location"] == f"/v1/enclave-branches/{answer.json['id']}"
    seen = client.get(answer.headers["Location"]).json
    assert seen == answer.json | {"my": None, "can_decide": False}
    with database.reading() as connection:
        node = connection.execute(select(Org.__table__).where(Org.name == "陵川县驻太原团工委")).one()
        above = connection.scalars(select(OrgPath.depth).where(OrgPath.descendant_id == node.id)).all()
    assert (node.kind_code, node.parent_id, node.division_code) == (
        "enclave_branch",
        home.county.id,
        "140100",
    )
    assert sorted(above) == [0, 1, 2]


def test_the_secretary_of_a_new_branch_can_be_named_and_decides(as_user, make, home, youth):
    branch_id = as_user(home.officer.id).post("/v1/enclave-branches", json=body_of(home.county)).json["id"]
    secretary = make.staff(Role.BRANCH_SECRETARY, org=Org(id=UUID(branch_id)))
    location = (
        as_user(youth.id).post(f"/v1/enclave-branches/{branch_id}/applications", json={}).headers["Location"]
    )
    assert as_user(secretary.id).post(f"{location}/approval").json["state"] == "approved"


def test_officers_above_may_create_too(as_user, make, city, home):
    for role in (Role.OFFICER, Role.PLATFORM_ADMIN):
        above = as_user(make.staff(role, org=city).id)
        assert above.post("/v1/enclave-branches", json=body_of(home.county)).status_code == 201


def test_the_same_key_makes_one_branch(as_user, home, rows):
    headers = {"Idempotency-Key": "branch-1"}
    officer = as_user(home.officer.id)
    first = officer.post("/v1/enclave-branches", json=body_of(home.county), headers=headers)
    before = rows()
    second = officer.post("/v1/enclave-branches", json=body_of(home.county), headers=headers)
    assert (second.status_code, second.json) == (201, first.json)
    assert rows() == before


def test_who_may_not_create(client, as_user, make, city, home, rows):
    people = [
        make.person(),
        home.secretary,
        make.staff(Role.ANALYST, org=home.county),
        make.staff(Role.OFFICER, org=make.org(city, division_code="140502")),
    ]
    before = rows()
    assert client.post("/v1/enclave-branches", json=body_of(home.county)).json["code"] == "not_logged_in"
    for person in people:
        answer = as_user(person.id).post("/v1/enclave-branches", json=body_of(home.county))
        assert (answer.status_code, answer.json["code"]) == (403, "not_allowed")
    assert rows() == before


def test_the_parent_must_exist_be_active_and_be_of_the_home_county(as_user, make, city, home):
    above = as_user(make.staff(Role.OFFICER, org=city).id)
    missing = above.post("/v1/enclave-branches", json=body_of(Org(id=ids.new_id())))
    assert (missing.status_code, missing.json["code"]) == (404, "no_such_org")
    gone = make.org(home.county, division_code="140524", status=OrgStatus.MERGED)
    assert above.post("/v1/enclave-branches", json=body_of(gone)).json["code"] == "org_not_active"
    for parent in (city, make.org(city, division_code="140502")):
        issue = above.post("/v1/enclave-branches", json=body_of(parent)).json["errors"][0]
        assert (issue["pointer"], issue["code"]) == ("/home_county_code", "no_such_object")


@pytest.mark.parametrize(
    ("values", "pointer", "code"),
    [
        ({"name": "短"}, "/name", "too_short"),
        ({"name": "长" * 81}, "/name", "too_long"),
        ({"parent_org_id": "x"}, "/parent_org_id", "not_id"),
        ({"home_county_code": "140500"}, "/home_county_code", "wrong_division_level"),
        ({"home_county_code": "140524100"}, "/home_county_code", "wrong_division_level"),
        ({"home_county_code": "140502"}, "/home_county_code", "no_such_object"),
        ({"host_city_code": "140524"}, "/host_city_code", "wrong_division_level"),
        ({"host_city_code": "140000"}, "/host_city_code", "wrong_division_level"),
        ({"host_city_code": "140502001"}, "/host_city_code", "wrong_division_level"),
        ({"host_city_code": "999900"}, "/host_city_code", "no_such_division"),
        ({"host_city_code": "140511"}, "/host_city_code", "division_retired"),
        ({"host_org": 3}, "/host_org", "not_text"),
        ({"address": "长" * 201}, "/address", "too_long"),
        ({"position": {"lat": 1}}, "/position/lng", "required"),
        ({"contact_phone": "13800138000"}, "/contact_phone", "bad_format"),
        ({"description": "长" * 2001}, "/description", "too_long"),
        ({"status": "active"}, "/status", "unknown_field"),
    ],
)
def test_bad_input_names_what_is_wrong_and_makes_nothing(as_user, home, rows, values, pointer, code):
    before = rows()
    answer = as_user(home.officer.id).post("/v1/enclave-branches", json=body_of(home.county, **values))
    assert answer.status_code == 422
    assert {"pointer": pointer, "code": code}.items() <= answer.json["errors"][0].items()
    assert rows() == before


def test_a_municipality_is_a_host_city(as_user, home):
    answer = as_user(home.officer.id).post(
        "/v1/enclave-branches", json=body_of(home.county, host_city_code="110000")
    )
    assert answer.json["host_city"] == {"code": "110000", "name": "北京市"}


# Editing


def test_an_officer_edits_a_branch_and_its_node_follows(as_user, home, database, frozen):
    frozen.move(hours=1)
    tag = as_user(home.officer.id).get(home.url).headers["ETag"]
    answer = put(as_user(home.officer.id), home, edit_of(name="陵川驻京团支部", host_city_code="110000"), tag)
    assert (answer.status_code, answer.json["version"]) == (200, 2)
    assert (answer.json["name"], answer.json["host_city"]["name"]) == ("陵川驻京团支部", "北京市")
    assert answer.json["updated_at"] == "2026-10-01T11:00:00+08:00"
    with database.reading() as connection:
        node = connection.execute(select(Org.__table__).where(Org.id == home.branch.id)).one()
    assert (node.name, node.division_code, node.version) == ("陵川驻京团支部", "110000", 2)


def test_an_edit_that_leaves_the_name_leaves_the_node(as_user, home, database):
    name = as_user(home.officer.id).get(home.url).json["name"]
    put(as_user(home.officer.id), home, edit_of(name=name, address="新地址"))
    with database.reading() as connection:
        assert connection.scalar(select(Org.version).where(Org.id == home.branch.id)) == 1


def test_what_is_left_out_becomes_empty(as_user, home):
    officer = as_user(home.officer.id)
    put(officer, home, edit_of())
    answer = put(officer, home, {"name": "陵川支部", "host_city_code": "140100", "status": "active"})
    empty = ("host_org", "address", "position", "contact_phone", "description")
    assert {answer.json[name] for name in empty} == {None}


def test_an_old_copy_is_refused(as_user, home, rows):
    officer = as_user(home.officer.id)
    tag = officer.get(home.url).headers["ETag"]
    put(officer, home, edit_of(), tag)
    before = rows()
    assert put(officer, home, edit_of(name="迟到的"), tag).json["code"] == "version_conflict"
    assert officer.put(home.url, json=edit_of()).json["code"] == "version_required"
    assert rows() == before


def test_who_may_not_edit(client, as_user, make, city, home, rows):
    before = rows()
    assert put(client, home, edit_of()).json["code"] == "not_logged_in"
    people = [
        make.person(),
        home.secretary,
        make.staff(Role.ANALYST, org=home.county),
        make.staff(Role.OFFICER, org=make.org(city, division_code="140502")),
    ]
    for person in people:
        answer = put(as_user(person.id), home, edit_of())
        assert (answer.status_code, answer.json["code"]) == (403, "not_allowed")
    assert rows()[0] == before[0]


def test_a_branch_that_is_hidden_cannot_be_edited_by_strangers(as_user, make, city, dissolved):
    stranger = as_user(make.staff(Role.OFFICER, org=make.org(city)).id)
    assert put(stranger, dissolved, edit_of()).json["code"] == "no_such_enclave_branch"


@pytest.mark.parametrize(
    ("values", "pointer", "code"),
    [
        ({"status": None}, "/status", "null"),
        ({"status": "gone"}, "/status", "not_choice"),
        ({"host_city_code": "140524"}, "/host_city_code", "wrong_division_level"),
        ({"home_county_code": "140524"}, "/home_county_code", "unknown_field"),
    ],
)
def test_bad_edits_name_what_is_wrong_and_change_nothing(as_user, home, rows, values, pointer, code):
    before = rows()
    answer = put(as_user(home.officer.id), home, edit_of(**values))
    assert {"pointer": pointer, "code": code}.items() <= answer.json["errors"][0].items()
    assert rows() == before


def test_dissolving_answers_those_who_wait_and_lets_participants_go(
    as_user, make, home, applied, youth, database, frozen
):
    participant = make.person(hometown_code="140524")
    make.add(EnclaveParticipation(branch_id=home.branch.id, person_id=participant.id, joined_at=frozen.now))
    frozen.move(minutes=1)
    answer = put(as_user(home.officer.id), home, edit_of(status="dissolved"))
    assert (answer.json["status"], answer.json["participants_count"]) == ("dissolved", 0)
    application = as_user(youth.id).get(applied).json
    assert (application["state"], application["reason"]) == ("rejected", "该组织已撤销。")
    with database.reading() as connection:
        assert connection.scalar(select(Org.status).where(Org.id == home.branch.id)) is OrgStatus.DISSOLVED
        told = connection.execute(
            select(OutboxEntry.person_id, OutboxEntry.kind).order_by(OutboxEntry.seq)
        ).all()
    assert told[-1] == (youth.id, "enclave_application_rejected")
    assert as_user(participant.id).get("/v1/me/enclave-branches").json["items"] == []


def test_a_dissolved_branch_can_be_brought_back_empty(as_user, client, home):
    officer = as_user(home.officer.id)
    put(officer, home, edit_of(status="dissolved"))
    assert client.get(home.url).status_code == 404
    assert put(officer, home, edit_of()).json["status"] == "active"
    assert client.get(home.url).status_code == 200


# Home screen


def test_the_home_screen_shows_the_branch_joined_last_or_the_one_applied_to(
    app, database, make, city, home, youth, applied, frozen, as_user
):
    def shown():
        with database.reading() as connection, count_statements(app) as sent:
            found = my_branch_for_home(Look(connection, Claim(youth.id, ids.new_id()), frozen.now, database))
        assert len(sent) == 1
        return found and (found["id"], found["joined_at"])

    assert shown() == (home.branch.id, None)
    second, third = make.enclave_branch(city), make.enclave_branch(city)
    for branch, hours in ((second, 2), (third, 1)):
        joined_at = frozen.now + timedelta(hours=hours)
        make.add(EnclaveParticipation(branch_id=branch.id, person_id=youth.id, joined_at=joined_at))
    assert shown() == (second.id, frozen.now + timedelta(hours=2))
    for branch in (second, third):
        as_user(youth.id).delete(f"/v1/enclave-branches/{branch.id}/participation")
    as_user(youth.id).post(f"{applied}/withdrawal")
    assert shown() is None
    with database.reading() as connection:
        states = connection.execute(
            select(EnclaveApplication.state, func.count()).group_by(EnclaveApplication.state)
        ).all()
    assert states == [(ApplicationState.WITHDRAWN, 1)]
