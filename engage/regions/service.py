"""Import of divisions: the country down to counties, Jincheng down to villages, retired codes and what they became."""

from __future__ import annotations

import re
from collections import defaultdict
from typing import TYPE_CHECKING, Any, Final

from engage.core.imports import data_rows, upsert
from engage.regions.geo import Point, wgs84_to_gcj02
from engage.regions.models import Division, DivisionLevel, SuccessorBasis

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from engage.core.imports import ImportReport

Row = dict[str, Any]

_POINT_DECIMALS: Final = 5  # about a metre, finer than any of the sources
# A district's name says nothing outside its city: there is a 城区, a 新区 or a 桥东区 in many of them.
_LOCAL_NAME_ENDS: Final = "区"
_MUNICIPALITIES: Final = frozenset({"11", "12", "31", "50"})  # their districts hang on the province itself
_LEFT_SICHUAN: Final = ("51", "50", 1997)  # Chongqing: codes of Sichuan until then
_SUFFIX: Final = re.compile(r"(?:自治县|自治旗|自治州|地区|林区|特区|盟|州|县|区|市|旗)$")
_PEOPLES: Final = re.compile(
    r"(?:(?:蒙古|维吾尔|哈萨克|柯尔克孜|锡伯|塔吉克|达斡尔|鄂温克|鄂伦春|朝鲜|满|回|藏|羌|彝|苗|壮|侗|瑶|白|土家|土|哈尼|傣|黎|傈僳|佤|畲"
    r"|拉祜|水|东乡|纳西|景颇|仫佬|布依|布朗|撒拉|毛南|仡佬|阿昌|普米|怒|保安|裕固|独龙|各)族|蒙古|哈萨克|塔吉克|锡伯)+$"
)
_MIN_STEM_CHARS: Final = 2
_NO_POINT: Final[Row] = {"lat": None, "lng": None, "point_is_placeholder": False}
_IN_USE: Final[Row] = {"retired_after": None, "successor_code": None, "successor_basis": None}


def import_divisions(session: Session) -> ImportReport:
    """Bring the table of divisions to the state of the data files; a second run changes nothing.

    Divisions that are in the table and not in the files stay as they are.
    """
    current = _current()
    points = _points()
    rows = [{**row, **points.get(row["code"], _NO_POINT), **_IN_USE} for row in current]
    retired = _retired({row["code"]: row for row in current})
    return upsert(session, Division, rows) + upsert(session, Division, retired)


def _current() -> list[Row]:
    """Return parents before children, as foreign keys need them."""
    rows = data_rows("cn_divisions.csv") + data_rows("jincheng_townships_villages.csv")
    levels = list(DivisionLevel)
    divisions = [
        {
            "code": row["code"],
            "name": row["name"],
            "level": DivisionLevel(row["level"]),
            "parent_code": row["parent_code"] or None,
            "kind": row.get("kind") or None,
            "mca_code": row.get("mca_code") or None,
        }
        for row in rows
    ]
    return sorted(divisions, key=lambda row: levels.index(row["level"]))


def _points() -> dict[str, Row]:
    """Return the positions of seats by code, in GCJ-02; a known one wins over a placeholder."""
    points = {
        row["code"]: _shifted(row["lat"], row["lon"], is_placeholder=True)
        for row in data_rows("jincheng_township_placeholder_points.csv")
    }
    for row in data_rows("host_city_points.csv"):
        points[row["code"]] = _shifted(row["lat_wgs84"], row["lon_wgs84"], is_placeholder=False)
    for row in data_rows("jincheng_coordinates.csv"):
        if row["recommended"] == "1":
            points[row["code"]] = {
                "lat": float(row["lat_gcj02"]),
                "lng": float(row["lon_gcj02"]),
                "point_is_placeholder": False,
            }
    return points


