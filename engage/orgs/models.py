"""The organisation tree, its clusters, who holds which role where, and formal membership."""

from __future__ import annotations

from datetime import date, datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, LargeBinary, String
from sqlalchemy.orm import Mapped, mapped_column

from engage.core.columns import enum_column
from engage.core.db import Base, Entity, Versioned

# Enclave branches stand in another city: their division says where, not what they answer for.
ENCLAVE_KIND = "enclave_branch"
MAX_LEVELS = 30  # far beyond any real tree; keeps paths, and the answers that carry them, short


class OrgStatus(StrEnum):
    ACTIVE = "active"
    MERGED = "merged"
    DISSOLVED = "dissolved"


class ClusterKind(StrEnum):
    """How organisations are regrouped beside the formal tree (domain: 大团建, 片区)."""

    AREA = "area"
    TRADE = "trade"


class Role(StrEnum):
    PLATFORM_ADMIN = "platform_admin"
    OFFICER = "officer"
    ANALYST = "analyst"
    BRANCH_SECRETARY = "branch_secretary"
    HUB_MANAGER = "hub_manager"
    DELEGATE = "delegate"
    INSPECTOR = "inspector"
    AUDITOR = "auditor"


class MembershipStatus(StrEnum):
    MEMBER = "member"
    AGED_OUT = "aged_out"


class OrgKind(Base):
    """A kind of organisation: data, so that a new kind needs no release."""

    __tablename__ = "org_kind"
    code: Mapped[str] = mapped_column(String(40), primary_key=True)
    name_zh: Mapped[str] = mapped_column(String(40))
    name_en: Mapped[str] = mapped_column(String(80))


class Org(Entity, Versioned):
    """A node of the formal tree."""

    __tablename__ = "org"
    audited = ("name", "kind_code", "parent_id", "division_code", "status", "established_on")
    __table_args__ = (
        Index("ix_org_parent_id_name", "parent_id", "name"),
        Index("ix_org_division_code", "division_code"),
        Index("uq_org_external_ref", "external_ref", unique=True),
    )
    name: Mapped[str] = mapped_column(String(80))
    kind_code: Mapped[str] = mapped_column(ForeignKey("org_kind.code"))
    parent_id: Mapped[UUID | None] = mapped_column(ForeignKey("org.id"))
    division_code: Mapped[str | None] = mapped_column(ForeignKey("division.code"))
    status: Mapped[OrgStatus] = mapped_column(enum_column(OrgStatus, "org_status"), default=OrgStatus.ACTIVE)
    established_on: Mapped[date | None]
    external_ref: Mapped[str | None] = mapped_column(String(64))  # key in the list it was imported from
    created_at: Mapped[datetime]


class OrgPath(Base):
    """Closure of the tree: one row for each pair of a node and a node at or above it."""

    __tablename__ = "org_path"
    __table_args__ = (
        Index("ix_org_path_descendant_id", "descendant_id", "depth"),
        CheckConstraint("(depth = 0) = (ancestor_id = descendant_id)", name="self_is_depth_zero"),
        CheckConstraint("depth >= 0", name="depth_not_negative"),
    )
    ancestor_id: Mapped[UUID] = mapped_column(ForeignKey("org.id"), primary_key=True)
    descendant_id: Mapped[UUID] = mapped_column(ForeignKey("org.id"), primary_key=True)
    depth: Mapped[int]


class Cluster(Entity):
    """Organisations worked with together, whatever their formal parents."""

    __tablename__ = "cluster"
    __table_args__ = (Index("uq_cluster_external_ref", "external_ref", unique=True),)
    name: Mapped[str] = mapped_column(String(80))
    kind: Mapped[ClusterKind] = mapped_column(enum_column(ClusterKind, "cluster_kind"))
    division_code: Mapped[str | None] = mapped_column(ForeignKey("division.code"))
    external_ref: Mapped[str | None] = mapped_column(String(64))


class ClusterMember(Base):
    __tablename__ = "cluster_member"
    audited = ("cluster_id", "org_id")
    __table_args__ = (Index("ix_cluster_member_org_id", "org_id"),)
    cluster_id: Mapped[UUID] = mapped_column(ForeignKey("cluster.id"), primary_key=True)
    org_id: Mapped[UUID] = mapped_column(ForeignKey("org.id"), primary_key=True)


