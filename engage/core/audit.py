"""The audit log: who used which right on what, and how it ended. Rows are only ever added.

An entry names people by their ids and never says what their personal data are: of a changed column the values are shown only
where the model lists it in ``audited``; of the others it says that they changed.
"""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import TYPE_CHECKING, Any, Final, TypeVar
from uuid import UUID

from sqlalchemy import JSON, Index, String, event, insert, inspect, select, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Mapped, Session, SessionTransaction, mapped_column

from engage.core import clock, ids
from engage.core.db import Entity
from engage.core.errors import ConflictingChange, DomainError
from engage.core.logging import current
from engage.core.schemas import Id

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from engage.core.db import Database, Work
    from engage.core.http import Operation

R = TypeVar("R")
DONE: Final = "done"
REPEATED: Final = "repeated"  # under its key: nothing was done, the answer of the first time was given again
MAX_CHANGES: Final = 100
MAX_VALUE_CHARS: Final = 200
TOLD_EVERY: Final = timedelta(minutes=1)  # the same refusal to log in
_NOTES: Final = "engage.audit"
_QUIET: Final = ("version", "updated_at")  # they change with everything
_REFUSED: Final = text("result <> 'done'")
_BY_KEY: Final = text("api_key_id IS NOT NULL")


class AuditEntry(Entity):
    """One use of a right. No foreign keys: an entry outlives what it is about.

    ``object_id`` is what the address names first, such as the activity, ``part_id`` what it names last or what was made inside, such as
    the sign-up. Of a refused attempt, at which nothing was made, they are what address and body name. ``api_key_id`` is the key that acted on behalf of ``actor_id``. Without an actor it was a command, or nobody known.
    """

    __tablename__ = "audit_entry"
    __table_args__ = (
        Index("ix_audit_entry_occurred_at_id", "occurred_at", "id"),
        Index("ix_audit_entry_actor_id", "actor_id", "occurred_at", "id"),
        Index("ix_audit_entry_object_id", "object_id", "occurred_at", "id"),
        Index("ix_audit_entry_part_id", "part_id", "occurred_at", "id"),
        Index("ix_audit_entry_action", "action", "occurred_at", "id"),
        Index("ix_audit_entry_request_id", "request_id", "occurred_at", "id"),
        Index("ix_audit_entry_address", "address", "occurred_at", "id"),
        Index("ix_audit_entry_session_id", "session_id", "occurred_at", "id"),
        Index("ix_audit_entry_api_key_id", "api_key_id", "occurred_at", "id", postgresql_where=_BY_KEY, sqlite_where=_BY_KEY),
        Index("ix_audit_entry_refused", "result", "occurred_at", "id", postgresql_where=_REFUSED, sqlite_where=_REFUSED),
    )  # fmt: skip
    occurred_at: Mapped[datetime]
    actor_id: Mapped[UUID | None]
    session_id: Mapped[UUID | None]
    api_key_id: Mapped[UUID | None]
    action: Mapped[str] = mapped_column(String(64))
    object_kind: Mapped[str | None] = mapped_column(String(40))
    object_id: Mapped[UUID | None]
    part_id: Mapped[UUID | None]
    result: Mapped[str] = mapped_column(String(64))
    people: Mapped[int | None]
    request_id: Mapped[str | None] = mapped_column(String(64))
    address: Mapped[str | None] = mapped_column(String(45))
    purpose: Mapped[str | None] = mapped_column(String(200))
    changes: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))


_ENTRIES: Final[Any] = AuditEntry.__table__
_INSERT: Final = insert(_ENTRIES)


@dataclass(slots=True)
class _Notes:
    """What changed in a transaction so far."""

    items: list[dict[str, Any]] = field(default_factory=list)
    omitted: int = 0
    savepoints: dict[SessionTransaction, tuple[int, int]] = field(default_factory=dict)

    def add(self, kind: str, key: str, name: str, **values: Any) -> None:
        if len(self.items) >= MAX_CHANGES:
            self.omitted += 1
        else:
            self.items.append({"object": kind, "id": key, "field": name, **values})


