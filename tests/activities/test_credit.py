"""Points: what they are taken and given for, when they fade, and what is told of it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from counting import count_statements
from sqlalchemy import delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from engage.activities.models import (
    Activity,
    ActivityStatus,
    CancelCause,
    CreditEntry,
    CreditRule,
    CreditSettlement,
    SignUp,
    SignUpState,
)
from engage.activities.queries import credit as queries
from engage.activities.service import credit
from engage.activities.service.due import settle_credit
from engage.core import clock, ids
from engage.core.db import Look, Work
from engage.messages.models import OutboxEntry
from engage.messages.service import deliver_due

OLD = timedelta(days=8)
AGO = timedelta(days=9)


@pytest.fixture
def switch(database, monkeypatch):
    """Return a function that sets how credit works; it is on from the start."""

    def switch(**values):
        monkeypatch.setattr(database, "settings", database.settings.replace(**{"credit": True, **values}))

    switch()
    return switch


@pytest.fixture
def held_activity(frozen, make):
    """An activity with somebody of every kind, which ended nine days ago: too long for anything about it to be uploaded."""

    class Held:
        activity = make.activity(
            starts_at=clock.now() - AGO - timedelta(hours=2),
            ends_at=clock.now() - AGO,
            sign_up_opens_at=clock.now() - AGO - timedelta(days=2),
            sign_up_closes_at=clock.now() - AGO - timedelta(hours=3),
            capacity=20,
            late_minutes=15,
        )
        people = {
            name: make.person()
            for name in ("early", "on_time", "late", "absent", "excused", "waiting", "left")
        }
        sign_ups = {}

    start = Held.activity.starts_at
    values = {
        "excused": {"excused_at": clock.now(), "excuse_reason": "生病"},
        "waiting": {"state": SignUpState.WAITLISTED},
        "left": {"state": SignUpState.CANCELLED, "cancel_cause": CancelCause.LEFT},
    }
    for name, person in Held.people.items():
        if name == "waiting":
            continue
        Held.sign_ups[name] = make.sign_up(Held.activity, person, **values.get(name, {}))
    make.sign_up(Held.activity, Held.people["waiting"], **values["waiting"])
    make.check_in(Held.sign_ups["early"], arrived_at=start - timedelta(minutes=20))
    make.check_in(Held.sign_ups["on_time"], arrived_at=start + timedelta(minutes=15))
    make.check_in(Held.sign_ups["late"], arrived_at=start + timedelta(minutes=15, seconds=1))
    walk_in = make.sign_up(Held.activity, state=SignUpState.WALK_IN)
    make.check_in(walk_in)
    return Held


def close(database, activity, status=ActivityStatus.SUMMARISED):
    with database.transaction() as session:
        session.execute(update(Activity).where(Activity.id == activity.id).values(status=status))


def entries(database):
    with database.reading() as db:
        rows = db.execute(select(CreditEntry.person_id, CreditEntry.rule, CreditEntry.points)).all()
    return {person_id: (rule.value, points) for person_id, rule, points in rows}


def points_of(client):
    return client.get("/v1/me/credit").json["points"]


def test_each_place_is_settled_by_what_became_of_it(switch, held_activity, database):
    close(database, held_activity.activity)
    assert settle_credit(database) == 1
    people = held_activity.people
    assert entries(database) == {
        people["early"].id: ("attended", 3),
        people["on_time"].id: ("attended", 3),
        people["late"].id: ("late", -2),
        people["absent"].id: ("absent", -10),
    }


def test_nothing_is_settled_twice(switch, held_activity, database):
    close(database, held_activity.activity)
    assert settle_credit(database) == 1
    before = entries(database)
    assert settle_credit(database) == 0
    with database.transaction() as session:  # somebody lost the marker: the entries still stand once
        session.execute(delete(CreditSettlement))
    assert settle_credit(database) == 1
    assert entries(database) == before
    with database.reading() as db:
        assert len(db.execute(select(CreditEntry.id)).all()) == len(before)
        assert len(db.execute(select(OutboxEntry.seq)).all()) == 2


def test_two_workers_at_once_make_one_set_of_entries(switch, held_activity, database):
    close(database, held_activity.activity)
    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(settle_credit, [database] * 4)) >= 1
    with database.reading() as db:
        assert len(db.execute(select(CreditEntry.id)).all()) == 4
        assert len(db.execute(select(OutboxEntry.seq)).all()) == 2


def test_what_is_off_settles_nothing(switch, held_activity, database):
    close(database, held_activity.activity)
    switch(credit=False)
    assert settle_credit(database) == 0
    switch(credit_attended=0, credit_late=0)
    assert settle_credit(database) == 1
    assert entries(database) == {held_activity.people["absent"].id: ("absent", -10)}


@pytest.mark.parametrize("status", [ActivityStatus.PUBLISHED, ActivityStatus.SUMMARISED])
def test_an_activity_is_settled_when_no_check_in_can_come_any_more(
    switch, held_activity, database, frozen, status
):
    close(database, held_activity.activity, status)
    ends_at = held_activity.activity.ends_at
    frozen.set(ends_at + OLD - timedelta(seconds=1))
    assert settle_credit(database) == 0
    frozen.set(ends_at + OLD)
    assert settle_credit(database) == 1


@pytest.mark.parametrize("status", [ActivityStatus.CANCELLED, ActivityStatus.DRAFT])
def test_what_did_not_take_place_is_not_settled(switch, held_activity, database, frozen, status):
    close(database, held_activity.activity, status)
    frozen.move(days=9)
    assert settle_credit(database) == 0


def test_what_is_long_past_when_credit_is_switched_on_stays_as_it_was(
    switch, held_activity, database, frozen
):
    close(database, held_activity.activity)
    frozen.set(held_activity.activity.ends_at + timedelta(days=30))
    assert settle_credit(database) == 0
    frozen.move(seconds=-1)
    assert settle_credit(database) == 1


def test_settling_takes_as_many_statements_for_many_people_as_for_few(
    app, switch, held_activity, database, make
):
    close(database, held_activity.activity)
    with count_statements(app) as few:
        settle_credit(database)
    many = make.activity(
        starts_at=clock.now() - AGO - timedelta(hours=2), ends_at=clock.now() - AGO, capacity=100,
        sign_up_opens_at=clock.now() - 2 * AGO, sign_up_closes_at=clock.now() - AGO, status=ActivityStatus.PUBLISHED,
    )  # fmt: skip
    for number in range(60):
        sign_up = make.sign_up(many)
        if number % 3:
            make.check_in(sign_up, arrived_at=many.starts_at + timedelta(hours=number % 2))
    close(database, many)
    with count_statements(app) as more:
        assert settle_credit(database) == 1
    assert len(more) == len(few)
    assert len(entries(database)) == 64


def test_one_round_is_bounded(switch, database, make, frozen):
    for _ in range(51):
        make.activity(
            starts_at=clock.now() - AGO - timedelta(hours=2), ends_at=clock.now() - AGO, sign_up_opens_at=clock.now() - 2 * AGO,
            sign_up_closes_at=clock.now() - AGO, status=ActivityStatus.SUMMARISED,
        )  # fmt: skip
    assert [settle_credit(database) for _ in range(3)] == [50, 1, 0]


@pytest.mark.parametrize(
    ("language", "texts"),
    [
        ("zh", {"absent": "没有到场，扣信用分10分", "late": "迟到，扣信用分2分"}),
        ("en", {"absent": "You did not come to", "late": "You came late to"}),
    ],
)
def test_losses_are_told_with_activity_rule_and_until_when_to_appeal(
    switch, held_activity, database, as_user, language, texts
):
    close(database, held_activity.activity)
    settle_credit(database)
    with database.reading() as db:
        told = {row.person_id: row for row in db.execute(select(OutboxEntry.__table__))}
    assert told.keys() == {held_activity.people[name].id for name in texts}
    for name in texts:
        row = told[held_activity.people[name].id]
        assert row.params["activity_id"] == str(held_activity.activity.id)
        assert row.params["title"] == held_activity.activity.title
        assert row.params["appeal_until_at"] == (clock.now() + timedelta(days=14)).isoformat()
    deliver_due(database)
    for name, text in texts.items():
        message = as_user(held_activity.people[name].id, language).get("/v1/me/messages").json["items"][0]
        assert text in message["text"]
        assert message["subject_id"] == str(held_activity.activity.id)


def test_at_night_a_loss_is_told_in_the_morning(switch, held_activity, database, frozen):
    close(database, held_activity.activity)
    frozen.set(clock.now().replace(hour=23))
    settle_credit(database)
    with database.reading() as db:
        told = set(db.scalars(select(OutboxEntry.available_at)))
    assert told == {clock.now().replace(hour=8) + timedelta(days=1)}


def test_my_points_are_the_start_and_what_my_entries_add_up_to(switch, make, as_user):
    person, other = make.person(), make.person()
    activity = make.activity()
    sign_up = make.sign_up(activity, person)
    make.credit_entry(make.sign_up(activity, other))
    assert points_of(as_user(person.id)) == 100
    make.credit_entry(sign_up)
    make.credit_entry(sign_up, rule=CreditRule.LATE_CANCEL, points=-5)
    assert points_of(as_user(person.id)) == 85
    make.credit_entry(sign_up, rule=CreditRule.ATTENDED, points=40)
    assert points_of(as_user(person.id)) == 100, "never above the start"
    assert as_user(person.id).get("/v1/me/credit").json == {
        "enabled": True,
        "points": 100,
        "start": 100,
        "threshold": 60,
        "held": False,
        "held_hours": 24,
        "fades_days": 180,
        "appeal_days": 14,
    }


def test_points_fade_with_time(switch, held_activity, database, make, as_user, frozen):
    person = held_activity.people["absent"]
    close(database, held_activity.activity)
    settle_credit(database)
    assert points_of(as_user(person.id)) == 90
    frozen.move(days=180, seconds=-1)
    client = as_user(person.id)
    assert points_of(client) == 90
    frozen.move(seconds=1)
    assert points_of(client) == 100
    entry = client.get("/v1/me/credit-entries").json["items"][0]
    assert (entry["points"], entry["counts"]) == (-10, False)


def test_below_the_threshold_somebody_is_held_and_not_when_credit_is_off(switch, make, as_user, database):
    person = make.person()
    client = as_user(person.id)
    sign_up = make.sign_up(make.activity(), person)
    held = lambda: client.get("/v1/me/credit").json["held"]

    def is_held():
        with database.reading() as db:
            look = Look(db, person, clock.now(), database)
            return person.id in queries.held_people(look, [person.id])

    make.credit_entry(sign_up, points=-40)
    assert (held(), is_held()) == (False, False), "at the threshold"
    make.credit_entry(sign_up, rule=CreditRule.LATE, points=-1)
    assert (held(), is_held()) == (True, True)
    switch(credit=False)
    assert (held(), is_held()) == (False, False)
    assert client.get("/v1/me/credit").json["enabled"] is False


def test_whether_somebody_is_held_takes_one_statement_and_none_when_off(app, switch, make, database):
    person = make.person()
    with database.reading() as db:
        look = Look(db, person, clock.now(), database)
        with count_statements(app) as sent:
            queries.held_people(look, [person.id])
        assert len(sent) == 1
        switch(credit=False)
        with count_statements(app) as sent:
            queries.held_people(look, [person.id])
        assert sent == []


def test_my_entries_say_by_which_activity_and_rule_and_are_nobody_elses(switch, make, as_user):
    person = make.person()
    activity = make.activity(title="青年夜校")
    sign_up = make.sign_up(activity, person)
    entry = make.credit_entry(sign_up)
    gain = make.credit_entry(sign_up, rule=CreditRule.ATTENDED, points=3)
    client = as_user(person.id)
    first, second = client.get("/v1/me/credit-entries").json["items"]
    assert first["id"] == str(gain.id)
    assert (first["appeal_until"], first["can_appeal"]) == (None, False)
    assert second == {
        "id": str(entry.id),
        "activity": {"id": str(activity.id), "title": "青年夜校"},
        "rule": "absent",
        "points": -10,
        "created_at": second["created_at"],
        "fades_at": second["fades_at"],
        "withdrawn_at": None,
        "counts": True,
        "appeal": None,
        "appeal_until": second["appeal_until"],
        "can_appeal": True,
    }
    page = client.get("/v1/me/credit-entries?limit=1").json
    assert [item["id"] for item in page["items"]] == [str(gain.id)]
    rest = client.get("/v1/me/credit-entries", query_string={"limit": 1, "cursor": page["next_cursor"]}).json
    assert [item["id"] for item in rest["items"]] == [str(entry.id)]
    assert as_user(make.person().id).get("/v1/me/credit-entries").json["items"] == []


def leave_late(database, sign_up, person):
    with database.transaction() as session:
        work = Work(session, person, clock.now(), database.settings)
        credit.note_late_leave(work, sign_up.activity_id, sign_up.id)


def test_leaving_after_the_time_for_excuses_costs_points_and_is_told(switch, make, database, frozen):
    person = make.person()
    activity = make.activity(excuse_until_at=clock.now() + timedelta(hours=2))
    sign_up = make.sign_up(activity, person)
    frozen.move(hours=2, seconds=-1)
    leave_late(database, sign_up, person)
    assert entries(database) == {}, "in time"
    frozen.move(seconds=1)
    leave_late(database, sign_up, person)
    leave_late(database, sign_up, person)
    assert entries(database) == {person.id: ("late_cancel", -5)}
    with database.reading() as db:
        assert db.scalars(select(OutboxEntry.kind)).all() == ["credit_late_cancel"]


@pytest.mark.parametrize("values", [{"credit": False}, {"credit_late_cancel": 0}])
def test_leaving_late_is_free_when_the_rule_is_off(app, switch, make, database, frozen, values):
    person = make.person()
    sign_up = make.sign_up(make.activity(excuse_until_at=clock.now()), person)
    switch(**values)
    with count_statements(app) as sent:
        leave_late(database, sign_up, person)
    assert sent == []
    assert entries(database) == {}


def test_who_got_the_place_from_the_queue_after_the_time_for_excuses_leaves_free(
    switch, make, database, frozen
):
    person, asked = make.person(), make.person()
    activity = make.activity(excuse_until_at=clock.now())
    frozen.move(minutes=5)
    leave_late(database, make.sign_up(activity, person, promoted_at=clock.now()), person)
    assert entries(database) == {}
    accepted = make.sign_up(activity, asked, promoted_at=clock.now(), offered_at=clock.now())
    leave_late(database, accepted, asked)
    assert entries(database) == {asked.id: ("late_cancel", -5)}, "who accepted an offer was asked"


def test_who_was_put_in_by_staff_after_the_time_for_excuses_leaves_free(switch, make, database, frozen):
    before, after, officer = make.person(), make.person(), make.person()
    activity = make.activity(excuse_until_at=clock.now() + timedelta(minutes=5))
    early = make.sign_up(activity, before, added_by=officer.id)
    frozen.move(minutes=5)
    late = make.sign_up(activity, after, added_by=officer.id)
    leave_late(database, early, before)
    leave_late(database, late, after)
    assert entries(database) == {before.id: ("late_cancel", -5)}


@pytest.mark.parametrize(("status", "cost"), [("published", 5), ("cancelled", 0)])
def test_leaving_what_was_called_off_is_free(switch, make, as_user, database, frozen, status, cost):
    person = make.person()
    activity = make.activity(excuse_until_at=clock.now(), status=ActivityStatus(status))
    make.sign_up(activity, person)
    frozen.move(minutes=1)
    client = as_user(person.id)
    assert client.delete(f"/v1/activities/{activity.id}/sign-up").status_code == 204
    assert points_of(client) == 100 - cost


WRONG = {
    "nothing": {"points": 0},
    "a loss for being there": {"rule": CreditRule.ATTENDED},
    "a gain for absence": {"points": 10},
    "of another person": {"person_id": "other"},
    "of another activity": {"activity_id": "other"},
    "faded before it is made": {"fades_at": -1},
    "withdrawn by nobody": {"withdrawn_at": 0},
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
def test_the_database_refuses_an_entry_that_is(switch, make, database, frozen, wrong):
    sign_up = make.sign_up(make.activity())
    others = {"person_id": make.person().id, "activity_id": make.activity().id}
    values = {
        name: others[name] if value == "other" else clock.now() + timedelta(days=value)
        if name.endswith("_at") else value
        for name, value in wrong.items()
    }  # fmt: skip
    with pytest.raises(IntegrityError):
        make.credit_entry(sign_up, **values)


def test_the_database_refuses_a_second_entry_by_the_same_rule_and_any_change_but_one_withdrawal(
    switch, make, database, frozen
):
    sign_up = make.sign_up(make.activity())
    entry = make.credit_entry(sign_up)
    with pytest.raises(IntegrityError):
        make.credit_entry(sign_up)

    def change(**values):
        with database.transaction() as session:
            session.execute(update(CreditEntry).where(CreditEntry.id == entry.id).values(**values))

    other = make.sign_up(make.activity())
    for values in (
        {"points": -1},
        {"rule": CreditRule.LATE},
        {"created_at": clock.now() - timedelta(days=1)},
        {"fades_at": clock.now() + timedelta(days=1)},
        {"sign_up_id": other.id, "person_id": other.person_id, "activity_id": other.activity_id},
    ):
        with pytest.raises(IntegrityError):
            change(**values)
    change(withdrawn_at=clock.now(), withdrawn_by=other.person_id)
    with pytest.raises(IntegrityError):
        change(withdrawn_at=None, withdrawn_by=None)


def test_the_database_refuses_a_second_settlement(switch, make, database, frozen):
    activity = make.activity()
    make.add(CreditSettlement(activity_id=activity.id, settled_at=clock.now()))
    with pytest.raises(IntegrityError), database.transaction() as session:
        session.execute(insert(CreditSettlement).values(activity_id=activity.id, settled_at=clock.now()))


@pytest.mark.parametrize(
    "values", [{"state": SignUpState.WAITLISTED}, {"state": SignUpState.OFFERED}, {"excused_at": "now"}]
)
def test_who_had_no_place_or_was_excused_leaves_free(switch, make, database, frozen, values):
    person = make.person()
    if "excused_at" in values:
        values = {"excused_at": clock.now(), "excuse_reason": "生病"}
    elif values["state"] is SignUpState.OFFERED:
        values = {**values, "offered_at": clock.now(), "offer_expires_at": clock.now() + timedelta(hours=1)}
    leave_late(database, make.sign_up(make.activity(excuse_until_at=clock.now()), person, **values), person)
    assert entries(database) == {}


def test_an_unknown_sign_up_costs_nobody_anything(switch, make, database, frozen):
    sign_up = SignUp(activity_id=make.activity(excuse_until_at=clock.now()).id, id=ids.new_id())
    leave_late(database, sign_up, make.person())
    assert entries(database) == {}
