"""One JSON line per request and per event; never personal data, secrets or query strings."""

from __future__ import annotations

import logging
import sys
import time
from contextvars import ContextVar
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import orjson

from engage.core import clock

_requests: Final = logging.getLogger("engage.request")
REQUEST_ID: Final = "[A-Za-z0-9._-]{8,64}"  # what a client may name its request
_NOISY: Final = ("httpx", "httpcore", "urllib3")  # they log full addresses, and WeChat's carry secrets


@dataclass(slots=True)
class Trace:
    """What a request leaves in the log beside its answer."""

    request_id: str
    started: float
    address: str | None = None
    route: str | None = None
    caller: Any = None
    statements: int = 0
    quotas: tuple[Any, ...] = ()


current: Final[ContextVar[Trace]] = ContextVar("current")


def count_statement(*_: Any) -> None:
    """Count one SQL statement for the request that runs on this context (engine event)."""
    trace = current.get(None)
    if trace is not None:
        trace.statements += 1


class _RequestRecord(logging.LogRecord):
    """The record of one request: like any other, but for when it was made and what it says."""

    _LIKE: Final = vars(logging.LogRecord("engage.request", logging.INFO, "", 0, "request", None, None))

    def __init__(self, fields: dict[str, Any]) -> None:
        self.__dict__.update(self._LIKE, created=clock.now().timestamp(), fields=fields)


def note_request(fields: dict[str, Any]) -> None:
    """Write the line of one request."""
    if _requests.isEnabledFor(logging.INFO):
        _requests.handle(_RequestRecord(fields))


class JsonLines(logging.Formatter):
    """A log record as one JSON line: time, level, logger, message and the fields given as ``extra={"fields": …}``."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": _written(int(record.created)),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info and record.exc_info[0] is not None:
            # The type and the place, not the text: messages of drivers carry parameter values.
            line["exception"] = record.exc_info[0].__name__
            line["at"] = _places(record.exc_info[2])
        return orjson.dumps(line, default=str).decode()


@lru_cache(maxsize=8)
def _written(second: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S%z", time.localtime(second))


def _places(traceback: Any) -> list[str]:
    places = []
    while traceback is not None:
        code = traceback.tb_frame.f_code
        places.append(f"{code.co_filename}:{traceback.tb_lineno} {code.co_name}")
        traceback = traceback.tb_next
    return places[-12:]


def configure(level: str) -> None:
    """Send the service's log to standard error as JSON lines."""
    # The lines name none of these, and finding them out costs more than writing the line (logging, “Optimization”).
    logging.logThreads = logging.logMultiprocessing = logging.logProcesses = False
    logging._srcfile = None  # noqa: SLF001 - documented there
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    root = logging.getLogger("engage")
    root.handlers[:] = [handler]
    root.setLevel(level)
    root.propagate = False
    for name in _NOISY:
        logging.getLogger(name).setLevel(logging.WARNING)
