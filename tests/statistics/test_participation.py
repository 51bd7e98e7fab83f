"""Figures of participation over HTTP."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from counting import count_statements

from engage.activities.models import ActivityStatus, SignUpState
from engage.core import clock
from engage.core.clock import SHANGHAI
from engage.identity.models import PersonStatus
from engage.orgs.models import Role

URL = "/v1/statistics/participation"
NOTHING = {
    "activities": 0,
    "sign_ups": 0,
    "confirmed": 0,
    "check_ins": 0,
    "attended": 0,
    "late": 0,
    "absent": 0,
    "excused": 0,
    "walk_ins": 0,
    "people": 0,
    "attendance_rate": None,
}


@pytest.fixture
def tree(make, frozen):
    """City above 城区 and 陵川; below 城区 a branch; a hub and a project of 城区."""
    city = make.org(name="共青团晋城市委员会", division_code="140500")
    urban = make.org(city, name="共青团城区委员会")
    lingchuan = make.org(city, name="共青团陵川县委员会", division_code="140524")
    branch = make.org(urban, kind_code="branch", name="建设路团支部")
    hub = make.hub(urban, name="建设路青年之家")
    return SimpleNamespace(
        city=city,
        urban=urban,
        lingchuan=lingchuan,
        branch=branch,
        hub=hub,
        project=make.project(urban, name="团青有约"),
    )


def shanghai(year, month, day, hour=0, minute=0, second=0):
    return datetime(year, month, day, hour, minute, second, tzinfo=SHANGHAI)


def held(make, start, **values):
    """An activity of two hours at some time, open for sign-up the day before."""
    times = {
        "starts_at": start,
        "ends_at": start + timedelta(hours=2),
        "sign_up_opens_at": start - timedelta(days=1),
        "sign_up_closes_at": start,
    }
    return make.activity(**{**times, **values})


def figures(client, by="month", first="2026-01-01", last="2026-12-31", **more):
    return client.get(URL, query_string={"from": first, "to": last, "by": by, **more})


def counts(answer):
    return {row["key"]["id"]: row["activities"] for row in answer.json["items"]}


def cells(row):
    return {name: row[name] for name in NOTHING}


def test_every_column_counts_what_it_says(as_user, make, tree):
    past = held(
        make, shanghai(2026, 9, 10, 9), org=tree.urban, hub=tree.hub, project_id=tree.project.id, capacity=3
    )
    people = [make.person() for _ in range(6)]
    for person in people[:2]:
        make.check_in(make.sign_up(past, person))
    make.sign_up(past, people[2])
    make.sign_up(past, people[3], state=SignUpState.WAITLISTED)
    make.sign_up(past, people[4], state=SignUpState.CANCELLED)
    make.sign_up(past, people[5], state=SignUpState.CANCELLED)
    make.sign_up(past, people[5], state=SignUpState.WAITLISTED)
    expected = {
        "activities": 1,
        "sign_ups": 7,
        "confirmed": 3,
        "check_ins": 2,
        "attended": 0,
        "late": 2,
        "absent": 1,
        "excused": 0,
        "walk_ins": 0,
        "people": 2,
        "attendance_rate": 0.6667,
    }
    client = as_user(make.staff(Role.OFFICER, org=tree.urban).id)
    for by, key in [
        ("county", {"id": "140502", "name": "城区"}),
        ("hub", {"id": str(tree.hub.id), "name": "建设路青年之家"}),
        ("project", {"id": str(tree.project.id), "name": "团青有约"}),
        ("month", {"id": "2026-09", "name": "2026-09"}),
    ]:
        answer = figures(client, by)
        assert answer.json["items"] == [{**expected, "key": key}], by
        assert answer.json["totals"] == expected


def test_the_answer_says_what_it_covers_and_when(as_user, make, tree):
    officer = make.staff(Role.OFFICER, org=tree.urban)
    make.grant(officer, Role.HUB_MANAGER, hub=tree.hub)
    make.grant(officer, Role.ANALYST, org=tree.urban)
    answer = figures(as_user(officer.id)).json
    assert (answer["from"], answer["to"], answer["by"]) == ("2026-01-01", "2026-12-31", "month")
    assert answer["as_of"] == "2026-10-01T10:00:00+08:00"
    assert answer["scope"] == [
        {"kind": "org", "id": str(tree.urban.id), "name": "共青团城区委员会"},
        {"kind": "hub", "id": str(tree.hub.id), "name": "建设路青年之家"},
    ]
    assert (answer["items"], answer["next_cursor"], answer["totals"]) == ([], None, NOTHING)


def test_one_person_in_many_rows_is_one_person_in_the_totals(as_user, make, tree):
    often, once = make.person(), make.person()
    for month in (7, 8, 8):
        make.check_in(make.sign_up(held(make, shanghai(2026, month, 10, 9), org=tree.urban), often))
    make.check_in(make.sign_up(held(make, shanghai(2026, 8, 20, 9), org=tree.urban), once))
    answer = figures(as_user(make.staff(Role.ANALYST, org=tree.urban).id)).json
    assert [(row["key"]["id"], row["check_ins"], row["people"]) for row in answer["items"]] == [
        ("2026-07", 1, 1),
        ("2026-08", 3, 2),
    ]
    assert (answer["totals"]["check_ins"], answer["totals"]["people"]) == (4, 2)


def test_months_and_days_turn_at_midnight_in_shanghai(as_user, make, tree):
    for instant in (
        datetime(2026, 9, 30, 15, 59, 59, 999999, tzinfo=UTC),
        datetime(2026, 9, 30, 16, 0, tzinfo=UTC),
        datetime(2026, 12, 31, 15, 59, 59, tzinfo=UTC),
        datetime(2026, 12, 31, 16, 0, tzinfo=UTC),
    ):
        held(make, instant, org=tree.urban)
    client = as_user(make.staff(Role.OFFICER, org=tree.urban).id)
    assert counts(figures(client, last="2027-12-31")) == {
        "2026-09": 1,
        "2026-10": 1,
        "2026-12": 1,
        "2027-01": 1,
    }
    assert counts(figures(client, first="2026-10-01")) == {"2026-10": 1, "2026-12": 1}
    assert counts(figures(client, first="2026-09-30", last="2026-09-30")) == {"2026-09": 1}
    assert counts(figures(client, first="2026-10-01", last="2026-10-01")) == {"2026-10": 1}
    assert counts(figures(client, first="2026-10-02", last="2026-12-30")) == {}


def test_the_rate_waits_for_the_end(as_user, make, tree):
    running = held(make, clock.now() - timedelta(hours=1), org=tree.urban)
    ends_now = held(make, clock.now() - timedelta(hours=2), org=tree.urban)
    held(make, clock.now() - timedelta(days=30), org=tree.urban)
    make.check_in(make.sign_up(running))
    client = as_user(make.staff(Role.OFFICER, org=tree.urban).id)
    assert figures(client).json["totals"]["attendance_rate"] is None
    make.sign_up(ends_now)
    totals = figures(client).json["totals"]
    assert (totals["confirmed"], totals["check_ins"], totals["attendance_rate"]) == (2, 1, 0)


def test_an_activity_counts_when_it_was_published_and_not_called_off(as_user, make, tree):
    for status in ActivityStatus:
        activity = held(make, shanghai(2026, 9, 10, 9), org=tree.urban, status=status)
        make.check_in(make.sign_up(activity))
    answer = figures(as_user(make.staff(Role.OFFICER, org=tree.urban).id)).json
    assert cells(answer["items"][0]) == {
        **NOTHING,
        **dict.fromkeys(("activities", "sign_ups", "confirmed", "check_ins", "late", "people"), 2),
        "attendance_rate": 1,
    }


def test_a_check_in_is_in_the_figures_at_once(as_user, make, tree):
    sign_up = make.sign_up(held(make, shanghai(2026, 10, 1, 9), org=tree.urban))
    client = as_user(make.staff(Role.OFFICER, org=tree.urban).id)
    assert figures(client).json["totals"]["check_ins"] == 0
    make.check_in(sign_up)
    assert figures(client).json["totals"]["check_ins"] == 1


def test_activities_without_a_hub_share_the_last_row(as_user, make, tree):
    other = make.hub(tree.urban, name="阿尔法青年之家")
    for hub in (None, tree.hub, None, other):
        held(make, shanghai(2026, 9, 10, 9), org=tree.urban, hub=hub)
    officer = make.staff(Role.OFFICER, org=tree.urban)
    keys = [(row["key"], row["activities"]) for row in figures(as_user(officer.id), "hub").json["items"]]
    assert keys == [
        ({"id": str(tree.hub.id), "name": "建设路青年之家"}, 1),
        ({"id": str(other.id), "name": "阿尔法青年之家"}, 1),
        ({"id": None, "name": "其他地点"}, 2),
    ]
    english = figures(as_user(officer.id, "en"), "hub", limit=2)
    rest = figures(as_user(officer.id, "en"), "hub", limit=2, cursor=english.json["next_cursor"]).json
    assert [row["key"] for row in rest["items"]] == [{"id": None, "name": "Other places"}]
    assert rest["next_cursor"] is None


def test_counties_come_in_the_order_of_their_codes(as_user, make, tree):
    for code in ("140581", "140502", "140524", "140521"):
        held(make, shanghai(2026, 9, 10, 9), org=tree.city, county_code=code)
    answer = figures(as_user(make.staff(Role.OFFICER, org=tree.city).id), "county").json
    assert [row["key"]["name"] for row in answer["items"]] == ["城区", "沁水县", "陵川县", "高平市"]


@pytest.mark.parametrize("by", ["county", "hub", "project", "month"])
def test_pages_join_without_gap_or_repetition(as_user, make, tree, by):
    twins = [make.hub(tree.urban, name="同名青年之家") for _ in range(2)]  # names repeat, ids decide
    person = make.person()
    for number, (hub, code) in enumerate(
        zip([None, tree.hub, *twins, None], ["140502", "140521", "140522", "140524", "140525"], strict=True)
    ):
        make.check_in(
            make.sign_up(
                held(make, shanghai(2026, 3 + number, 10, 9), org=tree.urban, hub=hub, county_code=code),
                person,
            )
        )
    client = as_user(make.staff(Role.OFFICER, org=tree.urban).id)
    whole = figures(client, by).json
    joined, cursor, pages = [], None, 0
    while pages == 0 or cursor:
        page = figures(client, by, limit=2, **({"cursor": cursor} if cursor else {})).json
        assert page["totals"] == whole["totals"]
        joined, cursor, pages = joined + page["items"], page["next_cursor"], pages + 1
    assert joined == whole["items"]
    assert pages == (2 if by == "hub" else 3)
    assert whole["totals"]["people"] == 1


def test_a_cursor_of_other_parameters_is_refused(as_user, make, tree):
    for month in (3, 4):
        held(make, shanghai(2026, month, 10, 9), org=tree.urban)
    client = as_user(make.staff(Role.OFFICER, org=tree.urban).id)
    cursor = figures(client, limit=1).json["next_cursor"]
    for answer in (
        figures(client, "county", cursor=cursor),
        figures(client, last="2026-11-30", cursor=cursor),
        figures(client, cursor="AAAA"),
    ):
        assert (answer.status_code, answer.json["errors"][0]["code"]) == (422, "bad_cursor")


@pytest.fixture
def everywhere(make, tree):
    """One activity each: of the city, 城区, its branch, its branch at its hub, and 陵川 at the hub of 城区."""
    for org, hub, project in [
        (tree.city, None, "city"),
        (tree.urban, None, "urban"),
        (tree.branch, None, "branch"),
        (tree.branch, tree.hub, "branch at hub"),
        (tree.lingchuan, None, "lingchuan"),
        (tree.lingchuan, tree.hub, "lingchuan at hub"),
    ]:
        activity = held(
            make, shanghai(2026, 9, 10, 9), org=org, hub=hub, project_id=make.project(org, name=project).id
        )
        make.check_in(make.sign_up(activity))
    return tree


EVERYTHING = {"city", "urban", "branch", "branch at hub", "lingchuan", "lingchuan at hub"}
OF_URBAN = {"urban", "branch", "branch at hub"}


@pytest.mark.parametrize(
    ("role", "place", "seen"),
    [
        (Role.PLATFORM_ADMIN, "city", EVERYTHING),
        (Role.OFFICER, "city", EVERYTHING),
        (Role.ANALYST, "city", EVERYTHING),
        (Role.OFFICER, "urban", OF_URBAN),
        (Role.ANALYST, "urban", OF_URBAN),
        (Role.OFFICER, "lingchuan", {"lingchuan", "lingchuan at hub"}),
        (Role.BRANCH_SECRETARY, "branch", {"branch", "branch at hub"}),
        (Role.HUB_MANAGER, "hub", {"branch at hub", "lingchuan at hub"}),
    ],
)
def test_each_role_sees_its_own_part_only(as_user, make, everywhere, role, place, seen):
    where = getattr(everywhere, place)
    staff = make.staff(role, **({"hub": where} if place == "hub" else {"org": where}))
    answer = figures(as_user(staff.id), "project").json
    assert {row["key"]["name"] for row in answer["items"]} == seen
    assert cells(answer["totals"]) == {
        **NOTHING,
        **dict.fromkeys(("activities", "sign_ups", "confirmed", "check_ins", "late", "people"), len(seen)),
        "attendance_rate": 1,
    }
    assert [node["name"] for node in answer["scope"]] == [where.name]


def test_two_roles_that_overlap_count_nothing_twice(as_user, make, everywhere):
    person = make.staff(Role.OFFICER, org=everywhere.urban)
    make.grant(person, Role.BRANCH_SECRETARY, org=everywhere.branch)
    make.grant(person, Role.HUB_MANAGER, hub=everywhere.hub)
    answer = figures(as_user(person.id), "project").json
    assert {row["key"]["name"]: row["check_ins"] for row in answer["items"]} == dict.fromkeys(
        OF_URBAN | {"lingchuan at hub"}, 1
    )
    assert answer["totals"]["activities"] == 4


def test_a_role_that_has_ended_shows_nothing(as_user, make, everywhere):
    hour = timedelta(hours=1)
    person = make.staff(Role.HUB_MANAGER, hub=everywhere.hub)
    make.grant(person, Role.OFFICER, org=everywhere.city, ends_at=clock.now() - hour)
    make.grant(person, Role.OFFICER, org=everywhere.city, starts_at=clock.now() + hour)
    answer = figures(as_user(person.id), "project").json
    assert {row["key"]["name"] for row in answer["items"]} == {"branch at hub", "lingchuan at hub"}
    assert [node["name"] for node in answer["scope"]] == [everywhere.hub.name]


def test_who_holds_no_role_is_refused(client, as_user, make, everywhere):
    anonymous = figures(client)
    assert (anonymous.status_code, anonymous.json["code"]) == (401, "not_logged_in")
    stranger = figures(as_user(make.person().id))
    assert (stranger.status_code, stranger.json["code"]) == (403, "not_allowed")
    expired = make.person()
    make.grant(expired, Role.OFFICER, org=everywhere.city, ends_at=clock.now())
    assert figures(as_user(expired.id)).status_code == 403
    suspended = make.person(status=PersonStatus.SUSPENDED)
    make.grant(suspended, Role.OFFICER, org=everywhere.city)
    assert figures(as_user(suspended.id)).status_code == 403


@pytest.mark.parametrize(
    ("query", "pointer", "code"),
    [
        ("to=2026-10-31&by=county", "/from", "required"),
        ("from=2026-10-01&by=county", "/to", "required"),
        ("from=2026-10-01&to=2026-10-31", "/by", "required"),
        ("from=&to=2026-10-31&by=county", "/from", "not_date"),
        ("from=2026-02-30&to=2026-10-31&by=county", "/from", "not_date"),
        ("from=2026-10-01T00:00:00Z&to=2026-10-31&by=county", "/from", "not_date"),
        ("from=0001-01-01&to=2026-10-31&by=county", "/from", "not_date"),
        ("from=2026-10-01&to=9999-12-31&by=county", "/to", "not_date"),
        ("from=2026-10-01&to=2026-10-31&by=day", "/by", "not_choice"),
        ("from=2026-10-02&to=2026-10-01&by=county", "/to", "bad_order"),
        ("from=2024-01-01&to=2027-01-01&by=county", "/to", "range_too_wide"),
        ("from=2026-10-01&to=2026-10-31&by=county&limit=101", "/limit", "too_large"),
        ("from=2026-10-01&to=2026-10-31&by=county&limit=0", "/limit", "too_small"),
        ("from=2026-10-01&to=2026-10-31&by=county&first_day=2026-10-01", "/first_day", "unknown_field"),
        ("from=2026-10-01&to=2026-10-31&by=county&by=hub", "/by", "not_unique"),
        (f"from=2026-10-01&to=2026-10-31&by=county&cursor={'A' * 2001}", "/cursor", "too_long"),
    ],
)
def test_a_bad_query_names_what_is_wrong(as_user, make, tree, query, pointer, code):
    answer = as_user(make.staff(Role.OFFICER, org=tree.urban).id).get(f"{URL}?{query}")
    assert (answer.status_code, answer.json["code"]) == (422, "invalid_input")
    assert {"pointer": pointer, "code": code}.items() <= answer.json["errors"][0].items()


def test_three_years_one_day_and_days_to_come_may_be_asked_for(as_user, make, tree):
    held(make, shanghai(2027, 1, 15, 9), org=tree.urban)
    client = as_user(make.staff(Role.OFFICER, org=tree.urban).id)
    assert figures(client, first="2024-01-01", last="2026-12-31").status_code == 200
    assert counts(figures(client, first="2027-01-15", last="2027-01-15")) == {"2027-01": 1}
    assert figures(client, first="2199-12-31", last="2199-12-31").json["items"] == []
    assert figures(client, first="1900-01-01", last="1900-01-01").json["items"] == []


@pytest.mark.parametrize("by", ["county", "hub", "project", "month"])
def test_the_number_of_statements_is_constant(app, as_user, make, tree, by):
    client = as_user(make.staff(Role.OFFICER, org=tree.city).id)
    with count_statements(app) as empty:
        figures(client, by)
    for number in range(8):
        activity = held(make, shanghai(2026, 1 + number, 10, 9), org=tree.urban, hub=make.hub(tree.urban))
        make.check_in(make.sign_up(activity))
    with count_statements(app) as full:
        assert figures(client, by, limit=3).status_code == 200
    assert len(full) == len(empty) == 3  # the member with the role, the figures, the names of the scope


def test_the_document_shows_the_parameters_by_their_names():
    from contract import document

    operation = document()["paths"]["/v1/statistics/participation"]["get"]
    assert {parameter["name"] for parameter in operation["parameters"]} == {
        "from",
        "to",
        "by",
        "cursor",
        "limit",
    }
