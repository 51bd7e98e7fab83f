"""The faults. Each happens once in the middle of a rush and returns the instant from which recovery counts."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import dataclass

import psycopg
from cli.conftest import until

from faults.journal import now
from faults.rush import Rush

_LOST_MESSAGES = 4
_CUTS = 3
_REFUSALS = 12


@dataclass(frozen=True)
class Fault:
    """A kind of fault."""

    name: str
    zh: str
    en: str
    inject: Callable[[Rush], float]
    is_kill: bool = False


def kill_worker(rush: Rush) -> float:
    """``kill -9`` of a worker of Gunicorn."""
    rush.stage.service.kill_worker(rush.choose)
    return now()


def kill_master(rush: Rush) -> float:
    """``kill -9`` of Gunicorn's first process, and a supervisor that starts it again."""
    rush.stage.service.kill_master()
    instant = now()
    rush.stage.service.start()
    return instant


def kill_service(rush: Rush) -> float:
    """``kill -9`` of Gunicorn with all workers, and a supervisor that starts it again."""
    rush.stage.service.kill_all()
    instant = now()
    rush.stage.service.start()
    return instant


def kill_backend(rush: Rush) -> float:
    """``kill -9`` of one process of PostgreSQL in use: it throws all connections out and recovers from its log."""
    pid = rush.choose.choice(_backends(rush))
    instant = now()
    os.kill(pid, signal.SIGKILL)
    return instant


def kill_postgres(rush: Rush) -> float:
    """``kill -9`` of all processes of PostgreSQL, and a start that recovers from its log."""
    instant = now()
    rush.stage.cluster.kill()
    rush.stage.cluster.start()
    return instant


def cut_connections(rush: Rush) -> float:
    """``pg_terminate_backend`` of every connection of the service, again and again."""
    for _ in range(_CUTS):
        before = rush.journal.failure_count()
        _on_backends(rush, "pg_terminate_backend")
        rush.journal.wait_for_failures(since=before)
    return now()


def cancel_statements(rush: Rush) -> float:
    """``pg_cancel_backend`` of whatever statement runs, until somebody was told to come back: what a time-out does."""
    before = rush.journal.failure_count()
    deadline = now() + 30
    while rush.journal.failure_count() == before and now() < deadline:
        _on_backends(rush, "pg_cancel_backend")
    return now()


def lose_messages(rush: Rush) -> float:
    """Cut connections before the question arrives, and when the statement has run and its answer is on the way."""
    rush.stage.relay.lose(_LOST_MESSAGES)
    until(lambda: rush.stage.relay.has_lost_all)
    return now()


def lose_clients(rush: Rush) -> float:
    """Clients that close their sockets before or in the middle of the answer, and come back."""
    before = rush.journal.failure_count()
    rush.walk_away = True
    rush.journal.wait_for_failures(4, since=before)
    return now()


def hold_lock(rush: Rush) -> float:
    """Another program holds the row (PostgreSQL) or the file (SQLite) until somebody was told to come back."""
    with rush.stage.locked(rush.activity_id):
        rush.journal.wait_for_failures()
    return now()


def hang_statements(rush: Rush) -> float:
    """Sign-ups hang inside PostgreSQL until the statement time-out ends one."""
    rush.stage.administer("ALTER TABLE sign_up ENABLE TRIGGER fault_hang")
    try:
        # Those who wait behind the hanging one give up first, by the lock time-out; its own end is the statement's.
        deadline = now() + 60
        while "statement timeout" not in rush.stage.cluster.log() and now() < deadline:
            rush.journal.wait_for_failures()
    finally:
        rush.stage.administer("ALTER TABLE sign_up DISABLE TRIGGER fault_hang")
    return now()


HANGING = """
    CREATE FUNCTION fault_hang() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(60); RETURN NEW; END $$;
    CREATE TRIGGER fault_hang BEFORE INSERT ON sign_up FOR EACH ROW EXECUTE FUNCTION fault_hang();
    ALTER TABLE sign_up DISABLE TRIGGER fault_hang
"""


def fill_disk(rush: Rush) -> float:
    """The disk of the SQLite file is full until somebody was told to come back, then there is room again."""
    disk, workers = rush.stage.disk, rush.stage.service.workers
    before = rush.journal.failure_count()
    try:
        disk.fill(workers)
        rush.journal.wait_for_failures(_REFUSALS, since=before)
    finally:
        disk.free(workers)
    return now()


def _backends(rush: Rush) -> list[int]:
    return _on_backends(rush, "abs")


def _on_backends(rush: Rush, function: str) -> list[int]:
    with psycopg.connect(rush.stage.cluster.url, autocommit=True) as connection:
        rows = connection.execute(
            f"SELECT pid, {function}(pid) FROM pg_stat_activity WHERE application_name = 'engage'"
            + (" AND state = 'active'" if function == "pg_cancel_backend" else "")
        ).fetchall()
        return [row[0] for row in rows]


FAULTS = {
    fault.name: fault
    for fault in (
        Fault("worker", "杀掉一个工作进程", "kill -9 of a worker", kill_worker, is_kill=True),
        Fault("gunicorn", "杀掉 Gunicorn 主进程", "kill -9 of Gunicorn's first process", kill_master, is_kill=True),
        Fault("service", "杀掉 Gunicorn 全部进程", "kill -9 of Gunicorn and all workers", kill_service, is_kill=True),
        Fault("backend", "杀掉 PostgreSQL 的一个进程", "kill -9 of one process of PostgreSQL", kill_backend, is_kill=True),
        Fault("postgres", "杀掉 PostgreSQL 全部进程", "kill -9 of all of PostgreSQL", kill_postgres, is_kill=True),
        Fault("connections", "切断数据库连接", "database connections ended", cut_connections),
        Fault("wire", "与数据库之间的请求或答复丢失", "questions to and answers of the database lost", lose_messages),
        Fault("cancel", "语句被中止", "statements cancelled", cancel_statements),
        Fault("clients", "客户端未等答复就离开", "clients gone before the answer", lose_clients),
        Fault("lock", "锁等待超时", "lock time-out", hold_lock),
        Fault("statement", "语句超时", "statement time-out", hang_statements),
        Fault("disk", "磁盘写满", "disk full", fill_disk),
    )
}  # fmt: skip
