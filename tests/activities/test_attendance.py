"""What becomes of everybody: the same word in every list, in Python and in SQL."""

from __future__ import annotations

import itertools
from datetime import timedelta

import pytest
from sqlalchemy import select, update

from engage.activities.models import (
    Activity,
    ActivityStatus,
    Attendance,
    CancelCause,
    CheckIn,
    SignUp,
    SignUpState,
)
from engage.activities.queries.entry import Facts
from engage.activities.queries.states import attendance, attendance_of, minutes_present
from engage.core import ids
from engage.orgs.models import Role

PRESENT = (SignUpState.CONFIRMED, SignUpState.WALK_IN)


def test_after_the_end_everybody_attended_was_absent_or_was_excused(door, frozen, make, as_user):
    absent = make.person()
    as_user(absent.id).put(f"{door.url}/sign-up", json={})
    entries = door.officer().get(f"{door.url}/sign-ups").json["items"]
    assert [entry["attendance"] for entry in entries] == [None, None]
    door.scan()
    frozen.set(door.activity.ends_at)
    entries = door.officer().get(f"{door.url}/sign-ups").json["items"]
    assert [entry["attendance"] for entry in entries] == ["attended", "absent"]
    excused = door.officer().post(f"{door.url}/sign-ups/{entries[1]['id']}/excuse", json={"reason": "发烧"})
    assert (excused.json["attendance"], excused.json["excuse_reason"]) == ("excused", "发烧")
    assert as_user(absent.id).get(door.url).json["my_sign_up"]["attendance"] == "excused"
    assert as_user(absent.id).get(f"{door.url}/sign-up").json["attendance"] == "excused"


def test_excuses_need_a_confirmed_place_and_an_open_activity(door, frozen, make, as_user):
    people = [make.person() for _ in range(3)]
    for person in people:
        as_user(person.id).put(f"{door.url}/sign-up", json={})
    items = door.officer().get(f"{door.url}/sign-ups").json["items"]
    excuse = lambda item: (
        door.officer().post(f"{door.url}/sign-ups/{item['id']}/excuse", json={"reason": "病"}).json["code"]
    )
    assert excuse(items[2]) == "sign_up_not_confirmed"
    door.officer().post(f"{door.url}/sign-ups/{items[3]['id']}/cancellation", json={"reason": "重复"})
    assert excuse(items[3]) == "no_such_sign_up"
    assert excuse({"id": ids.new_id()}) == "no_such_sign_up"
    frozen.set(door.activity.ends_at)
    door.officer().post(f"{door.url}/closure", json={"summary": "完"})
    assert excuse(items[0]) == "wrong_activity_state"


def test_who_comes_after_the_allowance_is_late_in_every_list(door, frozen, make, as_user, database):
    late = make.person()
    as_user(late.id).put(f"{door.url}/sign-up", json={})
    for person, minutes in ((door.person, 15), (late, 16)):
        frozen.set(door.activity.starts_at + timedelta(minutes=minutes))
        code = door.code()
        as_user(person.id).post(f"{door.url}/check-in", json={"code": code})
    of = {}
    for person in (door.person, late):
        client = as_user(person.id)
        of[str(person.id)] = {
            client.get(f"{door.url}/sign-up").json["attendance"],
            client.get(door.url).json["my_sign_up"]["attendance"],
            client.put(f"{door.url}/sign-up", json={}).json["attendance"],
            client.get("/v1/me/sign-ups").json["items"][0]["attendance"],
        }
    officer = door.officer()
    for item in officer.get(f"{door.url}/sign-ups").json["items"]:
        of[item["person"]["id"]].add(item["attendance"])
    for entry in officer.get(f"{door.url}/roster").json["entries"]:
        of[entry["person_id"]].add(entry["attendance"])
    assert of == {str(door.person.id): {"attended"}, str(late.id): {"late"}}


def test_who_gave_the_place_up_with_a_reason_is_excused(door, make):
    make.sign_up(door.activity, state=SignUpState.CANCELLED, cancel_cause=CancelCause.EXCUSED)
    make.sign_up(door.activity, state=SignUpState.CANCELLED, cancel_cause=CancelCause.LEFT)
    items = door.officer().get(f"{door.url}/sign-ups").json["items"]
    assert [item["attendance"] for item in items] == [None, "excused", None]


