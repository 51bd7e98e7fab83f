"""Creating and editing hubs: who may, what is refused, and that a refusal changes nothing."""

from __future__ import annotations

import pytest
from sqlalchemy import func, select

from engage.core import ids
from engage.hubs.models import Hub
from engage.orgs.models import OrgStatus, Role


@pytest.fixture(autouse=True)
def _at_ten(frozen):
    """Everything happens at 10:00 on Thursday, 1 October 2026, in Shanghai, unless a test moves the clock."""


def body_of(org, **values):
    return {
        "name": "东街青年之家",
        "kind": "youth_home",
        "org_id": str(org.id),
        "division_code": "140502001",
        "address": "凤台东街 100 号",
        "position": {"lat": 35.50, "lng": 112.83},
        "opening_hours": [{"weekday": 1, "opens": "09:00", "closes": "18:00"}],
        "services": ["自习阅览"],
        "contact_name": "值班室",
        "contact_phone": "0356-0001234",
        "description": "第一行\n第二行",
        "status": "active",
        **values,
    }


@pytest.fixture
def county(make):
    return make.org(name="团区委", division_code="140502")


@pytest.fixture
def township(make, county):
    return make.org(county, name="东街街道团工委", division_code="140502001")


@pytest.fixture
def officer(as_user, make, county):
    return as_user(make.staff(Role.OFFICER, org=county).id)


@pytest.fixture
def rows(database):
    def read():
        with database.reading() as connection:
            return connection.execute(select(Hub.__table__).order_by(Hub.id)).all()

    return read


def put(client, hub, body, version="*"):
    return client.put(f"/v1/hubs/{hub.id}", json=body, headers={"If-Match": version})


# Creating


def test_an_officer_creates_a_hub_below_their_committee(officer, township, client, frozen):
    answer = officer.post("/v1/hubs", json=body_of(township))
    assert answer.status_code == 201
    assert answer.headers["Location"] == f"/v1/hubs/{answer.json['id']}"
    assert (answer.json["county"]["code"], answer.json["version"]) == ("140502", 1)
    assert answer.json["updated_at"] == "2026-10-01T10:00:00+08:00"
    seen = client.get(f"/v1/hubs/{answer.json['id']}").json
    assert seen == answer.json | {"can_manage": False}


def test_a_gps_position_is_stored_as_map_position(officer, township):
    gps = {"lat": 35.50222, "lng": 112.83278, "coord_type": "wgs84"}
    position = officer.post("/v1/hubs", json=body_of(township, position=gps)).json["position"]
    assert position == {"lat": pytest.approx(35.5018, abs=2e-4), "lng": pytest.approx(112.8389, abs=2e-4)}


def test_only_the_needed_fields_make_a_hub(officer, township):
    needed = {name: body_of(township)[name] for name in ("name", "kind", "org_id", "division_code")}
    hub = officer.post("/v1/hubs", json=needed).json
    assert (hub["status"], hub["position"], hub["opening_hours"], hub["services"]) == ("active", None, [], [])


def test_the_same_key_makes_one_hub(officer, township, rows):
    headers = {"Idempotency-Key": "hub-1"}
    first = officer.post("/v1/hubs", json=body_of(township), headers=headers)
    second = officer.post("/v1/hubs", json=body_of(township), headers=headers)
    assert (second.status_code, second.json, second.headers["Location"]) == (
        201,
        first.json,
        first.headers["Location"],
    )
    assert len(rows()) == 1


@pytest.mark.parametrize("role", [Role.ANALYST, Role.BRANCH_SECRETARY])
def test_other_roles_on_the_org_may_not_create(as_user, make, township, role, rows):
    answer = as_user(make.staff(role, org=township).id).post("/v1/hubs", json=body_of(township))
    assert (answer.status_code, answer.json["code"]) == (403, "not_allowed")
    assert rows() == []


def test_who_may_not_create(client, as_user, make, township, rows):
    other = make.org(division_code="140524")
    manager = make.staff(Role.HUB_MANAGER, hub=make.hub(township))
    before = rows()
    assert client.post("/v1/hubs", json=body_of(township)).json["code"] == "not_logged_in"
    for person in (make.person(), make.staff(Role.OFFICER, org=other), manager):
        answer = as_user(person.id).post("/v1/hubs", json=body_of(township))
        assert (answer.status_code, answer.json["code"]) == (403, "not_allowed")
    assert rows() == before


