"""Tables for spreadsheets."""

from __future__ import annotations

import csv
import io
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from engage.core.clock import SHANGHAI

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

# What a spreadsheet would run and not show; those with Chinese or Japanese input take the wide forms too.
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


def as_csv(rows: Iterable[Sequence[Any]]) -> bytes:
    """Return rows as CSV that WPS and Excel open as what it is: UTF-8 with its mark, Shanghai times, texts never taken for formulas."""
    written = io.StringIO()
    csv.writer(written).writerows([_cell(value) for value in row] for row in rows)
    return written.getvalue().encode("utf-8-sig")


def _cell(value: Any) -> Any:
    if isinstance(value, datetime):
        return f"{value.astimezone(SHANGHAI):%Y-%m-%d %H:%M:%S}"
    if isinstance(value, str) and value.startswith(_FORMULA):
        return f"'{value}"
    return value
