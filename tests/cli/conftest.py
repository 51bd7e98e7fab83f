"""Running ``engage`` as an operator does, in this process and in one of its own."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from http.client import HTTPConnection, HTTPException
from pathlib import Path

import leaks
import pytest
from click.testing import CliRunner, Result

from engage.cli.commands import engage


@pytest.fixture(autouse=True)
def _own_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No settings but those of the test, in an empty folder."""
    for name in [name for name in os.environ if name.startswith("ENGAGE_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.fixture(autouse=True)
def _own_log(own_log: None) -> None:
    """Every test here runs commands."""


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Run a command in this process; settings as ``database_url="…"``. An exception is a failure of the test."""

    def command(*arguments: object, **settings: str) -> Result:
        for name, value in settings.items():
            monkeypatch.setenv(f"ENGAGE_{name.upper()}", value)
        result = CliRunner().invoke(engage, [str(argument) for argument in arguments], prog_name="engage")
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return command


def environment(**settings: object) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("ENGAGE_")}
    return inherited | {f"ENGAGE_{name.upper()}": str(value) for name, value in settings.items()}


class Process:
    """``engage`` in a process of its own, its output in a file."""

    def __init__(self, folder: Path, *arguments: object, **settings: object) -> None:
        self._output = folder / f"output-{time.monotonic_ns()}.txt"
        with self._output.open("wb") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "engage.cli", *map(str, arguments)],
                cwd=folder, env=environment(**settings), stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
            )  # fmt: skip
        self.pid = self._process.pid

    @property
    def output(self) -> str:
        return self._output.read_text(encoding="utf-8")

    def wait(self, seconds: float = 60) -> int:
        return self._process.wait(timeout=seconds)

    def wait_for(self, text: str, seconds: float = 90) -> None:
        until(lambda: text in self.output or self._process.poll() is not None, seconds)
        assert text in self.output, self.output

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal; return the exit code. Less than Gunicorn's 20 s, after which it kills what has not listened."""
        if self._process.poll() is None:
            self._process.send_signal(number)
        return self.wait(18)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def children(self) -> list[int]:
        found = subprocess.run(
            ["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True
        ).stdout
        pairs = [map(int, line.split()) for line in found.splitlines()]
        return [pid for pid, parent in pairs if parent == self.pid]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Process]]:
    """Start ``engage`` in a process that does not outlive the test."""
    with contextlib.ExitStack() as stack:

        def starting(*arguments: object, **settings: object) -> Process:
            process = Process(tmp_path, *arguments, **settings)
            stack.callback(_refuse_leaks, process)
            stack.callback(process.stop)
            return process

        yield starting


def _refuse_leaks(process: Process) -> None:
    """What a process writes is not captured with the rest, and searched for the same."""
    assert leaks.found(process.output) is None


def until(condition: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it took too long"
        time.sleep(0.02)


def free_port() -> int:
    """A port that nobody has now, with the next one free too; below those that the system gives to outgoing connections, which come and go."""
    while True:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as probe, socket.socket() as following, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            following.bind(("127.0.0.1", port + 1))
            return port


@contextlib.contextmanager
def taken_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def get(port: int, path: str) -> tuple[int, bytes]:
    """The status and body of an answer; status 0 when nobody listens."""
    connection = HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read()
    except ConnectionRefusedError:
        return 0, b""
    finally:
        connection.close()


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


__all__ = ["HTTPException", "Process", "environment", "free_port", "get", "is_alive", "taken_port", "until"]
