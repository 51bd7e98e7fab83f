"""Check-in by code and by staff, what becomes of everybody, and feedback."""

from __future__ import annotations

import base64
from datetime import timedelta

import pytest
from sqlalchemy import func, select

from engage.activities.models import CheckIn
from engage.core import ids
from engage.orgs.models import Role


@pytest.fixture
def door(frozen, make, as_user):
    """An activity that starts in half an hour, its officer, and somebody with a place."""

    class Door:
        org = make.org()
        activity = make.activity(org=org, starts_at=frozen.now + timedelta(minutes=30), ends_at=frozen.now + timedelta(hours=3), capacity=2, sign_up_closes_at=frozen.now + timedelta(hours=2))  # fmt: skip
        url = f"/v1/activities/{activity.id}"
        officer_id = make.staff(Role.OFFICER, org=org).id
        person = make.person()

        def officer(self):
            return as_user(self.officer_id)

        def youth(self):
            return as_user(self.person.id)

        def code(self):
            return self.officer().get(f"{self.url}/check-in-code").json["code"]

    door = Door()
    door.youth().put(f"{door.url}/sign-up", json={})
    return door


def scan(door, code):
    return door.youth().post(f"{door.url}/check-in", json={"code": code})


def test_the_code_is_shown_as_text_and_picture_and_dies_after_a_minute(door, frozen):
    shown = door.officer().get(f"{door.url}/check-in-code").json
    assert shown["shown_until"] == "2026-10-01T10:00:30+08:00"
    assert shown["expires_at"] == "2026-10-01T10:01:00+08:00"
    assert base64.b64decode(shown["image"].removeprefix("data:image/png;base64,")).startswith(b"\x89PNG")
    frozen.move(seconds=29)
    assert door.code() == shown["code"]
    frozen.move(seconds=1)
    assert door.code() != shown["code"]


@pytest.mark.parametrize(("later", "status"), [(0, 200), (59, 200), (60, 403)])
def test_a_code_is_taken_for_sixty_seconds(door, frozen, later, status):
    code = door.code()
    frozen.move(seconds=later)
    assert scan(door, code).status_code == status


def test_a_code_of_the_future_or_of_another_activity_is_not_taken(door, frozen, make, as_user):
    other = make.activity(org=door.org, starts_at=frozen.now)
    code = door.officer().get(f"/v1/activities/{other.id}/check-in-code").json["code"]
    assert scan(door, code).json["code"] == "check_in_code_invalid"
    frozen.move(seconds=30)
    ahead = door.code()
    frozen.move(seconds=-30)
    assert scan(door, ahead).json["code"] == "check_in_code_invalid"


def test_checking_in_twice_is_once(door, frozen, database):
    first = scan(door, door.code().lower())
    frozen.move(minutes=5)
    again = scan(door, "AAAAAAAA")
    assert (first.status_code, again.status_code) == (200, 200)
    assert again.json == first.json == {"checked_in_at": "2026-10-01T10:00:00+08:00", "method": "code"}
    with database.reading() as db:
        assert db.scalar(select(func.count()).select_from(CheckIn)) == 1


def test_whoever_has_no_place_cannot_check_in(door, make, as_user):
    as_user(make.person().id).put(f"{door.url}/sign-up", json={})
    waiting, stranger = as_user(make.person().id), as_user(make.person().id)
    waiting.put(f"{door.url}/sign-up", json={})
    assert (
        waiting.post(f"{door.url}/check-in", json={"code": door.code()}).json["code"]
        == "sign_up_not_confirmed"
    )
    assert stranger.post(f"{door.url}/check-in", json={"code": door.code()}).json["code"] == "no_such_sign_up"


def test_check_in_has_its_time(door, frozen, make):
    code = door.code()
    frozen.move(hours=-2)
    assert scan(door, code).json["code"] == "check_in_not_open"
    assert door.officer().get(f"{door.url}/check-in-code").json["code"] == "check_in_not_open"
    frozen.set(door.activity.ends_at)
    assert scan(door, code).json["code"] == "activity_over"
    assert door.officer().get(f"{door.url}/check-in-code").json["code"] == "activity_over"


def test_a_cancelled_activity_takes_no_check_in(door):
    code = door.code()
    door.officer().post(f"{door.url}/cancellation", json={"reason": "停电"})
    assert scan(door, code).json["code"] == "activity_cancelled"
    draft = f"/v1/activities/{ids.new_id()}"
    assert door.youth().post(f"{draft}/check-in", json={"code": code}).json["code"] == "no_such_activity"


def test_who_is_there_cannot_leave_or_be_cancelled(door):
    scan(door, door.code())
    assert door.youth().delete(f"{door.url}/sign-up").json["code"] == "already_checked_in"
    entry = door.officer().get(f"{door.url}/sign-ups").json["items"][0]
    assert (entry["attendance"], entry["check_in_method"]) == ("attended", "code")
    for action in ("cancellation", "excuse"):
        answer = door.officer().post(f"{door.url}/sign-ups/{entry['id']}/{action}", json={"reason": "误"})
        assert answer.json["code"] == "already_checked_in"


