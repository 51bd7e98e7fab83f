"""What a person is told about their account. Identity does not know messages: the feature above says how it tells."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import TYPE_CHECKING
from uuid import UUID

if TYPE_CHECKING:
    from engage.core.db import Work


class Notice(StrEnum):
    """What happened to an account."""

    SESSION_STOLEN = "session_stolen"
    SECOND_FACTOR_ENROLLED = "second_factor_enrolled"
    SECOND_FACTOR_REMOVED = "second_factor_removed"
    SECOND_FACTOR_RESET = "second_factor_reset"
    SECOND_FACTOR_LOCKED = "second_factor_locked"
    RECOVERY_CODE_USED = "recovery_code_used"
    RECOVERY_CODES_RENEWED = "recovery_codes_renewed"
    ROLE_GIVEN = "role_given"
    ROLE_ENDED = "role_ended"


Teller = Callable[["Work", UUID, Notice, UUID, dict[str, str]], None]
_TELLERS: list[Teller] = []


def tell_with(teller: Teller) -> None:
    """Say how people are told; called once, by the feature that can."""
    _TELLERS.append(teller)


def tell(work: Work, person_id: UUID, notice: Notice, subject_id: UUID, **params: str) -> None:
    """Tell a person, in the running transaction, what happened and to which object of theirs; ``params`` are what its sentence names."""
    for teller in _TELLERS:
        teller(work, person_id, notice, subject_id, params)
