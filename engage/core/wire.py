"""From rows to JSON bytes: dumpers compiled from the Out schemas, encoded by orjson.

``Schema.dump`` costs 20 times as much for a list of 20 (measured, docs/decisions.md). The compiled form
names every declared field once and nothing else, so an undeclared value cannot leak; a test compares both.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, Final

import orjson
from marshmallow import fields

if TYPE_CHECKING:
    from engage.core.schemas import Out

Dumper = Callable[[Any], Any]
_OPTIONS: Final = orjson.OPT_OMIT_MICROSECONDS


@cache
def dumper(schema: type[Out]) -> Dumper:
    """Return a function from a mapping or an object to a dict of exactly the schema's fields."""
    from_mapping, from_object = _compile(schema, "o[{!r}]"), _compile(schema, "o.{}")

    def dump(value: Any) -> Any:
        # A dict first: asking whether it is some Mapping costs as much as reading three of its fields.
        is_mapping = type(value) is dict or isinstance(value, Mapping)
        return from_mapping(value) if is_mapping else from_object(value)

    return dump


def _compile(schema: type[Out], access: str) -> Dumper:
    scope: dict[str, Any] = {}
    parts = []
    for index, (name, field) in enumerate(schema().dump_fields.items()):
        if not field.required:
            raise TypeError(
                f"{schema.__name__}.{name}: an Out field is always present; use allow_none for absence"
            )
        scope[f"d{index}"] = _converter(field)
        value = access.format(field.attribute or name)
        converted = value if scope[f"d{index}"] is None else f"d{index}({value})"
        parts.append(f"{field.data_key or name!r}: {converted}")
    return eval("lambda o: {" + ", ".join(parts) + "}", scope)  # type: ignore[no-any-return]  # noqa: S307 - source is our own schema


def _converter(field: fields.Field[Any]) -> Dumper | None:
    """Return what a value needs beyond orjson, which writes instants, days, ids and enums itself."""
    if isinstance(field, fields.Nested):
        inner = dumper(type(field.schema))
        return lambda value: None if value is None else inner(value)
    if isinstance(field, fields.List):
        each = _converter(field.inner)
        if each is not None:
            return lambda values: None if values is None else [each(value) for value in values]
    return None


def encode(value: Any) -> bytes:
    """Return JSON bytes; instants keep their offset and lose fractions of a second."""
    return orjson.dumps(value, option=_OPTIONS)
