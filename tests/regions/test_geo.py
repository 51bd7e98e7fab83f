"""Coordinates against published vectors, distances against known ones, boxes against every point of their circle."""

from __future__ import annotations

import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from engage.regions.geo import (
    EARTH_RADIUS_M,
    Box,
    CoordType,
    Point,
    box_around,
    distance_m,
    gcj02_to_wgs84,
    to_gcj02,
    wgs84_to_gcj02,
)

# WGS-84 and GCJ-02 of Shanghai, Shenzhen and Beijing, and how far they lie apart in metres.
VECTORS = [
    (Point(31.1774276, 121.5272106), Point(31.17530398364597, 121.531541859215), 475),
    (Point(22.543847, 113.912316), Point(22.540796131694766, 113.9171764808363), 604),
    (Point(39.911954, 116.377817), Point(39.91334545536069, 116.38404722455657), 553),
]
latitudes = st.floats(-90, 90)
longitudes = st.floats(-180, 180)
points = st.builds(Point, latitudes, longitudes)
in_china = st.builds(Point, st.floats(4, 53), st.floats(74, 135))
HALF_WAY_M = math.pi * EARTH_RADIUS_M


def holds(box: Box, point: Point, slack: float = 0.0) -> bool:
    """Whether a point lies in a box, give or take a rounding of degrees."""
    inside = any(west - slack <= point.lng <= east + slack for west, east in box.lng_spans)
    return box.south - slack <= point.lat <= box.north + slack and inside


def travel(start: Point, bearing: float, metres: float) -> Point:
    """The point some way off in a direction (radians from north), by the formula of the direct problem."""
    lat, lng, angle = math.radians(start.lat), math.radians(start.lng), metres / EARTH_RADIUS_M
    sine = math.sin(lat) * math.cos(angle) + math.cos(lat) * math.sin(angle) * math.cos(bearing)
    there = math.asin(max(-1.0, min(1.0, sine)))
    east = math.sin(bearing) * math.sin(angle) * math.cos(lat)
    turn = math.atan2(east, math.cos(angle) - math.sin(lat) * math.sin(there))
    return Point(math.degrees(there), (math.degrees(lng + turn) + 540) % 360 - 180)


@pytest.mark.parametrize(("wgs", "gcj", "metres"), VECTORS)
def test_the_published_positions_are_met(wgs, gcj, metres):
    there = wgs84_to_gcj02(wgs)
    assert there.lat == pytest.approx(gcj.lat, abs=1e-6)
    assert there.lng == pytest.approx(gcj.lng, abs=1e-6)
    assert distance_m(wgs, there) == pytest.approx(metres, abs=1)


@pytest.mark.parametrize(("wgs", "gcj", "metres"), VECTORS)
def test_the_way_back_is_exact_to_a_billionth_of_a_degree(wgs, gcj, metres):
    back = gcj02_to_wgs84(wgs84_to_gcj02(wgs))
    assert back.lat == pytest.approx(wgs.lat, abs=1e-9)
    assert back.lng == pytest.approx(wgs.lng, abs=1e-9)


@given(in_china)
def test_there_and_back_ends_where_it_began(point):
    back = gcj02_to_wgs84(wgs84_to_gcj02(point))
    assert back.lat == pytest.approx(point.lat, abs=1e-9)
    assert back.lng == pytest.approx(point.lng, abs=1e-9)


@given(in_china)
def test_the_shift_is_of_some_hundred_metres(point):
    assert distance_m(point, wgs84_to_gcj02(point)) < 1500


@pytest.mark.parametrize(
    "point",
    [
        Point(51.5, -0.12),
        Point(35.0, 72.003),
        Point(35.0, 137.8348),
        Point(0.8292, 110.0),
        Point(55.8272, 110.0),
        Point(-90, 0),
    ],
)
def test_outside_of_china_the_systems_agree(point):
    assert wgs84_to_gcj02(point) == point
    assert gcj02_to_wgs84(point) == point


def test_a_position_is_taken_in_the_system_it_is_given_in():
    wgs, gcj, _ = VECTORS[0]
    assert to_gcj02(gcj, CoordType.GCJ02) == gcj
    assert to_gcj02(wgs, CoordType.WGS84) == wgs84_to_gcj02(wgs)


