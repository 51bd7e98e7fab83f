"""The queue near the start: offers, their expiry, the night, and the close."""

from __future__ import annotations

import threading
from datetime import datetime, timedelta

import pytest
from activities.proof import violations
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from engage.activities.models import Activity, SignUp
from engage.activities.service import due, transitions
from engage.activities.service.due import advance_due
from engage.core import ids
from engage.core.clock import SHANGHAI
from engage.messages.models import OutboxEntry
from engage.orgs.models import Role, RoleGrant

HOUR = timedelta(hours=1)
START = datetime(2026, 10, 2, 20, tzinfo=SHANGHAI)  # the clock stands at 10:00 the day before


def url(activity, rest="sign-up"):
    return f"/v1/activities/{activity.id}/{rest}"


@pytest.fixture
def lecture(frozen, make):
    """One place, a queue of five; offers in the last 24 hours, none in the last."""

    def hold(**values):
        return make.activity(
            **{
                "capacity": 1,
                "waitlist_capacity": 5,
                "starts_at": START,
                "ends_at": START + 2 * HOUR,
                "sign_up_closes_at": START,
                "offers_from_at": START - 24 * HOUR,
                "queue_closes_at": START - HOUR,
                **values,
            }
        )

    return hold


@pytest.fixture
def queue(lecture, as_user, make):
    """An activity, whoever has its place, and three who wait."""
    activity = lecture()
    clients = [as_user(make.person().id) for _ in range(4)]
    for client in clients:
        client.put(url(activity), json={})
    return activity, *clients


def settle(database):
    advance_due(database, threading.Event())


def state(client, activity):
    return client.get(url(activity)).json["state"]


def outbox(database):
    with database.reading() as db:
        return [
            tuple(row)
            for row in db.execute(
                select(OutboxEntry.kind, OutboxEntry.available_at).order_by(OutboxEntry.seq)
            )
        ]


def test_far_from_the_start_a_freed_place_is_the_next_ones(queue, frozen, database):
    activity, holder, first, second, _ = queue
    frozen.set(START - 24 * HOUR)
    holder.delete(url(activity))
    assert (state(first, activity), state(second, activity)) == ("confirmed", "waitlisted")
    assert outbox(database) == [("sign_up_promoted", frozen.now)]


def test_inside_the_window_it_is_kept_for_the_next_to_accept(queue, frozen, database):
    activity, holder, first, second, _ = queue
    frozen.set(START - 10 * HOUR)
    holder.delete(url(activity))
    offered = first.get(url(activity)).json
    assert (offered["state"], offered["offer_expires_at"]) == ("offered", "2026-10-02T12:00:00+08:00")
    assert second.get(url(activity)).json["position"] == 1
    assert outbox(database) == [("place_offered", frozen.now)]
    accepted = first.post(url(activity, "sign-up/acceptance"))
    assert (accepted.status_code, accepted.json["state"]) == (200, "confirmed")
    assert accepted.json["offer_expires_at"] is None
    again = first.post(url(activity, "sign-up/acceptance"))
    assert again.json == accepted.json


def test_nobody_else_accepts_it(queue, frozen, make, as_user):
    activity, holder, first, second, _ = queue
    frozen.set(START - 10 * HOUR)
    holder.delete(url(activity))
    for client in (second, holder, as_user(make.person().id)):
        answer = client.post(url(activity, "sign-up/acceptance"))
        assert (answer.status_code, answer.json["code"]) == (404, "no_offer")
    assert state(first, activity) == "offered"


def test_an_offer_that_passes_goes_to_the_next(queue, frozen, database):
    activity, holder, first, second, third = queue
    frozen.set(START - 10 * HOUR)
    holder.delete(url(activity))
    frozen.move(hours=2)
    late = first.post(url(activity, "sign-up/acceptance"))
    assert (late.status_code, late.json["code"]) == (409, "offer_expired")
    settle(database)
    assert first.post(url(activity, "sign-up/acceptance")).json["code"] == "offer_expired"
    assert (state(second, activity), state(third, activity)) == ("offered", "waitlisted")
    assert [kind for kind, _ in outbox(database)] == ["place_offered", "offer_expired", "place_offered"]
    back = first.put(url(activity), json={}).json
    assert (back["state"], back["position"]) == ("waitlisted", 2), "who let it pass may stand at the end"


