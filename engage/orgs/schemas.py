"""JSON shapes of organisations, clusters, membership and roles."""

from __future__ import annotations

from typing import Any, Final

from marshmallow import validates_schema

from engage.core.schemas import (
    Choice,
    Day,
    Flag,
    Id,
    In,
    Inner,
    Instant,
    Listed,
    Out,
    PageQuery,
    Query,
    Text,
    Whole,
    invalid,
    page_of,
)
from engage.orgs.access import Permission
from engage.orgs.models import MAX_LEVELS, ClusterKind, MembershipStatus, OrgStatus, Role
from engage.regions.schemas import DivisionCode

MAX_CLUSTERS: Final = 20
MAX_KINDS: Final = 200
MAX_LISTED_MEMBERS: Final = 100
MAX_ROLES: Final = 100
MAX_PERMISSIONS: Final = 40
_AN_ID: Final = "0199f0c2-b7a0-7c3f-9f5d-2f7a1c3e5b7d"
_ANOTHER_ID: Final = "0199f0c2-b7a0-7c3f-9f5d-2f7a1c3e5b11"
_KIND_CODE: Final = r"[a-z][a-z0-9_]*"


class OrgKindOut(Out):
    """A kind of organisation."""

    code = Text(40, required=True, metadata={"example": "work_committee"})
    name_zh = Text(40, required=True, metadata={"example": "团工委"})
    name_en = Text(80, required=True, metadata={"example": "Work committee"})


class OrgKindsOut(Out):
    """All kinds of organisations."""

    items = Listed(Inner(OrgKindOut), MAX_KINDS, required=True)


class OrgsQuery(PageQuery):
    parent_id = Id(load_default=None, metadata={"description": "上级组织 · the organisation above"})
    kind = Text(
        40,
        pattern=_KIND_CODE,
        load_default=None,
        metadata={"example": "committee", "description": "组织类型 · code of GET /org-kinds"},
    )
    division = DivisionCode(
        load_default=None,
        metadata={"example": "140524", "description": "行政区划及其下级 · a division and all below it"},
    )
    q = Text(
        40, load_default=None, metadata={"example": "陵川", "description": "名称中的文字 · part of the name"}
    )
    cluster_id = Id(load_default=None, metadata={"description": "片区或行业组合 · a cluster"})
    status = Choice(OrgStatus, load_default=OrgStatus.ACTIVE)


class OrgRefOut(Out):
    """An organisation by name."""

    id = Id(required=True, metadata={"example": _AN_ID})
    name = Text(80, required=True, metadata={"example": "共青团陵川县委员会"})


class OrgOut(OrgRefOut):
    """An organisation in a list."""

    kind = Text(40, required=True, metadata={"example": "committee"})
    kind_name = Text(40, required=True, metadata={"example": "团委"})
    parent_id = Id(required=True, allow_none=True, metadata={"example": _ANOTHER_ID})
    division_code = DivisionCode(required=True, allow_none=True)
    status = Choice(OrgStatus, required=True, metadata={"example": "active"})
    children_count = Whole(
        required=True,
        metadata={"example": 11, "description": "直属下级数（在用） · active ones directly below"},
    )


class ClusterRefOut(Out):
    """A cluster by name."""

    id = Id(required=True, metadata={"example": _AN_ID})
    name = Text(80, required=True, metadata={"example": "龙港镇“大团建”联合团委"})


class OrgDetailOut(OrgOut):
    """An organisation with where it stands: ``path`` runs from the root to the organisation itself."""

    kind_name_en = Text(80, required=True, metadata={"example": "League committee"})
    established_on = Day(required=True, allow_none=True, metadata={"example": "2021-05-04"})
    path = Listed(Inner(OrgRefOut), MAX_LEVELS, required=True)
    clusters = Listed(Inner(ClusterRefOut), MAX_CLUSTERS, required=True)
    version = Whole(1, required=True, metadata={"example": 1})


class OrgIn(In):
    """A new organisation below ``parent_id``."""

    name = Text(80, 2, required=True, metadata={"example": "陵川县崇文镇石字岭村团支部"})
    kind = Text(40, pattern=_KIND_CODE, required=True, metadata={"example": "branch"})
    parent_id = Id(required=True, metadata={"example": _AN_ID})
    division_code = DivisionCode(load_default=None, allow_none=True, metadata={"example": "140524100"})
    established_on = Day(load_default=None, allow_none=True, metadata={"example": "2021-05-04"})
    cluster_ids = Listed(Id(), MAX_CLUSTERS, unique=True, load_default=list, metadata={"example": []})


