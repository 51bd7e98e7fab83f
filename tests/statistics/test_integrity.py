"""The recount: each check finds the fault that it is for, and nothing is found where all is right; who may read it; the doctor."""

from __future__ import annotations

import json
from contextlib import contextmanager
from datetime import datetime, timedelta

import pytest
from click.testing import CliRunner
from sqlalchemy import delete, insert, text, update

from engage.activities.models import (
    Activity,
    ActivityStatus,
    Audience,
    CheckIn,
    CheckInMethod,
    HoursEntry,
    HoursKind,
    LotteryDraw,
    Pool,
    SignUp,
    SignUpState,
)
from engage.activities.queries.integrity import CHECKS, EXAMPLES, examine
from engage.activities.service.draw import ALGORITHM, Entry, as_text, commitment_of, digest_of
from engage.cli.commands import engage
from engage.core import clock
from engage.core.clock import SHANGHAI
from engage.identity.models import Person
from engage.orgs.models import Role

HOUR = timedelta(hours=1)
SEED = bytes(range(32))
URL = "/v1/statistics/integrity"


def found(database):
    with database.reading() as db:
        return {one.name: one.violations for one in examine(db, clock.now()).checks if one.violations}


@contextmanager
def unguarded(database):
    """Write past the triggers, the constraints and the index that keep such rows out.

    The tables get their guards back with the transaction that is rolled back at the end; what is found is looked at inside.
    """
    with database.writer.connect() as connection:
        if database.is_sqlite:
            triggers = connection.execute(text("SELECT name FROM sqlite_master WHERE type = 'trigger'"))
            for (name,) in triggers.all():
                connection.exec_driver_sql(f"DROP TRIGGER {name}")
            connection.exec_driver_sql("PRAGMA ignore_check_constraints = ON")
        else:
            for table in ("sign_up", "check_in", "activity", "activity_pool", "lottery_draw", "hours_entry"):
                connection.exec_driver_sql(f"ALTER TABLE {table} DISABLE TRIGGER USER")
                checks = connection.execute(
                    text(f"SELECT conname FROM pg_constraint WHERE contype = 'c' AND conrelid = '{table}'::regclass")
                )  # fmt: skip
                for (name,) in checks.all():
                    connection.exec_driver_sql(f"ALTER TABLE {table} DROP CONSTRAINT {name}")
        connection.exec_driver_sql("DROP INDEX uq_sign_up_live")

        def seen():
            return {one.name for one in examine(connection, clock.now()).checks if one.violations}

        try:
            yield connection, seen
        finally:
            connection.rollback()
            if database.is_sqlite:
                connection.exec_driver_sql("PRAGMA ignore_check_constraints = OFF")


