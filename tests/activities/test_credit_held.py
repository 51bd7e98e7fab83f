"""Who has too few points queues, and gets a place in the last hours only."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from activities.proof import violations
from bodies import activity_body
from counting import count_statements
from sqlalchemy import select

from engage.activities.models import AdmissionMode, CreditAppeal, CreditRule
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


def test_points_that_fade_or_are_won_let_them_in_at_the_next_round_in_the_order_of_the_queue(
    lecture, held_person, make, as_user, frozen, database
):
    people = [make.person() for _ in range(3)]
    noted = [make.sign_up(make.activity(), person) for person in people]
    for sign_up, fades in zip(noted, (4, 1, 4), strict=True):
        make.credit_entry(sign_up, points=-41, fades_at=clock.now() + timedelta(hours=fades))
    clients = [as_user(person.id) for person in people]
    for client in clients:
        client.put(url(lecture), json={})
    frozen.move(hours=1)
    settle(database)
    assert [state(client, lecture) for client in clients] == ["waitlisted", "confirmed", "waitlisted"]
    for sign_up in (noted[0], noted[2]):
        make.credit_entry(sign_up, rule=CreditRule.ATTENDED, points=3)
    settle(database)
    assert [state(client, lecture) for client in clients] == ["confirmed", "confirmed", "waitlisted"]
    assert clients[2].get(url(lecture)).json["held_until"] is None, "they wait like everybody"
    assert violations(database) == {}


def test_nobody_is_held_once_credit_is_off_or_asks_for_less(
    lecture, held_person, as_user, database, monkeypatch
):
    clients = [as_user(held_person(points).id) for points in (-41, -61)]
    for client in clients:
        client.put(url(lecture), json={})
    monkeypatch.setattr(database, "settings", database.settings.replace(credit_threshold=50))
    settle(database)
    assert [state(client, lecture) for client in clients] == ["confirmed", "waitlisted"]
    monkeypatch.setattr(database, "settings", database.settings.replace(credit=False))
    settle(database)
    assert state(clients[1], lecture) == "confirmed"


@pytest.fixture
def office(credit_on, make, as_user):
    """An organisation's officer, and activities in three days by the default terms: offers in the last day, the queue open to the last hour."""

    class Office:
        org = make.org()
        officer = as_user(make.staff(Role.OFFICER, org=org).id)

        def open(self, **values):
            starts_at = clock.now() + timedelta(days=3)
            return make.activity(
                self.org,
                **{
                    "capacity": 2,
                    "starts_at": starts_at,
                    "ends_at": starts_at + timedelta(hours=2),
                    "sign_up_closes_at": starts_at,
                    "offers_from_at": starts_at - timedelta(hours=24),
                    "queue_closes_at": starts_at - timedelta(hours=1),
                    **values,
                },
            )

        def accept(self, activity, *clients):
            """Rank applications as they are given; return (state, position) of each."""
            ids = [client.get(url(activity)).json["id"] for client in clients]
            items = [
                {"sign_up_id": one, "decision": "accept", "rank": rank} for rank, one in enumerate(ids, 1)
            ]
            answer = self.officer.post(f"/v1/activities/{activity.id}/decisions", json={"items": items})
            assert answer.status_code == 200, answer.json
            return [(result["state"], result["position"]) for result in answer.json["results"]]

    return Office()


def test_they_are_confirmed_not_offered_once_the_last_hours_begin(
    office, held_person, as_user, frozen, database
):
    lecture = office.open()
    client = as_user(held_person().id)
    client.put(url(lecture), json={})
    frozen.set(lecture.starts_at - HELD + timedelta(minutes=3))
    settle(database)
    assert state(client, lecture) == "confirmed"


def test_once_the_queue_has_closed_the_place_is_for_the_door(office, held_person, as_user, frozen, database):
    lecture = office.open()
    client = as_user(held_person().id)
    client.put(url(lecture), json={})
    frozen.set(lecture.queue_closes_at)
    settle(database)
    assert client.get(url(lecture)).json["code"] == "no_such_sign_up"


