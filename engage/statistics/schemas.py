"""JSON shapes of figures."""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING, Any, Final

from marshmallow import validates_schema

from engage.activities.queries.integrity import EXAMPLES
from engage.core.schemas import (
    PAGE_LIMIT,
    Choice,
    Day,
    Decimal,
    Flag,
    Id,
    Inner,
    Instant,
    Listed,
    Out,
    PageQuery,
    Query,
    Text,
    Whole,
    invalid,
    page_of,
)
from engage.statistics.models import MAX_COUNTIES, MAX_SCOPE, Dimension, ScopeKind

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_DAYS: Final = 1096  # three years with their leap day
_MAX_CHECKS: Final = 50
_MAX_SECONDS: Final = 3600
_MAX_COUNT: Final = 2**53 - 1  # the largest that a JavaScript client reads exactly


class ParticipationExportQuery(Query):
    first_day = Day(
        data_key="from",
        required=True,
        metadata={"example": "2026-10-01", "description": "首日（北京时间）· first day, in Shanghai"},
    )
    last_day = Day(
        data_key="to",
        required=True,
        metadata={
            "example": "2026-10-31",
            "description": f"末日（含），至多 {MAX_DAYS} 天 · last day, included; at most {MAX_DAYS} days",
        },
    )
    by = Choice(Dimension, required=True, metadata={"example": "county"})

    @validates_schema
    def _check_range(self, data: Mapping[str, Any], **_: Any) -> None:
        first: date | None = data.get("first_day")
        last: date | None = data.get("last_day")
        if first is None or last is None:
            return
        if first > last:
            raise invalid("bad_order", "to", first="from", second="to")
        if last - first >= timedelta(days=MAX_DAYS):
            raise invalid("range_too_wide", "to", max=MAX_DAYS)


class ParticipationQuery(ParticipationExportQuery, PageQuery):
    limit = Whole(
        1, PAGE_LIMIT, load_default=PAGE_LIMIT, metadata={"description": "rows on a page", "example": 100}
    )


class FiguresOut(Out):
    """Figures over activities that were published and not cancelled.

    ``sign_ups`` counts every sign-up that was made, also those cancelled or waiting, and walk-ins; ``confirmed`` those that hold a place now.
    ``check_ins`` is 人次 and equals ``attended`` + ``late`` + ``walk_ins``; ``people`` is 人数: different persons who were checked in. Of the
    confirmed, each is in one of ``attended``, ``late``, ``excused`` (which also counts those whose excuse gave the place up) and, once the activity
    is over, ``absent``. ``attendance_rate`` is (``attended`` + ``late``) / (``attended`` + ``late`` + ``absent``) over activities that have
    ended: nobody expects who was excused. Null while there is nobody to expect.
    """

    activities = Whole(high=_MAX_COUNT, required=True, metadata={"example": 12})
    sign_ups = Whole(
        high=_MAX_COUNT,
        required=True,
        metadata={
            "example": 260,
            "description": "报名次数，含候补与已取消 · sign-ups made, waiting and cancelled ones too",
        },
    )
    confirmed = Whole(
        high=_MAX_COUNT,
        required=True,
        metadata={"example": 230, "description": "现占名额 · places held now"},
    )
    check_ins = Whole(
        high=_MAX_COUNT, required=True, metadata={"example": 198, "description": "人次 · participations"}
    )
    attended = Whole(
        high=_MAX_COUNT, required=True, metadata={"example": 171, "description": "准时到场 · there on time"}
    )
    late = Whole(
        high=_MAX_COUNT, required=True, metadata={"example": 21, "description": "迟到 · there, but late"}
    )
    absent = Whole(
        high=_MAX_COUNT, required=True, metadata={"example": 30, "description": "缺席 · over, and not there"}
    )
    excused = Whole(
        high=_MAX_COUNT,
        required=True,
        metadata={"example": 9, "description": "请假 · excused, with a reason"},
    )
    walk_ins = Whole(
        high=_MAX_COUNT,
        required=True,
        metadata={"example": 6, "description": "现场加入 · came to the door without a place"},
    )
    people = Whole(
        high=_MAX_COUNT, required=True, metadata={"example": 141, "description": "人数 · different persons"}
    )
    attendance_rate = Decimal(
        0,
        1,
        required=True,
        allow_none=True,
        metadata={
            "example": 0.8649,
            "description": "到场率：已结束活动的到场数（不含现场加入）除以应到数（请假不计入应到），四位小数 · of activities that have ended, walk-ins and excused aside, four decimals",
        },
    )


