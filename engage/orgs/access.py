"""Who may do what, where: the one table from permission to predicate, and the SQL conditions made from it.

A grant on a node of the tree reaches the node and all below it; a hub manager's reaches one hub. Conditions are
sub-selects over grants in force, so roles are read fresh in the very statement that uses them.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import Enum, StrEnum, auto
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Uuid, and_, bindparam, column, exists, false, func, literal, or_, select, table
from sqlalchemy.orm import aliased

from engage.core.columns import UtcDateTime
from engage.core.errors import Issue, NotAllowed
from engage.identity.models import Person, PersonStatus
from engage.orgs.errors import NoSuchOrg
from engage.orgs.models import ENCLAVE_KIND, Org, OrgPath, Role, RoleGrant

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy import ColumnElement, Select
    from sqlalchemy.orm import InstrumentedAttribute

    from engage.core.db import Context, Work


class Permission(StrEnum):
    MANAGE_ORG = "manage_org"  # create and edit nodes, hubs and projects below a node
    MANAGE_HUB = "manage_hub"  # edit a hub
    MANAGE_ACTIVITY = "manage_activity"  # post activities, show the check-in code
    READ_PEOPLE = "read_people"  # see who signed up to an activity and what they said of it, and act for them
    REVIEW_ACTIVITY = "review_activity"  # publish without review, reject
    DECIDE_APPEAL = "decide_appeal"  # decide on appeals against losses of credit
    DECIDE_ENCLAVE = "decide_enclave"  # see, approve and reject applications to an enclave branch
    MANAGE_ENCLAVE = "manage_enclave"  # create and edit enclave branches
    READ_FIGURES = "read_figures"  # figures of a part of the tree
    READ_COUNTY_TOTALS = "read_county_totals"  # totals of every county, small cells withheld
    READ_INTEGRITY = "read_integrity"  # figures about the whole installation
    READ_AUDIT = "read_audit"  # the log of who did what
    READ_EVIDENCE = "read_evidence"  # what can be checked about an activity, without people
    WRITE_FINDING = "write_finding"  # write findings, and settle one's own
    SETTLE_FINDING = "settle_finding"  # settle findings of others
    ANSWER_FINDING = "answer_finding"  # answer findings
    GRANT_ROLES = "grant_roles"  # see who holds which role; give and end those that ``GRANTABLE`` allows


class Reach(Enum):
    """What a grant opens."""

    TREE = auto()  # the node it is on, and all below
    ABOVE = auto()  # what is below the node it is on; of a root the node itself, for there is nobody above
    HUB = auto()  # the hub it is on
    HUB_IN_TIME = auto()  # the hub it is on, from some days before the start to some days after the end
    ROOT = auto()  # the whole installation, when it is on a root of the tree
    WHOLE = auto()  # the whole installation, wherever it is


@dataclass(frozen=True)
class Holds:
    """A predicate: a grant in force of one of these roles reaches the object."""

    reach: Reach
    roles: frozenset[Role]


def _holds(reach: Reach, *roles: Role) -> Holds:
    return Holds(reach, frozenset(roles))


_OFFICERS: Final = (Role.PLATFORM_ADMIN, Role.OFFICER)
_SECRETARIES: Final = (*_OFFICERS, Role.BRANCH_SECRETARY)

# Who gives and ends what, at their node or below: nobody what is more than they hold. Auditors watch the officers, so
# officers do not choose them.
GRANTABLE: Final[dict[Role, frozenset[Role]]] = {
    Role.PLATFORM_ADMIN: frozenset(Role),
    Role.OFFICER: frozenset(Role) - {Role.PLATFORM_ADMIN, Role.AUDITOR},
}

# The only place that decides: a permission is held where any one of its predicates is true. Inspectors read evidence and figures
# and write findings: they are in no line that shows a person, nor in that of who answers. Delegates are in no line yet: what is theirs to
# read does not exist yet.
PERMISSIONS: Final[dict[Permission, tuple[Holds, ...]]] = {
    Permission.MANAGE_ORG: (_holds(Reach.TREE, *_OFFICERS),),
    Permission.MANAGE_HUB: (_holds(Reach.TREE, *_OFFICERS), _holds(Reach.HUB, Role.HUB_MANAGER)),
    Permission.MANAGE_ACTIVITY: (_holds(Reach.TREE, *_SECRETARIES), _holds(Reach.HUB, Role.HUB_MANAGER)),
    Permission.READ_PEOPLE: (_holds(Reach.TREE, *_SECRETARIES), _holds(Reach.HUB_IN_TIME, Role.HUB_MANAGER)),
    Permission.REVIEW_ACTIVITY: (_holds(Reach.TREE, *_OFFICERS),),
    Permission.DECIDE_APPEAL: (_holds(Reach.ABOVE, *_OFFICERS),),
    Permission.DECIDE_ENCLAVE: (_holds(Reach.TREE, *_SECRETARIES),),
    Permission.MANAGE_ENCLAVE: (_holds(Reach.TREE, *_OFFICERS),),
    Permission.READ_FIGURES: (
        _holds(Reach.TREE, *_SECRETARIES, Role.ANALYST, Role.INSPECTOR),
        _holds(Reach.HUB, Role.HUB_MANAGER),
    ),
    Permission.READ_COUNTY_TOTALS: (_holds(Reach.WHOLE, *_OFFICERS, Role.ANALYST),),
    Permission.READ_INTEGRITY: (_holds(Reach.ROOT, *_SECRETARIES, Role.ANALYST),),
    Permission.READ_AUDIT: (_holds(Reach.ROOT, Role.PLATFORM_ADMIN, Role.AUDITOR),),
    Permission.READ_EVIDENCE: (
        _holds(Reach.TREE, *_SECRETARIES, Role.INSPECTOR),
        _holds(Reach.HUB, Role.HUB_MANAGER),
    ),
    Permission.WRITE_FINDING: (_holds(Reach.TREE, *_OFFICERS, Role.INSPECTOR),),
    Permission.SETTLE_FINDING: (_holds(Reach.ABOVE, *_OFFICERS, Role.INSPECTOR),),
    Permission.ANSWER_FINDING: (_holds(Reach.TREE, *_SECRETARIES), _holds(Reach.HUB, Role.HUB_MANAGER)),
    Permission.GRANT_ROLES: (_holds(Reach.TREE, *GRANTABLE),),
}

# A caller whose id and time are bound when a prepared statement runs: built once, sent many times.
LATER: Final[Any] = SimpleNamespace(
    actor=SimpleNamespace(id=bindparam("me", type_=Uuid())), now=bindparam("now", type_=UtcDateTime())
)
# A name of its own, whatever the statement around reads about people.
_Account: Final = aliased(Person)
# The feature above owns this table; here one only needs to know that a hub exists, whose it is and what it is called.
hub_table: Final = table("hub", column("id", Uuid()), column("org_id", Uuid()), column("name"))


def in_force(now: datetime, grant: Any = RoleGrant) -> ColumnElement[bool]:
    """Return the condition that a grant has begun and neither run out nor been ended."""
    return and_(
        grant.starts_at <= now, or_(grant.ends_at.is_(None), grant.ends_at > now), grant.ended_at.is_(None)
    )


def is_active(person_id: Any) -> ColumnElement[bool]:
    """Return the condition that an account may be used: whoever is suspended holds nothing meanwhile."""
    return exists().where(_Account.id == person_id, _Account.status == PersonStatus.ACTIVE)


def live_grant(person_id: UUID, now: datetime, grant: Any = RoleGrant) -> ColumnElement[bool]:
    """Return the condition that a grant is this person's, in force, and the account active."""
    return and_(grant.person_id == person_id, in_force(now, grant), is_active(person_id))


