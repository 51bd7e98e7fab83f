"""Which hubs a caller may see and manage."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import or_, select

from engage.core.errors import NotAllowed
from engage.hubs.errors import NoSuchHub
from engage.hubs.models import Hub, HubStatus
from engage.orgs.access import Permission, Place, define_place

if TYPE_CHECKING:
    from uuid import UUID

    from sqlalchemy import ColumnElement

    from engage.core.db import Context, Work


def is_public() -> ColumnElement[bool]:
    """Return the condition that everybody may see a hub."""
    return Hub.status == HubStatus.ACTIVE


def manageable(look: Context) -> ColumnElement[bool]:
    """Return the condition that the caller manages a hub: its manager, or an officer of its org or above."""
    return PLACE.allows(look, Permission.MANAGE_HUB)


def visible_hubs(look: Context) -> ColumnElement[bool]:
    """Return the condition that the caller may see a hub: in use, or theirs to manage."""
    return or_(is_public(), manageable(look))


PLACE: Final = Place(
    Hub.id,
    Hub.org_id,
    (
        Permission.MANAGE_HUB,
        Permission.MANAGE_ACTIVITY,
        Permission.READ_FIGURES,
        Permission.WRITE_FINDING,
        Permission.GRANT_ROLES,
    ),
    hub_id=Hub.id,
    visible=visible_hubs,
)
define_place("hub", PLACE)


def hub_to_manage(work: Work, hub_id: UUID) -> Hub:
    """Load a hub that the caller manages, and hold its row until the transaction ends.

    Raises:
        NoSuchHub: there is none that the caller may see.
        NotAllowed: the caller sees it but manages neither it nor its org.

    """
    row = work.session.execute(
        select(Hub, manageable(work))
        .where(Hub.id == hub_id, visible_hubs(work))
        .with_for_update(of=Hub, key_share=True)
    ).one_or_none()
    if row is None:
        raise NoSuchHub
    hub, allowed = row
    if not allowed:
        raise NotAllowed
    return hub
