"""What the database itself refuses, from plain SQL that goes round the service, on both engines; and who refuses it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from activities.proof import violations
from racing import at_once
from sqlalchemy import delete, insert, update
from sqlalchemy.exc import IntegrityError

from engage.activities.models import (
    UNRANKED,
    Activity,
    Audience,
    CheckIn,
    CheckInMethod,
    LotteryDraw,
    Pool,
    SignUp,
    SignUpState,
)
from engage.activities.service.draw import ALGORITHM, commitment_of, digest_of
from engage.core import clock, ids

HOUR = timedelta(hours=1)


class Table:
    """An activity with places taken and a queue; rows by name."""

    def __init__(self, make, **values):
        self.make = make
        self.activity = make.activity(**{"capacity": 1, "waitlist_capacity": 2, **values})
        self.rows: dict[str, SignUp] = {}

    def pools(self, *capacities):
        for position, capacity in enumerate(capacities, 1):
            self.make.add(
                Pool(
                    activity_id=self.activity.id,
                    position=position,
                    name=f"池{position}",
                    audience=Audience.EVERYBODY,
                    county_codes=[],
                    capacity=capacity,
                    merged=self.activity.pools_merged,
                )
            )
        return self

    def put(self, name, state, **values):
        self.rows[name] = self.make.sign_up(self.activity, state=SignUpState(state), **values)
        return self

    def ranked(self, name, state, rank, **values):
        """Put somebody in as review does: an application first, then its rank and what becomes of it."""
        self.put(name, "applied", **values)
        execute(self.make._database, self.change(name, rank=rank, state=state, decided_at=clock.now()))
        return self

    def row(self, state, **values):
        """Return an INSERT of a sign-up of somebody new."""
        person_id = values.pop("person_id", None) or self.make.person().id
        now = clock.now()
        return insert(SignUp).values(
            **{
                "activity_id": self.activity.id,
                "person_id": person_id,
                "state": state,
                "answers": {},
                "starts_at": self.activity.starts_at,
                "ends_at": self.activity.ends_at,
                "created_at": now,
                "updated_at": now,
                "cancelled_at": now if state == "cancelled" else None,
                **values,
            }
        )

    def change(self, name, **values):
        return update(SignUp).where(SignUp.id == self.rows[name].id).values(**values)

    def resize(self, **values):
        return update(Activity).where(Activity.id == self.activity.id).values(**values)

    def resize_pool(self, position, **values):
        return self.of_pool(update(Pool), position).values(**values)

    def of_pool(self, statement, position):
        return statement.where(Pool.activity_id == self.activity.id, Pool.position == position)

    def pool(self, position, **values):
        """Return an INSERT of a pool."""
        shape = {"name": "池", "audience": Audience.EVERYBODY, "county_codes": [], "capacity": 9}
        return insert(Pool).values(activity_id=self.activity.id, position=position, **{**shape, **values})

    def draw(self, **values):
        """Return an UPDATE of the draw."""
        return update(LotteryDraw).where(LotteryDraw.activity_id == self.activity.id).values(**values)

    def walks_in(self, beside="in"):
        """Return the INSERTs of somebody new who comes to the door."""
        theirs = {"person_id": self.make.person().id}
        sign_up = self.row("walk_in", id=(sign_up_id := ids.new_id()), **theirs)
        return [sign_up, self.check_in(beside, sign_up_id=sign_up_id, **theirs)]

    def check_in(self, name, **values):
        row, now = self.rows[name], clock.now()
        return insert(CheckIn).values(
            **{
                "activity_id": row.activity_id,
                "person_id": row.person_id,
                "sign_up_id": row.id,
                "method": CheckInMethod.STAFF,
                "checked_in_at": now,
                "arrived_at": now,
                "updated_at": now,
                **values,
            }
        )


def full(make):
    return Table(make).put("in", "confirmed").put("first", "waitlisted").put("second", "waitlisted")


def with_a_free_place(make, **values):
    """A place that nobody was given, as no service leaves it: so that only the order of the queue is at stake."""
    table = Table(make, waitlist_capacity=9, **values).put("first", "waitlisted").put("second", "waitlisted")
    return table.put("applicant", "applied")


def reviewed(make):
    return with_a_free_place(make, admission_mode="review").ranked("ranked", "applied", 1)


def lottery(make, *steps):
    """A lottery with an entry, whose draw has come as far as the steps say."""
    table = Table(make, capacity=5, waitlist_capacity=9, admission_mode="lottery")
    make.add(LotteryDraw(activity_id=table.activity.id, **COMMITTED))
    table.put("entry", "applied").put("gone", "cancelled")
    for step in steps:
        execute(make._database, [table.draw(**step)])
    if SETTLED in steps:
        execute(make._database, table.resize(drawn=True))
    return table


NOW = datetime(2100, 1, 1, tzinfo=UTC)  # nothing is overdue
SEED = bytes(32)
COMMITTED: dict[str, Any] = {
    "commitment": commitment_of(SEED), "algorithm": ALGORITHM, "sealed_seed": b"sealed", "draws_at": NOW,
}  # fmt: skip
CLOSED: dict[str, Any] = {"closed_at": NOW, "entries": "", "entries_digest": digest_of("")}
DRAWN: dict[str, Any] = {
    "drawn_at": NOW, "seed": SEED.hex(), "places": {"capacity": 5, "pools": []}, "withdrawn": [],
}  # fmt: skip
SETTLED: dict[str, Any] = {"settled_at": NOW}
# What a draw was fixed to, by the steps after which nothing changes it any more.
FIXED: tuple[tuple[tuple[dict[str, Any], ...], dict[str, Any], str], ...] = (
    ((), {"commitment": "0" * 64}, "committed to stays"),
    ((), {"public_source": "摇号"}, "committed to stays"),
    ((), {"first_time_weight": 2}, "committed to stays"),
    ((), {"algorithm": "engage-draw-1"}, "committed to stays"),
    ((CLOSED,), {"commitment": "0" * 64}, "committed to stays"),
    ((CLOSED,), {"closed_at": NOW + HOUR}, "closed stay"),
    ((CLOSED,), {"entries": "x", "entries_digest": "e" * 64}, "closed stay"),
    ((CLOSED,), {"closed_at": None, "entries": None, "entries_digest": None}, "closed stay"),
    ((CLOSED, DRAWN), {"commitment": "0" * 64}, "committed to stays"),
    ((CLOSED, DRAWN), {"entries_digest": "e" * 64}, "closed stay"),
    ((CLOSED, DRAWN), {"seed": "7" * 64}, "drawn stays"),
    ((CLOSED, DRAWN), {"sealed_seed": b"another"}, "drawn stays"),
    ((CLOSED, DRAWN), {"public_value": "7"}, "drawn stays"),
    ((CLOSED, DRAWN), {"places": {"capacity": 4, "pools": []}}, "drawn stays"),
    ((CLOSED, DRAWN), {"withdrawn": ["x"]}, "drawn stays"),
    ((CLOSED, DRAWN), {"draws_at": NOW + HOUR}, "drawn stays"),
    ((CLOSED, DRAWN), {"drawn_at": None, "seed": None, "places": None, "withdrawn": None}, "drawn stays"),
    ((CLOSED, DRAWN, SETTLED), {"settled_at": None}, "drawn stays"),
    ((CLOSED, DRAWN, SETTLED), {"settled_at": NOW + HOUR}, "drawn stays"),
    (
        (CLOSED, DRAWN, SETTLED),
        {"drawn_at": None, "seed": None, "places": None, "withdrawn": None, "settled_at": None},
        "drawn stays",
    ),
)


def ignored(statement):
    """Return a statement that SQLite is asked to skip where a constraint is against it."""
    return statement.prefix_with("OR IGNORE", dialect="sqlite")


def replacing(statement):
    """Return a statement for which SQLite is asked to delete what is in its way."""
    return statement.prefix_with("OR REPLACE", dialect="sqlite")


def divided(make, **values):
    return Table(
        make,
        **{"capacity": 3, "pools_merged": False, "pools_merge_at": clock.now() + HOUR, **values},
    ).pools(1, 2)


def present(make):
    table = Table(make).put("in", "confirmed").put("first", "waitlisted")
    make.check_in(table.rows["in"])
    return table


def offer(**values):
    return {"state": "offered", "offer_expires_at": clock.now() + HOUR, **values}


# What is tried: the table, the statement, and what the database says.
REFUSED: dict[str, tuple[Callable[[Any], Table], Callable[[Table], Any], str]] = {
    "a place beyond the capacity": (full, lambda t: t.row("confirmed", created_at=t.activity.starts_at), "ck_activity_taken_within_capacity"),
    "an offer beyond the capacity": (full, lambda t: t.row(**offer(created_at=t.activity.starts_at)), "ck_activity_taken_within_capacity"),
    "a promotion beyond the capacity": (full, lambda t: t.change("first", state="confirmed"), "ck_activity_taken_within_capacity"),
    "a capacity below the places taken": (lambda make: Table(make, capacity=2).put("a", "confirmed").put("b", "confirmed"), lambda t: t.resize(capacity=1), "ck_activity_taken_within_capacity"),
    "a turn beyond the queue": (full, lambda t: t.row("waitlisted"), "ck_activity_waiting_within_waitlist"),
    "a queue shorter than who waits": (full, lambda t: t.resize(waitlist_capacity=1), "ck_activity_waiting_within_waitlist"),
    "a counter changed by hand": (full, lambda t: t.resize(held=3), "ck_activity_held_within_waiting"),
    "a second place for one person": (lambda make: Table(make, capacity=5).put("in", "confirmed"), lambda t: t.row("confirmed", person_id=t.rows["in"].person_id), "uq_sign_up_live|sign_up.activity_id, sign_up.person_id"),
    "a place beside a turn": (full, lambda t: t.row("applied", person_id=t.rows["first"].person_id), "uq_sign_up_live|sign_up.activity_id, sign_up.person_id"),
    "an ended sign-up revived beside a live one": (lambda make: Table(make, capacity=5).put("old", "cancelled"), lambda t: [t.row("confirmed", person_id=t.rows["old"].person_id), t.change("old", state="confirmed", cancelled_at=None)], "has ended stays so"),
    "an ended sign-up revived": (lambda make: Table(make, capacity=5).put("old", "cancelled"), lambda t: t.change("old", state="confirmed", cancelled_at=None), "has ended stays so"),
    "an ended turn revived": (lambda make: Table(make).put("old", "cancelled"), lambda t: t.change("old", state="waitlisted", cancelled_at=None), "has ended stays so"),
    "a promotion past the first": (with_a_free_place, lambda t: t.change("second", state="confirmed"), "somebody else is next"),
    "an offer past the first": (with_a_free_place, lambda t: t.change("second", **offer()), "somebody else is next"),
    "a newcomer past the queue": (with_a_free_place, lambda t: t.row("confirmed"), "somebody else is next"),
    "an offer to a newcomer past the queue": (with_a_free_place, lambda t: t.row(**offer()), "somebody else is next"),
    "an application accepted past the queue": (with_a_free_place, lambda t: t.change("applicant", state="confirmed"), "somebody else is next"),
    "a lower rank past a higher": (lambda make: Table(make, admission_mode="review").ranked("late", "waitlisted", 7).ranked("early", "waitlisted", 3), lambda t: t.change("late", state="confirmed"), "somebody else is next"),
    "no rank past a rank": (lambda make: Table(make, admission_mode="review").put("none", "waitlisted").ranked("some", "waitlisted", UNRANKED - 1), lambda t: t.change("none", state="confirmed"), "somebody else is next"),
    "arrival counts within a rank": (lambda make: Table(make, admission_mode="review").ranked("a", "waitlisted", 3).ranked("b", "waitlisted", 3), lambda t: t.change("b", state="confirmed"), "somebody else is next"),
    "a rank taken with the place": (with_a_free_place, lambda t: t.change("second", state="confirmed", rank=1), "a rank is given by review or draw"),
    "a rank given with the place": (reviewed, lambda t: t.change("second", state="confirmed", rank=1), "somebody else is next"),
    "a rank taken before the place": (with_a_free_place, lambda t: [t.change("second", rank=1), t.change("second", state="confirmed")], "a rank is given by review or draw"),
    "a rank taken as an application": (with_a_free_place, lambda t: t.change("applicant", rank=1), "a rank is given by review or draw"),
    "a rank after the draw": (lambda make: lottery(make, CLOSED, DRAWN, SETTLED), lambda t: t.change("entry", rank=1), "a rank is given by review or draw"),
    "a rank of who waits for no draw": (lambda make: lottery(make, CLOSED, DRAWN), lambda t: [t.change("entry", state="waitlisted"), t.change("entry", rank=1)], "a rank is given by review or draw"),
    "a rank before the draw": (lottery, lambda t: t.change("entry", rank=1), "a rank is given by the draw, once"),
    "another rank than the draw gave": (lambda make: lottery(make, CLOSED, DRAWN), lambda t: [t.change("entry", rank=2), t.change("entry", rank=1)], "a rank is given by the draw, once"),
    "a place before the draw": (lottery, lambda t: t.change("entry", state="confirmed"), "a place is given by review or draw"),
    "an offer before the draw": (lambda make: lottery(make, CLOSED), lambda t: t.change("entry", **offer()), "a place is given by review or draw"),
    "a turn before the draw": (lambda make: lottery(make, CLOSED), lambda t: t.change("entry", state="waitlisted"), "a place is given by review or draw"),
    "a place before the draw, by the door": (lottery, lambda t: [t.change("entry", state="walk_in"), t.change("entry", state="confirmed")], "a place is given by review or draw"),
    "a place before the draw, or nothing": (lottery, lambda t: ignored(t.change("entry", state="confirmed")), "a place is given by review or draw"),
    "a newcomer before the draw": (lottery, lambda t: t.row("confirmed"), "a place is given by review or draw"),
    "a newcomer before the draw, by staff": (lottery, lambda t: t.row("confirmed", added_by=t.rows["entry"].person_id), "a place is given by review or draw"),
    "an offer to a newcomer before the draw": (lottery, lambda t: t.row(**offer()), "a place is given by review or draw"),
    "a newcomer in the queue before the draw": (lottery, lambda t: t.row("waitlisted"), "a place is given by review or draw"),
    "a newcomer before all is settled": (lambda make: lottery(make, CLOSED, DRAWN), lambda t: t.row("confirmed"), "a place is given by review or draw"),
    "a place past the queue of the draw": (lambda make: lottery(make, CLOSED, DRAWN), lambda t: t.change("entry", state="confirmed"), "a place is given by review or draw"),
    "a lottery that was not drawn": (lottery, lambda t: t.resize(drawn=True), "drawn when its draw is settled"),
    "a lottery that is not settled": (lambda make: lottery(make, CLOSED, DRAWN), lambda t: t.resize(drawn=True), "drawn when its draw is settled"),
    "a lottery drawn and yet not": (lambda make: lottery(make, CLOSED, DRAWN, SETTLED), lambda t: t.resize(drawn=False), "drawn when its draw is settled"),
    "a lottery drawn from the first": (lottery, lambda t: insert(Activity).values({**row_of(t.make._database, t.activity), "id": t.make.person().id, "drawn": True}), "drawn when its draw is settled"),
    "a lottery that is none": (lottery, lambda t: t.resize(admission_mode="first_come"), "stays while somebody is in"),
    "a review that is none": (reviewed, lambda t: t.resize(admission_mode="first_come"), "stays while somebody is in"),
    "a draw taken from its entries": (lottery, lambda t: delete(LotteryDraw), "a draw with entries stays"),
    "a draw taken away once closed": (lambda make: lottery(make, CLOSED), lambda t: [t.change("entry", state="cancelled", cancelled_at=clock.now()), delete(LotteryDraw)], "a draw with entries stays"),
    "a draw put over another": (lambda make: lottery(make, CLOSED, DRAWN), lambda t: replacing(insert(LotteryDraw).values(activity_id=t.activity.id, **COMMITTED)), "a draw with entries stays|pk_lottery_draw"),
    "a draw moved to another activity": (lambda make: Table(make, admission_mode="lottery"), lambda t: [insert(LotteryDraw).values(activity_id=t.activity.id, **COMMITTED), t.draw(activity_id=t.make.activity().id)], "committed to stays"),
    "a draw that begins closed": (lambda make: Table(make, admission_mode="lottery"), lambda t: insert(LotteryDraw).values(activity_id=t.activity.id, **COMMITTED, **CLOSED), "begins with its commitment"),
    "a public number that is none": (lambda make: lottery(make, CLOSED), lambda t: t.draw(**DRAWN, public_value="3 1 7"), "ck_lottery_draw_public_value_in_digits"),
    "a public number of nothing": (lambda make: lottery(make, CLOSED), lambda t: t.draw(**DRAWN, public_value=""), "ck_lottery_draw_public_value_in_digits"),
    **{
        f"{', '.join(map(str, values))} of a draw after {len(steps)} steps": (lambda make, steps=steps: lottery(make, *steps), lambda t, values=values: t.draw(**values), said)
        for steps, values, said in FIXED
    },
    "an application accepted by nobody": (lambda make: Table(make, admission_mode="review").put("a", "applied"), lambda t: t.change("a", state="confirmed"), "a place is given by review or draw"),
    "an application offered a place by nobody": (lambda make: Table(make, admission_mode="review").put("a", "applied"), lambda t: t.change("a", **offer()), "a place is given by review or draw"),
    "an application put into the queue by nobody": (lambda make: Table(make, admission_mode="review").put("a", "applied"), lambda t: [t.change("a", state="waitlisted"), t.change("a", state="confirmed")], "a place is given by review or draw"),
    "a place past the queue of a review": (lambda make: Table(make, admission_mode="review").put("a", "applied"), lambda t: t.change("a", state="confirmed", decided_at=clock.now()), "a place is given by review or draw"),
    "a refusal made a place": (lambda make: Table(make, admission_mode="review").put("a", "refused"), lambda t: t.change("a", state="confirmed"), "a place is given by review or draw"),
    "a newcomer whom nobody reviewed": (lambda make: Table(make, admission_mode="review"), lambda t: t.row("confirmed"), "a place is given by review or draw"),
    "a newcomer in the queue whom nobody reviewed": (lambda make: Table(make, admission_mode="review"), lambda t: t.row("waitlisted"), "a place is given by review or draw"),
    "an earlier arrival": (with_a_free_place, lambda t: t.change("second", seq=-7), "keeps its arrival"),
    "other pools": (lambda make: divided(make).put("first", "waitlisted", pool_mask=2), lambda t: t.change("first", pool_mask=1), "keeps its arrival"),
    "another id": (full, lambda t: t.change("first", id=t.make.person().id), "keeps its arrival"),
    "a newcomer with a rank": (with_a_free_place, lambda t: t.row("confirmed", rank=1), "somebody else is next"),
    "a newcomer who came before": (with_a_free_place, lambda t: t.row("confirmed", seq=-7), "somebody else is next"),
    "a turn with a rank": (with_a_free_place, lambda t: t.row("waitlisted", rank=1), "stands at the end"),
    "a turn before the others": (with_a_free_place, lambda t: t.row("waitlisted", seq=-7), "stands at the end"),
    "an application with a rank": (reviewed, lambda t: t.row("applied", rank=1), "nobody arrives with a rank"),
    "a turn once the queue has closed": (with_a_free_place, lambda t: t.row("waitlisted", created_at=t.activity.queue_closes_at), "the queue has closed"),
    "into a pool past others once pools are one": (lambda make: divided(make, pools_merged=True).put("first", "waitlisted", pool_mask=1).put("second", "waitlisted", pool_mask=2), lambda t: t.change("second", state="confirmed", pool=2), "somebody else is next"),
    "past who waits for the same pool": (lambda make: divided(make).put("first", "waitlisted", pool_mask=2).put("second", "waitlisted", pool_mask=2), lambda t: t.change("second", state="confirmed", pool=2), "somebody else is next"),
    "past who would take the overflow": (lambda make: divided(make).put("first", "waitlisted", pool_mask=3).put("second", "waitlisted", pool_mask=2), lambda t: t.change("second", state="confirmed", pool=2), "somebody else is next"),
    "a newcomer past who waits for the pool": (lambda make: divided(make).put("first", "waitlisted", pool_mask=2), lambda t: t.row("confirmed", pool_mask=2, pool=2), "somebody else is next"),
    "past any once pools are one": (lambda make: divided(make, pools_merged=True).put("first", "waitlisted", pool_mask=1).put("second", "waitlisted", pool_mask=2), lambda t: t.change("second", state="confirmed"), "somebody else is next"),
    "a place beyond its pool": (lambda make: divided(make).put("in", "confirmed", pool_mask=1, pool=1), lambda t: t.row("confirmed", pool_mask=1, pool=1), "ck_activity_pool_taken_within_capacity"),
    "a move into a full pool": (lambda make: divided(make).put("in", "confirmed", pool_mask=1, pool=1).put("other", "confirmed", pool_mask=3, pool=2), lambda t: t.change("other", pool=1), "ck_activity_pool_taken_within_capacity"),
    "a pool smaller than what is taken in it": (lambda make: divided(make).put("in", "confirmed", pool_mask=1, pool=1), lambda t: t.resize_pool(1, capacity=0), "ck_activity_pool_taken_within_capacity"),
    "a place in no pool": (divided, lambda t: t.row("confirmed", pool_mask=1), "a place is in a pool"),
    "a promotion into no pool": (lambda make: divided(make).put("first", "waitlisted", pool_mask=1), lambda t: t.change("first", state="confirmed"), "a place is in a pool"),
    "a place taken out of its pool": (lambda make: divided(make).put("in", "confirmed", pool_mask=1, pool=1), lambda t: t.change("in", pool=None), "a place is in a pool"),
    "a place in a pool that is none": (divided, lambda t: t.row("confirmed", pool_mask=255, pool=7), "a place is in a pool that there is"),
    "a place in a pool for others": (divided, lambda t: t.row("confirmed", pool_mask=1, pool=2), "ck_sign_up_pool_open_to_person"),
    "a pool taken away under its places": (lambda make: divided(make).put("in", "confirmed", pool_mask=1, pool=1), lambda t: t.of_pool(delete(Pool), 1), "a pool with places taken stays"),
    "a pool moved away under its places": (lambda make: divided(make).put("in", "confirmed", pool_mask=1, pool=1), lambda t: t.of_pool(update(Pool), 1).values(position=7), "a pool with places taken stays"),
    "a pool put over another": (lambda make: divided(make).put("in", "confirmed", pool_mask=1, pool=1), lambda t: replacing(t.pool(1)), "a new pool is empty|pk_activity_pool"),
    "a pool with places taken from nobody": (divided, lambda t: t.pool(3, taken=1), "a new pool is empty"),
    "a pool merged by itself": (lambda make: divided(make).put("in", "confirmed", pool_mask=1, pool=1), lambda t: t.resize_pool(1, merged=True), "merged with their activity"),
    "a turn in a pool": (divided, lambda t: t.row("waitlisted", pool_mask=1, pool=1), "ck_sign_up_pool_of_a_place"),
    "an offer without an end": (Table, lambda t: t.row("offered"), "ck_sign_up_offered_has_expiry"),
    "a promotion to an offer without an end": (with_a_free_place, lambda t: t.change("first", state="offered"), "ck_sign_up_offered_has_expiry"),
    "an end without an offer": (Table, lambda t: t.row("confirmed", offer_expires_at=clock.now()), "ck_sign_up_offered_has_expiry"),
    "a place held back": (Table, lambda t: t.row("confirmed", held_until=clock.now()), "ck_sign_up_held_in_queue"),
    "an end without its time": (full, lambda t: t.change("in", state="cancelled"), "ck_sign_up_cancelled_has_time"),
    "a check-in from the queue": (full, lambda t: t.check_in("first"), "nobody checks in without admission"),
    "a check-in on an offer": (lambda make: Table(make).put("o", "offered", offer_expires_at=clock.now()), lambda t: t.check_in("o"), "nobody checks in without admission"),
    "a check-in on an application": (with_a_free_place, lambda t: t.check_in("applicant"), "nobody checks in without admission"),
    "a check-in after leaving": (lambda make: Table(make).put("gone", "cancelled"), lambda t: t.check_in("gone"), "nobody checks in without admission"),
    "a check-in on another's place": (full, lambda t: t.check_in("in", person_id=t.rows["first"].person_id), "nobody checks in without admission"),
    "a check-in with a place elsewhere": (full, lambda t: t.check_in("in", activity_id=t.make.activity().id), "nobody checks in without admission"),
    "a check-in given to somebody else": (present, lambda t: update(CheckIn).where(CheckIn.sign_up_id == t.rows["in"].id).values(person_id=t.rows["first"].person_id), "nobody checks in without admission"),
    "leaving while there": (present, lambda t: t.change("in", state="cancelled", cancelled_at=clock.now()), "who was there keeps the place"),
    "back into the queue while there": (present, lambda t: t.change("in", state="waitlisted"), "who was there keeps the place"),
    "another person on a sign-up": (full, lambda t: t.change("in", person_id=t.make.person().id), "keeps its activity and its person"),
    "a place beyond the capacity, or nothing": (full, lambda t: ignored(t.row("confirmed", created_at=t.activity.starts_at)), "ck_activity_taken_within_capacity"),
    "an offer beyond the capacity, or nothing": (full, lambda t: ignored(t.row(**offer(created_at=t.activity.starts_at))), "ck_activity_taken_within_capacity"),
    "a promotion beyond the capacity, or nothing": (full, lambda t: ignored(t.change("first", state="confirmed")), "ck_activity_taken_within_capacity"),
    "a turn beyond the queue, or nothing": (full, lambda t: ignored(t.row("waitlisted")), "ck_activity_waiting_within_waitlist"),
    "a place beyond its pool, or nothing": (lambda make: divided(make).put("in", "confirmed", pool_mask=1, pool=1), lambda t: ignored(t.row("confirmed", pool_mask=1, pool=1)), "ck_activity_pool_taken_within_capacity"),
    "a move into a full pool, or nothing": (lambda make: divided(make).put("in", "confirmed", pool_mask=1, pool=1).put("other", "confirmed", pool_mask=3, pool=2), lambda t: ignored(t.change("other", pool=1)), "ck_activity_pool_taken_within_capacity"),
    "a check-in from the queue, or nothing": (full, lambda t: ignored(t.check_in("first")), "nobody checks in without admission"),
    "a place beyond the capacity over what is there": (full, lambda t: replacing(t.row("confirmed", created_at=t.activity.starts_at)), "ck_activity_taken_within_capacity"),
    "a place over one's own": (lambda make: Table(make, capacity=5).put("in", "confirmed"), lambda t: replacing(t.row("confirmed", person_id=t.rows["in"].person_id)), "uq_sign_up_live|sign_up.activity_id, sign_up.person_id"),
    "a place over another's id": (lambda make: Table(make, capacity=5).put("in", "confirmed"), lambda t: replacing(t.row("confirmed", id=t.rows["in"].id)), "uq_sign_up_id|sign_up.id"),
    "a place over another's arrival": (lambda make: Table(make, capacity=5).put("in", "confirmed"), lambda t: replacing(t.row("confirmed", seq=t.rows["in"].seq)), "pk_sign_up|sign_up.seq"),
    "another activity on a sign-up": (full, lambda t: t.change("in", activity_id=t.make.activity().id), "keeps its activity and its person"),
}  # fmt: skip


def row_of(database, activity):
    with database.reading() as db:
        return dict(db.execute(Activity.__table__.select().where(Activity.id == activity.id)).one()._mapping)


def execute(database, statements):
    with database.transaction() as session:
        for statement in statements if isinstance(statements, list) else [statements]:
            session.execute(statement.execution_options(synchronize_session=False))


@pytest.mark.parametrize("tried", REFUSED)
def test_the_database_refuses(make, database, tried):
    lay, attempt, said = REFUSED[tried]
    table = lay(make)
    before = _counters(database, table)
    with pytest.raises(IntegrityError, match=said):
        execute(database, attempt(table))
    assert _counters(database, table) == before


def _counters(database, table):
    with database.reading() as db:
        rows = db.execute(Activity.__table__.select().where(Activity.id == table.activity.id)).all()
        pools = db.execute(
            Pool.__table__.select().where(Pool.activity_id == table.activity.id).order_by(Pool.position)
        )
        return rows, pools.all()


ALLOWED: dict[str, tuple[Callable[[Any], Table], Callable[[Table], Any]]] = {
    "the first in the queue": (with_a_free_place, lambda t: t.change("first", state="confirmed")),
    "an application ranked before the queue": (reviewed, lambda t: [t.change("ranked", state="waitlisted"), t.change("ranked", state="confirmed")]),
    "past who is held back": (lambda make: Table(make).put("held", "waitlisted", held_until=clock.now() + HOUR).put("next", "waitlisted"), lambda t: t.change("next", state="confirmed")),
    "past who waits for another pool": (lambda make: divided(make).put("first", "waitlisted", pool_mask=1).put("second", "waitlisted", pool_mask=2), lambda t: t.change("second", state="confirmed", pool=2)),
    "at the door, after the queue has closed": (with_a_free_place, lambda t: t.row("confirmed", created_at=t.activity.queue_closes_at)),
    "a rank that review gives who waits": (reviewed, lambda t: [t.change("second", rank=1), t.change("second", state="confirmed")]),
    "a rank that the draw gives": (lambda make: lottery(make, CLOSED, DRAWN), lambda t: [t.change("entry", rank=1), t.change("gone", rank=2)]),
    "a place that the draw gives": (lambda make: lottery(make, CLOSED, DRAWN), lambda t: [t.change("entry", rank=1), t.change("entry", state="waitlisted"), t.change("entry", state="confirmed")]),
    "first come once a draw is settled": (lambda make: lottery(make, CLOSED, DRAWN, SETTLED), lambda t: t.row("confirmed")),
    "a walk-in where places are drawn": (lottery, lambda t: t.walks_in("entry")),
    "a seed sealed with another key": (lambda make: lottery(make, CLOSED), lambda t: t.draw(sealed_seed=b"another")),
    "a draw put off": (lambda make: lottery(make, CLOSED), lambda t: t.draw(draws_at=NOW + HOUR)),
    "a draw that nobody has entered taken away": (lottery, lambda t: [t.change("entry", state="cancelled", cancelled_at=clock.now()), delete(LotteryDraw), t.resize(admission_mode="first_come")]),
    "a place that a decision gives": (lambda make: Table(make, admission_mode="review").put("a", "refused"), lambda t: [t.change("a", state="waitlisted", decided_at=clock.now()), t.change("a", state="confirmed")]),
    "a place that staff give where they review": (lambda make: Table(make, admission_mode="review").put("a", "applied"), lambda t: t.row("confirmed", added_by=t.rows["a"].person_id)),
    "a turn at the end of the queue": (with_a_free_place, lambda t: t.row("waitlisted")),
    "a pool that nobody is in taken away": (lambda make: divided(make, capacity=1).put("in", "confirmed", pool_mask=1, pool=1), lambda t: t.of_pool(delete(Pool), 2)),
    "a walk-in beyond the capacity": (full, lambda t: t.walks_in()),
    "an offer accepted": (lambda make: Table(make).put("o", "offered", offer_expires_at=clock.now()).put("first", "waitlisted"), lambda t: t.change("o", state="confirmed", offer_expires_at=None)),
    "joining again after leaving": (lambda make: Table(make).put("old", "cancelled"), lambda t: t.row("confirmed", person_id=t.rows["old"].person_id)),
    "another pool that has a place": (lambda make: divided(make).put("in", "confirmed", pool_mask=3, pool=1), lambda t: t.change("in", pool=2)),
    "out of the pools once they are one": (lambda make: divided(make, pools_merged=True).put("in", "confirmed", pool_mask=1, pool=1), lambda t: t.change("in", pool=None)),
}  # fmt: skip


@pytest.mark.parametrize("tried", ALLOWED)
def test_the_database_allows(make, database, tried):
    """So that what it refuses it does not refuse for being a statement of ours."""
    lay, attempt = ALLOWED[tried]
    table = lay(make)
    execute(database, attempt(table))
    assert violations(database).keys() <= {"stranded", "walk_ins_present"}, (
        "the service counts walk-ins, and gives what is free"
    )


def test_counters_follow_whatever_is_written(make, database):
    table = divided(make).put("a", "confirmed", pool_mask=1, pool=1).put("b", "waitlisted", pool_mask=1)
    table.put("c", "applied").put("d", "waitlisted", pool_mask=1, held_until=clock.now() + HOUR)
    execute(database, table.change("a", state="cancelled", pool=None, cancelled_at=clock.now()))
    execute(database, table.change("b", state="confirmed", pool=1))
    execute(database, table.change("d", held_until=None))
    execute(database, SignUp.__table__.delete().where(SignUp.id == table.rows["c"].id))
    ((activity,), pools) = _counters(database, table)
    assert (activity.taken, activity.waiting, activity.held, activity.applied) == (1, 1, 0, 0)
    assert [pool.taken for pool in pools] == [1, 0]


def test_pools_are_merged_with_their_activity(make, database):
    table = divided(make).put("in", "confirmed", pool_mask=1, pool=1)
    execute(database, table.resize(pools_merged=True))
    (_, pools) = _counters(database, table)
    assert [pool.merged for pool in pools] == [True, True]
    execute(database, table.row("confirmed", pool_mask=1, pool=1))
    assert violations(database) == {}


@pytest.mark.parametrize("end", ["cancelled", "waitlisted"])
def test_somebody_checks_in_while_their_place_ends_and_one_of_them_wins(make, database, end):
    """Two sessions of plain SQL, each of which holds its transaction open until the other has written, or cannot."""
    table = Table(make).put("in", "confirmed")
    gone = {"cancelled_at": clock.now()} if end == "cancelled" else {}
    both = threading.Barrier(2)

    def write(statement):
        with suppress(IntegrityError), database.transaction() as session:
            session.execute(statement.execution_options(synchronize_session=False))
            with suppress(threading.BrokenBarrierError):
                both.wait(timeout=0.5)
            return True
        return False

    written = at_once(
        [lambda: write(table.check_in("in")), lambda: write(table.change("in", state=end, **gone))]
    )
    assert sum(written) == 1
    assert violations(database).keys() <= {"stranded"}


def test_a_sign_up_bears_the_times_of_its_activity(make, database):
    table = full(make)
    later = {name: getattr(table.activity, name) + 24 * HOUR for name in ("starts_at", "ends_at")}
    execute(database, table.resize(**later))
    with database.reading() as db:
        times = db.execute(SignUp.__table__.select()).all()
    assert {(row.starts_at, row.ends_at) for row in times} == {(later["starts_at"], later["ends_at"])}
