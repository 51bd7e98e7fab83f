"""Callers with a role."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import exists, literal, select

from engage.core.errors import NotAllowed
from engage.core.prepared import Prepared
from engage.identity.caller import member
from engage.orgs.access import LATER, live_grant

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Connection
    from sqlalchemy.orm import Session

    from engage.core.errors import DomainError
    from engage.identity.caller import Identity, Member


_HOLDS_A_ROLE: Final = Prepared(
    select(literal(1)).where(exists().where(live_grant(LATER.actor.id, LATER.now)))
)


class _Staff:
    """A member who holds some role now; on what, the use case asks."""

    name = "staff"
    refusals: tuple[type[DomainError], ...] = (*member.refusals, NotAllowed)

    def identify(self) -> Identity:
        return member.identify()

    def load(self, db: Connection | Session, identity: Identity, now: datetime) -> Member:
        actor = member.load(db, identity, now)
        if _HOLDS_A_ROLE.one_or_none(db, {"me": actor.id, "now": now}) is None:
            raise NotAllowed
        return actor


staff: Final = _Staff()
