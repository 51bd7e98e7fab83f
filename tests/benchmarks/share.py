# ruff: noqa: T201 - a report is printed
"""``python -m tests.benchmarks.share``: how much of a request goes into knowing who calls and whether they may.

µs of processor time of this process, the least of several repetitions, for reading an activity as somebody who has logged in. What the
same layers cost alone is divided by the whole request; and, as a check, the whole request is measured once more with these layers taken
out. Runs as well on an earlier version: copy this file there.
"""

from __future__ import annotations

import os
import sys
from functools import partial
from pathlib import Path

from engage.core import clock
from engage.identity import caller
from tests import postgres
from tests.benchmarks import cases
from tests.benchmarks.bench import prepare
from tests.benchmarks.layers import cost, request

ROUNDS = 5


def _round(site: cases.Site) -> tuple[float, float, float, float]:
    """Return what the token, the caller, the whole request and the request without either cost."""
    token, activity_id = site.city.tokens[0], site.city.activities[0]
    person_id, session_id = site.city.people[0]
    address = f"/v1/activities/{activity_id}"
    identity = caller.Identity(person_id, session_id, clock.now().timestamp() + 3600)
    with site.app.test_request_context("/", headers={"Authorization": f"Bearer {token}"}):
        proving = cost(caller.guest.identify)
    with site.database.reading() as connection:
        loading = cost(partial(caller.guest.load, connection, identity, clock.now()))
        known = caller.guest.load(connection, identity, clock.now())
    whole = cost(partial(request, site.app, "GET", address, token))
    identify, load = type(caller.guest).identify, type(caller.guest).load
    type(caller.guest).identify, type(caller.guest).load = lambda _: identity, lambda *_: known
    try:
        without = cost(partial(request, site.app, "GET", address, token))
    finally:
        type(caller.guest).identify, type(caller.guest).load = identify, load
    return proving, loading, whole, without


def main() -> None:
    """Print the share, of each round and of all."""
    with postgres.server(durable=True) as url, Path(os.devnull).open("w") as silence:
        shown, sys.stderr = sys.stderr, silence
        site = prepare(url.replace("postgresql://", "postgresql+psycopg://"), log_level="INFO")
        print(
            "| round | token | caller (one statement) | whole request | share | whole without them | share by that |"
        )
        print("|---|---|---|---|---|---|---|")
        rounds = [_round(site) for _ in range(ROUNDS)]
        rounds.append(tuple(sorted(column)[ROUNDS // 2] for column in zip(*rounds, strict=True)))
        for number, (proving, loading, whole, without) in enumerate(rounds, 1):
            name = number if number <= ROUNDS else "median"
            share, by_difference = (proving + loading) / whole, 1 - without / whole
            print(
                f"| {name} | {proving:.1f} | {loading:.0f} | {whole:.0f} | {share:.0%} | {without:.0f} | {by_difference:.0%} |"
            )
        site.database.dispose()
        sys.stderr = shown


if __name__ == "__main__":
    main()
