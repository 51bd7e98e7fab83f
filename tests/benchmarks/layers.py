# ruff: noqa: T201 - a report is printed
"""``python -m tests.benchmarks.layers``: where the processor time of one request goes, layer by layer, in one process.

Each figure is the least of several repetitions, in µs of processor time of this process: the database's own time, and
what threads and a server add, are in the main benchmark. Layers are called alone, so they add up only nearly.
"""

from __future__ import annotations

import io
import os
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from flask import Flask, Response
from limits import RateLimitItemPerMinute
from sqlalchemy import Connection

from engage.activities.queries import activities as queries
from engage.activities.schemas.activity import ActivitiesQuery, ActivityOut, ActivityPage
from engage.core import clock
from engage.core.config import Settings
from engage.core.db import Look
from engage.core.limits import Limiter, told
from engage.core.logging import Trace
from engage.core.prepared import Prepared
from engage.core.replies import answered
from engage.core.wire import dumper, encode
from engage.identity import caller
from tests import postgres
from tests.benchmarks import cases
from tests.benchmarks.bench import prepare

REPEATS, CALLS = 15, 200


def cost(call: Callable[[], Any], calls: int = CALLS) -> float:
    """Return the µs of processor time of one call."""
    for _ in range(30):
        call()
    spent = []
    for _ in range(REPEATS):
        begun = time.process_time()
        for _ in range(calls):
            call()
        spent.append((time.process_time() - begun) / calls * 1e6)
    return min(spent)


def request(app: Flask, method: str, address: str, token: str, body: bytes = b"") -> bytes:
    """Send a request straight to the WSGI application."""
    path, _, query = address.partition("?")
    environ = {
        "REQUEST_METHOD": method, "PATH_INFO": path, "QUERY_STRING": query, "SERVER_NAME": "127.0.0.1", "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1", "HTTP_HOST": "127.0.0.1", "HTTP_AUTHORIZATION": f"Bearer {token}", "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(body), "wsgi.errors": sys.stderr, "wsgi.version": (1, 0), "wsgi.multithread": True,
        "wsgi.multiprocess": True, "wsgi.run_once": False, "CONTENT_TYPE": "application/json", "CONTENT_LENGTH": str(len(body)),
    }  # fmt: skip
    return b"".join(app(environ, lambda *_: None))


def _ready() -> Flask:
    app = Flask("ready")
    app.add_url_rule("/healthz", "ready", lambda: Response(b"{}", mimetype="application/json"))
    return app


def _through_sqlalchemy(connection: Connection, prepared: Prepared[Any], values: dict[str, Any]) -> Any:
    return connection.execute(prepared.statement(connection.dialect.name), values).all()


def _counting(site: cases.Site) -> Callable[[], None]:
    """Return what counts a request, with a limit that is never met, and tells of it."""
    limiter = Limiter(Settings(limit_person=RateLimitItemPerMinute(10**9)), caller.shown)
    trace, identity = Trace("x", 0.0), caller.Identity(*site.city.people[0], 0.0)

    def count() -> None:
        limiter.admit(trace, identity)
        told(trace.quotas)

    return count


def measure(site: cases.Site) -> dict[str, float]:
    """Return what each layer costs."""
    token, (person_id, session_id) = site.city.tokens[0], site.city.people[0]
    activity_id, now = site.city.activities[0], clock.now()
    page = {**ActivitiesQuery().load({"limit": "20"})}
    found: dict[str, float] = {}
    found["Flask alone, ready bytes"] = cost(partial(request, _ready(), "GET", "/healthz", token))
    found["… with request id, headers, log line"] = cost(partial(request, site.app, "GET", "/healthz", token))
    headers = {"Authorization": f"Bearer {token}"}
    with site.app.test_request_context("/", headers=headers):
        found["token, verified before"] = cost(caller.guest.identify)
        found["rate limit, with its headers"] = cost(_counting(site))
    with site.app.test_request_context("/"):
        found["answer of 2 KB with its ETag"] = cost(
            lambda: answered(b"x" * 2000, 200, cache_control="private")
        )

    def borrow() -> None:
        with site.database.reading() as connection:
            _ = connection.connection

    found["connection from the pool and back"] = cost(borrow)
    statements = {
        "caller": (caller._MEMBER, {"person_id": person_id, "session_id": session_id}),
        "detail": (
            queries._detail(known=True),
            {"activity_id": activity_id, "me": person_id, "now": now},
        ),
        "list": (queries._list(frozenset({"public", "not_over"})), {"now": now, "rows": 21}),
    }
    with site.database.reading() as connection:
        for name, (prepared, values) in statements.items():
            found[f"{name}: prepared statement"] = cost(partial(prepared.all, connection, values))
            found[f"{name}: same through SQLAlchemy"] = cost(
                partial(_through_sqlalchemy, connection, prepared, values)
            )
        look = Look(connection, caller.Claim(person_id, session_id), now, site.database)
        rows = statements["list"][0].all(connection, statements["list"][1])
        found["list: rows to dicts"] = cost(lambda: [queries.card(row, now) for row in rows])
        listed = queries.list_activities(look, page)
        detail = queries.read_activity(look, activity_id)
    for name, schema, value in (("list", ActivityPage, listed), ("detail", ActivityOut, detail)):
        found[f"{name}: dump by the schema"] = cost(partial(dumper(schema), value))
        found[f"{name}: JSON"] = cost(partial(encode, dumper(schema)(value)))
    opened = site.open()
    address = f"/v1/activities/{opened}/sign-up"
    found["whole request: list"] = cost(partial(request, site.app, "GET", cases.LIST, token))
    found["whole request: detail"] = cost(
        partial(request, site.app, "GET", f"/v1/activities/{activity_id}", token)
    )
    tokens = iter(site.city.tokens)
    found["whole request: sign-up"] = cost(
        lambda: request(site.app, "PUT", address, next(tokens), b"{}"), calls=150
    )
    found["whole request: the same again"] = cost(partial(request, site.app, "PUT", address, token, b"{}"))
    return found


def main() -> None:
    """Print the layers."""
    with postgres.server(durable=True) as url, Path(os.devnull).open("w") as silence:
        sys.stderr = silence
        site = prepare(url.replace("postgresql://", "postgresql+psycopg://"), log_level="INFO")
        for layer, spent in measure(site).items():
            print(f"| {layer:<40} | {spent:>5.0f} |")
        site.database.dispose()


if __name__ == "__main__":
    main()
