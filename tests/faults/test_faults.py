"""Every acknowledged sign-up is there, none twice, none above capacity, the queue in order, and who repeats gets the truth."""

from __future__ import annotations

import pytest

from faults.kinds import FAULTS
from faults.rush import Rush


def _survives(stage, name, seed=1):
    verdict = Rush(stage, seed).run(FAULTS[name].inject)
    assert verdict.wrong == []
    return verdict


@pytest.mark.parametrize("name", ["worker", "service"])
def test_a_killed_service_on_sqlite_loses_and_doubles_nothing(sqlite_stage, name):
    _survives(sqlite_stage, name)


@pytest.mark.parametrize("name", ["worker", "gunicorn", "backend", "postgres"])
def test_a_killed_process_on_postgresql_loses_and_doubles_nothing(postgres_stage, name):
    _survives(postgres_stage, name)


@pytest.mark.parametrize("name", ["connections", "cancel", "clients", "lock"])
def test_what_is_cut_off_on_postgresql_is_whole_or_not_at_all(postgres_stage, name):
    assert _survives(postgres_stage, name).repeated > 0


def test_a_sign_up_whose_answer_was_lost_between_database_and_service_is_one_sign_up(wired_stage):
    assert _survives(wired_stage, "answers").repeated > 0
    assert wired_stage.relay.lost_all


def test_a_full_disk_refuses_and_heals_without_a_restart(small_disk_stage):
    workers = small_disk_stage.service.workers()
    assert _survives(small_disk_stage, "disk").repeated > 0
    assert small_disk_stage.service.workers() == workers
