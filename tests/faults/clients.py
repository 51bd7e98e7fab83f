"""Clients as phones are: one request at a time on a connection that is kept, repeated until there is a definite answer."""

from __future__ import annotations

import json
import random
import time
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from typing import Any
from uuid import UUID

from faults.journal import Answer, Journal, now

_PATIENCE_SECONDS = 90  # nobody may be without a definite answer for longer
_ANSWER_SECONDS = 30
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.02, 0.5


@dataclass(frozen=True)
class Request:
    """What is asked, the same at each try."""

    person_id: UUID
    verb: str
    method: str
    path: str
    token: str
    body: Any = None
    key: str | None = None


class Gone(Exception):
    """The client went away before the answer."""


class Client:
    """One connection to the service."""

    def __init__(self, port: int, journal: Journal, choose: random.Random) -> None:
        self._port, self._journal, self._choose = port, journal, choose
        self._connection: HTTPConnection | None = None

    def ask(self, request: Request, *, leave_early: bool = False) -> Answer | None:
        """Ask until there is a definite answer; with ``leave_early`` walk away from the first try."""
        asked_at = now()
        pause = _FIRST_PAUSE_SECONDS
        tries = 0
        while now() - asked_at < _PATIENCE_SECONDS and not self._journal.given_up:
            sent_at = now()
            tries += 1
            try:
                status, headers, body = self._exchange(request, leave_early=leave_early)
            except Gone:
                self._journal.failed("gone")
                self.close()
                leave_early = False
                continue
            except (OSError, HTTPException) as error:
                self._journal.failed(type(error).__name__)
                self.close()
            else:
                if not self._is_to_be_repeated(request, status, headers, body):
                    answer = Answer(request.person_id, request.verb, status, body, asked_at, now(), tries)
                    self._journal.answered(answer, sent_at)
                    return answer
                self._journal.failed(str(body.get("code", status)))
            # A client's patience between its tries, as the mini program has it; nothing is waited for here.
            time.sleep(pause * self._choose.uniform(0.5, 1.0))
            pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)
        self._journal.complain(f"{request.verb}: no definite answer in {_PATIENCE_SECONDS} s")
        return None

    def _exchange(self, request: Request, *, leave_early: bool) -> tuple[int, Any, dict[str, Any]]:
        if self._connection is None:
            self._connection = HTTPConnection("127.0.0.1", self._port, timeout=_ANSWER_SECONDS)
        headers = {"Authorization": f"Bearer {request.token}"}
        if request.key:
            headers["Idempotency-Key"] = request.key
        content = None
        if request.body is not None:
            headers["Content-Type"] = "application/json"
            content = json.dumps(request.body)
        self._connection.request(request.method, request.path, content, headers)
        if leave_early:
            if self._choose.random() < 0.5:
                self._connection.sock.recv(self._choose.randint(1, 60))  # in the middle of the answer
            raise Gone
        response = self._connection.getresponse()
        data = response.read()
        return response.status, response.headers, json.loads(data) if data else {}

    def _is_to_be_repeated(self, request: Request, status: int, headers: Any, body: dict[str, Any]) -> bool:
        if status == 503:
            if not headers.get("Retry-After"):
                self._journal.complain(f"{request.verb}: 503 without Retry-After")
            return True
        if status >= 500:
            self._journal.complain(f"{request.verb}: answered {status} {body.get('code')}")
            return True
        if status == 409 and body.get("code") == "still_running":
            return True
        if status >= 400 and not _is_expected(request, status, body):
            self._journal.complain(f"{request.verb}: refused with {status} {body.get('code')}")
        return False

    def close(self) -> None:
        """Close the connection, if there is one."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _is_expected(request: Request, status: int, body: dict[str, Any]) -> bool:
    if request.verb in ("join", "added"):
        return (status, body.get("code")) == (409, "activity_full")
    return request.verb == "look" and (status, body.get("code")) == (404, "no_such_sign_up")
