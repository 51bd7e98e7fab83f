"""Every acknowledged sign-up is there, none twice, none above capacity, the queue in order, and who repeats gets the truth."""

from __future__ import annotations

import contextlib
from http.client import HTTPConnection, HTTPException

import pytest
from cli.conftest import until

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


def test_orphaned_workers_give_their_address_up_although_their_clients_go_on_asking(postgres_stage):
    service, connections = postgres_stage.service, []
    for _ in range(8):  # enough to have some at each worker
        connections.append(HTTPConnection("127.0.0.1", service.port, timeout=20))
        connections[-1].request("GET", "/healthz")
        connections[-1].getresponse().read()
    service.kill_master()

    def still_asking():
        for connection in connections:
            with contextlib.suppress(OSError, HTTPException):
                connection.request("GET", "/healthz")
                connection.getresponse().read()
        return service.is_address_free()

    try:
        until(still_asking, 10)  # Gunicorn's own patience is 20 s
    finally:
        for connection in connections:
            connection.close()
        service.start()


@pytest.mark.parametrize("name", ["connections", "cancel", "clients", "lock"])
def test_what_is_cut_off_on_postgresql_is_whole_or_not_at_all(postgres_stage, name):
    assert _survives(postgres_stage, name).repeated > 0


def test_what_is_lost_on_the_way_to_the_database_and_back_is_asked_for_once_more(wired_stage):
    assert _survives(wired_stage, "wire").repeated > 0


def test_the_service_finds_a_restarted_database_again_by_itself(postgres_stage):
    processes = postgres_stage.service.workers()
    postgres_stage.cluster.kill()
    assert _status(postgres_stage, "/readyz") == 503
    assert _status(postgres_stage, "/healthz") == 200
    postgres_stage.cluster.start()
    statuses = [_status(postgres_stage, path) for _ in range(20) for path in ("/v1/activities", "/readyz")]
    assert statuses[-10:] == [200] * 10
    # A worker learns it from the first connection it tries, and then throws all of that pool away.
    assert statuses.count(503) <= len(processes)
    assert set(statuses) <= {200, 503}
    assert postgres_stage.service.workers() == processes


def _status(stage, path):
    connection = HTTPConnection("127.0.0.1", stage.service.port, timeout=20)
    connection.request("GET", path)
    response = connection.getresponse()
    response.read()
    connection.close()
    if response.status == 503:
        assert response.headers["Retry-After"]
    return response.status


def test_a_full_disk_refuses_and_heals_without_a_restart(small_disk_stage):
    workers = small_disk_stage.service.workers()
    assert _survives(small_disk_stage, "disk").repeated > 0
    assert small_disk_stage.service.workers() == workers
