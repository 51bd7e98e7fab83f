"""What a request brings: path, query string, body and ``If-Match``, checked before the database is asked."""

from __future__ import annotations

from collections import Counter
from copy import deepcopy
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any, Final, cast
from urllib.parse import unquote

from flask import current_app, request
from marshmallow import ValidationError
from werkzeug.exceptions import ClientDisconnected, RequestEntityTooLarge

from engage.core import strict_json
from engage.core.db import Version
from engage.core.errors import (
    InvalidInput,
    Issue,
    UnsupportedMediaType,
    VersionConflict,
    VersionRequired,
)
from engage.core.replies import JSON, this_request
from engage.core.schemas import issues_of, read_id

if TYPE_CHECKING:
    from collections.abc import Callable

    from flask import Request

    from engage.core.http import Operation
    from engage.core.schemas import In, Query

MAX_PURPOSE_CHARS: Final = 200
_MAX_PATH_PARAMETER: Final = 64
_SENT: Final = "engage.body"


def arguments_of(operation: Operation, path: dict[str, str]) -> dict[str, Any]:
    """Return the arguments of the view.

    Raises:
        InvalidInput, InvalidJson, UnsupportedMediaType: what was sent cannot be used.
        VersionRequired, VersionConflict: ``If-Match`` is missing, or names no version of ours.

    """
    arguments: dict[str, Any] = {}
    issues: list[Issue] = []
    for name, value in path.items():
        try:
            arguments[name] = read_id(value) if name.endswith("_id") else _path_text(value)
        except ValidationError as error:
            issues += issues_of(error.messages, f"/{name}")
    if operation.query:
        arguments["query"] = _query(operation.query, issues)
    if operation.body:
        arguments["body"] = _body(operation.body, issues)
    if issues:
        raise InvalidInput(*issues)
    if operation.if_match:
        arguments["version"] = _expected_version(required=operation.if_match is True)
    return arguments


def stated_purpose() -> str | None:
    """Return what a reader of personal data says they are for (``X-Purpose``, percent-encoded): kept in the audit log.

    Raises:
        InvalidInput: it is too long, or no line of text.

    """
    given = this_request().environ.get("HTTP_X_PURPOSE")
    if given is None:
        return None
    purpose = unquote(given).strip()
    if len(purpose) > MAX_PURPOSE_CHARS:
        raise InvalidInput(Issue("/X-Purpose", "too_long", {"max": MAX_PURPOSE_CHARS}))
    if not purpose.isprintable():
        raise InvalidInput(Issue("/X-Purpose", "bad_characters"))
    return purpose or None


def _path_text(value: str) -> str:
    """Return a code from a path; what can be none becomes empty, so that it is not found in the same words as any other."""
    return value if len(value) <= _MAX_PATH_PARAMETER and value.isprintable() else ""


def _query(schema: type[Query], issues: list[Issue]) -> dict[str, Any]:
    values, found = _read_query(schema, tuple(request.args.items(multi=True)))
    issues += found
    return values.copy()


@lru_cache(maxsize=1024)
def _read_query(
    schema: type[Query], given: tuple[tuple[str, str], ...]
) -> tuple[dict[str, Any], tuple[Issue, ...]]:
    """Return what a query string means and what is wrong with it: the same whoever asks, and many ask the same."""
    times = Counter(name for name, _ in given)
    issues = [Issue(f"/{name}", "not_unique") for name, count in times.items() if count > 1]
    values = _load(schema, dict(reversed(given)), issues)
    return values, tuple(issues)


def _body(schema: type[In], issues: list[Issue]) -> dict[str, Any]:
    asked = this_request()
    if asked.environ.get("CONTENT_TYPE") != JSON and asked.mimetype != JSON:
        raise UnsupportedMediaType
    given = sent(asked)
    if given == b"{}":  # most of those who press a button
        values, found, copied = _read_nothing(schema)
        issues += found
        return copied(values)
    return _load(schema, strict_json.parse(given), issues)


@cache
def _read_nothing(
    schema: type[In],
) -> tuple[dict[str, Any], tuple[Issue, ...], Callable[[Any], dict[str, Any]]]:
    """Return what an empty object means, what is wrong with it, and how to copy the former."""
    issues: list[Issue] = []
    values = _load(schema, {}, issues)
    is_plain = all(value is None or isinstance(value, (str, int, float)) for value in values.values())
    return values, tuple(issues), dict if is_plain else deepcopy


def sent(asked: Request) -> bytes:
    """Return the body, read once by its length: to read on to the end takes a fresh buffer of 64 KB even for ``{}``."""
    kept: bytes | None = asked.environ.get(_SENT)
    if kept is not None:
        return kept
    stated, most = asked.environ.get("CONTENT_LENGTH", ""), current_app.config["MAX_CONTENT_LENGTH"]
    if not stated.isdecimal() or "HTTP_TRANSFER_ENCODING" in asked.environ:
        whole = asked.get_data()
    elif int(stated) > most:
        raise RequestEntityTooLarge
    else:
        whole = asked.environ["wsgi.input"].read(int(stated))
        if len(whole) < int(stated):
            raise ClientDisconnected
    asked.environ[_SENT] = whole
    return whole


@cache
def _instance(schema: type[In | Query]) -> In | Query:
    """Return one instance for all requests: making one costs as much as using it."""
    return schema()


def _load(schema: type[In | Query], data: Any, issues: list[Issue]) -> dict[str, Any]:
    try:
        return cast("dict[str, Any]", _instance(schema).load(data))
    except ValidationError as error:
        issues += issues_of(error.messages)
        return {}


def _expected_version(*, required: bool) -> Version | None:
    given = request.headers.get("If-Match")
    if given is None and required:
        raise VersionRequired
    if given is None or given.strip() == "*":
        return None
    version = Version.named(given)
    if version is None:
        raise VersionConflict
    return version
