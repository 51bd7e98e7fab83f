"""What people hold whose account may not be used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import exists, literal_column, select

from engage.activities.models import CheckIn, SignUp, SignUpState
from engage.identity.models import Person

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import ColumnElement

FREED: Final = (
    SignUpState.APPLIED,
    SignUpState.WAITLISTED,
    SignUpState.OFFERED,
    SignUpState.CONFIRMED,
)


def held_by_inactive(now: datetime, since: datetime) -> tuple[ColumnElement[bool], ...]:
    """Return the conditions that a sign-up to what is not over is that of a person whose account is stopped, as it was at ``since``.

    Where they have checked in, what was stays.
    """
    # Word for word as in the partial index.
    stopped = select(Person.id).where(Person.status != literal_column("'active'"), Person.updated_at <= since)
    return (
        SignUp.person_id.in_(stopped),
        SignUp.ends_at > now,
        SignUp.state.in_(FREED),
        SignUp.updated_at <= since,
        ~exists().where(CheckIn.sign_up_id == SignUp.id),
    )
