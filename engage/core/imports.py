"""Reading tables of rows from CSV files, and writing them so that a second run changes nothing."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import insert, inspect, select, update

from engage.core.errors import InvalidInput, Issue

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from sqlalchemy.orm import Session

    from engage.core.db import Base

DATA: Final = Path(__file__).resolve().parents[1] / "data"
_MAX_BYTES: Final = 16 * 2**20


@dataclass(frozen=True, slots=True)
class ImportReport:
    """How many rows an import made, changed and found as they should be."""

    created: int = 0
    updated: int = 0
    unchanged: int = 0

    def __add__(self, other: ImportReport) -> ImportReport:
        return ImportReport(
            self.created + other.created, self.updated + other.updated, self.unchanged + other.unchanged
        )


def data_rows(name: str) -> list[dict[str, str]]:
    """Return the rows of a file of the package, such as ``"org_kinds.csv"`` or ``"demo/hubs.csv"``."""
    with (DATA / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def read_rows(path: Path, columns: Sequence[str]) -> list[tuple[int, dict[str, str]]]:
    """Read somebody's CSV file: UTF-8 with or without mark, or GB 18030 as spreadsheets in China save it.

    Returns:
        Line numbers as an editor shows them, with the trimmed values of ``columns``. Empty rows are left out.

    Raises:
        InvalidInput: the file is too large, not text, or lacks a column or has one too many.
        OSError: it cannot be read.

    """
    reader = csv.DictReader(io.StringIO(_text(path), newline=""), restkey="")
    try:
        _check_header(reader, columns)
        return list(_values(reader, columns))
    except csv.Error:
        raise InvalidInput(Issue(f"/{reader.line_num}", "bad_format")) from None


def _check_header(reader: csv.DictReader[str], columns: Sequence[str]) -> None:
    header = [name.strip() for name in reader.fieldnames or []]
    issues = [Issue(f"/1/{name}", "required") for name in columns if name not in header]
    issues += [Issue(f"/1/{name}", "unknown_field") for name in header if name not in columns]
    if issues:
        raise InvalidInput(*issues)
    reader.fieldnames = header


def _values(reader: csv.DictReader[str], columns: Sequence[str]) -> Iterator[tuple[int, dict[str, str]]]:
    for row in reader:
        if "" in row:  # more values than columns
            raise csv.Error
        values = {name: (row[name] or "").strip() for name in columns}
        if any(values.values()):
            yield reader.line_num, values


def _text(path: Path) -> str:
    if path.stat().st_size > _MAX_BYTES:
        raise InvalidInput(Issue("", "too_long", {"max": _MAX_BYTES}))
    raw = path.read_bytes()
    for encoding in ("utf-8-sig", "gb18030"):
        try:
            text = raw.decode(encoding)
        except UnicodeDecodeError:
            continue
        if "\x00" not in text:
            return text
    raise InvalidInput(Issue("", "bad_characters"))


def upsert(session: Session, model: type[Base], rows: Iterable[dict[str, Any]]) -> ImportReport:
    """Insert the rows that are missing and update those that differ, in bulk and in the order given.

    Args:
        session: of the transaction.
        model: the table, with a key of one column.
        rows: the same columns in each, the key among them. Columns left out keep their value.

    """
    wanted = list(rows)
    if not wanted:
        return ImportReport()
    (key,) = (str(column.key) for column in inspect(model).primary_key)
    names = list(wanted[0])
    statement = select(*(getattr(model, name) for name in names))
    present = {row[names.index(key)]: list(row) for row in session.execute(statement)}
    missing = [row for row in wanted if row[key] not in present]
    changed = [
        row for row in wanted if row[key] in present and present[row[key]] != [row[name] for name in names]
    ]
    if missing:
        session.execute(insert(model), missing)
    if changed:
        session.execute(update(model), changed)
    return ImportReport(len(missing), len(changed), len(wanted) - len(missing) - len(changed))
