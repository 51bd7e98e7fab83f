"""Open connections for reading that lie ready.

To take one out of the pool and put it back costs as much as a tenth of a small request. These stay out of it: there are never more of them
than the pool gives out.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from sqlalchemy import event

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine


class Ready:
    """The connections of an engine that nobody reads on."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._idle: deque[Connection] = deque()
        event.listen(engine, "invalidate", lambda *_: self.forget())

    def __len__(self) -> int:
        return len(self._idle)

    def connection(self) -> Borrowed:
        """Return the context of one of them, or of a new one."""
        return Borrowed(self._engine, self._idle, self)

    def take_back(self, connection: Connection, idle: deque[Connection]) -> None:
        """Lay a connection back among those it was taken from, if they are not forgotten by now."""
        if idle is self._idle and not connection.invalidated:
            idle.append(connection)
        else:
            _give_up(connection)

    def forget(self) -> None:
        """Close them all: when one is found lost the others are lost as well, or will soon be."""
        forgotten, self._idle = self._idle, deque()
        for connection in forgotten:
            _give_up(connection)

    def leave(self) -> None:
        """Use none of them any more, and close none: they belong to the parent of this process."""
        self._of_parent, self._idle = self._idle, deque()


class Borrowed:
    """A connection while somebody reads on it."""

    __slots__ = ("_connection", "_engine", "_idle", "_ready")

    def __init__(self, engine: Engine, idle: deque[Connection], ready: Ready) -> None:
        self._engine, self._idle, self._ready = engine, idle, ready

    def __enter__(self) -> Connection:
        try:
            self._connection = self._idle.pop()
        except IndexError:
            self._connection = self._engine.connect()
        return self._connection

    def __exit__(self, *_: object) -> None:
        self._ready.take_back(self._connection, self._idle)


def _give_up(connection: Connection) -> None:
    connection.invalidate()  # else it would be rolled back, which fails where it is lost
    connection.close()
