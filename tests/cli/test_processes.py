"""The server, the worker and the fake of WeChat as processes: start, answers, signals."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from http.client import HTTPConnection
from pathlib import Path

import pytest
from cli.conftest import environment, free_port, get, is_alive, until

ROOT = Path(__file__).parents[2]


@pytest.fixture
def database_url(run, tmp_path):
    url = f"sqlite:///{tmp_path}/engage.db"
    assert run("db", "upgrade", database_url=url).exit_code == 0
    return url


@pytest.fixture
def server(start, database_url):
    port = free_port()
    process = start("serve", "--bind", f"127.0.0.1:{port}", "--workers", 2, database_url=database_url)
    until(lambda: get(port, "/healthz")[0] == 200)
    return port, process


def test_the_server_serves_and_logs_a_json_line_for_each_request(server):
    port, process = server
    assert get(port, "/readyz") == (200, b'{"status":"ready"}')
    assert get(port, "/v1/regions?name=%E9%99%B5")[0] == 200
    assert process.stop() == 0
    lines = [json.loads(line) for line in process.output.splitlines()]
    requests = [line for line in lines if line.get("route") == "/v1/regions"]
    assert [(line["method"], line["status"], line["caller"]) for line in requests] == [("GET", 200, None)]
    assert "%E9%99%B5" not in process.output
    assert "陵" not in process.output


def test_options_win_over_settings(start, database_url):
    port = free_port()
    process = start(
        "serve",
        "--bind",
        f"127.0.0.1:{port}",
        "--workers",
        3,
        database_url=database_url,
        bind="127.0.0.1:1",
        workers=1,
    )
    until(lambda: get(port, "/healthz")[0] == 200)
    until(lambda: len(process.children()) == 3)


_STOPPED_AT_BIRTH = """
import os, signal
from engage import gunicorn_config
stops = signal.SIGTERM, signal.SIGINT, signal.SIGQUIT
for stop in stops:
    signal.signal(stop, lambda *_: None)  # as Gunicorn's first process: it notes the stop for later
gunicorn_config.on_starting(None)
for stop in stops:
    born = os.fork()
    while born == 0:
        signal.pause()
    os.kill(born, stop)
    assert os.waitstatus_to_exitcode(os.waitpid(born, 0)[1]) == 0
assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == set()
"""


def test_a_worker_that_has_hardly_begun_can_be_stopped():
    """It inherits handlers from its parent that would note the stop and do nothing; Gunicorn would wait 20 s."""
    command = [sys.executable, "-c", _STOPPED_AT_BIRTH]
    with subprocess.Popen(command, env=environment(), start_new_session=True) as process:
        try:
            assert process.wait(30) == 0
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


@pytest.mark.skipif(
    not hasattr(os, "sched_getaffinity"), reason="this system binds no process to a processor"
)
@pytest.mark.parametrize(("pin", "bound"), [("0", False), ("auto", True), ("1", True)])
def test_workers_as_many_as_processors_have_one_each(start, database_url, pin, bound):
    port, processors = free_port(), os.sched_getaffinity(0)
    process = start(
        "serve",
        "--bind",
        f"127.0.0.1:{port}",
        "--workers",
        len(processors),
        database_url=database_url,
        pin_workers=pin,
    )
    until(lambda: get(port, "/healthz")[0] == 200 and len(process.children()) == len(processors))
    first = process.children()
    expected = [{processor} if bound else processors for processor in sorted(processors)]
    until(lambda: sorted(map(os.sched_getaffinity, process.children()), key=sorted) == expected)
    os.kill(first[0], signal.SIGKILL)  # who comes after it takes its processor
    until(lambda: len(process.children()) == len(processors) and set(process.children()) != set(first))
    until(lambda: sorted(map(os.sched_getaffinity, process.children()), key=sorted) == expected)


@pytest.mark.skipif(
    not hasattr(os, "sched_getaffinity"), reason="this system binds no process to a processor"
)
def test_workers_in_another_number_are_left_to_the_system(start, database_url):
    port = free_port()
    workers = len(os.sched_getaffinity(0)) + 1
    process = start("serve", "--bind", f"127.0.0.1:{port}", "--workers", workers, database_url=database_url)
    until(lambda: get(port, "/healthz")[0] == 200 and len(process.children()) == workers)
    assert all(os.sched_getaffinity(pid) == os.sched_getaffinity(0) for pid in process.children())


def test_ctrl_c_ends_every_process(server):
    _, process = server
    workers = process.children()
    assert process.stop(signal.SIGINT) == 0
    until(lambda: not any(map(is_alive, workers)))


def test_a_stop_ends_every_process_and_no_answer_is_lost(server):
    port, process = server
    workers = process.children()
    lost: list[Exception] = []
    answered = 0
    stopping = threading.Event()

    def ask():
        nonlocal answered
        while not stopping.is_set():
            connection = HTTPConnection("127.0.0.1", port, timeout=20)
            try:
                connection.connect()
            except OSError:
                return  # nobody listens any more: not an answer that was lost
            try:
                connection.request("GET", "/v1/regions")
                assert connection.getresponse().status == 200
                answered += 1
            except Exception as error:
                lost.append(error)
            finally:
                connection.close()

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    until(lambda: answered > 50)
    assert process.stop() == 0
    stopping.set()
    for thread in threads:
        thread.join()
    assert not any(map(is_alive, workers))
    assert lost == []


def test_gunicorn_runs_it_without_our_command(tmp_path, database_url):
    port = free_port()
    command = [sys.executable, "-m", "gunicorn", "-c", "python:engage.gunicorn_config", "wsgi:app"]
    settings = environment(database_url=database_url, bind=f"127.0.0.1:{port}")
    with (tmp_path / "gunicorn.log").open("wb") as output:
        process = subprocess.Popen(command, cwd=ROOT, env=settings, stdout=output, stderr=output)
    try:
        until(lambda: get(port, "/readyz")[0] == 200)
    finally:
        process.terminate()
        assert process.wait(timeout=60) == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_worker_ends_when_told(start, database_url, number):
    process = start("worker", database_url=database_url)
    process.wait_for('"message":"started"')
    assert process.stop(number) == 0
    assert [json.loads(line)["message"] for line in process.output.splitlines()] == ["started", "stopped"]


def test_the_fake_of_wechat_mints_codes_and_ends_when_told(start):
    port = free_port()
    process = start("fake-wechat", "--port", port)
    process.wait_for(f"http://127.0.0.1:{port}")
    assert get(port, "/__fake__/health")[0] == 200
    assert process.stop() == 0
