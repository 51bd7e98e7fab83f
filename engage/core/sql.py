"""SQL expressions that both engines have, each in its own words."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import Boolean, String
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from engage.core.columns import UtcDateTime

if TYPE_CHECKING:
    from sqlalchemy.sql.compiler import SQLCompiler


class shanghai_month(FunctionElement[str]):  # noqa: N801 - reads as the function it is in SQL
    """The calendar month ``YYYY-MM`` in Shanghai (UTC+8) in which an instant falls."""

    type = String(7)
    inherit_cache = True


@compiles(shanghai_month, "sqlite")
def _in_sqlite(element: shanghai_month, compiler: SQLCompiler, **options: Any) -> str:
    # To the second: SQLite rounds a fraction up to milliseconds, and so into the next month.
    return f"strftime('%Y-%m', substr({compiler.process(element.clauses, **options)}, 1, 19), '+8 hours')"


@compiles(shanghai_month, "postgresql")
def _in_postgresql(element: shanghai_month, compiler: SQLCompiler, **options: Any) -> str:
    return f"to_char(timezone(INTERVAL '8 hours', {compiler.process(element.clauses, **options)}), 'YYYY-MM')"


class plus_minutes(FunctionElement[datetime]):  # noqa: N801
    """An instant in a column, moved by a column of whole minutes."""

    type = UtcDateTime()
    inherit_cache = True


@compiles(plus_minutes, "sqlite")
def _plus_minutes_sqlite(element: plus_minutes, compiler: SQLCompiler, **options: Any) -> str:
    # The fraction stands aside: SQLite would round it to milliseconds.
    instant, minutes = (compiler.process(clause, **options) for clause in element.clauses)
    return f"datetime(substr({instant}, 1, 19), {minutes} || ' minutes') || substr({instant}, 20)"


@compiles(plus_minutes, "postgresql")
def _plus_minutes_postgresql(element: plus_minutes, compiler: SQLCompiler, **options: Any) -> str:
    instant, minutes = (compiler.process(clause, **options) for clause in element.clauses)
    return f"({instant} + {minutes} * INTERVAL '1 minute')"


class is_within_periods(FunctionElement[bool]):  # noqa: N801
    """Whether a JSON list of {weekday, opens, closes} has a period that contains a time ``HH:MM`` of a weekday."""

    name = "is_within_periods"
    type = Boolean()
    inherit_cache = True


@compiles(is_within_periods, "sqlite")
def _is_within_periods_sqlite(element: is_within_periods, compiler: SQLCompiler, **options: Any) -> str:
    periods, weekday, time = (compiler.process(clause, **options) for clause in element.clauses)
    return (
        f"EXISTS (SELECT 1 FROM json_each({periods}) AS period"  # noqa: S608 - made of compiled SQL
        f" WHERE json_extract(period.value, '$.weekday') = {weekday}"
        f" AND {time} >= json_extract(period.value, '$.opens')"
        f" AND {time} < json_extract(period.value, '$.closes'))"
    )


@compiles(is_within_periods, "postgresql")
def _is_within_periods_postgresql(element: is_within_periods, compiler: SQLCompiler, **options: Any) -> str:
    periods, weekday, time = (compiler.process(clause, **options) for clause in element.clauses)
    return (
        f"EXISTS (SELECT 1 FROM json_array_elements({periods}) AS period"  # noqa: S608 - made of compiled SQL
        f" WHERE (period ->> 'weekday')::integer = {weekday}"
        f" AND {time} >= period ->> 'opens' AND {time} < period ->> 'closes')"
    )