@pytest.mark.parametrize(
    ("a", "b", "metres"),
    [
        (Point(0, 0), Point(0, 0), 0),
        (Point(0, 0), Point(0, 1), 111_195.08),
        (Point(0, 0), Point(1, 0), 111_195.08),
        (Point(60, 0), Point(60, 1), 55_595.4),
        (Point(0, 0), Point(0, 180), HALF_WAY_M),
        (Point(90, 0), Point(-90, 77), HALF_WAY_M),
        (Point(0, 179.5), Point(0, -179.5), 111_195.08),
        (Point(35.50185, 112.83893), Point(37.86990, 112.56650), 264_400),  # 晋城 to 太原
    ],
)
def test_distances_are_those_on_the_sphere(a, b, metres):
    assert distance_m(a, b) == pytest.approx(metres, rel=1e-3, abs=1e-6)


@given(points, points)
def test_a_distance_is_the_same_both_ways_and_at_most_half_way_round(a, b):
    assert distance_m(a, b) == pytest.approx(distance_m(b, a), abs=1e-6)
    assert 0 <= distance_m(a, b) <= HALF_WAY_M + 1e-6


@given(points, points, points)
def test_no_way_round_is_shorter(a, b, c):
    assert distance_m(a, c) <= distance_m(a, b) + distance_m(b, c) + 1e-3


@given(points, st.floats(0, 2 * math.pi), st.floats(0, 2_000_000))
@example(Point(0.0, 180.0), math.pi / 2, 1000.0)
@example(Point(0.0, 180.0), 0.0, 0.0)
@example(Point(0.0, -180.0), 3 * math.pi / 2, 1000.0)
@example(Point(89.9999, 0.0), 0.0, 100_000.0)
@example(Point(-90.0, 0.0), 1.0, 5_000.0)
@example(Point(90.0, 0.0), 1.0, 0.0)
@example(Point(80.0, 10.0), math.pi / 2, 1_100_000.0)
def test_every_point_within_the_radius_lies_in_the_box(centre, bearing, radius):
    there = travel(centre, bearing, radius * 0.999)
    assert distance_m(centre, there) <= radius + 1e-3
    assert holds(box_around(centre, radius), there, slack=1e-7)


@given(points, points, st.floats(1, 20_000_000))
def test_a_point_outside_the_box_is_farther_than_the_radius(centre, other, radius):
    if not holds(box_around(centre, radius), other, slack=1e-7):
        assert distance_m(centre, other) > radius * 0.999


@given(st.builds(Point, st.floats(-80, 80), longitudes), st.floats(1, 50_000))
def test_a_box_is_not_much_larger_than_its_circle(centre, radius):
    box = box_around(centre, radius)
    width = sum(east - west for west, east in box.lng_spans)
    assert (box.north - box.south) * 111_195 == pytest.approx(2 * radius, rel=1e-3)
    assert width * 111_195 * math.cos(math.radians(centre.lat)) == pytest.approx(2 * radius, rel=0.01)


@given(points, st.floats(0, 30_000_000))
def test_a_box_stays_on_the_globe(centre, radius):
    box = box_around(centre, radius)
    assert -90 <= box.south <= box.north <= 90
    assert all(-180 <= west <= east <= 180 for west, east in box.lng_spans)


def test_a_box_over_the_date_line_has_two_parts():
    east, west = box_around(Point(10, 179.99), 5_000), box_around(Point(10, -179.99), 5_000)
    for box in (east, west):
        assert len(box.lng_spans) == 2
        assert holds(box, Point(10, 179.999))
        assert holds(box, Point(10, -179.999))
        assert not holds(box, Point(10, 0))
    assert len(box_around(Point(10, 112), 5_000).lng_spans) == 1


@pytest.mark.parametrize("lat", [89.99, -89.99, 90, -90])
def test_a_box_over_a_pole_has_all_longitudes(lat):
    box = box_around(Point(lat, 25), 5_000)
    assert box.lng_spans == ((-180.0, 180.0),)
    assert (box.north == 90) is (lat > 0)
    assert (box.south == -90) is (lat < 0)
