"""What the database itself keeps of the ledger of hours, the races about it, and that it always balances."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from racing import at_once
from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from engage.activities.models import HoursAccount, HoursCertificateEntry, HoursEntry, HoursKind
from engage.core import ids


@pytest.fixture
def ledger(held, make, database):
    """One award of somebody, and a way to write an entry past the service."""

    class Ledger:
        activity = held.activity()
        overlapping = held.activity(starts_at=held.starts_at + timedelta(hours=1))
        person, other = make.person(), make.person()
        award = make.hours(activity, person)
        account_of = {
            row: make._account(column, row.id)
            for column, rows in (
                (HoursAccount.activity_id, (activity, overlapping)),
                (HoursAccount.person_id, (person, other)),
            )
            for row in rows
        }

        def write(self, activity=None, person=None, **values):
            activity, person = activity or self.activity, person or self.other
            row = {
                "id": ids.new_id(),
                "debit_account_id": self.account_of[activity],
                "credit_account_id": self.account_of[person],
                "minutes": 60,
                "kind": HoursKind.AWARD,
                "activity_id": activity.id,
                "person_id": person.id,
                "from_at": activity.starts_at,
                "until_at": activity.ends_at,
                "created_at": activity.ends_at,
                "reverses_id": None,
                "reason": "直接写入",
                **values,
            }
            with database.transaction() as session:
                session.execute(insert(HoursEntry), [row])
            return row

        def reverse(self, **values):
            return self.write(
                self.activity, self.person,
                **{
                    "debit_account_id": self.account_of[self.person], "credit_account_id": self.account_of[self.activity],
                    "minutes": 120, "kind": HoursKind.REVERSAL, "reverses_id": self.award.id, **values,
                },
            )  # fmt: skip

    return Ledger()


def test_entries_that_are_right_are_taken(ledger):
    ledger.write()
    reversal = ledger.reverse()
    ledger.write(ledger.overlapping, ledger.person)
    assert reversal["reverses_id"] == ledger.award.id


def test_time_of_one_person_does_not_overlap(ledger):
    with pytest.raises(IntegrityError):
        ledger.write(ledger.overlapping, ledger.person)
    with pytest.raises(IntegrityError):
        ledger.write(ledger.activity, ledger.person, kind=HoursKind.CORRECTION)
    ledger.write(ledger.activity, ledger.person, from_at=ledger.award.until_at, until_at=ledger.award.until_at + timedelta(hours=1))  # fmt: skip


def test_two_rows_of_one_statement_do_not_overlap(ledger, database):
    row = ledger.write(ledger.activity, ledger.other)
    with database.transaction() as session:
        session.execute(
            insert(HoursEntry),
            [{**row, "id": ids.new_id(), "kind": HoursKind.REVERSAL, "reverses_id": row["id"],
              "debit_account_id": row["credit_account_id"], "credit_account_id": row["debit_account_id"]}],
        )  # fmt: skip
    with pytest.raises(IntegrityError), database.transaction() as session:
        session.execute(insert(HoursEntry).values([{**row, "id": ids.new_id()} for _ in range(2)]))


@pytest.mark.parametrize("minutes", [0, -5])
def test_minutes_are_positive(ledger, minutes):
    with pytest.raises(IntegrityError):
        ledger.write(minutes=minutes)


def test_hours_move_from_their_activity_to_their_person(ledger):
    accounts = ledger.account_of
    for wrong in (
        {"debit_account_id": accounts[ledger.overlapping]},
        {"credit_account_id": accounts[ledger.person]},
        {"debit_account_id": accounts[ledger.other], "credit_account_id": accounts[ledger.activity]},
        {"credit_account_id": accounts[ledger.activity]},
        {"person_id": ids.new_id()},
        {"until_at": ledger.activity.starts_at},
        {"kind": HoursKind.CORRECTION, "reason": None},
    ):
        with pytest.raises(IntegrityError):
            ledger.write(**wrong)


def test_a_reversal_mirrors_one_entry_once(ledger):
    for wrong in (
        {"minutes": 119},
        {"reverses_id": ids.new_id()},
        {"reverses_id": None},
        {"person_id": ledger.other.id},
        {"activity_id": ledger.overlapping.id},
        {"from_at": ledger.award.from_at - timedelta(minutes=1)},
        {"credit_account_id": ledger.account_of[ledger.overlapping]},
        {"debit_account_id": ledger.account_of[ledger.other]},
        {"kind": HoursKind.CORRECTION},
    ):
        with pytest.raises(IntegrityError):
            ledger.reverse(**wrong)
    reversal = ledger.reverse()
    with pytest.raises(IntegrityError):
        ledger.reverse()
    with pytest.raises(IntegrityError):
        ledger.reverse(
            reverses_id=reversal["id"],
            debit_account_id=reversal["credit_account_id"],
            credit_account_id=reversal["debit_account_id"],
        )


def test_what_is_written_stays(ledger, database):
    for statement in (
        update(HoursEntry).values(minutes=1),
        update(HoursEntry).values(reason="改写"),
        update(HoursAccount).values(id=ids.new_id()).where(HoursAccount.person_id == ledger.other.id),
    ):
        with pytest.raises(IntegrityError), database.transaction() as session:
            session.execute(statement.execution_options(synchronize_session=False))


def test_what_a_reversal_or_a_certificate_rests_on_is_not_deleted(ledger, database, as_user):
    assert as_user(ledger.person.id).post("/v1/me/hours-certificates", json={}).status_code == 201
    with pytest.raises(IntegrityError), database.transaction() as session:
        session.execute(delete(HoursEntry).where(HoursEntry.id == ledger.award.id))
    with database.transaction() as session:
        session.execute(delete(HoursCertificateEntry))
    ledger.reverse()
    with pytest.raises(IntegrityError), database.transaction() as session:
        session.execute(delete(HoursEntry).where(HoursEntry.id == ledger.award.id))


def test_a_certificate_lists_hours_of_its_holder_only(ledger, database, as_user):
    certificate = as_user(ledger.person.id).post("/v1/me/hours-certificates", json={}).json
    of_other = ledger.write()
    for person_id in (ledger.person.id, ledger.other.id):
        row = {"certificate_id": UUID(certificate["id"]), "entry_id": of_other["id"], "person_id": person_id}
        with pytest.raises(IntegrityError), database.transaction() as session:
            session.execute(insert(HoursCertificateEntry).values(row))


# Races


def balances(database):
    """Return every account's balance by its owner: what came minus what went."""
    with database.reading() as db:
        came = dict(
            db.execute(
                select(HoursEntry.credit_account_id, func.sum(HoursEntry.minutes)).group_by(
                    HoursEntry.credit_account_id
                )
            ).all()
        )
        went = dict(
            db.execute(
                select(HoursEntry.debit_account_id, func.sum(HoursEntry.minutes)).group_by(
                    HoursEntry.debit_account_id
                )
            ).all()
        )
        owners = db.execute(select(HoursAccount.id, HoursAccount.person_id, HoursAccount.activity_id)).all()
    return {person or activity: came.get(account, 0) - went.get(account, 0) for account, person, activity in owners}  # fmt: skip


