# ruff: noqa: T201 - a report is printed
"""``python -m tests.benchmarks.share``: how much of a request goes into knowing who calls and whether they may.

µs of processor time of this process, for reading an activity as somebody who has logged in: the whole request, and the same with
authentication and authorization taken out (the token is not looked at, the caller not read). What lies between is their share; the two are
measured in turns, because whatever else runs on the machine then touches both alike. Beside it what the two layers cost by themselves, in a loop,
which flatters them. Runs as well on an earlier version: copy this file there.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from engage.core import clock
from engage.identity import caller
from tests import postgres
from tests.benchmarks import cases
from tests.benchmarks.bench import prepare
from tests.benchmarks.layers import cost, request

TURNS, CALLS = 40, 100


@contextmanager
def _without(identity: caller.Identity, known: object) -> Iterator[None]:
    guest = type(caller.guest)
    identify, load = guest.identify, guest.load
    guest.identify, guest.load = lambda _: identity, lambda *_: known
    try:
        yield
    finally:
        guest.identify, guest.load = identify, load


def measure(site: cases.Site) -> dict[str, float]:
    """Return what the whole request, the request without them, and the layers cost."""
    token, activity_id = site.city.tokens[0], site.city.activities[0]
    person_id, session_id = site.city.people[0]
    identity = caller.Identity(person_id, session_id, clock.now().timestamp() + 86_400)
    with site.app.test_request_context("/", headers={"Authorization": f"Bearer {token}"}):
        proving = cost(caller.guest.identify)
    with site.database.reading() as connection:
        loading = cost(partial(caller.guest.load, connection, identity, clock.now()))
        known = caller.guest.load(connection, identity, clock.now())
    ask = partial(request, site.app, "GET", f"/v1/activities/{activity_id}", token)
    whole, bare = [], []
    for _ in range(TURNS):
        whole.append(_spent(ask))
        with _without(identity, known):
            bare.append(_spent(ask))
    return {
        "whole request": statistics.median(whole),
        "… without them": statistics.median(bare),
        "whole request, least": min(whole),
        "… without them, least": min(bare),
        "token, verified before, in a loop": proving,
        "caller, one statement, in a loop": loading,
    }


def _spent(ask: partial[bytes]) -> float:
    begun = time.process_time()
    for _ in range(CALLS):
        ask()
    return (time.process_time() - begun) / CALLS * 1e6


def main() -> None:
    """Print the costs and the share."""
    with postgres.server(durable=True) as url, Path(os.devnull).open("w") as silence:
        shown, sys.stderr = sys.stderr, silence
        site = prepare(url.replace("postgresql://", "postgresql+psycopg://"), log_level="INFO")
        found = measure(site)
        for layer, spent in found.items():
            print(f"| {layer:<40} | {spent:>5.1f} |")
        for name in ("whole request", "whole request, least"):
            share = 1 - found[name.replace("whole request", "… without them")] / found[name]
            print(f"share of authentication and authorization, {name}: {share:.0%}")
        site.database.dispose()
        sys.stderr = shown


if __name__ == "__main__":
    main()