def test_declining_passes_it_on_at_once(queue, frozen):
    activity, holder, first, second, _ = queue
    frozen.set(START - 10 * HOUR)
    holder.delete(url(activity))
    assert first.delete(url(activity)).status_code == 204
    assert state(second, activity) == "offered"


def test_the_night_is_quiet_and_does_not_count(queue, frozen, database):
    activity, holder, first, *_ = queue
    night = START.replace(hour=1)
    frozen.set(night)
    holder.delete(url(activity))
    assert first.get(url(activity)).json["offer_expires_at"] == "2026-10-02T10:00:00+08:00"
    assert outbox(database) == [("place_offered", START.replace(hour=8))]


def test_a_promotion_at_night_is_told_in_the_morning(queue, frozen, database):
    activity, holder, first, *_ = queue
    frozen.set(START - 45 * HOUR)  # 23:00, long before
    holder.delete(url(activity))
    assert state(first, activity) == "confirmed"
    assert outbox(database) == [("sign_up_promoted", START.replace(day=1, hour=8))]


def test_an_offer_ends_with_the_queue(queue, frozen):
    activity, holder, first, *_ = queue
    frozen.set(START - 2 * HOUR)
    holder.delete(url(activity))
    assert first.get(url(activity)).json["offer_expires_at"] == "2026-10-02T19:00:00+08:00"


def test_no_offer_that_would_be_over_before_it_is_heard(lecture, as_user, make, frozen):
    morning = START.replace(hour=8, minute=30)
    activity = lecture(
        starts_at=morning,
        ends_at=morning + HOUR,
        sign_up_closes_at=morning,
        offers_from_at=morning - 24 * HOUR,
        queue_closes_at=morning - HOUR,
    )
    holder, first = (as_user(make.person().id) for _ in range(2))
    for client in (holder, first):
        client.put(url(activity), json={})
    frozen.set(morning - 6 * HOUR)
    holder.delete(url(activity))
    assert state(first, activity) == "waitlisted", "the place is for the door"


def test_the_queue_closes_and_those_in_it_are_told(queue, frozen, database, make, as_user):
    activity, holder, first, *_ = queue
    frozen.set(START - HOUR)
    holder.delete(url(activity))
    settle(database)
    answer = first.get(url(activity))
    assert (answer.status_code, answer.json["code"]) == (404, "no_such_sign_up")
    assert [kind for kind, _ in outbox(database)] == ["queue_closed"] * 3
    newcomer = as_user(make.person().id)
    assert newcomer.put(url(activity), json={}).json["state"] == "confirmed", (
        "a free place is still to be had"
    )
    refused = as_user(make.person().id).put(url(activity), json={})
    assert (refused.status_code, refused.json["code"]) == (409, "queue_closed")


def test_nothing_is_settled_twice_or_before_its_time(queue, frozen, database):
    activity, holder, *_ = queue
    frozen.set(START - 10 * HOUR)
    holder.delete(url(activity))
    for _ in range(2):
        settle(database)
    assert [kind for kind, _ in outbox(database)] == ["place_offered"]


def test_more_places_inside_the_window_are_offered_in_order(queue, frozen, database):
    activity, _, first, second, third = queue
    frozen.set(START - 10 * HOUR)
    with database.transaction() as session:
        session.get(Activity, activity.id).capacity = 3
    settle(database)
    assert state(first, activity) == "waitlisted", (
        "a change from outside waits for the next that moves the queue"
    )
    third.delete(url(activity))
    assert (state(first, activity), state(second, activity)) == ("offered", "offered")


def test_whoever_is_held_lets_others_pass_until_their_time(lecture, make, as_user, frozen, database):
    activity = lecture(capacity=2)
    held = make.person()
    make.sign_up(activity, held, state="waitlisted", held_until=START - 24 * HOUR)
    newcomer, late = (as_user(make.person().id) for _ in range(2))
    assert newcomer.put(url(activity), json={}).json["state"] == "confirmed"
    waiting = as_user(held.id).get(url(activity)).json
    assert (waiting["state"], waiting["held_until"]) == ("waitlisted", "2026-10-01T20:00:00+08:00")
    frozen.set(START - 24 * HOUR)
    settle(database)
    assert state(as_user(held.id), activity) == "confirmed"
    assert late.put(url(activity), json={}).json["state"] == "waitlisted"
    with database.reading() as db:
        assert db.execute(select(Activity.taken, Activity.waiting, Activity.held)).one() == (2, 1, 0)
        assert db.scalar(select(SignUp.held_until).where(SignUp.person_id == held.id)) is None


