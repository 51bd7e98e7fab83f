"""Headers that every answer carries: what a browser may do with it, and which other sites may read it.

After the OWASP REST Security Cheat Sheet. Prepared once, as WSGI takes them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from _typeshed.wsgi import WSGIEnvironment

    from engage.core.config import Settings

Fields = list[tuple[str, str]]
POLICY: Final = "Content-Security-Policy"
# Nothing here is a page: whoever makes a browser show it as one gets no script, no style and no frame.
NO_PAGE: Final = (POLICY, "default-src 'none'; frame-ancestors 'none'")
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


def fixed(settings: Settings) -> tuple[tuple[str, str], ...]:
    """Return the headers of every answer; a policy comes with a page, and ``NO_PAGE`` with everything else."""
    if not settings.hsts:
        return _ALWAYS
    return (*_ALWAYS, ("Strict-Transport-Security", f"max-age={settings.hsts}; includeSubDomains"))


def sharing(origins: frozenset[str]) -> Callable[[WSGIEnvironment, Fields], None]:
    """Return what lets scripts of exactly these origins read an answer. No cookies are involved, so credentials never are."""

    def share(environ: WSGIEnvironment, fields: Fields) -> None:
        varies = [value for name, value in fields if name == "Vary"]
        fields[:] = [field for field in fields if field[0] != "Vary"]
        fields.append(("Vary", ", ".join([*varies, "Origin"])))
        origin = environ.get("HTTP_ORIGIN")
        if origin is None or origin not in origins:
            return
        fields.append(("Access-Control-Allow-Origin", origin))
        if environ["REQUEST_METHOD"] == "OPTIONS" and "HTTP_ACCESS_CONTROL_REQUEST_METHOD" in environ:
            fields.append(("Access-Control-Allow-Methods", _METHODS))
            fields.append(("Access-Control-Allow-Headers", _SENT_BY_SCRIPTS))
            fields.append(("Access-Control-Max-Age", _PREFLIGHT_SECONDS))
        else:
            fields.append(("Access-Control-Expose-Headers", _READ_BY_SCRIPTS))

    return share
