"""Service hours: who gets them at the closure, make-up hours, reversals, and what people and staff see of them."""

from __future__ import annotations

from datetime import timedelta

import pytest
from counting import count_statements
from sqlalchemy import func, select

from engage.activities.models import ActivityStatus, CheckIn, HoursEntry, SignUpState
from engage.core import ids
from engage.messages.models import OutboxEntry
from engage.orgs.models import Role


def mine(as_user, person_id):
    return as_user(person_id).get("/v1/me/hours").json


def told(database, person_id):
    with database.reading() as db:
        rows = db.execute(
            select(OutboxEntry.kind, OutboxEntry.params)
            .where(OutboxEntry.person_id == person_id)
            .order_by(OutboxEntry.seq)
        ).all()
    return [(kind, params) for kind, params in rows]


def test_closing_gives_the_hours_to_who_was_there(held, as_user, database):
    activity = held.activity(service_minutes=150)
    person_id = held.person_there(activity)
    assert mine(as_user, person_id) == {
        "items": [], "next_cursor": None, "total_minutes": 0, "awarded_minutes": 0, "corrected_minutes": 0, "reversed_minutes": 0,
    }  # fmt: skip
    held.close(activity)
    found = mine(as_user, person_id)
    [entry] = found["items"]
    assert (entry["kind"], entry["minutes"], entry["reversed"], entry["reason"]) == (
        "award",
        150,
        False,
        None,
    )
    assert entry["activity"] == {
        "id": str(activity.id),
        "title": activity.title,
        "starts_at": "2026-10-01T07:00:00+08:00",
        "ends_at": "2026-10-01T09:00:00+08:00",
    }
    assert (found["total_minutes"], found["awarded_minutes"]) == (150, 150)
    assert told(database, person_id) == [
        ("hours_awarded", {"activity_id": str(activity.id), "title": activity.title, "minutes": "150"})
    ]


# An activity of two hours whose hours count from 60 % of it: 72 minutes.
@pytest.mark.parametrize(
    ("after", "left_after", "minutes", "percent", "given", "reason"),
    [
        (-20, None, 120, 100, 120, None),
        (48, None, 72, 60, 120, None),
        (49, None, 71, 59, 0, "too_short"),
        (0, 72, 72, 60, 120, None),
        (-30, 71, 71, 59, 0, "too_short"),
        (0, 500, 120, 100, 120, None),
        (10, 20, 10, 8, 0, "too_short"),
        (-30, -10, 0, 0, 0, "too_short"),
        (119, None, 1, 0, 0, "too_short"),
    ],
)
def test_hours_count_from_the_share_of_the_time_that_the_activity_asks_for(
    held, after, left_after, minutes, percent, given, reason
):
    activity = held.activity()
    person_id = held.person_there(activity, after, left_after)
    held.close(activity)
    item = held.of(activity)[str(person_id)]
    assert (item["minutes_present"], item["percent_present"], item["minutes"], item["reason"]) == (
        minutes, percent, given, reason,
    )  # fmt: skip


@pytest.mark.parametrize(("percent", "given"), [(0, 120), (59, 120), (61, 0), (100, 0)])
def test_the_share_is_a_setting_of_the_activity(held, percent, given):
    activity = held.activity(presence_percent=percent)
    person_id = held.person_there(activity, after=48)
    held.close(activity)
    assert held.of(activity)[str(person_id)]["minutes"] == given


def test_who_must_check_out_and_did_not_gets_none(held):
    activity = held.activity(requires_check_out=True)
    stayed, vanished = held.person_there(activity, left_after=120), held.person_there(activity)
    held.close(activity)
    found = held.of(activity)
    assert (found[str(stayed)]["minutes"], found[str(stayed)]["reason"]) == (120, None)
    vanished = found[str(vanished)]
    assert (vanished["minutes"], vanished["minutes_present"], vanished["reason"]) == (
        0, None, "not_checked_out",
    )  # fmt: skip


def test_staff_see_why_somebody_has_none(held, make):
    activity = held.activity()
    came = held.person_there(activity)
    absent = make.sign_up(activity).person_id
    make.sign_up(activity, state=SignUpState.CANCELLED)
    make.sign_up(activity, state=SignUpState.WAITLISTED)
    before = held.of(activity)
    assert {person: item["reason"] for person, item in before.items()} == {
        str(came): "not_closed",
        str(absent): "absent",
    }
    held.close(activity)
    after = held.of(activity)
    assert (after[str(came)]["reason"], after[str(absent)]["reason"]) == (None, "absent")
    assert after[str(came)]["kind"] == "award"


