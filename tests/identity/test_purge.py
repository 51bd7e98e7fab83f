"""What the worker deletes of log-ins and sessions."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import func, select

from engage.core import clock
from engage.core.crypto import sha256
from engage.identity import service
from engage.identity.models import AuthSession, LoginAttempt, Person, RefreshToken


@pytest.fixture
def rows(make, frozen):
    """One session of 30 days, its token, and the attempt that made it."""
    session = make.session(make.person().id)
    make.add(
        RefreshToken(
            token_hash=sha256("t"),
            session_id=session.id,
            issued_at=clock.now(),
            expires_at=clock.now() + timedelta(days=30),
        )
    )
    make.add(LoginAttempt(code_hash=sha256("c"), started_at=clock.now(), session_id=session.id))
    make.add(LoginAttempt(code_hash=sha256("d"), started_at=clock.now(), session_id=None))


def left(database):
    with database.reading() as connection:
        return [
            connection.scalar(select(func.count()).select_from(table))
            for table in (LoginAttempt, RefreshToken, AuthSession, Person)
        ]


@pytest.mark.parametrize(
    ("after", "deleted", "kept"),
    [
        (timedelta(hours=23), 0, [2, 1, 1, 1]),
        (timedelta(days=1), 2, [0, 1, 1, 1]),
        (timedelta(days=30), 3, [0, 0, 1, 1]),
        (timedelta(days=59), 3, [0, 0, 1, 1]),
        (timedelta(days=60), 4, [0, 0, 0, 1]),
    ],
)
def test_each_goes_when_its_time_is_over(database, rows, after, deleted, kept):
    with database.transaction() as session:
        assert service.purge(session, clock.now() + after) == deleted
    assert left(database) == kept


def test_no_round_deletes_more_than_its_share(database, rows, monkeypatch):
    monkeypatch.setattr("engage.identity.service.retention._PURGED_AT_ONCE", 1)
    later = clock.now() + timedelta(days=2)
    with database.transaction() as session:
        assert [service.purge(session, later) for _ in range(3)] == [1, 1, 0]
