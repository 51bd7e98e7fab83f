"""Headers that every answer carries: what a browser may do with it, and which other sites may read it.

After the OWASP REST Security Cheat Sheet. Prepared once: adding them to an answer takes about a microsecond.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from engage.core.replies import this_request

if TYPE_CHECKING:
    from collections.abc import Callable

    from flask import Response
    from werkzeug.datastructures import Headers

    from engage.core.config import Settings

POLICY: Final = "Content-Security-Policy"
# Nothing here is a page: whoever makes a browser show it as one gets no script, no style and no frame.
_NO_PAGE: Final = "default-src 'none'; frame-ancestors 'none'"
_ALWAYS: Final = (
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
)
_SENT_BY_SCRIPTS: Final = "Accept-Language, Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match, X-Purpose, X-Request-Id"
_READ_BY_SCRIPTS: Final = "Content-Disposition, ETag, Idempotency-Replayed, Location, RateLimit, RateLimit-Policy, Retry-After, X-Request-Id"
_METHODS: Final = "GET, PUT, POST, DELETE"
_PREFLIGHT_SECONDS: Final = "600"


def securing(settings: Settings) -> Callable[[Headers], None]:
    """Return what adds the fixed headers to those of an answer; a page brings a policy of its own, everything else gets the strictest."""
    fixed: tuple[tuple[str, str], ...] = _ALWAYS
    if settings.hsts:
        fixed += (("Strict-Transport-Security", f"max-age={settings.hsts}; includeSubDomains"),)

    def secure(headers: Headers) -> None:
        for name, value in fixed:
            headers.add(name, value)
        if POLICY not in headers:
            headers.add(POLICY, _NO_PAGE)

    return secure


def sharing(origins: frozenset[str]) -> Callable[[Response], Response]:
    """Return what lets scripts of exactly these origins read an answer. No cookies are involved, so credentials never are."""

    def share(response: Response) -> Response:
        response.vary.add("Origin")
        asked = this_request()
        origin = asked.environ.get("HTTP_ORIGIN")
        if origin is None or origin not in origins:
            return response
        headers = response.headers
        headers["Access-Control-Allow-Origin"] = origin
        if asked.method == "OPTIONS" and "HTTP_ACCESS_CONTROL_REQUEST_METHOD" in asked.environ:
            headers["Access-Control-Allow-Methods"] = _METHODS
            headers["Access-Control-Allow-Headers"] = _SENT_BY_SCRIPTS
            headers["Access-Control-Max-Age"] = _PREFLIGHT_SECONDS
        else:
            headers["Access-Control-Expose-Headers"] = _READ_BY_SCRIPTS
        return response

    return share
