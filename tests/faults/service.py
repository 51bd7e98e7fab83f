"""``engage serve`` in processes of its own, killed and started again as a supervisor does."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.servers import Server, free_port
from cli.conftest import environment, get, until

_START_SECONDS = 60
_END_SECONDS = 10
WORKERS = 2


class Service:
    """The real server with two workers, on a port that it keeps over restarts."""

    def __init__(self, folder: Path, url: str) -> None:
        self.port = free_port()
        self._folder = folder
        self._log = folder / "serve.log"
        self._environment = environment(database_url=url.replace("+psycopg", ""), log_level="WARNING")
        self._process: subprocess.Popen[bytes] | None = None
        self._orphaned: list[int] = []  # groups whose first process was killed

    def start(self) -> None:
        """Start it once its address is free (the workers of a killed one hold it until they notice)."""
        deadline = time.monotonic() + _START_SECONDS
        until(self.is_address_free, _START_SECONDS)
        while not self._is_up():
            if time.monotonic() > deadline:
                raise RuntimeError(f"the service did not start:\n{self.log()[-4000:]}")
        self._sweep()
        until(lambda: len(self.workers()) == WORKERS)

    def is_address_free(self) -> bool:
        """Say whether another server could listen now."""
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", self.port))
            except OSError:
                return False
            return True

    def _is_up(self) -> bool:
        process = self._process = self._started()
        until(lambda: process.poll() is not None or self.is_ready(), _START_SECONDS)
        return process.poll() is None

    def _started(self) -> subprocess.Popen[bytes]:
        with self._log.open("ab") as output:
            return subprocess.Popen(
                [sys.executable, "-m", "engage.cli", "serve", "--bind", f"127.0.0.1:{self.port}", "--workers", str(WORKERS)],
                cwd=self._folder, env=self._environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                start_new_session=True,
            )  # fmt: skip

    def is_ready(self) -> bool:
        """Say whether it answers and reaches its database."""
        try:
            return get(self.port, "/readyz")[0] == 200
        except OSError:
            return False

    def workers(self) -> list[int]:
        """Return the process ids of the workers."""
        return Server(self.port, self._pid()).workers()

    def _pid(self) -> int:
        if self._process is None:
            raise RuntimeError("the service has not been started")
        return self._process.pid

    def kill_worker(self, choose: random.Random) -> None:
        """``kill -9`` of one worker; Gunicorn starts another."""
        os.kill(choose.choice(self.workers()), signal.SIGKILL)

    def kill_master(self) -> None:
        """``kill -9`` of Gunicorn's first process; its workers notice by themselves."""
        os.kill(self._pid(), signal.SIGKILL)
        self._ended()

    def kill_all(self) -> None:
        """``kill -9`` of Gunicorn and all its workers."""
        os.killpg(self._pid(), signal.SIGKILL)
        self._ended()

    def _ended(self) -> None:
        if self._process is not None:
            self._process.wait(timeout=_END_SECONDS)
            self._orphaned.append(self._process.pid)

    def _sweep(self) -> None:
        while self._orphaned:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._orphaned.pop(), signal.SIGKILL)

    def stop(self) -> None:
        """End all of it at once: what it leaves behind is what the tests have looked at."""
        if self._process is not None and self._process.poll() is None:
            self.kill_all()
        self._sweep()

    def log(self) -> str:
        """Return what it has printed."""
        return self._log.read_text(encoding="utf-8", errors="replace")