class Rows:
    """Activities in order: an open one with everything, one in pools, one whose queue has closed, two of the past with hours."""

    def __init__(self, make, now):
        self.now = now
        self.open = make.activity(capacity=2, waitlist_capacity=5)
        self.place, self.other = make.sign_up(self.open), make.sign_up(self.open)
        self.waiting = make.sign_up(self.open, state=SignUpState.WAITLISTED)
        self.applied = make.sign_up(self.open, state=SignUpState.APPLIED)
        self.gone = make.sign_up(self.open, state=SignUpState.CANCELLED)
        self.held = make.sign_up(self.open, state=SignUpState.WAITLISTED, held_until=now + HOUR)
        make.check_in(self.place)
        self.divided = make.activity(capacity=2, pools_merged=False, pools_merge_at=now + 20 * HOUR)
        for position in (1, 2):
            make.add(
                Pool(
                    activity_id=self.divided.id, position=position, name="池", audience=Audience.EVERYBODY,
                    county_codes=[], capacity=1,
                )
            )  # fmt: skip
        self.inside = make.sign_up(self.divided, pool=1, pool_mask=1)
        self.outside = make.sign_up(self.divided, state=SignUpState.WAITLISTED, pool_mask=1)
        soon = now + HOUR / 2
        self.closed = make.activity(
            capacity=1,
            starts_at=soon,
            queue_closes_at=now - HOUR / 2,
            offers_from_at=now - HOUR / 2,
            sign_up_closes_at=soon,
        )
        self.lottery = make.activity(
            admission_mode="lottery", starts_at=now + 24 * HOUR, sign_up_closes_at=now - timedelta(seconds=89)
        )
        self.entry = make.sign_up(self.lottery, state=SignUpState.APPLIED)
        make.add(
            LotteryDraw(
                activity_id=self.lottery.id, commitment=commitment_of(SEED), algorithm=ALGORITHM, sealed_seed=b"sealed",
                draws_at=now - timedelta(seconds=89),
            )
        )  # fmt: skip
        self.reviewed = make.activity(
            admission_mode="review",
            queue_closes_at=now - timedelta(seconds=59),
            sign_up_closes_at=now - timedelta(seconds=59),
        )
        self.undecided = make.sign_up(self.reviewed, state=SignUpState.APPLIED)
        person, day = make.person(), 24 * HOUR
        first, second = (
            make.activity(
                starts_at=now - days * day, ends_at=now - days * day + HOUR, sign_up_opens_at=now - 9 * day,
                sign_up_closes_at=now - days * day,
            )
            for days in (3, 2)
        )  # fmt: skip
        self.hours, self.mistaken = make.hours(first, person), make.hours(second, person)
        mirror = {
            "debit_account_id": self.mistaken.credit_account_id,
            "credit_account_id": self.mistaken.debit_account_id,
        }
        self.reversal = make.hours(
            second, person, kind=HoursKind.REVERSAL, reverses_id=self.mistaken.id, reason="记错", **mirror
        )
        make.hours(second, person)

    def person_of(self, row):
        return row.person_id


def sign_ups(row, **values):
    return update(SignUp).where(SignUp.id == row.id).values(**values)


def activities(row, **values):
    return update(Activity).where(Activity.id == row.id).values(**values)


def pools(row, position, **values):
    return update(Pool).where(Pool.activity_id == row.id, Pool.position == position).values(**values)


def draws(row, **values):
    return update(LotteryDraw).where(LotteryDraw.activity_id == row.id).values(**values)


def held(r, **values):
    """Return the UPDATE that draws."""
    drawn = {"seed": SEED.hex(), "places": {"capacity": 9, "pools": []}, "withdrawn": [], "drawn_at": r.now}
    return draws(r.lottery, **{**closed(r), **drawn, **values})


def closed(r, **values):
    text = as_text([Entry(r.entry.id, 1, 0)])
    return {"closed_at": r.now, "entries": text, "entries_digest": digest_of(text), **values}


def entries(row, **values):
    return update(HoursEntry).where(HoursEntry.id == row.id).values(**values)


def like(row, **values):
    """Return an INSERT of a sign-up to the same activity by the same person."""
    return insert(SignUp).values(
        **{
            "activity_id": row.activity_id, "person_id": row.person_id, "state": row.state, "answers": {},
            "starts_at": row.starts_at, "ends_at": row.ends_at, "created_at": row.created_at, "updated_at": row.created_at,
            **values,
        }
    )  # fmt: skip