def test_an_org_must_exist_and_be_active(officer, make, county):
    gone = make.org(county, status=OrgStatus.DISSOLVED)
    missing = officer.post("/v1/hubs", json={**body_of(county), "org_id": str(ids.new_id())})
    assert (missing.status_code, missing.json["code"]) == (404, "no_such_org")
    closed = officer.post("/v1/hubs", json=body_of(gone))
    assert (closed.status_code, closed.json["code"]) == (409, "org_not_active")


def test_a_hub_away_from_home_names_its_county(as_user, make):
    county = make.org(name="团县委", division_code="140524")
    enclave = make.org(county, division_code="140100", kind_code="enclave_branch")
    officer = as_user(make.staff(Role.OFFICER, org=county).id)
    away = body_of(enclave, division_code="140100", county_code="140524")
    hub = officer.post("/v1/hubs", json=away).json
    assert (hub["division"]["name"], hub["county"]["name"]) == ("太原市", "陵川县")
    for values, code in [
        ({"county_code": None}, "required"),
        ({"county_code": "140502"}, "no_such_object"),  # not the county of this organisation
        ({"county_code": "140500"}, "wrong_division_level"),
        ({"county_code": "140524100"}, "wrong_division_level"),
    ]:
        answer = officer.post("/v1/hubs", json=away | values)
        assert (answer.status_code, answer.json["errors"][0]["pointer"]) == (422, "/county_code")
        assert answer.json["errors"][0]["code"] == code


def test_within_the_city_the_place_decides_the_county(officer, township):
    same = officer.post("/v1/hubs", json=body_of(township, county_code="140502"))
    other = officer.post("/v1/hubs", json=body_of(township, county_code="140524"))
    assert same.json["county"]["code"] == "140502"
    assert (other.status_code, other.json["errors"][0]["code"]) == (422, "not_together")


@pytest.mark.parametrize(
    ("values", "pointer", "code"),
    [
        ({"name": ""}, "/name", "too_short"),
        ({"name": "长" * 81}, "/name", "too_long"),
        ({"name": None}, "/name", "null"),
        ({"name": 5}, "/name", "not_text"),
        ({"name": "两\n行"}, "/name", "bad_characters"),
        ({"kind": "castle"}, "/kind", "no_such_object"),
        ({"org_id": "1"}, "/org_id", "not_id"),
        ({"division_code": "999999"}, "/division_code", "no_such_division"),
        ({"division_code": "140511"}, "/division_code", "division_retired"),
        ({"division_code": "140523"}, "/division_code", "division_retired"),
        ({"division_code": "1405"}, "/division_code", "too_short"),
        ({"division_code": "140100"}, "/county_code", "required"),
        ({"county_code": "888888"}, "/county_code", "no_such_division"),
        ({"address": "长" * 201}, "/address", "too_long"),
        ({"position": {"lat": 91, "lng": 0}}, "/position/lat", "too_large"),
        ({"position": {"lat": 35}}, "/position/lng", "required"),
        ({"position": [35, 112]}, "/position", "not_object"),
        ({"opening_hours": {}}, "/opening_hours", "not_list"),
        (
            {"opening_hours": [{"weekday": 8, "opens": "09:00", "closes": "18:00"}]},
            "/opening_hours/0/weekday",
            "too_large",
        ),
        (
            {"opening_hours": [{"weekday": 1, "opens": "9:00", "closes": "18:00"}]},
            "/opening_hours/0/opens",
            "not_clock_time",
        ),
        (
            {"opening_hours": [{"weekday": 1, "opens": "09:00", "closes": "25:00"}]},
            "/opening_hours/0/closes",
            "not_clock_time",
        ),
        (
            {"opening_hours": [{"weekday": 1, "opens": "20:00", "closes": "02:00"}]},
            "/opening_hours/0/closes",
            "bad_order",
        ),
        (
            {"opening_hours": [{"weekday": 1, "opens": "24:00", "closes": "24:00"}]},
            "/opening_hours/0/closes",
            "bad_order",
        ),
        (
            {"opening_hours": [{"weekday": 1, "opens": "09:00", "closes": "10:00", "x": 1}]},
            "/opening_hours/0/x",
            "unknown_field",
        ),
        (
            {"opening_hours": [{"weekday": 1, "opens": "09:00", "closes": "10:00"}] * 29},
            "/opening_hours",
            "too_long",
        ),
        ({"services": ["读书", "读书"]}, "/services", "not_unique"),
        ({"services": ["长" * 21]}, "/services/0", "too_long"),
        ({"services": [str(number) for number in range(21)]}, "/services", "too_long"),
        ({"contact_phone": "13800138000"}, "/contact_phone", "bad_format"),
        ({"contact_phone": "03560001234"}, "/contact_phone", "bad_format"),
        ({"description": "长" * 2001}, "/description", "too_long"),
        ({"status": "open"}, "/status", "not_choice"),
        ({"version": 3}, "/version", "unknown_field"),
    ],
)
def test_bad_input_names_what_is_wrong_and_changes_nothing(
    officer, township, make, rows, values, pointer, code
):
    hub = make.hub(township)
    before = rows()
    for answer in (
        officer.post("/v1/hubs", json=body_of(township, **values)),
        put(officer, hub, body_of(township, **values)),
    ):
        assert answer.status_code == 422
        assert {"pointer": pointer, "code": code}.items() <= answer.json["errors"][0].items()
    assert rows() == before