def _shifted(lat: str, lng: str, *, is_placeholder: bool) -> Row:
    # CGCS2000, which some sources name, agrees with WGS-84 within a metre.
    point = wgs84_to_gcj02(Point(float(lat), float(lng)))
    return {
        "lat": round(point.lat, _POINT_DECIMALS),
        "lng": round(point.lng, _POINT_DECIMALS),
        "point_is_placeholder": is_placeholder,
    }


def _retired(current: dict[str, Row]) -> list[Row]:
    given = sorted(
        data_rows("cn_divisions_retired.csv"), key=lambda row: row["level"] == DivisionLevel.COUNTY
    )
    known = current.keys() | {row["code"] for row in given}
    succession = _Succession(current)
    rows = []
    for row in given:
        code, level, last_year = row["code"], DivisionLevel(row["level"]), int(row["last_year"])
        successor, basis = succession.of(code, row["name"], level, last_year)
        rows.append(
            {
                "code": code,
                "name": row["name"],
                "level": level,
                "parent_code": _parent(code, level, known),
                "kind": None,
                "mca_code": None,
                **_NO_POINT,
                "retired_after": last_year,
                "successor_code": successor,
                "successor_basis": basis,
            }
        )
    return rows


def _parent(code: str, level: DivisionLevel, known: set[str]) -> str:
    prefecture = code[:4] + "00"
    is_below = level is DivisionLevel.COUNTY and prefecture in known
    return prefecture if is_below else code[:2] + "0000"


class _Succession:
    """What retired codes became. Successors are current divisions only, so there are no chains."""

    def __init__(self, current: dict[str, Row]) -> None:
        self._by_name: dict[tuple[str, DivisionLevel, str], list[Row]] = defaultdict(list)
        self._by_stem: dict[tuple[str, DivisionLevel, str], list[Row]] = defaultdict(list)
        for row in current.values():
            province = row["code"][:2]
            self._by_name[province, row["level"], row["name"]].append(row)
            self._by_stem[province, row["level"], _stem(row["name"])].append(row)
        self._curated = {row["code"]: row["successor_code"] for row in data_rows("division_successors.csv")}
        strangers = set(self._curated.values()) - current.keys()
        if strangers:
            raise ValueError(f"division_successors.csv: not current: {sorted(strangers)}")

    def of(
        self, code: str, name: str, level: DivisionLevel, last_year: int
    ) -> tuple[str | None, SuccessorBasis | None]:
        if code in self._curated:
            return self._curated[code], SuccessorBasis.CURATED
        for province in _provinces(code, last_year):
            same_name = _near(code, name, self._by_name.get((province, level, name), []))
            if len(same_name) == 1:
                return same_name[0]["code"], SuccessorBasis.SAME_NAME
        stem = _stem(name)
        for province in _provinces(code, last_year):
            same_stem = _near(code, name, self._by_stem.get((province, level, stem), []))
            later = [row for row in same_stem if not _is_downgrade(name, row["name"])]
            if len(later) == 1 and len(stem) >= _MIN_STEM_CHARS:
                return later[0]["code"], SuccessorBasis.SAME_STEM
        return None, None


def _provinces(code: str, last_year: int) -> list[str]:
    old, new, year = _LEFT_SICHUAN
    return [code[:2], new] if code[:2] == old and last_year < year else [code[:2]]


def _near(code: str, name: str, candidates: list[Row]) -> list[Row]:
    """Drop candidates of another city when the name is one that many cities use."""
    if not name.endswith(_LOCAL_NAME_ENDS) or name.endswith("地区"):
        return candidates
    return [row for row in candidates if row["code"][:4] == code[:4] or row["code"][:2] in _MUNICIPALITIES]


def _is_downgrade(name: str, later: str) -> bool:
    # A county-level 吉安市 became a district of the new city; the 吉安县 beside it is another place.
    return name.endswith("市") and later.endswith("县")


def _stem(name: str) -> str:
    stem = _SUFFIX.sub("", name)
    return _PEOPLES.sub("", stem) or stem
