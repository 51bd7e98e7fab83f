"""What the proofs share: threads that start together, and the recount that must find nothing."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from engage.activities.queries.integrity import examine
from engage.core import clock
from engage.core.db import Database


def at_once(calls: Sequence[Callable[[], Any]]) -> list[Any]:
    """Run calls in threads that start together; return their results in order."""
    barrier = threading.Barrier(len(calls))

    def run(call: Callable[[], Any]) -> Any:
        barrier.wait()
        return call()

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(run, calls))


def violations(database: Database) -> dict[str, int]:
    """Return what does not hold in a database, by the names of the checks."""
    with database.reading() as connection:
        report = examine(connection, clock.now())
    return {found.name: found.violations for found in report.checks if found.violations}
