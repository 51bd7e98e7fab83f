"""A wire between the service and PostgreSQL that is cut before a question arrives, or after it and before its answer."""

from __future__ import annotations

import contextlib
import shutil
import socket
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

_SOCKET = ".s.PGSQL.5432"
_KINDS = ("question", "answer", "question of a commit", "answer of a commit")


class Relay:
    """Listens where PostgreSQL would and passes bytes on, each connection in two threads."""

    def __init__(self, folder: Path, target: Path) -> None:
        self.url = f"postgresql://engage@/postgres?host={folder}"
        self._target = str(target / _SOCKET)
        self._guard = threading.Lock()
        self._to_lose = dict.fromkeys(_KINDS, 0)
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(folder / _SOCKET))
        self._listener.listen(64)
        threading.Thread(target=self._accept, daemon=True).start()

    def lose(self, count: int) -> None:
        """Swallow so many of the next messages of each kind, and cut their connections."""
        with self._guard:
            self._to_lose = dict.fromkeys(_KINDS, count)

    @property
    def has_lost_all(self) -> bool:
        with self._guard:
            return not any(self._to_lose.values())

    def close(self) -> None:
        """Take no more connections."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.socket(socket.AF_UNIX)
                try:
                    server.connect(self._target)
                except OSError:
                    client.close()
                    continue
                self._start(client, server, "question")
                self._start(server, client, "answer")

    def _start(self, source: socket.socket, sink: socket.socket, what: str) -> None:
        threading.Thread(target=self._pass_on, args=(source, sink, what), daemon=True).start()

    def _pass_on(self, source: socket.socket, sink: socket.socket, what: str) -> None:
        with contextlib.suppress(OSError):
            while (data := source.recv(65536)) and not self._is_lost(what, data):
                sink.sendall(data)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def _is_lost(self, what: str, data: bytes) -> bool:
        kind = f"{what} of a commit" if b"COMMIT" in data else what
        with self._guard:
            if not self._to_lose[kind]:
                return False
            self._to_lose[kind] -= 1
            return True


@contextlib.contextmanager
def before(target: Path) -> Iterator[Relay]:
    """Run a relay before the server whose socket is in a folder."""
    folder = Path(tempfile.mkdtemp(prefix="engage-relay-", dir="/tmp"))
    relay = Relay(folder, target)
    try:
        yield relay
    finally:
        relay.close()
        shutil.rmtree(folder, ignore_errors=True)