def test_an_offer_of_an_activity_that_was_called_off_cannot_be_accepted(queue, frozen, database):
    activity, holder, first, *_ = queue
    frozen.set(START - 10 * HOUR)
    holder.delete(url(activity))
    with database.transaction() as session:
        session.get(Activity, activity.id).status = "cancelled"
    answer = first.post(url(activity, "sign-up/acceptance"))
    assert (answer.status_code, answer.json["code"]) == (409, "activity_cancelled")


def test_an_activity_that_cannot_be_settled_does_not_stop_the_others(queue, frozen, database, monkeypatch):
    activity, holder, *_ = queue
    frozen.set(START - 10 * HOUR)
    holder.delete(url(activity))
    frozen.move(hours=2)

    def fail(*_):
        raise IntegrityError("UPDATE", {}, Exception("constraint"))

    monkeypatch.setattr(transitions, "expire_offers", fail)
    assert due.expire_offers(database) == 0
    monkeypatch.undo()
    assert due.expire_offers(database) == 1


@pytest.mark.parametrize("late", [timedelta(days=3), timedelta(days=20)])
@pytest.mark.parametrize("status", ["published", "summarised"])
def test_a_queue_is_closed_however_late(queue, frozen, database, late, status):
    activity, _, first, *_ = queue
    frozen.set(START + late)
    with database.transaction() as session:
        session.get(Activity, activity.id).status = status
    assert violations(database) == {"queues_overdue": 1}
    settle(database)
    assert violations(database) == {}
    assert first.get(url(activity)).json["code"] == "no_such_sign_up"
    assert outbox(database) == [], "nobody is told once it is over"


def test_who_comes_after_the_close_need_not_wait_for_the_worker(queue, frozen, make, as_user, database):
    activity, holder, first, *_ = queue
    frozen.set(START - HOUR)
    holder.delete(url(activity))
    newcomers = [as_user(make.person().id) for _ in range(2)]
    assert newcomers[0].put(url(activity), json={}).json["state"] == "confirmed"
    assert newcomers[1].put(url(activity), json={}).json["code"] == "queue_closed"
    settle(database)
    assert first.get(url(activity)).json["code"] == "no_such_sign_up"


@pytest.fixture
def called_off(queue, frozen, database):
    """Return a function that calls the activity off while the first in the queue has an offer of two hours, and re-opens it."""
    activity, holder, *_ = queue
    frozen.set(START - 10 * HOUR)
    holder.delete(url(activity))
    with database.transaction() as session:
        session.get(Activity, activity.id).status = "cancelled"
    return activity


def test_no_offer_expires_while_an_activity_is_called_off(queue, called_off, frozen, database):
    _, _, first, *_ = queue
    frozen.move(hours=3)
    settle(database)
    assert state(first, called_off) == "offered"
    assert violations(database) == {}


def test_an_offer_that_ended_meanwhile_holds_anew_once_it_is_held_after_all(
    queue, called_off, frozen, database, make, as_user
):
    _, _, first, second, _ = queue
    officer = make.person()
    with database.reading() as db:
        org_id = db.scalar(select(Activity.org_id).where(Activity.id == called_off.id))
    make.add(RoleGrant(person_id=officer.id, role=Role.OFFICER, org_id=org_id, starts_at=frozen.now, reason="测试", created_at=frozen.now))  # fmt: skip
    frozen.move(hours=3)
    told = len(outbox(database))
    answer = as_user(officer.id).post(url(called_off, "reopening"), json={"reason": "来电了"})
    assert answer.status_code == 200, answer.json
    settle(database)
    mine = first.get(url(called_off)).json
    assert (mine["state"], mine["offer_expires_at"]) == ("offered", "2026-10-02T15:00:00+08:00")
    assert [kind for kind, _ in outbox(database)[told:]].count("place_offered") == 1
    assert first.post(url(called_off, "sign-up/acceptance")).json["state"] == "confirmed"
    assert state(second, called_off) == "waitlisted"


def test_an_offer_of_what_is_not_there_is_not_found(client, make, as_user, frozen):
    draft = make.activity(status="draft")
    somebody = as_user(make.person().id)
    for activity_id in (draft.id, ids.new_id()):
        answer = somebody.post(f"/v1/activities/{activity_id}/sign-up/acceptance")
        assert (answer.status_code, answer.json["code"]) == (404, "no_such_activity")
