"""JSON shapes of draws: what anyone needs to check one, and nothing about who the entries are."""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING, Any, Final

from engage.activities.models import MAX_APPLICATIONS, MAX_POOLS, DrawOutcome, DrawState
from engage.core.schemas import Bounds, Choice, Id, In, Inner, Instant, Listed, Out, Text, Whole, invalid

if TYPE_CHECKING:
    from collections.abc import Mapping

_SEED: Final = "a3f1c5d2e4b60718293a4b5c6d7e8f900112233445566778899aabbccddeeff0"
_DIGEST: Final = "5f6d0c3b8a1e4f72a9c0d4e8b7163529f0e1d2c3b4a5968778695a4b3c2d1e0f"
# What may stand between digits, once letters and digits of other widths are plain ones.
_SEPARATORS: Final = re.compile(r"[\s,.;:/|+_\-\u2010-\u2015\u2212·•・、。]+")


class Digits(Text):
    """A number as it was published, kept as its digits alone: however it is typed, it is the same."""

    def _deserialize(
        self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any
    ) -> str:
        typed = unicodedata.normalize("NFKC", super()._deserialize(value, attr, data, **kwargs))
        digits = _SEPARATORS.sub("", typed)
        if not (digits.isascii() and digits.isdecimal()):
            raise invalid("not_digits")
        Bounds(self.low, self.high, of_length=True)(digits)
        return digits


class DrawIn(In):
    public_value = Digits(
        100,
        load_default=None,
        allow_none=True,
        metadata={
            "example": "3 1 7",
            "description": (
                "事先约定的公开号码，按公布的填写，包括前面的 0；只记数字，空格、逗号、横线等不计；没有约定时留空"
                " · the public number that was named beforehand, as published, with its leading zeros; its digits count,"
                " what stands between them does not; null where none was named"
            ),
        },
    )


class DrawPoolOut(Out):
    position = Whole(required=True, metadata={"example": 1})
    capacity = Whole(required=True, metadata={"example": 40})
    overflow_rank = Whole(required=True, allow_none=True, metadata={"example": None})


class DrawSummaryOut(Out):
    """A draw without its entries."""

    state = Choice(DrawState, required=True, metadata={"example": "drawn"})
    algorithm = Text(
        40, required=True, metadata={"example": "engage-draw-2", "description": "docs/draw.md · docs/draw.md"}
    )
    commitment = Text(
        64,
        required=True,
        metadata={"example": _DIGEST, "description": "种子的 SHA-256 · SHA-256 of the seed"},
    )
    draws_at = Instant(required=True, metadata={"example": "2026-12-05T13:00:00+08:00"})
    first_time_weight = Whole(1, 10, required=True, metadata={"example": 1})
    public_source = Text(
        200, required=True, allow_none=True, metadata={"example": "中国福利彩票 3D 2026-12-04 开奖号码"}
    )
    public_value = Text(100, required=True, allow_none=True, metadata={"example": "317"})
    seed = Text(
        64,
        required=True,
        allow_none=True,
        metadata={"example": _SEED, "description": "抽签后公布 · null until the draw"},
    )
    closed_at = Instant(required=True, allow_none=True, metadata={"example": "2026-12-05T12:00:30+08:00"})
    drawn_at = Instant(required=True, allow_none=True, metadata={"example": "2026-12-05T13:00:01+08:00"})
    entries_digest = Text(
        64,
        required=True,
        allow_none=True,
        metadata={
            "example": _DIGEST,
            "description": (
                "名单文本的 SHA-256，报名截止后公布 · SHA-256 of the text of the entries, from the closing on"
            ),
        },
    )
    capacity = Whole(
        required=True, metadata={"example": 40, "description": "可抽的名额 · places that are drawn"}
    )
    pools = Listed(
        Inner(DrawPoolOut),
        MAX_POOLS,
        required=True,
        metadata={"description": "空为不分池 · empty: places are not divided"},
    )


class DrawEntryOut(Out):
    entry = Id(
        required=True,
        metadata={
            "example": "0199f0c2-b7a0-7c3f-9f5d-2f7a1c3e5b7d",
            "description": "报名编号，本人可在“我的报名”中看到 · id of the sign-up, which its owner sees there",
        },
    )
    weight = Whole(1, 10, required=True, metadata={"example": 1})
    pools = Whole(
        required=True,
        metadata={"example": 1, "description": "可进入的名额池，按位 · mask of the pools open to this entry"},
    )
    position = Whole(
        required=True,
        allow_none=True,
        metadata={"example": 1, "description": "抽签名次 · place in the order of the draw"},
    )
    outcome = Choice(DrawOutcome, required=True, allow_none=True, metadata={"example": "place"})


class DrawOut(DrawSummaryOut):
    """A draw with all that is needed to recompute it."""

    entries = Listed(
        Inner(DrawEntryOut),
        MAX_APPLICATIONS,
        required=True,
        metadata={"description": "报名截止后公布 · from the closing on"},
    )


class DrawSeedOut(Out):
    seed = Text(64, required=True, metadata={"example": _SEED})
