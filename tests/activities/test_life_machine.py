"""Whatever people, staff and the clock do to an activity, the service does what the model in ``life.py`` does."""

from __future__ import annotations

import threading
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any

import previews
import pytest
from activities.life import DAY, HELD_MINUTES, Life
from activities.proof import violations
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from sqlalchemy import delete, select, update

from engage.activities.models import Activity, Audience, CheckIn, CreditEntry, Pool, SignUp, SignUpState
from engage.activities.service.due import advance_due
from engage.activities.service.release import release_person
from engage.core.clock import SHANGHAI
from engage.core.config import Overlap
from engage.core.db import Nobody, Work
from engage.orgs.models import Role

MIDNIGHT = datetime(2026, 10, 1, tzinfo=SHANGHAI)
OPENS = 480  # 08:00 on the first day
PEOPLE = 6
person = st.integers(0, PEOPLE - 1)


def at(minute: int) -> datetime:
    return MIDNIGHT + timedelta(minutes=minute)


def minute_of(instant: datetime | None) -> int | None:
    return None if instant is None else (instant - MIDNIGHT) // timedelta(minutes=1)


class LifeMachine(RuleBasedStateMachine):
    """The service beside the model. The first three people are of the county that the first pool is for."""

    house: Any

    @initialize(
        sizes=st.tuples(st.integers(0, 2), st.integers(1, 2)),
        turns=st.integers(0, 4),
        overflow=st.booleans(),
        starts=st.sampled_from(
            [DAY + 960, DAY + 510]
        ),  # 16:00, or 08:30 after a night in which the queue closes
        window=st.sampled_from([60, 420, 1440]),
        merges_before=st.sampled_from([None, None, 30, 120, 600]),
        begins=st.sampled_from([600, 1310, DAY + 60, DAY + 440, DAY + 840]),
        first=st.lists(person, unique=True, max_size=PEOPLE),
        alone=st.booleans(),
        credit=st.booleans(),
    )
    def begin(self, sizes, turns, overflow, starts, window, merges_before, begins, first, alone, credit):
        house = self.house
        house.database.settings = house.settings.replace(credit=credit, credit_held_hours=HELD_MINUTES // 60)
        self.credit = credit
        ends = starts + 120
        begins = min(begins, starts - 61)
        house.clock.set(at(begins))
        merge_at = None if merges_before is None else starts - merges_before
        places = list(sizes) if merge_at else [sum(sizes)]
        offers_from = starts - window
        self.model = Life(
            places, turns, offers_from, starts - 60, starts, ends, merge_at, begins, alone=alone
        )
        self.overflow = overflow
        self.activity = house.make.activity(
            house.org,
            project_id=house.project.id,
            capacity=sum(sizes),
            waitlist_capacity=turns,
            starts_at=at(starts),
            ends_at=at(ends),
            sign_up_opens_at=at(OPENS),
            sign_up_closes_at=at(starts),
            offers_from_at=at(offers_from),
            queue_closes_at=at(starts - 60),
            pools_merged=merge_at is None,
            pools_merge_at=at(merge_at) if merge_at else None,
            overlap=Overlap.REFUSE if alone else Overlap.ALLOW,
        )
        self.there = house.make.activity(
            house.org, project_id=house.project.id, starts_at=at(0), ends_at=at(9 * DAY)
        )
        self.shape = []
        if merge_at:
            self.shape = [
                {"name": "甲", "audience": "counties", "county_codes": ["140524"], "overflow_rank": None},
                {"name": "乙", "audience": "everybody", "county_codes": [], "overflow_rank": 1 if overflow else None},
            ]  # fmt: skip
            for position, (pool, size) in enumerate(zip(self.shape, sizes, strict=True), 1):
                values = {**pool, "audience": Audience(pool["audience"]), "capacity": size}
                house.make.add(Pool(activity_id=self.activity.id, position=position, **values))
        self.url = f"/v1/activities/{self.activity.id}"
        for who in first:
            self.sign_up(who)

    def pools_for(self, who: int) -> tuple[int, ...]:
        if not self.shape:
            return ()
        if who >= PEOPLE // 2:
            return (1,)
        return (0, 1) if self.overflow else (0,)

    @rule(who=person)
    def sign_up(self, who):
        taken = self.model.join(who, self.pools_for(who))
        answer = self.house.clients[who].put(f"{self.url}/sign-up", json={})
        assert (answer.status_code == 200) == taken, answer.json
        if taken:
            self._compare_position(who, answer.json)

    @rule(who=person)
    def leave(self, who):
        taken = self.model.leave(who)
        assert (self.house.clients[who].delete(f"{self.url}/sign-up").status_code == 204) == taken

    @rule(who=person)
    def accept(self, who):
        row = self.model.live(who)
        was_offered = row is not None and row.state == "offered"
        taken = self.model.accept(who)
        answer = self.house.clients[who].post(f"{self.url}/sign-up/acceptance")
        if was_offered:
            assert (answer.status_code == 200) == taken, answer.json

    @rule(who=person)
    def staff_add(self, who):
        taken = self.model.join(who, self.pools_for(who), by_staff=True)
        body = {"person_id": str(self.house.people[who].id)}
        answer = self.house.officer.post(f"{self.url}/sign-ups", json=body)
        assert (answer.status_code == 201) == taken, answer.json

    def _row(self, who):
        """The live sign-up of somebody who has one."""
        with self.house.database.reading() as db:
            row = select(SignUp).where(
                SignUp.activity_id == self.activity.id,
                SignUp.person_id == self.house.people[who].id,
                SignUp.state != SignUpState.CANCELLED,
            )
            return db.execute(row).one()

    @rule(who=person)
    def staff_cancel(self, who):
        if self.model.live(who) is None:
            return
        sign_up_id = self._row(who).id
        taken = self.model.leave(who, by_staff=True)
        answer = self.house.officer.post(
            f"{self.url}/sign-ups/{sign_up_id}/cancellation", json={"reason": "测试"}
        )
        assert (answer.status_code == 200) == taken, answer.json

    @rule(who=person)
    def excuse(self, who):
        row = self.model.live(who)
        if row is None or row.state != "confirmed":
            return
        taken = self.model.excuse(who)
        answer = self.house.clients[who].post(f"{self.url}/sign-up/excuse", json={"reason": "测试"})
        assert (answer.status_code == 200) == taken, answer.json

    @rule(who=person)
    def released(self, who):
        """Somebody's account is stopped, and restored at once."""
        model, database = self.model, self.house.database
        taken = model.leave(who, by_staff=True) + (who in model.elsewhere)
        model.elsewhere.discard(who)
        with database.transaction() as session:
            work = Work(session, Nobody(), self.house.clock.now, database.settings)
            assert release_person(work, self.house.people[who].id) == taken

    @rule(who=person)
    def comes(self, who):
        row = self.model.live(who)
        if row is not None and row.state == "confirmed" and not row.present:
            row.present = True
            self.house.make.check_in(self._row(who))

    @rule()
    def call_off(self):
        if not self.model.called_off:
            self.model.call_off()
            assert previews.cancel(self.house.officer, self.url).status_code == 200

    @rule()
    def reopen(self):
        taken = self.model.reopen()
        answer = self.house.officer.post(f"{self.url}/reopening", json={"reason": "测试"})
        assert (answer.status_code == 200) == taken, answer.json

    def _queue_is_past(self):
        """Whether there is a queue that should have closed, which a change of the activity may close."""
        return self.model.now >= self.model.queue_closes and self.model.queue()

    @rule(sizes=st.tuples(st.integers(0, 3), st.integers(0, 3)).filter(any))
    def resize(self, sizes):
        if self._queue_is_past():
            return
        sizes = list(sizes) if self.shape else [sum(sizes)]
        taken = self.model.resize(sizes)
        answer = self.house.officer.put(self.url, json=self._body(sizes), headers={"If-Match": "*"})
        assert (answer.status_code == 200) == taken, answer.json

    @rule(sizes=st.tuples(st.integers(0, 2), st.integers(0, 2)).filter(any))
    def cut(self, sizes):
        if self.model.now >= self.model.queue_closes:
            return
        sizes = list(sizes) if self.shape else [sum(sizes)]
        body = self._body(sizes)
        taken = self.model.cut(sizes)
        shown = previews.look(self.house.officer, self.url, body)
        assert (shown.status_code == 200) == taken, shown.json
        if taken:
            headers = {"If-Match": shown.headers["ETag"]}
            assert self.house.officer.put(self.url, json=body, headers=headers).status_code == 200

    @rule(by=st.sampled_from([30, 240]))
    def start_later(self, by):
        model = self.model
        if model.called_off or model.now >= model.queue_closes:
            return
        body = self._body(model.places, by)
        model.move(by)
        answer = previews.edit(self.house.officer, self.url, body)
        assert answer.status_code == 200, answer.json

    def _body(self, sizes, later=0):
        model, activity = self.model, self.activity
        starts, ends = at(model.starts + later).isoformat(), at(model.ends + later).isoformat()
        pools = [{**pool, "capacity": size} for pool, size in zip(self.shape, sizes, strict=False)]
        return {
            "title": activity.title,
            "project_id": str(activity.project_id),
            "org_id": str(activity.org_id),
            "place_name": "文化广场",
            "county_code": "140502",
            "starts_at": starts,
            "ends_at": ends,
            "sign_up_opens_at": at(OPENS).isoformat(),
            "sign_up_closes_at": starts,
            "capacity": sum(sizes),
            "waitlist_capacity": model.turns,
            "admission": {
                "overlap": "refuse" if model.alone else "allow",
                "pools": pools,
                "pools_merge_at": at(model.merge_at).isoformat() if pools else None,
            },
            "waitlist": {"offer_window_minutes": model.starts - model.offers_from, "closes_minutes": 60},
            "attendance": {"excuse_minutes": 0},
        }

    @rule(who=person, minutes=st.integers(1, 1500))
    def loses_points(self, who, minutes):
        """Somebody has too few for some time."""
        if not self.credit or self.model.low.get(who, 0) > self.model.now:
            return
        fades = self.model.now + minutes
        noted = self.house.make.sign_up(self.there, self.house.people[who], state=SignUpState.CANCELLED)
        self.house.make.credit_entry(noted, points=-50, fades_at=at(fades))
        self.model.low[who] = fades

    @rule(who=person)
    def goes_elsewhere(self, who):
        """Somebody gets a place in another activity at the same time, or gives it up."""
        there = self.model.elsewhere
        if who not in there:
            self.house.make.sign_up(self.there, self.house.people[who])
        else:
            theirs = SignUp.person_id == self.house.people[who].id, SignUp.state == SignUpState.CONFIRMED
            with self.house.database.transaction() as session:
                session.execute(
                    update(SignUp)
                    .where(SignUp.activity_id == self.there.id, *theirs)
                    .values(state=SignUpState.CANCELLED, cancelled_at=self.house.clock.now)
                )
        there ^= {who}

    @rule(minutes=st.sampled_from([1, 20, 60, 150]), worker=st.booleans())
    def time_passes(self, minutes, worker):
        self._go_to(self.model.now + minutes, worker=worker)

    @rule(past=st.booleans(), worker=st.booleans())
    def something_becomes_due(self, past, worker):
        """Go to the next instant at which a rule changes, or a minute beyond."""
        model = self.model
        instants = {model.offers_from, model.merge_at, model.queue_closes, model.starts, 1320, DAY + 480}
        instants |= {model.starts - HELD_MINUTES, *model.low.values()}
        instants |= {instant for row in model.rows for instant in (row.expires, row.held_until)}
        ahead = [instant for instant in instants if instant is not None and instant > model.now]
        if ahead:
            self._go_to(min(ahead) + past, worker=worker)

    def _go_to(self, minute, *, worker):
        if minute < self.model.ends:
            self.model.now = minute
            self.house.clock.set(at(minute))
            if worker:
                self.settle()

    @rule()
    def settle(self):
        self.model.settle()
        advance_due(self.house.database, threading.Event())
        assert violations(self.house.database) == {}

    @rule(who=person)
    def look(self, who):
        answer = self.house.clients[who].get(f"{self.url}/sign-up")
        assert (answer.status_code == 200) == (self.model.live(who) is not None)
        if answer.status_code == 200:
            self._compare_position(who, answer.json)

    def _compare_position(self, who, mine):
        row, queue = self.model.live(who), self.model.queue()
        assert mine["state"] == row.state
        assert mine["position"] == (queue.index(row) + 1 if row in queue else None)

    @invariant()
    def rows_and_counters_are_those_of_the_model(self):
        house, model = self.house, self.model
        with house.database.reading() as db:
            columns = (
                SignUp.person_id,
                SignUp.state,
                SignUp.pool,
                SignUp.held_until,
                SignUp.offer_expires_at,
            )
            found = db.execute(
                select(*columns).where(SignUp.activity_id == self.activity.id).order_by(SignUp.seq)
            ).all()
            counters = db.execute(
                select(Activity.capacity, Activity.taken, Activity.waiting, Activity.held).where(
                    Activity.id == self.activity.id
                )
            ).one()
        rows = [
            (house.numbers[row.person_id], row.state, row.pool, minute_of(row.held_until), minute_of(row.offer_expires_at))
            for row in found
        ]  # fmt: skip
        assert rows == [
            (row.person, row.state, None if row.pool is None else row.pool + 1, row.held_until, row.expires)
            for row in model.rows
        ]
        queue = model.queue()
        held = sum(row.held_until is not None for row in queue)
        assert tuple(counters) == (model.capacity, model.taken(), len(queue), held)

    def teardown(self):
        found = violations(self.house.database)
        assert {name for name in found if not name.endswith("_overdue")} == set()
        ours = self.activity.id, self.there.id
        with self.house.database.transaction() as session:
            for table in (CreditEntry, CheckIn, SignUp, Pool):
                session.execute(delete(table).where(table.activity_id.in_(ours)))
            session.execute(delete(Activity).where(Activity.id.in_(ours)))


@pytest.fixture
def house(make, as_user, frozen, database, monkeypatch):
    monkeypatch.setattr(database, "settings", database.settings)  # each life has its own
    org = make.org()
    people = [
        make.person(hometown_code="140524" if number < PEOPLE // 2 else "140502") for number in range(PEOPLE)
    ]
    return SimpleNamespace(
        make=make,
        clock=frozen,
        database=database,
        settings=database.settings,
        org=org,
        project=make.project(org),
        people=people,
        numbers={one.id: number for number, one in enumerate(people)},
        clients=[as_user(one.id) for one in people],
        officer=as_user(make.staff(Role.OFFICER, org=org).id),
    )


def test_a_whole_life_goes_as_the_model_says(house):
    machine = type("Machine", (LifeMachine,), {"house": house})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=30,
            stateful_step_count=25,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
        ),
    )


