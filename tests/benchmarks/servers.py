"""The servers under test: started alike, measured alike, stopped by their own process ids."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
_TICKS = os.sysconf("SC_CLK_TCK")
GUNICORN = [sys.executable, "-m", "gunicorn", "-c", "python:engage.gunicorn_config", "--max-requests", "0"]
APPLICATIONS = {
    "bare": "tests.benchmarks.bare:application",
    "floor": "tests.benchmarks.floor:application",
    "engage": "wsgi:app",
}


def free_port() -> int:
    """Return a port that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass
class Server:
    """A running server."""

    port: int
    pid: int

    def workers(self) -> list[int]:
        """Return the process ids of the workers."""
        listed = subprocess.run(["ps", "-o", "pid=", "--ppid", str(self.pid)] if sys.platform == "linux" else ["pgrep", "-P", str(self.pid)],
                                capture_output=True, text=True, check=False).stdout  # fmt: skip
        return [int(pid) for pid in listed.split()]

    def cpu_seconds(self) -> float | None:
        """Return the processor time of all workers so far; None where the system does not say."""
        total = 0
        for pid in self.workers():
            stat = Path(f"/proc/{pid}/stat")
            if not stat.exists():
                return None
            fields = stat.read_text().rpartition(")")[2].split()
            total += int(fields[11]) + int(fields[12])
        return total / _TICKS

    def memory_mb(self) -> list[float]:
        """Return each worker's share of memory (PSS; resident size where the system has no PSS), in MB."""
        return [_memory_mb(pid) for pid in self.workers()]


def _memory_mb(pid: int) -> float:
    rollup = Path(f"/proc/{pid}/smaps_rollup")
    if rollup.exists():
        line = next(line for line in rollup.read_text().splitlines() if line.startswith("Pss:"))
        return int(line.split()[1]) / 1024
    resident = subprocess.run(
        ["ps", "-o", "rss=", "-p", str(pid)], capture_output=True, text=True, check=True
    ).stdout
    return int(resident) / 1024


@contextmanager
def running(command: list[str], port: int, environment: dict[str, str], log: Path) -> Iterator[Server]:
    """Run a server until the block ends; yield it once it answers."""
    with log.open("ab") as output:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=output, stderr=output)
    try:
        wait(port, process, log)
        yield Server(port, process.pid)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=40)


def wait(port: int, process: subprocess.Popen[bytes], log: Path, path: str = "/healthz") -> None:
    """Return when a server answers at all."""
    deadline = time.monotonic() + 60
    while True:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("GET", path)
            connection.getresponse().read()
        except OSError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"a server did not start:\n{log.read_text()[-4000:]}") from None
            time.sleep(0.005)
        else:
            return
        finally:
            connection.close()


def application(name: str, port: int) -> list[str]:
    """Return the command that serves one of the applications."""
    return [*GUNICORN, "--bind", f"127.0.0.1:{port}", APPLICATIONS[name]]


def cold_start(environment: dict[str, str], log: Path) -> float:
    """Return the seconds from the start of ``engage serve`` to its first answer."""
    port = free_port()
    command = [sys.executable, "-m", "engage.cli", "serve", "--bind", f"127.0.0.1:{port}"]
    begun = time.perf_counter()
    with running(command, port, environment, log):
        return time.perf_counter() - begun
