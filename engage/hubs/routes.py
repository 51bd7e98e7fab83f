"""Operations of hubs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from engage.core.errors import NotAllowed
from engage.core.http import Api, public
from engage.core.replies import NO_STORE
from engage.hubs import queries, service
from engage.hubs.errors import NoSuchHub
from engage.hubs.schemas import HubDetailOut, HubEditIn, HubIn, HubKindsOut, HubPage, HubsQuery
from engage.identity.caller import guest
from engage.orgs.caller import staff
from engage.orgs.errors import NoSuchOrg, OrgNotActive

if TYPE_CHECKING:
    from uuid import UUID

    from engage.core.db import Look, Work
    from engage.core.paging import Page

api: Final = Api("站点 · Hubs")


@api.operation(
    "GET", "/hub-kinds", access=public, zh="站点类型", returns=HubKindsOut, cache="public, max-age=3600"
)
def list_hub_kinds(look: Look) -> dict[str, Any]:
    """List the kinds of hubs."""
    return {"items": queries.list_hub_kinds(look)}


@api.operation("GET", "/hubs", access=guest, zh="查找站点", query=HubsQuery, returns=HubPage, cache=NO_STORE)
def list_hubs(look: Look, query: dict[str, Any]) -> Page:
    """Find hubs near me, by county, kind or text.

    按距离（给出 near）或按县和名称排序；只列在用的站点，站点负责人还能看到自己的停用站点。

    Sorted by distance when `near` is given, else by county and name. Only hubs in use, and for their managers
    those that are not.
    """
    return queries.list_hubs(look, query)


@api.operation(
    "GET", "/hubs/{hub_id}", access=guest, zh="查看一个站点", returns=HubDetailOut, refuses=[NoSuchHub],
    cache=NO_STORE,
)  # fmt: skip
def read_hub(look: Look, hub_id: UUID) -> dict[str, Any]:
    """Read a hub with its opening hours, services and contact."""
    return queries.read_hub(look, hub_id)


@api.operation(
    "POST", "/hubs", access=staff, zh="新建站点", body=HubIn, returns=HubDetailOut, status=201,
    refuses=[NoSuchOrg, OrgNotActive, NotAllowed], idempotent=True, location="/hubs/{id}",
)  # fmt: skip
def create_hub(work: Work, body: dict[str, Any]) -> dict[str, Any]:
    """Create a hub of an organisation."""
    return service.create_hub(work, body)


@api.operation(
    "PUT", "/hubs/{hub_id}", access=staff, zh="修改站点", body=HubEditIn, returns=HubDetailOut,
    refuses=[NoSuchHub, NoSuchOrg, OrgNotActive, NotAllowed], if_match=True,
)  # fmt: skip
def edit_hub(work: Work, hub_id: UUID, body: dict[str, Any], version: int | None) -> dict[str, Any]:
    """Replace what is said about a hub.

    站点负责人可以修改站点，但不能把它转给另一个组织；转组织须同时管理两个组织。

    A hub's manager may edit it but not move it to another organisation; that takes an officer of both.
    """
    return service.edit_hub(work, hub_id, body, version)