@pytest.mark.parametrize("missing", ["name", "kind", "org_id", "division_code"])
def test_missing_fields(officer, township, missing):
    body = body_of(township)
    del body[missing]
    issue = officer.post("/v1/hubs", json=body).json["errors"][0]
    assert (issue["pointer"], issue["code"]) == (f"/{missing}", "required")


def test_periods_may_touch_but_not_overlap(officer, township):
    touching = [
        {"weekday": 2, "opens": "12:00", "closes": "24:00"},
        {"weekday": 1, "opens": "14:00", "closes": "18:00"},
        {"weekday": 2, "opens": "00:00", "closes": "12:00"},
        {"weekday": 1, "opens": "09:00", "closes": "12:00"},
    ]
    hub = officer.post("/v1/hubs", json=body_of(township, opening_hours=touching)).json
    assert [(period["weekday"], period["opens"]) for period in hub["opening_hours"]] == [
        (1, "09:00"), (1, "14:00"), (2, "00:00"), (2, "12:00"),
    ]  # fmt: skip
    overlapping = [*touching, {"weekday": 1, "opens": "11:59", "closes": "13:00"}]
    answer = officer.post("/v1/hubs", json=body_of(township, opening_hours=overlapping))
    assert (answer.status_code, answer.json["errors"][0]["pointer"]) == (422, "/opening_hours/4")
    assert answer.json["errors"][0]["code"] == "overlap"


@pytest.mark.parametrize("phone", ["0356-0001234", "010-12345678-8001", "400-123-4567", "12355"])
def test_office_lines(officer, township, phone):
    assert (
        officer.post("/v1/hubs", json=body_of(township, contact_phone=phone)).json["contact_phone"] == phone
    )


# Editing


def test_those_who_manage_a_hub_may_edit_it(as_user, make, county, township):
    hub = make.hub(township)
    people = [
        make.staff(Role.HUB_MANAGER, hub=hub),
        make.staff(Role.OFFICER, org=township),
        make.staff(Role.OFFICER, org=county),
    ]
    for version, person in enumerate(people, 2):
        answer = put(as_user(person.id), hub, body_of(township, name=f"第{version}版"))
        assert (answer.status_code, answer.json["name"], answer.json["version"]) == (
            200,
            f"第{version}版",
            version,
        )


def test_an_edit_replaces_everything_and_notes_when(officer, make, township, frozen, client):
    hub = make.hub(township, services=["旧"], contact_name="旧")
    frozen.move(hours=1)
    needed = {name: body_of(township)[name] for name in ("name", "kind", "org_id", "division_code", "status")}
    edited = put(officer, hub, needed).json
    assert (edited["services"], edited["contact_name"], edited["position"]) == ([], None, None)
    assert edited["updated_at"] == "2026-10-01T11:00:00+08:00"
    assert client.get(f"/v1/hubs/{hub.id}").json == edited | {"can_manage": False}