def test_walk_ins_have_hours_too(held, make):
    activity = held.activity()
    sign_up = make.sign_up(activity, state=SignUpState.WALK_IN)
    make.check_in(sign_up, arrived_at=activity.starts_at)
    held.close(activity)
    assert held.of(activity)[str(sign_up.person_id)]["minutes"] == 120


def test_an_activity_without_service_time_gives_none(held, database):
    activity = held.activity(service_minutes=0)
    person_id = held.person_there(activity)
    held.close(activity)
    assert held.of(activity)[str(person_id)]["reason"] == "no_service_time"
    assert told(database, person_id) == []


def test_time_counts_once(held, as_user, make, frozen):
    """An activity that shares a minute with one whose hours somebody has gives them none; one that begins at its end does."""
    first = held.activity()
    shares = held.activity(starts_at=held.ends_at - timedelta(minutes=1), ends_at=frozen.now)
    follows = held.activity(starts_at=held.ends_at, ends_at=frozen.now)
    person = make.person()
    for activity in (first, shares, follows):
        held.person_there(activity, person=person)
        held.close(activity)
    assert [held.of(activity)[str(person.id)]["reason"] for activity in (first, shares, follows)] == [
        None, "overlap", None,
    ]  # fmt: skip
    assert mine(as_user, person.id)["total_minutes"] == 240


def test_closing_again_gives_only_what_is_missing(held, as_user, make):
    first, second = held.activity(), held.activity()
    person, other = make.person(), make.person()
    for activity in (first, second):
        held.person_there(activity, person=person)
    held.person_there(second, person=other)
    held.close(first)
    held.close(second)
    held.close(second)
    assert mine(as_user, other.id)["total_minutes"] == 120
    held.reverse(held.of(first)[str(person.id)]["entry_id"])
    assert held.of(second)[str(person.id)]["reason"] == "not_closed"
    held.close(second)
    held.close(first)
    assert held.of(second)[str(person.id)]["minutes"] == 120
    assert held.of(first)[str(person.id)]["reason"] == "reversed"


def test_closing_takes_as_many_statements_for_many_as_for_one(held, app):
    counts = []
    for size in (2, 30):
        activity = held.activity(capacity=50)
        for _ in range(size):
            held.person_there(activity)
        with count_statements(app) as sent:
            held.close(activity)
        counts.append(len(sent))
        assert len([item for item in held.of(activity, limit=100).values() if item["minutes"]]) == size
    assert counts[0] == counts[1]


def test_the_list_of_staff_is_paged(held, as_user):
    activity = held.activity()
    people = [str(held.person_there(activity)) for _ in range(3)]
    url = f"/v1/activities/{activity.id}/hours"
    first = held.officer.get(url, query_string={"limit": 2}).json
    rest = held.officer.get(url, query_string={"limit": 2, "cursor": first["next_cursor"]}).json
    assert [item["person"]["id"] for item in first["items"] + rest["items"]] == people
    assert rest["next_cursor"] is None


def test_my_list_is_paged_with_sums_over_all(held, as_user, make, frozen):
    person = make.person()
    activities = []
    for days in range(3):
        activity = held.activity(
            starts_at=held.starts_at - timedelta(days=days), ends_at=held.ends_at - timedelta(days=days)
        )
        held.person_there(activity, person=person)
        held.close(activity)
        activities.append(str(activity.id))
    client = as_user(person.id)
    first = client.get("/v1/me/hours?limit=2").json
    rest = client.get("/v1/me/hours", query_string={"limit": 2, "cursor": first["next_cursor"]}).json
    assert [item["activity"]["id"] for item in first["items"] + rest["items"]] == activities[::-1]
    assert first["total_minutes"] == rest["total_minutes"] == 360
    assert mine(as_user, make.person().id)["items"] == []


# Make-up hours


