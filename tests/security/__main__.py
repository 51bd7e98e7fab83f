"""``python -m tests.security``: attack the demo, print each attempt and its answer; ends with 1 if one succeeded.

It starts a demo of its own, without the limits of requests in a minute, in a folder that it throws away. ``--url`` and ``--wechat`` attack one that runs already; never anything else:
it needs the demo's people, and it leaves traces.
"""

from __future__ import annotations

import argparse
import http.client
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # as the tests have it

import leaks

from security import inputs, objects, who, wire
from security.report import Report
from security.target import Target, demo

_UP_SECONDS = 120
# The general limits would stretch some thousand requests over a quarter of an hour; lock-out stays as it is.
_DEMO = """
from engage.cli import demo, main
ours = demo._environment
off = {f"ENGAGE_LIMIT_{name}": "off" for name in ("PERSON", "KEY", "ADDRESS")}
demo._environment = lambda *place: {**ours(*place), **off}
main()
"""


def main() -> None:
    """Attack, print, and say by the exit code whether all was in vain."""
    options = _options()
    report = Report()
    with _addresses(options.url, options.wechat) as (url, wechat, folder):
        began = time.monotonic()
        target = demo(url, wechat)
        for part in (objects, inputs, who, wire):
            part.attempts(target, report)
        if folder is not None:
            _logs(folder, target, report)
        report.notes.append(f"{target.sent} requests in {time.monotonic() - began:.0f} s.")
    report.print()
    sys.exit(1 if report.succeeded else 0)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.security", description=__doc__)
    parser.add_argument("--url", help="of a demo that runs, such as http://127.0.0.1:8000")
    parser.add_argument("--wechat", help="of its stand-in for WeChat [default: the next port]")
    return parser.parse_args()


@contextmanager
def _addresses(url: str | None, wechat: str | None) -> Iterator[tuple[str, str, Path | None]]:
    if url is not None:
        host, _, port = url.rpartition(":")
        yield url, wechat or f"{host}:{int(port) + 1}", None
        return
    port = _free_port()
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "demo.log"
        with log.open("wb") as output:
            command = [
                sys.executable,
                "-c",
                _DEMO,
                "demo",
                "--dir",
                f"{folder}/demo",
                "--port",
                str(port),
            ]
            process = subprocess.Popen(
                command, stdout=output, stderr=output, env={**os.environ, "PYTHONUNBUFFERED": "1"}
            )
        try:
            _wait(process, port, log)
            yield f"http://127.0.0.1:{port}", f"http://127.0.0.1:{port + 1}", Path(folder) / "demo"
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(timeout=60)


def _logs(folder: Path, target: Target, report: Report) -> None:
    """Look through what the service wrote while it was attacked."""
    for log in sorted(folder.rglob("*.log")):
        text = log.read_text(encoding="utf-8", errors="replace")
        held = leaks.found(text) or next((who for who, token in target.tokens.items() if token in text), None)
        answer = held or f"{len(text.splitlines())} lines without any"
        report.add(
            "Logs of the service, after all that",
            f"secrets and personal data in {log.name}",
            answer,
            not held,
        )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + _UP_SECONDS
    while True:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("GET", "/readyz")
            if connection.getresponse().status == 200:
                return
        except OSError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the demo did not start:\n{log.read_text()[-4000:]}") from None
            time.sleep(0.1)
        finally:
            connection.close()


if __name__ == "__main__":
    main()
