"""The home screen over HTTP."""

from __future__ import annotations

import json
import random
from datetime import timedelta

import pytest
from contract import content
from counting import count_statements
from sqlalchemy import update

from engage.activities.models import ActivityStatus, SignUpState
from engage.core import clock, ids
from engage.core.clock import SHANGHAI
from engage.enclaves.models import ApplicationState, EnclaveApplication, EnclaveParticipation
from engage.hubs.models import HubStatus
from engage.identity.models import AuthSession, PersonStatus
from engage.messages.models import Message, MessageKind
from engage.orgs.models import Role

HERE = {"near": "35.50185,112.83893"}
EMPTY = {
    "me": None,
    "next_activities": [],
    "queue": [],
    "open_activities": [],
    "hubs": [],
    "enclave_branch": None,
    "unread_messages": 0,
}


def home(client, **query):
    answer = client.get("/v1/home", query_string=query)
    assert answer.status_code == 200
    return answer.json


def titles(items):
    return [item.get("activity", item)["title"] for item in items]


def in_days(days, **values):
    """Times of an activity that starts some days from now; sign-up is open until then."""
    start = clock.now() + timedelta(days=days)
    return {"starts_at": start, "ends_at": start + timedelta(hours=2), "sign_up_closes_at": start, **values}


def message(make, person, **values):
    params = {"activity_id": str(ids.new_id()), "title": "夜校"}
    kind = values.pop("kind", MessageKind.SIGN_UP_WAITLISTED)
    return make.add(
        Message(
            person_id=person.id,
            outbox_seq=random.getrandbits(40),
            kind=kind,
            params=params,
            created_at=clock.now(),
            **values,
        )
    )


def join(make, person, branch):
    application = make.add(
        EnclaveApplication(
            branch_id=branch.id,
            person_id=person.id,
            state=ApplicationState.APPROVED,
            decided_at=clock.now(),
            created_at=clock.now(),
        )
    )
    participation = make.add(
        EnclaveParticipation(branch_id=branch.id, person_id=person.id, joined_at=clock.now())
    )
    return application, participation


def test_an_empty_service_has_an_empty_home(client, as_user, make, frozen):
    assert home(client) == EMPTY
    assert home(client, **HERE) == EMPTY
    person = make.person(name="李晓燕")
    assert home(as_user(person.id), **HERE) == {**EMPTY, "me": {"name": "李晓燕", "profile_complete": True}}


@pytest.mark.parametrize("missing", ["name", "gender", "birth_on", "hometown_code", "current_code"])
def test_a_profile_with_a_gap_is_not_complete(as_user, make, frozen, missing):
    person = make.person(**{missing: None})
    assert home(as_user(person.id))["me"] == {
        "name": None if missing == "name" else person.name,
        "profile_complete": False,
    }


def test_who_has_not_logged_in_sees_what_is_open_to_all(client, make, frozen):
    hub = make.hub(name="东街青年之家")
    make.activity(hub=hub, title="读书会")
    answer = home(client, **HERE)
    assert titles(answer["open_activities"]) == ["读书会"]
    assert [item["name"] for item in answer["hubs"]] == ["东街青年之家"]
    assert {
        name: answer[name] for name in ("me", "next_activities", "queue", "enclave_branch", "unread_messages")
    } == {
        "me": None,
        "next_activities": [],
        "queue": [],
        "enclave_branch": None,
        "unread_messages": 0,
    }


def test_my_next_three_activities_come_in_order(as_user, make, frozen):
    person, other = make.person(), make.person()
    for days in (5, 1, 3, 2):
        activity = make.activity(title=f"{days} 天后", **in_days(days))
        make.sign_up(activity, person)
        make.sign_up(activity, other)
    first = home(as_user(person.id))["next_activities"]
    assert titles(first) == ["1 天后", "2 天后", "3 天后"]
    assert all(item["position"] is None and item["checked_in_at"] is None for item in first)


