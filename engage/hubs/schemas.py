"""JSON shapes of hubs, and the columns of a list of hubs to import."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

from marshmallow import ValidationError, post_load, validates_schema

from engage.core.errors import InvalidInput, Issue
from engage.core.schemas import (
    Choice,
    ClockTime,
    Decimal,
    Fault,
    Flag,
    Id,
    In,
    Inner,
    Instant,
    Listed,
    Out,
    Query,
    Text,
    Whole,
    invalid,
    issues_of,
    ordered,
    page_of,
)
from engage.hubs.models import HubStatus
from engage.orgs.schemas import OrgRefOut
from engage.regions.geo import CoordType, Point, to_gcj02
from engage.regions.schemas import DivisionCode, NearPageQuery, PositionIn, PositionOut, RegionRefOut

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_WEEK: Final = 7
_MAX_KINDS: Final = 200
_MAX_PERIODS: Final = 28
_MAX_SERVICES: Final = 20
_MAX_SERVICE_CHARS: Final = 20
_MAX_CELL_CHARS: Final = 1000
_PERIOD: Final = re.compile(r"([1-7])(?:-([1-7]))? (\d\d:\d\d)-(\d\d:\d\d)", re.ASCII)
# An office line (area code, 400, or a short number such as 12355): never somebody's own mobile number.
OFFICE_LINE: Final = r"(0\d{2,3}-\d{7,8}(-\d{1,6})?|400-\d{3}-\d{4}|1\d{4})"


class HubKindOut(Out):
    code = Text(40, required=True, metadata={"example": "youth_home"})
    name_zh = Text(40, required=True, metadata={"example": "青年之家"})
    name_en = Text(80, required=True, metadata={"example": "Youth home"})


class HubKindsOut(Out):
    """All kinds of hubs."""

    items = Listed(Inner(HubKindOut), _MAX_KINDS, required=True)


class HubsQuery(NearPageQuery):
    county = DivisionCode(
        load_default=None,
        metadata={"example": "140502", "description": "计入哪个县的站点 · county it counts in"},
    )
    kind = Text(40, load_default=None, metadata={"example": "youth_home"})
    q = Text(40, load_default=None, metadata={"description": "名称或地址中的文字 · text in name or address"})
    open_now = Flag(load_default=False, metadata={"description": "只要此刻开放的 · only those open now"})
    managed = Flag(
        load_default=False,
        metadata={"description": "只要我管理的（含已停用） · only those I manage, whatever their status"},
    )


class _Period:
    weekday = Whole(
        1,
        _WEEK,
        required=True,
        metadata={"example": 6, "description": "1 星期一 … 7 星期日 · 1 Monday … 7 Sunday"},
    )
    opens = ClockTime(required=True, metadata={"example": "09:00"})
    closes = ClockTime(
        required=True,
        metadata={
            "example": "17:30",
            "description": "最晚 24:00；过夜开放分两段写 · 24:00 at most; past midnight is a second period",
        },
    )


class OpeningPeriodIn(_Period, In):
    """One period of a weekday, local time."""

    @validates_schema(skip_on_field_errors=True)
    def _check_order(self, data: dict[str, Any], **_: Any) -> None:
        ordered(data, "opens", "closes")


class OpeningPeriodOut(_Period, Out):
    """One period of a weekday, local time."""


def without_overlap(periods: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return opening hours in the order of the week.

    Raises:
        ValidationError: at the later of two periods that overlap.

    """
    by_time = sorted(enumerate(periods), key=lambda pair: (pair[1]["weekday"], pair[1]["opens"]))
    for (_, before), (index, period) in pairwise(by_time):
        if period["weekday"] == before["weekday"] and period["opens"] < before["closes"]:
            raise ValidationError({"opening_hours": {index: [Fault("overlap")]}})
    return [period for _, period in by_time]


