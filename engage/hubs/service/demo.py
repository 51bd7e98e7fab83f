"""The invented hubs of the demo: real places, everything else drawn from the row's id."""

from __future__ import annotations

import hashlib
import math
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sqlalchemy import insert, select

from engage.core.imports import ImportReport, data_rows
from engage.hubs.errors import ImportOrder
from engage.hubs.models import Hub, HubKind
from engage.orgs.models import Org
from engage.regions.models import Division

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy.orm import Session

Row = dict[str, str]

_SCATTER_M: Final = 1500
_METRES_PER_DEGREE: Final = 111_195
_DECIMALS: Final = 5


class _Place(NamedTuple):
    name: str
    lat: float | None
    lng: float | None


class _Profile(NamedTuple):
    """What a kind of hub offers, and when: (first weekday, last weekday, opens, closes)."""

    weeks: tuple[tuple[tuple[int, int, str, str], ...], ...]
    services: tuple[str, ...]


_OFFICE: Final = _Profile(
    (((1, 5, "08:30", "12:00"), (1, 5, "14:30", "18:00")),),
    ("团务咨询", "志愿服务", "青年联谊", "政策咨询", "权益维护"),
)
_PROFILES: Final = {
    "youth_home": _Profile(
        (
            ((1, 7, "09:00", "21:00"),),
            ((1, 5, "09:00", "12:00"), (1, 5, "14:00", "18:00"), (6, 6, "09:00", "17:00")),
            ((2, 7, "10:00", "20:00"),),
        ),
        ("自习阅览", "读书会", "政策咨询", "就业指导", "心理倾听", "志愿服务", "文体活动", "亲子活动"),
    ),
    "hub_stay": _Profile(
        (((1, 7, "00:00", "24:00"),), ((1, 7, "07:00", "23:00"),)),
        ("短期住宿", "就业咨询", "城市介绍", "行李寄存"),
    ),
}


def import_demo_hubs(session: Session, now: datetime) -> ImportReport:
    """Create the invented hubs of the demo that are missing; those that are there stay as somebody edited them.

    Raises:
        ImportOrder: kinds, divisions or organisations have not been imported yet.

    """
    rows = data_rows("demo/hubs.csv")
    present = set(session.scalars(select(Hub.external_ref).where(Hub.external_ref.is_not(None))))
    missing = [row for row in rows if _ref(row) not in present]
    if missing:
        session.execute(insert(Hub), _hubs(session, now, missing))
    return ImportReport(created=len(missing), unchanged=len(rows) - len(missing))


def _hubs(session: Session, now: datetime, rows: list[Row]) -> list[dict[str, Any]]:
    kinds = {kind.name_zh: kind.code for kind in session.scalars(select(HubKind))}
    places = _places(session, rows)
    orgs = _orgs(session)
    try:
        return [
            {
                **_invented(row, kinds[row["kind"]], places),
                "org_id": _owner(row, orgs),
                "created_at": now,
                "updated_at": now,
            }
            for row in rows
        ]
    except KeyError:
        raise ImportOrder from None


def _ref(row: Row) -> str:
    return f"hub:{row['id']}"


def _line(row: Row) -> list[str]:
    """Return the codes of the places where a hub stands, from the county or host city down."""
    top = row["host_city_code"] or row["county_code"]
    return [code for code in (top, row["township_code"], row["village_code"]) if code]


def _places(session: Session, rows: list[Row]) -> dict[str, _Place]:
    codes = {code for row in rows for code in _line(row)}
    found = session.execute(
        select(Division.code, Division.name, Division.lat, Division.lng).where(Division.code.in_(codes))
    )
    return {code: _Place(name, lat, lng) for code, name, lat, lng in found}


def _orgs(session: Session) -> dict[str | None, UUID]:
    found = session.execute(select(Org.external_ref, Org.id).where(Org.external_ref.is_not(None)))
    return {ref: org_id for ref, org_id in found}  # noqa: C416 - a row is no pair to the type checker


def _owner(row: Row, orgs: dict[str | None, UUID]) -> UUID:
    """Return the body itself where the hub is one, else the committee of its township, else of its county."""
    own, township = _ref(row), f"division:{row['township_code']}"
    return orgs.get(own) or orgs.get(township) or orgs[f"division:{row['county_code']}"]


def _invented(row: Row, kind: str, places: dict[str, _Place]) -> dict[str, Any]:
    line = [places[code] for code in _line(row)]
    draw = _Draw(row["id"])
    profile = _PROFILES.get(kind, _OFFICE)
    lat, lng = draw.point_near(line)
    return {
        "external_ref": _ref(row),
        "name": row["name"],
        "kind_code": kind,
        "division_code": _line(row)[-1],
        "county_code": row["county_code"],
        "address": "".join(place.name for place in line),
        "lat": lat,
        "lng": lng,
        "opening_hours": _week(draw.one("hours", profile.weeks)),
        "services": draw.some("services", profile.services),
        "contact_name": "值班室",
        "contact_phone": f"0356-000{draw.number('phone', 10_000):04}",
        "description": "演示数据：虚构的站点，位置、电话和开放时间都不是真实的。",
    }


def _week(periods: Sequence[tuple[int, int, str, str]]) -> list[dict[str, Any]]:
    days = [(day, opens, closes) for first, last, opens, closes in periods for day in range(first, last + 1)]
    return [{"weekday": day, "opens": opens, "closes": closes} for day, opens, closes in sorted(days)]


class _Draw:
    """Numbers that depend on the hub and the field only, so that every run invents the same."""

    def __init__(self, hub: str) -> None:
        self._hub = hub

    def number(self, field: str, below: int) -> int:
        return int.from_bytes(hashlib.sha256(f"{self._hub}/{field}".encode()).digest()[:8]) % below

    def one(self, field: str, choices: Sequence[Any]) -> Any:
        return choices[self.number(field, len(choices))]

    def some(self, field: str, choices: Sequence[str]) -> list[str]:
        kept = [choice for choice in choices if self.number(f"{field}/{choice}", 2)]
        return kept or [choices[0]]

    def point_near(self, line: list[_Place]) -> tuple[float | None, float | None]:
        """Return a point within 1.5 km of the seat of the finest place whose seat is known."""
        for place in reversed(line):
            if place.lat is not None and place.lng is not None:
                reach = self.number("reach", _SCATTER_M) / _METRES_PER_DEGREE
                angle = math.radians(self.number("angle", 360))
                lng = place.lng + reach * math.sin(angle) / math.cos(math.radians(place.lat))
                return round(place.lat + reach * math.cos(angle), _DECIMALS), round(lng, _DECIMALS)
        return None, None
