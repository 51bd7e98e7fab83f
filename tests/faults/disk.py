"""Disks that fill up and are freed again under a running service.

A real one where this user may mount (``tmpfs``). For everybody else on Linux a limit on the size of files, set from
outside on the running processes: every write beyond it fails, as on a full disk.
"""

from __future__ import annotations

import contextlib
import resource
import sqlite3
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

from cli.conftest import until

DATABASE, LOG = "engage.db", "engage.db-wal"
_MOUNTED_MB = 16
_BLOCK = bytes(1_048_576)


class Disk(Protocol):
    """Where the database file is."""

    folder: Path

    def fill(self, workers: Callable[[], list[int]]) -> None: ...
    def free(self, workers: Callable[[], list[int]]) -> None: ...


class Mounted:
    """A small file system of its own; a file of ballast takes what is left."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._ballast = folder / "ballast"

    def fill(self, workers: Callable[[], list[int]]) -> None:
        _shrink_log(self.folder)
        with contextlib.suppress(OSError), self._ballast.open("ab", buffering=0) as file:
            while file.write(_BLOCK):
                pass

    def free(self, workers: Callable[[], list[int]]) -> None:
        self._ballast.unlink(missing_ok=True)


class Limited:
    """No file of the workers may grow beyond the log of the database as it is now."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def fill(self, workers: Callable[[], list[int]]) -> None:
        _shrink_log(self.folder)
        self._limit(workers, (self.folder / LOG).stat().st_size)

    def free(self, workers: Callable[[], list[int]]) -> None:
        self._limit(workers, resource.RLIM_INFINITY)

    def _limit(self, workers: Callable[[], list[int]], size: int) -> None:
        for pid in workers():
            hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)[1]
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, hard))


def _shrink_log(folder: Path) -> None:
    """Give back the room in the log of the database, which would be written again before the file has to grow."""
    with contextlib.closing(sqlite3.connect(folder / DATABASE)) as connection:
        until(lambda: connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0)


def can_mount() -> bool:
    """Say whether this user may mount a file system."""
    with tempfile.TemporaryDirectory(prefix="engage-disk-") as folder:
        if not _mounted(Path(folder)):
            return False
        _unmount(Path(folder))
        return True


def kinds() -> list[str]:
    """Return what this user on this system can do."""
    return (["mounted"] if can_mount() else []) + (["limited"] if hasattr(resource, "prlimit") else [])


@contextlib.contextmanager
def small(kind: str) -> Iterator[Disk]:
    """Yield a disk of a kind; it is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="engage-disk-") as name:
        folder = Path(name)
        if kind == "limited":
            yield Limited(folder)
            return
        if not _mounted(folder):
            raise RuntimeError("this user may not mount a file system")
        try:
            yield Mounted(folder)
        finally:
            _unmount(folder)


def _mounted(folder: Path) -> bool:
    command = ["mount", "-t", "tmpfs", "-o", f"size={_MOUNTED_MB}m", "engage-faults", str(folder)]
    with contextlib.suppress(OSError):
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    return False


def _unmount(folder: Path) -> None:
    subprocess.run(["umount", "-l", str(folder)], capture_output=True, check=True)