def test_staff_make_hours_up_and_they_are_kept_apart(held, as_user, make, database):
    activity = held.activity()
    person_id = make.sign_up(activity).person_id
    held.close(activity)
    made = held.make_up(activity, person_id, 100)
    assert made.status_code == 201
    assert (made.json["kind"], made.json["minutes"], made.json["person_id"]) == (
        "correction", 100, str(person_id),
    )  # fmt: skip
    found = mine(as_user, person_id)
    assert (found["total_minutes"], found["awarded_minutes"], found["corrected_minutes"]) == (100, 0, 100)
    assert found["items"][0]["reason"] == "设备故障，未能签到"
    assert held.of(activity)[str(person_id)]["kind"] == "correction"
    [(kind, params)] = told(database, person_id)
    assert (kind, params["minutes"], params["reason"]) == ("hours_made_up", "100", "设备故障，未能签到")


def test_make_up_hours_are_given_once(held, as_user, make, frozen):
    activity = held.activity()
    elsewhere = held.activity(starts_at=held.starts_at + timedelta(minutes=30), ends_at=frozen.now)
    person = make.person()
    held.person_there(activity, person=person)
    make.sign_up(elsewhere, person)
    held.close(activity)
    held.close(elsewhere)
    again = held.make_up(activity, person.id)
    assert (again.status_code, again.json["code"]) == (409, "hours_already_given")
    overlapping = held.make_up(elsewhere, person.id)
    assert (overlapping.status_code, overlapping.json["code"]) == (409, "hours_overlap")
    assert activity.title not in overlapping.text
    assert mine(as_user, person.id)["total_minutes"] == 120


@pytest.mark.parametrize(("serves", "most"), [(0, 120), (45, 120), (150, 150)])
def test_make_up_hours_are_no_more_than_the_activity_lasts_or_gives(held, make, serves, most):
    """One that gives more than it lasts was written before that was refused."""
    activity = held.activity(service_minutes=serves)
    person_id = make.sign_up(activity).person_id
    held.close(activity)
    refused = held.make_up(activity, person_id, most + 1)
    assert (refused.status_code, refused.json["errors"]) == (
        422,
        [{"pointer": "/minutes", "code": "too_large", "detail": f"不能大于 {most}。"}],
    )
    assert held.make_up(activity, person_id, most).status_code == 201


@pytest.mark.parametrize(
    ("state", "status", "code"),
    [
        (SignUpState.CONFIRMED, 201, None),
        (SignUpState.WALK_IN, 201, None),
        (SignUpState.WAITLISTED, 409, "sign_up_not_confirmed"),
        (SignUpState.CANCELLED, 404, "no_such_sign_up"),
        (None, 404, "no_such_sign_up"),
    ],
)
def test_only_who_had_a_place_gets_make_up_hours(held, make, state, status, code):
    activity = held.activity()
    person = make.person()
    if state:
        make.sign_up(activity, person, state=state)
    held.close(activity)
    answer = held.make_up(activity, person.id)
    assert (answer.status_code, answer.json.get("code")) == (status, code)


def test_nothing_is_made_up_before_the_closure(held, make):
    activity = held.activity()
    person_id = make.sign_up(activity).person_id
    answer = held.make_up(activity, person_id)
    assert (answer.status_code, answer.json["code"]) == (409, "wrong_activity_state")
    assert (
        held.make_up(type("Unknown", (), {"id": ids.new_id()}), person_id).json["code"] == "no_such_activity"
    )


# Reversals


def test_a_reversal_takes_hours_back_and_says_why(held, as_user, database):
    activity = held.activity()
    person_id = held.person_there(activity)
    held.close(activity)
    entry_id = held.of(activity)[str(person_id)]["entry_id"]
    back = held.reverse(entry_id, "代签")
    assert back.status_code == 200
    assert (back.json["kind"], back.json["minutes"], back.json["reverses_id"]) == ("reversal", -120, entry_id)
    found = mine(as_user, person_id)
    assert [(item["kind"], item["minutes"], item["reversed"]) for item in found["items"]] == [
        ("reversal", -120, False),
        ("award", 120, True),
    ]
    assert (found["total_minutes"], found["awarded_minutes"], found["reversed_minutes"]) == (0, 120, 120)
    item = held.of(activity)[str(person_id)]
    assert (item["minutes"], item["entry_id"], item["reason"]) == (0, None, "reversed")
    assert told(database, person_id)[1][0] == "hours_reversed"
    assert told(database, person_id)[1][1]["reason"] == "代签"


def test_a_repeated_reversal_returns_the_one_that_is_there(held, as_user, database):
    activity = held.activity()
    person_id = held.person_there(activity)
    held.close(activity)
    entry_id = held.of(activity)[str(person_id)]["entry_id"]
    first, again = held.reverse(entry_id), held.reverse(entry_id, "再来")
    assert again.json == first.json
    assert mine(as_user, person_id)["total_minutes"] == 0
    assert len(told(database, person_id)) == 2


