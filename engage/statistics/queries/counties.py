"""Totals of every county, for officers of another: what is told of people whom the reader does not answer for.

The rule is threshold and secondary suppression (docs/security.md): a cell of 1 to 4 such people is withheld; and since the totals less
the rows that are shown would give it back, another row of 5 or more is withheld with it, or else the totals.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import and_, case, false, func, literal, or_, select, true

from engage.activities.models import Activity
from engage.core.clock import SHANGHAI, day_start, shanghai_day
from engage.core.errors import InvalidInput, Issue, Language
from engage.core.sheets import as_csv
from engage.orgs.queries.counties import answering_county
from engage.regions.models import Division
from engage.statistics.access import countable
from engage.statistics.models import SETTLED_AFTER, SMALL_CELL
from engage.statistics.queries.participation import COUNTED, RATE_DECIMALS, persons_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import CTE, Select

    from engage.core.db import Context

_NO_COUNTY: Final = {Language.ZH: "市级及其他", Language.EN: "The city, and others"}
_TITLES: Final = {"activities": "活动", "check_ins": "人次", "people": "人数", "attendance_rate": "到场率"}
_ADDED: Final = ("check_ins", "expected", "came")
# Of how many people something is told that the reader does not know: who came at all, to their place, and who did not.
_NEW: Final = ("new_check_ins", "new_came", "new_absent")


@dataclass(frozen=True, slots=True)
class _Cell:
    """The numbers of a county, and of how many people each tells the reader something."""

    key: str | None
    name: str | None
    activities: int
    people: int
    check_ins: int
    expected: int
    came: int
    new_people: int
    new_came: int
    new_absent: int

    @property
    def is_small(self) -> bool:
        return _is_few(self.new_people)

    @property
    def rate_is_small(self) -> bool:
        return _is_few(self.new_came) or _is_few(self.new_absent)


def _is_few(people: int) -> bool:
    return 0 < people < SMALL_CELL


def county_totals(look: Context, month: str, language: Language) -> dict[str, Any]:
    """Return the totals of each county in a month, and of all. One statement.

    Raises:
        InvalidInput: the month ended less than a week ago.

    """
    first = date.fromisoformat(f"{month}-01")
    last = _month_end(first)
    if day_start(last) + SETTLED_AFTER > look.now:
        raise InvalidInput(Issue("/month", "month_not_settled", {"latest": _latest(look)}))
    found = look.db.execute(_statement(look, first, last)).all()
    cells = [_Cell(key, name, *map(int, numbers)) for _, key, name, *numbers in found]
    everybody = int(found[0].everybody) if found else 0
    withheld, whole_withheld = _withheld(cells)
    rows = [
        {
            "key": {"id": cell.key, "name": cell.name or _NO_COUNTY[language]},
            **_figures([cell], cell.people, withheld=cell.key in withheld),
        }
        for cell in cells
    ]
    return {
        "month": month,
        "as_of": look.now.astimezone(SHANGHAI),
        "counties": rows,
        "totals": _totals(cells, everybody, withheld, whole_withheld=whole_withheld),
    }


def export_county_totals(look: Context, month: str, language: Language) -> bytes:
    """Return what ``county_totals`` returns as CSV, the totals last.

    Raises:
        InvalidInput: as ``county_totals``.

    """
    found = county_totals(look, month, language)
    rows = [(row["key"]["id"], row["key"]["name"], row) for row in found["counties"]]
    return as_csv(
        [
            ("编号", "名称", *_TITLES.values(), "不公布", "截至"),
            *(
                (key, name, *(row[column] for column in _TITLES), "是" if row["withheld"] else None, found["as_of"])
                for key, name, row in (*rows, (None, "合计", found["totals"]))
            ),
        ]
    )  # fmt: skip


def _month_end(first: date) -> date:
    """Return the first day of the month after."""
    return (first + timedelta(days=31)).replace(day=1)


def _latest(look: Context) -> str:
    settled = shanghai_day(look.now - SETTLED_AFTER)
    return f"{settled.replace(day=1) - timedelta(days=1):%Y-%m}"


def _withheld(cells: Sequence[_Cell]) -> tuple[set[str | None], bool]:
    """Return the keys of the rows that are withheld, and whether the totals are too."""
    small = {cell.key for cell in cells if cell.is_small}
    if not small:
        return small, False
    # What the totals less all other rows give is then of five people at least, whoever is counted in several rows.
    cover = min(
        (cell for cell in cells if cell.new_people >= SMALL_CELL),
        key=lambda cell: cell.new_people,
        default=None,
    )
    return (small | {cover.key}, False) if cover else (small, True)


def _figures(cells: Sequence[_Cell], people: int | None, *, withheld: bool) -> dict[str, Any]:
    expected, came = sum(cell.expected for cell in cells), sum(cell.came for cell in cells)
    no_rate = withheld or not expected or any(cell.rate_is_small for cell in cells)
    return {
        "activities": sum(cell.activities for cell in cells),
        "check_ins": None if withheld else sum(cell.check_ins for cell in cells),
        "people": None if withheld else people,
        "attendance_rate": None if no_rate else round(came / expected, RATE_DECIMALS),
        "withheld": withheld,
    }


def _totals(
    cells: Sequence[_Cell], everybody: int, withheld: set[str | None], *, whole_withheld: bool
) -> dict[str, Any]:
    # How many people were counted in several counties is told by the difference, and these may be few as well.
    in_several = sum(cell.people for cell in cells) - everybody
    tells_of_few = any(cell.new_people for cell in cells) and _is_few(in_several)
    totals = _figures(cells, None if tells_of_few else everybody, withheld=whole_withheld)
    return {**totals, "attendance_rate": None} if withheld else totals


def _statement(look: Context, first: date, last: date) -> Select[Any]:
    counted = _counted(look, first, last)
    persons = persons_of(counted, look.now, by_reader=True)
    held = select(counted.c.key, func.count().label("activities")).group_by(counted.c.key).subquery("held")
    sums = (
        select(
            persons.c.key,
            _how_many(persons, "check_ins").label("people"),
            *(func.sum(persons.c[name]).label(name) for name in _ADDED),
            *(_how_many(persons, name).label(name) for name in _NEW),
        )
        .group_by(persons.c.key)
        .subquery("sums")
    )
    everybody = select(
        func.count(case((persons.c.check_ins > 0, persons.c.person_id)).distinct())
    ).scalar_subquery()
    same = or_(held.c.key == sums.c.key, and_(held.c.key.is_(None), sums.c.key.is_(None)))
    return (
        select(
            everybody.label("everybody"),
            held.c.key,
            Division.name,
            held.c.activities,
            *(func.coalesce(sums.c[name], literal(0)) for name in ("people", *_ADDED, *_NEW)),
        )
        .select_from(held)
        .outerjoin(sums, same)
        .outerjoin(Division, Division.code == held.c.key)
        .order_by(held.c.key.is_(None), held.c.key)
    )


def _how_many(persons: CTE, name: str) -> Any:
    return func.sum(case((persons.c[name] > 0, 1), else_=0))


def _counted(look: Context, first: date, last: date) -> CTE:
    """Return a row for each activity of the month, with the county that answers for it."""
    return (
        select(
            Activity.id,
            answering_county(Activity.org_id).label("key"),
            Activity.status,
            Activity.starts_at,
            Activity.ends_at,
            Activity.late_minutes,
            # Without a hub, whether the hub is the caller's is NULL, and so would be its negation.
            case((countable(look), true()), else_=false()).label("is_own"),
        )
        .where(
            Activity.status.in_(COUNTED),
            Activity.starts_at >= day_start(first),
            Activity.starts_at < day_start(last),
        )
        .cte("counted")
    )
