"""Gunicorn settings: ``gunicorn -c python:engage.gunicorn_config wsgi:app`` (``engage serve`` does that)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engage.core.config import Settings

if TYPE_CHECKING:
    from gunicorn.arbiter import Arbiter
    from gunicorn.workers.base import Worker

_settings = Settings.from_env()

bind = [_settings.bind]
workers = _settings.workers
worker_class = "gthread"
threads = _settings.threads
preload_app = True
timeout = 30
graceful_timeout = 20
keepalive = 15
max_requests = 20_000
max_requests_jitter = 2_000
control_socket_disable = True
worker_tmp_dir = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108 - heart-beat files off the disk
accesslog = None  # the service writes its own line per request, without addresses
errorlog = "-"
loglevel = "warning"
limit_request_line = 8190


def post_fork(_server: Arbiter, worker: Worker) -> None:
    """Give each worker its own database connections and, if asked, its own processor."""
    app: Any = worker.app.wsgi()
    app.extensions["engage.database"].dispose(close=False)
    if _settings.pin_workers and hasattr(os, "sched_setaffinity"):
        processors = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {processors[worker.age % len(processors)]})
