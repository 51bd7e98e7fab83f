"""The activities of the demo: what is planned for when, read from the data and dated around the present."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from engage.core import clock
from engage.core.imports import data_rows

if TYPE_CHECKING:
    from collections.abc import Mapping

OPEN_HOUSE: Final = "团青有约：青年之家开放日"  # runs now, at the hub of the manager: the tour ends there
REVIEWED: Final = "青年骨干培训班：基层治理专题"
DRAWN: Final = "青年音乐会：新年专场"
IN_POOLS: Final = "返乡青年创业集市：陵川站"
_SIGN_UP_OPENS: Final = timedelta(days=21)
_SIGN_UP_CLOSES: Final = timedelta(hours=2)
_LAST_ENTRY: Final = timedelta(minutes=30)
_GRID_MINUTES: Final = 5

_QUESTIONS: Final[Mapping[str, list[dict[str, Any]]]] = {
    "": [],
    "hobby": [
        {
            "kind": "choice",
            "label": "最想参加的环节？",
            "required": True,
            "choices": ["桌游", "茶艺", "观影"],
        },
        {"kind": "text", "label": "想对组织者说的话", "max_length": 100},
    ],
    "level": [
        {"kind": "choice", "label": "您的水平？", "required": True, "choices": ["新手", "业余", "校队或以上"]}
    ],
    "lunch": [
        {"kind": "choice", "label": "午餐", "required": True, "choices": ["不限", "素食", "清真"]},
        {"kind": "number", "label": "步行十公里以上的经历有几次？", "min": 0, "max": 100},
    ],
    "topic": [
        {"kind": "multiple_choice", "label": "想聊的话题", "choices": ["租房", "社保", "子女入学", "交友"]}
    ],
    "guitar": [{"kind": "choice", "label": "吉他", "required": True, "choices": ["自带", "现场借用"]}],
    "stall": [{"kind": "text", "label": "想摆摊的请写品类", "max_length": 60}],
}


_POOLS: Final[list[dict[str, Any]]] = [
    {"name": "陵川籍青年", "audience": "counties", "county_codes": ["140524"], "capacity": 12},
    {"name": "团员", "audience": "members", "capacity": 4},
    {"name": "其他青年", "audience": "everybody", "capacity": 8, "overflow_rank": 1},
]
_DRAWN_BEFORE: Final = timedelta(minutes=90)  # before the queue closes, also where a city closes it sooner


class Story(StrEnum):
    """What has become of an activity by now."""

    PAST = "past"  # over and summarised
    ENDED = "ended"  # over, not yet summarised
    NOW = "now"
    OPEN = "open"
    FULL = "full"  # with a queue
    LATER = "later"  # sign-up has not opened
    DRAFT = "draft"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Event:
    """One planned activity. ``youth`` says what the youth of the tour does with it."""

    title: str
    project: str
    county_code: str
    hub: str
    place: str
    summary: str
    story: Story
    youth: str
    sign_ups: int
    starts_at: datetime
    ends_at: datetime
    opens_at: datetime
    closes_at: datetime
    wishes: dict[str, Any]

    @property
    def is_over(self) -> bool:
        return self.story in (Story.PAST, Story.ENDED)


def programme(now: datetime) -> list[Event]:
    """Return the plan, dated around an instant."""
    return [_event(row, now) for row in data_rows("demo/activities.csv")]


def _event(row: Mapping[str, str], now: datetime) -> Event:
    story = Story(row["story"])
    starts_at = _start(row, now)
    ends_at = starts_at + timedelta(minutes=int(row["minutes"]))
    return Event(
        title=row["title"],
        project=row["project"],
        county_code=row["county_code"],
        hub=row["hub"],
        place=row["place"],
        summary=row["summary"],
        story=story,
        youth=row["youth"],
        sign_ups=int(row["sign_ups"]),
        starts_at=starts_at,
        ends_at=ends_at,
        opens_at=starts_at - _SIGN_UP_OPENS,
        closes_at=ends_at - _LAST_ENTRY if story is Story.NOW else starts_at - _SIGN_UP_CLOSES,
        wishes={
            "capacity": int(row["capacity"]),
            "waitlist_capacity": int(row["waitlist"]),
            "min_age": _whole(row["min_age"]),
            "max_age": _whole(row["max_age"]),
            "county_codes": row["county_codes"].split(),
            "members_only": bool(row["members_only"]),
            "questions": _QUESTIONS[row["questions"]],
            "service_minutes": _whole(row["service_minutes"]) or 0,
            "admission": _admission(row["title"], starts_at),
        },
    )


def _admission(title: str, starts_at: datetime) -> dict[str, Any] | None:
    """Return how the places of an activity are given, None for first come, first served."""
    if title == REVIEWED:
        return {"mode": "review"}
    if title == DRAWN:
        draws_at = (starts_at - _DRAWN_BEFORE).astimezone(clock.SHANGHAI).isoformat()
        return {"mode": "lottery", "lottery": {"draws_at": draws_at, "first_time_weight": 2}}
    return {"pools": _POOLS} if title == IN_POOLS else None


def _start(row: Mapping[str, str], now: datetime) -> datetime:
    """Return a time of day on a day counted from today, or so many minutes before now."""
    if row["at"].startswith("-"):
        grid = timedelta(minutes=_GRID_MINUTES)
        whole = now - (now - clock.day_start(clock.shanghai_day(now))) % grid
        return whole + timedelta(minutes=int(row["at"]))
    hours, minutes = map(int, row["at"].split(":"))
    day = clock.shanghai_day(now) + timedelta(days=int(row["day"]))
    return clock.day_start(day) + timedelta(hours=hours, minutes=minutes)


def _whole(value: str) -> int | None:
    return int(value) if value else None
