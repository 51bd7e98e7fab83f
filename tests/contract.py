"""A test client that holds every answer against the OpenAPI document: undocumented status, code or shape fails the test."""

from __future__ import annotations

import gzip
import json
from functools import cache
from importlib.metadata import version
from typing import Any

import leaks
from flask.testing import FlaskClient
from jsonschema import Draft202012Validator
from werkzeug.test import TestResponse

from engage.app import APIS
from engage.core import openapi
from engage.core.http import PREFIX, Operation


@cache
def document() -> dict[str, Any]:
    return openapi.build([operation for api in APIS for operation in api.operations], version("engage"))


def described(answer: dict[str, Any]) -> dict[str, Any]:
    """Follow an answer of the document to where it is kept."""
    if "$ref" not in answer:
        return answer
    kept: dict[str, Any] = document()["components"]["responses"][answer["$ref"].rsplit("/", 1)[1]]
    return kept


@cache
def _operations() -> dict[str, Operation]:
    return {operation.name: operation for api in APIS for operation in api.operations}


@cache
def _validator(name: str, status: int, mimetype: str) -> Draft202012Validator:
    operation = _operations()[name]
    answers = document()["paths"][PREFIX + operation.path][operation.method.lower()]["responses"]
    assert str(status) in answers, f"{name} answered {status}, documented are {sorted(answers)}"
    schema = described(answers[str(status)]).get("content", {}).get(mimetype, {}).get("schema")
    assert schema is not None, f"{name} answered {status} with {mimetype}, which is not documented"
    return Draft202012Validator({**schema, "components": document()["components"]})


def _documented_codes(name: str, status: int) -> set[str]:
    operation = _operations()[name]
    return {refusal.code for refusal in openapi.refusals(operation) if refusal.status == status}


def content(response: TestResponse) -> bytes:
    """The bytes of an answer as they were before compression."""
    data: bytes = response.get_data()
    return gzip.decompress(data) if response.headers.get("Content-Encoding") == "gzip" else data


def _body(response: TestResponse) -> Any:
    """The answer as its schema sees it: JSON, or the text that stands for a file."""
    is_json = response.mimetype.endswith("json")
    return json.loads(content(response)) if is_json else content(response).decode("latin-1")


_SECURE = {"X-Content-Type-Options", "Content-Security-Policy", "Referrer-Policy", "X-Request-Id"}


class ContractClient(FlaskClient):
    """Flask's test client, checking each answer of a declared operation."""

    def open(self, *args: Any, **kwargs: Any) -> TestResponse:
        response = super().open(*args, **kwargs)
        assert _SECURE.issubset(response.headers.keys()), response.headers
        self._check(response)
        return response

    def _check(self, response: TestResponse) -> None:
        adapter = self.application.url_map.bind_to_environ(response.request.environ)
        try:
            endpoint, _ = adapter.match()
        except Exception:  # no such address or method: not an operation
            return
        if endpoint not in _operations() or response.request.method in ("HEAD", "OPTIONS"):
            return
        assert response.status_code != 500, response.get_data(as_text=True)
        if response.status_code in (204, 304):
            assert (response.get_data(), response.mimetype) == (b"", None)
            return
        body = _body(response)
        errors = [
            error.message
            for error in _validator(endpoint, response.status_code, response.mimetype).iter_errors(body)
        ]
        assert not errors, (endpoint, response.status_code, errors, body)
        if response.status_code >= 400:
            assert not leaks.found(response.get_data(as_text=True)), "a refusal shows what it must not"
            assert body["code"] in _documented_codes(endpoint, response.status_code), (endpoint, body)
