"""Every way to send a wrong body, query or id to every operation: a problem in both languages, and nothing changed."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from marshmallow import fields
from world import World

from engage.app import APIS
from engage.core import openapi
from engage.core.http import PREFIX, Operation
from engage.core.schemas import (
    AnyJson,
    Choice,
    ClockTime,
    Day,
    Decimal,
    Flag,
    Id,
    Inner,
    Instant,
    Listed,
    Text,
    Whole,
)
from engage.regions.schemas import PointText

OPERATIONS = [operation for api in APIS for operation in api.operations]
CJK = re.compile(r"[\u4e00-\u9fff]")

# A value that fits a field of each kind, and values of another kind. The first kind that matches counts.
FITTING: list[tuple[type, Any]] = [
    (Id, "0199f0c2-b7a0-7c3f-9f5d-2f7a1c3e5b7d"),
    (Instant, "2026-10-01T15:01:00+08:00"),
    (Day, "2026-10-01"),
    (ClockTime, "09:00"),
    (PointText, "35.5,112.8"),
    (Flag, True),
    (AnyJson, "x"),
]
WRONG: list[tuple[type, list[Any]]] = [
    (AnyJson, []),
    (Id, ["nope", 7, [], {}, "0199f0c2b7a07c3f9f5d2f7a1c3e5b7d", ""]),
    (Instant, ["2026-10-01", "2026-10-01T15:01:00", "9999-12-31T23:59:59Z", 7, [], {}]),
    (Day, ["1 May", "2026-02-30", 7, [], {}]),
    (ClockTime, ["25:00", "9:00", 7, [], {}]),
    (Flag, ["true", 1, [], {}]),
    (Choice, ["no such choice", 7, [], {}]),
    (Inner, ["x", [], 7]),
    (Listed, ["x", {}, 7]),
    (Whole, ["7", 1.5, True, [], {}, 1e400]),
    (Decimal, ["7", True, [], {}]),
    (Text, [7, True, [], {}]),
]


def fitting(field: Any) -> Any:
    """Return a value that a field takes by itself (whole objects may still contradict themselves)."""
    if field.metadata.get("example") is not None:
        return field.metadata["example"]
    make = next((make for kind, make in MADE if isinstance(field, kind)), None)
    return make(field) if make else next(value for kind, value in FITTING if isinstance(field, kind))


MADE: list[tuple[type, Any]] = [
    (fields.Nested, lambda field: whole(type(field.schema))),
    (fields.List, lambda field: [fitting(field.inner)]),
    (Choice, lambda field: next(iter(field.kind)).value),
    (Whole, lambda field: field.low),
    (Decimal, lambda field: field.low),
    (Text, lambda field: "x" * max(field.low, 1)),
]


def whole(schema: Any) -> dict[str, Any]:
    """Return an object with every field."""
    return {_key(name, field): fitting(field) for name, field in schema().fields.items()}


def _key(name: str, field: Any) -> str:
    return field.data_key or name


def faults(field: Any) -> Iterator[tuple[Any, str | None]]:
    """Yield values that a field refuses, with the code where there is only one that fits."""
    if not field.allow_none:
        yield None, "null"
    for value in next(values for kind, values in WRONG if isinstance(field, kind)):
        yield value, None
    if isinstance(field, Text):
        yield "长" * (field.high + 1), "too_long"
        yield "a\u0000b" if field.low < 4 else "a" * (field.low - 1) + "\u0000b", "bad_characters"
        if field.low:
            yield " " * (field.high // 2 + 1), "too_short"
    if isinstance(field, Whole | Decimal):
        yield field.low - 1, "too_small"
        yield field.high + 1, "too_large"
    if isinstance(field, Listed):
        yield [fitting(field.inner)] * (field.high + 1), "too_long"


def places(
    schema: Any, body: dict[str, Any], path: tuple[str | int, ...] = ()
) -> Iterator[tuple[Any, tuple[str | int, ...]]]:
    """Yield every field of a schema with its path in a body that has them all, also inside lists and objects."""
    for given, field in schema().fields.items():
        name = _key(given, field)
        yield field, (*path, name)
        inner, value, deeper = field, body[name], (*path, name)
        if isinstance(inner, fields.List):
            if not value:
                continue
            inner, value, deeper = inner.inner, value[0], (*deeper, 0)
            yield inner, deeper
        if isinstance(inner, fields.Nested):
            yield from places(type(inner.schema), value, deeper)


def _with(body: Any, path: tuple[str | int, ...], value: Any) -> Any:
    changed = copy.deepcopy(body)
    holder = changed
    for step in path[:-1]:
        holder = holder[step]
    holder[path[-1]] = value
    return changed


def _pointer(path: tuple[str | int, ...]) -> str:
    return "".join(f"/{step}" for step in path)


def required_query(operation: Operation) -> dict[str, Any]:
    """Return the query parameters that an operation cannot do without."""
    found = operation.query().fields.items() if operation.query else ()
    return {_key(name, field): fitting(field) for name, field in found if field.required}


def asking_query(operation: Operation) -> dict[str, Any]:
    """Return those, and the parameter without which an operation does not look at who asks."""
    parameter = getattr(operation.access, "parameter", None)
    return required_query(operation) | ({parameter: "true"} if parameter else {})


class Caller:
    """Sends to one operation as an administrator, in both languages, and holds what every problem must be."""

    def __init__(self, client: Any, world: World, operation: Operation) -> None:
        self._client, self._operation, self._world = client, operation, world
        self._query = required_query(operation)
        self._seen: set[tuple[Any, ...]] = set()

    def address(self, **ids: str) -> str:
        values = {name: str(self._world.id_for(name) or "140502") for name in self._operation.path_parameters}
        return PREFIX + self._operation.path.format_map({**values, **ids})

    def refused(
        self, status: int, code: str, *, ids: dict[str, str] | None = None, query: Any = None, **request: Any
    ) -> dict[str, Any]:
        """Send, expect a refusal in Chinese, and the first time it looks like this also in English; return the Chinese."""
        headers = {"Authorization": self._world.callers["admin"], **request.pop("headers", {})}
        if self._operation.if_match:
            headers["If-Match"] = "*"
        send = {
            "path": self.address(**ids or {}),
            "method": self._operation.method,
            "query_string": self._query if query is None else query,
            **request,
        }
        problem = self._problem(status, code, send, {**headers, "Accept-Language": "zh"})
        assert all(CJK.search(text) for text in _sentences(problem)), problem
        kind = (status, code, *(error["code"] for error in problem.get("errors", [])))
        if kind not in self._seen:
            self._seen.add(kind)
            english = self._problem(status, code, send, {**headers, "Accept-Language": "en"})
            assert not any(CJK.search(text) for text in _sentences(english)), english
        return problem

    def _problem(
        self, status: int, code: str, send: dict[str, Any], headers: dict[str, str]
    ) -> dict[str, Any]:
        answer = self._client.open(**send, headers=headers)
        assert (answer.status_code, answer.json.get("code")) == (status, code), (send, answer.text[:500])
        assert answer.mimetype == "application/problem+json"
        return answer.json

    def at_fault(self, pointer: str, code: str | None, sent: Any, **request: Any) -> None:
        """Expect 422 with an error at a pointer or below it."""
        problem = self.refused(422, "invalid_input", **request)
        found = [
            error["code"] for error in problem["errors"] if (error["pointer"] + "/").startswith(pointer + "/")
        ]
        assert found, (pointer, sent, problem["errors"])
        if code is not None:
            assert code in found, (pointer, sent, found)


def _sentences(problem: dict[str, Any]) -> list[str]:
    return [problem["title"], problem["detail"], *(error["detail"] for error in problem.get("errors", []))]


def _for_each(condition: Callable[[Operation], Any]) -> Callable[[Any], Any]:
    """Make a check of one operation a test of all that meet a condition, in one world, which nothing may change."""
    found = [operation for operation in OPERATIONS if condition(operation)]

    def declare(check: Any) -> Any:
        @pytest.mark.usefixtures("unchanged")
        def test(subtests: Any, client: Any, world: World) -> None:
            for operation in found:
                with subtests.test(operation.name):
                    check(operation, Caller(client, world, operation))

        test.__name__ = check.__name__
        return test

    return declare


@_for_each(lambda operation: operation.body)
def test_what_is_not_json_is_refused(operation, caller):
    body = json.dumps(whole(operation.body)).encode()
    as_json = {"content_type": "application/json"}
    for broken in (
        b"",
        b"{",
        body[:-1],
        b"{'a': 1}",
        b'{"a": NaN}',
        b'{"a": "\xff"}',
        b'{"a": "\\ud800"}',
        b"[" * 100_000,
    ):
        problem = caller.refused(400, "invalid_json", data=broken, **as_json)
        assert [error["pointer"] for error in problem["errors"]] == [""], (
            "it says what is wrong with the whole"
        )
    for kind in ("text/plain", "application/x-www-form-urlencoded", "application/xml", None):
        caller.refused(415, "unsupported_media_type", data=body, content_type=kind)
    caller.refused(413, "body_too_large", data=b'{"a": "' + b"x" * 2**21 + b'"}', **as_json)
    for top in ([], [{}], "x", 7, None, True):
        problem = caller.refused(422, "invalid_input", data=json.dumps(top), **as_json)
        assert [(error["pointer"], error["code"]) for error in problem["errors"]] == [("", "not_object")]


@_for_each(lambda operation: operation.body)
def test_fields_that_are_unknown_or_missing_are_named(operation, caller):
    body = whole(operation.body)
    caller.at_fault("/no_such_field", "unknown_field", 1, json={**body, "no_such_field": 1})
    for field, path in places(operation.body, body):
        if isinstance(field, fields.Nested):
            caller.at_fault(
                _pointer((*path, "stray")), "unknown_field", 1, json=_with(body, (*path, "stray"), 1)
            )
        if field.required and isinstance(path[-1], str):
            without = copy.deepcopy(body)
            holder = without
            for step in path[:-1]:
                holder = holder[step]
            del holder[path[-1]]
            caller.at_fault(_pointer(path), "required", without, json=without)


@_for_each(lambda operation: operation.body)
def test_fields_of_a_wrong_kind_or_size_are_named(operation, caller):
    body = whole(operation.body)
    for field, path in places(operation.body, body):
        for value, code in faults(field):
            if value == float("inf"):
                continue  # not JSON: see broken bodies
            caller.at_fault(_pointer(path), code, value, json=_with(body, path, value))


@_for_each(lambda operation: operation.query)
def test_bad_queries_are_named(operation, caller):
    required = required_query(operation)
    caller.at_fault("/no_such_parameter", "unknown_field", 1, query={**required, "no_such_parameter": "1"})
    for given, field in operation.query().fields.items():
        name = _key(given, field)
        if field.required:
            rest = {other: value for other, value in required.items() if other != name}
            caller.at_fault(f"/{name}", "required", rest, query=rest)
        twice = [(other, value) for other, value in required.items() if other != name] + [
            (name, fitting(field))
        ] * 2
        caller.at_fault(f"/{name}", "not_unique", "twice", query=twice)
        for text in _bad_texts(field):
            caller.at_fault(f"/{name}", None, text, query={**required, name: text})


def _bad_texts(field: Any) -> list[str]:
    if isinstance(field, Text):
        return ["", "长" * (field.high + 1), "a\u0000b"]
    if isinstance(field, Whole):
        return ["", "abc", "1.5", "1e3", "0x1", "１", str(field.low - 1), str(field.high + 1), "9" * 400]
    if isinstance(field, Decimal):
        return ["", "abc", "nan", "inf", str(field.high + 1)]
    if isinstance(field, Flag):
        return ["", "1", "yes", "True"]
    return ["", "x", "0", "9999-99-99", "91,181", "nan,nan", "null"]


@_for_each(lambda operation: operation.query and "cursor" in operation.query().fields)
def test_bad_cursors_are_refused(operation, caller):
    required = required_query(operation)
    for cursor in ("x", "AAAA.BBBB", "bnVsbA.bnVsbA", "0", "%00", "W10.3xQVdI2VvHNJ0gS2AVVTcZcRGzk"):
        caller.at_fault("/cursor", None, cursor, query={**required, "cursor": cursor})


@_for_each(lambda operation: any(name.endswith("_id") for name in operation.path_parameters))
def test_bad_ids_in_the_path_are_refused(operation, caller):
    request: dict[str, Any] = {"json": whole(operation.body)} if operation.body else {}
    for name in operation.path_parameters:
        for value in (
            "nope",
            "1",
            "0199f0c2b7a07c3f9f5d2f7a1c3e5b7d",
            "x" * 300,
            "%27%3B--",
            "%00",
            "%E9%95%BF",
        ):
            caller.at_fault(f"/{name}", None, value, ids={name: value}, **request)


@_for_each(lambda operation: operation.idempotent and operation.body)
def test_bad_keys_are_refused(operation, caller):
    for key in ("", "x" * 256):
        caller.at_fault(
            "/Idempotency-Key",
            None,
            key,
            json=openapi.example(operation.body),
            headers={"Idempotency-Key": key},
        )


def test_an_address_is_taken_as_it_is_written(client):
    for path in ("//v1/activities", "/v1//activities", "/nowhere", "/v1/activities/../hubs"):
        answer = client.get(path, headers={"Host": "elsewhere.example"})
        assert answer.status_code == 404, path
        assert answer.json["code"] == "no_such_address"
        assert "Location" not in answer.headers
    assert client.get("/v1/activities/").status_code == 200