def holds_a_role(person_id: Any, now: datetime) -> ColumnElement[bool]:
    """Return the condition that somebody is staff: holds any grant in force, with an account that may be used."""
    return exists().where(live_grant(person_id, now))


def within_scopes(look: Context, permission: Permission) -> bool:
    """Say whether the caller's key, if they call with one, may use a permission that its owner holds."""
    scopes = getattr(look.actor, "scopes", None)
    return scopes is None or permission.value in scopes


def not_allowed(look: Context, permission: Permission) -> NotAllowed:
    """Return the refusal of a permission; of a key without its scope, with the name of what it lacks."""
    if within_scopes(look, permission):
        return NotAllowed()
    return NotAllowed(Issue("/Authorization", "scope_missing", {"scope": permission.value}))


def _reached(holds: Holds) -> Select[Any]:
    """Return the select, over grants, of the ids of nodes or hubs that they reach."""
    if holds.reach in (Reach.HUB, Reach.HUB_IN_TIME):
        reached = select(RoleGrant.hub_id).where(RoleGrant.hub_id.is_not(None))
    else:
        reached = select(OrgPath.descendant_id).join(RoleGrant, RoleGrant.org_id == OrgPath.ancestor_id)
    if holds.reach is Reach.ABOVE:
        reached = reached.join(Org, Org.id == OrgPath.descendant_id)
        reached = reached.where(or_(OrgPath.depth >= 1, Org.parent_id.is_(None)))
    return reached.where(RoleGrant.role.in_(holds.roles))


