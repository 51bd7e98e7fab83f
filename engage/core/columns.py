"""Types of columns: instants and closed sets."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import DateTime, Enum
from sqlalchemy.types import TypeDecorator

from engage.core.clock import SHANGHAI

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Dialect

E = TypeVar("E", bound=StrEnum)


def _with_offset(value: datetime | None) -> datetime | None:
    if value is not None and value.tzinfo is None:
        raise ValueError("an instant needs an offset")
    return value


class UtcDateTime(TypeDecorator[datetime]):
    """An instant: aware in, aware out. PostgreSQL keeps timestamptz, SQLite text in UTC."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        given = _with_offset(value)
        return given.astimezone(UTC).replace(tzinfo=None) if given and dialect.name == "sqlite" else given

    def bind_processor(self, dialect: Dialect) -> Callable[[Any], Any] | None:
        return super().bind_processor(dialect) if dialect.name == "sqlite" else _with_offset

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        # Shanghai on the way out, as PostgreSQL answers by itself (connection option): the JSON needs no conversion.
        return value and value.replace(tzinfo=UTC).astimezone(SHANGHAI)

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[Any], Any] | None:
        return super().result_processor(dialect, coltype) if dialect.name == "sqlite" else None


def enum_column(kind: type[E], name: str) -> Enum:
    """Return the column type of a closed set: its values as text, refused by a CHECK outside the set."""
    return Enum(
        kind,
        name=name,
        native_enum=False,
        create_constraint=True,
        validate_strings=True,
        values_callable=lambda members: [member.value for member in members],
        length=32,
    )
