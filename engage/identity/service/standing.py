"""Whether an account may be used: suspended, closed, restored."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING
from uuid import UUID

from sqlalchemy import update

from engage.core import audit
from engage.identity.errors import NoSuchPerson
from engage.identity.models import AuthSession, Person, PersonStatus

if TYPE_CHECKING:
    from engage.core.db import Work

log = logging.getLogger("engage.identity")


def set_standing(work: Work, person_id: UUID, status: PersonStatus, reason: str) -> None:
    """Suspend, close or restore an account; unless it may be used, all its sessions end at once. Repeating changes nothing.

    The reason is kept in the log.

    Raises:
        NoSuchPerson: there is none.

    """
    found = work.session.execute(
        update(Person)
        .where(Person.id == person_id)
        .values(status=status, updated_at=work.now)
        .execution_options(synchronize_session=False)
    )
    if not found.rowcount:  # type: ignore[attr-defined]
        raise NoSuchPerson
    audit.changed(work, "person", person_id, before={}, after={"status": status})
    if status is not PersonStatus.ACTIVE:
        work.session.execute(
            update(AuthSession)
            .where(AuthSession.person_id == person_id, AuthSession.ended_at.is_(None))
            .values(ended_at=work.now)
            .execution_options(synchronize_session=False)
        )
    log.warning(
        "account changed", extra={"fields": {"person": str(person_id), "status": status, "reason": reason}}
    )
