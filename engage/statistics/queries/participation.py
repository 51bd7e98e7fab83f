"""Figures of participation: each is defined here and nowhere else."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import case, cast, func, literal, null, or_, select, true, union, union_all

from engage.activities.models import (
    HOLDS_PLACE,
    Activity,
    ActivityStatus,
    Attendance,
    CheckIn,
    Project,
    SignUp,
)
from engage.activities.queries.states import attendance
from engage.core.clock import SHANGHAI, day_start
from engage.core.errors import Language
from engage.core.paging import Pager, beyond
from engage.core.sheets import as_csv
from engage.core.sql import shanghai_month
from engage.hubs.models import Hub
from engage.orgs.access import Permission, held_with
from engage.orgs.models import Org, RoleGrant
from engage.regions.models import Division
from engage.statistics.access import countable
from engage.statistics.models import MAX_SCOPE, Dimension, ScopeKind

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import CTE, Row, Select, Subquery

    from engage.core.db import Context

# A draft is no activity yet, and one that was called off took place for nobody: neither counts in any column.
COUNTED: Final = (ActivityStatus.PUBLISHED, ActivityStatus.SUMMARISED)
_NO_HUB: Final = {Language.ZH: "其他地点", Language.EN: "Other places"}
_DAY: Final = timedelta(days=1)
RATE_DECIMALS: Final = 4
_ALL_ROWS: Final = 2**31 - 2
_TITLES: Final = {
    "activities": "活动",
    "sign_ups": "报名次数",
    "confirmed": "现占名额",
    "check_ins": "人次",
    "attended": "准时",
    "late": "迟到",
    "absent": "缺席",
    "excused": "请假",
    "walk_ins": "现场加入",
    "people": "人数",
    "attendance_rate": "到场率",
}
_ATTENDANCES: Final = {
    "attended": Attendance.ATTENDED,
    "late": Attendance.LATE,
    "absent": Attendance.ABSENT,
    "excused": Attendance.EXCUSED,
    "walk_ins": Attendance.WALK_IN,
}
_IN_THEIR_PLACE: Final = (Attendance.ATTENDED, Attendance.LATE)
# What adds up over sign-ups; people do not, and the last two are for the rate alone.
_SUMS: Final = ("sign_ups", "confirmed", "check_ins", *_ATTENDANCES)
_ADDED: Final = (*_SUMS, "expected", "came")


@dataclass(frozen=True)
class _Grouping:
    """A way to cut the figures: what a row is about and, unless it names itself, where its name stands."""

    key: Any
    label_key: Any = None
    label: Any = None
    by_label: bool = False


_GROUPINGS: Final[dict[Dimension, _Grouping]] = {
    Dimension.COUNTY: _Grouping(Activity.county_code, Division.code, Division.name),
    Dimension.HUB: _Grouping(Activity.hub_id, Hub.id, Hub.name, by_label=True),
    Dimension.PROJECT: _Grouping(Activity.project_id, Project.id, Project.name, by_label=True),
    Dimension.MONTH: _Grouping(shanghai_month(Activity.starts_at)),
}


def participation(look: Context, query: dict[str, Any], language: Language) -> dict[str, Any]:
    """Return figures of the caller's activities that start within a range of Shanghai days, cut by ``query["by"]``.

    ``items`` holds the rows of a page: those with no activity are left out; counties and months are sorted by code,
    hubs and projects by name. ``totals`` covers all rows: its people are different persons over the whole, not a sum.
    Rows and totals come from one statement, so they agree. Freshness: everything committed before ``as_of``.

    Raises:
        InvalidInput: the cursor was altered or belongs to other parameters.

    """
    pager = Pager(look.settings, "participation", query)
    grouping = _GROUPINGS[query["by"]]
    *rows, total = look.db.execute(_statement(look, query, grouping, pager.after())).all()
    page = pager.page(rows, lambda row: [row.sort, row.key])
    return {
        "items": [_row(row, language) for row in page.items],
        "next_cursor": page.next_cursor,
        "first_day": query["first_day"],
        "last_day": query["last_day"],
        "by": query["by"],
        "as_of": look.now.astimezone(SHANGHAI),
        "scope": _scope(look),
        "totals": _figures(total),
    }


def export_participation(look: Context, query: dict[str, Any], language: Language) -> bytes:
    """Return what ``participation`` returns as CSV: all rows, then the totals, by the same statement."""
    found = participation(look, {**query, "cursor": None, "limit": _ALL_ROWS}, language)
    rows = [(row["key"]["id"], row["key"]["name"], row) for row in found["items"]]
    return as_csv(
        [
            ("编号", "名称", *_TITLES.values(), "截至"),
            *(
                (key, name, *(figures[column] for column in _TITLES), found["as_of"])
                for key, name, figures in (*rows, (None, "合计", found["totals"]))
            ),
        ]
    )


def _row(row: Row[Any], language: Language) -> dict[str, Any]:
    key = None if row.key is None else str(row.key)
    name = _NO_HUB[language] if key is None else row.label
    return {"key": {"id": key, "name": name}, **_figures(row)}


def _figures(row: Row[Any]) -> dict[str, Any]:
    expected, came = int(row.expected), int(row.came)
    return {
        "activities": int(row.activities),
        **{name: int(getattr(row, name)) for name in _SUMS},
        "people": int(row.people),
        "attendance_rate": round(came / expected, RATE_DECIMALS) if expected else None,
    }


def _statement(
    look: Context, query: dict[str, Any], grouping: _Grouping, after: list[Any] | None
) -> Select[Any]:
    """Return the select of a page of rows (one more than asked for), then the row of totals."""
    counted = _counted(look, query, grouping)
    persons = persons_of(counted, look.now)
    rows = _rows(counted, persons, grouping, after, query["limit"] + 1)
    both = union_all(select(literal(0).label("part"), rows), _totals(counted, persons, rows)).subquery()
    return select(both).order_by(both.c.part, both.c.key.is_(None), both.c.sort, both.c.key)


def _counted(look: Context, query: dict[str, Any], grouping: _Grouping) -> CTE:
    """Return a row for each activity that counts."""
    return (
        select(
            Activity.id,
            grouping.key.label("key"),
            Activity.status,
            Activity.starts_at,
            Activity.ends_at,
            Activity.late_minutes,
        )
        .where(
            Activity.status.in_(COUNTED),
            Activity.starts_at >= day_start(query["first_day"]),
            Activity.starts_at < day_start(query["last_day"]) + _DAY,
            countable(look),
        )
        .cte("counted")
    )


def persons_of(counted: CTE, now: datetime, *, by_reader: bool = False) -> CTE:
    """Return a row for each person in each row of figures, with what they add: one person there, however often they came.

    ``by_reader`` tells beside it (``new_…``) what the reader does not know from figures of their own, by ``counted.is_own``.
    """
    turns = (
        select(
            counted.c.key,
            SignUp.person_id,
            SignUp.state,
            CheckIn.sign_up_id.label("was_there"),
            attendance(now, counted.c).label("attendance"),
            (counted.c.ends_at <= now).label("is_over"),
            *([counted.c.is_own] if by_reader else []),
        )
        .join(SignUp, SignUp.activity_id == counted.c.id)
        .outerjoin(CheckIn, CheckIn.sign_up_id == SignUp.id)
        .subquery("turns")
    )
    is_over, state, became = turns.c.is_over, turns.c.state, turns.c.attendance
    counts = {
        "sign_ups": func.count(),
        "confirmed": func.count().filter(state.in_(HOLDS_PLACE)),
        "check_ins": func.count(turns.c.was_there),
        **{name: func.count().filter(became == of) for name, of in _ATTENDANCES.items()},
        "expected": func.count().filter(is_over, became.in_((*_IN_THEIR_PLACE, Attendance.ABSENT))),
        "came": func.count().filter(is_over, became.in_(_IN_THEIR_PLACE)),
    }
    if by_reader:
        new = ~turns.c.is_own
        counts |= {
            "new_check_ins": func.count(turns.c.was_there).filter(new),
            "new_came": func.count().filter(new, is_over, became.in_(_IN_THEIR_PLACE)),
            "new_absent": func.count().filter(new, is_over, became == Attendance.ABSENT),
        }
    return (
        select(turns.c.key, turns.c.person_id, *(count.label(name) for name, count in counts.items()))
        .group_by(turns.c.key, turns.c.person_id)
        .cte("persons")
    )


def _rows(counted: CTE, persons: CTE, grouping: _Grouping, after: list[Any] | None, limit: int) -> Subquery:
    """Return the rows of figures after a cursor: key, label, sort, and the sums."""
    sums = _sums(counted, persons)
    label = sums.c.key if grouping.label is None else grouping.label
    sort = label if grouping.by_label else sums.c.key
    statement = select(sums.c.key, label.label("label"), sort.label("sort"), *list(sums.c)[1:])
    if grouping.label_key is not None:
        statement = statement.outerjoin(grouping.label_key.class_, grouping.label_key == sums.c.key)
    if after is not None:  # the row without a key comes last, so no cursor ever stands on it
        statement = statement.where(or_(sums.c.key.is_(None), beyond([sort, sums.c.key], after)))
    return statement.order_by(sums.c.key.is_(None), sort, sums.c.key).limit(limit).subquery("figures")


def _sums(counted: CTE, persons: CTE) -> Subquery:
    """Return the sums by key. Activities and persons are stacked, not joined: a join would count one by the other."""
    nought = literal(0)
    stacked = union_all(
        select(
            counted.c.key,
            literal(1).label("activities"),
            nought.label("people"),
            *(nought.label(name) for name in _ADDED),
        ),
        select(persons.c.key, nought, _came_at_all(persons), *(persons.c[name] for name in _ADDED)),
    ).subquery("stacked")
    sums = (func.sum(column).label(column.name) for column in list(stacked.c)[1:])
    return select(stacked.c.key, *sums).group_by(stacked.c.key).subquery("sums")


def _came_at_all(persons: CTE) -> Any:
    return case((persons.c.check_ins > 0, 1), else_=0)


def _totals(counted: CTE, persons: CTE, rows: Subquery) -> Select[Any]:
    """Return one row of the columns of ``rows`` over everything, also over nothing."""
    activities = select(func.count().label("activities")).select_from(counted).subquery("all_activities")
    everybody = select(
        func.count(case((persons.c.check_ins > 0, persons.c.person_id)).distinct()).label("people"),
        *(func.coalesce(func.sum(persons.c[name]), 0).label(name) for name in _ADDED),
    ).subquery("all_persons")
    blanks = (cast(null(), column.type) for column in list(rows.c)[:3])
    return select(literal(1), *blanks, *activities.c, *everybody.c).select_from(
        activities.join(everybody, true())
    )


def _scope(look: Context) -> list[dict[str, Any]]:
    """Return the organisations and hubs that the caller's figures cover, by name, ``MAX_SCOPE`` at most."""
    held = held_with(look, Permission.READ_FIGURES)
    orgs = select(literal(ScopeKind.ORG.value).label("kind"), Org.id.label("id"), Org.name.label("name"))
    hubs = select(literal(ScopeKind.HUB.value), Hub.id, Hub.name)
    both = union(
        orgs.join(RoleGrant, RoleGrant.org_id == Org.id).where(held),
        hubs.join(RoleGrant, RoleGrant.hub_id == Hub.id).where(held),
    ).subquery()
    nodes = look.db.execute(select(both).order_by(both.c.name, both.c.id).limit(MAX_SCOPE))
    return [{"kind": kind, "id": node_id, "name": name} for kind, node_id, name in nodes]
