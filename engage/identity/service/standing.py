"""Whether an account may be used: suspended, closed, restored."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING
from uuid import UUID

from sqlalchemy import select, update

from engage.core import audit
from engage.identity.errors import NoSuchPerson
from engage.identity.models import AuthSession, Person, PersonStatus
from engage.identity.service.sessions import end_sessions

if TYPE_CHECKING:
    from engage.core.db import Work

log = logging.getLogger("engage.identity")


def set_standing(work: Work, person_id: UUID, status: PersonStatus, reason: str) -> None:
    """Suspend, close or restore an account; unless it may be used, all its sessions end at once. Repeating changes nothing.

    The reason of a change is kept in the log.

    Raises:
        NoSuchPerson: there is none.

    """
    before = work.session.scalar(
        select(Person.status).where(Person.id == person_id).with_for_update(key_share=True)
    )
    if before is None:
        raise NoSuchPerson
    if status is not PersonStatus.ACTIVE:
        end_sessions(work, None, AuthSession.person_id == person_id)
    if before is status:
        return
    work.session.execute(
        update(Person)
        .where(Person.id == person_id)
        .values(status=status, updated_at=work.now)
        .execution_options(synchronize_session=False)
    )
    audit.changed(work, "person", person_id, before={"status": before}, after={"status": status})
    log.warning(
        "account changed", extra={"fields": {"person": str(person_id), "status": status, "reason": reason}}
    )
