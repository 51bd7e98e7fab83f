"""Reads of what an activity asks of those who join."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from sqlalchemy import Uuid, bindparam, select

from engage.activities.access import is_public
from engage.activities.errors import NoSuchActivity
from engage.activities.models import Activity, Pool, Project
from engage.core.prepared import Prepared

if TYPE_CHECKING:
    from collections.abc import Sequence

    from engage.core.db import Context

_ASKED: Final = (
    Activity.version, Activity.starts_at, Activity.ends_at, Activity.min_age, Activity.max_age, Activity.county_codes,
    Activity.members_only, Activity.questions, Activity.overlap, Activity.offers_from_at, Activity.pools_merge_at, Activity.project_id,
    Project.daily_limit, Project.weekly_limit,
)  # fmt: skip


@cache
def _statement() -> Prepared[Any]:
    return Prepared(
        select(Activity.pools_merged, *_ASKED)
        .join(Project, Project.id == Activity.project_id)
        .where(Activity.id == bindparam("activity_id", type_=Uuid()), is_public())
    )


def read_rules(look: Context, activity_id: UUID) -> tuple[dict[str, Any], Sequence[Any]]:
    """Return the columns of what an activity asks by name, and (position, audience, counties, overflow rank) of its pools.

    One statement, two where places are divided.

    Raises:
        NoSuchActivity: there is none that is published.

    """
    row = _statement().one_or_none(look.db, {"activity_id": activity_id})
    if row is None:
        raise NoSuchActivity
    merged, *values = row
    columns = {column.key: value for column, value in zip(_ASKED, values, strict=True)}
    if merged:
        return columns, ()
    pools = select(Pool.position, Pool.audience, Pool.county_codes, Pool.overflow_rank).where(
        Pool.activity_id == activity_id
    )
    return columns, look.db.execute(pools.order_by(Pool.position)).all()
