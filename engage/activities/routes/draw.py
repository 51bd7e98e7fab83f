"""Operations of draws."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from engage.activities.errors import (
    ActivityOver,
    AlreadyDrawn,
    DrawTooEarly,
    NoDraw,
    NoSuchActivity,
    SeedLost,
    SeedNotRevealed,
    WrongActivityState,
)
from engage.activities.queries import draw as queries
from engage.activities.schemas.draw import DrawIn, DrawOut, DrawSeedOut, DrawSummaryOut
from engage.activities.service import lottery as service
from engage.core.errors import NotAllowed
from engage.core.http import Api, public
from engage.orgs.caller import staff

if TYPE_CHECKING:
    from uuid import UUID

    from engage.core.db import Look, Work

api: Final = Api("抽签 · Draws")
_SHORT: Final = "private, no-cache"


@api.operation(
    "GET", "/activities/{activity_id}/draw", access=public, zh="抽签：承诺、名单与结果", returns=DrawOut,
    refuses=[NoSuchActivity, NoDraw], cache=_SHORT,
)  # fmt: skip
def read_draw(look: Look, activity_id: UUID) -> dict[str, Any]:
    """Read a draw: the commitment, from the closing on the entries, after the draw the seed and the order.

    任何人都可以据此重新计算并核对结果，方法与脚本见 docs/draw.md；不含个人信息。
    Anyone can recompute the result from it, with the formula and the script of docs/draw.md; it holds no personal data.
    """
    return service.show(look, activity_id)


@api.operation(
    "GET", "/activities/{activity_id}/draw/seed", access=public, zh="抽签种子", returns=DrawSeedOut,
    refuses=[NoSuchActivity, NoDraw, SeedNotRevealed], cache=_SHORT,
)  # fmt: skip
def read_draw_seed(look: Look, activity_id: UUID) -> dict[str, Any]:
    """Read the seed of a draw that has been held."""
    return queries.read_seed(look, activity_id)


@api.operation(
    "POST", "/activities/{activity_id}/draw", access=staff, zh="抽签", body=DrawIn, returns=DrawSummaryOut, idempotent=True,
    refuses=[NoSuchActivity, NotAllowed, NoDraw, AlreadyDrawn, WrongActivityState, ActivityOver, DrawTooEarly, SeedLost],
)  # fmt: skip
def hold_draw(work: Work, activity_id: UUID, body: dict[str, Any]) -> dict[str, Any]:
    """Draw, with the public number where one was named beforehand.

    没有约定公开号码的抽签到时自动进行。每个活动只抽一次，不能重抽。
    Without a public number the draw is held by itself when its time comes. It is held once.
    """
    return service.hold_draw(work, activity_id, body["public_value"])
