"""Reads of many people at once, for staff who sign them up together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from sqlalchemy import select

from engage.activities.models import SignUp, SignUpState
from engage.identity.models import Person, PersonStatus

if TYPE_CHECKING:
    from collections.abc import Sequence

    from engage.core.db import Context


def active_people(look: Context, person_ids: Sequence[UUID]) -> dict[UUID, Any]:
    """Return what of active people decides whether they may come, by id. One statement."""
    rows = look.db.execute(
        select(Person.id, Person.name, Person.birth_on, Person.hometown_code, Person.current_code).where(
            Person.id.in_(person_ids), Person.status == PersonStatus.ACTIVE
        )
    )
    return {row.id: row for row in rows}


def already_in(
    look: Context, activity_id: UUID, person_ids: Sequence[UUID]
) -> dict[UUID, tuple[UUID, SignUpState]]:
    """Return (id, state) of the live sign-ups that some people have to an activity, by person. One statement."""
    rows = look.db.execute(
        select(SignUp.person_id, SignUp.id, SignUp.state).where(
            SignUp.activity_id == activity_id,
            SignUp.person_id.in_(person_ids),
            SignUp.state != SignUpState.CANCELLED,
        )
    )
    return {person_id: (sign_up_id, state) for person_id, sign_up_id, state in rows}
