"""Reads of pools."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any
from uuid import UUID

from sqlalchemy import Uuid, bindparam, select

from engage.activities.models import Pool
from engage.core.prepared import Prepared

if TYPE_CHECKING:
    from engage.core.db import Context


@cache
def _pools() -> Prepared[Any]:
    return Prepared(
        select(
            Pool.position, Pool.name, Pool.audience, Pool.county_codes, Pool.capacity, Pool.taken, Pool.overflow_rank
        )
        .where(Pool.activity_id == bindparam("activity_id", type_=Uuid()))
        .order_by(Pool.position)
    )  # fmt: skip


def pools_of(look: Context, activity_id: UUID) -> list[dict[str, Any]]:
    """Return the pools of an activity in order."""
    rows = _pools().all(look.db, {"activity_id": activity_id})
    names = ("position", "name", "audience", "county_codes", "capacity", "taken", "overflow_rank")
    return [dict(zip(names, row, strict=True)) for row in rows]


def free_in_pools(look: Context, activity_id: UUID) -> list[dict[str, Any]]:
    """Return what a draw needs of the pools of an activity: their positions, what is free, and their order of overflow."""
    return [
        {
            "position": pool["position"],
            "capacity": pool["capacity"] - pool["taken"],
            "overflow_rank": pool["overflow_rank"],
        }
        for pool in pools_of(look, activity_id)
    ]
