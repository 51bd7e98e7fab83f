"""The load client, a process of its own: keep-alive connections, one request at a time on each, raw bytes.

It reads a plan (pickle) from standard input and writes what happened (pickle) to standard output. One thread over a
selector costs 20 to 30 µs a request, a tenth of the cheapest server under test.
"""

from __future__ import annotations

import pickle
import selectors
import socket
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import cycle


@dataclass
class Plan:
    """What to send: each request once (``seconds`` None), or round and round for some seconds."""

    port: int
    requests: list[bytes]
    connections: int
    seconds: float | None = None


@dataclass
class Outcome:
    """What came back. Times in seconds; ``bodies`` counts answers with their ids and times left out."""

    seconds: float
    latencies: list[float]
    statuses: Counter[int] = field(default_factory=Counter)
    states: Counter[bytes] = field(default_factory=Counter)


class _Connection:
    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""
        self.started = 0.0

    def send(self, request: bytes) -> None:
        self.buffer = b""
        self.started = time.perf_counter()
        self.socket.sendall(request)

    def received(self) -> tuple[int, bytes] | None:
        """Read what is there; return status and body once the answer is whole."""
        chunk = self.socket.recv(262_144)
        if not chunk:
            raise ConnectionError("the server closed a connection")
        self.buffer += chunk
        head, found, body = self.buffer.partition(b"\r\n\r\n")
        if not found:
            return None
        status = int(head[9:12])
        at = head.lower().find(b"content-length:")
        length = int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
        return (status, body) if len(body) >= length else None


def run(plan: Plan) -> Outcome:
    """Send the requests of a plan."""
    requests: Iterator[bytes] = iter(plan.requests) if plan.seconds is None else cycle(plan.requests)
    selector = selectors.DefaultSelector()
    outcome = Outcome(0.0, [])
    connections = [_Connection(plan.port) for _ in range(plan.connections)]
    begun = time.perf_counter()
    deadline = None if plan.seconds is None else begun + plan.seconds
    open_ = 0
    for connection in connections:
        request = next(requests, None)
        if request is not None:
            selector.register(connection.socket, selectors.EVENT_READ, connection)
            connection.send(request)
            open_ += 1
    while open_:
        for key, _ in selector.select():
            connection = key.data
            answer = connection.received()
            if answer is None:
                continue
            now = time.perf_counter()
            outcome.latencies.append(now - connection.started)
            outcome.statuses[answer[0]] += 1
            outcome.states[_state(answer[1])] += 1
            request = next(requests, None) if deadline is None or now < deadline else None
            if request is None:
                selector.unregister(connection.socket)
                open_ -= 1
            else:
                connection.send(request)
    outcome.seconds = time.perf_counter() - begun
    for connection in connections:
        connection.socket.close()
    return outcome


def _state(body: bytes) -> bytes:
    """Return the value of ``state`` or ``code`` of a small answer, so that a rush can be verified."""
    if len(body) > 600:
        return b""
    for name in (b'"state":"', b'"code":"'):
        at = body.find(name)
        if at >= 0:
            return body[at + len(name) : body.index(b'"', at + len(name))]
    return b""


if __name__ == "__main__":
    plan = Plan(**pickle.load(sys.stdin.buffer))
    pickle.dump(vars(run(plan)), sys.stdout.buffer)
