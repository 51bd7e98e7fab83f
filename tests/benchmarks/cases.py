"""What is measured: requests made anew for each round and application, and what must be true of the answers."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from flask import Flask
from sqlalchemy import func, select

from engage.activities.models import Activity, CheckIn, SignUp, SignUpState
from engage.activities.service import codes
from engage.core import clock
from engage.core.config import Settings
from engage.core.db import Database
from tests.benchmarks import data
from tests.benchmarks.load import Outcome

LIST = "/v1/activities?limit=20"
RUSHING = 2500
EACH = 1000  # people who leave or check in, in one round
_choose = random.Random(1)


@dataclass
class Site:
    """A database with a city in it, and the application in this process that filled it."""

    settings: Settings
    database: Database
    app: Flask
    city: data.City
    opened: int = 0

    def open(self, capacity: int = data.WITHOUT_LIMIT, queue: int = 0, **values: Any) -> UUID:
        """Write an activity, at a time of its own, so that nobody has a place elsewhere then."""
        self.opened += 1
        values = {"starts_at": clock.now() + timedelta(days=40, hours=3 * self.opened), **values}
        return data.open_activity(
            self.database, self.city, clock.now(), capacity=capacity, waitlist_capacity=queue, **values
        )

    def fill(self, activity_id: UUID, **people: int) -> None:
        """Sign people up: ``confirmed=1, waitlisted=2``."""
        data.sign_up(self.database, self.city, clock.now(), activity_id, **people)

    def count(self, activity_id: UUID, state: SignUpState) -> int:
        """Return how many sign-ups of an activity are in a state, by the rows."""
        with self.database.reading() as connection:
            places = select(func.count()).where(SignUp.activity_id == activity_id, SignUp.state == state)
            return connection.scalar(places) or 0


@dataclass
class Asked:
    """Requests, and the activity they are about."""

    requests: list[bytes]
    activity_id: UUID | None = None


@dataclass
class Case:
    """One row of the table. ``once``: each request is sent once; else round and round for some seconds."""

    name: str
    target: float
    make: Callable[[Site], Asked]
    answers: Callable[[Asked], Counter[bytes]] | None = (
        None  # states and codes that a round must give, exactly
    )
    verify: Callable[[Site, Asked], bool] | None = None  # what must be in the database afterwards
    once: bool = True
    sqlite_target: float | None = None
    p99_times: float | None = None  # the slowest hundredth, as a multiple of the floor's


def _address(activity_id: UUID, what: str = "sign-up") -> str:
    return f"/v1/activities/{activity_id}/{what}"


def _everybody(site: Site, activity_id: UUID, tokens: list[str]) -> Asked:
    return Asked([data.send("PUT", _address(activity_id), token, b"{}") for token in tokens], activity_id)


def _list(site: Site) -> Asked:
    return Asked([data.get(LIST, token) for token in site.city.tokens[:500]])


def _detail(site: Site) -> Asked:
    activities = site.city.activities
    return Asked(
        [
            data.get(f"/v1/activities/{activities[index % len(activities)]}", token)
            for index, token in enumerate(site.city.tokens[:500])
        ]
    )


def _open(site: Site) -> Asked:
    return _everybody(site, site.open(), site.city.tokens)


def _rush(site: Site) -> Asked:
    activity_id = site.open(data.RUSH_PLACES, data.RUSH_QUEUE)
    return _everybody(site, activity_id, _choose.sample(site.city.tokens, RUSHING))


def _repeat(site: Site) -> Asked:
    activity_id = site.open()
    site.fill(activity_id, confirmed=500)
    return _everybody(site, activity_id, site.city.tokens[:500])


def _sold_out(site: Site) -> Asked:
    activity_id = site.open(data.RUSH_PLACES)
    site.fill(activity_id, confirmed=data.RUSH_PLACES)
    return _everybody(site, activity_id, site.city.tokens[data.RUSH_PLACES :][:500])


def _closed(site: Site) -> Asked:
    activity_id = site.open(sign_up_closes_at=clock.now() - timedelta(hours=1))
    return _everybody(site, activity_id, site.city.tokens[:500])


def _leave(site: Site) -> Asked:
    activity_id = site.open(EACH, EACH)
    site.fill(activity_id, confirmed=EACH, waitlisted=EACH)
    return Asked(
        [data.send("DELETE", _address(activity_id), token) for token in site.city.tokens[:EACH]], activity_id
    )


def _check_in(site: Site) -> Asked:
    now = clock.now()
    activity_id = site.open(starts_at=now + timedelta(hours=1), sign_up_closes_at=now)
    site.fill(activity_id, confirmed=EACH)
    code = codes._code_at(site.settings, activity_id, codes._step(clock.now()))
    body = b'{"code":"%s"}' % code.encode()
    return Asked(
        [
            data.send("POST", _address(activity_id, "check-in"), token, body)
            for token in site.city.tokens[:EACH]
        ],
        activity_id,
    )


def _rushed(_: Asked) -> Counter[bytes]:
    refused = RUSHING - data.RUSH_PLACES - data.RUSH_QUEUE
    return Counter(
        {b"confirmed": data.RUSH_PLACES, b"waitlisted": data.RUSH_QUEUE, b"activity_full": refused}
    )


def _sold_exactly(site: Site, asked: Asked) -> bool:
    with site.database.reading() as connection:
        taken = connection.scalar(select(Activity.taken).where(Activity.id == asked.activity_id))
    return {taken, site.count(asked.activity_id, SignUpState.CONFIRMED)} == {data.RUSH_PLACES}


def _all_moved_up(site: Site, asked: Asked) -> bool:
    return site.count(asked.activity_id, SignUpState.CONFIRMED) == EACH


def _all_present(site: Site, asked: Asked) -> bool:
    with site.database.reading() as connection:
        present = select(func.count()).where(CheckIn.activity_id == asked.activity_id)
        return connection.scalar(present) == EACH


def _only(state: bytes) -> Callable[[Asked], Counter[bytes]]:
    return lambda asked: Counter({state: len(asked.requests)})


CASES = [
    Case("list of 20", 0.60, _list, once=False),
    Case("activity detail", 0.60, _detail, once=False),
    Case("sign-up, places left", 0.70, _open, _only(b"confirmed"), sqlite_target=0.60),
    Case("rush on 200 places", 0.70, _rush, _rushed, _sold_exactly, p99_times=3.0),
    Case("the same sign-up again", 0.70, _repeat, _only(b"confirmed"), once=False),
    Case("refused: sold out", 0.75, _sold_out, _only(b"activity_full"), once=False),
    Case("refused: closed", 0.75, _closed, _only(b"sign_up_closed"), once=False),
    Case("cancel and promote", 0.60, _leave, verify=_all_moved_up),
    Case("self check-in", 0.65, _check_in, verify=_all_present),
]


def check(case: Case, site: Site, asked: Asked, outcome: Outcome) -> None:
    """Refuse to count a round that was answered wrongly.

    Raises:
        RuntimeError: it was; the text says how.

    """
    if set(outcome.statuses) - {200, 204, 409}:
        raise RuntimeError(f"{case.name}: {outcome.statuses} {outcome.states}")
    if case.answers:
        expected = case.answers(asked)
        right = outcome.states == expected if case.once else outcome.states.keys() == expected.keys()
        if not right:
            raise RuntimeError(f"{case.name}: answered {outcome.states}, not {expected}")
    if case.verify and not case.verify(site, asked):
        raise RuntimeError(f"{case.name}: the database holds something else than was answered")
