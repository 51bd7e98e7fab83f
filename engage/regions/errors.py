"""Refusals about divisions."""

from __future__ import annotations

from engage.core.errors import NotFound


class NoSuchDivision(NotFound):
    code = "no_such_division"
    zh, en = "没有这个行政区划代码。", "There is no division with this code."


class NoCountyNear(NotFound):
    code = "no_county_near"
    zh, en = "附近没有已收录位置的县（市、区）。", "No county with a known position is near this point."
