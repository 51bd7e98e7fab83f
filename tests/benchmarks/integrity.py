"""How long the recount of everything takes at a million sign-ups: ``python -m tests.benchmarks.integrity``.

On a PostgreSQL of its own, with durable settings, 10,000 activities of the past with a hundred sign-ups each, and check-ins and hours to four in five.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

import click
from sqlalchemy import text

from engage.activities.queries.integrity import examine
from engage.app import create_app
from engage.core import clock, migrations
from engage.core.config import Settings
from engage.core.db import Database
from tests import postgres
from tests.benchmarks import data, history

_CHECK_INS = """
    INSERT INTO check_in (activity_id, person_id, sign_up_id, method, checked_in_at, arrived_at, updated_at)
    SELECT activity_id, person_id, id, 'code', starts_at, starts_at, starts_at FROM sign_up WHERE starts_at < :now AND seq % 5 > 0
"""
# Ids serve twice, so that an account needs none of its own.
_HOURS = (
    "INSERT INTO hours_account (id, activity_id) SELECT id, id FROM activity WHERE starts_at < :now",
    "INSERT INTO hours_account (id, person_id) SELECT id, id FROM person",
    """
    INSERT INTO hours_entry (
        id, debit_account_id, credit_account_id, minutes, kind, activity_id, person_id, from_at, until_at, created_at
    )
    SELECT sign_up.id, sign_up.activity_id, sign_up.person_id, 120, 'award', sign_up.activity_id, sign_up.person_id,
        sign_up.starts_at, sign_up.ends_at, sign_up.ends_at
    FROM check_in JOIN sign_up ON sign_up.id = check_in.sign_up_id WHERE sign_up.starts_at < :now
    """,
)


@click.command()
@click.option("--engine", type=click.Choice(["postgresql", "sqlite"]), default="postgresql")
@click.option("--rounds", default=5, help="How often; the median is told.")
def main(engine: str, rounds: int) -> None:
    """Fill a database with a past and recount it."""
    if engine == "postgresql":
        with postgres.server(durable=True) as url:
            _measure(url.replace("postgresql://", "postgresql+psycopg://"), rounds)
    else:
        with tempfile.TemporaryDirectory() as folder:
            _measure(f"sqlite:///{Path(folder) / 'engage.db'}", rounds)


def _measure(url: str, rounds: int) -> None:
    settings = Settings(database_url=url, secret_key="a secret for measuring, long enough to be taken")
    database, now = Database(settings), clock.now()
    with database.writer.connect() as connection:
        migrations.upgrade(connection)
        connection.commit()
    started = time.perf_counter()
    history.fill(database, data.fill(database, create_app(settings), now), now)
    with database.transaction() as session:
        if not database.is_sqlite:
            session.execute(
                text("SET LOCAL session_replication_role = replica; SET LOCAL statement_timeout = 0")
            )
        for statement in (_CHECK_INS, *_HOURS):
            session.execute(text(statement), {"now": now})
    with database.reading() as reader:
        reader.execute(text("VACUUM" if database.is_sqlite else "VACUUM ANALYZE"))
    click.echo(f"filled in {time.perf_counter() - started:.0f} s")
    with database.reading() as reader:
        reports = [examine(reader, clock.now()) for _ in range(rounds)]
    seconds = [report.seconds for report in reports]
    last = reports[-1]
    click.echo(
        f"{last.checked['activities']} activities, {last.checked['sign_ups']} sign-ups, {last.violations} violations"
    )
    click.echo(
        f"median {statistics.median(seconds):.2f} s of {rounds} ({min(seconds):.2f}-{max(seconds):.2f})"
    )
    database.dispose()


if __name__ == "__main__":
    main()
