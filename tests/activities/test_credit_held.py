"""Who has too few points queues, and gets a place in the last hours only."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from counting import count_statements
from sqlalchemy import select

from engage.activities.models import CreditAppeal, CreditRule
from engage.activities.service.due import advance_due
from engage.core import clock
from engage.orgs.models import Org, Role

HELD = timedelta(hours=24)


@pytest.fixture
def credit_on(frozen, database, monkeypatch):
    monkeypatch.setattr(database, "settings", database.settings.replace(credit=True))


@pytest.fixture
def lecture(credit_on, make):
    """Two places in three days, a queue of ten; freed places promote at once until the start."""
    starts_at = clock.now() + timedelta(days=3)
    return make.activity(
        capacity=2, starts_at=starts_at, ends_at=starts_at + timedelta(hours=2), sign_up_closes_at=starts_at
    )


@pytest.fixture
def held_person(make):
    """Make somebody who is one point below the threshold."""

    def held_person(points=-41):
        person = make.person()
        make.credit_entry(make.sign_up(make.activity(), person), points=points)
        return person

    return held_person


def url(activity, rest=""):
    return f"/v1/activities/{activity.id}/sign-up{rest}"


def settle(database):
    advance_due(database, threading.Event())


def state(client, activity):
    return client.get(url(activity)).json["state"]


def test_they_wait_until_the_last_hours_although_places_are_free(
    lecture, held_person, as_user, frozen, database
):
    client = as_user(held_person().id)
    until = lecture.starts_at - HELD
    joined = client.put(url(lecture), json={}).json
    assert (joined["state"], joined["position"], joined["held_until"]) == ("waitlisted", 1, until.isoformat())
    assert client.put(url(lecture), json={}).json["held_until"] == until.isoformat()
    frozen.set(until - timedelta(seconds=1))
    settle(database)
    assert state(client, lecture) == "waitlisted"
    frozen.set(until)
    settle(database)
    assert state(client, lecture) == "confirmed"
    assert client.get(url(lecture)).json["held_until"] is None


def test_others_pass_them_until_then_and_the_rest_is_given_in_order(
    lecture, held_person, make, as_user, frozen, database
):
    first, second = (as_user(held_person().id) for _ in range(2))
    other = as_user(make.person().id)
    for client in (first, second):
        client.put(url(lecture), json={})
    assert other.put(url(lecture), json={}).json["state"] == "confirmed"
    frozen.set(lecture.starts_at - HELD)
    settle(database)
    assert (state(first, lecture), state(second, lecture)) == ("confirmed", "waitlisted")
    other.delete(url(lecture))
    assert state(second, lecture) == "confirmed"


def test_a_freed_place_goes_to_who_is_not_held(lecture, held_person, make, as_user):
    held = as_user(held_person().id)
    clients = [as_user(make.person().id) for _ in range(3)]
    for client in (clients[0], held, *clients[1:]):
        client.put(url(lecture), json={})
    clients[0].delete(url(lecture))
    assert [state(client, lecture) for client in (held, clients[1], clients[2])] == [
        "waitlisted",
        "confirmed",
        "confirmed",
    ]


def test_in_the_last_hours_they_join_like_everybody(lecture, held_person, as_user, frozen):
    person = held_person()
    frozen.set(lecture.starts_at - HELD)
    joined = as_user(person.id).put(url(lecture), json={}).json
    assert (joined["state"], joined["held_until"]) == ("confirmed", None)


def test_at_the_threshold_or_with_credit_off_nobody_is_held(
    lecture, held_person, as_user, database, monkeypatch
):
    assert as_user(held_person(points=-40).id).put(url(lecture), json={}).json["state"] == "confirmed"
    monkeypatch.setattr(database, "settings", database.settings.replace(credit=False))
    assert as_user(held_person().id).put(url(lecture), json={}).json["state"] == "confirmed"


def test_who_is_added_by_staff_is_held_too(lecture, held_person, make, as_user, database):
    officer = make.person()
    with database.reading() as db:
        org = db.execute(select(Org).where(Org.id == lecture.org_id)).one()
    make.grant(officer, Role.OFFICER, org=org)
    person = held_person()
    added = (
        as_user(officer.id)
        .post(f"/v1/activities/{lecture.id}/sign-ups", json={"person_id": str(person.id)})
        .json
    )
    assert added["state"] == "waitlisted"
    assert as_user(person.id).get(url(lecture)).json["held_until"] == (lecture.starts_at - HELD).isoformat()


def test_an_appeal_that_is_upheld_lets_them_in_at_the_next_round(lecture, make, as_user, database):
    city = make.org()
    county = make.org(city)
    person = make.person()
    client = as_user(person.id)
    sign_up = make.sign_up(make.activity(county), person)
    make.credit_entry(sign_up, points=-40)
    entry = make.credit_entry(sign_up, rule=CreditRule.LATE, points=-2)
    assert client.put(url(lecture), json={}).json["state"] == "waitlisted"
    appeal = make.add(CreditAppeal(entry_id=entry.id, text="我准时到了", created_at=clock.now()))
    officer = as_user(make.staff(Role.OFFICER, org=city).id)
    officer.post(f"/v1/credit-appeals/{appeal.id}/decision", json={"uphold": True, "reason": "已核实"})
    settle(database)
    assert state(client, lecture) == "confirmed"


def test_joining_takes_one_statement_more_when_credit_is_on(
    app, lecture, make, as_user, database, monkeypatch
):
    def statements():
        client = as_user(make.person().id)
        with count_statements(app) as sent:
            client.put(url(lecture), json={})
        return len(sent)

    statements()
    with_credit = statements()
    monkeypatch.setattr(database, "settings", database.settings.replace(credit=False))
    assert with_credit - statements() == 1
