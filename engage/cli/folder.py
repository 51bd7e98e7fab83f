"""The folder in which the demo keeps its database, and what state an earlier run left it in."""

from __future__ import annotations

import fcntl
import json
import os
from typing import TYPE_CHECKING, Final

from engage.cli.faults import Fault

if TYPE_CHECKING:
    from pathlib import Path

_DATABASE: Final = "engage.db"
_MARK: Final = "finished.json"
_LOCK: Final = ".lock"
_OURS: Final = ("engage.db*", _MARK, "*.log")


class DemoFolder:
    """A folder held by one run at a time."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self._lock = -1

    @property
    def database(self) -> Path:
        return self.path / _DATABASE

    def log(self, name: str) -> Path:
        """Return where a process writes."""
        return self.path / f"{name}.log"

    def hold(self) -> None:
        """Make the folder if need be and keep other runs out of it until this process ends.

        Raises:
            Fault: it cannot be made or written, or another run holds it.

        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            # Any name but ours: a read-only file system or a missing right shows here, not half-way.
            self._lock = os.open(self.path / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise Fault(
                f"不能写入文件夹 {self.path}（{error.strerror}），请用 --dir 换一个。",
                "This folder cannot be written; choose another with --dir.",
            ) from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise Fault(
                f"另一个 engage demo 正在使用 {self.path}。",
                "Another `engage demo` is using this folder; stop it or choose another with --dir.",
            ) from error

    def is_finished(self) -> bool:
        """Say whether an earlier run filled the database to the end."""
        return (self.path / _MARK).exists() and self.database.exists()

    def refuse_unfinished(self) -> None:
        """Refuse a database that an earlier run did not finish.

        Raises:
            Fault: there is one.

        """
        if self.database.exists() and not self.is_finished():
            raise Fault(
                f"{self.path} 里有上次没有完成的数据，请加 --reset 重新生成。",
                "An earlier run did not finish here; start over with --reset.",
            )

    def finish(self, made_at: str) -> None:
        """Mark the database as complete."""
        (self.path / _MARK).write_text(json.dumps({"made_at": made_at}) + "\n", encoding="utf-8")

    def clear(self) -> None:
        """Remove what runs of the demo left, and nothing else."""
        for pattern in _OURS:
            for file in self.path.glob(pattern):
                file.unlink()