@dataclass(frozen=True, slots=True)
class _Known:
    """Who is refused before they are anybody's caller."""

    person_id: UUID
    session_id: UUID | None


def watch(session: Session) -> None:
    """Note from now on what this transaction changes in rows of models that have an ``audited``."""
    session.info[_NOTES] = _Notes()


def changed(work: Work, kind: str, key: UUID, *, before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
    """Note a change that an UPDATE made past the rows in memory: what was there ``before``, as it was when it was locked.

    Values are shown, so none may be personal.
    """
    notes: _Notes | None = work.session.info.get(_NOTES)
    if notes is not None:
        _compare(notes, kind, str(key), dict(before), after)


def _compare(notes: _Notes, kind: str, key: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
    for name, value in after.items():
        if before.get(name) != value:
            notes.add(kind, key, name, before=_written(before.get(name)), after=_written(value))


def _written(value: Any) -> str | None:
    if value is None:
        return None
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    return str(value.value if isinstance(value, Enum) else value)[:MAX_VALUE_CHARS]


@event.listens_for(Session, "after_transaction_create")
def _remember(session: Session, transaction: SessionTransaction) -> None:
    notes: _Notes | None = session.info.get(_NOTES)
    if notes is not None and transaction.nested:
        notes.savepoints[transaction] = len(notes.items), notes.omitted


@event.listens_for(Session, "after_soft_rollback")
def _forget(session: Session, transaction: SessionTransaction) -> None:
    """What a savepoint undoes has not happened."""
    notes: _Notes | None = session.info.get(_NOTES)
    if notes is not None and transaction in notes.savepoints:
        kept, notes.omitted = notes.savepoints.pop(transaction)
        del notes.items[kept:]


@event.listens_for(Session, "after_flush")
def _note(session: Session, _context: Any) -> None:
    notes: _Notes | None = session.info.get(_NOTES)
    if notes is None:
        return
    for row in (*session.new, *session.dirty, *session.deleted):
        shown: Sequence[str] | None = getattr(row, "audited", None)
        if shown is not None:
            _note_row(notes, row, shown, is_new=row in session.new, is_gone=row in session.deleted)


def _note_row(notes: _Notes, row: Any, shown: Sequence[str], *, is_new: bool, is_gone: bool) -> None:
    state = inspect(row)
    kind = row.__tablename__
    key = "/".join(str(part) for part in state.mapper.primary_key_from_instance(row))
    if is_new or is_gone:
        values = {name: getattr(row, name) for name in shown}
        _compare(notes, kind, key, values if is_gone else {}, dict.fromkeys(values) if is_gone else values)
        return
    for attribute in state.mapper.column_attrs:
        history = state.attrs[attribute.key].history
        if attribute.key in _QUIET or not history.has_changes():
            continue
        if attribute.key not in shown:
            notes.add(kind, key, attribute.key)
            continue
        before = history.deleted[0] if history.deleted else None
        _compare(notes, kind, key, {attribute.key: before}, {attribute.key: history.added[0]})


def record(
    session: Session,
    now: datetime,
    action: str,
    *,
    actor: Any = None,
    result: str = DONE,
    kind: str | None = None,
    about: Sequence[UUID] = (),
    people: int | None = None,
    purpose: str | None = None,
) -> None:
    """Add an entry to a running transaction: it exists if and only if what it tells of does. One statement.

    ``about`` are the ids of the object and, if it has some, of its part; ``actor`` is whoever calls, with what they called by.
    """
    session.flush()
    notes: _Notes | None = session.info.get(_NOTES)
    trace = current.get(None)
    values = {
        "id": ids.new_id(),
        "occurred_at": now,
        "actor_id": getattr(actor, "person_id", None) or getattr(actor, "id", None),
        "session_id": getattr(actor, "session_id", None),
        "api_key_id": getattr(actor, "key_id", None),
        "action": action,
        "object_kind": kind,
        "object_id": about[0] if about else None,
        "part_id": about[-1] if len(about) > 1 else None,
        "result": result,
        "people": people,
        "request_id": trace.request_id if trace else None,
        "address": trace.address if trace else None,
        "purpose": purpose,
        "changes": {"items": notes.items, "omitted": notes.omitted} if notes and notes.items else None,
    }
    session.connection().execute(_INSERT, values)


def record_refusal(
    session: Session,
    now: datetime,
    action: str,
    person_id: UUID,
    refusal: DomainError,
    *,
    session_id: UUID | None = None,
    kind: str | None = None,
    about: Sequence[UUID] = (),
) -> None:
    """Add the entry of a log-in, or what goes on with one, that is refused to somebody known. The refusal is raised after the transaction.

    Such attempts are counted for an address and not for the person, so the same one is told once in a minute: nobody fills the log by repeating it.
    """
    same = select(AuditEntry.id).where(
        AuditEntry.actor_id == person_id,
        AuditEntry.action == action,
        AuditEntry.result == refusal.code,
        AuditEntry.occurred_at > now - TOLD_EVERY,
    )
    if session.scalar(same.limit(1)) is None:
        actor = _Known(person_id, session_id)
        record(session, now, action, actor=actor, result=refusal.code, kind=kind, about=about)


def record_use(
    operation: Operation,
    session: Session,
    now: datetime,
    actor: Any,
    arguments: Mapping[str, Any],
    made: UUID | None = None,
    *,
    sent: Sequence[UUID] = (),
    **outcome: Any,
) -> None:
    """Add the entry of an operation: its object is what its address names, and what it made, or what was ``sent`` in vain."""
    about = [arguments[name] for name in operation.path_parameters if name.endswith("_id")]
    about += [made] if made else sent
    kind = operation.path.removeprefix("/me").split("/")[1]
    record(session, now, operation.name, actor=actor, kind=kind, about=about, **outcome)


def telling_of_refusals(run: Callable[..., R]) -> Callable[..., R]:
    """Return what runs an operation and, when it is refused to a known caller, leaves an entry in a transaction of its own.

    Which refusals, the operation says.
    """

    def telling(
        operation: Operation, dump: Any, database: Database, identity: Any, arguments: dict[str, Any]
    ) -> R:
        try:
            return run(operation, dump, database, identity, arguments)
        except DomainError as refusal:
            if isinstance(refusal, operation.told):
                _tell(operation, database, identity, arguments, refusal.code)
            raise
        except IntegrityError:
            if issubclass(ConflictingChange, operation.told):
                _tell(operation, database, identity, arguments, ConflictingChange.code)
            raise

    return telling


def _tell(
    operation: Operation, database: Database, identity: Any, arguments: dict[str, Any], code: str
) -> None:
    # A key that is none: nobody's attempt, and strangers shall not fill the log.
    if identity.person_id is None:
        return
    sent = _named_in(operation, arguments.get("body", {}))
    with database.transaction() as session:
        record_use(operation, session, clock.now(), identity, arguments, sent=sent, result=code)


def _named_in(operation: Operation, body: Mapping[str, Any]) -> list[UUID]:
    """Return what a body names by its id in fields of its own: in the order of its schema, but a person last, who is a part of where it is."""
    declared = operation.body().fields if operation.body else {}
    names = [name for name, kind in declared.items() if isinstance(kind, Id) and body.get(name) is not None]
    return [body[name] for name in sorted(names, key="person_id".__eq__)]


def listed(name: str = "items") -> Callable[[Any, Any], int]:
    """Return what counts the people in an answer that lists them under a name: for ``people=`` of an operation."""
    return lambda _actor, payload: len(payload[name])


def rows(_actor: Any, body: bytes) -> int:
    """Count the people in a CSV with a line of headings: for ``people=`` of an operation."""
    return sum(1 for _ in csv.reader(io.StringIO(body.decode("utf-8-sig")))) - 1
