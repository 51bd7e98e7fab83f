"""Answers: bodies with their headers, refusals as RFC 9457, compression."""

from __future__ import annotations

import gzip
import hashlib
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from flask import Response, request

from engage.core.errors import Language
from engage.core.logging import current
from engage.core.wire import encode

if TYPE_CHECKING:
    from collections.abc import Iterable

    from _typeshed.wsgi import StartResponse, WSGIEnvironment
    from flask import Request

    from engage.core.errors import DomainError

JSON: Final = "application/json"
PROBLEM: Final = "application/problem+json"
NO_STORE: Final = "no-store"  # of what says something about one person
_GZIP_FROM_BYTES: Final = 1024
_GZIP_LEVEL: Final = 5


class Answer(Response):
    """An answer whose headers are sent as they were set: its bytes are here, so its length is among them."""

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Send it, compressed where that is worth it; only where bytes come later or must not be sent, Werkzeug looks at everything."""
        if "HTTP_ACCEPT_ENCODING" in environ:
            compress(self, environ["HTTP_ACCEPT_ENCODING"])
        body: Any = self.response
        is_here = type(body) is list and (body or self.status_code == HTTPStatus.NO_CONTENT)
        if not is_here or self.status_code == HTTPStatus.NOT_MODIFIED or environ["REQUEST_METHOD"] == "HEAD":
            return super().__call__(environ, start_response)
        start_response(self.status, self.headers.to_wsgi_list())
        return body  # type: ignore[no-any-return]


class Empty(Answer):
    """Success without a body, which has no type either."""

    default_mimetype = None


def this_request() -> Request:
    """Return the request itself: its proxy looks it up anew for each attribute, which costs as much as the attribute."""
    proxy: Any = request
    asked: Request = proxy._get_current_object()  # noqa: SLF001 - the only way past a proxy
    return asked


def empty() -> Response:
    """Return success without a body."""
    response = Empty(status=204)
    response.headers["Cache-Control"] = NO_STORE
    return response


def repeated(body: bytes, status: int, location: str | None) -> Response:
    """Return the answer that was kept under an Idempotency-Key."""
    response = answered(body, status, location=location)
    response.headers["Idempotency-Replayed"] = "true"
    return response


def _whole(body: bytes, status: int, media_type: str) -> Answer:
    response = Answer([body], status, content_type=media_type)
    response.headers.add("Content-Length", str(len(body)))
    return response


def answered(
    body: bytes,
    status: int,
    *,
    cache_control: str | None = None,
    version: int = 0,
    location: str | None = None,
    media_type: str = JSON,
) -> Response:
    """Return a body, JSON unless said otherwise; with ``cache_control`` under an ETag, and 304 when the client has these very bytes."""
    response = _whole(body, status, media_type)
    add = response.headers.add  # to set one looks through all there are
    if location:
        add("Location", location)
    if cache_control is None:
        add("Cache-Control", NO_STORE)
        return response
    tag = entity_tag(version, body)
    add("Cache-Control", cache_control)
    add("ETag", tag)
    add("Vary", "Authorization, Accept-Encoding")
    if _is_held(tag, this_request()):
        response.status_code = 304
        response.set_data(b"")
    return response


def _is_held(tag: str, asked: Request) -> bool:
    held = asked.environ.get("HTTP_IF_NONE_MATCH")
    if held is None or asked.method not in ("GET", "HEAD"):
        return False
    return tag in {given.strip().removeprefix("W/") for given in held.split(",")}


def entity_tag(version: int, body: bytes) -> str:
    """Return the ETag: the version that ``If-Match`` compares, and a digest of exactly these bytes."""
    return f'"{version}-{hashlib.blake2b(body, digest_size=8).hexdigest()}"'


def language() -> Language:
    """Return the language of sentences for this request: Chinese unless English is asked for."""
    asked = this_request()
    if "HTTP_ACCEPT_LANGUAGE" not in asked.environ:
        return Language.ZH
    return Language(asked.accept_languages.best_match(["zh", "en"], "zh"))


def problem_response(error: DomainError) -> Response:
    """Return the RFC 9457 answer for a refusal."""
    spoken = language()
    body = encode(error.problem(spoken, current.get().request_id))
    response = _whole(body, error.status, PROBLEM)
    response.headers.add("Cache-Control", NO_STORE)
    response.headers.add("Content-Language", spoken)
    if error.retry_after is not None:
        response.headers["Retry-After"] = str(error.retry_after)
    if error.status == 401:  # noqa: PLR2004
        response.headers["WWW-Authenticate"] = "Bearer"
    return response


def compress(response: Response, accepted: str) -> None:
    """Gzip an answer above 1 KB when the client takes it."""
    if (
        "gzip" not in accepted
        or response.direct_passthrough
        or response.is_streamed
        or "Content-Encoding" in response.headers
        or response.mimetype not in (JSON, PROBLEM, "text/html", "application/yaml")
    ):
        return
    body = response.get_data()
    if len(body) >= _GZIP_FROM_BYTES:
        response.set_data(gzip.compress(body, _GZIP_LEVEL, mtime=0))
        response.headers["Content-Encoding"] = "gzip"
        response.vary.add("Accept-Encoding")