class OrgChangeIn(OrgIn):
    """The whole organisation as it shall be. ``parent_id`` is null for a root, and only for a root."""

    parent_id = Id(required=True, allow_none=True, metadata={"example": _AN_ID})
    status = Choice(OrgStatus, required=True, metadata={"example": "active"})


class ClustersQuery(PageQuery):
    kind = Choice(ClusterKind, load_default=None)
    division = DivisionCode(
        load_default=None,
        metadata={"example": "140521", "description": "行政区划及其下级 · a division and all below it"},
    )


class ClusterOut(ClusterRefOut):
    """Organisations that work together whatever their formal parents."""

    kind = Choice(ClusterKind, required=True, metadata={"example": "area"})
    division_code = DivisionCode(required=True, allow_none=True, metadata={"example": "140521100"})
    members_count = Whole(required=True, metadata={"example": 4})


class ClusterDetailOut(ClusterOut):
    """A cluster with its first members by name; ``GET /orgs?cluster_id=`` pages through all of them."""

    members = Listed(Inner(OrgRefOut), MAX_LISTED_MEMBERS, required=True)


class MembershipIn(In):
    """What the official register (智慧团建) says about a person's membership here."""

    status = Choice(MembershipStatus, required=True, metadata={"example": "member"})
    external_ref = Text(
        64,
        load_default=None,
        allow_none=True,
        metadata={
            "example": "TY-0356-00018",
            "description": "在官方系统中的编号 · its number in the official register",
        },
    )


class MembershipOut(Out):
    """Who holds a person's formal membership, as mirrored here."""

    person_id = Id(required=True, metadata={"example": _ANOTHER_ID})
    org_id = Id(required=True, metadata={"example": _AN_ID})
    status = Choice(MembershipStatus, required=True, metadata={"example": "member"})
    external_ref = Text(64, required=True, allow_none=True, metadata={"example": "TY-0356-00018"})
    recorded_at = Instant(required=True, metadata={"example": "2026-10-01T10:00:00+08:00"})


class HubRefOut(Out):
    """A hub by name."""

    id = Id(required=True, metadata={"example": _ANOTHER_ID})
    name = Text(80, required=True, metadata={"example": "陵川县崇文镇青年之家"})


class RoleOut(Out):
    """A role that the caller holds now, on an organisation and all below it, or on one hub."""

    role = Choice(Role, required=True, metadata={"example": "officer"})
    org = Inner(OrgRefOut, required=True, allow_none=True)
    hub = Inner(HubRefOut, required=True, allow_none=True, metadata={"example": None})
    starts_at = Instant(required=True, metadata={"example": "2026-09-01T00:00:00+08:00"})
    ends_at = Instant(required=True, allow_none=True, metadata={"example": None})


class RolesOut(Out):
    """The caller's roles."""

    items = Listed(Inner(RoleOut), MAX_ROLES, required=True)


class PersonRefOut(Out):
    """Somebody by name; null while they have not given one, and where the reader has not met them."""

    id = Id(required=True, metadata={"example": _ANOTHER_ID})
    name = Text(40, required=True, allow_none=True, metadata={"example": "王磊"})


class RoleGrantsQuery(PageQuery):
    org_id = Id(
        load_default=None,
        metadata={"description": "组织及其下级、其站点 · an organisation, all below it and their hubs"},
    )
    hub_id = Id(load_default=None, metadata={"description": "站点 · a hub"})
    role = Choice(Role, load_default=None)
    ends_within_days = Whole(
        1,
        366,
        load_default=None,
        metadata={"example": 30, "description": "几天内到期 · only those that end within so many days"},
    )


class RoleGrantOut(RoleOut):
    """A role that somebody holds, will hold or held; ``ended_at`` is set when it was ended early."""

    id = Id(required=True, metadata={"example": _AN_ID})
    person = Inner(
        PersonRefOut,
        required=True,
        metadata={
            "description": "本人接受邀请或由运维人员授予的，才有姓名 · the name only where they accepted an invitation, or whoever runs the service gave the role"
        },
    )
    granted_by = Inner(
        PersonRefOut,
        required=True,
        allow_none=True,
        metadata={"description": "null：由运维人员授予 · given by whoever runs the service"},
    )
    reason = Text(200, required=True, metadata={"example": "团市委2026年12号文"})
    ended_at = Instant(required=True, allow_none=True, metadata={"example": None})
    end_reason = Text(200, required=True, allow_none=True, metadata={"example": None})


