"""Processes that are started together and end together."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from typing import TYPE_CHECKING, Final

from engage.cli.faults import Fault

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_STOP_SECONDS: Final = 25  # longer than Gunicorn's own patience with requests in hand
_TAIL_LINES: Final = 12


@dataclass(frozen=True)
class Child:
    """A command of our own in a process of its own."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path


class Children:
    """Start commands, watch them, end them."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self._children: list[Child] = []

    def start(self, name: str, log: Path, *arguments: str) -> None:
        """Start ``engage <arguments>``; what it prints goes to ``log``."""
        with log.open("wb") as output:
            process = subprocess.Popen(  # noqa: S603 - our own interpreter and package
                [sys.executable, "-m", "engage.cli", *arguments],
                env=dict(self._environment),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,  # Ctrl-C reaches only us, and we end the others in order
            )
        self._children.append(Child(name, process, log))

    def refuse_dead(self) -> None:
        """Look after all of them.

        Raises:
            Fault: one has ended by itself; its last lines are in the sentence.

        """
        for child in self._children:
            code = child.process.poll()
            if code is not None:
                tail = child.log.read_text(encoding="utf-8", errors="replace").splitlines()[-_TAIL_LINES:]
                raise Fault(
                    f"{child.name} 意外退出（代码 {code}），日志在 {child.log}。",
                    f"{child.name} has ended unexpectedly; the end of its log:\n" + "\n".join(tail),
                )

    def wait_for(self, port: int, path: str, seconds: float) -> None:
        """Wait until a loopback address answers 200.

        Raises:
            Fault: a child has ended, or the time is over.

        """
        deadline = time.monotonic() + seconds
        while not _answers(port, path):
            self.refuse_dead()
            if time.monotonic() > deadline:
                raise Fault(f"{path} 在 {seconds:.0f} 秒内没有应答。", "A part of the demo did not come up.")
            time.sleep(0.02)

    def watch(self) -> None:
        """Stay until a child ends by itself (``Fault``) or a signal interrupts."""
        while True:
            self.refuse_dead()
            time.sleep(0.2)

    def stop(self) -> None:
        """Ask all of them to end, last started first, and wait; who does not listen is killed."""
        for child in reversed(self._children):
            if child.process.poll() is None:
                child.process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + _STOP_SECONDS
        for child in self._children:
            try:
                child.process.wait(timeout=max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                child.process.kill()
                child.process.wait()


def _answers(port: int, path: str) -> bool:
    connection = HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200  # noqa: PLR2004
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()
