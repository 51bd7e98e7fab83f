"""JSON shapes of decisions on applications."""

from __future__ import annotations

from typing import Any, Final

from marshmallow import ValidationError, validates_schema

from engage.activities.models import Decision, SignUpState
from engage.core.schemas import Choice, Fault, Id, In, Inner, Listed, Out, Text, Whole, invalid

_ID: Final = "0199f0c2-b7a0-7c3f-9f5d-2f7a1c3e5b7d"
_MAX_BATCH: Final = 500
_MAX_RANK: Final = 100_000


class DecisionIn(In):
    sign_up_id = Id(required=True, metadata={"example": _ID})
    decision = Choice(Decision, required=True, metadata={"example": "accept"})
    reason = Text(
        200,
        lines=True,
        load_default=None,
        allow_none=True,
        metadata={"description": "不通过时必填，告知本人 · required to refuse; the person reads it"},
    )
    rank = Whole(
        1,
        _MAX_RANK,
        load_default=None,
        allow_none=True,
        metadata={
            "example": 1,
            "description": (
                "名次，可并列；与此前给出的名次合起来从 1 起连续，可分多次给出；空者排在有名次者之后，按报名先后"
                " · ties are allowed; with the ranks given before they run from 1 without holes, so that they can be given in several calls;"
                " without one behind all ranks, by arrival"
            ),
        },
    )

    @validates_schema
    def _fits_decision(self, data: dict[str, Any], **_: Any) -> None:
        if data["decision"] is Decision.REFUSE:
            if data["reason"] is None:
                raise invalid("required", "reason")
            if data["rank"] is not None:
                raise invalid("not_together", "rank", other="decision")


class DecisionsIn(In):
    items = Listed(Inner(DecisionIn), _MAX_BATCH, 1, required=True)

    @validates_schema
    def _each_once(self, data: dict[str, Any], **_: Any) -> None:
        seen = set()
        for index, item in enumerate(data["items"]):
            if item["sign_up_id"] in seen:
                raise ValidationError({"items": {index: {"sign_up_id": [Fault("not_unique")]}}})
            seen.add(item["sign_up_id"])


class DecidedOut(Out):
    sign_up_id = Id(required=True, metadata={"example": _ID})
    state = Choice(SignUpState, required=True, metadata={"example": "confirmed"})
    position = Whole(
        required=True,
        allow_none=True,
        metadata={"example": None, "description": "候补位次，1 为下一位 · 1 is next"},
    )


class DecisionsOut(Out):
    results = Listed(Inner(DecidedOut), _MAX_BATCH, required=True)
