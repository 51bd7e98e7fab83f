"""Reads of log-in tickets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import or_, select

from engage.identity.models import LoginTicket
from engage.login_tickets.access import require_phone_of_staff
from engage.login_tickets.errors import NoSuchLoginTicket
from engage.login_tickets.models import status_of

if TYPE_CHECKING:
    from uuid import UUID

    from engage.core.db import Look


def read_ticket(look: Look, ticket_id: UUID) -> dict[str, Any]:
    """Return what the phone shows before it decides. Two statements.

    The number is not part of it: whoever sits before the page reads it there.

    Raises:
        PhoneNeeded, NotStaff: as ``require_phone_of_staff``.
        NoSuchLoginTicket: there is none, or somebody else has decided about it.

    """
    require_phone_of_staff(look)
    row = look.db.execute(
        select(
            LoginTicket.id,
            LoginTicket.device,
            LoginTicket.state,
            LoginTicket.created_at,
            LoginTicket.expires_at,
            LoginTicket.decided_at,
        ).where(
            LoginTicket.id == ticket_id,
            or_(LoginTicket.person_id.is_(None), LoginTicket.person_id == look.actor.id),
        )
    ).one_or_none()
    if row is None:
        raise NoSuchLoginTicket
    return shown(row, look.now)


def shown(ticket: Any, now: Any) -> dict[str, Any]:
    """Return what a phone sees of a ticket, given the ticket or a row of it."""
    return {
        "id": ticket.id,
        "device": ticket.device,
        "status": status_of(ticket.state, ticket.expires_at, ticket.decided_at, now),
        "created_at": ticket.created_at,
        "expires_at": ticket.expires_at,
    }