def test_a_batch_made_offline_is_taken_item_by_item_and_may_be_replayed(
    door, frozen, make, as_user, database
):
    second, waiting, stranger = make.person(), make.person(), make.person()
    for person in (second, waiting):
        as_user(person.id).put(f"{door.url}/sign-up", json={})
    scan(door, door.code())
    frozen.set(door.activity.ends_at + timedelta(days=1))
    at = (door.activity.starts_at + timedelta(minutes=5)).isoformat()
    items = [
        {"person_id": str(person.id), "scanned_at": at}
        for person in (second, door.person, waiting, stranger, second)
    ]
    items.append(
        {
            "person_id": str(second.id),
            "scanned_at": (door.activity.starts_at - timedelta(hours=3)).isoformat(),
        }
    )
    items.append({"person_id": str(second.id), "scanned_at": (frozen.now + timedelta(hours=1)).isoformat()})
    sent = door.officer().post(f"{door.url}/check-ins", json={"items": items})
    results = [(item["result"], item["code"]) for item in sent.json["results"]]
    assert results == [
        ("accepted", None),
        ("already", None),
        ("refused", "sign_up_not_confirmed"),
        ("refused", "no_such_sign_up"),
        ("already", None),
        ("refused", "outside_activity"),
        ("refused", "clock_ahead"),
    ]
    again = door.officer().post(f"{door.url}/check-ins", json={"items": items[:2]})
    assert [item["result"] for item in again.json["results"]] == ["already", "already"]
    with database.reading() as db:
        row = db.execute(
            select(CheckIn.checked_in_at, CheckIn.claimed_at, CheckIn.checked_in_by).where(
                CheckIn.person_id == second.id
            )
        ).one()
    assert row == (frozen.now, door.activity.starts_at + timedelta(minutes=5), door.officer_id), (
        "the server's clock dates it"
    )


def test_batches_are_bounded_in_size_and_time(door, frozen):
    item = {"person_id": str(door.person.id), "scanned_at": frozen.now.isoformat()}
    officer = door.officer()
    assert officer.post(f"{door.url}/check-ins", json={"items": []}).json["errors"][0]["code"] == "too_short"
    assert (
        officer.post(f"{door.url}/check-ins", json={"items": [item] * 501}).json["errors"][0]["code"]
        == "too_long"
    )
    frozen.set(door.activity.ends_at + timedelta(days=7))
    assert (
        door.officer().post(f"{door.url}/check-ins", json={"items": [item]}).json["code"] == "activity_over"
    )


def test_after_the_end_everybody_attended_was_absent_or_was_excused(door, frozen, make, as_user):
    absent = make.person()
    as_user(absent.id).put(f"{door.url}/sign-up", json={})
    entries = door.officer().get(f"{door.url}/sign-ups").json["items"]
    assert [entry["attendance"] for entry in entries] == [None, None]
    scan(door, door.code())
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


def test_feedback_is_for_those_who_were_there(door, frozen):
    rate = lambda **body: door.youth().put(f"{door.url}/feedback", json={"stars": 5, **body})
    assert rate().json["code"] == "not_checked_in"
    scan(door, door.code())
    assert door.youth().get(f"{door.url}/feedback").json["code"] == "no_feedback"
    given = rate(text="很好").json
    assert (given["stars"], given["text"], given["editable_until"]) == (
        5,
        "很好",
        "2026-10-08T10:00:00+08:00",
    )
    frozen.move(days=7)
    assert rate(stars=4).json["stars"] == 4
    frozen.move(seconds=1)
    late = rate(stars=1)
    assert (late.status_code, late.json["code"]) == (409, "feedback_closed")
    assert door.youth().get(f"{door.url}/feedback").json["stars"] == 4
    entries = door.officer().get(f"{door.url}/feedback-entries").json["items"]
    assert [(entry["stars"], entry["text"]) for entry in entries] == [(4, None)]
    assert "name" not in entries[0]


def test_stars_are_one_to_five_and_the_activity_exists(door):
    scan(door, door.code())
    for stars, code in [(0, "too_small"), (6, "too_large"), (4.5, "not_whole_number"), (None, "null")]:
        answer = door.youth().put(f"{door.url}/feedback", json={"stars": stars})
        assert answer.json["errors"][0]["code"] == code
    unknown = door.youth().put(f"/v1/activities/{ids.new_id()}/feedback", json={"stars": 3})
    assert unknown.json["code"] == "no_such_activity"


def test_feedback_entries_are_paged(door, make, frozen):
    for _ in range(3):
        person = make.person()
        make.feedback(door.activity, person)
    first = door.officer().get(f"{door.url}/feedback-entries?limit=2").json
    second = (
        door.officer()
        .get(f"{door.url}/feedback-entries", query_string={"limit": 2, "cursor": first["next_cursor"]})
        .json
    )
    assert (len(first["items"]), len(second["items"]), second["next_cursor"]) == (2, 1, None)
