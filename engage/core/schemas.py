"""Base schemas and the fields every feature uses: bounded, strict, with stable codes for what is wrong.

marshmallow is the contract: it validates what comes in and describes what goes out. Its messages are replaced by
codes of ``errors.ISSUE_TEXTS``, so that a client can rely on them and a person reads Chinese or English.
"""

from __future__ import annotations

import re
from datetime import date, datetime, time
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, Self
from uuid import UUID

from marshmallow import EXCLUDE, RAISE, Schema, ValidationError, fields, validate

from engage.core.errors import ISSUE_TEXTS, Issue

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from enum import StrEnum

MAX_INT: Final = 2**31 - 1
PAGE_LIMIT: Final = 100
_UUID: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE)
_id_of: Final = lru_cache(maxsize=4096)(UUID)  # in a rush thousands ask for the same
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")
_EARLIEST: Final = date(1900, 1, 1)
_LATEST: Final = date(2200, 1, 1)


class Fault(str):
    """A code of ``ISSUE_TEXTS`` that travels through marshmallow as its message, with values for its sentence."""

    __slots__ = ("params",)
    params: dict[str, object]

    def __new__(cls, code: str, **params: object) -> Self:
        fault = super().__new__(cls, code)
        fault.params = params
        return fault


def invalid(code: str, field: str | None = None, **params: object) -> ValidationError:
    """Return the error to raise for one fault, at a field or at the object itself."""
    fault = Fault(code, **params)
    return ValidationError({field: [fault]}) if field else ValidationError([fault])


def issues_of(messages: Any, pointer: str = "") -> list[Issue]:
    """Flatten marshmallow's messages into issues with JSON pointers."""
    if isinstance(messages, dict):
        found: list[Issue] = []
        for key, inner in messages.items():
            step = "" if key == "_schema" else "/" + str(key).replace("~", "~0").replace("/", "~1")
            found += issues_of(inner, pointer + step)
        return found
    if isinstance(messages, list):
        return [issue for message in messages for issue in issues_of(message, pointer)]
    code = str(messages)
    return [Issue(pointer, code if code in ISSUE_TEXTS else "invalid", getattr(messages, "params", {}))]


class Bounds(validate.Validator):
    """Length of a text or list, or size of a number, within inclusive bounds."""

    def __init__(self, low: float | None, high: float | None, *, of_length: bool = False) -> None:
        self.low, self.high, self.of_length = low, high, of_length

    def __call__(self, value: Any) -> Any:
        size = len(value) if self.of_length else value
        if self.low is not None and size < self.low:
            raise ValidationError(Fault("too_short" if self.of_length else "too_small", min=self.low))
        if self.high is not None and size > self.high:
            raise ValidationError(Fault("too_long" if self.of_length else "too_large", max=self.high))
        return value


class _Strict(fields.Field[Any]):
    default_error_messages = {
        "required": "required",
        "null": "null",
        "validator_failed": "invalid",
    }


class Text(_Strict, fields.String):
    """Text of ``low`` to ``high`` characters after trimming; no control characters, one line unless ``lines``."""

    default_error_messages = {
        "invalid": "not_text",
        "invalid_utf8": "bad_characters",
    }

    def __init__(
        self, high: int, low: int = 1, *, lines: bool = False, pattern: str | None = None, **options: Any
    ) -> None:
        self.low, self.high, self.lines = low, high, lines
        self.pattern = re.compile(pattern) if pattern else None
        metadata = {**options.pop("metadata", {}), "minLength": low, "maxLength": high}
        if pattern:
            metadata["pattern"] = f"^{pattern}$"
        super().__init__(metadata=metadata, **options)

    def _deserialize(
        self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any
    ) -> Any:
        text: str = super()._deserialize(value, attr, data, **kwargs).strip()
        if _CONTROL.search(text) or (not self.lines and ("\n" in text or "\r" in text)):
            raise ValidationError(Fault("bad_characters"))
        Bounds(self.low, self.high, of_length=True)(text)
        if self.pattern and not self.pattern.fullmatch(text):
            raise ValidationError(Fault("bad_format"))
        return text


