"""Which accounts may be used."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engage.identity.errors import AccountClosed, AccountSuspended
from engage.identity.models import PersonStatus

if TYPE_CHECKING:
    from engage.core.errors import DomainError


def inactive(status: PersonStatus) -> DomainError | None:
    """Return the refusal of an account that may not be used; None where it may."""
    if status is PersonStatus.SUSPENDED:
        return AccountSuspended()
    if status is PersonStatus.CLOSED:
        return AccountClosed()
    return None


def refuse_inactive(status: PersonStatus) -> None:
    """Refuse an account that may not be used.

    Raises:
        AccountSuspended: stopped by staff.
        AccountClosed: closed by its owner.

    """
    refusal = inactive(status)
    if refusal is not None:
        raise refusal