def test_two_statements_that_go_round_the_service_cannot_give_a_time_twice(ledger):
    def write(activity):
        try:
            return ledger.write(activity)
        except IntegrityError:
            return None

    for _ in range(5):
        written = at_once(
            [
                lambda activity=activity: write(activity)
                for activity in (ledger.activity, ledger.overlapping) * 2
            ]
        )
        [row] = [row for row in written if row]
        back = {
            "debit_account_id": row["credit_account_id"],
            "credit_account_id": row["debit_account_id"],
            "kind": HoursKind.REVERSAL,
            "reverses_id": row["id"],
        }
        ledger.write(**{**row, **back, "id": ids.new_id()})


def test_two_closures_with_the_same_people_give_their_time_once(held, make, database):
    people = [make.person() for _ in range(8)]
    for _ in range(3):
        activities = [held.activity(), held.activity(starts_at=held.starts_at + timedelta(minutes=30))]
        for number, activity in enumerate(activities):
            for person in people[:: 1 if number else -1]:
                held.person_there(activity, person=person)
        at_once([lambda activity=activity: held.close(activity) for activity in activities * 2])
        found = [held.of(activity) for activity in activities]
        for person in people:
            reasons = sorted(str(items[str(person.id)]["reason"]) for items in found)
            assert reasons == ["None", "overlap"]
        for items in found:
            for item in items.values():
                if item["entry_id"]:
                    held.reverse(item["entry_id"])
    assert set(balances(database).values()) == {0}


