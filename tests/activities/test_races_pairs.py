"""Every path that gives or frees places against every other: threads that start together, on both engines.

A new path is a line in ``PATHS``: a function that, given the stage and a number, returns what one thread does. It then meets itself, every
other path, and the capacity.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from activities.proof import violations
from factories import Factory, OneTransaction
from racing import at_once
from sqlalchemy import select

from engage.activities.models import Audience, Pool, SignUp, SignUpState
from engage.activities.service import due
from engage.core import clock
from engage.messages.models import OutboxEntry
from engage.orgs.models import Role

EACH = 2  # threads of each path of a pair
HOUR = timedelta(hours=1)
SLOTS = 2 * EACH - 1  # people that a pair is about: one of them meets both paths


class Stage:
    """An activity with somebody in every state, so that every path has something to do.

    ``free`` places are left, nobody waits but who is held; or none is, and a queue waits.
    """

    def __init__(
        self, app, database, as_user, *, start: timedelta, free: int = 0, divided: bool = False
    ) -> None:
        self.app, self.database, self.as_user = app, database, as_user
        with database.transaction() as session, app.app_context():
            self._build(Factory(OneTransaction(session), app), start, free, divided=divided)
        self.kept: dict[Any, set[str]] = {}

    def _build(self, make: Factory, start: timedelta, free: int, *, divided: bool) -> None:
        now = clock.now()
        self.org = make.org()
        self.officers = [make.staff(Role.OFFICER, org=self.org) for _ in range(SLOTS)]
        begins = now + start
        expires, expired, held_until = now + HOUR, now - timedelta(seconds=30), now - timedelta(seconds=30)
        places = SLOTS * 2 + 2  # confirmed, offered, and two offers that have expired
        self.activity = make.activity(
            self.org,
            capacity=places + free,
            waitlist_capacity=100,
            starts_at=begins,
            ends_at=begins + 2 * HOUR,
            offers_from_at=begins - 24 * HOUR,
            queue_closes_at=begins - HOUR,
            sign_up_closes_at=begins + HOUR,
            sign_up_opens_at=now - 24 * HOUR,
            pools_merged=not divided,
            pools_merge_at=now if divided else None,
        )
        mask = {"pool_mask": 1} if divided else {}
        inside = {"pool_mask": 1, "pool": 1} if divided else {}
        self.pools = []
        if divided:
            # The second pool has free places that nobody in the queue may have before the pools are one.
            self.pools = [
                {"name": "甲", "audience": "everybody", "county_codes": [], "capacity": places, "overflow_rank": None},
                {"name": "乙", "audience": "counties", "county_codes": ["140524"], "capacity": free, "overflow_rank": None},
            ]  # fmt: skip
            for position, pool in enumerate(self.pools, 1):
                make.add(
                    Pool(
                        activity_id=self.activity.id,
                        position=position,
                        **{**pool, "audience": Audience(pool["audience"])},
                    )
                )
        self.confirmed = [make.sign_up(self.activity, **inside) for _ in range(SLOTS)]
        offer = {"state": SignUpState.OFFERED, "offered_at": now - HOUR, **inside}
        self.offered = [make.sign_up(self.activity, offer_expires_at=expires, **offer) for _ in range(SLOTS)]
        for _ in range(2):
            make.sign_up(self.activity, offer_expires_at=expired, **offer)
        waits = {"state": SignUpState.WAITLISTED, **mask}
        if not free or divided:
            self.waiting = [make.sign_up(self.activity, **waits) for _ in range(3)]
        for _ in range(2):
            make.sign_up(self.activity, held_until=held_until, **waits)
        self.newcomers = [make.person() for _ in range(2 * SLOTS)]
        self.url = f"/v1/activities/{self.activity.id}"

    def body(self, capacity: int) -> dict[str, Any]:
        more = capacity - self.activity.capacity
        pools = [dict(pool) for pool in self.pools]
        if pools:
            pools[0]["capacity"] += more
        admission = {"pools": pools, "pools_merge_at": clock.now().isoformat()} if pools else None
        return {
            "title": self.activity.title,
            "project_id": str(self.activity.project_id),
            "org_id": str(self.org.id),
            "place_name": "文化广场",
            "county_code": "140502",
            "capacity": capacity,
            "waitlist_capacity": 100,
            "admission": admission,
            **{
                name: getattr(self.activity, name).isoformat()
                for name in ("starts_at", "ends_at", "sign_up_opens_at", "sign_up_closes_at")
            },
        }

    def expect(self, person_id: Any, *states: str) -> None:
        """Note what was acknowledged: the person is in one of these states in the end; none: in no live one."""
        self.kept[person_id] = set(states)


Act = Callable[[], Any]
IN = ("confirmed",)
QUEUED = ("waitlisted", "offered", "confirmed", "cancelled")  # the queue may close


def sign_up(stage: Stage, slot: int) -> Act:
    person = stage.newcomers[slot]
    client = stage.as_user(person.id)

    def act():
        answer = client.put(f"{stage.url}/sign-up", json={})
        if answer.status_code == 200:
            stage.expect(person.id, *(IN if answer.json["state"] == "confirmed" else QUEUED))
        return answer

    return act


def add(stage: Stage, slot: int) -> Act:
    person = stage.newcomers[SLOTS + slot]
    officer = stage.as_user(stage.officers[slot].id)

    def act():
        answer = officer.post(f"{stage.url}/sign-ups", json={"person_id": str(person.id)})
        if answer.status_code == 201:
            stage.expect(person.id, *(IN if answer.json["state"] == "confirmed" else QUEUED))
        return answer

    return act


def leave(stage: Stage, slot: int) -> Act:
    return _delete(stage, stage.confirmed[slot])


def decline(stage: Stage, slot: int) -> Act:
    return _delete(stage, stage.offered[slot])


def _delete(stage: Stage, row: SignUp) -> Act:
    client = stage.as_user(row.person_id)

    def act():
        answer = client.delete(f"{stage.url}/sign-up")
        if answer.status_code == 204:
            stage.expect(row.person_id, "cancelled")
        return answer

    return act


def cancel(stage: Stage, slot: int) -> Act:
    row = stage.confirmed[slot]
    officer = stage.as_user(stage.officers[slot].id)

    def act():
        answer = officer.post(f"{stage.url}/sign-ups/{row.id}/cancellation", json={"reason": "测试"})
        if answer.status_code == 200:
            stage.expect(row.person_id, "cancelled")
        return answer

    return act


def accept(stage: Stage, slot: int) -> Act:
    row = stage.offered[slot]
    client = stage.as_user(row.person_id)

    def act():
        answer = client.post(f"{stage.url}/sign-up/acceptance")
        if answer.status_code == 200:
            stage.expect(row.person_id, "confirmed", "cancelled")  # the same person may decline at once
        return answer

    return act


def check_in(stage: Stage, slot: int) -> Act:
    row = stage.confirmed[slot]
    client = stage.as_user(row.person_id)
    code = stage.as_user(stage.officers[slot].id).get(f"{stage.url}/check-in-code").json["code"]

    def act():
        answer = client.post(f"{stage.url}/check-in", json={"code": code})
        if answer.status_code == 200:
            stage.expect(row.person_id, "confirmed")
        return answer

    return act


def _resize(by: int) -> Callable[[Stage, int], Act]:
    def resize(stage: Stage, slot: int) -> Act:
        officer = stage.as_user(stage.officers[slot].id)
        body = stage.body(stage.activity.capacity + by * (slot + 1))
        return lambda: officer.put(stage.url, json=body, headers={"If-Match": "*"})

    return resize


def _settle(name: str) -> Callable[[Stage, int], Act]:
    settle = getattr(due, name)
    return lambda stage, _: lambda: settle(stage.database)


PATHS: dict[str, Callable[[Stage, int], Act]] = {
    "sign_up": sign_up,
    "add": add,
    "leave": leave,
    "cancel": cancel,
    "accept": accept,
    "decline": decline,
    "more_places": _resize(1),
    "fewer_places": _resize(-1),
    "expire_offers": _settle("expire_offers"),
    "release_held": _settle("release_held"),
}
MERGE, CLOSE = "merge_pools", "close_queues"
AT_THE_DOOR = "check_in"
ALL = PATHS | {AT_THE_DOOR: check_in} | {name: _settle(name) for name in (MERGE, CLOSE)}
PAIRS = list(itertools.combinations_with_replacement(PATHS, 2))


@pytest.fixture
def stage(frozen, app, database, as_user):
    return lambda **shape: Stage(app, database, as_user, **shape)


def _is_wrong(answer: Any) -> bool:
    """Say whether an answer is a fault, or what a caller gets when only the database kept a path from doing harm."""
    if isinstance(answer, int):
        return False
    return answer.status_code >= 500 or (answer.json or {}).get("code") == "conflicting_change"


def race(stage: Stage, paths: tuple[str, ...]) -> list[Any]:
    """Let the threads of some paths run at once; hold what was answered against what is."""
    acts = [
        ALL[path](stage, turn * (EACH - 1) + number)
        for turn, path in enumerate(paths)
        for number in range(EACH)
    ]
    answers = at_once(acts)
    failed = [answer.json for answer in answers if not isinstance(answer, int) and answer.status_code >= 500]
    assert failed == []
    assert violations(stage.database) == {}
    with stage.database.reading() as db:
        states = dict(
            db.execute(
                select(SignUp.person_id, SignUp.state)
                .where(SignUp.activity_id == stage.activity.id)
                .order_by(SignUp.seq)
            ).all()
        )
        told = [tuple(row) for row in db.execute(select(OutboxEntry.person_id, OutboxEntry.kind))]
    broken = {
        person: (states.get(person), kept)
        for person, kept in stage.kept.items()
        if states.get(person) not in kept
    }
    assert broken == {}, "what was acknowledged is so"
    given = [entry for entry in told if entry[1] in ("place_offered", "sign_up_promoted")]
    assert len(set(given)) == len(given), "each is told once of a place"
    return answers


@pytest.mark.parametrize("pair", PAIRS, ids="-".join)
def test_two_paths_at_the_last_place(stage, pair):
    race(stage(start=240 * HOUR, free=1), pair)


@pytest.mark.parametrize("pair", PAIRS, ids="-".join)
def test_two_paths_while_a_queue_waits_for_offers(stage, pair):
    race(stage(start=10 * HOUR), pair)


@pytest.mark.parametrize("path", ALL)
def test_a_path_while_people_check_in(stage, path):
    race(stage(start=1.5 * HOUR), (AT_THE_DOOR, path))


@pytest.mark.parametrize("path", [name for name in ALL if name != AT_THE_DOOR])
def test_a_path_while_pools_become_one(stage, path):
    race(stage(start=10 * HOUR, free=1, divided=True), (MERGE, path))


@pytest.mark.parametrize("path", ALL)
def test_a_path_while_the_queue_closes(stage, path):
    race(stage(start=HOUR / 2), (CLOSE, path))


@pytest.mark.parametrize("start", [240, 10])
def test_promotion_races_cancellation_races_capacity_and_all_the_rest(stage, start):
    for _ in range(3):
        race(stage(start=start * HOUR), ("leave", "cancel"))
    everything = stage(start=start * HOUR)
    dice = random.Random(start)
    acts = [path(everything, slot) for path in PATHS.values() for slot in range(2)]
    dice.shuffle(acts)
    answers = at_once(acts)
    assert [answer.json for answer in answers if _is_wrong(answer)] == []
    assert violations(everything.database) == {}