@pytest.fixture
def held_by_all(door, frozen, make, as_user, database):
    """The activity of the door with somebody of every kind, by name; all of it over HTTP."""
    with database.transaction() as session:
        session.execute(update(Activity).values(capacity=9))
    people = {name: make.person() for name in ("attended", "late", "absent", "excused", "gave_up", "walk_in")}
    as_user(door.person.id).delete(f"{door.url}/sign-up")
    for name in ("attended", "late", "absent", "excused", "gave_up"):
        assert as_user(people[name].id).put(f"{door.url}/sign-up", json={}).json["state"] == "confirmed"
    as_user(people["gave_up"].id).post(f"{door.url}/sign-up/excuse", json={"reason": "加班"})
    for name, minutes in (("attended", 0), ("late", 20)):
        frozen.set(door.activity.starts_at + timedelta(minutes=minutes))
        code = door.code()
        as_user(people[name].id).post(f"{door.url}/check-in", json={"code": code})
    excused = as_user(people["excused"].id).get(f"{door.url}/sign-up").json["id"]
    door.officer().post(f"{door.url}/sign-ups/{excused}/excuse", json={"reason": "发烧"})
    came = {"person_id": str(people["walk_in"].id), "scanned_at": frozen.now.isoformat(), "walk_in": True}
    assert door.upload([came]).json["results"][0]["result"] == "accepted"
    return people


BECAME = {
    "attended": "attended",
    "late": "late",
    "absent": "absent",
    "excused": "excused",
    "gave_up": "excused",
    "walk_in": "walk_in",
}


def test_all_five_are_the_same_in_every_list_and_in_the_figures(door, held_by_all, frozen, as_user, make):
    frozen.set(door.activity.ends_at)
    name_of = {str(person.id): name for name, person in held_by_all.items()}
    officer = door.officer()
    lists = {
        "staff": {
            item["person"]["id"]: item["attendance"]
            for item in officer.get(f"{door.url}/sign-ups").json["items"]
        },
        "hours": {
            item["person"]["id"]: item["attendance"]
            for item in officer.get(f"{door.url}/hours").json["items"]
        },
        "own": {
            str(person.id): item["attendance"]
            for person in held_by_all.values()
            for item in as_user(person.id).get("/v1/me/sign-ups?when=past").json["items"]
        },
    }
    for where, found in lists.items():
        assert {name_of[one]: word for one, word in found.items() if one in name_of} == BECAME, where
    roster = officer.get(f"{door.url}/roster").json["entries"]
    live = {name: word for name, word in BECAME.items() if name != "gave_up"}
    assert {name_of[entry["person_id"]]: entry["attendance"] for entry in roster} == live
    for name, word in live.items():
        client = as_user(held_by_all[name].id)
        assert client.get(f"{door.url}/sign-up").json["attendance"] == word
        assert client.get(door.url).json["my_sign_up"]["attendance"] == word
    query = {"from": "2026-10-01", "to": "2026-10-01", "by": "month"}
    analyst = as_user(make.staff(Role.ANALYST, org=door.org).id)
    totals = analyst.get("/v1/statistics/participation", query_string=query).json["totals"]
    assert {name: totals[name] for name in ("attended", "late", "absent", "excused", "walk_ins")} == {
        "attended": 1,
        "late": 1,
        "absent": 1,
        "excused": 2,
        "walk_ins": 1,
    }
    assert totals["attendance_rate"] == 0.6667, "nobody expects who was excused, however they were"


def test_the_list_of_hours_calls_nobody_absent_before_the_end_nor_where_nothing_took_place(
    door, held_by_all, frozen, database
):
    def reasons():
        items = door.officer().get(f"{door.url}/hours").json["items"]
        name_of = {str(person.id): name for name, person in held_by_all.items()}
        return {name_of[item["person"]["id"]]: item["reason"] for item in items}

    excused = {"excused": "excused", "gave_up": "excused"}
    assert reasons() == {**dict.fromkeys(BECAME, "not_closed"), **excused}
    frozen.set(door.activity.ends_at)
    assert reasons() == {**dict.fromkeys(BECAME, "not_closed"), **excused, "absent": "absent"}
    with database.transaction() as session:
        session.execute(update(Activity).values(status=ActivityStatus.CANCELLED))
    assert reasons() == dict.fromkeys(BECAME, "activity_cancelled")