def test_what_runs_is_next_and_what_is_over_or_called_off_is_not(as_user, make, frozen):
    person = make.person()
    running = make.activity(
        title="进行中", **in_days(-0.05, sign_up_opens_at=clock.now() - timedelta(days=2))
    )
    sign_up = make.sign_up(running, person)
    make.check_in(sign_up)
    make.sign_up(
        make.activity(**in_days(-0.1, sign_up_opens_at=clock.now() - timedelta(days=2), ends_at=clock.now())),
        person,
    )
    make.sign_up(make.activity(status=ActivityStatus.CANCELLED), person)
    make.sign_up(make.activity(status=ActivityStatus.CANCELLED), person, state=SignUpState.WAITLISTED)
    make.sign_up(make.activity(), person, state=SignUpState.CANCELLED)
    answer = home(as_user(person.id))
    assert titles(answer["next_activities"]) == ["进行中"]
    item = answer["next_activities"][0]
    assert (item["id"], item["checked_in_at"], item["activity"]["state"]) == (
        str(sign_up.id),
        clock.now().astimezone(SHANGHAI).isoformat(),
        "running",
    )
    assert answer["queue"] == []


def test_my_turns_in_queues_come_with_their_positions(as_user, make, frozen):
    person = make.person()
    for days in (4, 3, 2, 1):
        activity = make.activity(title=f"{days} 天后", capacity=1, **in_days(days))
        make.sign_up(activity)
        for _ in range(days):
            make.sign_up(activity, state=SignUpState.WAITLISTED)
        make.sign_up(activity, person, state=SignUpState.WAITLISTED)
        make.sign_up(activity, state=SignUpState.WAITLISTED)
    answer = home(as_user(person.id))
    assert [(item["activity"]["title"], item["position"]) for item in answer["queue"]] == [
        ("1 天后", 2),
        ("2 天后", 3),
        ("3 天后", 4),
    ]
    assert answer["next_activities"] == []


def test_many_of_one_kind_do_not_crowd_out_the_other(as_user, make, frozen):
    person = make.person()
    for days in (1, 2, 3, 4):
        make.sign_up(make.activity(**in_days(days)), person)
    make.sign_up(make.activity(title="候补", **in_days(9)), person, state=SignUpState.WAITLISTED)
    answer = home(as_user(person.id))
    assert (len(answer["next_activities"]), titles(answer["queue"])) == (3, ["候补"])


def test_only_what_one_can_still_sign_up_to_is_open(client, as_user, make, frozen):
    person = make.person()
    now = clock.now()
    make.activity(title="开放", **in_days(3))
    full = make.activity(title="候补开放", capacity=1, waitlist_capacity=1, **in_days(2))
    packed = make.activity(title="全满", capacity=1, waitlist_capacity=1, **in_days(2))
    for activity in (full, packed):
        make.sign_up(activity)
    make.sign_up(packed, state=SignUpState.WAITLISTED)
    make.activity(title="尚未开放", **in_days(2, sign_up_opens_at=now + timedelta(hours=1)))
    make.activity(title="已截止", **in_days(2, sign_up_closes_at=now))
    for status in ActivityStatus:
        if status is not ActivityStatus.PUBLISHED:
            make.activity(title=status.value, status=status, **in_days(2))
    mine = make.activity(title="已报名", **in_days(1))
    make.sign_up(mine, person)
    left = make.activity(title="已退出", **in_days(4))
    make.sign_up(left, person, state=SignUpState.CANCELLED)
    assert titles(home(as_user(person.id))["open_activities"]) == ["候补开放", "开放", "已退出"]
    assert titles(home(client)["open_activities"]) == ["已报名", "候补开放", "开放", "已退出"]


def test_staff_find_no_drafts_of_their_own_on_the_home_screen(as_user, make, frozen):
    org = make.org()
    make.activity(org, status=ActivityStatus.DRAFT)
    assert home(as_user(make.staff(Role.OFFICER, org=org).id), **HERE)["open_activities"] == []


