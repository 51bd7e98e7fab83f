"""One JSON line per request and per event; never personal data, secrets or query strings."""

from __future__ import annotations

import logging
import sys
from contextvars import ContextVar
from typing import Any, Final

import orjson

_NOISY: Final = ("httpx", "httpcore", "urllib3")  # they log full addresses, and WeChat's carry secrets

statements: ContextVar[list[int]] = ContextVar("statements")


def count_statement(*_: Any) -> None:
    """Count one SQL statement for the request that runs on this context (engine event)."""
    counter = statements.get(None)
    if counter is not None:
        counter[0] += 1


class JsonLines(logging.Formatter):
    """A log record as one JSON line: time, level, logger, message and the fields given as ``extra={"fields": …}``."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": self.formatTime(record, "%Y-%m-%dT%H:%M:%S%z"),
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


def _places(traceback: Any) -> list[str]:
    places = []
    while traceback is not None:
        code = traceback.tb_frame.f_code
        places.append(f"{code.co_filename}:{traceback.tb_lineno} {code.co_name}")
        traceback = traceback.tb_next
    return places[-12:]


def configure(level: str) -> None:
    """Send the service's log to standard error as JSON lines."""
    # The lines name none of these, and finding them out costs as much as writing the line (logging, “Optimization”).
    logging.logThreads = logging.logMultiprocessing = logging.logProcesses = False
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    root = logging.getLogger("engage")
    root.handlers[:] = [handler]
    root.setLevel(level)
    root.propagate = False
    for name in _NOISY:
        logging.getLogger(name).setLevel(logging.WARNING)
