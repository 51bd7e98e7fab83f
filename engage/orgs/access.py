"""Which role may do what, where: one table, and the SQL scopes every other feature filters with.

A role on a node of the tree reaches the node and all below it; a hub manager's role reaches one hub. Scopes are
sub-selects over live grants, so roles are read fresh in the very statement that uses them.
"""

from __future__ import annotations

from enum import StrEnum
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Uuid, and_, bindparam, exists, false, or_, select

from engage.core.db import UtcDateTime
from engage.core.errors import NotAllowed
from engage.identity.models import Person, PersonStatus
from engage.orgs.errors import NoSuchOrg
from engage.orgs.models import Org, OrgPath, Role, RoleGrant

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy import ColumnElement, Select
    from sqlalchemy.orm import InstrumentedAttribute

    from engage.core.db import Context, Work


class Permission(StrEnum):
    MANAGE_ORG = "manage_org"  # create and edit nodes, hubs and projects below a node
    MANAGE_HUB = "manage_hub"  # edit a hub
    MANAGE_ACTIVITY = "manage_activity"  # post activities, see who signed up, check in
    REVIEW_ACTIVITY = "review_activity"  # publish without review, reject
    DECIDE_ENCLAVE = "decide_enclave"  # approve and reject applications to an enclave branch
    MANAGE_ENCLAVE = "manage_enclave"  # create and edit enclave branches
    READ_FIGURES = "read_figures"
    READ_AUDIT = "read_audit"  # the log of who did what


ROLES: Final[dict[Permission, frozenset[Role]]] = {
    Permission.MANAGE_ORG: frozenset({Role.PLATFORM_ADMIN, Role.OFFICER}),
    Permission.MANAGE_HUB: frozenset({Role.PLATFORM_ADMIN, Role.OFFICER, Role.HUB_MANAGER}),
    Permission.MANAGE_ACTIVITY: frozenset(
        {Role.PLATFORM_ADMIN, Role.OFFICER, Role.BRANCH_SECRETARY, Role.HUB_MANAGER}
    ),
    Permission.REVIEW_ACTIVITY: frozenset({Role.PLATFORM_ADMIN, Role.OFFICER}),
    Permission.DECIDE_ENCLAVE: frozenset({Role.PLATFORM_ADMIN, Role.OFFICER, Role.BRANCH_SECRETARY}),
    Permission.MANAGE_ENCLAVE: frozenset({Role.PLATFORM_ADMIN, Role.OFFICER}),
    Permission.READ_AUDIT: frozenset({Role.PLATFORM_ADMIN, Role.AUDITOR}),
    Permission.READ_FIGURES: frozenset(
        {Role.PLATFORM_ADMIN, Role.OFFICER, Role.ANALYST, Role.BRANCH_SECRETARY, Role.HUB_MANAGER}
    ),
}


# A caller whose id and time are bound when a prepared statement runs: built once, sent many times.
LATER: Final[Any] = SimpleNamespace(
    actor=SimpleNamespace(id=bindparam("me", type_=Uuid())), now=bindparam("now", type_=UtcDateTime())
)


def live_grant(person_id: UUID, now: datetime) -> ColumnElement[bool]:
    """Return the condition that a grant is this person's, in force, and the account active."""
    return and_(
        RoleGrant.person_id == person_id,
        RoleGrant.starts_at <= now,
        or_(RoleGrant.ends_at.is_(None), RoleGrant.ends_at > now),
        exists().where(Person.id == person_id, Person.status == PersonStatus.ACTIVE),
    )


def org_scope(person_id: UUID, permission: Permission, now: datetime) -> Select[Any]:
    """Return a sub-select of the ids of all nodes where a person has a permission."""
    return (
        select(OrgPath.descendant_id)
        .join(RoleGrant, RoleGrant.org_id == OrgPath.ancestor_id)
        .where(live_grant(person_id, now), RoleGrant.role.in_(ROLES[permission]))
    )


def hub_scope(person_id: UUID, permission: Permission, now: datetime) -> Select[Any]:
    """Return a sub-select of the ids of the hubs a person has a permission on by a grant on the hub itself."""
    return select(RoleGrant.hub_id).where(
        live_grant(person_id, now), RoleGrant.hub_id.is_not(None), RoleGrant.role.in_(ROLES[permission])
    )


def permitted(
    look: Context,
    permission: Permission,
    org_id: InstrumentedAttribute[UUID],
    hub_id: InstrumentedAttribute[UUID | None] | InstrumentedAttribute[UUID] | None = None,
) -> ColumnElement[bool]:
    """Return the condition that the caller has a permission on a row that belongs to an org, and perhaps to a hub."""
    person_id = look.actor.id
    if person_id is None:
        return false()
    allowed: ColumnElement[bool] = org_id.in_(org_scope(person_id, permission, look.now))
    if hub_id is not None:
        allowed = or_(allowed, hub_id.in_(hub_scope(person_id, permission, look.now)))
    return allowed


def org_to_manage(
    work: Work, org_id: UUID, permission: Permission = Permission.MANAGE_ORG, *, lock: bool = False
) -> Org:
    """Load a node that the caller holds a permission on; ``lock`` holds it against other edits until the end.

    Raises:
        NoSuchOrg: there is none.
        NotAllowed: the caller has no such role on it or above it.

    """
    statement = select(Org, permitted(work, permission, Org.id)).where(Org.id == org_id)
    if lock:
        statement = statement.with_for_update(key_share=True, of=Org).execution_options(
            populate_existing=True
        )
    row = work.session.execute(statement).one_or_none()
    if row is None:
        raise NoSuchOrg
    org, allowed = row
    if not allowed:
        raise NotAllowed
    return org


def is_of_division(look: Context, org_id: UUID, division_code: str) -> bool:
    """Say whether a node, or one above it, is that of a division: whether the division's committee answers for it."""
    line = select(OrgPath.ancestor_id).join(Org, Org.id == OrgPath.ancestor_id)
    line = line.where(OrgPath.descendant_id == org_id, Org.division_code == division_code)
    return bool(look.db.scalar(select(line.exists())))