def test_open_activities_come_by_distance_when_a_position_is_given(client, make, frozen):
    for number, north in enumerate((0.3, 0.01, 0.2, 0.02, 0.1, 0.05, 0.03)):
        make.activity(title=f"北 {north}", lat=35.50185 + north, lng=112.83893, **in_days(1 + number))
    make.activity(title="远方", lat=37.86990, lng=112.56650, **in_days(0.5))
    make.activity(title="无坐标", **in_days(0.5))
    near = home(client, **HERE)["open_activities"]
    assert titles(near) == ["北 0.01", "北 0.02", "北 0.03", "北 0.05", "北 0.1", "北 0.2"]
    assert 1100 < near[0]["distance_m"] < 1125
    soonest = home(client)["open_activities"]
    assert set(titles(soonest)[:2]) == {"远方", "无坐标"}
    assert len(soonest) == 6
    assert soonest[0]["distance_m"] is None


def test_where_nothing_is_near_the_soonest_are_shown(client, make, frozen):
    make.activity(title="晋城", lat=35.50185, lng=112.83893)
    answer = home(client, near="39.90890,116.40362")["open_activities"]
    assert [(item["title"], item["distance_m"]) for item in answer] == [("晋城", None)]


def test_the_five_nearest_hubs_in_use_are_shown(client, make, frozen):
    org = make.org()
    for metres in (900, 100, 300, 500, 700, 1100):
        make.hub(org, name=f"{metres} 米", lat=35.50185 + metres / 111_195, lng=112.83893)
    make.hub(org, lat=35.50185, lng=112.83893, status=HubStatus.SUSPENDED)
    make.hub(org, lat=35.7, lng=112.83893)
    names = [hub["name"] for hub in home(client, **HERE)["hubs"]]
    assert names == ["100 米", "300 米", "500 米", "700 米", "900 米"]
    assert home(client)["hubs"] == []


def test_a_position_of_gps_is_understood(client, make, frozen):
    make.hub(lat=35.50185, lng=112.83893)
    hub = home(client, near="35.50222,112.83278", coord_type="wgs84")["hubs"][0]
    assert hub["distance_m"] < 3


def test_my_enclave_branch_is_shown_while_it_is_mine(as_user, make, frozen, database):
    person = make.person()
    branch = make.enclave_branch(make.org(division_code="140524"))
    client = as_user(person.id)
    assert home(client)["enclave_branch"] is None
    application = make.add(
        EnclaveApplication(branch_id=branch.id, person_id=person.id, created_at=clock.now())
    )
    applied = home(client)["enclave_branch"]
    assert (applied["id"], applied["joined_at"]) == (str(branch.id), None)
    with database.transaction() as session:
        session.execute(
            update(EnclaveApplication)
            .values(state=ApplicationState.APPROVED)
            .where(EnclaveApplication.id == application.id)
        )
    participation = make.add(
        EnclaveParticipation(branch_id=branch.id, person_id=person.id, joined_at=clock.now())
    )
    joined = home(client)["enclave_branch"]
    assert (joined["home_county"]["name"], joined["host_city"]["name"], joined["joined_at"]) == (
        "陵川县",
        "太原市",
        "2026-10-01T10:00:00+08:00",
    )
    assert home(as_user(make.person().id))["enclave_branch"] is None
    with database.transaction() as session:
        session.execute(
            update(EnclaveParticipation)
            .values(left_at=clock.now())
            .where(EnclaveParticipation.id == participation.id)
        )
    assert home(client)["enclave_branch"] is None


def test_only_my_unread_messages_count(as_user, make, frozen):
    person = make.person()
    for _ in range(2):
        message(make, person)
    message(make, person, read_at=clock.now())
    message(make, person, kind="of_a_later_version")
    message(make, make.person())
    assert home(as_user(person.id))["unread_messages"] == 2


def test_a_log_in_that_is_over_is_refused_rather_than_taken_for_nobody(as_user, make, frozen, database):
    person = make.person()
    client = as_user(person.id)
    with database.transaction() as session:
        session.execute(update(AuthSession).values(ended_at=clock.now()))
    answer = client.get("/v1/home")
    assert (answer.status_code, answer.json["code"]) == (401, "session_ended")
    for status, code in (
        (PersonStatus.SUSPENDED, "account_suspended"),
        (PersonStatus.CLOSED, "account_closed"),
    ):
        answer = as_user(make.person(status=status).id).get("/v1/home")
        assert (answer.status_code, answer.json["code"]) == (403, code)
    client.environ_base["HTTP_AUTHORIZATION"] = "Bearer nonsense"
    assert client.get("/v1/home").json["code"] == "token_invalid"


