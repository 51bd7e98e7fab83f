"""Which accounts may be used."""

from __future__ import annotations

from engage.identity.errors import AccountClosed, AccountSuspended
from engage.identity.models import PersonStatus


def refuse_inactive(status: PersonStatus) -> None:
    """Refuse an account that may not be used.

    Raises:
        AccountSuspended: stopped by staff.
        AccountClosed: closed by its owner.

    """
    if status is PersonStatus.SUSPENDED:
        raise AccountSuspended
    if status is PersonStatus.CLOSED:
        raise AccountClosed