def _in_time(look: Context, period: tuple[Any, Any]) -> ColumnElement[bool]:
    starts_at, ends_at = period
    return and_(
        starts_at <= look.now + timedelta(days=look.settings.people_days_before),
        ends_at > look.now - timedelta(days=look.settings.people_days_after),
    )


def covered(
    look: Context,
    holds: Holds,
    grants: ColumnElement[bool],
    org_id: Any,
    hub_id: Any = None,
    period: Any = None,
) -> ColumnElement[bool]:
    """Return the condition that one of some grants makes a predicate true of a row."""
    ids = _reached(holds).where(grants)
    if holds.reach in (Reach.TREE, Reach.ABOVE):
        return org_id.in_(ids)  # type: ignore[no-any-return]
    if holds.reach is Reach.HUB and hub_id is not None:
        return hub_id.in_(ids)  # type: ignore[no-any-return]
    if holds.reach is Reach.HUB_IN_TIME and hub_id is not None and period is not None:
        return and_(_in_time(look, period), hub_id.in_(ids))
    return false()


def opened_everywhere(permission: Permission, grants: ColumnElement[bool]) -> ColumnElement[bool]:
    """Return the condition that one of some grants gives a permission that is about the whole installation."""
    return or_(false(), *(_covered_everywhere(holds, grants) for holds in PERMISSIONS[permission]))


def _covered_everywhere(holds: Holds, grants: ColumnElement[bool]) -> ColumnElement[bool]:
    if holds.reach is Reach.ROOT:
        grants = and_(grants, exists().where(Org.id == RoleGrant.org_id, Org.parent_id.is_(None)))
    elif holds.reach is not Reach.WHOLE:
        return false()
    return exists().where(RoleGrant.role.in_(holds.roles), grants)


def permitted(
    look: Context,
    permission: Permission,
    org_id: Any,
    hub_id: InstrumentedAttribute[UUID | None] | InstrumentedAttribute[UUID] | None = None,
    period: tuple[InstrumentedAttribute[datetime], InstrumentedAttribute[datetime]] | None = None,
) -> ColumnElement[bool]:
    """Return the condition that the caller has a permission on a row: one of an org, perhaps of a hub, perhaps with start and end."""
    if look.actor.id is None or not within_scopes(look, permission):
        return false()
    mine = live_grant(look.actor.id, look.now)
    return or_(
        false(), *(covered(look, holds, mine, org_id, hub_id, period) for holds in PERMISSIONS[permission])
    )


def permitted_everywhere(look: Context, permission: Permission) -> ColumnElement[bool]:
    """Return the condition that the caller has a permission that is about the whole installation."""
    if look.actor.id is None or not within_scopes(look, permission):
        return false()
    return opened_everywhere(permission, live_grant(look.actor.id, look.now))


def require_everywhere(look: Context, permission: Permission) -> None:
    """Refuse whoever has no permission for the whole installation.

    Raises:
        NotAllowed: the caller has no such role.

    """
    if not look.db.scalar(select(permitted_everywhere(look, permission))):
        raise not_allowed(look, permission)


def roles_with(permission: Permission) -> frozenset[Role]:
    """Return the roles that open something with a permission."""
    return frozenset[Role]().union(*(holds.roles for holds in PERMISSIONS[permission]))


def held_with(look: Context, permission: Permission, grant: Any = RoleGrant) -> ColumnElement[bool]:
    """Return the condition on a grant that it gives the caller a permission; on what, the grant says."""
    if not within_scopes(look, permission):
        return false()
    return and_(live_grant(look.actor.id, look.now, grant), grant.role.in_(roles_with(permission)))


def nearest_holders(
    work: Work, permission: Permission, org_id: UUID, hub_id: UUID | None = None
) -> list[UUID]:
    """Return the others who have a permission on a node, of the nearest level that has any: those of a hub there, the node's own, those above."""

    def held(reach: Reach) -> ColumnElement[bool]:
        roles = (holds.roles for holds in PERMISSIONS[permission] if holds.reach is reach)
        return and_(
            RoleGrant.role.in_(frozenset[Role]().union(*roles)),
            RoleGrant.person_id != work.actor.id,
            in_force(work.now),
            is_active(RoleGrant.person_id),
        )

    of_tree = (
        select(OrgPath.depth.label("levels"), RoleGrant.person_id)
        .join(RoleGrant, RoleGrant.org_id == OrgPath.ancestor_id)
        .where(OrgPath.descendant_id == org_id, held(Reach.TREE))
    )
    of_hub = select(literal(-1), RoleGrant.person_id).where(RoleGrant.hub_id == hub_id, held(Reach.HUB))
    rows = work.session.execute((of_tree.union_all(of_hub) if hub_id else of_tree).order_by("levels")).all()
    return sorted({person_id for levels, person_id in rows if levels == rows[0].levels})