@pytest.mark.parametrize(
    ("query", "pointer", "code"),
    [
        ("near=35.5", "/near", "not_point"),
        ("near=91,112", "/near", "not_point"),
        ("near=", "/near", "not_point"),
        ("near=35.5,112.8&coord_type=bd09", "/coord_type", "not_choice"),
        ("near=35.5,112.8&near=1,1", "/near", "not_unique"),
        ("limit=3", "/limit", "unknown_field"),
    ],
)
def test_a_bad_query_names_what_is_wrong(client, query, pointer, code):
    answer = client.get(f"/v1/home?{query}")
    assert (answer.status_code, answer.json["code"]) == (422, "invalid_input")
    assert {"pointer": pointer, "code": code}.items() <= answer.json["errors"][0].items()


def test_an_unchanged_home_is_not_sent_again(as_user, make, frozen):
    client = as_user(make.person().id)
    make.activity()
    first = client.get("/v1/home")
    assert first.headers["Cache-Control"] == "no-store", "it says where I am going"
    assert client.get("/v1/home", headers={"If-None-Match": first.headers["ETag"]}).status_code == 304
    make.activity()
    assert client.get("/v1/home", headers={"If-None-Match": first.headers["ETag"]}).status_code == 200


CHARACTERS = [chr(code) for code in range(0x4E00, 0x9FA5)]


def long(chance, length):
    """Text that no compression helps."""
    return "".join(chance.choice(CHARACTERS) for _ in range(length))


def fill(make, person, chance):
    """Everything that a home screen can hold, and more of it, with every text as long as it may be."""
    org = make.org(name=long(chance, 80), division_code="140524")
    for number in range(8):
        place = {
            "lat": 35.50185 + number / 1000 + chance.random() / 9999,
            "lng": 112.83893 + chance.random() / 9999,
        }
        make.hub(
            org,
            name=long(chance, 80),
            address=long(chance, 200),
            contact_phone="0356-1234567-123456",
            **place,
        )
        for state in (None, SignUpState.CONFIRMED, SignUpState.WAITLISTED):
            project = make.project(org, name=long(chance, 40))
            activity = make.activity(
                org, title=long(chance, 60), place_name=long(chance, 80), address=long(chance, 200), project_id=project.id,
                capacity=chance.randint(1000, 99_999), **place, **in_days(1 + number),
            )  # fmt: skip
            if state:
                make.sign_up(activity, person, state=state)
    branch = make.enclave_branch(
        org, host_org=long(chance, 80), address=long(chance, 200), lat=37.86990, lng=112.56650
    )
    join(make, person, branch)
    for _ in range(3):
        message(make, person)


def test_a_full_home_is_small(as_user, make, frozen):
    chance = random.Random(7)
    person = make.person(name=long(chance, 40))
    fill(make, person, chance)
    client = as_user(person.id)
    answer = client.get("/v1/home", query_string=HERE, headers={"Accept-Encoding": "gzip"})
    body = json.loads(content(answer))
    assert [len(body[name]) for name in ("next_activities", "queue", "open_activities", "hubs")] == [
        3,
        3,
        6,
        5,
    ]
    assert body["enclave_branch"]
    assert body["unread_messages"] == 3
    assert answer.headers["Content-Encoding"] == "gzip"
    assert len(answer.data) <= 12 * 1024


def test_the_number_of_statements_does_not_grow(app, client, as_user, make, frozen):
    person = make.person()
    me = as_user(person.id)
    with count_statements(app) as at_first:
        home(me, **HERE)
    assert len(at_first) == 8  # also the soonest, because nothing is near
    fill(make, person, random.Random(7))
    with count_statements(app) as full:
        home(me, **HERE)
    assert len(full) == 7
    with count_statements(app) as without_position:
        home(me)
    assert len(without_position) == 6
    with count_statements(app) as of_a_visitor:
        home(client, **HERE)
    assert len(of_a_visitor) == 2