class _RolePlaceIn(In):
    role = Choice(Role, required=True, metadata={"example": "officer"})
    org_id = Id(load_default=None, allow_none=True, metadata={"example": _AN_ID})
    hub_id = Id(
        load_default=None,
        allow_none=True,
        metadata={
            "example": None,
            "description": "仅限 hub_manager，此时不填 org_id · only for hub_manager, instead of org_id",
        },
    )
    ends_at = Instant(
        load_default=None,
        allow_none=True,
        metadata={
            "example": "2027-12-31T23:59:59+08:00",
            "description": "null：长期；授予人自己的授权有期限时，不得为空，也不得更晚 · null: no end; neither null nor later where the giver's own grant ends",
        },
    )
    reason = Text(200, 1, required=True, metadata={"example": "团市委2026年12号文"})


class RoleGrantIn(_RolePlaceIn):
    """A role for somebody, on an organisation and all below it or on one hub."""

    person_id = Id(required=True, metadata={"example": _ANOTHER_ID})
    starts_at = Instant(
        load_default=None,
        allow_none=True,
        metadata={"example": None, "description": "null：立即生效 · null: from now on"},
    )


class RoleEndIn(In):
    """Why a role ends before its time."""

    reason = Text(200, 1, required=True, metadata={"example": "工作调动"})


class RoleInvitationIn(_RolePlaceIn):
    """A role for whoever opens the link."""

    days = Whole(
        1,
        30,
        load_default=7,
        metadata={"example": 7, "description": "链接有效天数 · days that the link is good for"},
    )


class RoleInvitationOut(Out):
    """An invitation to a role that nobody has accepted yet."""

    id = Id(required=True, metadata={"example": _AN_ID})
    role = Choice(Role, required=True, metadata={"example": "officer"})
    org = Inner(OrgRefOut, required=True, allow_none=True)
    hub = Inner(HubRefOut, required=True, allow_none=True, metadata={"example": None})
    ends_at = Instant(required=True, allow_none=True, metadata={"example": None})
    reason = Text(200, required=True, metadata={"example": "团市委2026年12号文"})
    invited_by = Inner(PersonRefOut, required=True)
    created_at = Instant(required=True, metadata={"example": "2026-10-01T10:00:00+08:00"})
    expires_at = Instant(required=True, metadata={"example": "2026-10-08T10:00:00+08:00"})


class NewRoleInvitationOut(RoleInvitationOut):
    """A new invitation with its secret, which is shown this once."""

    token = Text(64, required=True, metadata={"example": "pZ3vX0cT9mYk1qLrW7sB5dNfHgJaUeOi2C4E6G8I0Ko"})
    path = Text(
        200,
        required=True,
        metadata={
            "example": "/pages/role-invitation/index?token=pZ3vX0cT9mYk1qLrW7sB5dNfHgJaUeOi2C4E6G8I0Ko",
            "description": "小程序页面路径 · page of the mini program",
        },
    )


class AcceptanceIn(In):
    """The token of an invitation."""

    token = Text(64, 20, required=True, metadata={"example": "pZ3vX0cT9mYk1qLrW7sB5dNfHgJaUeOi2C4E6G8I0Ko"})


class PermissionsQuery(Query):
    """At most one of these."""

    org_id = Id(load_default=None, metadata={"description": "只问这个组织 · about one organisation"})
    hub_id = Id(load_default=None, metadata={"description": "只问这个站点 · about one hub"})
    activity_id = Id(load_default=None, metadata={"description": "只问这个活动 · about one activity"})

    @validates_schema
    def _at_most_one(self, data: dict[str, Any], **_: Any) -> None:
        given = [name for name, value in data.items() if value is not None]
        if len(given) > 1:
            raise invalid("not_together", given[1], other=given[0])


class PermissionOut(Out):
    """A permission and where the caller has it: on nodes with all below them, on hubs, or on the whole installation."""

    permission = Choice(Permission, required=True, metadata={"example": "manage_activity"})
    org_ids = Listed(Id(), MAX_ROLES, required=True, metadata={"example": [_AN_ID]})
    hub_ids = Listed(Id(), MAX_ROLES, required=True, metadata={"example": []})
    everywhere = Flag(required=True, metadata={"example": False})


class PermissionsOut(Out):
    """What the caller may do; about one object only the names, for there they mean that object."""

    items = Listed(Inner(PermissionOut), MAX_PERMISSIONS, required=True)


RoleGrantPage = page_of(RoleGrantOut, "RoleGrantPage")
RoleInvitationPage = page_of(RoleInvitationOut, "RoleInvitationPage")
OrgPage = page_of(OrgOut, "OrgPage")
ClusterPage = page_of(ClusterOut, "ClusterPage")
