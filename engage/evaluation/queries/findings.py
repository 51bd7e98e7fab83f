"""Findings, one and many: rows with what the caller may do with each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import and_, select

from engage.core.clock import shanghai_day
from engage.core.paging import Page, Pager, beyond
from engage.evaluation.access import answerable, closable, visible_findings
from engage.evaluation.errors import NoSuchFinding
from engage.evaluation.models import Finding, FindingState, FindingSubject
from engage.orgs.models import Org, OrgPath

if TYPE_CHECKING:
    from datetime import date
    from uuid import UUID

    from sqlalchemy import ColumnElement, Select

    from engage.core.db import Context

_SHOWN: Final[tuple[Any, ...]] = (
    Finding.id, Finding.kind, Finding.text, Finding.due_on, Finding.answer, Finding.outcome, Finding.created_at, Finding.answered_at,
    Finding.closed_at, Finding.version,
)  # fmt: skip
_IS_OPEN: Final = and_(Finding.answered_at.is_(None), Finding.closed_at.is_(None))
_STATES: Final[dict[FindingState, ColumnElement[bool]]] = {
    FindingState.OPEN: _IS_OPEN,
    FindingState.ANSWERED: and_(Finding.answered_at.is_not(None), Finding.closed_at.is_(None)),
    FindingState.CLOSED: Finding.closed_at.is_not(None),
}
_EXACT: Final = ("kind", "hub_id", "activity_id")


def list_findings(look: Context, query: dict[str, Any]) -> Page:
    """Return the findings that the caller may see, the newest first. One statement.

    Raises:
        InvalidInput: the cursor was altered or belongs to other filters.

    """
    pager = Pager(look.settings, "findings", query)
    statement = _findings(look).where(*_filters(query, shanghai_day(look.now)))
    after = pager.after()
    if after:
        statement = statement.where(beyond([Finding.id], after, descending=True))
    rows = look.db.execute(statement.order_by(Finding.id.desc()).limit(query["limit"] + 1)).all()
    return pager.page([_finding(row, look) for row in rows], lambda item: [item["id"]])


def read_finding(look: Context, finding_id: UUID) -> dict[str, Any]:
    """Return a finding. One statement.

    Raises:
        NoSuchFinding: there is none that the caller may see.

    """
    row = look.db.execute(_findings(look).where(Finding.id == finding_id)).one_or_none()
    if row is None:
        raise NoSuchFinding
    return _finding(row, look)


def _findings(look: Context) -> Select[Any]:
    return (
        select(
            *_SHOWN, Finding.written_by, Finding.answered_by, Finding.about, Finding.hub_id, Finding.activity_id, Org.id.label("org_id"),
            Org.name.label("org"), answerable(look).label("answers"), closable(look).label("closes"),
        )
        .join(Org, Org.id == Finding.org_id)
        .where(visible_findings(look))
    )  # fmt: skip


def _filters(query: dict[str, Any], today: date) -> list[ColumnElement[bool]]:
    found = [getattr(Finding, name) == query[name] for name in _EXACT if query[name] is not None]
    if query["org_id"] is not None:
        below = select(OrgPath.descendant_id).where(OrgPath.ancestor_id == query["org_id"])
        found.append(Finding.org_id.in_(below))
    if query["state"] is not None:
        found.append(_STATES[query["state"]])
    if query["overdue"]:
        found.append(and_(_IS_OPEN, Finding.due_on < today))
    return found


def _finding(row: Any, look: Context) -> dict[str, Any]:
    state = _state(row)
    me, is_closed = look.actor.id, state is FindingState.CLOSED
    mine = row.written_by == me
    is_due = state is FindingState.OPEN and row.due_on is not None
    return {
        **{column.key: getattr(row, column.key) for column in _SHOWN},
        "subject": _subject(row),
        "org": {"id": row.org_id, "name": row.org},
        "overdue": is_due and row.due_on < shanghai_day(look.now),
        "state": state,
        "mine": mine,
        "may_answer": bool(row.answers) and not mine and row.answered_by in (None, me) and not is_closed,
        "may_close": bool(row.closes) and row.answered_by != me and not is_closed,
    }


def _state(row: Any) -> FindingState:
    if row.closed_at is not None:
        return FindingState.CLOSED
    return FindingState.OPEN if row.answered_at is None else FindingState.ANSWERED


def _subject(row: Any) -> dict[str, Any]:
    if row.activity_id is not None:
        return {"kind": FindingSubject.ACTIVITY, "id": row.activity_id, "name": row.about}
    if row.hub_id is not None:
        return {"kind": FindingSubject.HUB, "id": row.hub_id, "name": row.about}
    return {"kind": FindingSubject.ORG, "id": row.org_id, "name": row.about}
