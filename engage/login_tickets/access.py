"""Who may log in a web page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select

from engage.identity.models import AuthSession, LoginMethod
from engage.login_tickets.errors import NotStaff, PhoneNeeded
from engage.orgs.access import holds_a_role

if TYPE_CHECKING:
    from engage.core.db import Context


def require_phone_of_staff(look: Context) -> None:
    """Refuse whoever is no staff, and a web page. One statement.

    Raises:
        PhoneNeeded: the caller's own session began by QR code: a page left open would log in the next, and that one another.
        NotStaff: the caller holds no role.

    """
    method, is_staff = look.db.execute(
        select(AuthSession.method, holds_a_role(look.actor.id, look.now)).where(
            AuthSession.id == look.actor.session_id
        )
    ).one()
    if method is not LoginMethod.WECHAT:
        raise PhoneNeeded
    if not is_staff:
        raise NotStaff
