"""Answers: bodies with their headers, refusals as RFC 9457, compression."""

from __future__ import annotations

import gzip
import hashlib
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from flask import Response, request
from werkzeug.http import parse_accept_header

from engage.core.errors import Language
from engage.core.logging import current
from engage.core.wire import encode

if TYPE_CHECKING:
    from collections.abc import Iterable

    from _typeshed.wsgi import StartResponse, WSGIEnvironment
    from flask import Request

    from engage.core.errors import DomainError
    from engage.core.headers import Fields

JSON: Final = "application/json"
PROBLEM: Final = "application/problem+json"
NO_STORE: Final = "no-store"  # of what says something about one person
_COMPRESSED: Final = frozenset({JSON, PROBLEM, "text/html", "application/yaml"})
_GZIP_FROM_BYTES: Final = 1024
_GZIP_LEVEL: Final = 5


_LINES: Final = {status.value: f"{status.value} {status.phrase}" for status in HTTPStatus}


class Answer:
    """An answer to an operation. Its bytes are here, so it is sent as it was put together, and nothing is looked at again."""

    __slots__ = ("body", "headers", "media_type", "status_code")

    def __init__(
        self, status_code: int, headers: Fields, body: bytes = b"", media_type: str | None = None
    ) -> None:
        self.status_code = status_code
        self.headers = headers
        self.body = body
        self.media_type = media_type  # None where there is no body

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Send it, compressed where that is worth it: what a cache may keep says already that it depends on that."""
        fields, body = self.headers, self.body
        if self.media_type is not None:
            smaller = _zipped(body, self.media_type, environ)
            if smaller is not None:
                body = smaller
                fields.append(("Content-Encoding", "gzip"))
            fields.append(("Content-Type", self.media_type))
            fields.append(("Content-Length", str(len(body))))
        start_response(_LINES[self.status_code], fields)
        return () if environ["REQUEST_METHOD"] == "HEAD" else (body,)


class Page(Response):
    """An answer for a browser, compressed as those to operations are."""

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Send it."""
        if not (self.is_streamed or self.direct_passthrough):
            body = _zipped(self.get_data(), self.mimetype or "", environ)
            if body is not None:
                self.set_data(body)
                self.headers["Content-Encoding"] = "gzip"
                self.vary.add("Accept-Encoding")
        return super().__call__(environ, start_response)


def this_request() -> Request:
    """Return the request itself: its proxy looks it up anew for each attribute, which costs as much as the attribute."""
    proxy: Any = request
    asked: Request = proxy._get_current_object()  # noqa: SLF001 - the only way past a proxy
    return asked


def empty() -> Answer:
    """Return success without a body."""
    return Answer(204, [("Cache-Control", NO_STORE)])


def repeated(body: bytes, status: int, location: str | None) -> Answer:
    """Return the answer that was kept under an Idempotency-Key."""
    answer = answered(body, status, location=location)
    answer.headers.append(("Idempotency-Replayed", "true"))
    return answer


def answered(
    body: bytes,
    status: int,
    *,
    cache_control: str | None = None,
    version: int = 0,
    location: str | None = None,
    media_type: str = JSON,
) -> Answer:
    """Return a body, JSON unless said otherwise; with ``cache_control`` under an ETag, and 304 when the client has these very bytes."""
    headers: Fields = [("Location", location)] if location else []
    if cache_control is None:
        headers.append(("Cache-Control", NO_STORE))
        return Answer(status, headers, body, media_type)
    tag = entity_tag(version, body)
    headers += (("Cache-Control", cache_control), ("ETag", tag), ("Vary", "Authorization, Accept-Encoding"))
    if _is_held(tag, this_request()):
        return Answer(304, headers)
    return Answer(status, headers, body, media_type)


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


def problem_response(error: DomainError) -> Answer:
    """Return the RFC 9457 answer for a refusal."""
    spoken = language()
    body = encode(error.problem(spoken, current.get().request_id))
    headers = [("Cache-Control", NO_STORE), ("Content-Language", spoken.value)]
    if error.retry_after is not None:
        headers.append(("Retry-After", str(error.retry_after)))
    if error.status == HTTPStatus.UNAUTHORIZED:
        headers.append(("WWW-Authenticate", "Bearer"))
    return Answer(error.status, headers, body, PROBLEM)


def _zipped(body: bytes, media_type: str, environ: WSGIEnvironment) -> bytes | None:
    """Return a body smaller, where it is text above 1 KB and the client takes gzip."""
    if len(body) < _GZIP_FROM_BYTES or media_type not in _COMPRESSED:
        return None
    if not parse_accept_header(environ.get("HTTP_ACCEPT_ENCODING"))["gzip"]:  # its weight; 0 also refuses
        return None
    return gzip.compress(body, _GZIP_LEVEL, mtime=0)