class Whole(_Strict, fields.Integer):
    """A whole number within inclusive bounds; in JSON a number, in a query string decimal digits."""

    default_error_messages = {
        "invalid": "not_whole_number",
        "too_large": "not_whole_number",
    }

    def __init__(self, low: int = 0, high: int = MAX_INT, **options: Any) -> None:
        self.low, self.high = low, high
        metadata = {**options.pop("metadata", {}), "minimum": low, "maximum": high}
        super().__init__(metadata=metadata, **options)

    def _deserialize(
        self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any
    ) -> Any:
        in_query = isinstance(value, str) and bool(
            (self.context_of_query) and re.fullmatch(r"-?\d{1,10}", value, re.ASCII)
        )
        if not in_query and (not isinstance(value, int) or isinstance(value, bool)):
            raise self.make_error("invalid", input=value)
        return Bounds(self.low, self.high)(int(value))

    @property
    def context_of_query(self) -> bool:
        return isinstance(self.root, Query)


class Decimal(_Strict, fields.Float):
    """A finite number within inclusive bounds."""

    default_error_messages = {
        "invalid": "not_number",
        "too_large": "not_number",
        "special": "not_number",
    }

    def __init__(self, low: float, high: float, **options: Any) -> None:
        self.low, self.high = low, high
        metadata = {**options.pop("metadata", {}), "minimum": low, "maximum": high}
        super().__init__(metadata=metadata, **options)

    def _deserialize(
        self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any
    ) -> Any:
        if isinstance(value, bool) or (isinstance(value, str) and not isinstance(self.root, Query)):
            raise self.make_error("invalid", input=value)
        return Bounds(self.low, self.high)(super()._deserialize(value, attr, data, **kwargs))


class Flag(_Strict, fields.Boolean):
    """True or false; in a query string ``true`` or ``false``."""

    default_error_messages = {"invalid": "not_boolean"}

    def _deserialize(
        self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any
    ) -> Any:
        if isinstance(self.root, Query) and value in ("true", "false"):
            return value == "true"
        if not isinstance(value, bool):
            raise self.make_error("invalid", input=value)
        return value


class Id(_Strict, fields.UUID):
    """A UUID in its canonical text form."""

    default_error_messages = {"invalid_uuid": "not_id"}

    def _deserialize(
        self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any
    ) -> Any:
        return read_id(value)


def read_id(value: object) -> UUID:
    """Parse a canonical UUID.

    Raises:
        ValidationError: anything else.

    """
    if not isinstance(value, str) or not _UUID.fullmatch(value):
        raise ValidationError(Fault("not_id"))
    return _id_of(value)


