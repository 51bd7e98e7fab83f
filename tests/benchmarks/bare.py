"""The bare WSGI application: the bytes of an answer and nothing else. What the server and the client cost."""

from __future__ import annotations

import os
import pickle
from collections.abc import Iterable
from pathlib import Path
from typing import Any

_PLAN = pickle.loads(Path(os.environ["BENCHMARK_PLAN"]).read_bytes())


class Bare:
    """Answers by the shape of the address."""

    extensions: dict[str, Any] = {}

    def __init__(self) -> None:
        self.extensions = {"engage.database": self}
        self._answers = {key: (body, self._headers(body)) for key, body in _PLAN["answers"].items()}

    @staticmethod
    def _headers(body: bytes) -> list[tuple[str, str]]:
        return [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]

    def dispose(self, *, close: bool = True) -> None:
        """Nothing to drop after a fork."""

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        method = environ["REQUEST_METHOD"]
        if method == "DELETE":
            start_response("204 No Content", [("Content-Length", "0")])
            return []
        if method != "GET":
            environ["wsgi.input"].read()
            key = "sign-up" if method == "PUT" else "check-in"
        else:
            key = "list" if environ["PATH_INFO"] == "/v1/activities" else "detail"
        body, headers = self._answers[key]
        start_response("200 OK", headers)
        return [body]


application = Bare()