def test_an_edit_must_say_the_status(officer, make, township):
    body = body_of(township)
    del body["status"]
    issue = put(officer, make.hub(township), body).json["errors"][0]
    assert (issue["pointer"], issue["code"]) == ("/status", "required")


def test_a_suspended_hub_can_be_edited_back_into_use(as_user, make, township, client):
    hub = make.hub(township)
    manager = as_user(make.staff(Role.HUB_MANAGER, hub=hub).id)
    put(manager, hub, body_of(township, status="suspended"))
    assert client.get(f"/v1/hubs/{hub.id}").status_code == 404
    assert put(manager, hub, body_of(township, status="active")).status_code == 200
    assert client.get(f"/v1/hubs/{hub.id}").status_code == 200


def test_who_may_not_edit(client, as_user, make, township, rows):
    hub, other = make.hub(township), make.hub(township)
    before = rows()
    assert put(client, hub, body_of(township)).json["code"] == "not_logged_in"
    people = [
        make.person(),
        make.staff(Role.OFFICER, org=make.org(division_code="140524")),
        make.staff(Role.HUB_MANAGER, hub=other),
        make.staff(Role.BRANCH_SECRETARY, org=township),
        make.staff(Role.ANALYST, org=township),
    ]
    for person in people:
        answer = put(as_user(person.id), hub, body_of(township))
        assert (answer.status_code, answer.json["code"]) == (403, "not_allowed")
    assert rows() == before


def test_a_hidden_hub_is_not_found_by_staff_of_elsewhere(as_user, make, township):
    hub = make.hub(township, status="closed")
    stranger = as_user(make.staff(Role.OFFICER, org=make.org()).id)
    assert put(stranger, hub, body_of(township)).json["code"] == "no_such_hub"
    assert put(stranger, make.org(), body_of(township)).json["code"] == "no_such_hub"


def test_an_edit_of_an_old_copy_is_refused(officer, make, township, rows):
    hub = make.hub(township)
    tag = officer.get(f"/v1/hubs/{hub.id}").headers["ETag"]
    assert put(officer, hub, body_of(township), tag).status_code == 200
    before = rows()
    stale = put(officer, hub, body_of(township, name="迟到的"), tag)
    assert (stale.status_code, stale.json["code"]) == (412, "version_conflict")
    bare = officer.put(f"/v1/hubs/{hub.id}", json=body_of(township))
    assert (bare.status_code, bare.json["code"]) == (428, "version_required")
    assert rows() == before


def test_moving_a_hub_to_another_org_takes_an_officer_of_both(as_user, make, county, township, rows):
    sibling, foreign = make.org(county), make.org(division_code="140524")
    hub = make.hub(township)
    manager = as_user(make.staff(Role.HUB_MANAGER, hub=hub).id)
    local = as_user(make.staff(Role.OFFICER, org=township).id)
    above = as_user(make.staff(Role.OFFICER, org=county).id)
    receiver = make.staff(Role.OFFICER, org=sibling)
    make.grant(receiver, Role.HUB_MANAGER, hub=hub)
    before = rows()
    for client, org in [
        (manager, sibling),
        (local, sibling),
        (above, foreign),
        (as_user(receiver.id), sibling),
    ]:
        answer = put(client, hub, body_of(org))
        assert (answer.status_code, answer.json["code"]) == (403, "not_allowed")
    assert rows() == before
    assert put(above, hub, body_of(sibling)).json["org"]["id"] == str(sibling.id)
    gone = make.org(county, status=OrgStatus.MERGED)
    assert put(above, hub, body_of(gone)).json["code"] == "org_not_active"


def test_a_hub_of_a_dissolved_org_can_still_be_edited(officer, make, county):
    gone = make.org(county, status=OrgStatus.DISSOLVED)
    assert put(officer, make.hub(gone), body_of(gone, status="closed")).json["status"] == "closed"


def test_a_count_of_hubs_does_not_change_by_editing(officer, make, township, database):
    put(officer, make.hub(township), body_of(township))
    with database.reading() as connection:
        assert connection.scalar(select(func.count()).select_from(Hub)) == 1
