"""Findings, one and many: rows with what the caller may do with each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import and_, select

from engage.activities.models import Activity
from engage.core.clock import shanghai_day
from engage.core.paging import Page, Pager, beyond
from engage.evaluation.access import PLACE, visible_findings
from engage.evaluation.errors import NoSuchFinding
from engage.evaluation.models import Finding, FindingState, FindingSubject
from engage.hubs.models import Hub
from engage.orgs.access import Permission
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
            *_SHOWN, Finding.written_by, Finding.answered_by, Org.id.label("org_id"), Org.name.label("org"), Hub.id.label("hub_id"),
            Hub.name.label("hub"), Activity.id.label("activity_id"), Activity.title,
            PLACE.allows(look, Permission.ANSWER_FINDING).label("answers"), PLACE.allows(look, Permission.WRITE_FINDING).label("inspects"),
        )
        .select_from(Finding)
        .join(Org, Org.id == Finding.org_id)
        .outerjoin(Hub, Hub.id == Finding.hub_id)
        .outerjoin(Activity, Activity.id == Finding.activity_id)
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
    mine, is_closed = row.written_by == look.actor.id, state is FindingState.CLOSED
    is_due = state is FindingState.OPEN and row.due_on is not None
    return {
        **{column.key: getattr(row, column.key) for column in _SHOWN},
        "subject": _subject(row),
        "org": {"id": row.org_id, "name": row.org},
        "hub": row.hub_id and {"id": row.hub_id, "name": row.hub},
        "overdue": is_due and row.due_on < shanghai_day(look.now),
        "state": state,
        "mine": mine,
        "may_answer": bool(row.answers) and not mine and not is_closed,
        "may_close": bool(row.inspects) and row.answered_by != look.actor.id and not is_closed,
    }


def _state(row: Any) -> FindingState:
    if row.closed_at is not None:
        return FindingState.CLOSED
    return FindingState.OPEN if row.answered_at is None else FindingState.ANSWERED


def _subject(row: Any) -> dict[str, Any]:
    if row.activity_id is not None:
        return {"kind": FindingSubject.ACTIVITY, "id": row.activity_id, "name": row.title}
    if row.hub_id is not None:
        return {"kind": FindingSubject.HUB, "id": row.hub_id, "name": row.hub}
    return {"kind": FindingSubject.ORG, "id": row.org_id, "name": row.org}
