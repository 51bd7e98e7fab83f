"""``engage keys``: listing, changing and retiring signing keys."""

from __future__ import annotations

import pytest

from engage.identity.tokens.signing import derived_kid


@pytest.fixture
def keys(run, database):
    """Return a function that runs ``engage keys`` on the database of the test."""

    def keys(*arguments, fails=False):
        settings = database.settings
        result = run("keys", *arguments, database_url=settings.database_url, secret_key=settings.secret_key)
        assert (result.exit_code != 0) == fails, result.output
        return result.output

    return keys


def test_keys_are_listed_changed_and_retired(frozen, keys, database):
    first = derived_kid(database.settings)
    (line,) = keys("list").splitlines()
    assert line.split() == [first, "EdDSA", "ENGAGE_SECRET_KEY", "签名中", "signs"]
    made = keys("rotate").split()[-1]
    signing, coming = keys("list").splitlines()
    assert signing.startswith(first)
    assert signing.endswith("signs")
    assert coming.startswith(made)
    assert coming.endswith("will sign")
    frozen.move(minutes=1)
    before, now = keys("list").splitlines()
    assert before.endswith("verifies until 2026-10-01 10:16")
    assert now.endswith("signs")
    retired = keys("retire", made)
    newest = retired.split()[-1]
    assert made in retired
    assert [line.split()[-1] for line in keys("list").splitlines()][1:] == ["retired", "signs"]
    assert keys("list").splitlines()[2].startswith(newest)
    assert "没有这个签名密钥" in keys("retire", "nonsense", fails=True)
