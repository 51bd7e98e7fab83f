"""What the two engines share: instants with an offset, and one writer of a SQLite file at a time."""

from __future__ import annotations

import os
from datetime import datetime

import pytest
from sqlalchemy import select
from sqlalchemy.exc import StatementError

from engage.core import db
from engage.core.db import WriterLock
from engage.core.errors import DatabaseBusy
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
