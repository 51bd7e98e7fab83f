"""Keyset paging: opaque signed cursors, no OFFSET."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from itsdangerous import BadSignature, URLSafeSerializer
from sqlalchemy import and_, or_

from engage.core.errors import InvalidInput, Issue

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sqlalchemy import ColumnElement, SQLColumnExpression

    from engage.core.config import Settings

_PAGING_KEYS: Final = ("cursor", "limit")


@dataclass(frozen=True)
class Page:
    """What a list operation answers."""

    items: Sequence[Any]
    next_cursor: str | None


@dataclass(frozen=True)
class Pager:
    """Reads and writes the cursors of one list under one set of filters."""

    settings: Settings
    name: str
    filters: Mapping[str, Any]

    def _serializer(self) -> URLSafeSerializer:
        # The filters are part of the salt: a cursor of another question is refused, not misread.
        given = sorted((key, str(value)) for key, value in self.filters.items() if key not in _PAGING_KEYS)
        salt = hashlib.sha256(repr((self.name, given)).encode()).hexdigest()
        return URLSafeSerializer(
            self.settings.key("cursor"), salt=salt, signer_kwargs={"digest_method": hashlib.sha256}
        )

    def after(self) -> list[Any] | None:
        """Return the sort key of the last item already seen, or None at the first page.

        Raises:
            InvalidInput: the cursor was altered or belongs to another list.

        """
        cursor = self.filters.get("cursor")
        if cursor is None:
            return None
        try:
            return [_revive(kind, value) for kind, value in self._serializer().loads(cursor)]
        except (BadSignature, ValueError, TypeError):
            raise InvalidInput(Issue("/cursor", "bad_cursor")) from None

    def page(self, rows: Sequence[Any], key: Callable[[Any], Sequence[Any]]) -> Page:
        """Cut ``limit + 1`` rows to a page; ``key`` gives a row's sort key."""
        limit = self.filters["limit"]
        if len(rows) <= limit:
            return Page(rows, None)
        kept = rows[:limit]
        return Page(kept, str(self._serializer().dumps([_freeze(value) for value in key(kept[-1])])))


def _freeze(value: Any) -> tuple[str, Any]:
    if isinstance(value, datetime):
        return "t", value.isoformat()
    if isinstance(value, date):
        return "d", value.isoformat()
    if isinstance(value, UUID):
        return "u", value.hex
    return "v", value


_REVIVERS: Final[dict[str, Callable[[Any], Any]]] = {
    "t": datetime.fromisoformat,
    "d": date.fromisoformat,
    "u": UUID,
    "v": lambda value: value,
}


def _revive(kind: str, value: Any) -> Any:
    return _REVIVERS[kind](value)


def beyond(
    columns: Sequence[SQLColumnExpression[Any]], key: Sequence[Any], *, descending: bool = False
) -> ColumnElement[bool]:
    """Return the condition “sorts after ``key``” for columns that all ascend (or all descend)."""
    alternatives = []
    for index, (column, value) in enumerate(zip(columns, key, strict=True)):
        equal = [before == seen for before, seen in zip(columns[:index], key[:index], strict=True)]
        alternatives.append(and_(*equal, column < value if descending else column > value))
    return or_(*alternatives)
