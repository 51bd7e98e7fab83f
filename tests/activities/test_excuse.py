"""Excusing oneself in time: the place goes on, and it is no absence."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import previews
import pytest
from counting import count_statements
from sqlalchemy import select

from engage.activities.models import Activity, ActivityStatus, CancelCause, CreditEntry, SignUp, SignUpState
from engage.core import clock, ids
from engage.messages.models import OutboxEntry
from engage.orgs.models import Org, Role

REASON = {"reason": "单位临时加班"}


def url(activity, rest="/excuse"):
    return f"/v1/activities/{activity.id}/sign-up{rest}"


@pytest.fixture
def lecture(frozen, make):
    """One place; excuses are taken until two hours before the start tomorrow."""
    return make.activity(capacity=1, excuse_until_at=clock.now() + timedelta(hours=22))


@pytest.fixture
def pair(lecture, make, as_user):
    """Who has the place, and who waits for it."""
    clients = [as_user(make.person().id) for _ in range(2)]
    for client in clients:
        client.put(url(lecture, ""), json={})
    return clients


def latest(database):
    with database.reading() as db:
        return db.execute(
            select(SignUp.state, SignUp.cancel_cause, SignUp.cancel_reason).order_by(SignUp.seq)
        ).first()


def test_the_place_goes_to_the_next_and_the_reason_is_kept(lecture, pair, database):
    holder, waiting = pair
    answer = holder.post(url(lecture), json=REASON)
    assert answer.status_code == 200
    assert (answer.json["excused_at"], answer.json["reason"]) == (clock.now().isoformat(), REASON["reason"])
    assert tuple(latest(database)) == (SignUpState.CANCELLED, CancelCause.EXCUSED, REASON["reason"])
    assert waiting.get(url(lecture, "")).json["state"] == "confirmed"
    assert holder.get(url(lecture, "")).json["code"] == "no_such_sign_up"


@pytest.fixture
def officer(lecture, make, as_user, database):
    person = make.person()
    with database.reading() as db:
        make.grant(person, Role.OFFICER, org=db.execute(select(Org).where(Org.id == lecture.org_id)).one())
    return as_user(person.id)


def test_it_stands_as_excused_in_the_list_of_the_staff(lecture, pair, officer):
    pair[0].post(url(lecture), json=REASON)
    listed = officer.get(f"/v1/activities/{lecture.id}/sign-ups").json["items"]
    assert [(item["state"], item["attendance"]) for item in listed] == [
        ("cancelled", "excused"),
        ("confirmed", None),
    ]


def test_repeating_it_returns_the_first_excuse(lecture, pair, frozen):
    first = pair[0].post(url(lecture), json=REASON).json
    frozen.move(hours=1)
    assert pair[0].post(url(lecture), json={"reason": "别的"}).json == first


@pytest.mark.parametrize("state", [SignUpState.WAITLISTED, SignUpState.APPLIED])
def test_who_had_no_place_has_left_with_a_reason_and_is_not_excused(
    lecture, pair, make, officer, as_user, frozen, state
):
    person = make.person()
    make.sign_up(lecture, person, state=state)
    client = as_user(person.id)
    first = client.post(url(lecture), json=REASON)
    frozen.move(minutes=1)
    assert (first.status_code, client.post(url(lecture), json={"reason": "别的"}).json) == (200, first.json)
    ended = officer.get(f"/v1/activities/{lecture.id}/sign-ups?state=cancelled").json["items"]
    assert [(item["attendance"], item["cancel_reason"], item["excuse_reason"]) for item in ended] == [
        (None, REASON["reason"], None)
    ]
    frozen.set(lecture.ends_at)
    assert client.get("/v1/me/sign-ups?when=past").json["items"] == []


def test_an_offer_that_is_given_up_with_a_reason_was_a_place(lecture, make, officer, as_user):
    person = make.person()
    make.sign_up(
        lecture, person, state=SignUpState.OFFERED, offered_at=clock.now(), offer_expires_at=lecture.starts_at
    )
    as_user(person.id).post(url(lecture), json=REASON)
    listed = officer.get(f"/v1/activities/{lecture.id}/sign-ups").json["items"]
    assert [(item["attendance"], item["excuse_reason"]) for item in listed] == [("excused", REASON["reason"])]


def test_the_excused_find_it_among_their_past(lecture, pair, frozen):
    pair[0].post(url(lecture), json=REASON)
    assert pair[0].get("/v1/me/sign-ups").json["items"] == []
    frozen.set(lecture.ends_at)
    [mine] = pair[0].get("/v1/me/sign-ups?when=past").json["items"]
    assert (mine["state"], mine["attendance"], mine["activity"]["id"]) == (
        "cancelled",
        "excused",
        str(lecture.id),
    )
    assert pair[0].get(url(lecture, "")).json["code"] == "no_such_sign_up", "there is none that is live"


def test_who_has_joined_again_is_excused_again(lecture, pair):
    first = pair[0].post(url(lecture), json=REASON).json
    pair[0].put(url(lecture, ""), json={})
    second = pair[0].post(url(lecture), json={"reason": "又有事"}).json
    assert second["sign_up_id"] != first["sign_up_id"]
    assert second["reason"] == "又有事"


def test_after_the_deadline_it_is_too_late_but_leaving_is_possible(lecture, pair, as_user, frozen, make):
    frozen.set(lecture.excuse_until_at)
    refused = pair[0].post(url(lecture), json=REASON)
    assert (refused.status_code, refused.json["code"]) == (409, "excuse_too_late")
    frozen.move(seconds=-1)
    assert pair[1].post(url(lecture), json=REASON).status_code == 200
    frozen.move(seconds=1)
    assert pair[0].delete(url(lecture, "")).status_code == 204


def test_without_a_sign_up_there_is_nothing_to_excuse(lecture, make, as_user):
    person = make.person()
    client = as_user(person.id)
    assert client.post(url(lecture), json=REASON).json["code"] == "no_such_sign_up"
    make.sign_up(lecture, person, state=SignUpState.CANCELLED, cancel_cause=CancelCause.LEFT)
    assert client.post(url(lecture), json=REASON).json["code"] == "no_such_sign_up"
    make.sign_up(lecture, person, state=SignUpState.REFUSED)
    assert client.post(url(lecture), json=REASON).json["code"] == "no_such_sign_up"


def test_who_is_there_is_not_excused(lecture, make, as_user):
    person = make.person()
    make.check_in(make.sign_up(lecture, person))
    assert as_user(person.id).post(url(lecture), json=REASON).json["code"] == "already_checked_in"


@pytest.mark.parametrize(
    ("status", "code"),
    [(ActivityStatus.DRAFT, "no_such_activity"), (ActivityStatus.CANCELLED, "activity_cancelled")],
)
def test_of_what_is_not_held_nobody_is_excused(frozen, make, as_user, status, code):
    person = make.person()
    activity = make.activity(status=status)
    make.sign_up(activity, person)
    assert as_user(person.id).post(url(activity), json=REASON).json["code"] == code


def test_an_unknown_activity_is_not_found(make, as_user):
    answer = as_user(make.person().id).post(f"/v1/activities/{ids.new_id()}/sign-up/excuse", json=REASON)
    assert (answer.status_code, answer.json["code"]) == (404, "no_such_activity")


def test_excusing_and_leaving_at_once_end_the_sign_up_once(lecture, pair, database):
    holder, waiting = pair
    calls = [
        lambda: holder.post(url(lecture), json=REASON).status_code,
        lambda: holder.delete(url(lecture, "")).status_code,
    ]
    with ThreadPoolExecutor(2) as pool:
        excused, left = pool.map(lambda call: call(), calls)
    assert (excused, left) in ((200, 204), (404, 204))
    assert latest(database).cancel_cause is (CancelCause.EXCUSED if excused == 200 else CancelCause.LEFT)
    with database.reading() as db:
        assert db.execute(select(Activity.taken, Activity.waiting)).one() == (1, 0)
    assert waiting.get(url(lecture, "")).json["state"] == "confirmed"


def test_it_takes_few_statements(app, lecture, pair):
    with count_statements(app) as sent:
        pair[1].post(url(lecture), json=REASON)
    assert len(sent) <= 1 + 7


def test_who_is_excused_by_staff_before_the_start_makes_room_and_is_told(lecture, pair, officer, database):
    first, second = (pair[number].get(url(lecture, "")).json["id"] for number in (0, 1))
    address = f"/v1/activities/{lecture.id}/sign-ups/{first}/excuse"
    answer = officer.post(address, json=REASON)
    assert (answer.json["state"], answer.json["attendance"], answer.json["excuse_reason"]) == (
        "cancelled",
        "excused",
        REASON["reason"],
    )
    assert officer.post(address, json={"reason": "别的"}).json == answer.json, "a repetition changes nothing"
    assert pair[1].get(url(lecture, "")).json["state"] == "confirmed"
    with database.reading() as db:
        told = db.scalars(select(OutboxEntry.kind).order_by(OutboxEntry.seq)).all()
    assert sorted(told) == ["sign_up_cancelled_by_staff", "sign_up_promoted"]
    assert second != first


def test_after_the_start_an_excuse_is_noted_and_the_place_stays(lecture, pair, officer, frozen):
    sign_up_id = pair[0].get(url(lecture, "")).json["id"]
    frozen.set(lecture.starts_at)
    answer = officer.post(f"/v1/activities/{lecture.id}/sign-ups/{sign_up_id}/excuse", json=REASON).json
    assert (answer["state"], answer["attendance"]) == ("confirmed", "excused")


@pytest.fixture
def planned(switch_credit_on, frozen, make, as_user):
    """An activity whose time for excuses has just passed, its officer, and somebody with a place."""

    class Planned:
        org = make.org()
        officer = as_user(make.staff(Role.OFFICER, org=org).id)
        activity = make.activity(org, excuse_until_at=clock.now())
        url = f"/v1/activities/{activity.id}"
        client = as_user(make.person().id)

        def points_after_leaving(self):
            assert self.client.delete(f"{self.url}/sign-up").status_code == 204
            return self.client.get("/v1/me/credit").json["points"]

    planned = Planned()
    planned.client.put(f"{planned.url}/sign-up", json={})
    frozen.move(minutes=1)
    return planned


@pytest.fixture
def switch_credit_on(database, monkeypatch):
    monkeypatch.setattr(database, "settings", database.settings.replace(credit=True))


def test_who_leaves_what_stayed_as_it_was_pays(planned):
    harmless = previews.as_sent(planned.officer, planned.url, title="改名")
    assert previews.edit(planned.officer, planned.url, harmless).status_code == 200
    assert planned.points_after_leaving() == 95


@pytest.mark.parametrize("change", [{"place_name": "体育馆"}, {"later": -timedelta(minutes=30)}])
def test_who_leaves_what_staff_moved_after_the_time_for_excuses_pays_nothing(planned, change):
    by = change.get("later")
    if by:
        change = {
            name: (getattr(planned.activity, name) + by).isoformat() for name in ("starts_at", "ends_at")
        }
    sent = previews.as_sent(planned.officer, planned.url, **change)
    assert previews.edit(planned.officer, planned.url, sent).json["attendance"]["excuse_minutes"] == 0
    # A form that was filled in before does not take that back.
    previews.edit(planned.officer, planned.url, sent)
    assert planned.points_after_leaving() == 100


def test_who_leaves_what_was_called_off_and_reopened_pays_nothing(planned):
    previews.cancel(planned.officer, planned.url)
    assert planned.officer.post(f"{planned.url}/reopening", json={"reason": "修好了"}).status_code == 200
    assert planned.points_after_leaving() == 100


def test_staff_excuse_only_who_has_a_place(frozen, make, as_user):
    org = make.org()
    activity = make.activity(org)
    officer = as_user(make.staff(Role.OFFICER, org=org).id)
    for state in (SignUpState.APPLIED, SignUpState.REFUSED, SignUpState.WAITLISTED):
        sign_up = make.sign_up(activity, state=state)
        answer = officer.post(f"/v1/activities/{activity.id}/sign-ups/{sign_up.id}/excuse", json=REASON)
        assert (answer.status_code, answer.json["code"]) == (409, "sign_up_not_confirmed")
    ended = make.sign_up(activity, state=SignUpState.CANCELLED)
    answer = officer.post(f"/v1/activities/{activity.id}/sign-ups/{ended.id}/excuse", json=REASON)
    assert (answer.status_code, answer.json["code"]) == (404, "no_such_sign_up")


def test_staff_cannot_excuse_who_is_there(frozen, make, as_user):
    org = make.org()
    activity = make.activity(org)
    there = make.sign_up(activity)
    make.check_in(there)
    frozen.set(activity.starts_at)
    officer = as_user(make.staff(Role.OFFICER, org=org).id)
    answer = officer.post(f"/v1/activities/{activity.id}/sign-ups/{there.id}/excuse", json=REASON)
    assert (answer.status_code, answer.json["code"]) == (409, "already_checked_in")


def test_no_points_are_lost_by_an_excuse_but_by_leaving_after_the_deadline(
    lecture, pair, database, monkeypatch, frozen
):
    monkeypatch.setattr(database, "settings", database.settings.replace(credit=True))
    holder, next_one = pair
    holder.post(url(lecture), json=REASON)
    frozen.set(lecture.excuse_until_at)
    next_one.delete(url(lecture, ""))
    with database.reading() as db:
        entries = db.execute(select(CreditEntry.rule, CreditEntry.points)).all()
    assert [(rule.value, points) for rule, points in entries] == [("late_cancel", -5)]