def test_who_is_accepted_in_review_waits_at_their_rank(office, held_person, make, as_user, frozen, database):
    activity = office.open(admission_mode=AdmissionMode.REVIEW)
    low, *others = clients = [as_user(person.id) for person in (held_person(), make.person(), make.person())]
    for client in clients:
        client.put(url(activity), json={})
    assert office.accept(activity, *clients) == [("waitlisted", 1), ("confirmed", None), ("confirmed", None)]
    assert low.get(url(activity)).json["held_until"] == (activity.starts_at - HELD).isoformat()
    others[0].delete(url(activity))
    assert state(low, activity) == "waitlisted"
    frozen.set(activity.starts_at - HELD)
    settle(database)
    assert state(low, activity) == "confirmed"


def test_they_can_be_accepted_where_there_is_no_queue(office, held_person, as_user):
    activity = office.open(admission_mode=AdmissionMode.REVIEW, waitlist_capacity=0)
    low = as_user(held_person().id)
    low.put(url(activity), json={})
    assert office.accept(activity, low) == [("waitlisted", 1)]


def test_who_lost_points_while_waiting_is_passed_too(lecture, make, as_user, frozen, database):
    people = [make.person() for _ in range(4)]
    clients = [as_user(person.id) for person in people]
    for client in clients:
        client.put(url(lecture), json={})
    make.credit_entry(make.sign_up(make.activity(), people[2]), points=-41)
    clients[0].delete(url(lecture))
    assert [state(client, lecture) for client in clients[2:]] == ["waitlisted", "confirmed"]
    assert clients[2].get(url(lecture)).json["held_until"] == (lecture.starts_at - HELD).isoformat()
    clients[1].delete(url(lecture))
    assert state(clients[2], lecture) == "waitlisted"
    frozen.set(lecture.starts_at - HELD)
    settle(database)
    assert state(clients[2], lecture) == "confirmed"


def test_where_all_in_line_are_held_the_place_stays_free_for_a_newcomer(lecture, make, as_user, database):
    people = [make.person() for _ in range(5)]
    clients = [as_user(person.id) for person in people]
    for client in clients:
        client.put(url(lecture), json={})
    for person in people[2:]:
        make.credit_entry(make.sign_up(make.activity(), person), points=-41)
    clients[0].delete(url(lecture))
    assert {state(client, lecture) for client in clients[2:]} == {"waitlisted"}
    assert as_user(make.person().id).put(url(lecture), json={}).json["state"] == "confirmed"


def test_a_lottery_gives_their_place_to_the_next_and_keeps_their_number(
    office, held_person, make, as_user, frozen, database
):
    closes_at = clock.now() + timedelta(days=1)
    body = activity_body(
        make.project(office.org), clock.now(), sign_up_closes_at=closes_at.isoformat(), capacity=1, waitlist_capacity=5,
        admission={"mode": "lottery", "lottery": {"draws_at": (closes_at + timedelta(hours=2)).isoformat()}},
    )  # fmt: skip
    place = office.officer.post("/v1/activities", json=body).headers["Location"]
    office.officer.post(f"{place}/publication")
    low = [as_user(held_person().id) for _ in range(3)]
    fine = as_user(make.person().id)
    for client in (*low, fine):
        assert client.put(f"{place}/sign-up", json={}).json["state"] == "applied"
    frozen.move(days=1, minutes=1)
    settle(database)
    frozen.move(hours=2)
    settle(database)
    shown = fine.get(f"{place}/draw").json
    number = {entry["entry"]: entry["position"] for entry in shown["entries"]}
    mine = fine.get(f"{place}/sign-up").json
    assert (mine["state"], mine["held_until"]) == ("confirmed", None)
    waiting = sorted(
        (client.get(f"{place}/sign-up").json for client in low), key=lambda one: number[one["id"]]
    )
    assert [one["position"] for one in waiting] == [1, 2, 3]


def test_without_a_queue_they_are_told_the_reason_and_not_that_it_is_full(office, held_person, make, as_user):
    activity = office.open(waitlist_capacity=0)
    person = held_person()
    itself = as_user(person.id).put(url(activity), json={})
    added = office.officer.post(f"/v1/activities/{activity.id}/sign-ups", json={"person_id": str(person.id)})
    imported = office.officer.post(
        f"/v1/activities/{activity.id}/sign-up-imports", json={"items": [{"person_id": str(person.id)}]}
    )
    assert [(answer.status_code, answer.json["code"]) for answer in (itself, added)] == [
        (409, "credit_too_low")
    ] * 2
    assert imported.json["results"][0]["code"] == "credit_too_low"
    assert as_user(make.person().id).put(url(activity), json={}).json["state"] == "confirmed"


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