def test_who_was_excused_and_came_back_is_in_the_list_of_hours_once(door, make, as_user):
    client = as_user(door.person.id)
    client.post(f"{door.url}/sign-up/excuse", json={"reason": "加班"})
    client.put(f"{door.url}/sign-up", json={})
    items = door.officer().get(f"{door.url}/hours").json["items"]
    assert [(item["person"]["id"], item["attendance"]) for item in items] == [(str(door.person.id), None)]


def possible_turns():
    """Every combination of what the database allows."""
    for state, cause, is_excused, arrives in itertools.product(
        SignUpState, [None, *CancelCause], (False, True), (None, -60, 0, 300, 300.000001, 301)
    ):
        if is_excused and state is not SignUpState.CONFIRMED:
            continue
        if cause is not None and state is not SignUpState.CANCELLED:
            continue
        if arrives is not None and state not in PRESENT:
            continue
        yield state, cause, is_excused, arrives


def test_python_and_sql_agree_on_every_case(frozen, make, database):
    org, starts_at = make.org(), frozen.now.replace(microsecond=999_999)
    people = [make.person() for _ in possible_turns()]
    for status in ActivityStatus:
        activity = make.activity(
            org, status=status, starts_at=starts_at, ends_at=starts_at + timedelta(hours=2), capacity=99, waitlist_capacity=99, late_minutes=5,
            queue_closes_at=frozen.now - timedelta(days=1), sign_up_closes_at=starts_at,
        )  # fmt: skip
        with database.transaction() as session:
            for person, (state, cause, is_excused, arrives) in zip(people, possible_turns(), strict=True):
                sign_up = SignUp(
                    id=ids.new_id(), activity_id=activity.id, person_id=person.id, state=state, answers={}, starts_at=starts_at,
                    ends_at=activity.ends_at, updated_at=frozen.now, cancel_cause=cause,
                    created_at=frozen.now - timedelta(days=2 if state is SignUpState.WAITLISTED else 0),
                    cancelled_at=frozen.now if state is SignUpState.CANCELLED else None,
                    offer_expires_at=frozen.now if state is SignUpState.OFFERED else None,
                    excused_at=frozen.now if is_excused else None,
                )  # fmt: skip
                session.add(sign_up)
                session.flush()
                if arrives is not None:
                    at = starts_at + timedelta(seconds=arrives)
                    session.add(
                        CheckIn(
                            activity_id=activity.id, person_id=person.id, sign_up_id=sign_up.id, method="code", checked_in_at=at,
                            arrived_at=at, updated_at=at,
                        )
                    )  # fmt: skip
    seen = set()
    for now in (starts_at, activity.ends_at - timedelta(microseconds=1), activity.ends_at):
        with database.reading() as db:
            rows = db.execute(
                select(
                    SignUp.state, CheckIn.arrived_at, SignUp.excused_at, Activity.status, Activity.starts_at, Activity.ends_at,
                    Activity.late_minutes, SignUp.cancel_cause, attendance(now),
                )
                .join(Activity, Activity.id == SignUp.activity_id)
                .outerjoin(CheckIn, CheckIn.sign_up_id == SignUp.id)
            ).all()  # fmt: skip
        assert len(rows) == len(people) * len(ActivityStatus)
        for state, arrived_at, excused_at, status, starts, ends, late_minutes, cause, in_sql in rows:
            facts = Facts(status, starts, ends, late_minutes)
            in_python = attendance_of(state, arrived_at, excused_at, now, facts, cause)
            assert in_sql == in_python, (state, arrived_at, excused_at, status, cause, now)
            seen.add(in_python)
    assert seen == {None, *Attendance}


def test_minutes_present_are_whole_ones_inside_the_activity(frozen):
    start, minute = frozen.now, timedelta(minutes=1)
    end = start + 60 * minute
    for arrived, left, minutes in [
        (start - 30 * minute, end + 30 * minute, 60),
        (start + minute * 1.5, end, 58),
        (start - 30 * minute, start - minute, 0),
        (end + minute, end + 2 * minute, 0),
    ]:
        assert minutes_present(arrived, left, start, end) == minutes
