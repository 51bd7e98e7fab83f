"""Freeing what somebody holds who may no longer take part: all of it, to whoever is next, whatever happens beside it."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from activities.proof import violations
from activities.test_races import at_once, check_invariants
from sqlalchemy import select, update

from engage.activities.models import ActivityStatus, CancelCause, SignUp, SignUpState
from engage.activities.service.due import advance_due, release_inactive
from engage.activities.service.release import release_person
from engage.core import clock
from engage.core.db import Nobody, Work
from engage.identity.models import Person, PersonStatus


@pytest.fixture
def release(database):
    """Return a function that frees what a person holds, in a transaction of its own."""

    def release(person):
        with database.transaction() as session:
            return release_person(Work(session, Nobody(), clock.now(), database.settings), person.id)

    return release


def rows_of(database, person):
    with database.reading() as db:
        return db.execute(
            select(SignUp.activity_id, SignUp.state, SignUp.cancel_cause).where(SignUp.person_id == person.id)
        ).all()


def test_places_turns_and_applications_ahead_end_and_pass_on(frozen, make, as_user, database, release):
    person, next_one = make.person(), make.person()
    place, turn = (make.activity(capacity=1) for _ in range(2))
    for activity, people in ((place, (person, next_one)), (turn, (next_one, person))):
        for somebody in people:
            as_user(somebody.id).put(f"/v1/activities/{activity.id}/sign-up", json={})
    applied = make.sign_up(make.activity(), person, state=SignUpState.APPLIED)
    assert release(person) == 3
    assert {(row.state, row.cancel_cause) for row in rows_of(database, person)} == {
        (SignUpState.CANCELLED, CancelCause.RELEASED)
    }
    assert len(rows_of(database, person)) == 3
    assert applied.activity_id in {row.activity_id for row in rows_of(database, person)}
    assert as_user(next_one.id).get(f"/v1/activities/{place.id}/sign-up").json["state"] == "confirmed"
    assert check_invariants(database, place.id) == (1, 0)
    assert check_invariants(database, turn.id) == (1, 0)
    assert release(person) == 0


def test_what_has_been_stays(frozen, make, database, release):
    person, hour = make.person(), timedelta(hours=1)
    over = make.activity(starts_at=frozen.now - 3 * hour, ends_at=frozen.now, sign_up_closes_at=frozen.now)
    running = make.activity(starts_at=frozen.now - hour, ends_at=frozen.now + hour, sign_up_closes_at=frozen.now)  # fmt: skip
    make.sign_up(over, person)
    make.check_in(make.sign_up(running, person))
    make.sign_up(make.activity(), person, state=SignUpState.REFUSED)
    assert release(person) == 0
    assert {row.state for row in rows_of(database, person)} == {SignUpState.CONFIRMED, SignUpState.REFUSED}


def test_what_is_called_off_ends_too_and_does_not_come_back(frozen, make, database, release):
    person = make.person()
    make.sign_up(make.activity(status=ActivityStatus.CANCELLED), person)
    assert release(person) == 1


def test_two_releases_over_the_same_activities_do_not_wait_for_each_other(make, as_user, database, release):
    people = [make.person() for _ in range(4)]
    activities = [make.activity(capacity=2, waitlist_capacity=9) for _ in range(5)]
    for number, person in enumerate(people):
        for activity in activities if number % 2 else activities[::-1]:
            make.sign_up(activity, person, state=SignUpState.CONFIRMED if number < 2 else SignUpState.WAITLISTED)  # fmt: skip
    assert at_once([lambda person=person: release(person) for person in people]) == [5] * 4
    for activity in activities:
        assert check_invariants(database, activity.id) == (0, 0)


def test_release_races_leaving_joining_and_another_release(make, as_user, database, release):
    for _ in range(4):
        activity = make.activity(capacity=1, waitlist_capacity=9)
        url = f"/v1/activities/{activity.id}/sign-up"
        person, others = make.person(), [make.person() for _ in range(3)]
        mine, clients = as_user(person.id), [as_user(other.id) for other in others]
        for client in (mine, *clients[:2]):
            client.put(url, json={})
        freed, again, left, joined = at_once(
            [
                lambda person=person: release(person),
                lambda person=person: release(person),
                lambda mine=mine, url=url: mine.delete(url).status_code,
                lambda clients=clients, url=url: clients[2].put(url, json={}).status_code,
            ]
        )
        assert freed + again <= 1
        assert (left, joined) == (204, 200)
        assert check_invariants(database, activity.id) == (1, 2)
        assert clients[0].get(url).json["state"] == "confirmed"


@pytest.fixture
def stop(database):
    """Return a function that stops an account and frees nothing."""

    def stop(person):
        with database.transaction() as session:
            session.execute(
                update(Person)
                .where(Person.id == person.id)
                .values(status=PersonStatus.SUSPENDED, updated_at=clock.now())
            )

    return stop


def test_what_somebody_was_let_into_while_their_account_was_stopped_is_found_and_freed(
    frozen, make, as_user, database, stop
):
    person, next_one = make.person(), make.person()
    place, turn = (make.activity(capacity=1) for _ in range(2))
    for activity, people in ((place, (person, next_one)), (turn, (next_one, person))):
        for somebody in people:
            as_user(somebody.id).put(f"/v1/activities/{activity.id}/sign-up", json={})
    here = make.activity(starts_at=frozen.now - timedelta(hours=1), ends_at=frozen.now + timedelta(hours=1), sign_up_closes_at=frozen.now)  # fmt: skip
    make.check_in(make.sign_up(here, person))
    stop(person)
    assert violations(database) == {}, "a worker may be a moment late"
    frozen.move(minutes=2)
    assert violations(database) == {"place_of_inactive": 2}
    assert release_inactive(database) == 2
    assert violations(database) == {}
    assert as_user(next_one.id).get(f"/v1/activities/{place.id}/sign-up").json["state"] == "confirmed"
    states = [(row.state, row.cancel_cause) for row in rows_of(database, person)]
    assert sorted(states) == [("cancelled", CancelCause.RELEASED)] * 2 + [("confirmed", None)]
    assert release_inactive(database) == 0, "where they have checked in, what was stays"


def test_who_signs_up_elsewhere_while_their_account_is_stopped_keeps_nothing(
    make, as_user, database, release, stop
):
    for _ in range(4):
        person = make.person()
        activities = [make.activity(capacity=1) for _ in range(3)]
        clients = [as_user(person.id) for _ in activities]

        def stopped(person=person):
            stop(person)
            return release(person)

        at_once(
            [
                stopped,
                *(
                    lambda client=client, activity=activity: (
                        client.put(f"/v1/activities/{activity.id}/sign-up", json={}).status_code
                    )
                    for client, activity in zip(clients, activities, strict=True)
                ),
            ]
        )
        advance_due(database, threading.Event())
        assert {row.state for row in rows_of(database, person)} <= {SignUpState.CANCELLED}
