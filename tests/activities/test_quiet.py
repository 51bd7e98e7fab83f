"""Quiet hours, by examples and against a minute-by-minute count."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engage.activities.service.quiet import QuietHours
from engage.core.clock import SHANGHAI

NIGHT = QuietHours(22 * 60, 8 * 60)
MINUTE = timedelta(minutes=1)


def at(hour, minute=0, day=1):
    return datetime(2026, 10, day, hour, minute, tzinfo=SHANGHAI)


@pytest.mark.parametrize(
    ("instant", "audible"),
    [
        (at(21, 59), at(21, 59)),
        (at(22), at(8, day=2)),
        (at(23, 30), at(8, day=2)),
        (at(3), at(8)),
        (at(7, 59), at(8)),
        (at(8), at(8)),
    ],
)
def test_night_ends_at_eight(instant, audible):
    assert NIGHT.next_end(instant) == audible


def test_quiet_hours_within_a_day():
    noon = QuietHours(12 * 60, 14 * 60)
    assert noon.next_end(at(12, 30)) == at(14)
    assert noon.next_end(at(14)) == at(14)
    assert noon.after(at(11, 30), timedelta(hours=2)) == at(15, 30)


def test_none_when_they_end_as_they_begin():
    assert QuietHours(480, 480).after(at(23), timedelta(hours=2)) == at(1, day=2)


@pytest.mark.parametrize(
    ("instant", "expires"),
    [
        (at(10), at(12)),
        (at(20), at(22)),
        (at(21, 50), at(9, 50, day=2)),
        (at(23), at(10, day=2)),
        (at(2), at(10)),
    ],
)
def test_an_offer_of_two_hours_does_not_run_at_night(instant, expires):
    assert NIGHT.after(instant, timedelta(hours=2)) == expires


@given(
    begins=st.integers(0, 1439),
    ends=st.integers(0, 1439),
    start=st.integers(0, 3 * 1440),
    waking=st.integers(1, 3000),
)
def test_as_a_count_of_minutes_says(begins, ends, start, waking):
    quiet, begin = QuietHours(begins, ends), at(0) + start * MINUTE
    now, counted = begin, 0
    while counted < waking:
        counted += quiet.next_end(now) == now
        now += MINUTE
    assert quiet.after(begin, waking * MINUTE) == now
