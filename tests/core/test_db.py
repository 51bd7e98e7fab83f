"""What the two engines share: instants with an offset, and one writer of a SQLite file at a time."""

from __future__ import annotations

import os
import sqlite3
from datetime import datetime
from uuid import uuid4

import psycopg
import pytest
from sqlalchemy import bindparam, select
from sqlalchemy.exc import DBAPIError, StatementError

from engage.core import db
from engage.core.db import Database, WriterLock
from engage.core.errors import DatabaseBusy
from engage.core.prepared import Prepared
from engage.identity.models import Person


def test_an_instant_without_an_offset_is_refused_rather_than_guessed(database):
    asked = select(Person.id).where(Person.created_at == datetime(2026, 10, 1, 10))  # noqa: DTZ001 - that is the fault
    with database.reading() as connection, pytest.raises(StatementError, match="needs an offset"):
        connection.execute(asked)


def test_a_writer_who_waits_too_long_is_told_to_come_back(tmp_path, monkeypatch):
    lock = WriterLock(tmp_path / "lock")
    lock.acquire()
    monkeypatch.setattr(db, "_WAIT_SECONDS", 0.01)
    with pytest.raises(DatabaseBusy):
        lock.acquire()
    lock.release()
    lock.acquire()
    lock.release()


def test_a_lock_file_that_cannot_be_opened_leaves_nobody_waiting(tmp_path, monkeypatch):
    monkeypatch.setattr(db, "_WAIT_SECONDS", 0.01)
    lock = WriterLock(tmp_path / "folder" / "lock")
    for _ in range(2):
        with pytest.raises(FileNotFoundError):
            lock.acquire()
    (tmp_path / "folder").mkdir()
    lock.acquire()
    lock.release()


def test_a_worker_does_not_inherit_the_lock_of_whoever_forked_it(tmp_path):
    """It opens the file anew: over an inherited descriptor both would hold the lock at once."""
    lock = WriterLock(tmp_path / "lock")
    lock.acquire()
    child = os.fork()
    if child == 0:
        inherits = True
        try:
            inherits = lock._file is not None or lock._mutex.locked()
        finally:
            os._exit(int(inherits))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    lock.release()


def _driver(connection):
    return connection.connection.dbapi_connection


def test_who_reads_gets_a_connection_that_lies_ready_and_nobody_one_that_is_in_use(database):
    with database.reading() as outer, database.reading() as inner:
        first, second = _driver(outer), _driver(inner)
        assert first is not second
    with database.reading() as again, database.reading() as other:
        assert {_driver(again), _driver(other)} == {first, second}


@pytest.mark.parametrize("lose", ["by statement", "by prepared statement"])
def test_when_one_is_lost_none_that_lay_ready_is_used_again(database, lose):
    """A database that was started anew costs one refusal, not one for each connection."""
    asked = Prepared(select(Person.id).where(Person.id == bindparam("id")))

    def ask(connection):
        if lose == "by statement":
            return connection.execute(select(Person.id)).all()
        return asked.all(connection, {"id": uuid4()})

    with database.reading() as one, database.reading() as two, database.reading() as busy:
        for connection in (one, two, busy):
            ask(connection)
    with database.reading() as busy, database.reading() as outer:
        for connection in (*database.ready._idle, busy, outer):
            connection.connection.dbapi_connection.close()
        with pytest.raises(DBAPIError):
            ask(outer)
    assert len(database.ready) == 0
    for _ in range(3):
        with database.reading() as connection:
            ask(connection)


def test_what_lies_ready_is_closed_when_the_database_is_disposed_of(database):
    with database.reading() as connection:
        driver = _driver(connection)
    database.dispose()
    with pytest.raises((sqlite3.ProgrammingError, psycopg.OperationalError)):
        driver.execute("SELECT 1")


def test_after_a_fork_what_lay_ready_is_neither_used_nor_closed(database):
    """It is the parent's, who speaks on it still."""
    worker = Database(database.settings)
    with worker.reading() as connection:
        parents = _driver(connection)
    worker.dispose(close=False)
    with worker.reading() as connection:
        assert _driver(connection) is not parents
    parents.execute("SELECT 1").fetchall()
    parents.close()
    worker.dispose()
