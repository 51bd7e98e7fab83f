"""Faults that no use case names: an answer of the standard shape, a line in the log without values."""

from __future__ import annotations

import io
import json
import logging

import pytest
from flask.testing import FlaskClient
from sqlalchemy.exc import IntegrityError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from engage.regions import queries


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        (
            OperationalError("SELECT :name", {"name": "李晓"}, Exception("server closed")),
            503,
            "database_busy",
        ),
        (PoolTimeout("no connection"), 503, "database_busy"),
        (IntegrityError("INSERT", {"name": "李晓"}, Exception("constraint")), 409, "conflicting_change"),
        (RuntimeError("李晓"), 500, "internal_error"),
    ],
)
def test_a_fault_is_answered_in_the_standard_shape_and_tells_nothing(app, monkeypatch, fault, status, code):
    def fail(*_):
        raise fault

    monkeypatch.setattr(queries, "list_regions", fail)
    log = io.StringIO()
    monkeypatch.setattr(logging.getLogger("engage").handlers[0], "stream", log)
    answer = FlaskClient(app).get("/v1/regions")  # not the client that holds answers against the document
    assert (answer.status_code, answer.mimetype) == (status, "application/problem+json")
    body = json.loads(answer.data)
    assert body["code"] == code
    assert "李晓" not in answer.text
    lines = log.getvalue()
    assert body["request_id"] in lines
    assert "李晓" not in lines
