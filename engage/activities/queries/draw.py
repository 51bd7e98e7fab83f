"""Reads of draws."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from sqlalchemy import select

from engage.activities.access import is_public
from engage.activities.errors import NoDraw, NoSuchActivity, SeedNotRevealed
from engage.activities.models import Activity, AdmissionMode, DrawState, LotteryDraw
from engage.activities.queries.pools import free_in_pools

if TYPE_CHECKING:
    from engage.core.db import Context

_TERMS: Final = (
    LotteryDraw.draws_at, LotteryDraw.public_source, LotteryDraw.first_time_weight, LotteryDraw.closed_at, LotteryDraw.drawn_at,
)  # fmt: skip
_EVIDENCE: Final = (
    *_TERMS, LotteryDraw.algorithm, LotteryDraw.commitment, LotteryDraw.public_value, LotteryDraw.seed, LotteryDraw.entries, LotteryDraw.entries_digest,
    LotteryDraw.places, LotteryDraw.withdrawn,
)  # fmt: skip


def lottery_of(look: Context, activity_id: UUID, mode: AdmissionMode) -> dict[str, Any] | None:
    """Return the terms of an activity's draw, None where there is none. One statement at most."""
    if mode is not AdmissionMode.LOTTERY:
        return None
    row = look.db.execute(select(*_TERMS).where(LotteryDraw.activity_id == activity_id)).one_or_none()
    return None if row is None else _with_state(row)


def _with_state(row: Any) -> dict[str, Any]:
    values = dict(row._mapping)  # noqa: SLF001 - the public name of a row's mapping
    if values["drawn_at"] is not None:
        return {**values, "state": DrawState.DRAWN}
    return {**values, "state": DrawState.COMMITTED if values["closed_at"] is None else DrawState.CLOSED}


def read_evidence(look: Context, activity_id: UUID) -> dict[str, Any]:
    """Return what is public of the draw of a public activity; ``entries`` as their text. At most two statements.

    Raises:
        NoSuchActivity: there is none that is published.
        NoDraw: its places are not drawn by lot.

    """
    row = _public(look, activity_id, *_EVIDENCE, Activity.capacity, Activity.pools_merged)
    evidence = _with_state(row)
    if evidence["places"] is None:
        pools = [] if row.pools_merged else free_in_pools(look, activity_id)
        evidence["places"] = {"capacity": row.capacity, "pools": pools}
    return evidence


def read_seed(look: Context, activity_id: UUID) -> dict[str, Any]:
    """Return the seed of a draw that has been held.

    Raises:
        NoSuchActivity: there is none that is published.
        NoDraw: its places are not drawn by lot.
        SeedNotRevealed: it has not been drawn.

    """
    row = _public(look, activity_id, LotteryDraw.commitment, LotteryDraw.seed)
    if row.seed is None:
        raise SeedNotRevealed
    return {"seed": row.seed}


def _public(look: Context, activity_id: UUID, *columns: Any) -> Any:
    """Return columns of the draw of a public activity, ``commitment`` among them."""
    row = look.db.execute(
        select(*columns)
        .select_from(Activity)
        .outerjoin(LotteryDraw, LotteryDraw.activity_id == Activity.id)
        .where(Activity.id == activity_id, is_public())
    ).one_or_none()
    if row is None:
        raise NoSuchActivity
    if row.commitment is None:
        raise NoDraw
    return row
