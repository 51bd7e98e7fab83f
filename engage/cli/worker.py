"""``engage worker``: what happens behind the requests."""

from __future__ import annotations

import logging
import signal
import threading
from typing import TYPE_CHECKING, Final

import click
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from engage.activities.service.due import advance_due
from engage.audit.service import seal_due
from engage.cli.installation import database_at_head
from engage.core import clock, idempotency, lockout
from engage.core import logging as json_logging
from engage.core.config import Settings
from engage.core.errors import DatabaseBusy
from engage.identity.service import purge as purge_identity
from engage.messages.service import deliver_due
from engage.messages.service import purge as purge_outbox

if TYPE_CHECKING:
    from datetime import datetime

    from engage.core.db import Database

_PAUSE_SECONDS: Final = 2.0
_PAUSE_AFTER_FAULT_SECONDS: Final = 10.0
_PURGE_SECONDS: Final = 600
_PURGES: Final = (purge_identity, idempotency.purge, lockout.purge, purge_outbox)

log = logging.getLogger("engage.worker")


@click.command(
    short_help="到期处理、发送消息、清理旧数据 · Do what is due, deliver messages, delete old rows."
)
@click.option("--once", is_flag=True, help="Do what is due now and end; for tests and cron.")
def worker(*, once: bool) -> None:
    """处理到期名额、发送站内消息、封存审计日志、清理过期数据 · Pass on places that are due, deliver the outbox, seal the audit log and delete old rows, until told to stop.

    Keep one running beside `engage serve`; several share the work on PostgreSQL. A database that is away for a
    while is waited for. SIGTERM and Ctrl-C end it after the batch in hand; nothing is delivered twice.
    """
    settings = Settings.from_env()
    json_logging.configure(settings.log_level)
    with database_at_head(settings) as database:
        if once:
            advance_due(database, threading.Event())
            deliver_all(database, threading.Event())
            seal_all(database, threading.Event())
            purge_all(database, clock.now())
        else:
            _run(database, _stop_signal())


def _stop_signal() -> threading.Event:
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    return stop


def _run(database: Database, stop: threading.Event) -> None:
    log.info("started")
    purged_at: datetime | None = None
    while not stop.is_set():
        pause = _PAUSE_SECONDS
        try:
            advance_due(database, stop)
            deliver_all(database, stop)
            seal_all(database, stop)
            now = clock.now()
            if purged_at is None or (now - purged_at).total_seconds() >= _PURGE_SECONDS:
                purge_all(database, now)
                purged_at = now
        except (DBAPIError, PoolTimeout, DatabaseBusy) as error:
            log.warning("database", exc_info=error)
            pause = _PAUSE_AFTER_FAULT_SECONDS
        stop.wait(pause)
    log.info("stopped")


def deliver_all(database: Database, stop: threading.Event) -> int:
    """Deliver batch after batch until nothing is due or a stop is asked for; return how many messages."""
    total = 0
    while not stop.is_set() and (delivered := deliver_due(database)):
        total += delivered
    if total:
        log.info("delivered", extra={"fields": {"count": total}})
    return total


def seal_all(database: Database, stop: threading.Event) -> int:
    """Seal batch after batch of the audit log until none waits or a stop is asked for; return how many entries."""
    total = 0
    while not stop.is_set() and (sealed := seal_due(database)):
        total += sealed
    return total


def purge_all(database: Database, now: datetime) -> int:
    """Delete rows past their time, each kind in a transaction of its own; return how many."""
    total = 0
    for purge in _PURGES:
        with database.transaction() as session:
            total += purge(session, now)
    if total:
        log.info("purged", extra={"fields": {"count": total}})
    return total
