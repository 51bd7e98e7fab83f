"""Refusals about organisations."""

from __future__ import annotations

from engage.core.errors import Conflict, Forbidden, Invalid, NotFound


class NoSuchOrg(NotFound):
    code = "no_such_org"
    zh, en = "没有这个组织。", "There is no such organisation."


class NoSuchOrgKind(NotFound):
    code = "no_such_org_kind"
    zh, en = "没有这种组织类型。", "There is no such kind of organisation."


class OrgNotActive(Conflict):
    code = "org_not_active"
    zh, en = "该组织已撤并，不能再作此操作。", "This organisation is merged or dissolved."


class NoSuchCluster(NotFound):
    code = "no_such_cluster"
    zh, en = "没有这个片区或行业组合。", "There is no such cluster."


class OrgBelowItself(Conflict):
    code = "org_below_itself"
    zh, en = (
        "上级组织不能是它自己或它的下级。",
        "An organisation cannot be placed below itself or one of its own.",
    )


class OrgHasChildren(Conflict):
    code = "org_has_children"
    zh, en = (
        "还有 {count} 个在用的下级组织，请先调整它们。",
        "It still has {count} active organisations below it; move or close those first.",
    )


class MemberElsewhere(Conflict):
    code = "member_elsewhere"
    zh, en = (
        "此人的组织关系在另一个组织，您不能改动。",
        "Another organisation that you do not manage holds this person's membership.",
    )


class NoSuchGrantPlace(NotFound):
    code = "no_such_grant_place"
    zh, en = "没有要授权的这个组织或站点。", "There is no such organisation or hub to grant a role on."


class RoleNotHere(Invalid):
    code = "role_not_here"
    zh, en = (
        "站点管理员只能授予一个站点，其他角色只能授予一个组织。",
        "A hub manager's role is for one hub, every other role for one organisation.",
    )


class GrantEndsEarly(Invalid):
    code = "grant_ends_early"
    zh, en = "授权的结束时间必须晚于现在。", "A grant must end after now."


class RoleAlreadyHeld(Conflict):
    code = "role_already_held"
    zh, en = "此人已在此处担任该角色。", "This person already holds this role here."


class OrgTooDeep(Conflict):
    code = "org_too_deep"
    zh, en = "组织层级过深：最多 {max} 级。", "The tree would be too deep: at most {max} levels."


class GrantStartsInPast(Invalid):
    code = "grant_starts_in_past"
    zh, en = "授权不能从过去开始。", "A grant cannot begin in the past."


class OwnGrant(Forbidden):
    code = "own_grant"
    zh, en = "不能给自己授权。", "You cannot give a role to yourself."


class DutiesNotSeparate(Conflict):
    code = "duties_not_separate"
    zh, en = (
        "审计员不能同时担任其他角色，请先结束原有授权。",
        "An auditor holds no other role; end the other grant first.",
    )


class LastAdministrator(Conflict):
    code = "last_administrator"
    zh, en = (
        "此处没有任期同样长的另一位平台管理员，请先授权一位。",
        "Nobody else administers this node for as long; make somebody else its administrator first.",
    )


class NoSuchRoleGrant(NotFound):
    code = "no_such_role_grant"
    zh, en = "没有这项授权。", "There is no such grant."


class GrantEnded(Conflict):
    code = "grant_ended"
    zh, en = "该授权已经结束。", "This grant has ended already."


class NoSuchObject(NotFound):
    code = "no_such_object"
    zh, en = "没有这个对象，或您看不到它。", "There is no such object that you may see."


class NoSuchInvitation(NotFound):
    code = "no_such_invitation"
    zh, en = (
        "没有这份邀请，请核对链接是否完整。",
        "There is no such invitation; check that the link is whole.",
    )


class InvitationUsed(Conflict):
    code = "invitation_used"
    zh, en = "这份邀请已被接受，不能再次使用。", "This invitation has been accepted already."


class InvitationExpired(Conflict):
    code = "invitation_expired"
    zh, en = "这份邀请已过期，请联系邀请人重新发出。", "This invitation has expired; ask for a new one."


class InvitationWithdrawn(Conflict):
    code = "invitation_withdrawn"
    zh, en = "这份邀请已被撤回。", "This invitation has been withdrawn."


class OwnInvitation(Forbidden):
    code = "own_invitation"
    zh, en = "不能接受自己发出的邀请。", "You cannot accept an invitation of your own."


class InviterLostRole(Conflict):
    code = "inviter_lost_role"
    zh, en = (
        "邀请人已不能授予该角色，或不能授予这么久，邀请失效。",
        "Whoever invited you may no longer give this role, or not for so long; the invitation is void.",
    )
