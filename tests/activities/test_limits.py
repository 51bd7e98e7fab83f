"""How many activities of a project one person may sign up to in a day and in a week."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from racing import at_once

from engage.activities.models import ActivityStatus, SignUpState
from engage.core.clock import SHANGHAI
from engage.orgs.models import Role

HOUR = timedelta(hours=1)
# The clock stands at 10:00 on Thursday, 1 October 2026. Monday of the week after:
MONDAY = datetime(2026, 10, 5, tzinfo=SHANGHAI)


@pytest.fixture
def stage(frozen, make, as_user):
    class Stage:
        org = make.org()
        officer = as_user(make.staff(Role.OFFICER, org=org).id)
        person = make.person()
        client = as_user(person.id)

        def project(self, **limits):
            return make.project(self.org, **limits)

        def activity(self, project, starts_at, **values):
            return make.activity(
                self.org,
                project_id=project.id,
                starts_at=starts_at,
                ends_at=starts_at + HOUR,
                sign_up_closes_at=starts_at,
                **values,
            )

        def press(self, activity, client=None):
            answer = (client or self.client).put(f"/v1/activities/{activity.id}/sign-up", json={})
            return answer.json.get("state") or answer.json["code"]

    return Stage()


def test_a_day_has_its_limit(stage):
    project = stage.project(daily_limit=2)
    states = [stage.press(stage.activity(project, MONDAY + hour * HOUR)) for hour in (8, 12, 16)]
    assert states == ["confirmed", "confirmed", "daily_limit_reached"]


def test_the_refusal_says_the_limit_and_holds_for_staff_too(stage):
    project = stage.project(daily_limit=1)
    first, second = (stage.activity(project, MONDAY + hour * HOUR) for hour in (8, 12))
    stage.press(first)
    refused = stage.client.put(f"/v1/activities/{second.id}/sign-up", json={})
    assert refused.status_code == 409
    assert "1" in refused.json["detail"]
    added = stage.officer.post(
        f"/v1/activities/{second.id}/sign-ups", json={"person_id": str(stage.person.id)}
    )
    assert (added.status_code, added.json["code"]) == (409, "daily_limit_reached")


SECOND = timedelta(seconds=1)
NIGHT, NEXT_DAY = MONDAY + 24 * HOUR - SECOND, MONDAY + 24 * HOUR
SUNDAY, NEXT_MONDAY = MONDAY + timedelta(days=7) - SECOND, MONDAY + timedelta(days=7)


def both_ways(*pairs):
    """Return each pair of starts in either order of pressing, with whether the second is one too many."""
    return [(*order, together) for *pair, together in pairs for order in (pair, pair[::-1])]


@pytest.mark.parametrize(
    ("first", "second", "is_same_day"),
    both_ways((MONDAY, NIGHT, True), (MONDAY - SECOND, MONDAY, False), (NIGHT, NEXT_DAY, False)),
)
def test_a_day_is_one_in_shanghai(stage, first, second, is_same_day):
    project = stage.project(daily_limit=1)
    assert stage.press(stage.activity(project, first)) == "confirmed"
    expected = "daily_limit_reached" if is_same_day else "confirmed"
    assert stage.press(stage.activity(project, second)) == expected


@pytest.mark.parametrize(
    ("first", "second", "is_same_week"),
    both_ways((MONDAY, SUNDAY, True), (MONDAY - SECOND, MONDAY, False), (SUNDAY, NEXT_MONDAY, False)),
)
def test_a_week_is_from_monday_to_sunday_in_shanghai(stage, first, second, is_same_week):
    project = stage.project(weekly_limit=1)
    assert stage.press(stage.activity(project, first)) == "confirmed"
    expected = "weekly_limit_reached" if is_same_week else "confirmed"
    assert stage.press(stage.activity(project, second)) == expected


def test_both_limits_hold(stage):
    project = stage.project(daily_limit=1, weekly_limit=2)
    days = [0, 0, 1, 2]
    states = [
        stage.press(stage.activity(project, MONDAY + timedelta(days=day, hours=8 + number)))
        for number, day in enumerate(days)
    ]
    assert states == ["confirmed", "daily_limit_reached", "confirmed", "weekly_limit_reached"]


def test_other_projects_and_other_people_do_not_count(stage, make, as_user):
    project, other = stage.project(daily_limit=1), stage.project(daily_limit=1)
    assert stage.press(stage.activity(project, MONDAY + 8 * HOUR)) == "confirmed"
    assert stage.press(stage.activity(other, MONDAY + 9 * HOUR)) == "confirmed"
    somebody = as_user(make.person().id)
    assert stage.press(stage.activity(project, MONDAY + 10 * HOUR), somebody) == "confirmed"


@pytest.mark.parametrize(
    ("state", "counts"),
    [("confirmed", True), ("waitlisted", True), ("applied", True), ("refused", False), ("cancelled", False)],
)
def test_what_counts_is_what_is_live(stage, make, state, counts):
    project = stage.project(daily_limit=1)
    make.sign_up(stage.activity(project, MONDAY + 8 * HOUR), stage.person, state=SignUpState(state))
    assert stage.press(stage.activity(project, MONDAY + 12 * HOUR)) == (
        "daily_limit_reached" if counts else "confirmed"
    )


def test_what_was_called_off_does_not_count(stage, make):
    project = stage.project(daily_limit=1)
    off = stage.activity(project, MONDAY + 8 * HOUR, status=ActivityStatus.CANCELLED, status_reason="下雨")
    make.sign_up(off, stage.person)
    assert stage.press(stage.activity(project, MONDAY + 12 * HOUR)) == "confirmed"


def test_pressing_again_is_no_second_one(stage):
    project = stage.project(daily_limit=1)
    activity = stage.activity(project, MONDAY + 8 * HOUR)
    assert [stage.press(activity) for _ in range(2)] == ["confirmed"] * 2


def test_two_pressed_at_once_are_counted(stage, make, as_user):
    project = stage.project(weekly_limit=2)
    activities = [stage.activity(project, MONDAY + timedelta(days=day, hours=8)) for day in range(5)]
    person = make.person()
    clients = [as_user(person.id) for _ in activities]
    states = at_once(
        [
            lambda client=client, activity=activity: stage.press(activity, client)
            for client, activity in zip(clients, activities, strict=True)
        ]
    )
    assert sorted(states) == ["confirmed"] * 2 + ["weekly_limit_reached"] * 3