AGO = -2 * timedelta(minutes=1)
# What is done to the rows, and which checks find it.
FAULTS = {
    "a counter of places": (lambda r: [activities(r.open, taken=1)], {"taken"}),
    "a place that was not counted": (lambda r: [sign_ups(r.gone, state="confirmed")], {"taken", "over_capacity"}),
    "a counter of turns": (lambda r: [activities(r.open, waiting=7)], {"waiting"}),
    "a counter of who is held": (lambda r: [activities(r.open, held=2)], {"held"}),
    "a counter of applications": (lambda r: [activities(r.open, applied=0)], {"applied"}),
    "a counter of a pool": (lambda r: [pools(r.divided, 2, taken=1)], {"pool_taken"}),
    "a capacity below the places": (lambda r: [activities(r.open, capacity=1)], {"over_capacity"}),
    "a pool below its places": (lambda r: [pools(r.divided, 1, capacity=0), pools(r.divided, 2, capacity=2)], {"pool_over_capacity"}),
    "one person twice": (lambda r: [like(r.waiting), activities(r.open, waiting=3)], {"two_live"}),
    "a free place and a queue": (lambda r: [activities(r.open, capacity=3)], {"stranded"}),
    "a free pool and a queue for it": (lambda r: [pools(r.divided, 1, capacity=2), pools(r.divided, 2, capacity=0)], {"stranded"}),
    "a place in no pool": (lambda r: [sign_ups(r.inside, pool=None), pools(r.divided, 1, taken=0, capacity=0), pools(r.divided, 2, capacity=2)], {"place_without_pool"}),
    "a pool that is none": (lambda r: [sign_ups(r.inside, pool=9, pool_mask=511), pools(r.divided, 1, taken=0, capacity=0), pools(r.divided, 2, capacity=2)], {"wrong_pool"}),
    "a pool for others": (lambda r: [sign_ups(r.inside, pool_mask=2)], {"wrong_pool"}),
    "a check-in from the queue": (
        lambda r: [
            insert(CheckIn).values(
                activity_id=r.open.id, person_id=r.waiting.person_id, sign_up_id=r.waiting.id, method=CheckInMethod.STAFF,
                checked_in_at=r.now, arrived_at=r.now, updated_at=r.now,
            )
        ],
        {"check_in_without_admission"},
    ),
    "a check-in of somebody else": (lambda r: [update(CheckIn).values(person_id=r.waiting.person_id)], {"check_in_without_admission"}),
    "an offer that ended": (lambda r: [sign_ups(r.place, state="offered", offer_expires_at=r.now + AGO), delete(CheckIn)], {"offers_overdue"}),
    "somebody held too long": (lambda r: [sign_ups(r.held, held_until=r.now + AGO)], {"held_overdue"}),
    "a queue that should have closed": (
        lambda r: [like(r.waiting, activity_id=r.closed.id, starts_at=r.closed.starts_at, ends_at=r.closed.ends_at), activities(r.closed, waiting=1)],
        {"queues_overdue"},
    ),
    "pools that should be one": (lambda r: [activities(r.divided, pools_merge_at=r.now + AGO)], {"pools_overdue"}),
    "pools that are one by themselves": (lambda r: [pools(r.divided, 2, merged=True)], {"pools_merged"}),
    "pools left apart": (lambda r: [activities(r.divided, pools_merged=True)], {"pools_merged", "stranded"}),
    "a pool too few": (lambda r: [delete(Pool).where(Pool.position == 2)], {"pools_sum"}),
    "pools that were to add up": (lambda r: [pools(r.divided, 2, capacity=4)], {"pools_sum"}),
    "somebody stopped": (
        lambda r: [update(Person).where(Person.id == r.waiting.person_id).values(status="suspended", updated_at=r.now + AGO), sign_ups(r.waiting, updated_at=r.now + AGO)],
        {"place_of_inactive"},
    ),
    "an application left over": (lambda r: [activities(r.reviewed, sign_up_closes_at=r.now + AGO, queue_closes_at=r.now + AGO)], {"applications_overdue"}),
    "an entry left over": (lambda r: [activities(r.lottery, starts_at=r.now + AGO), sign_ups(r.entry, starts_at=r.now + AGO)], {"applications_overdue"}),
    "entries that should be closed": (lambda r: [activities(r.lottery, sign_up_closes_at=r.now + AGO)], {"entries_overdue"}),
    "entries that should be closed, and it is over": (
        lambda r: [activities(r.lottery, sign_up_closes_at=r.now - 9 * HOUR, starts_at=r.now - 8 * HOUR, ends_at=r.now - 7 * HOUR)],
        {"entries_overdue", "applications_overdue", "times"},
    ),
    "a lottery without a draw": (lambda r: [delete(LotteryDraw), activities(r.lottery, sign_up_closes_at=r.now + AGO)], {"entries_overdue"}),
    "a draw that should be held": (lambda r: [draws(r.lottery, **closed(r), draws_at=r.now + AGO)], {"draws_overdue"}),
    "a public number that should be there": (lambda r: [draws(r.lottery, **closed(r), public_source="开奖", draws_at=r.now - 13 * HOUR)], {"draws_overdue"}),
    "a public number that comes too late": (
        lambda r: [draws(r.lottery, **closed(r), public_source="开奖"), activities(r.lottery, queue_closes_at=r.now + AGO)],
        {"draws_overdue"},
    ),
    "a draw half settled": (lambda r: [held(r, drawn_at=r.now - HOUR / 5)], {"settling_overdue"}),
    "a lottery that nobody drew": (lambda r: [activities(r.lottery, drawn=True)], {"drawn"}),
    "a first come that was drawn": (lambda r: [activities(r.open, drawn=True)], {"drawn"}),
    "a lottery drawn and yet not": (lambda r: [held(r, settled_at=r.now)], {"drawn"}),
    "another seed": (lambda r: [held(r, seed="00" * 32)], {"draw_seeds"}),
    "a seed that is none": (lambda r: [held(r, seed="种子")], {"draw_seeds"}),
    "another commitment": (lambda r: [held(r, commitment="00" * 32)], {"draw_seeds"}),
    "other entries": (lambda r: [draws(r.lottery, **closed(r, entries=""))], {"draw_entries"}),
    "another digest": (lambda r: [draws(r.lottery, **closed(r, entries_digest="00" * 32))], {"draw_entries"}),
    "no entries": (lambda r: [draws(r.lottery, **closed(r, entries=None))], {"draw_entries"}),
    "a walk-in whom nobody saw": (
        lambda r: [sign_ups(r.other, state="walk_in"), activities(r.open, taken=1, capacity=1)], {"walk_in_without_check_in"},
    ),
    "a walk-in who is not there": (lambda r: [activities(r.open, walk_ins_present=1)], {"walk_ins_present"}),
    "a walk-in who is not counted": (
        lambda r: [sign_ups(r.place, state="walk_in"), activities(r.open, taken=1, capacity=1)], {"walk_ins_present"},
    ),
    "hours twice for the same time": (
        lambda r: [entries(r.hours, until_at=r.mistaken.from_at + HOUR / 2)], {"hours_overlap"},
    ),
    "hours of one activity twice": (lambda r: [delete(HoursEntry).where(HoursEntry.id == r.reversal.id)], {"hours_overlap"}),
    "more hours taken back than given": (lambda r: [entries(r.reversal, minutes=121)], {"reversal_mirrors"}),
    "hours that were given changed afterwards": (lambda r: [entries(r.mistaken, minutes=60)], {"reversal_mirrors"}),
    "hours taken back from another account": (
        lambda r: [entries(r.reversal, debit_account_id=r.reversal.credit_account_id)], {"reversal_mirrors"},
    ),
    "another start": (lambda r: [sign_ups(r.gone, starts_at=r.now)], {"times"}),
    "another end": (lambda r: [sign_ups(r.applied, ends_at=r.now)], {"times"}),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_found_by_the_check_for_it_and_no_other(make, database, frozen, fault):
    rows = Rows(make, frozen.now)
    assert found(database) == {}
    lay, names = FAULTS[fault]
    with unguarded(database) as (connection, seen):
        for statement in lay(rows):
            connection.execute(statement)
        assert seen() == names


def test_every_check_is_shown_to_find_something():
    assert {name for _, names in FAULTS.values() for name in names} == {check.name for check in CHECKS}


ALMOST = {
    "who waits for another pool": lambda r: [sign_ups(r.outside, pool_mask=1)],
    "an offer that ended a moment ago": lambda r: [
        sign_ups(r.place, state="offered", offer_expires_at=r.now - timedelta(seconds=30)), delete(CheckIn)
    ],
    "a free place for who is held only": lambda r: [
        activities(r.open, capacity=3, waiting=1), sign_ups(r.waiting, state="cancelled")
    ],
    "a free place of what was called off": lambda r: [activities(r.open, capacity=3, status=ActivityStatus.CANCELLED)],
    "a pool over its capacity once pools are one": lambda r: [
        activities(r.divided, pools_merged=True, capacity=1), pools(r.divided, 1, merged=True, capacity=0),
        pools(r.divided, 2, merged=True),
    ],
    "an offer that ended while it was called off": lambda r: [
        activities(r.open, status=ActivityStatus.CANCELLED), delete(CheckIn),
        sign_ups(r.place, state="offered", offer_expires_at=r.now + AGO),
    ],
    "somebody stopped a moment ago": lambda r: [
        update(Person).where(Person.id == r.waiting.person_id).values(status="suspended", updated_at=r.now)
    ],
    "entries that were to be closed a moment ago": lambda r: [activities(r.lottery, sign_up_closes_at=r.now - timedelta(seconds=90))],
    "a draw that was to be held a moment ago": lambda r: [draws(r.lottery, **closed(r), draws_at=r.now - timedelta(seconds=90))],
    "a public number that may still come": lambda r: [draws(r.lottery, **closed(r), public_source="开奖", draws_at=r.now - 11 * HOUR)],
    "a draw that is being settled": lambda r: [held(r, drawn_at=r.now - HOUR / 7)],
    "a draw that was settled": lambda r: [held(r, settled_at=r.now), activities(r.lottery, drawn=True)],
    "a draw of nobody that was never held": lambda r: [
        activities(r.lottery, starts_at=r.now - 8 * HOUR, ends_at=r.now - 7 * HOUR, applied=0), delete(SignUp).where(SignUp.id == r.entry.id),
        draws(r.lottery, draws_at=r.now - 9 * HOUR),
    ],
    "a draw that was called off": lambda r: [
        activities(r.lottery, sign_up_closes_at=r.now - 9 * HOUR, status=ActivityStatus.CANCELLED)
    ],
    "an application while sign-up is open": lambda r: [activities(r.reviewed, queue_closes_at=r.now - 9 * HOUR)],
    "an application of what was called off": lambda r: [
        activities(r.reviewed, queue_closes_at=r.now - 9 * HOUR, sign_up_closes_at=r.now - 9 * HOUR, status=ActivityStatus.CANCELLED)
    ],
    "hours that end as others begin": lambda r: [entries(r.hours, until_at=r.mistaken.from_at)],
    "a walk-in who checked in": lambda r: [sign_ups(r.place, state="walk_in"), activities(r.open, taken=1, capacity=1, walk_ins_present=1)],
}  # fmt: skip


@pytest.mark.parametrize("case", ALMOST)
def test_what_is_right_is_not_found(make, database, frozen, case):
    rows = Rows(make, frozen.now)
    with unguarded(database) as (connection, seen):
        for statement in ALMOST[case](rows):
            connection.execute(statement)
        assert seen() == set()


@pytest.mark.parametrize(
    ("starts", "now", "is_found"),
    [
        ((9, 30), (2, 0), True),  # closes at 08:30: an offer at night would be heard at 08:00
        ((8, 30), (2, 0), False),  # closes at 07:30: nobody would hear of it
        ((8, 30), (21, 59), True),  # the evening before
        ((8, 30), (22, 0), False),
        ((8, 30), (7, 29), False),
        ((8, 30), (7, 30), False),  # closed
        ((15, 0), (13, 59), True),
    ],
)
def test_a_place_that_nobody_could_be_offered_is_left_for_the_door(
    make, database, frozen, starts, now, is_found
):
    start = datetime(2026, 10, 2, *starts, tzinfo=SHANGHAI)
    evening = now[0] > starts[0]
    frozen.set(datetime(2026, 10, 1 if evening else 2, *now, tzinfo=SHANGHAI))
    activity = make.activity(
        capacity=1,
        starts_at=start,
        ends_at=start + HOUR,
        sign_up_closes_at=start,
        queue_closes_at=start - HOUR,
        offers_from_at=start - 24 * HOUR,
    )
    make.sign_up(activity, state=SignUpState.WAITLISTED)
    assert found(database) == ({"stranded": 1} if is_found else {})


def test_a_few_examples_stand_for_many_violations(make, database, frozen):
    activities_of = [make.activity() for _ in range(EXAMPLES + 3)]
    with database.transaction() as session:
        session.execute(update(Activity).values(taken=2))
    with database.reading() as db:
        report = examine(db, clock.now())
    (taken,) = [one for one in report.checks if one.violations]
    assert (taken.name, taken.violations, len(taken.examples)) == ("taken", len(activities_of), EXAMPLES)
    assert set(taken.examples) <= {row.id for row in activities_of}
    assert report.violations == len(activities_of)


def test_the_answer_says_what_was_looked_at(make, as_user, frozen):
    Rows(make, frozen.now)
    answer = as_user(make.staff(Role.ANALYST, org=make.org()).id).get(URL)
    assert answer.status_code == 200
    assert answer.json["checked"] == {"activities": 7, "sign_ups": 10}
    assert (answer.json["violations"], answer.json["as_of"]) == (0, "2026-10-01T10:00:00+08:00")
    assert [check["name"] for check in answer.json["checks"]] == [check.name for check in CHECKS]
    assert answer.json["seconds"] >= 0


def test_a_violation_is_told_with_its_activity(make, as_user, frozen, database):
    activity = make.activity()
    with database.transaction() as session:
        session.execute(activities(activity, taken=1))
    body = as_user(make.staff(Role.PLATFORM_ADMIN, org=make.org()).id).get(URL).json
    (told,) = [check for check in body["checks"] if check["violations"]]
    assert (told["name"], told["examples"], body["violations"]) == ("taken", [str(activity.id)], 1)


@pytest.mark.parametrize(
    ("role", "at_root", "status"),
    [
        (Role.OFFICER, True, 200),
        (Role.ANALYST, True, 200),
        (Role.OFFICER, False, 403),
        (Role.ANALYST, False, 403),
        (Role.PLATFORM_ADMIN, True, 200),
        (Role.PLATFORM_ADMIN, False, 403),
    ],
)
def test_ops_and_who_answers_for_all_of_it_read_it(make, as_user, frozen, role, at_root, status):
    root = make.org()
    org = root if at_root else make.org(root)
    assert as_user(make.staff(role, org=org).id).get(URL).status_code == status


def test_a_hub_is_not_the_root(make, as_user, frozen):
    manager = make.staff(Role.HUB_MANAGER, hub=make.hub())
    answer = as_user(manager.id).get(URL)
    assert (answer.status_code, answer.json["code"]) == (403, "not_allowed")


@pytest.fixture
def doctor(database, monkeypatch, tmp_path, own_log):
    """Run ``engage doctor --invariants`` on the database of the tests; return its checks and its code."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ENGAGE_DATABASE_URL", database.settings.database_url)

    def run():
        result = CliRunner().invoke(engage, ["doctor", "--invariants", "--json"])
        return {check["check"]: check for check in json.loads(result.stdout)}, result.exit_code

    return run


def test_the_doctor_reads_the_same(make, frozen, database, doctor):
    activity = make.activity()
    checks, code = doctor()
    assert (list(checks), code) == (["revision", *(check.name for check in CHECKS)], 0)
    with database.transaction() as session:
        session.execute(activities(activity, taken=1))
    checks, code = doctor()
    assert ([name for name, check in checks.items() if not check["ok"]], code) == (["taken"], 1)
    assert str(activity.id) in checks["taken"]["en"]
