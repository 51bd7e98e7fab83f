"""The recount that must find nothing."""

from __future__ import annotations

from engage.activities.queries.integrity import examine
from engage.core import clock
from engage.core.db import Database


def violations(database: Database) -> dict[str, int]:
    """Return what does not hold in a database, by the names of the checks."""
    with database.reading() as connection:
        report = examine(connection, clock.now())
    return {found.name: found.violations for found in report.checks if found.violations}