class Instant(_Strict, fields.AwareDateTime):
    """RFC 3339 with offset, from 1900 to 2200."""

    default_error_messages = {
        "invalid": "not_instant",
        "invalid_awareness": "not_instant",
        "format": "not_instant",
    }

    def _deserialize(
        self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any
    ) -> Any:
        if not isinstance(value, str) or not re.match(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d", value, re.ASCII):
            raise self.make_error("invalid", input=value)
        # A “+” of the offset arrives as a blank when a client forgets to escape it in a query string.
        text = value.replace(" ", "+") if isinstance(self.root, Query) else value
        instant: datetime = super()._deserialize(text, attr, data, **kwargs)
        if not _EARLIEST <= instant.date() < _LATEST:
            raise self.make_error("invalid", input=value)
        return instant


class Day(_Strict, fields.Date):
    """A calendar day (Asia/Shanghai), from 1900 to 2200."""

    default_error_messages = {"invalid": "not_date", "format": "not_date"}

    def _deserialize(
        self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any
    ) -> Any:
        if not isinstance(value, str) or not re.fullmatch(r"\d{4}-\d\d-\d\d", value, re.ASCII):
            raise self.make_error("invalid", input=value)
        day: date = super()._deserialize(value, attr, data, **kwargs)
        if not _EARLIEST <= day < _LATEST:
            raise self.make_error("invalid", input=value)
        return day


class ClockTime(_Strict, fields.Field[str]):
    """A time of day ``HH:MM``, 00:00 to 24:00, kept as text."""

    def __init__(self, **options: Any) -> None:
        metadata = {
            **options.pop("metadata", {}),
            "type": "string",
            "pattern": r"^([01]\d|2[0-3]):[0-5]\d$|^24:00$",
        }
        super().__init__(metadata=metadata, **options)

    def _deserialize(
        self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any
    ) -> str:
        if value == "24:00":
            return "24:00"
        if not isinstance(value, str) or not re.fullmatch(r"\d\d:\d\d", value, re.ASCII):
            raise ValidationError(Fault("not_clock_time"))
        try:
            return time.fromisoformat(value).strftime("%H:%M")
        except ValueError:
            raise ValidationError(Fault("not_clock_time")) from None


class Choice(_Strict, fields.Field[Any]):
    """One member of a closed set, given by its value."""

    def __init__(self, kind: type[StrEnum], **options: Any) -> None:
        self.kind = kind
        values = [member.value for member in kind]
        super().__init__(
            metadata={**options.pop("metadata", {}), "type": "string", "enum": values}, **options
        )

    def _deserialize(
        self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any
    ) -> Any:
        try:
            return self.kind(value)
        except ValueError:
            raise ValidationError(Fault("not_choice", choices=", ".join(self.kind))) from None

    def _serialize(self, value: Any, attr: str | None, obj: Any, **kwargs: Any) -> Any:
        return value


class Listed(_Strict, fields.List[Any]):
    """A list of at most ``high`` items; ``unique`` refuses repetition."""

    default_error_messages = {"invalid": "not_list"}

    def __init__(self, inner: Any, high: int, low: int = 0, *, unique: bool = False, **options: Any) -> None:
        self.low, self.high, self.unique_items = low, high, unique
        bounds: dict[str, Any] = {"minItems": low, "maxItems": high}
        if unique:
            bounds["uniqueItems"] = True
        super().__init__(inner, metadata={**options.pop("metadata", {}), **bounds}, **options)

    def _deserialize(
        self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any
    ) -> Any:
        if isinstance(value, list):  # before the items: a million of them must not be read first
            Bounds(self.low, self.high, of_length=True)(value)
        items = super()._deserialize(value, attr, data, **kwargs)
        if self.unique_items and any(item in items[:index] for index, item in enumerate(items)):
            raise ValidationError(Fault("not_unique"))
        return items


class Inner(_Strict, fields.Nested):
    """An object inside an object."""

    default_error_messages = {"type": "not_object"}


class AnyJson(_Strict, fields.Raw):
    """A value whose type depends on the data, such as the answer to a question; checked by the service."""


class _Base(Schema):
    error_messages = {"unknown": "unknown_field", "type": "not_object"}


class In(_Base):
    """A JSON object that a client sends; unknown fields are refused."""

    class Meta:
        unknown = RAISE


class Query(_Base):
    """The query string of an operation; unknown parameters are refused."""

    class Meta:
        unknown = RAISE


class PageQuery(Query):
    """Query of a list: ``cursor`` from the page before, ``limit`` items at most."""

    cursor = Text(2000, load_default=None, metadata={"description": "next_cursor of the page before"})
    limit = Whole(1, PAGE_LIMIT, load_default=20, metadata={"description": "items on a page", "example": 20})


class Out(_Base):
    """A JSON object that the service sends: exactly the declared fields."""

    class Meta:
        unknown = EXCLUDE


class ProblemIssue(Out):
    pointer = Text(500, 0, required=True, metadata={"example": "/name"})
    code = Text(64, required=True, metadata={"example": "too_long"})
    detail = Text(500, required=True, metadata={"example": "太长：最多 40 个。"})


class Problem(Out):
    """RFC 9457; ``code`` is stable, ``detail`` is for people (Chinese, or English by Accept-Language)."""

    type = Text(200, required=True, metadata={"example": "urn:engage:problem:invalid_input"})
    title = Text(100, required=True, metadata={"example": "输入有误"})
    status = Whole(400, 599, required=True, metadata={"example": 422})
    detail = Text(500, required=True, metadata={"example": "输入有误，请按提示修改。"})
    code = Text(64, required=True, metadata={"example": "invalid_input"})
    request_id = Text(64, required=True, metadata={"example": "0199f0c2b7a07c3f9f5d2f7a1c3e5b7d"})
    errors = Listed(Inner(ProblemIssue), 1000)


def page_of(item: type[Out], name: str) -> type[Out]:
    """Return the schema of a page: ``items`` and ``next_cursor`` (null on the last page)."""
    return type(
        name,
        (Out,),
        {
            "__doc__": f"A page of {item.__name__}.",
            "items": Listed(Inner(item), PAGE_LIMIT, required=True),
            "next_cursor": Text(2000, required=True, allow_none=True, metadata={"example": None}),
        },
    )


def ordered(values: Mapping[str, Any], *names: str) -> None:
    """Refuse values that are not strictly ascending in the order of ``names``; missing and null ones are skipped.

    Raises:
        ValidationError: at the later of the two fields.

    """
    present: Iterable[str] = [name for name in names if values.get(name) is not None]
    for first, second in zip(present, list(present)[1:], strict=False):
        if values[first] >= values[second]:
            raise invalid("bad_order", second, first=first, second=second)