def permits_somebody(
    look: Context, permission: Permission, person_id: UUID, org_id: Any, hub_id: Any = None
) -> ColumnElement[bool]:
    """Return the condition that somebody has a permission on a row: what is sent to them is for whoever still does."""
    theirs = live_grant(person_id, look.now)
    return or_(false(), *(covered(look, holds, theirs, org_id, hub_id) for holds in PERMISSIONS[permission]))


def holds_here(look: Context, permission: Permission, org_id: Any, hub_id: Any) -> ColumnElement[bool]:
    """Return the condition that a role of the caller's which gives a permission is on this very node or hub, not above it."""
    return exists().where(
        held_with(look, permission), or_(RoleGrant.org_id == org_id, RoleGrant.hub_id == hub_id)
    )


def grant_node(grant: Any = RoleGrant) -> ColumnElement[UUID]:
    """Return the node of the tree that a grant, or an invitation to one, belongs to: its own, or that of its hub."""
    hub = hub_table.alias()
    of_hub = select(hub.c.org_id).where(hub.c.id == grant.hub_id).scalar_subquery()
    return func.coalesce(grant.org_id, of_hub)


def giving(look: Context, role: Any) -> Select[Any]:
    """Return the select of when each grant ends by which the caller may give, and end, a role, which may be a column: ``GRANTABLE``, in SQL."""
    mine = aliased(RoleGrant)
    allowed = or_(*(and_(mine.role == giver, role.in_(given)) for giver, given in GRANTABLE.items()))
    return (
        select(mine.ends_at)
        .select_from(mine)
        .join(OrgPath, OrgPath.ancestor_id == mine.org_id)
        .where(held_with(look, Permission.GRANT_ROLES, mine), allowed)
    )


def may_give(look: Context, role: Any, org_id: Any) -> ColumnElement[bool]:
    """Return the condition that the caller may give, and end, a role at a node. Both may be columns."""
    nodes = giving(look, role).with_only_columns(OrgPath.descendant_id)
    return org_id.in_(nodes)  # type: ignore[no-any-return]


@dataclass(frozen=True)
class Place:
    """How the objects of a kind stand in the tree. Features above add theirs with ``define_place``."""

    id: Any
    org_id: Any
    permissions: tuple[Permission, ...]
    hub_id: Any = None
    period: tuple[Any, Any] | None = None
    visible: Callable[[Context], ColumnElement[bool]] | None = None

    def allows(self, look: Context, permission: Permission) -> ColumnElement[bool]:
        """Return the condition that the caller has a permission on an object."""
        return permitted(look, permission, self.org_id, self.hub_id, self.period)


PLACES: Final[dict[str, Place]] = {
    "org": Place(
        Org.id,
        Org.id,
        (
            Permission.MANAGE_ORG, Permission.MANAGE_HUB, Permission.MANAGE_ACTIVITY, Permission.READ_PEOPLE, Permission.REVIEW_ACTIVITY,
            Permission.MANAGE_ENCLAVE, Permission.READ_FIGURES, Permission.WRITE_FINDING, Permission.GRANT_ROLES,
        ),
    )
}  # fmt: skip


def define_place(kind: str, place: Place) -> None:
    """Say how the objects of a kind that this feature does not know stand in the tree."""
    PLACES[kind] = place


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


def require_around(work: Work, org: Org) -> None:
    """Refuse whoever may not say which division a node is of: they manage the nearest above it that has one, or of a tree without any its root.

    Raises:
        NotAllowed: the caller has no such role there or above.

    """
    has_one = and_(Org.division_code.is_not(None), Org.kind_code != ENCLAVE_KIND, Org.id != org.id)
    allowed = (
        select(permitted(work, Permission.MANAGE_ORG, Org.id))
        .join(OrgPath, OrgPath.ancestor_id == Org.id)
        .where(OrgPath.descendant_id == org.id, or_(has_one, Org.parent_id.is_(None)))
        .order_by(OrgPath.depth)
        .limit(1)
    )
    if not work.session.scalar(allowed):
        raise NotAllowed
