"""Lock-out: who fails too often at one gate, such as a log-in, is locked out of that gate for a while, longer each time.

Counted in the database, whatever else is configured: that is right over all workers, outlives a restart, and is there whenever the
operations behind the gates are. A gate is never that of an account somebody else names: it is counted for the person who has logged in, or for
the address an attempt came from, so nobody can lock out others but those who share their address, and those never for longer than an hour at a
time.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum, auto
from math import ceil
from typing import TYPE_CHECKING, Any, Final, NamedTuple, NoReturn, TypeVar

from sqlalchemy import CheckConstraint, Index, String, case, delete, literal, null, or_, select, update
from sqlalchemy.orm import Mapped, mapped_column

from engage.core import audit, clock
from engage.core.columns import UtcDateTime
from engage.core.db import Base, upserting
from engage.core.errors import LockedOut, RateLimited
from engage.core.limits import Quota, policy_of, subject_of
from engage.core.logging import current

if TYPE_CHECKING:
    from limits import RateLimitItem
    from sqlalchemy.orm import Session

    from engage.core.config import Settings
    from engage.core.db import Database
    from engage.core.errors import DomainError
    from engage.core.http import Operation

R = TypeVar("R")
LONGEST: Final = timedelta(hours=1)
REMEMBERED: Final = timedelta(hours=24)  # for so long after its end a lock makes the next one longer
_MOST_DOUBLINGS: Final = 12
_MAX_SUBJECT_CHARS: Final = 64

log = logging.getLogger("engage.limits")


class FailedAttempts(Base):
    """How often somebody has failed at a gate in this window, and until when they are locked out of it.

    ``subject`` is ``person:ID`` or ``address:ADDRESS``; a row lives for a day at most after it has come to mean nothing.
    """

    __tablename__ = "failed_attempts"
    __table_args__ = (
        CheckConstraint("failures >= 0", name="failures_counted"),
        CheckConstraint("(lock_outs > 0) = (locked_until IS NOT NULL)", name="locked_until_an_end"),
        Index("ix_failed_attempts_window_ends_at", "window_ends_at"),
    )
    gate: Mapped[str] = mapped_column(String(24), primary_key=True)
    subject: Mapped[str] = mapped_column(String(_MAX_SUBJECT_CHARS), primary_key=True)
    failures: Mapped[int]
    window_ends_at: Mapped[datetime]
    lock_outs: Mapped[int]
    locked_until: Mapped[datetime | None]


class By(Enum):
    """Whose failures are counted together."""

    PERSON = auto()  # who has logged in; each attempt is counted before it is made, so that no two are made at once in place of one
    ADDRESS = auto()  # who has not


@dataclass(frozen=True)
class Gate:
    """What is tried, and what counts as a failure.

    Its limit is the setting ``limit_NAME``: so many failures in a window; the first lock is as long as the window.

    Args:
        name: of the setting.
        by: whose failures are counted together.
        failures: refusals that count; others do not, nor does what is nobody's fault.
        lets_good_pass: what is tried cannot be guessed and costs little to look at. Whoever is locked out is told so instead of why they were refused,
            and who has the right thing gets through: in a lecture hall behind one address one joker stops nobody.
        counts_success: an attempt that succeeds costs something too: all are counted, before they are made.
        when: whether a request tries anything, by its arguments; otherwise each does.

    """

    name: str
    by: By
    failures: tuple[type[DomainError], ...]
    lets_good_pass: bool = False
    counts_success: bool = False
    when: Callable[[dict[str, Any]], bool] | None = None

    def rate(self, settings: Settings) -> RateLimitItem | None:
        """Return the limit that is set; None where it is off."""
        rate: RateLimitItem | None = getattr(settings, f"limit_{self.name}")
        return rate


class _Count(NamedTuple):
    failures: int
    window_ends_at: datetime
    lock_outs: int


def person_subject(person_id: object) -> str:
    """Return what a person's failures are counted under."""
    return f"person:{person_id}"


def address_subject(address: str | None) -> str | None:
    """Return what failures from an address are counted under; None where it is none."""
    subject = subject_of(address)
    return None if subject is None else f"address:{subject}"


def guarded(run: Callable[..., R], gate: Gate) -> Callable[..., R]:
    """Return what runs an operation behind a gate. No transaction is open while it runs."""

    def passing(
        operation: Operation, dump: Any, database: Database, identity: Any, arguments: dict[str, Any]
    ) -> R:
        rate = gate.rate(database.settings)
        by_person = gate.by is By.PERSON
        subject = person_subject(identity.person_id) if by_person else address_subject(current.get().address)
        if rate is None or subject is None or (gate.when and not gate.when(arguments)):
            return run(operation, dump, database, identity, arguments)
        attempt = _Attempt(gate, rate, subject, database, identity)
        attempt.begin()
        try:
            answer = run(operation, dump, database, identity, arguments)
        except gate.failures:
            attempt.failed()
            raise
        except BaseException:
            attempt.undone()
            raise
        attempt.succeeded()
        return answer

    return passing