class HubIn(In):
    """A hub to create. ``county_code`` is derived, except where the hub stands away from its home county."""

    name = Text(80, required=True, metadata={"example": "城区东街街道青年之家"})
    kind = Text(40, required=True, metadata={"example": "youth_home"})
    org_id = Id(required=True, metadata={"example": "0199f0c2-b7a0-7c3f-9f5d-2f7a1c3e5b7d"})
    division_code = DivisionCode(
        required=True, metadata={"example": "140502001", "description": "所在地 · where it stands"}
    )
    county_code = DivisionCode(
        load_default=None,
        metadata={
            "description": "驻外站点填家乡县 · only for a hub away from home: the county it belongs to",
            "example": None,
        },
        allow_none=True,
    )
    address = Text(
        200, load_default=None, allow_none=True, metadata={"example": "凤台东街 100 号社区服务中心二楼"}
    )
    position = Inner(PositionIn, load_default=None, allow_none=True)
    opening_hours = Listed(Inner(OpeningPeriodIn), _MAX_PERIODS, load_default=list)
    services = Listed(
        Text(_MAX_SERVICE_CHARS, metadata={"example": "自习阅览"}),
        _MAX_SERVICES,
        unique=True,
        load_default=list,
    )
    contact_name = Text(40, load_default=None, allow_none=True, metadata={"example": "值班室"})
    contact_phone = Text(
        20,
        pattern=OFFICE_LINE,
        load_default=None,
        allow_none=True,
        metadata={"example": "0356-0001234", "description": "公开的办公电话 · public office line"},
    )
    description = Text(
        2000, lines=True, load_default=None, allow_none=True, metadata={"example": "周末有自习和读书会。"}
    )
    status = Choice(HubStatus, load_default=HubStatus.ACTIVE)

    @post_load
    def _sort_periods(self, data: dict[str, Any], **_: Any) -> dict[str, Any]:
        return {**data, "opening_hours": without_overlap(data["opening_hours"])}


class HubEditIn(HubIn):
    """A hub as it shall be; what is left out becomes empty."""

    status = Choice(HubStatus, required=True, metadata={"example": "active"})


class HubOut(Out):
    id = Id(required=True, metadata={"example": "0199f0c2-b7a0-7c3f-9f5d-2f7a1c3e5b7d"})
    name = Text(80, required=True, metadata={"example": "城区东街街道青年之家"})
    kind = Inner(HubKindOut, required=True)
    county = Inner(RegionRefOut, required=True, metadata={"example": {"code": "140502", "name": "城区"}})
    address = Text(
        200, required=True, allow_none=True, metadata={"example": "凤台东街 100 号社区服务中心二楼"}
    )
    position = Inner(PositionOut, required=True, allow_none=True)
    contact_phone = Text(20, required=True, allow_none=True, metadata={"example": "0356-0001234"})
    status = Choice(HubStatus, required=True, metadata={"example": "active"})
    is_open_now = Flag(required=True, metadata={"example": True})
    distance_m = Whole(
        required=True,
        allow_none=True,
        metadata={"example": 850, "description": "未给 near 时为 null · null without near"},
    )


HubPage = page_of(HubOut, "HubPage")


class HubDetailOut(Out):
    id = Id(required=True, metadata={"example": "0199f0c2-b7a0-7c3f-9f5d-2f7a1c3e5b7d"})
    name = Text(80, required=True, metadata={"example": "城区东街街道青年之家"})
    kind = Inner(HubKindOut, required=True)
    org = Inner(OrgRefOut, required=True)
    division = Inner(
        RegionRefOut, required=True, metadata={"example": {"code": "140502001", "name": "东街街道"}}
    )
    county = Inner(RegionRefOut, required=True, metadata={"example": {"code": "140502", "name": "城区"}})
    address = Text(
        200, required=True, allow_none=True, metadata={"example": "凤台东街 100 号社区服务中心二楼"}
    )
    position = Inner(PositionOut, required=True, allow_none=True)
    opening_hours = Listed(Inner(OpeningPeriodOut), _MAX_PERIODS, required=True)
    services = Listed(
        Text(_MAX_SERVICE_CHARS), _MAX_SERVICES, required=True, metadata={"example": ["自习阅览", "政策咨询"]}
    )
    contact_name = Text(40, required=True, allow_none=True, metadata={"example": "值班室"})
    contact_phone = Text(20, required=True, allow_none=True, metadata={"example": "0356-0001234"})
    description = Text(2000, required=True, allow_none=True, metadata={"example": "周末有自习和读书会。"})
    status = Choice(HubStatus, required=True, metadata={"example": "active"})
    is_open_now = Flag(required=True, metadata={"example": True})
    can_manage = Flag(
        required=True, metadata={"example": False, "description": "您可以修改它 · you may edit it"}
    )
    updated_at = Instant(required=True, metadata={"example": "2026-10-01T10:00:00+08:00"})
    version = Whole(1, required=True, metadata={"example": 3})


