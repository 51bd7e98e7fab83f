"""Gunicorn settings: ``gunicorn -c python:engage.gunicorn_config wsgi:app`` (``engage serve`` does that)."""

from __future__ import annotations

import gc
import os
import select
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gunicorn.glogging import Logger
from gunicorn.workers.gthread import ThreadWorker

from engage.core.config import Settings

if TYPE_CHECKING:
    from gunicorn.arbiter import Arbiter
    from gunicorn.workers.base import Worker

_settings = Settings.from_env()
_AT_ONCE = 1e-6  # seconds
# Ctrl-C goes to all processes, and the parent passes it on as the last of these.
_STOPS = {signal.SIGTERM, signal.SIGINT, signal.SIGQUIT}


class DrainingWorker(ThreadWorker):  # type: ignore[misc]
    """Loses nobody when it is told to stop.

    Gunicorn's own leaves the listening socket open but unserved until the worker ends, and whoever connects
    meanwhile is reset. This one answers those who have connected already and has all others refused at once, so that
    a proxy sends them elsewhere. It does the same when Gunicorn's first process was killed.
    """

    def set_accept_enabled(self, enabled: bool) -> None:  # noqa: FBT001 - Gunicorn's signature
        super().set_accept_enabled(enabled)
        if enabled or self.alive:
            return
        # Whoever connects after the last look and before the close is reset: the other threads shall not hold the interpreter in between.
        sys.setswitchinterval(_AT_ONCE)
        for listener in self.sockets:
            for _ in range(self.cfg.backlog):
                if not select.select([listener], [], [], 0)[0]:
                    break
                self.accept(listener)
            listener.close()

    def is_parent_alive(self) -> bool:
        if not super().is_parent_alive():
            # Else it would go on with the connections it has for its whole patience, hold the address against the next
            # Gunicorn, and leave whoever connects meanwhile without an answer.
            self.alive = False
        return bool(self.alive)


class EventLogger(Logger):  # type: ignore[misc]
    """Writes down what happens to the server, and no requests."""

    def access(self, *_: Any) -> None:
        """Do nothing: Gunicorn's own gathers twenty values of each request for a line that is then not written, once ``logconfig_dict`` is set."""


bind = [_settings.bind]
workers = _settings.workers
worker_class = DrainingWorker
threads = _settings.threads
preload_app = True
timeout = 30
graceful_timeout = 20
keepalive = 15
max_requests = 20_000
max_requests_jitter = 2_000
control_socket_disable = True
worker_tmp_dir = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108 - heart-beat files off the disk
logger_class = EventLogger
accesslog = None  # the service writes its own line per request, without addresses
logconfig_dict = {  # what Gunicorn itself has to say, in lines like the service's own
    "formatters": {"json": {"()": "engage.core.logging.JsonLines"}},
    "handlers": {
        "stderr": {"class": "logging.StreamHandler", "formatter": "json", "stream": "ext://sys.stderr"}
    },
    "root": {"level": "WARNING", "handlers": ["stderr"]},
    "loggers": {"gunicorn.error": {"level": "WARNING", "handlers": ["stderr"], "propagate": False}},
}
limit_request_line = 8190
limit_request_fields = 64
limit_request_field_size = 8190
# No header says who we are or where from but X-Forwarded-For, and that only by ENGAGE_TRUSTED_PROXIES (Gunicorn by itself believes
# whoever connects from this machine).
forwarded_allow_ips = ""
forwarder_headers = ""


def _processors(workers: int) -> list[int]:
    """Return the processors to share out among the workers; none where workers are not bound.

    A thread that waits for the interpreter then never wakes on another processor than the one that holds it, which is
    worth a quarter of the requests (docs/performance.md). With fewer workers than processors some would lie idle.
    """
    if not hasattr(os, "sched_getaffinity"):
        return []
    found = sorted(os.sched_getaffinity(0))
    pins = _settings.pin_workers
    return found if pins or (pins is None and len(found) == workers) else []


def pre_fork(server: Arbiter, worker: Worker) -> None:
    """Choose the processor of a worker: the one that fewest others have."""
    taken = [getattr(other, "processor", None) for other in server.WORKERS.values()]
    worker.processor = min(_processors(server.cfg.workers), key=taken.count, default=None)


def on_starting(_server: Arbiter) -> None:
    """Let a stop that is sent to a worker at its birth end it.

    Until it has handlers of its own it runs with those of the parent, which would note the stop and do nothing about it: the parent
    would then wait for its whole patience. So no stop is delivered around a fork, and the child then ends at once.
    """

    def hold() -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, _STOPS)

    def release() -> None:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOPS)

    def die_of_it() -> None:
        for stop in _STOPS:
            signal.signal(stop, lambda *_: os._exit(0))  # nothing has begun that would have to end
        release()

    os.register_at_fork(before=hold, after_in_parent=release, after_in_child=die_of_it)


def when_ready(_server: Arbiter) -> None:
    """Never look for garbage in what is loaded: that would also copy its memory for each worker."""
    gc.collect()
    gc.freeze()


def post_fork(_server: Arbiter, worker: Worker) -> None:
    """Give each worker its own database connections, and its processor."""
    app: Any = worker.app.wsgi()
    app.extensions["engage.database"].dispose(close=False)
    if worker.processor is not None:
        os.sched_setaffinity(0, {worker.processor})
