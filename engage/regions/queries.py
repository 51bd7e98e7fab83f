"""Reads of divisions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Float, and_, bindparam, literal, or_, select
from sqlalchemy.orm import aliased

from engage.core.paging import Page, Pager, beyond
from engage.regions.errors import NoCountyNear, NoSuchDivision
from engage.regions.geo import Box, Point, box_around, distance_m, position_of
from engage.regions.models import Division, DivisionLevel

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import ColumnElement, SQLColumnExpression

    from engage.core.db import Context

# Beyond this a “nearest county” would only be the least far of those whose position is known.
_NEAREST_COUNTY_M: Final = 100_000


def within(box: Box, lat: SQLColumnExpression[Any], lng: SQLColumnExpression[Any]) -> ColumnElement[bool]:
    """Return the condition that a position lies in a box."""
    return and_(
        lat.between(box.south, box.north), or_(*(lng.between(west, east) for west, east in box.lng_spans))
    )


def box_filters(
    lat: SQLColumnExpression[Any], lng: SQLColumnExpression[Any]
) -> dict[str, Callable[[], ColumnElement[bool]]]:
    """Return the filters of a list whose box is bound when it runs: of one span of longitudes, and of two."""
    return {"box": lambda: _inside(1, lat, lng), "two_boxes": lambda: _inside(2, lat, lng)}


def box_values(box: Box) -> dict[str, Any]:
    """Return what ``box_filters`` binds; the name of the filter that fits is among it."""
    values: dict[str, Any] = {"south": box.south, "north": box.north}
    for span, (west, east) in enumerate(box.lng_spans):
        values |= {f"west_{span}": west, f"east_{span}": east}
    return values | {"box" if len(box.lng_spans) == 1 else "two_boxes": True}


def _inside(spans: int, lat: SQLColumnExpression[Any], lng: SQLColumnExpression[Any]) -> ColumnElement[bool]:
    edges = tuple((_edge(f"west_{span}"), _edge(f"east_{span}")) for span in range(spans))
    return within(Box(_edge("south"), _edge("north"), edges), lat, lng)


def _edge(name: str) -> Any:
    return bindparam(name, type_=Float())


def list_regions(look: Context, query: dict[str, Any]) -> Page:
    """Return current divisions below a parent, or whose name begins with a text, by code."""
    pager = Pager(look.settings, "regions", query)
    statement = select(
        Division.code, Division.name, Division.level, Division.parent_code, Division.lat, Division.lng
    )
    statement = statement.where(Division.retired_after.is_(None))
    if query["name"]:
        statement = statement.where(Division.name.startswith(query["name"], autoescape=True))
    if query["parent"] or not query["name"]:
        statement = statement.where(Division.parent_code == query["parent"])
    if query["level"]:
        statement = statement.where(Division.level == query["level"])
    after = pager.after()
    if after:
        statement = statement.where(beyond([Division.code], after))
    rows = look.db.execute(statement.order_by(Division.code).limit(query["limit"] + 1)).all()
    return pager.page([_region(row) for row in rows], lambda item: [item["code"]])


def _region(row: Any) -> dict[str, Any]:
    code, name, level, parent_code, lat, lng = row
    return {
        "code": code,
        "name": name,
        "level": level,
        "parent_code": parent_code,
        "position": position_of(lat, lng),
    }


def read_region(look: Context, code: str) -> dict[str, Any]:
    """Return one division, retired or not, with its ancestors from the province down.

    Raises:
        NoSuchDivision: the code was never in use.

    """
    successor = aliased(Division)
    row = look.db.execute(
        select(Division.__table__, successor.name.label("successor_name"))
        .outerjoin(successor, successor.code == Division.successor_code)
        .where(Division.code == code)
    ).one_or_none()
    if row is None:
        raise NoSuchDivision
    return {
        **row._mapping,  # noqa: SLF001 - the public name of a row's mapping
        "position": position_of(row.lat, row.lng),
        "ancestors": _ancestors(look, row.parent_code),
        "is_retired": row.retired_after is not None,
        "successor": {"code": row.successor_code, "name": row.successor_name} if row.successor_code else None,
    }


def _ancestors(look: Context, code: str | None) -> list[dict[str, str]]:
    if code is None:
        return []
    line = (
        select(Division.code, Division.name, Division.parent_code, literal(0).label("steps"))
        .where(Division.code == code)
        .cte("line", recursive=True)
    )
    line = line.union_all(
        select(Division.code, Division.name, Division.parent_code, line.c.steps + 1).where(
            Division.code == line.c.parent_code
        )
    )
    rows = look.db.execute(select(line.c.code, line.c.name).order_by(line.c.steps.desc()))
    return [{"code": code, "name": name} for code, name in rows]


def nearest_county(look: Context, near: Point) -> dict[str, Any]:
    """Return the county whose seat is nearest to a point in GCJ-02.

    Raises:
        NoCountyNear: none within 100 km has a known seat.

    """
    rows = look.db.execute(
        select(Division.code, Division.name, Division.lat, Division.lng).where(
            Division.level == DivisionLevel.COUNTY,
            Division.retired_after.is_(None),
            within(box_around(near, _NEAREST_COUNTY_M), Division.lat, Division.lng),
        )
    )
    measured = [
        (distance_m(near, Point(lat, lng)), code, name)
        for code, name, lat, lng in rows
        if lat is not None and lng is not None  # certain from the filter, but not to the type checker
    ]
    if not measured or min(measured)[0] > _NEAREST_COUNTY_M:
        raise NoCountyNear
    distance, code, name = min(measured)
    return {"code": code, "name": name, "distance_m": round(distance)}


def current_codes(look: Context, codes: set[str]) -> dict[str, tuple[str, DivisionLevel] | None]:
    """Resolve codes to what they are today.

    Returns:
        For each code that was ever in use, its code and level today, or None if it was retired without a known
        successor. Codes that were never in use are missing.

    """
    today = aliased(Division)
    rows = look.db.execute(
        select(Division.code, Division.retired_after, today.code, today.level)
        .outerjoin(
            today,
            or_(
                and_(Division.retired_after.is_(None), today.code == Division.code),
                today.code == Division.successor_code,
            ),
        )
        .where(Division.code.in_(codes))
    )
    return {code: (now, level) if now else None for code, _, now, level in rows}
