"""JSON shapes of divisions, and the position fields that other features share."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any, Final

from marshmallow import ValidationError, fields, post_load

from engage.core.schemas import (
    Choice,
    Decimal,
    Fault,
    Flag,
    In,
    Inner,
    Listed,
    Out,
    PageQuery,
    Query,
    Text,
    Whole,
    page_of,
)
from engage.regions.geo import CoordType, Point, to_gcj02
from engage.regions.models import DivisionLevel, SuccessorBasis

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_RADIUS_M: Final = 50_000
_POINT: Final = re.compile(r"(-?\d{1,3}(?:\.\d{1,12})?),(-?\d{1,3}(?:\.\d{1,12})?)", re.ASCII)


class PointText(fields.Field[Point]):
    """``lat,lng`` in degrees, in a query string."""

    default_error_messages = {"required": "required", "null": "null"}

    def __init__(self, **options: Any) -> None:
        metadata = {"type": "string", "example": "35.50185,112.83893", **options.pop("metadata", {})}
        super().__init__(metadata=metadata, **options)

    def _deserialize(
        self,
        value: Any,
        attr: str | None,
        data: Mapping[str, Any] | None,
        **kwargs: Any,
    ) -> Point:
        match = _POINT.fullmatch(value) if isinstance(value, str) else None
        point = Point(float(match[1]), float(match[2])) if match else None
        if point is None or abs(point.lat) > 90 or abs(point.lng) > 180 or not math.isfinite(point.lat):  # noqa: PLR2004
            raise ValidationError(Fault("not_point"))
        return point


class _NearMixin:
    near = PointText(load_default=None, metadata={"description": "纬度,经度 · latitude,longitude"})
    coord_type = Choice(
        CoordType, load_default=CoordType.GCJ02, metadata={"description": "near 的坐标系 · system of near"}
    )

    @post_load
    def _to_gcj02(self, data: dict[str, Any], **_: Any) -> dict[str, Any]:
        system = data.pop("coord_type")
        if data["near"] is not None:
            data["near"] = to_gcj02(data["near"], system)
        return data


class NearQuery(_NearMixin, Query):
    """A query with an optional position; after loading, ``near`` is a GCJ-02 ``Point`` or None."""


class NearestCountyQuery(NearQuery):
    near = PointText(required=True, metadata={"description": "纬度,经度 · latitude,longitude"})


class NearPageQuery(_NearMixin, PageQuery):
    """A list that can be asked for around a position."""

    radius_m = Whole(
        100, MAX_RADIUS_M, load_default=10_000, metadata={"description": "与 near 同用 · used with near"}
    )


class PositionIn(In):
    """A position to store; after loading a GCJ-02 ``Point``."""

    lat = Decimal(-90, 90, required=True, metadata={"example": 35.50185})
    lng = Decimal(-180, 180, required=True, metadata={"example": 112.83893})
    coord_type = Choice(CoordType, load_default=CoordType.GCJ02)

    @post_load
    def _to_point(self, data: dict[str, Any], **_: Any) -> Point:
        return to_gcj02(Point(data["lat"], data["lng"]), data["coord_type"])


class PositionOut(Out):
    """A position in GCJ-02."""

    lat = Decimal(-90, 90, required=True, metadata={"example": 35.50185})
    lng = Decimal(-180, 180, required=True, metadata={"example": 112.83893})


class DivisionCode(Text):
    """A code of 6, 9 or 12 digits. Whether it exists is for the service to say."""

    def __init__(self, **options: Any) -> None:
        metadata = {"example": "140524", **options.pop("metadata", {})}
        super().__init__(12, 6, pattern=r"\d{6}(\d{3}){0,2}", metadata=metadata, **options)


class RegionsQuery(PageQuery):
    parent = DivisionCode(
        load_default=None, metadata={"example": "140500", "description": "上级代码，缺省为省级 · parent code"}
    )
    name = Text(
        30, load_default=None, metadata={"example": "陵", "description": "名称开头 · beginning of the name"}
    )
    level = Choice(DivisionLevel, load_default=None)


class RegionOut(Out):
    code = DivisionCode(required=True)
    name = Text(60, required=True, metadata={"example": "陵川县"})
    level = Choice(DivisionLevel, required=True, metadata={"example": "county"})
    parent_code = DivisionCode(required=True, allow_none=True, metadata={"example": "140500"})
    position = Inner(PositionOut, required=True, allow_none=True)


class RegionRefOut(Out):
    code = DivisionCode(required=True)
    name = Text(60, required=True, metadata={"example": "陵川县"})


class RegionDetailOut(RegionOut):
    kind = Text(10, required=True, allow_none=True, metadata={"example": None})
    ancestors = Listed(Inner(RegionRefOut), 5, required=True)
    is_retired = Flag(required=True, metadata={"example": False})
    retired_after = Whole(1949, 2200, required=True, allow_none=True, metadata={"example": None})
    successor = Inner(RegionRefOut, required=True, allow_none=True, metadata={"example": None})
    successor_basis = Choice(SuccessorBasis, required=True, allow_none=True, metadata={"example": None})


class NearestCountyOut(Out):
    code = DivisionCode(required=True)
    name = Text(60, required=True, metadata={"example": "陵川县"})
    distance_m = Whole(required=True, metadata={"example": 1200})


RegionPage = page_of(RegionOut, "RegionPage")
