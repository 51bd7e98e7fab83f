"""JSON shapes of what a change would mean for people who signed up."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Final

from marshmallow import validates_schema

from engage.activities.models import SignUpState
from engage.activities.schemas.activity import ActivityIn
from engage.core.schemas import Choice, Flag, Id, In, Inner, Listed, Out, Text, Whole, invalid

_ID: Final = "0199f0c2-b7a0-7c3f-9f5d-2f7a1c3e5b7d"
MAX_AFFECTED: Final = 100


class MovedField(StrEnum):
    STARTS_AT = "starts_at"
    ENDS_AT = "ends_at"
    HUB_ID = "hub_id"
    PLACE_NAME = "place_name"
    ADDRESS = "address"
    POSITION = "position"


class ChangeIn(In):
    """Exactly one: the activity as it would be sent by PUT, or that it is called off."""

    change = Inner(ActivityIn, load_default=None, allow_none=True)
    cancel = Flag(load_default=False)

    @validates_schema
    def _one_of_them(self, data: dict[str, Any], **_: Any) -> None:
        if data["cancel"] and data["change"] is not None:
            raise invalid("not_together", "cancel", other="change")
        if not data["cancel"] and data["change"] is None:
            raise invalid("required", "change")


class AffectedCountOut(Out):
    before = Choice(SignUpState, required=True, metadata={"example": "confirmed"})
    after = Choice(SignUpState, required=True, metadata={"example": "waitlisted"})
    count = Whole(required=True, metadata={"example": 2})


class AffectedOut(Out):
    sign_up_id = Id(required=True, metadata={"example": _ID})
    person_name = Text(40, required=True, allow_none=True, metadata={"example": "李晓"})
    before = Choice(SignUpState, required=True, metadata={"example": "confirmed"})
    after = Choice(
        SignUpState,
        required=True,
        metadata={"example": "waitlisted", "description": "与之前相同：只是告知 · the same: only told"},
    )


class ChangePreviewOut(Out):
    preview = Text(
        60,
        required=True,
        metadata={
            "example": '"3-5f2b8c1d9e0a47631c2d3e4f5a6b7c8d"',
            "description": "提交变更时放入 If-Match · send it in If-Match with the change",
        },
    )
    harmful = Flag(
        required=True,
        metadata={
            "example": True,
            "description": "有人失去名额，或时间、地点有变，或取消 · somebody loses a place, or what they planned for moves or is off",
        },
    )
    moved = Listed(Choice(MovedField), 6, required=True, metadata={"example": []})
    counts = Listed(Inner(AffectedCountOut), 49, required=True)
    affected = Listed(Inner(AffectedOut), MAX_AFFECTED, required=True)
    affected_total = Whole(required=True, metadata={"example": 2})
    overlaps_created = Whole(
        required=True,
        metadata={
            "example": 0,
            "description": "因此同一时间有两个名额的人数 · people who would then have two places at the same time",
        },
    )