class RoleGrant(Entity):
    """A role on a node of the tree or on one hub, from a start to an end; never changed, only ended."""

    __tablename__ = "role_grant"
    audited = ("person_id", "role", "org_id", "hub_id", "starts_at", "ends_at", "ended_by")
    __table_args__ = (
        CheckConstraint("(org_id IS NULL) <> (hub_id IS NULL)", name="one_place"),
        CheckConstraint("(role = 'hub_manager') = (hub_id IS NOT NULL)", name="hub_managers_on_hubs"),
        CheckConstraint("ends_at IS NULL OR ends_at > starts_at", name="ends_after_start"),
        CheckConstraint("granted_by IS NULL OR granted_by <> person_id", name="nobody_grants_to_themselves"),
        CheckConstraint("(ended_at IS NULL) = (end_reason IS NULL)", name="ended_with_reason"),
        CheckConstraint("ended_by IS NULL OR ended_at IS NOT NULL", name="ended_by_at_an_end"),
        Index("ix_role_grant_person_id", "person_id"),
        Index("ix_role_grant_ends_at", "ends_at"),
        Index("ix_role_grant_org_id", "org_id"),
        Index("ix_role_grant_hub_id", "hub_id"),
    )
    person_id: Mapped[UUID] = mapped_column(ForeignKey("person.id"))
    role: Mapped[Role] = mapped_column(enum_column(Role, "role"))
    org_id: Mapped[UUID | None] = mapped_column(ForeignKey("org.id"))
    hub_id: Mapped[UUID | None] = mapped_column(ForeignKey("hub.id"))
    starts_at: Mapped[datetime]
    ends_at: Mapped[datetime | None]
    granted_by: Mapped[UUID | None] = mapped_column(ForeignKey("person.id"))  # None: from the command line
    reason: Mapped[str] = mapped_column(String(200))
    created_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]  # before ``ends_at``, by somebody's decision
    ended_by: Mapped[UUID | None] = mapped_column(ForeignKey("person.id"))
    end_reason: Mapped[str | None] = mapped_column(String(200))


class RoleInvitation(Entity):
    """A role that waits for whoever brings the token of a one-time link; of the token only its hash is kept."""

    __tablename__ = "role_invitation"
    audited = ("role", "org_id", "hub_id", "expires_at", "withdrawn_at", "accepted_at", "grant_id")
    __table_args__ = (
        CheckConstraint("(org_id IS NULL) <> (hub_id IS NULL)", name="one_place"),
        CheckConstraint("(role = 'hub_manager') = (hub_id IS NOT NULL)", name="hub_managers_on_hubs"),
        CheckConstraint("expires_at > created_at", name="expires_later"),
        CheckConstraint("(accepted_at IS NULL) = (grant_id IS NULL)", name="accepted_with_grant"),
        CheckConstraint("accepted_at IS NULL OR withdrawn_at IS NULL", name="one_end"),
        CheckConstraint("(withdrawn_at IS NULL) = (withdrawn_by IS NULL)", name="withdrawn_by_somebody"),
        Index("uq_role_invitation_token_hash", "token_hash", unique=True),
        Index("uq_role_invitation_grant_id", "grant_id", unique=True),
        Index("ix_role_invitation_org_id", "org_id"),
        Index("ix_role_invitation_hub_id", "hub_id"),
    )
    token_hash: Mapped[bytes] = mapped_column(LargeBinary)
    role: Mapped[Role] = mapped_column(enum_column(Role, "role"))
    org_id: Mapped[UUID | None] = mapped_column(ForeignKey("org.id"))
    hub_id: Mapped[UUID | None] = mapped_column(ForeignKey("hub.id"))
    grant_ends_at: Mapped[datetime | None]
    reason: Mapped[str] = mapped_column(String(200))
    invited_by: Mapped[UUID] = mapped_column(ForeignKey("person.id"))
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    accepted_at: Mapped[datetime | None]
    grant_id: Mapped[UUID | None] = mapped_column(ForeignKey("role_grant.id"))
    withdrawn_at: Mapped[datetime | None]
    withdrawn_by: Mapped[UUID | None] = mapped_column(ForeignKey("person.id"))


class Membership(Base):
    """Formal League membership: at most one organisation holds a person's affiliation (组织关系).

    The official register is 智慧团建; this row only mirrors it, with the reference there and when it was read.
    """

    __tablename__ = "membership"
    audited = ("org_id", "status")
    __table_args__ = (Index("ix_membership_org_id", "org_id"),)
    person_id: Mapped[UUID] = mapped_column(ForeignKey("person.id"), primary_key=True)
    org_id: Mapped[UUID] = mapped_column(ForeignKey("org.id"))
    status: Mapped[MembershipStatus] = mapped_column(enum_column(MembershipStatus, "membership_status"))
    external_ref: Mapped[str | None] = mapped_column(String(64))
    recorded_at: Mapped[datetime]
