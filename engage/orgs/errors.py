"""Refusals about organisations."""

from __future__ import annotations

from engage.core.errors import Conflict, Invalid, NotFound


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
