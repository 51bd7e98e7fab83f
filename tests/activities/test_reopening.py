"""A cancelled activity takes place after all: everybody has what they had, free places are given, and limits of projects."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import previews
import pytest
from activities.test_races import at_once, check_invariants
from sqlalchemy import select

from engage.activities.models import ActivityStatus, SignUpState
from engage.core import ids
from engage.messages.models import OutboxEntry
from engage.orgs.models import Role


@pytest.fixture
def called_off(frozen, make, as_user, database):
    """An activity of two places that was called off: two have places, two wait, one applied and was refused, one has left."""

    class CalledOff:
        org = make.org()
        officer_id = make.staff(Role.OFFICER, org=org).id
        activity = make.activity(org=org, capacity=2, waitlist_capacity=5)
        url = f"/v1/activities/{activity.id}"
        people = [make.person() for _ in range(4)]

        @property
        def officer(self):
            return as_user(self.officer_id)

        def reopen(self, caller=None):
            return (caller or self.officer).post(f"{self.url}/reopening", json={"reason": "场地修好了"})

    found = CalledOff()
    for person in found.people:
        as_user(person.id).put(f"{found.url}/sign-up", json={})
    make.sign_up(found.activity, state=SignUpState.REFUSED)
    make.sign_up(found.activity, state=SignUpState.CANCELLED)
    previews.cancel(found.officer, found.url)
    return found


def told_of_reopening(database):
    with database.reading() as db:
        return db.scalars(select(OutboxEntry.person_id).where(OutboxEntry.kind == "activity_reopened")).all()


def test_everybody_has_what_they_had_and_is_told(called_off, as_user, database):
    answer = called_off.reopen()
    assert (answer.status_code, answer.json["state"], answer.json["status_reason"]) == (
        200,
        "registration_open",
        None,
    )
    states = [
        as_user(person.id).get(f"{called_off.url}/sign-up").json["state"] for person in called_off.people
    ]
    assert states == ["confirmed", "confirmed", "waitlisted", "waitlisted"]
    assert sorted(told_of_reopening(database)) == sorted(person.id for person in called_off.people)
    check_invariants(database, called_off.activity.id)


def test_places_left_meanwhile_go_to_the_queue(called_off, as_user, database):
    as_user(called_off.people[0].id).delete(f"{called_off.url}/sign-up")
    assert as_user(called_off.people[2].id).get(f"{called_off.url}/sign-up").json["state"] == "waitlisted"
    called_off.reopen()
    assert as_user(called_off.people[2].id).get(f"{called_off.url}/sign-up").json["state"] == "confirmed"
    check_invariants(database, called_off.activity.id)


def test_what_is_not_called_off_is_not_reopened(called_off, make):
    called_off.reopen()
    again = called_off.reopen()
    assert (again.status_code, again.json["code"]) == (409, "wrong_activity_state")
    for status in (ActivityStatus.DRAFT, ActivityStatus.REVIEW, ActivityStatus.SUMMARISED):
        url = f"/v1/activities/{make.activity(org=called_off.org, status=status).id}"
        answer = called_off.officer.post(f"{url}/reopening", json={"reason": "误"})
        assert answer.json["code"] == "wrong_activity_state"
    unknown = called_off.officer.post(f"/v1/activities/{ids.new_id()}/reopening", json={"reason": "误"})
    assert (unknown.status_code, unknown.json["code"]) == (404, "no_such_activity")


def test_once_it_was_to_have_started_it_is_too_late(called_off, frozen):
    frozen.set(called_off.activity.starts_at)
    answer = called_off.reopen()
    assert (answer.status_code, answer.json["code"]) == (409, "reopening_too_late")


@pytest.mark.parametrize(
    ("role", "inside", "status"),
    [
        (Role.OFFICER, True, 200),
        (Role.OFFICER, False, 403),
        (Role.ANALYST, True, 403),
        (None, True, 403),
    ],
)
def test_who_may_reopen(called_off, make, as_user, role, inside, status):
    org = called_off.org if inside else make.org()
    caller = make.staff(role, org=org) if role else make.person()
    assert called_off.reopen(as_user(caller.id)).status_code == status


def test_where_review_is_required_only_who_reviews_reopens(app, called_off, make, as_user, monkeypatch):
    database = app.extensions["engage.database"]
    monkeypatch.setattr(database, "settings", database.settings.replace(activity_review=True))
    hub = make.hub(called_off.org)
    manager = make.staff(Role.HUB_MANAGER, hub=hub)
    activity = make.activity(hub=hub, status=ActivityStatus.CANCELLED, status_reason="停电")
    url = f"/v1/activities/{activity.id}/reopening"
    assert as_user(manager.id).post(url, json={"reason": "来电"}).json["code"] == "not_allowed"
    assert called_off.officer.post(url, json={"reason": "来电"}).status_code == 200


def test_reopening_races_leaving_and_nobody_is_stranded(called_off, as_user, database):
    for _ in range(4):
        clients = [as_user(person.id) for person in called_off.people]
        officer = called_off.officer
        at_once(
            [
                lambda officer=officer: called_off.reopen(officer),
                lambda clients=clients: clients[0].delete(f"{called_off.url}/sign-up"),
                lambda clients=clients: clients[3].delete(f"{called_off.url}/sign-up"),
            ]
        )
        check_invariants(database, called_off.activity.id)
        for client in clients:
            client.put(f"{called_off.url}/sign-up", json={})
        previews.cancel(called_off.officer, called_off.url)


def test_two_who_reopen_at_once_tell_people_once(called_off, as_user, make, database):
    officers = [as_user(make.staff(Role.OFFICER, org=called_off.org).id) for _ in range(2)]
    answers = at_once([lambda officer=officer: called_off.reopen(officer) for officer in officers])
    assert sorted(answer.status_code for answer in answers) == [200, 409]
    assert len(told_of_reopening(database)) == len(called_off.people)


def test_limits_of_a_project_are_set_shown_and_hold_from_then_on(frozen, make, as_user, client):
    org = make.org()
    officer = as_user(make.staff(Role.OFFICER, org=org).id)
    body = {"name": "青年夜校", "org_id": str(org.id)}
    made = officer.post("/v1/projects", json=body)
    assert (made.json["daily_limit"], made.json["weekly_limit"]) == (None, None)
    url, project_id = made.headers["Location"], made.json["id"]
    activities = [make.activity(org=org, project_id=UUID(project_id), starts_at=frozen.now + timedelta(days=1, hours=hour), ends_at=frozen.now + timedelta(days=1, hours=hour + 1)) for hour in (0, 2, 26)]  # fmt: skip
    person = as_user(make.person().id)
    press = lambda activity: person.put(f"/v1/activities/{activity.id}/sign-up", json={})
    assert press(activities[0]).status_code == 200
    # Read by this process before the limits were: they must not be remembered as none.
    other = as_user(make.person().id)
    assert other.put(f"/v1/activities/{activities[1].id}/sign-up", json={}).status_code == 200
    edit = {**body, "status": "active", "daily_limit": 1, "weekly_limit": 1}
    edited = officer.put(url, json=edit, headers={"If-Match": "*"})
    assert (edited.json["daily_limit"], edited.json["weekly_limit"]) == (1, 1)
    assert client.get(url).json["weekly_limit"] == 1
    assert client.get("/v1/projects").json["items"][0]["daily_limit"] == 1
    assert press(activities[1]).json["code"] == "daily_limit_reached"
    assert press(activities[2]).json["code"] == "weekly_limit_reached"
    officer.put(url, json={**edit, "daily_limit": None, "weekly_limit": None}, headers={"If-Match": "*"})
    assert press(activities[1]).status_code == 200


@pytest.mark.parametrize("limit", [0, -1, 101, 1.5, "1"])
def test_limits_that_are_none_are_refused(make, as_user, limit):
    org = make.org()
    officer = as_user(make.staff(Role.OFFICER, org=org).id)
    answer = officer.post(
        "/v1/projects", json={"name": "青年夜校", "org_id": str(org.id), "daily_limit": limit}
    )
    assert answer.json["errors"][0]["pointer"] == "/daily_limit"
