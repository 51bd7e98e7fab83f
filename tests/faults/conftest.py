"""Stages that the tests of this folder share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from faults import disk, stage


@pytest.fixture(scope="module")
def postgres_stage() -> Iterator[stage.Stage]:
    with stage.on_postgres() as ready:
        yield ready


@pytest.fixture(scope="module")
def wired_stage() -> Iterator[stage.Stage]:
    """The wire to the database can lose answers."""
    with stage.on_postgres(with_relay=True) as ready:
        yield ready


@pytest.fixture(scope="module")
def sqlite_stage() -> Iterator[stage.Stage]:
    with stage.on_sqlite() as ready:
        yield ready


@pytest.fixture(scope="module", params=disk.kinds())
def small_disk_stage(request: pytest.FixtureRequest) -> Iterator[stage.Stage]:
    with disk.small(request.param) as room, stage.on_sqlite(room) as ready:
        yield ready
