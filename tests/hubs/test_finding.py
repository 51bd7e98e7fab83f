"""Finding hubs: near, by filters, page by page, and what each caller sees."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from counting import count_statements

from engage.core.db import Look, Nobody
from engage.hubs import queries
from engage.hubs.models import HubStatus
from engage.orgs.models import Role
from engage.regions.geo import Point, distance_m, wgs84_to_gcj02

SHANGHAI = timezone(timedelta(hours=8))
HERE = Point(35.50, 112.83)
NEAR = f"{HERE.lat},{HERE.lng}"
ALL_WEEK = [{"weekday": day, "opens": "00:00", "closes": "24:00"} for day in range(1, 8)]


@pytest.fixture(autouse=True)
def _at_ten(frozen):
    """Everything happens at 10:00 on Thursday, 1 October 2026, in Shanghai, unless a test moves the clock."""


def find(client, **query):
    return client.get("/v1/hubs", query_string=query)


def names(answer):
    return [item["name"] for item in answer.json["items"]]


def test_kinds_are_listed_for_everybody(client):
    answer = client.get("/v1/hub-kinds")
    kinds = {item["code"]: item for item in answer.json["items"]}
    assert kinds["youth_home"] == {"code": "youth_home", "name_zh": "青年之家", "name_en": "Youth home"}
    assert answer.headers["Cache-Control"] == "public, max-age=3600"
    assert client.get("/v1/hub-kinds", headers={"If-None-Match": answer.headers["ETag"]}).status_code == 304


def test_near_me_is_sorted_by_distance_and_says_it(client, make):
    org = make.org()
    points = {"远": (35.55, 112.83), "近": (35.501, 112.83), "中": (35.52, 112.83), "圈外": (35.60, 112.83)}
    for name, (lat, lng) in points.items():
        make.hub(org, name=name, lat=lat, lng=lng)
    make.hub(org, name="无位置", lat=None, lng=None)
    answer = find(client, near=NEAR)
    assert names(answer) == ["近", "中", "远"]
    expected = [round(distance_m(HERE, Point(*points[name]))) for name in ("近", "中", "远")]
    assert [item["distance_m"] for item in answer.json["items"]] == expected


def test_the_radius_is_a_circle_not_the_box_around_it(client, make):
    make.hub(name="角上", lat=HERE.lat + 0.0085, lng=HERE.lng + 0.0105)  # in the box of 1 km, 1.3 km away
    make.hub(name="圆内", lat=HERE.lat + 0.0085, lng=HERE.lng)
    assert names(find(client, near=NEAR, radius_m=1000)) == ["圆内"]


def test_a_gps_position_finds_the_same_as_the_map_position(client, make):
    gps = Point(35.50222, 112.83278)
    on_map = wgs84_to_gcj02(gps)
    make.hub(lat=on_map.lat, lng=on_map.lng)
    by_gps = find(client, near=f"{gps.lat},{gps.lng}", coord_type="wgs84").json["items"]
    misread = find(client, near=f"{gps.lat},{gps.lng}").json["items"]
    assert by_gps[0]["distance_m"] == 0
    assert misread[0]["distance_m"] > 400


def test_a_circle_over_the_date_line_has_two_sides(client, make):
    make.hub(name="西侧", lat=0, lng=179.99)
    make.hub(name="东侧", lat=0, lng=-179.98)
    assert names(find(client, near="0,180", radius_m=5000)) == ["西侧", "东侧"]


def test_without_a_position_hubs_come_by_county_and_name(client, make):
    org = make.org()
    make.hub(org, name="B", county_code="140524")
    make.hub(org, name="A", county_code="140524")
    make.hub(org, name="C", county_code="140502")
    answer = find(client)
    assert names(answer) == ["C", "A", "B"]
    assert {item["distance_m"] for item in answer.json["items"]} == {None}


@pytest.mark.parametrize("near", [{}, {"near": NEAR}])
def test_pages_join_without_gap_or_repetition(client, make, near):
    org = make.org()
    for number in range(11):
        # Pairs at the same place and of the same name: only the id tells them apart.
        make.hub(org, name=f"站{number // 2}", lat=35.50 + number // 2 * 0.001)
    whole = find(client, **near).json["items"]
    seen, cursor = [], None
    for _ in range(6):
        page = find(client, limit=2, **near, **({"cursor": cursor} if cursor else {})).json
        seen += page["items"]
        cursor = page["next_cursor"]
    assert cursor is None
    assert [item["id"] for item in seen] == [item["id"] for item in whole]
    assert len({item["id"] for item in seen}) == 11


def test_a_cursor_of_another_place_is_refused(client, make):
    org = make.org()
    make.hub(org), make.hub(org)
    cursor = find(client, near=NEAR, limit=1).json["next_cursor"]
    answer = find(client, near="35.51,112.83", limit=1, cursor=cursor)
    assert (answer.status_code, answer.json["errors"][0]["code"]) == (422, "bad_cursor")


def test_filters_by_county_kind_and_text(client, make):
    org = make.org()
    make.hub(org, name="东街100%青年之家", address="凤台东街")
    make.hub(org, name="陵川青年驿站", kind_code="hub_stay", county_code="140524", address=None)
    assert names(find(client, county="140524")) == ["陵川青年驿站"]
    assert names(find(client, kind="hub_stay")) == ["陵川青年驿站"]
    assert names(find(client, kind="nonsense")) == []
    assert names(find(client, q="青年之家")) == ["东街100%青年之家"]
    assert names(find(client, q="凤台")) == ["东街100%青年之家"]
    assert names(find(client, q="100%青")) == ["东街100%青年之家"]
    assert names(find(client, q="1__%")) == []
    assert names(find(client, q="青_之")) == []
    assert names(find(client, q="\\")) == []
    assert names(find(client, q="驿站", near=NEAR)) == ["陵川青年驿站"]


@pytest.mark.parametrize(
    ("local", "is_open"),
    [
        ("2026-10-02T20:00", True),  # Friday
        ("2026-10-02T23:59", True),
        ("2026-10-03T00:00", True),  # the part after midnight stands at Saturday
        ("2026-10-03T01:59", True),
        ("2026-10-03T02:00", False),
        ("2026-10-02T19:59", False),
        ("2026-10-04T00:30", False),
        ("2026-10-05T09:00", True),  # Monday, one hour into the day of UTC
        ("2026-10-05T08:59", False),
    ],
)
def test_open_now_is_by_shanghai_time_and_over_midnight(client, make, frozen, local, is_open):
    frozen.set(datetime.fromisoformat(local).replace(tzinfo=SHANGHAI))
    hours = [
        {"weekday": 5, "opens": "20:00", "closes": "24:00"},
        {"weekday": 6, "opens": "00:00", "closes": "02:00"},
        {"weekday": 1, "opens": "09:00", "closes": "12:00"},
    ]
    hub = make.hub(opening_hours=hours)
    assert bool(find(client, open_now="true").json["items"]) is is_open
    assert bool(find(client, open_now="true", near=NEAR).json["items"]) is is_open
    assert find(client).json["items"][0]["is_open_now"] is is_open
    assert client.get(f"/v1/hubs/{hub.id}").json["is_open_now"] is is_open


def test_open_now_fills_its_pages(client, make):
    org = make.org()
    for number in range(6):
        make.hub(org, name=f"站{number}", opening_hours=ALL_WEEK if number % 2 else [])
    first = find(client, open_now="true", limit=2).json
    second = find(client, open_now="true", limit=2, cursor=first["next_cursor"]).json
    assert [item["name"] for item in first["items"] + second["items"]] == ["站1", "站3", "站5"]
    assert second["next_cursor"] is None


@pytest.fixture
def closed_hub(make):
    county = make.org(name="团县委")
    township = make.org(county)
    return make.hub(township, status=HubStatus.CLOSED, opening_hours=ALL_WEEK), county, township


def test_a_closed_hub_is_hidden_from_ordinary_callers(client, as_user, make, closed_hub):
    hub, _, township = closed_hub
    strangers = [
        client,
        as_user(make.person().id),
        as_user(make.staff(Role.OFFICER, org=make.org()).id),
        as_user(make.staff(Role.ANALYST, org=township).id),
        as_user(make.staff(Role.HUB_MANAGER, hub=make.hub(status=HubStatus.SUSPENDED)).id),
    ]
    for stranger in strangers:
        answer = stranger.get(f"/v1/hubs/{hub.id}")
        assert (answer.status_code, answer.json["code"]) == (404, "no_such_hub")
        assert str(hub.id) not in {item["id"] for item in find(stranger).json["items"]}
        assert str(hub.id) not in {item["id"] for item in find(stranger, near=NEAR).json["items"]}


def test_a_closed_hub_is_seen_by_those_who_manage_it_and_is_never_open(as_user, make, closed_hub):
    hub, county, township = closed_hub
    managers = [
        make.staff(Role.HUB_MANAGER, hub=hub),
        make.staff(Role.OFFICER, org=township),
        make.staff(Role.OFFICER, org=county),
        make.staff(Role.PLATFORM_ADMIN, org=county),
    ]
    for person in managers:
        staff = as_user(person.id)
        detail = staff.get(f"/v1/hubs/{hub.id}").json
        assert (detail["status"], detail["can_manage"], detail["is_open_now"]) == ("closed", True, False)
        assert [item["id"] for item in find(staff).json["items"]] == [str(hub.id)]
        assert find(staff, open_now="true").json["items"] == []


def test_a_role_that_has_ended_shows_nothing_more(as_user, make, frozen, closed_hub):
    hub, _, township = closed_hub
    person = make.person()
    make.grant(person, Role.OFFICER, org=township, ends_at=frozen.now + timedelta(minutes=1))
    staff = as_user(person.id)
    assert staff.get(f"/v1/hubs/{hub.id}").status_code == 200
    frozen.move(minutes=1)
    assert staff.get(f"/v1/hubs/{hub.id}").status_code == 404


def test_managed_lists_what_is_mine_in_any_state(client, as_user, make, closed_hub):
    hub, county, _ = closed_hub
    make.hub(make.org(), name="别人的")
    mine = find(as_user(make.staff(Role.OFFICER, org=county).id), managed="true").json["items"]
    assert [item["id"] for item in mine] == [str(hub.id)]
    assert find(client, managed="true").json["items"] == []
    assert find(as_user(make.person().id), managed="true").json["items"] == []


def test_a_detail_says_everything_a_visitor_needs(client, make):
    org = make.org(name="东街街道团工委")
    hub = make.hub(
        org,
        division_code="140502001001",
        address="凤台东街 100 号",
        opening_hours=ALL_WEEK,
        services=["自习阅览"],
        contact_name="值班室",
        contact_phone="0356-0001234",
        description="周末有读书会。",
    )
    answer = client.get(f"/v1/hubs/{hub.id}")
    assert answer.json | {"updated_at": None} == {
        "id": str(hub.id),
        "name": hub.name,
        "kind": {"code": "youth_home", "name_zh": "青年之家", "name_en": "Youth home"},
        "org": {"id": str(org.id), "name": "东街街道团工委"},
        "division": {"code": "140502001001", "name": "建设路社区居委会"},
        "county": {"code": "140502", "name": "城区"},
        "address": "凤台东街 100 号",
        "position": {"lat": 35.5, "lng": 112.83},
        "opening_hours": ALL_WEEK,
        "services": ["自习阅览"],
        "contact_name": "值班室",
        "contact_phone": "0356-0001234",
        "description": "周末有读书会。",
        "status": "active",
        "is_open_now": True,
        "can_manage": False,
        "updated_at": None,
        "version": 1,
    }
    again = client.get(f"/v1/hubs/{hub.id}", headers={"If-None-Match": answer.headers["ETag"]})
    assert (again.status_code, again.data) == (304, b"")


def test_lists_and_details_are_one_statement_whatever_their_size(app, client, as_user, make):
    """Beside the one that reads who asks."""
    org = make.org()
    hub = make.hub(org)
    reader = as_user(make.person().id)
    for size in (1, 12):
        for _ in range(size):
            make.hub(org)
        for caller, knowing in ((client, 0), (reader, 1)):
            for query in ({}, {"near": NEAR}, {"open_now": "true"}, {"q": "青", "county": "140502"}):
                with count_statements(app) as sent:
                    find(caller, **query)
                assert len(sent) == knowing + 1, sent
            with count_statements(app) as sent:
                caller.get(f"/v1/hubs/{hub.id}")
            assert len(sent) == knowing + 1, sent


def test_the_home_screen_gets_the_nearest_in_use_in_one_statement(app, database, make, frozen):
    org = make.org()
    for step in range(4):
        make.hub(org, name=f"站{step}", lat=35.50 + step * 0.01)
    make.hub(org, name="停用", status=HubStatus.SUSPENDED)
    make.hub(org, name="太远", lat=36.5)
    with database.reading() as connection, count_statements(app) as sent:
        near = queries.near_hubs(Look(connection, Nobody(), frozen.now, database), HERE, 3)
    assert [hub["name"] for hub in near] == ["站0", "站1", "站2"]
    assert len(sent) == 1


@pytest.mark.parametrize(
    ("query", "pointer", "code"),
    [
        ({"nope": "1"}, "/nope", "unknown_field"),
        ({"near": "here"}, "/near", "not_point"),
        ({"near": "91,0"}, "/near", "not_point"),
        ({"near": NEAR, "radius_m": "99"}, "/radius_m", "too_small"),
        ({"near": NEAR, "radius_m": "50001"}, "/radius_m", "too_large"),
        ({"coord_type": "bd09"}, "/coord_type", "not_choice"),
        ({"county": "14"}, "/county", "too_short"),
        ({"q": "长" * 41}, "/q", "too_long"),
        ({"open_now": "yes"}, "/open_now", "not_boolean"),
        ({"limit": "0"}, "/limit", "too_small"),
        ({"cursor": "AAAA"}, "/cursor", "bad_cursor"),
    ],
)
def test_bad_queries_name_what_is_wrong(client, query, pointer, code):
    answer = find(client, **query)
    assert (answer.status_code, answer.json["code"]) == (422, "invalid_input")
    assert {"pointer": pointer, "code": code}.items() <= answer.json["errors"][0].items()


def test_an_unknown_or_malformed_id(client, make):
    assert client.get(f"/v1/hubs/{make.org().id}").json["code"] == "no_such_hub"
    assert client.get("/v1/hubs/12").json["errors"][0]["code"] == "not_id"


def test_a_bad_token_is_refused_rather_than_ignored(client):
    answer = client.get("/v1/hubs", headers={"Authorization": "Bearer nonsense"})
    assert (answer.status_code, answer.json["code"]) == (401, "token_invalid")
