"""``engage limits``: who is locked out, and the way back that an operator opens."""

from __future__ import annotations

import pytest
from limits import parse


@pytest.fixture
def limits(run, database):
    """Return a function that runs ``engage limits`` on the database of the test."""

    def limits(*arguments, fails=False):
        settings = database.settings
        result = run("limits", *arguments, database_url=settings.database_url, secret_key=settings.secret_key)
        assert (result.exit_code != 0) == fails, result.output
        return result.output

    return limits


def test_locks_are_listed_and_ended(limits, client, database, frozen, monkeypatch):
    monkeypatch.setattr(
        database, "settings", database.settings.replace(limit_certificate=parse("2/10 minutes"))
    )

    def check():
        return client.get("/v1/certificates/NONSENSE", environ_overrides={"REMOTE_ADDR": "2001:db8::7"}).json[
            "code"
        ]

    assert limits("show").startswith("没有")
    assert check() == "no_such_certificate"
    assert limits("show").startswith("没有")
    counts = limits("show", "--address", "2001:db8::9").split()
    assert counts[:4] == ["certificate", "address:2001:db8::/64", "1", "计数中"]
    assert [check(), check()] == ["no_such_certificate", "locked_out"]
    (line,) = limits("show").splitlines()
    assert line.split()[:4] == ["certificate", "address:2001:db8::/64", "2", "已锁定"]
    assert line.endswith("until 2026-10-01 10:10")
    assert "none" in limits("unlock", "--address", "203.0.113.7")
    assert check() == "locked_out"
    assert "certificate" in limits("unlock", "--address", "2001:db8::7", "--gate", "certificate")
    assert check() == "no_such_certificate"
    for wrong in (["unlock"], ["unlock", "--address", "nowhere"], ["show", "--person", "x"]):
        limits(*wrong, fails=True)
