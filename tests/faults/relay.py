"""A wire between the service and PostgreSQL that can be cut after the statement has run and before its answer arrives."""

from __future__ import annotations

import contextlib
import shutil
import socket
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

_SOCKET = ".s.PGSQL.5432"


class Relay:
    """Listens where PostgreSQL would and passes bytes on, each connection in two threads."""

    def __init__(self, folder: Path, target: Path) -> None:
        self.url = f"postgresql://engage@/postgres?host={folder}"
        self._target = str(target / _SOCKET)
        self._guard = threading.Lock()
        self._to_lose = 0
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(folder / _SOCKET))
        self._listener.listen(64)
        threading.Thread(target=self._accept, daemon=True).start()

    def lose(self, count: int) -> None:
        """Swallow the next answers of the database and cut their connections."""
        with self._guard:
            self._to_lose += count

    @property
    def lost_all(self) -> bool:
        with self._guard:
            return self._to_lose == 0

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
                self._start(client, server, is_answer=False)
                self._start(server, client, is_answer=True)

    def _start(self, source: socket.socket, sink: socket.socket, *, is_answer: bool) -> None:
        threading.Thread(
            target=self._pass_on, args=(source, sink), kwargs={"is_answer": is_answer}, daemon=True
        ).start()

    def _pass_on(self, source: socket.socket, sink: socket.socket, *, is_answer: bool) -> None:
        with contextlib.suppress(OSError):
            while (data := source.recv(65536)) and not (is_answer and self._is_lost()):
                sink.sendall(data)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def _is_lost(self) -> bool:
        with self._guard:
            if self._to_lose == 0:
                return False
            self._to_lose -= 1
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