class HoursText(Text):
    """Opening hours in one cell: ``1-5 09:00-12:00; 1-5 14:00-18:00; 6 09:00-24:00``."""

    def _deserialize(
        self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any
    ) -> Any:
        periods: list[dict[str, Any]] = []
        for part in _parts(super()._deserialize(value, attr, data, **kwargs)):
            match = _PERIOD.fullmatch(part)
            if not match:
                raise ValidationError(Fault("bad_format"))
            days = range(int(match[1]), int(match[2] or match[1]) + 1)
            periods += [{"weekday": day, "opens": match[3], "closes": match[4]} for day in days]
        return Listed(Inner(OpeningPeriodIn), _MAX_PERIODS).deserialize(periods)


class SplitText(Text):
    """Short texts in one cell, between semicolons."""

    def _deserialize(
        self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any
    ) -> Any:
        parts = _parts(super()._deserialize(value, attr, data, **kwargs))
        return Listed(Text(_MAX_SERVICE_CHARS), _MAX_SERVICES, unique=True).deserialize(parts)


def _parts(cell: str) -> list[str]:
    return [part.strip() for part in re.split("[;；]", cell) if part.strip()]


class HubRow(Query):
    """One row of a list to import. Cells are text, as in a query string; an empty one is left out."""

    external_ref = Text(64, required=True, metadata={"example": "JC-0001"})
    name = Text(80, required=True, metadata={"example": "城区东街街道青年之家"})
    kind = Text(40, required=True, metadata={"example": "youth_home"})
    org_ref = Text(64, required=True, metadata={"example": "division:140502001"})
    division_code = DivisionCode(required=True, metadata={"example": "140502001"})
    county_code = DivisionCode(load_default=None)
    address = Text(200, load_default=None)
    lat = Decimal(-90, 90, load_default=None)
    lng = Decimal(-180, 180, load_default=None)
    coord_type = Choice(CoordType, load_default=CoordType.GCJ02)
    opening_hours = HoursText(_MAX_CELL_CHARS, load_default=list)
    services = SplitText(_MAX_CELL_CHARS, load_default=list)
    contact_name = Text(40, load_default=None)
    contact_phone = Text(20, pattern=OFFICE_LINE, load_default=None)
    description = Text(2000, load_default=None)

    @post_load
    def _finish(self, data: dict[str, Any], **_: Any) -> dict[str, Any]:
        lat, lng, system = data.pop("lat"), data.pop("lng"), data.pop("coord_type")
        if (lat is None) != (lng is None):
            given, missing = ("lat", "lng") if lng is None else ("lng", "lat")
            raise invalid("depends_on", given, other=missing)
        position = None if lat is None else to_gcj02(Point(lat, lng), system)
        return {**data, "position": position, "opening_hours": without_overlap(data["opening_hours"])}


HUB_COLUMNS: Final = tuple(HubRow().fields)


def read_hub_rows(rows: Iterable[tuple[int, Mapping[str, str]]]) -> list[tuple[int, dict[str, Any]]]:
    """Check the rows of a list of hubs, each with its line number.

    Raises:
        InvalidInput: faults, at ``/<line>/<column>``.

    """
    loaded: list[tuple[int, dict[str, Any]]] = []
    issues: list[Issue] = []
    for line, row in rows:
        try:
            loaded.append((line, HubRow().load({name: text for name, text in row.items() if text})))
        except ValidationError as error:
            issues += issues_of(error.messages, f"/{line}")
    if issues:
        raise InvalidInput(*issues)
    return loaded
