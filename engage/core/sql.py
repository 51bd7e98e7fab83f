"""SQL expressions that both engines have, each in its own words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import String
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

if TYPE_CHECKING:
    from sqlalchemy.sql.compiler import SQLCompiler


class shanghai_month(FunctionElement[str]):  # noqa: N801 - reads as the function it is in SQL
    """The calendar month ``YYYY-MM`` in Shanghai (UTC+8) in which an instant falls."""

    type = String(7)
    inherit_cache = True


@compiles(shanghai_month, "sqlite")
def _in_sqlite(element: shanghai_month, compiler: SQLCompiler, **options: Any) -> str:
    return f"strftime('%Y-%m', {compiler.process(element.clauses, **options)}, '+8 hours')"


@compiles(shanghai_month, "postgresql")
def _in_postgresql(element: shanghai_month, compiler: SQLCompiler, **options: Any) -> str:
    return f"to_char(timezone(INTERVAL '8 hours', {compiler.process(element.clauses, **options)}), 'YYYY-MM')"
