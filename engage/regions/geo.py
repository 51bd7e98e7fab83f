"""Coordinates and distance. Inside the service every point is GCJ-02, what maps in WeChat show."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

EARTH_RADIUS_M: Final = 6_371_008.8  # mean radius R1 (IUGG)
_KRASOVSKY_A: Final = 6_378_245.0
_KRASOVSKY_EE: Final = 0.00669342162296594323
_METRES_PER_DEGREE: Final = math.pi * EARTH_RADIUS_M / 180
_INVERSE_STEPS: Final = 6  # fixed-point iteration: error below 1e-9 degrees


class CoordType(StrEnum):
    GCJ02 = "gcj02"
    WGS84 = "wgs84"


@dataclass(frozen=True, slots=True)
class Point:
    """A position in degrees."""

    lat: float
    lng: float


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle that contains a circle; ``lng_spans`` has two parts where it crosses the 180th meridian."""

    south: float
    north: float
    lng_spans: tuple[tuple[float, float], ...]


def _wave(value: float, *terms: tuple[float, float]) -> float:
    return sum(weight * math.sin(value * factor * math.pi) for weight, factor in terms) * 2 / 3


def _offset(point: Point) -> tuple[float, float]:
    """Return how far GCJ-02 lies from WGS-84, in degrees (the published polynomial on the Krasovsky ellipsoid)."""
    x, y = point.lng - 105.0, point.lat - 35.0
    ripple = _wave(x, (20, 6), (20, 2))
    north = -100 + 2 * x + 3 * y + 0.2 * y * y + 0.1 * x * y + 0.2 * math.sqrt(abs(x))
    north += ripple + _wave(y, (20, 1), (40, 1 / 3)) + _wave(y, (160, 1 / 12), (320, 1 / 30))
    east = 300 + x + 2 * y + 0.1 * x * x + 0.1 * x * y + 0.1 * math.sqrt(abs(x))
    east += ripple + _wave(x, (20, 1), (40, 1 / 3)) + _wave(x, (150, 1 / 12), (300, 1 / 30))
    latitude = math.radians(point.lat)
    magic = 1 - _KRASOVSKY_EE * math.sin(latitude) ** 2
    meridian = _KRASOVSKY_A * (1 - _KRASOVSKY_EE) / (magic * math.sqrt(magic))
    parallel = _KRASOVSKY_A / math.sqrt(magic) * math.cos(latitude)
    return math.degrees(north / meridian), math.degrees(east / parallel)


def _is_shifted(point: Point) -> bool:
    return 72.004 <= point.lng <= 137.8347 and 0.8293 <= point.lat <= 55.8271  # noqa: PLR2004 - published limits


def wgs84_to_gcj02(point: Point) -> Point:
    """Convert a GPS position; outside mainland China's box the systems agree."""
    if not _is_shifted(point):
        return point
    lat, lng = _offset(point)
    return Point(point.lat + lat, point.lng + lng)


def gcj02_to_wgs84(point: Point) -> Point:
    """Convert back by iteration."""
    guess = point
    for _ in range(_INVERSE_STEPS):
        there = wgs84_to_gcj02(guess)
        guess = Point(guess.lat + point.lat - there.lat, guess.lng + point.lng - there.lng)
    return guess


def to_gcj02(point: Point, system: CoordType) -> Point:
    """Return a point in the service's own system."""
    return wgs84_to_gcj02(point) if system is CoordType.WGS84 else point


def distance_m(a: Point, b: Point) -> float:
    """Return the great-circle distance in metres (haversine on the mean sphere)."""
    lat_a, lat_b = math.radians(a.lat), math.radians(b.lat)
    half_lat, half_lng = (lat_b - lat_a) / 2, math.radians(b.lng - a.lng) / 2
    chord = math.sin(half_lat) ** 2 + math.cos(lat_a) * math.cos(lat_b) * math.sin(half_lng) ** 2
    return 2 * EARTH_RADIUS_M * math.asin(math.sqrt(min(1.0, chord)))


def box_around(centre: Point, radius_m: float) -> Box:
    """Return the box of latitudes and longitudes that contains a circle."""
    reach = radius_m / _METRES_PER_DEGREE
    south, north = max(-90.0, centre.lat - reach), min(90.0, centre.lat + reach)
    ratio = math.sin(math.radians(min(reach, 90.0))) / max(math.cos(math.radians(centre.lat)), 1e-12)
    if south <= -90.0 or north >= 90.0 or ratio >= 1:  # noqa: PLR2004 - the poles
        return Box(south, north, ((-180.0, 180.0),))
    width = math.degrees(math.asin(ratio))
    west, east = centre.lng - width, centre.lng + width
    if west <= -180.0:  # noqa: PLR2004
        return Box(south, north, ((west + 360.0, 180.0), (-180.0, east)))
    if east >= 180.0:  # noqa: PLR2004
        return Box(south, north, ((west, 180.0), (-180.0, east - 360.0)))
    return Box(south, north, ((west, east),))


def position_of(lat: float | None, lng: float | None) -> dict[str, float] | None:
    """Return the wire form of a stored position."""
    return None if lat is None or lng is None else {"lat": lat, "lng": lng}