def test_a_reversal_is_not_reversed(held):
    activity = held.activity()
    person_id = held.person_there(activity)
    held.close(activity)
    back = held.reverse(held.of(activity)[str(person_id)]["entry_id"])
    refused = held.reverse(back.json["id"])
    assert (refused.status_code, refused.json["code"]) == (409, "hours_not_reversible")


def test_wrong_hours_are_reversed_and_made_up(held, as_user):
    activity = held.activity()
    person_id = held.person_there(activity)
    held.close(activity)
    held.reverse(held.of(activity)[str(person_id)]["entry_id"])
    made = held.make_up(activity, person_id, 60)
    assert made.status_code == 201
    assert held.reverse(made.json["id"]).status_code == 200
    assert held.make_up(activity, person_id, 45).status_code == 201
    found = mine(as_user, person_id)
    assert (found["total_minutes"], found["corrected_minutes"], found["reversed_minutes"]) == (45, 105, 180)


# Who may


@pytest.mark.parametrize(
    ("role", "place", "status"),
    [
        (Role.OFFICER, "county", 200),
        (Role.PLATFORM_ADMIN, "city", 200),
        (Role.BRANCH_SECRETARY, "county", 200),
        (Role.ANALYST, "city", 403),
        (Role.OFFICER, "other", 403),
    ],
)
def test_staff_of_the_activity_see_and_change_its_hours(held, as_user, make, role, place, status):
    places = {"county": held.county, "city": held.city, "other": make.org(held.city)}
    client = as_user(make.staff(role, org=places[place]).id)
    activity = held.activity()
    person_id, other_id = held.person_there(activity), make.sign_up(activity).person_id
    held.close(activity)
    entry_id = held.of(activity)[str(person_id)]["entry_id"]
    url = f"/v1/activities/{activity.id}/hours"
    assert client.get(url).status_code == status
    made = client.post(url, json={"person_id": str(other_id), "minutes": 30, "reason": "补"})
    assert made.status_code == (201 if status == 200 else status)
    back = client.post(f"/v1/hours-entries/{entry_id}/reversal", json={"reason": "误"})
    # Whose hours are not yours to see are hidden.
    assert (back.status_code, back.json.get("code")) == (
        (200, None) if status == 200 else (404, "no_such_hours_entry")
    )


def test_a_hub_manager_sees_the_hours_of_the_hub(held, as_user, make):
    hub = make.hub(held.county)
    manager = as_user(make.staff(Role.HUB_MANAGER, hub=hub).id)
    here, elsewhere = held.activity(), make.activity(held.county, hub)
    assert manager.get(f"/v1/activities/{here.id}/hours").status_code == 403
    assert manager.get(f"/v1/activities/{elsewhere.id}/hours").status_code == 200


def test_a_draft_of_others_is_hidden(held, as_user, make):
    draft = held.activity(status=ActivityStatus.DRAFT)
    stranger = as_user(make.staff(Role.OFFICER, org=make.org()).id)
    assert stranger.get(f"/v1/activities/{draft.id}/hours").status_code == 404


@pytest.mark.parametrize(
    ("body", "pointer", "code"),
    [
        ({"minutes": 0}, "/minutes", "too_small"),
        ({"minutes": 10_081}, "/minutes", "too_large"),
        ({"minutes": 121}, "/minutes", "too_large"),
        ({"minutes": -60}, "/minutes", "too_small"),
        ({"reason": ""}, "/reason", "too_short"),
        ({"person_id": "x"}, "/person_id", "not_id"),
    ],
)
def test_bad_make_up_hours_are_named_and_nothing_is_written(held, make, database, body, pointer, code):
    activity = held.activity()
    person_id = make.sign_up(activity).person_id
    held.close(activity)
    good = {"person_id": str(person_id), "minutes": 60, "reason": "补录"}
    answer = held.officer.post(f"/v1/activities/{activity.id}/hours", json={**good, **body})
    assert answer.status_code == 422
    assert [(error["pointer"], error["code"]) for error in answer.json["errors"]] == [(pointer, code)]
    with database.reading() as db:
        assert db.scalar(select(func.count()).select_from(HoursEntry)) == 0
        assert db.scalar(select(func.count()).select_from(CheckIn)) == 0
