"""Operations of orgs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from engage.core.errors import NotAllowed
from engage.core.http import Api, public
from engage.identity.caller import anyone, member
from engage.identity.errors import NoSuchPerson
from engage.orgs import queries, service
from engage.orgs.caller import staff
from engage.orgs.errors import (
    MemberElsewhere,
    NoSuchCluster,
    NoSuchOrg,
    NoSuchOrgKind,
    OrgBelowItself,
    OrgHasChildren,
    OrgNotActive,
    OrgTooDeep,
)
from engage.orgs.schemas import (
    ClusterDetailOut,
    ClusterPage,
    ClustersQuery,
    MembershipIn,
    MembershipOut,
    OrgChangeIn,
    OrgDetailOut,
    OrgIn,
    OrgKindsOut,
    OrgPage,
    OrgsQuery,
    RolesOut,
)

if TYPE_CHECKING:
    from uuid import UUID

    from engage.core.db import Look, Work
    from engage.core.paging import Page
    from engage.orgs.models import Membership

api: Final = Api("组织 · Organisations")
_ALWAYS_ASK: Final = "private, no-cache"


@api.operation(
    "GET", "/org-kinds", access=public, zh="组织类型", returns=OrgKindsOut, cache="public, max-age=3600"
)
def list_org_kinds(look: Look) -> dict[str, Any]:
    """List the kinds of organisations."""
    return {"items": queries.list_kinds(look)}


@api.operation(
    "GET",
    "/orgs",
    access=anyone,
    zh="逐级查看或搜索组织",
    query=OrgsQuery,
    returns=OrgPage,
    cache=_ALWAYS_ASK,
)
def list_orgs(look: Look, query: dict[str, Any]) -> Page:
    """List organisations: below a parent, of a kind, in a division, in a cluster, by name.

    Filters add up. Without any of them the roots of the tree are listed; `status` alone is not one.
    """
    return queries.list_orgs(look, query)


@api.operation(
    "GET", "/orgs/{org_id}", access=anyone, zh="查一个组织及其上级", returns=OrgDetailOut, refuses=[NoSuchOrg],
    cache=_ALWAYS_ASK,
)  # fmt: skip
def read_org(look: Look, org_id: UUID) -> dict[str, Any]:
    """Read an organisation with its path from the root and its clusters."""
    return queries.read_org(look, org_id)


@api.operation(
    "POST", "/orgs", access=staff, zh="新建组织", body=OrgIn, returns=OrgDetailOut, status=201,
    refuses=[NoSuchOrg, NotAllowed, OrgNotActive, NoSuchOrgKind, OrgTooDeep], idempotent=True,
    location="/orgs/{id}",
)  # fmt: skip
def create_org(work: Work, body: dict[str, Any]) -> dict[str, Any]:
    """Create an organisation below one that the caller manages."""
    return queries.read_org(work, service.create_org(work, body).id)


@api.operation(
    "PUT", "/orgs/{org_id}", access=staff, zh="修改、移动或撤并组织", body=OrgChangeIn, returns=OrgDetailOut,
    refuses=[
        NoSuchOrg, NotAllowed, OrgNotActive, OrgHasChildren, OrgBelowItself, OrgTooDeep, NoSuchOrgKind,
    ],
    if_match=True,
)  # fmt: skip
def change_org(work: Work, org_id: UUID, body: dict[str, Any], version: int | None) -> dict[str, Any]:
    """Change an organisation, move it below another, merge or dissolve it.

    Moving it takes a role on the old and on the new organisation above it.
    """
    return queries.read_org(work, service.change_org(work, org_id, body, version).id)


@api.operation(
    "PUT", "/orgs/{org_id}/members/{person_id}", access=staff, zh="登记组织关系（以智慧团建为准）", body=MembershipIn,
    returns=MembershipOut, refuses=[NoSuchOrg, NotAllowed, OrgNotActive, NoSuchPerson, MemberElsewhere],
)  # fmt: skip
def record_membership(work: Work, org_id: UUID, person_id: UUID, body: dict[str, Any]) -> Membership:
    """Record that an organisation holds a person's formal membership, as the official register says."""
    return service.record_membership(work, org_id, person_id, body)


@api.operation(
    "DELETE", "/orgs/{org_id}/members/{person_id}", access=staff, zh="撤销组织关系登记",
    refuses=[NoSuchOrg, NotAllowed],
)  # fmt: skip
def end_membership(work: Work, org_id: UUID, person_id: UUID) -> None:
    """Forget that an organisation holds a person's formal membership; may be repeated."""
    service.end_membership(work, org_id, person_id)


@api.operation(
    "GET", "/clusters", access=anyone, zh="片区与行业组合（大团建）", query=ClustersQuery, returns=ClusterPage,
    cache=_ALWAYS_ASK,
)  # fmt: skip
def list_clusters(look: Look, query: dict[str, Any]) -> Page:
    """List clusters: organisations that work together by area or trade, whatever their formal parents."""
    return queries.list_clusters(look, query)


@api.operation(
    "GET", "/clusters/{cluster_id}", access=anyone, zh="查一个片区或行业组合及其成员", returns=ClusterDetailOut,
    refuses=[NoSuchCluster], cache=_ALWAYS_ASK,
)  # fmt: skip
def read_cluster(look: Look, cluster_id: UUID) -> dict[str, Any]:
    """Read a cluster with its members."""
    return queries.read_cluster(look, cluster_id)


@api.operation("GET", "/me/roles", access=member, zh="我的角色", returns=RolesOut)
def list_my_roles(look: Look) -> dict[str, Any]:
    """List the roles that the caller holds now."""
    return {"items": queries.my_roles(look)}
