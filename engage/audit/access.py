"""Who may read the audit log."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select

from engage.core.errors import NotAllowed
from engage.orgs.access import ROLES, Permission, live_grant
from engage.orgs.models import RoleGrant

if TYPE_CHECKING:
    from engage.core.db import Context


def require_reader(look: Context) -> None:
    """Refuse whoever is not to read the log. It is that of the whole installation, not of a part of the tree.

    Raises:
        NotAllowed: the caller is neither an auditor nor a platform administrator.

    """
    held = select(RoleGrant.id).where(
        live_grant(look.actor.id, look.now), RoleGrant.role.in_(ROLES[Permission.READ_AUDIT])
    )
    if not look.db.scalar(select(held.exists())):
        raise NotAllowed