class FigureKeyOut(Out):
    """What a row is about: a county by its code, a hub or project by its id, a month as ``YYYY-MM``.

    ``id`` is null in the one row of activities that took place at no hub; that row comes last.
    """

    id = Text(36, required=True, allow_none=True, metadata={"example": "140524"})
    name = Text(80, required=True, metadata={"example": "陵川县"})


class FigureRowOut(FiguresOut):
    key = Inner(FigureKeyOut, required=True)


class ScopeNodeOut(Out):
    """An organisation with all below it, or a hub, that the caller's figures cover."""

    kind = Choice(ScopeKind, required=True, metadata={"example": "org"})
    id = Id(required=True, metadata={"example": "0199f0c2-b7a0-7c3f-9f5d-2f7a1c3e5b7d"})
    name = Text(80, required=True, metadata={"example": "共青团陵川县委员会"})


class ParticipationOut(page_of(FigureRowOut, "FigurePage")):  # type: ignore[misc]
    """A page of figures. ``totals`` covers all rows of all pages; people in several rows are one person there."""

    first_day = Day(data_key="from", required=True, metadata={"example": "2026-10-01"})
    last_day = Day(data_key="to", required=True, metadata={"example": "2026-10-31"})
    by = Choice(Dimension, required=True, metadata={"example": "county"})
    as_of = Instant(required=True, metadata={"example": "2026-10-31T20:00:00+08:00"})
    scope = Listed(Inner(ScopeNodeOut), MAX_SCOPE, required=True)
    totals = Inner(FiguresOut, required=True)


class CountyTotalsQuery(Query):
    month = Text(
        7,
        7,
        pattern="20[0-9]{2}-(0[1-9]|1[0-2])",
        required=True,
        metadata={
            "example": "2026-08",
            "description": "月份（北京时间），结束满一周 · a month, in Shanghai, that ended a week ago or before",
        },
    )


class CountyFiguresOut(Out):
    """Totals of activities, each null where it would tell of 1 to 4 people whom the reader does not answer for.

    ``check_ins`` is 人次, ``people`` 人数, as in the figures of participation.
    """

    activities = Whole(high=_MAX_COUNT, required=True, metadata={"example": 12})
    check_ins = Whole(high=_MAX_COUNT, required=True, allow_none=True, metadata={"example": 198})
    people = Whole(high=_MAX_COUNT, required=True, allow_none=True, metadata={"example": 141})
    attendance_rate = Decimal(
        0,
        1,
        required=True,
        allow_none=True,
        metadata={
            "example": 0.8649,
            "description": "没有应到者，或到场者、缺席者为 1 至 4 人时为 null · null also while nobody is expected, or where 1 to 4 came or were absent",
        },
    )
    withheld = Flag(
        required=True,
        metadata={
            "example": False,
            "description": "人次和人数因涉及 1 至 4 人、或可由合计推出这样的数而不公布 · not given, because they or what follows from them and the totals are of 1 to 4 people",
        },
    )


class CountyRowOut(CountyFiguresOut):
    key = Inner(FigureKeyOut, required=True)


class CountyTotalsOut(Out):
    """The counties with activities in a month, by code; last, without id, what belongs to no county, such as activities of the city."""

    month = Text(7, 7, required=True, metadata={"example": "2026-08"})
    as_of = Instant(required=True, metadata={"example": "2026-10-31T20:00:00+08:00"})
    counties = Listed(Inner(CountyRowOut), MAX_COUNTIES, required=True)
    totals = Inner(CountyFiguresOut, required=True)


class CheckedOut(Out):
    """How many rows were looked at."""

    activities = Whole(high=_MAX_COUNT, required=True, metadata={"example": 10000})
    sign_ups = Whole(high=_MAX_COUNT, required=True, metadata={"example": 1000000})


class IntegrityCheckOut(Out):
    """Something that must hold, and how often it does not; ``examples`` are ids of activities where."""

    name = Text(40, required=True, metadata={"example": "over_capacity"})
    zh = Text(80, required=True, metadata={"example": "没有活动超额"})
    en = Text(120, required=True, metadata={"example": "no activity is over its capacity"})
    violations = Whole(high=_MAX_COUNT, required=True, metadata={"example": 0})
    examples = Listed(Id(), EXAMPLES, required=True, metadata={"example": []})


class IntegrityOut(Out):
    """Whether all counters equal the rows they count, and whatever else must always hold. Expected: no violations."""

    as_of = Instant(required=True, metadata={"example": "2026-10-31T20:00:00+08:00"})
    checked = Inner(CheckedOut, required=True)
    violations = Whole(high=_MAX_COUNT, required=True, metadata={"example": 0})
    checks = Listed(Inner(IntegrityCheckOut), _MAX_CHECKS, required=True)
    seconds = Decimal(0, _MAX_SECONDS, required=True, metadata={"example": 1.9})
