"""Operations of orgs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from engage.core.audit import listed
from engage.core.errors import NotAllowed
from engage.core.http import Api, public
from engage.core.lockout import By, Gate
from engage.core.replies import NO_STORE
from engage.core.schemas import PageQuery
from engage.identity.caller import member
from engage.identity.errors import AccountClosed, AccountSuspended, NoSuchPerson
from engage.orgs import service
from engage.orgs.caller import staff, staff_in_person, staff_privileged
from engage.orgs.errors import (
    DutiesNotSeparate,
    GrantEnded,
    GrantEndsEarly,
    GrantStartsInPast,
    InvitationExpired,
    InvitationUsed,
    InvitationWithdrawn,
    InviterLostRole,
    LastAdministrator,
    MemberElsewhere,
    NoSuchCluster,
    NoSuchGrantPlace,
    NoSuchInvitation,
    NoSuchObject,
    NoSuchOrg,
    NoSuchOrgKind,
    NoSuchRoleGrant,
    OrgBelowItself,
    OrgHasChildren,
    OrgNotActive,
    OrgTooDeep,
    OwnGrant,
    OwnInvitation,
    RoleAlreadyHeld,
    RoleNotHere,
)
from engage.orgs.queries import grants, permissions, tree
from engage.orgs.schemas import (
    AcceptanceIn,
    ClusterDetailOut,
    ClusterPage,
    ClustersQuery,
    MembershipIn,
    MembershipOut,
    NewRoleInvitationOut,
    OrgChangeIn,
    OrgDetailOut,
    OrgIn,
    OrgKindsOut,
    OrgPage,
    OrgsQuery,
    PermissionsOut,
    PermissionsQuery,
    RoleEndIn,
    RoleGrantIn,
    RoleGrantOut,
    RoleGrantPage,
    RoleGrantsQuery,
    RoleInvitationIn,
    RoleInvitationPage,
    RolesOut,
)

if TYPE_CHECKING:
    from uuid import UUID

    from engage.core.db import Look, Work
    from engage.core.paging import Page
    from engage.orgs.models import Membership

api: Final = Api("组织 · Organisations")
roles_api: Final = Api("角色与权限 · Roles and permissions")
apis: Final = (api, roles_api)
_INVITATION: Final = Gate("invitation", By.PERSON, (NoSuchInvitation,))
_ALWAYS_ASK: Final = "private, no-cache"


@api.operation(
    "GET", "/org-kinds", access=public, zh="组织类型", returns=OrgKindsOut, cache="public, max-age=3600"
)
def list_org_kinds(look: Look) -> dict[str, Any]:
    """List the kinds of organisations."""
    return {"items": tree.list_kinds(look)}


@api.operation(
    "GET",
    "/orgs",
    access=public,
    zh="逐级查看或搜索组织",
    query=OrgsQuery,
    returns=OrgPage,
    cache=_ALWAYS_ASK,
)
def list_orgs(look: Look, query: dict[str, Any]) -> Page:
    """List organisations: below a parent, of a kind, in a division, in a cluster, by name.

    Filters add up. Without any of them the roots of the tree are listed; `status` alone is not one.
    """
    return tree.list_orgs(look, query)


@api.operation(
    "GET", "/orgs/{org_id}", access=public, zh="查一个组织及其上级", returns=OrgDetailOut, refuses=[NoSuchOrg],
    cache=_ALWAYS_ASK,
)  # fmt: skip
def read_org(look: Look, org_id: UUID) -> dict[str, Any]:
    """Read an organisation with its path from the root and its clusters."""
    return tree.read_org(look, org_id)


@api.operation(
    "POST", "/orgs", access=staff, zh="新建组织", body=OrgIn, returns=OrgDetailOut, status=201,
    refuses=[NoSuchOrg, NotAllowed, OrgNotActive, NoSuchOrgKind, OrgTooDeep], idempotent=True,
    location="/orgs/{id}",
)  # fmt: skip
def create_org(work: Work, body: dict[str, Any]) -> dict[str, Any]:
    """Create an organisation below one that the caller manages.

    A division lies within those of the organisations above, and is given by whoever manages the nearest of them that has one.
    """
    return tree.read_org(work, service.create_org(work, body).id)


@api.operation(
    "PUT", "/orgs/{org_id}", access=staff, zh="修改、移动或撤并组织", body=OrgChangeIn, returns=OrgDetailOut,
    refuses=[
        NoSuchOrg, NotAllowed, OrgNotActive, OrgHasChildren, OrgBelowItself, OrgTooDeep, NoSuchOrgKind,
    ],
    if_match=True,
)  # fmt: skip
def change_org(work: Work, org_id: UUID, body: dict[str, Any], version: int | None) -> dict[str, Any]:
    """Change an organisation, move it below another, merge or dissolve it.

    Moving it takes a role on the old and on the new organisation above it. Giving it another division takes one on the nearest organisation
    above that has a division; the new one lies within those above and contains those below.
    """
    return tree.read_org(work, service.change_org(work, org_id, body, version).id)


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
    "GET", "/clusters", access=public, zh="片区与行业组合（大团建）", query=ClustersQuery, returns=ClusterPage,
    cache=_ALWAYS_ASK,
)  # fmt: skip
def list_clusters(look: Look, query: dict[str, Any]) -> Page:
    """List clusters: organisations that work together by area or trade, whatever their formal parents."""
    return tree.list_clusters(look, query)


@api.operation(
    "GET", "/clusters/{cluster_id}", access=public, zh="查一个片区或行业组合及其成员", returns=ClusterDetailOut,
    refuses=[NoSuchCluster], cache=_ALWAYS_ASK,
)  # fmt: skip
def read_cluster(look: Look, cluster_id: UUID) -> dict[str, Any]:
    """Read a cluster with its members."""
    return tree.read_cluster(look, cluster_id)


@roles_api.operation("GET", "/me/roles", access=member, zh="我的角色", returns=RolesOut)
def list_my_roles(look: Look) -> dict[str, Any]:
    """List the roles that the caller holds now."""
    return {"items": grants.my_roles(look)}


@roles_api.operation(
    "GET", "/me/permissions", access=member, zh="我的权限", query=PermissionsQuery, returns=PermissionsOut,
    refuses=[NoSuchObject], cache=NO_STORE,
)  # fmt: skip
def list_my_permissions(look: Look, query: dict[str, Any]) -> dict[str, Any]:
    """List what the caller may do and where, or what they may do with one object.

    客户端据此只显示可用的按钮；每次操作仍会重新检查。给出 `activity_id` 等时，列出的即是对该对象可用的权限。
    For a client that shows only the buttons that work; each use is checked anew. With an `activity_id` or another, what is listed is
    what the caller may do with that object.
    """
    given = [(name.removesuffix("_id"), value) for name, value in query.items() if value is not None]
    for kind, object_id in given:
        return {"items": permissions.permissions_on(look, kind, object_id)}
    return {"items": permissions.my_permissions(look)}


@roles_api.operation(
    "GET", "/role-grants", access=staff_in_person, zh="谁在哪里担任什么角色", query=RoleGrantsQuery, returns=RoleGrantPage,
    people=listed(),
)  # fmt: skip
def list_role_grants(look: Look, query: dict[str, Any]) -> Page:
    """List grants in force or to come, where the caller gives roles.

    给出 `ends_within_days` 时只列即将到期的，按到期时间排列。
    With `ends_within_days` only those that end soon, by their end.
    """
    return grants.list_grants(look, query)


@roles_api.operation(
    "GET", "/role-grants/{grant_id}", access=member, zh="一项授权", returns=RoleGrantOut,
    refuses=[NoSuchRoleGrant], tells=[NoSuchRoleGrant],
    people=lambda actor, grant: int(grant["person"]["id"] != actor.id),
)  # fmt: skip
def read_role_grant(look: Look, grant_id: UUID) -> dict[str, Any]:
    """Read a grant of mine, or one where I give roles, also when it has ended."""
    return grants.read_grant(look, grant_id)


@roles_api.operation(
    "POST", "/role-grants", access=staff_privileged, zh="授予角色", body=RoleGrantIn, returns=RoleGrantOut, status=201,
    refuses=[
        NotAllowed, OwnGrant, RoleNotHere, GrantStartsInPast, GrantEndsEarly, NoSuchPerson, AccountSuspended, AccountClosed,
        NoSuchGrantPlace, OrgNotActive, RoleAlreadyHeld, DutiesNotSeparate,
    ],
    idempotent=True, location="/role-grants/{id}",
)  # fmt: skip
def give_role(work: Work, body: dict[str, Any]) -> dict[str, Any]:
    """Give somebody else a role at or below a node where the caller gives it.

    团干部可授予本级及下级的团干部、统计员、支部书记、站点管理员、团代表、督查员；平台管理员可授予全部角色。任何人不能给自己授权，
    也不能授予比自己的授权更长的期限。延长任期：再授予一次，`starts_at` 取原授权的 `ends_at`。

    Officers give the roles of officer, analyst, branch secretary, hub manager, delegate and inspector at their node and below, platform
    administrators all roles. Nobody gives one to themselves, or for longer than they hold what lets them give it. To extend a term, give it
    again with `starts_at` at the end of the first.
    """
    return grants.read_grant(work, service.give(work, body))


@roles_api.operation(
    "POST", "/role-grants/{grant_id}/end", access=staff_privileged, zh="提前结束授权", body=RoleEndIn, returns=RoleGrantOut,
    refuses=[NoSuchRoleGrant, NotAllowed, GrantEnded, LastAdministrator],
)  # fmt: skip
def end_role(work: Work, grant_id: UUID, body: dict[str, Any]) -> dict[str, Any]:
    """End a grant now, also for tokens already issued; one's own may be laid down.

    结束平台管理员的授权，须另有一位账号可用、已经上任、任期不短于它的平台管理员管着同一组织。
    An administrator's is ended only while another, whose account may be used and whose term has begun and lasts as long, reaches the node.
    """
    return grants.read_grant(work, service.end_grant(work, grant_id, body["reason"]))


@roles_api.operation(
    "POST", "/role-invitations", access=staff_privileged, zh="邀请担任角色", body=RoleInvitationIn, returns=NewRoleInvitationOut, status=201,
    refuses=[NotAllowed, RoleNotHere, GrantEndsEarly, NoSuchGrantPlace, OrgNotActive],
)  # fmt: skip
def invite_to_role(work: Work, body: dict[str, Any]) -> dict[str, Any]:
    """Make a one-time link by which whoever opens it and logs in gets a role.

    `token` 只显示这一次，服务器只保存其哈希。`token` is shown this once; only its hash is kept.
    """
    return service.invite(work, body)


@roles_api.operation(
    "GET", "/role-invitations", access=staff_in_person, zh="待接受的邀请", query=PageQuery, returns=RoleInvitationPage,
    people=listed(),
)  # fmt: skip
def list_role_invitations(look: Look, query: dict[str, Any]) -> Page:
    """List open invitations where the caller gives roles, the oldest first."""
    return grants.list_invitations(look, query)


@roles_api.operation(
    "POST", "/role-invitations/{invitation_id}/withdrawal", access=staff, zh="撤回邀请",
    refuses=[NoSuchInvitation, NotAllowed, InvitationUsed, InvitationExpired],
)  # fmt: skip
def withdraw_role_invitation(work: Work, invitation_id: UUID) -> None:
    """Make an open invitation void; may be repeated."""
    service.withdraw_invitation(work, invitation_id)


@roles_api.operation(
    "POST", "/role-invitations/acceptance", access=member, zh="接受邀请", body=AcceptanceIn, returns=RoleGrantOut,
    refuses=[
        NoSuchInvitation, InvitationUsed, InvitationWithdrawn, InvitationExpired, OwnInvitation, InviterLostRole, OrgNotActive,
        RoleAlreadyHeld, GrantEndsEarly, DutiesNotSeparate,
    ],
    audited=True, gate=_INVITATION,
)  # fmt: skip
def accept_role_invitation(work: Work, body: dict[str, Any]) -> dict[str, Any]:
    """Accept an invitation: the role is the caller's from now on."""
    return grants.read_grant(work, service.accept_invitation(work, body["token"]))
