"""Operations of home."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from engage.core.http import Api
from engage.core.replies import NO_STORE
from engage.home import queries
from engage.home.schemas import HomeOut, HomeQuery
from engage.identity.caller import guest

if TYPE_CHECKING:
    from engage.core.db import Look

api: Final = Api("首页 · Home")


@api.operation(
    "GET", "/home", access=guest, zh="首页所需的一切", query=HomeQuery, returns=HomeOut, cache=NO_STORE
)  # fmt: skip
def read_home(look: Look, query: dict[str, Any]) -> dict[str, Any]:
    """Read all of the first screen at once.

    我的近期活动与候补位次、可报名的活动、附近站点、我的驻外团组织和未读消息数。给出 near 时活动按距离（50 公里内，没有则按开始时间），
    站点取 10 公里内；不给则活动按开始时间，不返回站点。未登录也可使用，个人部分为空。

    My next activities and turns in queues, activities open for sign-up, hubs near me, my enclave branch, unread
    messages. With `near` activities come by distance (within 50 km, else by start) and hubs within 10 km; without it
    activities come by start and there are no hubs. Works without log-in, with the personal parts empty.
    """
    return queries.read_home(look, query["near"])