# Lives that chance meets rarely: how one begins, then what happens in it.
LIVES = {
    "nobody passes the queue at night": (
        {"starts": DAY + 510, "begins": 1310, "first": [0, 1]},
        [("something_becomes_due", True, False), ("leave", 0), ("sign_up", 2), ("look", 1), ("settle",)],
    ),
    "nor once it should have closed": (
        {"starts": DAY + 960, "begins": DAY + 840, "first": [0, 1]},
        [("time_passes", 60, False), ("leave", 0), ("sign_up", 2), ("settle",), ("sign_up", 2)],
    ),
    "who is held back takes their turn in time": (
        {"starts": DAY + 960, "begins": 600, "window": 60, "first": [0], "credit": True},
        [
            ("loses_points", 1, 60), ("sign_up", 1), ("sign_up", 2), ("leave", 0), ("sign_up", 0), ("time_passes", 60, True),
            ("leave", 2), ("look", 1), ("look", 0),
        ],
    ),
    "who never has the points back is not offered a place but has it, in the last hours": (
        {"starts": DAY + 960, "begins": DAY + 710, "first": [0], "credit": True},
        [
            ("loses_points", 1, 1500), ("sign_up", 1), ("sign_up", 2), ("leave", 0), ("look", 2), ("leave", 2),
            ("something_becomes_due", False, True), ("look", 1),
        ],
    ),
    "who has a place elsewhere is passed for as long as they have it": (
        {"starts": DAY + 960, "begins": 600, "first": [0, 1, 2], "alone": True},
        [
            ("goes_elsewhere", 1), ("leave", 0), ("look", 2), ("settle",), ("sign_up", 0), ("goes_elsewhere", 1), ("settle",),
            ("leave", 2), ("look", 1), ("look", 0), ("goes_elsewhere", 1), ("leave", 1), ("sign_up", 1), ("look", 0),
        ],
    ),
    "also where one of two pools is full": (
        {
            "starts": DAY + 960, "begins": 600, "sizes": (1, 1), "overflow": True, "merges_before": 120, "first": [0, 1, 2, 3, 4],
            "alone": True,
        },
        [("goes_elsewhere", 2), ("leave", 0), ("leave", 1), ("look", 3), ("look", 4), ("goes_elsewhere", 2), ("settle",), ("look", 2)],
    ),
    "what was offered is offered again when it is held after all": (
        {"starts": DAY + 960, "begins": DAY + 500, "first": [0, 1, 2]},
        [
            ("leave", 0), ("call_off",), ("time_passes", 150, True), ("accept", 1), ("sign_up", 3), ("leave", 2), ("reopen",),
            ("accept", 1), ("settle",),
        ],
    ),
    "not once nobody would hear of it": (
        {"starts": DAY + 960, "begins": DAY + 780, "first": [0, 1, 2]},
        [("leave", 0), ("call_off",), ("time_passes", 150, True), ("reopen",), ("settle",), ("sign_up", 3)],
    ),
    "who comes keeps the place when there are fewer": (
        {"starts": DAY + 960, "begins": 600, "sizes": (0, 2), "first": [0, 1, 2]},
        [("comes", 1), ("leave", 1), ("released", 1), ("cut", (0, 1)), ("look", 0), ("cut", (0, 1)), ("excuse", 1), ("look", 2)],
    ),
    "a later start opens the queue for longer": (
        {"starts": DAY + 960, "begins": DAY + 780, "first": [0, 1, 2]},
        [("leave", 0), ("start_later", 240), ("something_becomes_due", True, True), ("accept", 1), ("look", 2), ("accept", 2)],
    ),
    "an offer sleeps at night": (
        {"starts": DAY + 960, "begins": 1310, "first": [0, 1, 2]},
        [
            ("leave", 0), ("time_passes", 150, True), ("look", 1), ("something_becomes_due", False, True),
            ("something_becomes_due", False, True), ("accept", 1), ("look", 2), ("accept", 2),
        ],
    ),
}  # fmt: skip


@pytest.mark.parametrize("life", LIVES)
def test_lives_that_chance_meets_rarely(house, life):
    begin, steps = LIVES[life]
    machine = type("Machine", (LifeMachine,), {"house": house})()
    shape = {"sizes": (0, 1), "turns": 4, "overflow": False, "window": 1440, "merges_before": None}
    shape |= {"alone": False, "credit": False}
    machine.begin(**{**shape, **begin})
    for name, *values in steps:
        getattr(machine, name)(*values)
        machine.rows_and_counters_are_those_of_the_model()
    machine.teardown()
