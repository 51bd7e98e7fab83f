"""Lists and details of hubs: rows of columns, statements built once per combination of filters."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import (
    Integer,
    Select,
    String,
    Uuid,
    and_,
    bindparam,
    func,
    literal,
    or_,
    select,
)
from sqlalchemy.orm import aliased

from engage.core.clock import SHANGHAI
from engage.core.paging import Page, Pager, beyond
from engage.core.prepared import Prepared
from engage.core.sql import is_within_periods
from engage.hubs.access import is_public, manageable, visible_hubs
from engage.hubs.errors import NoSuchHub
from engage.hubs.models import Hub, HubKind, HubStatus
from engage.orgs.access import LATER
from engage.orgs.models import Org
from engage.regions.geo import Point, box_around, distance_m, position_of
from engage.regions.models import Division
from engage.regions.queries import box_filters, box_values

if TYPE_CHECKING:
    from uuid import UUID

    from sqlalchemy import ColumnElement

    from engage.core.db import Context

KINDS_AT_MOST: Final = 200
_HOME_RADIUS_M: Final = 10_000
_LAT, _LNG = 9, 10  # places of the position in a row of the card columns


def _is_open() -> ColumnElement[bool]:
    weekday, time = bindparam("weekday", type_=Integer()), bindparam("time", type_=String())
    return and_(Hub.status == HubStatus.ACTIVE, is_within_periods(Hub.opening_hours, weekday, time))


def _present(look: Context) -> dict[str, Any]:
    """Return the values of the statements here that depend on who asks and when."""
    local = look.now.astimezone(SHANGHAI)
    return {"me": look.actor.id, "now": look.now, "weekday": local.isoweekday(), "time": f"{local:%H:%M}"}


_County = aliased(Division)
_CARD: Final = (
    Hub.id, Hub.name, Hub.kind_code, HubKind.name_zh, HubKind.name_en, Hub.county_code, _County.name, Hub.address,
    Hub.contact_phone, Hub.lat, Hub.lng, Hub.status,
)  # fmt: skip


def _cards(*more: Any) -> Select[Any]:
    columns: tuple[Any, ...] = (*_CARD, _is_open().label("is_open_now"), *more)
    statement: Select[Any] = select(*columns).join(HubKind, HubKind.code == Hub.kind_code)
    return statement.join(_County, _County.code == Hub.county_code)


def _card(row: Any, distance: int | None = None) -> dict[str, Any]:
    (
        hub_id, name, kind, kind_zh, kind_en, county_code, county, address, contact_phone, lat, lng, status, is_open_now,
    ) = row  # fmt: skip
    return {
        "id": hub_id,
        "name": name,
        "kind": {"code": kind, "name_zh": kind_zh, "name_en": kind_en},
        "county": {"code": county_code, "name": county},
        "address": address,
        "position": position_of(lat, lng),
        "contact_phone": contact_phone,
        "status": status,
        "is_open_now": is_open_now,
        "distance_m": distance,
    }


def _key(item: dict[str, Any]) -> list[Any]:
    return [item["county"]["code"], item["name"], item["id"]]


def list_hub_kinds(look: Context) -> list[Any]:
    """Return the kinds of hubs by code: rows of code, name_zh, name_en."""
    columns = (HubKind.code, HubKind.name_zh, HubKind.name_en)
    return [*look.db.execute(select(*columns).order_by(HubKind.code).limit(KINDS_AT_MOST))]


_FILTERS: Final[dict[str, Any]] = {
    "county": lambda: Hub.county_code == bindparam("county", type_=String()),
    "kind": lambda: Hub.kind_code == bindparam("kind", type_=String()),
    "q": lambda: or_(
        Hub.name.icontains(bindparam("q", type_=String()), escape="\\"),
        func.coalesce(Hub.address, "").icontains(bindparam("q", type_=String()), escape="\\"),
    ),
    "open_now": _is_open,
    "managed": lambda: manageable(LATER),
    "public": is_public,
    "visible": lambda: visible_hubs(LATER),
    "after": lambda: beyond(
        [Hub.county_code, Hub.name, Hub.id],
        [
            bindparam("after_county", type_=String()),
            bindparam("after_name", type_=String()),
            bindparam("after_id", type_=Uuid()),
        ],
    ),
    **box_filters(Hub.lat, Hub.lng),
}


@cache
def _list(filters: frozenset[str]) -> Prepared[Any]:
    statement = _cards().where(*(_FILTERS[name]() for name in sorted(filters)))
    if filters & {"box", "two_boxes"}:
        return Prepared(statement)
    by_name = statement.order_by(Hub.county_code, Hub.name, Hub.id)
    return Prepared(by_name.limit(bindparam("rows", type_=Integer())))


def list_hubs(look: Context, query: dict[str, Any]) -> Page:
    """Return hubs by county and name, or by distance when ``near`` is given. One statement."""
    pager = Pager(look.settings, "hubs", query)
    after = pager.after()
    values = _values(look, query)
    if query["near"] is not None:
        found = _around(look, query["near"], query["radius_m"], values)
        if after:
            found = [pair for pair in found if _near_key(pair) > (after[0], after[1].bytes)]
        items = [_card(row, metres) for metres, row in found[: query["limit"] + 1]]
        return pager.page(items, lambda item: [item["distance_m"], item["id"]])
    if after:
        values |= dict(zip(("after", "after_county", "after_name", "after_id"), (True, *after), strict=True))
    prepared = _list(frozenset(values.keys() & _FILTERS.keys()))
    rows = prepared.all(look.db, {**values, "rows": query["limit"] + 1})
    return pager.page([_card(row) for row in rows], _key)


def _values(look: Context, query: dict[str, Any]) -> dict[str, Any]:
    """Return the values to bind; the names among them that are filters say which ones apply."""
    values = _present(look)
    values |= {name: query[name] for name in ("county", "kind") if query[name] is not None}
    if query["q"]:
        values["q"] = query["q"].replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    if query["open_now"]:
        values["open_now"] = True
    if query["managed"]:
        values["managed"] = True
    else:
        values["public" if look.actor.id is None else "visible"] = True
    return values


def _around(look: Context, near: Point, radius_m: float, values: dict[str, Any]) -> list[tuple[int, Any]]:
    """Return metres and rows of a circle by distance: the box from the index, the circle and the order exactly."""
    values = {**values, **box_values(box_around(near, radius_m))}
    rows = _list(frozenset(values.keys() & _FILTERS.keys())).all(look.db, values)
    measured = [(distance_m(near, Point(row[_LAT], row[_LNG])), row) for row in rows]
    return sorted(((round(metres), row) for metres, row in measured if metres <= radius_m), key=_near_key)


def _near_key(pair: tuple[int, Any]) -> tuple[int, bytes]:
    metres, row = pair
    return metres, row[0].bytes


def near_hubs(look: Context, near: Point, limit: int) -> list[dict[str, Any]]:
    """Return the nearest hubs in use within 10 km of a point in GCJ-02, for the home screen. One statement."""
    found = _around(look, near, _HOME_RADIUS_M, {**_present(look), "public": True})
    return [_card(row, metres) for metres, row in found[:limit]]


@cache
def _detail(*, known: bool) -> Prepared[Any]:
    columns = (
        Hub.org_id, Org.name, Hub.division_code, Division.name, Hub.opening_hours, Hub.services, Hub.contact_name,
        Hub.description, Hub.updated_at, Hub.version, manageable(LATER) if known else literal(value=False),
    )  # fmt: skip
    return Prepared(
        _cards(*columns)
        .join(Org, Org.id == Hub.org_id)
        .join(Division, Division.code == Hub.division_code)
        .where(Hub.id == bindparam("hub_id", type_=Uuid()), visible_hubs(LATER) if known else is_public())
    )


def read_hub(look: Context, hub_id: UUID) -> dict[str, Any]:
    """Return one hub. One statement.

    Raises:
        NoSuchHub: there is none that the caller may see.

    """
    known = look.actor.id is not None
    row = _detail(known=known).one_or_none(look.db, {**_present(look), "hub_id": hub_id})
    if row is None:
        raise NoSuchHub
    (
        *card,
        org_id,
        org,
        division_code,
        division,
        hours,
        services,
        contact_name,
        description,
        updated_at,
        version,
        can,
    ) = row
    return {
        **_card(card),
        "org": {"id": org_id, "name": org},
        "division": {"code": division_code, "name": division},
        "opening_hours": hours,
        "services": services,
        "contact_name": contact_name,
        "description": description,
        "updated_at": updated_at,
        "version": version,
        "can_manage": can,
    }
