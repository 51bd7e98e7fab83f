"""Figures of participation: each is defined here and nowhere else."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import case, cast, func, literal, null, or_, select, true, union, union_all

from engage.activities.models import Activity, ActivityStatus, CheckIn, Project, SignUp
from engage.core.clock import SHANGHAI, day_start
from engage.core.errors import Language
from engage.core.paging import Pager, beyond
from engage.core.sql import shanghai_month
from engage.hubs.models import Hub
from engage.orgs.access import ROLES, Permission, live_grant
from engage.orgs.models import Org, RoleGrant
from engage.regions.models import Division
from engage.statistics.access import countable
from engage.statistics.models import MAX_SCOPE, Dimension, ScopeKind

if TYPE_CHECKING:
    from sqlalchemy import CTE, Row, Select, Subquery

    from engage.core.db import Context

# A draft is no activity yet, and one that was called off took place for nobody: neither counts in any column.
_COUNTED: Final = (ActivityStatus.PUBLISHED, ActivityStatus.SUMMARISED)
_NO_HUB: Final = {Language.ZH: "其他地点", Language.EN: "Other places"}
_DAY: Final = timedelta(days=1)
_RATE_DECIMALS: Final = 4


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


def _row(row: Row[Any], language: Language) -> dict[str, Any]:
    key = None if row.key is None else str(row.key)
    name = _NO_HUB[language] if key is None else row.label
    return {"key": {"id": key, "name": name}, **_figures(row)}


def _figures(row: Row[Any]) -> dict[str, Any]:
    expected, came = int(row.expected), int(row.came)
    return {
        "activities": int(row.activities),
        "sign_ups": int(row.sign_ups),
        "confirmed": int(row.confirmed),
        "check_ins": int(row.check_ins),
        "people": int(row.people),
        "attendance_rate": round(came / expected, _RATE_DECIMALS) if expected else None,
    }


def _statement(
    look: Context, query: dict[str, Any], grouping: _Grouping, after: list[Any] | None
) -> Select[Any]:
    """Return the select of a page of rows (one more than asked for), then the row of totals."""
    counted = _counted(look, query, grouping)
    presence = _presence(counted)
    rows = _rows(counted, presence, grouping, after, query["limit"] + 1)
    both = union_all(select(literal(0).label("part"), rows), _totals(counted, presence, rows)).subquery()
    return select(both).order_by(both.c.part, both.c.key.is_(None), both.c.sort, both.c.key)


def _counted(look: Context, query: dict[str, Any], grouping: _Grouping) -> CTE:
    """Return a row for each activity that counts, with what it adds to its row of figures."""
    sign_ups = select(func.count()).where(SignUp.activity_id == Activity.id).scalar_subquery()
    return (
        select(
            Activity.id,
            grouping.key.label("key"),
            sign_ups.label("sign_ups"),
            Activity.taken.label("confirmed"),
            case((Activity.ends_at <= look.now, 1), else_=0).label("is_over"),
        )
        .where(
            Activity.status.in_(_COUNTED),
            Activity.starts_at >= day_start(query["first_day"]),
            Activity.starts_at < day_start(query["last_day"]) + _DAY,
            countable(look),
        )
        .cte("counted")
    )


def _presence(counted: CTE) -> CTE:
    """Return a row for each person in each row of figures: counted once there, however often they came."""
    return (
        select(
            counted.c.key,
            CheckIn.person_id,
            func.count().label("check_ins"),
            func.sum(counted.c.is_over).label("came"),
        )
        .join(CheckIn, CheckIn.activity_id == counted.c.id)
        .group_by(counted.c.key, CheckIn.person_id)
        .cte("presence")
    )


def _rows(counted: CTE, presence: CTE, grouping: _Grouping, after: list[Any] | None, limit: int) -> Subquery:
    """Return the rows of figures after a cursor: key, label, sort, and the sums."""
    sums = _sums(counted, presence)
    label = sums.c.key if grouping.label is None else grouping.label
    sort = label if grouping.by_label else sums.c.key
    statement = select(sums.c.key, label.label("label"), sort.label("sort"), *list(sums.c)[1:])
    if grouping.label_key is not None:
        statement = statement.outerjoin(grouping.label_key.class_, grouping.label_key == sums.c.key)
    if after is not None:  # the row without a key comes last, so no cursor ever stands on it
        statement = statement.where(or_(sums.c.key.is_(None), beyond([sort, sums.c.key], after)))
    return statement.order_by(sums.c.key.is_(None), sort, sums.c.key).limit(limit).subquery("figures")


def _sums(counted: CTE, presence: CTE) -> Subquery:
    """Return the sums by key. Activities and persons are stacked, not joined: a join would count one by the other."""
    nought = literal(0)
    stacked = union_all(
        select(
            counted.c.key,
            literal(1).label("activities"),
            counted.c.sign_ups,
            counted.c.confirmed,
            (counted.c.is_over * counted.c.confirmed).label("expected"),
            nought.label("check_ins"),
            nought.label("people"),
            nought.label("came"),
        ),
        select(
            presence.c.key, nought, nought, nought, nought, presence.c.check_ins, literal(1), presence.c.came
        ),
    ).subquery("stacked")
    sums = (func.sum(column).label(column.name) for column in list(stacked.c)[1:])
    return select(stacked.c.key, *sums).group_by(stacked.c.key).subquery("sums")


def _totals(counted: CTE, presence: CTE, rows: Subquery) -> Select[Any]:
    """Return one row of the columns of ``rows`` over everything, also over nothing."""
    activities = select(
        func.count().label("activities"),
        func.coalesce(func.sum(counted.c.sign_ups), 0).label("sign_ups"),
        func.coalesce(func.sum(counted.c.confirmed), 0).label("confirmed"),
        func.coalesce(func.sum(counted.c.is_over * counted.c.confirmed), 0).label("expected"),
    ).subquery("all_activities")
    persons = select(
        func.coalesce(func.sum(presence.c.check_ins), 0).label("check_ins"),
        func.count(presence.c.person_id.distinct()).label("people"),
        func.coalesce(func.sum(presence.c.came), 0).label("came"),
    ).subquery("all_persons")
    blanks = (cast(null(), column.type) for column in list(rows.c)[:3])
    return select(literal(1), *blanks, *activities.c, *persons.c).select_from(
        activities.join(persons, true())
    )


def _scope(look: Context) -> list[dict[str, Any]]:
    """Return the organisations and hubs that the caller's figures cover, by name, ``MAX_SCOPE`` at most."""
    held = (live_grant(look.actor.id, look.now), RoleGrant.role.in_(ROLES[Permission.READ_FIGURES]))
    orgs = select(literal(ScopeKind.ORG.value).label("kind"), Org.id.label("id"), Org.name.label("name"))
    hubs = select(literal(ScopeKind.HUB.value), Hub.id, Hub.name)
    both = union(
        orgs.join(RoleGrant, RoleGrant.org_id == Org.id).where(*held),
        hubs.join(RoleGrant, RoleGrant.hub_id == Hub.id).where(*held),
    ).subquery()
    nodes = look.db.execute(select(both).order_by(both.c.name, both.c.id).limit(MAX_SCOPE))
    return [{"kind": kind, "id": node_id, "name": name} for kind, node_id, name in nodes]
