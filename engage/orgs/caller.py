"""Callers with a role."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import exists, select

from engage.core.errors import NotAllowed
from engage.identity.caller import member
from engage.orgs.access import live_grant

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Connection
    from sqlalchemy.orm import Session

    from engage.core.errors import DomainError
    from engage.identity.caller import Identity, Member


class _Staff:
    """A member who holds some role now; on what, the use case asks."""

    name = "staff"
    refusals: tuple[type[DomainError], ...] = (*member.refusals, NotAllowed)

    def identify(self) -> Identity:
        return member.identify()

    def load(self, db: Connection | Session, identity: Identity, now: datetime) -> Member:
        actor = member.load(db, identity, now)
        if not db.scalar(select(exists().where(live_grant(actor.id, now)))):
            raise NotAllowed
        return actor


staff: Final = _Staff()