class _Attempt:
    """One attempt at a gate."""

    def __init__(
        self, gate: Gate, rate: RateLimitItem, subject: str, database: Database, identity: Any
    ) -> None:
        self._gate, self._subject, self._database, self._identity = gate, subject, database, identity
        self._policy = policy_of(gate.name, rate)
        self._window = timedelta(seconds=self._policy.seconds)
        self._is_counted_first = gate.by is By.PERSON or gate.counts_success
        self._count: _Count | None = None
        self._row = (FailedAttempts.gate == gate.name, FailedAttempts.subject == subject)

    def begin(self) -> None:
        """Refuse who is locked out; count the attempt as one that fails, until it is known, where that is to be exact.

        Raises:
            LockedOut: they are.
            RateLimited: as many attempts as may be made are under way or have been made.

        """
        now = clock.now()
        if self._is_counted_first:
            with self._database.transaction() as session:
                self._add(session, now)
        elif not self._gate.lets_good_pass:
            with self._database.reading() as connection:
                until = connection.scalar(select(FailedAttempts.locked_until).where(*self._row))
            if until is not None and until > now:
                self._refuse_locked(until, now)

    def failed(self) -> None:
        """Count the failure, and lock where it was the last one to be had.

        Raises:
            LockedOut: there was none to be had any more; why this one failed is not told.

        """
        now = clock.now()
        with self._database.transaction() as session:
            count = self._count or self._add(session, now)
            if count.failures >= self._policy.amount:
                self._lock(session, count, now)

    def undone(self) -> None:
        """Take back what was counted beforehand: it was no failure."""
        if self._is_counted_first:
            with self._database.transaction() as session:
                one_less = FailedAttempts.failures - 1
                session.execute(
                    update(FailedAttempts)
                    .where(*self._row, FailedAttempts.failures > 0)
                    .values(failures=one_less)
                )

    def succeeded(self) -> None:
        """Forget earlier failures of a person. Those from an address may be others' and stay."""
        if self._is_counted_first and not self._gate.counts_success:
            with self._database.transaction() as session:
                session.execute(delete(FailedAttempts).where(*self._row))

    def _add(self, session: Session, now: datetime) -> _Count:
        instant = UtcDateTime()
        is_over = FailedAttempts.window_ends_at <= now
        is_forgotten = FailedAttempts.locked_until <= now - REMEMBERED
        ends_at = now + self._window
        counted = session.execute(
            upserting(session, FailedAttempts)
            .values(
                gate=self._gate.name, subject=self._subject, failures=1, window_ends_at=ends_at, lock_outs=0, locked_until=None
            )
            .on_conflict_do_update(
                index_elements=["gate", "subject"],
                set_={
                    "failures": case((is_over, 1), else_=FailedAttempts.failures + 1),
                    "window_ends_at": case(
                        (is_over, literal(ends_at, instant)), else_=FailedAttempts.window_ends_at
                    ),
                    "lock_outs": case((is_forgotten, 0), else_=FailedAttempts.lock_outs),
                    "locked_until": case((is_forgotten, null()), else_=FailedAttempts.locked_until),
                },
                where=or_(FailedAttempts.locked_until.is_(None), FailedAttempts.locked_until <= now),
            )
            .returning(FailedAttempts.failures, FailedAttempts.window_ends_at, FailedAttempts.lock_outs)
        ).one_or_none()  # fmt: skip
        if counted is None:
            until = session.scalar(select(FailedAttempts.locked_until).where(*self._row))
            self._refuse_locked(until or now, now)
        count = _Count(*counted)
        left = _seconds(count.window_ends_at - now)
        self._tell(self._policy.amount - count.failures, left)
        if count.failures > self._policy.amount:  # not counted: the transaction ends with this
            raise RateLimited(retry_after=left, seconds=left)
        self._count = count
        return count

    def _lock(self, session: Session, count: _Count, now: datetime) -> None:
        longer = min(self._window * 2 ** min(count.lock_outs, _MOST_DOUBLINGS), max(LONGEST, self._window))
        session.execute(
            update(FailedAttempts)
            .where(*self._row)
            .values(locked_until=now + longer, lock_outs=FailedAttempts.lock_outs + 1)
        )
        actor = self._identity if self._gate.by is By.PERSON else None
        audit.record(session, now, "lock_out", actor=actor, result=LockedOut.code, kind=self._gate.name)
        log.warning("locked out", extra={"fields": {"gate": self._gate.name, "seconds": _seconds(longer)}})

    def _refuse_locked(self, until: datetime, now: datetime) -> NoReturn:
        left = _seconds(until - now)
        self._tell(0, left)
        raise LockedOut(retry_after=left, seconds=left)

    def _tell(self, remaining: int, reset: int) -> None:
        trace = current.get()
        others = tuple(quota for quota in trace.quotas if quota.policy is not self._policy)
        trace.quotas = (*others, Quota(self._policy, remaining, reset))


def _seconds(time: timedelta) -> int:
    return max(1, ceil(time.total_seconds()))


def purge(session: Session, now: datetime) -> int:
    """Delete what says nothing any more; return how many."""
    is_forgotten = or_(FailedAttempts.locked_until.is_(None), FailedAttempts.locked_until <= now - REMEMBERED)
    result = session.execute(delete(FailedAttempts).where(FailedAttempts.window_ends_at <= now, is_forgotten))
    return int(result.rowcount)  # type: ignore[attr-defined]


def counted(session: Session, now: datetime, subject: str | None = None) -> list[FailedAttempts]:
    """Return who is locked out now, or all that is counted for one subject; the latest to be free first."""
    statement = select(FailedAttempts).order_by(FailedAttempts.locked_until.desc(), FailedAttempts.gate)
    chosen = FailedAttempts.locked_until > now if subject is None else FailedAttempts.subject == subject
    return list(session.scalars(statement.where(chosen)))


def unlock(session: Session, subject: str, gate: str | None = None) -> list[str]:
    """Forget the failures of a subject at one gate or at all; return at which."""
    chosen = [FailedAttempts.subject == subject]
    if gate is not None:
        chosen.append(FailedAttempts.gate == gate)
    forgotten = session.scalars(delete(FailedAttempts).where(*chosen).returning(FailedAttempts.gate))
    return sorted(forgotten)
