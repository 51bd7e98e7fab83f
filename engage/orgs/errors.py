"""Refusals about organisations."""

from __future__ import annotations

from engage.core.errors import Conflict, NotFound


class NoSuchOrg(NotFound):
    code = "no_such_org"
    zh, en = "没有这个组织。", "There is no such organisation."


class NoSuchOrgKind(NotFound):
    code = "no_such_org_kind"
    zh, en = "没有这种组织类型。", "There is no such kind of organisation."


class OrgNotActive(Conflict):
    code = "org_not_active"
    zh, en = "该组织已撤并，不能再作此操作。", "This organisation is merged or dissolved."