def test_make_up_hours_reversals_and_closures_at_once_leave_one_entry_in_force(held, make, database):
    activity = held.activity()
    person_id = held.person_there(activity)
    held.close(activity)
    entry_id = held.of(activity)[str(person_id)]["entry_id"]
    answers = at_once(
        [lambda: held.reverse(entry_id)] * 3
        + [lambda: held.make_up(activity, person_id)] * 3
        + [lambda: held.officer.post(f"/v1/activities/{activity.id}/closure", json={"summary": "再"})]
    )
    assert {answer.status_code for answer in answers} <= {200, 201, 409}
    assert len({answer.json["id"] for answer in answers[:3]}) == 1
    made = [answer.status_code for answer in answers[3:6]]
    assert made.count(201) <= 1
    assert balances(database)[person_id] == (90 if made.count(201) else 0)


def test_a_certificate_and_a_reversal_at_once_agree(held, make, as_user):
    for _ in range(4):
        activity = held.activity()
        person_id = held.person_there(activity)
        held.close(activity)
        client, entry_id = as_user(person_id), held.of(activity)[str(person_id)]["entry_id"]
        issued, back = at_once(
            [
                lambda client=client: client.post("/v1/me/hours-certificates", json={}),
                lambda entry_id=entry_id: held.reverse(entry_id),
            ]
        )
        assert back.status_code == 200
        if issued.status_code == 201:
            assert client.get(issued.headers["Location"]).json["status"] == "superseded"
        else:
            assert issued.json["code"] == "no_hours_to_certify"


# Properties

STEPS = st.lists(
    st.tuples(st.sampled_from(["close", "reverse", "make_up"]), st.integers(0, 2), st.integers(0, 2)),
    max_size=12,
)
OVERLAPPING = {0: (0, 1), 1: (0, 1), 2: (2,)}


class Books:
    """A plain model of three closed activities, of which the first two overlap, and three people who were at each."""

    def __init__(self):
        self.in_force, self.had = {}, set()

    def is_free(self, which, who):
        return not any((other, who) in self.in_force for other in OVERLAPPING[which])

    def give(self, which, who, minutes):
        self.in_force[which, who] = minutes
        self.had.add((which, who))

    def close(self, which):
        for who in range(3):
            if (which, who) not in self.had and self.is_free(which, who):
                self.give(which, who, 120)

    def total(self, who):
        return sum(minutes for (_, of), minutes in self.in_force.items() if of == who)


@pytest.fixture
def stage(held, make):
    people = [make.person() for _ in range(3)]
    activities = [
        held.activity(
            starts_at=held.starts_at - timedelta(hours=hours), ends_at=held.ends_at - timedelta(hours=hours)
        )
        for hours in (0, 1, 5)
    ]
    for activity in activities:
        for person in people:
            held.person_there(activity, person=person)
        held.close(activity)
    return activities, people


def test_the_books_balance_whatever_is_done(held, stage, database):
    """After any steps all accounts sum to zero, and a person has what was given less what was taken back."""
    activities, people = stage

    def take(books, step, which, who):
        if step == "close":
            held.close(activities[which])
            books.close(which)
        elif step == "make_up":
            expected = 201 if books.is_free(which, who) else 409
            assert held.make_up(activities[which], people[who].id, 45).status_code == expected
            if expected == 201:
                books.give(which, who, 45)
        elif (which, who) in books.in_force:
            entry_id = held.of(activities[which])[str(people[who].id)]["entry_id"]
            assert held.reverse(entry_id).status_code == 200
            del books.in_force[which, who]

    @given(STEPS)
    @settings(max_examples=12)
    def check(steps):
        with database.transaction() as session:
            session.execute(delete(HoursEntry))
        books = Books()
        for step in steps:
            take(books, *step)
        found = balances(database)
        assert sum(found.values()) == 0
        assert [found[person.id] for person in people] == [books.total(who) for who in range(3)]

    check()
