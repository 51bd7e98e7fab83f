"""Coming and going by the code at the door, and feedback."""

from __future__ import annotations

import base64
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import previews
import pytest
from counting import count_statements
from sqlalchemy import func, select, update

from engage.activities.models import ActivityStatus, CheckIn, SignUp, SignUpState
from engage.core import ids


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
    assert door.scan(code).status_code == status


def test_a_code_of_the_future_or_of_another_activity_is_not_taken(door, frozen, make, as_user):
    other = make.activity(org=door.org, starts_at=frozen.now)
    code = door.officer().get(f"/v1/activities/{other.id}/check-in-code").json["code"]
    assert door.scan(code).json["code"] == "check_in_code_invalid"
    frozen.move(seconds=30)
    ahead = door.code()
    frozen.move(seconds=-30)
    assert door.scan(ahead).json["code"] == "check_in_code_invalid"


def test_checking_in_twice_is_once(door, frozen, database):
    first = door.scan(door.code().lower())
    frozen.move(minutes=5)
    again = door.scan("AAAAAAAA")
    assert (first.status_code, again.status_code) == (200, 200)
    assert again.json == first.json
    assert first.json == {
        "checked_in_at": "2026-10-01T10:00:00+08:00",
        "method": "code",
        "arrived_at": "2026-10-01T10:00:00+08:00",
        "left_at": None,
    }
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
    assert door.scan(code).json["code"] == "check_in_not_open"
    assert door.officer().get(f"{door.url}/check-in-code").json["code"] == "check_in_not_open"
    frozen.set(door.activity.ends_at)
    assert door.scan(code).json["code"] == "activity_over"
    assert len(door.code()) == 8, "for those who leave last"
    frozen.move(hours=1)
    assert door.officer().get(f"{door.url}/check-in-code").json["code"] == "activity_over"


def test_a_cancelled_activity_takes_no_check_in(door):
    code = door.code()
    previews.cancel(door.officer(), door.url, "停电")
    assert door.scan(code).json["code"] == "activity_cancelled"
    draft = f"/v1/activities/{ids.new_id()}"
    assert door.youth().post(f"{draft}/check-in", json={"code": code}).json["code"] == "no_such_activity"


def test_who_is_there_cannot_leave_or_be_cancelled(door):
    door.scan()
    assert door.youth().delete(f"{door.url}/sign-up").json["code"] == "already_checked_in"
    entry = door.officer().get(f"{door.url}/sign-ups").json["items"][0]
    assert (entry["attendance"], entry["check_in_method"]) == ("attended", "code")
    for action in ("cancellation", "excuse"):
        answer = door.officer().post(f"{door.url}/sign-ups/{entry['id']}/{action}", json={"reason": "误"})
        assert answer.json["code"] == "already_checked_in"


def leave(door, code):
    return door.youth().post(f"{door.url}/check-out", json={"code": code})


def test_checking_out_tells_how_long_one_was_there_and_may_be_repeated(door, frozen):
    door.scan()
    frozen.set(door.activity.starts_at + timedelta(minutes=90, seconds=50))
    first = leave(door, door.code())
    assert first.json == {
        "arrived_at": "2026-10-01T10:00:00+08:00",
        "left_at": "2026-10-01T12:00:50+08:00",
        "minutes_present": 90,
    }
    frozen.move(minutes=10)
    assert leave(door, door.code()).json["minutes_present"] == 100, "the latest counts"
    frozen.set(door.activity.ends_at + timedelta(minutes=59))
    last = leave(door, door.code()).json
    assert (last["left_at"], last["minutes_present"]) == ("2026-10-01T13:59:00+08:00", 150), "until the end"


def test_who_has_not_come_cannot_leave(door, frozen, make, as_user):
    assert leave(door, door.code()).json["code"] == "not_checked_in"
    assert leave(door, "AAAAAAAA").json["code"] == "check_in_code_invalid"
    code = door.code()
    door.scan(code)
    frozen.move(hours=-2)
    assert leave(door, code).json["code"] == "check_in_not_open"
    frozen.set(door.activity.ends_at + timedelta(hours=1))
    assert leave(door, code).json["code"] == "activity_over"
    door.officer().post(f"{door.url}/closure", json={"summary": "完"})
    frozen.set(door.activity.starts_at)
    assert leave(door, code).json["code"] == "activity_over"
    draft = make.activity(org=door.org, status=ActivityStatus.DRAFT)
    unknown = door.youth().post(f"/v1/activities/{draft.id}/check-out", json={"code": code})
    assert unknown.json["code"] == "no_such_activity"


def test_leaving_is_never_before_an_arrival_that_a_fast_clock_reported(door, frozen):
    ahead = (frozen.now + timedelta(minutes=4)).isoformat()
    door.officer().post(
        f"{door.url}/check-ins", json={"items": [{"person_id": str(door.person.id), "scanned_at": ahead}]}
    )
    left = leave(door, door.code()).json
    assert left["left_at"] == left["arrived_at"] == "2026-10-01T10:04:00+08:00"
    assert left["minutes_present"] == 0


def test_coming_and_going_by_code_take_few_statements(door, app):
    code, youth = door.code(), door.youth()
    for action, few in (("check-in", 2), ("check-out", 3)):
        with count_statements(app) as sent:
            assert youth.post(f"{door.url}/{action}", json={"code": code}).status_code == 200
        assert len(sent) == few, "one finds the caller, and one more holds the activity for who leaves"


@pytest.mark.parametrize("settings", ["postgresql"], indirect=True)
def test_a_check_in_waits_for_a_cancellation_on_its_way(door, database):
    code, youth = door.code(), door.youth()
    with database.transaction() as session, ThreadPoolExecutor(1) as threads:
        session.execute(
            update(SignUp).values(state=SignUpState.CANCELLED, cancelled_at=door.activity.starts_at)
        )
        answer = threads.submit(lambda: youth.post(f"{door.url}/check-in", json={"code": code}))
        with pytest.raises(TimeoutError):
            answer.result(0.3)
        session.commit()
        assert answer.result(5).json["code"] == "no_such_sign_up"


def test_feedback_is_for_those_who_were_there(door, frozen):
    rate = lambda **body: door.youth().put(f"{door.url}/feedback", json={"stars": 5, **body})
    assert rate().json["code"] == "not_checked_in"
    door.scan()
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
    door.scan()
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
