"""JSON shapes of organisations, clusters, membership and roles."""

from __future__ import annotations

from typing import Final

from engage.core.schemas import (
    Choice,
    Day,
    Id,
    In,
    Inner,
    Instant,
    Listed,
    Out,
    PageQuery,
    Text,
    Whole,
    page_of,
)
from engage.orgs.models import MAX_LEVELS, ClusterKind, MembershipStatus, OrgStatus, Role
from engage.regions.schemas import DivisionCode

MAX_CLUSTERS: Final = 20
MAX_KINDS: Final = 200
MAX_LISTED_MEMBERS: Final = 100
MAX_ROLES: Final = 100
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


OrgPage = page_of(OrgOut, "OrgPage")
ClusterPage = page_of(ClusterOut, "ClusterPage")
