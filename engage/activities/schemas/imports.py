"""JSON shapes of signing up many people at once."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from engage.activities.schemas.sign_up import AddPersonIn
from engage.core.schemas import Choice, Id, In, Inner, Listed, Out, Text

_ID: Final = "0199f0c2-b7a0-7c3f-9f5d-2f7a1c3e5b7d"
MAX_PEOPLE: Final = 500


class ImportResult(StrEnum):
    CONFIRMED = "confirmed"
    WAITLISTED = "waitlisted"
    APPLIED = "applied"
    ALREADY = "already"
    REFUSED = "refused"


class SignUpImportIn(In):
    """People in the order in which places are given."""

    items = Listed(Inner(AddPersonIn), MAX_PEOPLE, 1, required=True)


class ImportedOut(Out):
    person_id = Id(required=True, metadata={"example": _ID})
    result = Choice(ImportResult, required=True, metadata={"example": "confirmed"})
    code = Text(
        40,
        required=True,
        allow_none=True,
        metadata={"example": None, "description": "拒绝原因代码 · why it was refused"},
    )
    detail = Text(
        4000,
        required=True,
        allow_none=True,
        metadata={"example": None, "description": "拒绝原因的说明 · why, as a sentence"},
    )


class SignUpImportOut(Out):
    results = Listed(Inner(ImportedOut), MAX_PEOPLE, required=True)
