"""A part of the attempts of ``python -m tests.security``, against the application itself; and that a success would be seen."""

from __future__ import annotations

import httpx
import pytest

from engage.orgs.models import Role
from security import inputs, objects, who, wire
from security.report import Report
from security.target import Target


@pytest.fixture
def target(app, world, make, settings):
    """The application with people of every kind, each named as in the demo, and another county's officer."""
    elsewhere = make.staff(Role.OFFICER, org=make.org(name="阳城县团委", division_code="140522"))
    ops = make.staff(Role.ANALYST, org=make.org(name="泽州县团委", division_code="140525"))
    tokens = {
        "youth": world.callers["member"].removeprefix("Bearer "),
        "manager": world.callers["hub manager"].removeprefix("Bearer "),
        "officer": make.access_token(elsewhere.id),
        "ops": make.access_token(ops.id),
        "migrant": make.access_token(make.person().id),
    }
    ids = {name: [str(value) for value in values] for name, values in world.ids.items()}
    transport = httpx.WSGITransport(app=app)
    with httpx.Client(transport=transport, base_url="http://engage.example.cn") as client:
        yield Target(client, settings, tokens, ids)


def test_every_attempt_is_in_vain(target):
    report = Report()
    objects.attempts(target, report)
    inputs.attempts(
        target, report, payloads=()
    )  # made-up calls have their own test (tests/test_schemathesis.py)
    who.attempts(target, report)
    wire.attempts(target, report)
    assert report.succeeded == []
    assert len(report.attempts) > 300
    assert len({attempt.kind for attempt in report.attempts}) > 9


def test_an_attempt_that_succeeds_is_seen(target, capsys):
    """With rights that open what is reached for, the same attempts are no longer in vain."""
    report = Report()
    target.tokens["officer"] = target.tokens["youth"] = target.tokens["manager"]
    target.operations = [
        target.operation(name) for name in ("list_sign_ups", "read_roster", "export_sign_ups")
    ]
    objects._objects(target, report)
    assert len(report.succeeded) == 6
    report.print()
    assert "**SUCCEEDED**" in capsys.readouterr().out
