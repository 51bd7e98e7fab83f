"""What is around every request: its id, the headers of every answer, and its line in the log.

A WSGI application around that of Flask, because whatever answers there, be it a refusal of Flask's own, gets the same; and because a list of headers
is then added to one as it is, where each one added to an answer is looked at again.
"""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any, Final

from engage.core import headers, ids
from engage.core.limits import told
from engage.core.logging import REQUEST_ID, Trace, current, note_request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

    from engage.core.config import Settings

_REQUEST_ID: Final = re.compile(REQUEST_ID)


class Envelope:
    """The application, and what every request gets."""

    def __init__(self, app: WSGIApplication, settings: Settings) -> None:
        self._app = app
        self._fixed = headers.fixed(settings)
        self._share = headers.sharing(settings.cors_origins) if settings.cors_origins else None

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request."""
        given = environ.get("HTTP_X_REQUEST_ID")
        named = given and _REQUEST_ID.fullmatch(given)
        trace = Trace(
            named[0] if named else ids.new_request_id(), time.perf_counter(), environ.get("REMOTE_ADDR")
        )
        current.set(trace)

        def start(status: str, fields: headers.Fields, *error: Any) -> Callable[[bytes], object]:
            if not any(name == headers.POLICY for name, _ in fields):
                fields.append(headers.NO_PAGE)
            fields += self._fixed
            fields.append(("X-Request-Id", trace.request_id))
            if trace.quotas:
                fields += told(trace.quotas)
            if self._share:
                self._share(environ, fields)
            _note(trace, environ["REQUEST_METHOD"], int(status[:3]))
            return start_response(status, fields, *error)

        return self._app(environ, start)


def _note(trace: Trace, method: str, status: int) -> None:
    caller = trace.caller and trace.caller.person_id
    note_request(
        {
            "request_id": trace.request_id,
            "method": method,
            # The template, never the address: ids, codes and search texts stay out of the log.
            "route": trace.route,
            "caller": str(caller) if caller else None,
            "status": status,
            "ms": round((time.perf_counter() - trace.started) * 1000, 2),
            "sql": trace.statements,
        }
    )
