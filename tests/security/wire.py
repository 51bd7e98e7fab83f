"""What is below the operations: methods, hosts, headers, and requests that two servers would read differently."""

from __future__ import annotations

import re
import socket

from .report import Report
from .target import Target, is_refused

METHODS, HEADERS, SMUGGLING = "Methods", "Hosts, headers and origins", "Smuggling (raw sockets, Gunicorn)"


def attempts(target: Target, report: Report) -> None:
    """Try them all."""
    _methods(target, report)
    _headers(target, report)
    if target.address is not None:
        _smuggling(target.address, report)
    report.add(
        HEADERS,
        f"security headers on all {target.sent} answers",
        "; ".join(target.bare[:3]) or "all",
        not target.bare,
    )
    report.add(HEADERS, "answers of 500 and more", "; ".join(target.broken[:5]) or "none", not target.broken)


def _methods(target: Target, report: Report) -> None:
    for method in ("PATCH", "TRACE", "CONNECT", "PROPFIND", "DEBUG", "JEFF"):
        answer = target.send(method, "/v1/me/sessions", "youth")
        report.add(METHODS, f"{method} /v1/me/sessions", answer, answer.status_code in (400, 404, 405, 501))
    for name in ("X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"):
        answer = target.send("POST", "/v1/me/sessions", "youth", headers={name: "DELETE"})
        report.add(METHODS, f"POST /v1/me/sessions with {name}: DELETE", answer, answer.status_code == 405)
    answer = target.send("GET", "/v1/me/sessions", "youth", params={"_method": "DELETE"})
    report.add(METHODS, "GET /v1/me/sessions?_method=DELETE", answer, answer.status_code == 422)
    for who in (None, "youth"):
        answer = target.send("HEAD", "/v1/audit/entries", who)
        report.add(METHODS, f"HEAD /v1/audit/entries by {who or 'nobody'}", answer, is_refused(answer))
    answer = target.send("OPTIONS", "/v1/audit/entries")
    report.add(METHODS, "OPTIONS tells no more than methods", answer, answer.content == b"")


def _headers(target: Target, report: Report) -> None:
    for path in ("/", "/docs/", "/v1/hub-kinds", "/nowhere"):
        for name in ("Host", "X-Forwarded-Host", "X-Host", "Forwarded"):
            value = "host=evil.example" if name == "Forwarded" else "evil.example"
            answer = target.send("GET", path, headers={name: value})
            told = answer.text + str(answer.headers)
            report.add(HEADERS, f"{name}: evil.example on {path}", answer, "evil.example" not in told)
    for path in (
        "//evil.example/",
        "/\\evil.example",
        "/%2f%2fevil.example",
        "/docs/..%2f..%2fetc/passwd",
        "/docs/%2e%2e/%2e%2e/pyproject.toml",
    ):
        answer = target.send("GET", path)
        leads = answer.headers.get("location", "")
        report.add(
            HEADERS,
            f"GET {path}",
            answer,
            "evil" not in leads and "[project]" not in answer.text and answer.status_code in (302, 308, 404),
        )
    for origin in ("https://evil.example", "null"):
        answer = target.send("GET", "/v1/me", "youth", headers={"Origin": origin})
        allowed = [name for name in answer.headers if name.startswith("access-control-")]
        report.add(HEADERS, f"Origin: {origin}", answer, not allowed)
    given = target.send("GET", "/v1/hub-kinds", headers={"X-Request-Id": "<script>alert(1)</script>"})
    report.add(HEADERS, "a script as the request id", given, "<" not in given.headers["x-request-id"])
    answer = target.send(
        "GET", "/v1/role-grants", "officer", headers={"X-Purpose": "a%0d%0aSet-Cookie:%20x=1"}
    )
    report.add(HEADERS, "line ends in X-Purpose", answer, answer.status_code == 422)
    answer = target.send(
        "GET", "/v1/hub-kinds", headers={"Accept-Language": "x" * 4000, "If-None-Match": '"' * 2000}
    )
    report.add(HEADERS, "headers of nonsense", answer, answer.status_code == 200)
    personal = [
        target.send("GET", path, "youth")
        for path in ("/v1/me", "/v1/home", "/v1/me/sign-ups", "/v1/me/permissions")
    ]
    kept = {answer.headers["cache-control"] for answer in personal}
    report.add(HEADERS, "personal answers in a cache", ", ".join(sorted(kept)), kept == {"no-store"})


_SECOND = "GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
_LENGTH = len(f"0\r\n\r\n{_SECOND}")
# Each would be one request to one server and two to another; only a refusal or one answer for all of it is right.
_AMBIGUOUS = {
    "Content-Length and Transfer-Encoding": f"Content-Length: {_LENGTH}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{_SECOND}",
    "Transfer-Encoding twice, one unknown": f"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n{_SECOND}",
    "Transfer-Encoding: xchunked": f"Content-Length: {_LENGTH}\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n{_SECOND}",
    "Transfer-Encoding with a blank before the colon": f"Content-Length: {_LENGTH}\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n{_SECOND}",
    "Transfer-Encoding on a folded line": f"Content-Length: {_LENGTH}\r\nX: y\r\n Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n{_SECOND}",
    "two Content-Lengths": f"Content-Length: 0\r\nContent-Length: {len(_SECOND)}\r\n\r\n{_SECOND}",
    "Content-Length +0": f"Content-Length: +0\r\n\r\n{_SECOND}",
    "Content-Length 0x10": f"Content-Length: 0x10\r\n\r\n{_SECOND}",
    "a chunk size that is none": f"Transfer-Encoding: chunked\r\n\r\n0_0\r\n\r\n{_SECOND}",
    "line ends without CR": f"Content-Length: 0\n\n{_SECOND}",
    "NUL in a header": f"X: a\0b\r\nContent-Length: 0\r\n\r\n{_SECOND}",
    "a header name with an underscore": "SCRIPT_NAME: /v1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
}


def _smuggling(address: tuple[str, int], report: Report) -> None:
    for what, rest in _AMBIGUOUS.items():
        said = _raw(address, f"POST /v1/me HTTP/1.1\r\nHost: x\r\n{rest}".encode("latin-1"))
        statuses = re.findall(rb"HTTP/1\.[01] (\d{3})", said)
        first = int(statuses[0]) if statuses else 0
        told = ", ".join(status.decode() for status in statuses) or "closed"
        # The second one is answered by nothing but the refusal that ends the connection.
        in_vain = first not in range(200, 300) and all(status == b"400" for status in statuses[1:])
        report.add(SMUGGLING, what, told, in_vain)
    for what, head in {
        "a request line of 9 KB": f"GET /{'a' * 9000} HTTP/1.1\r\nHost: x\r\n\r\n",
        "a header of 9 KB": f"GET /healthz HTTP/1.1\r\nHost: x\r\nX: {'a' * 9000}\r\n\r\n",
        "200 headers": "GET /healthz HTTP/1.1\r\nHost: x\r\n"
        + "".join(f"X-{n}: y\r\n" for n in range(200))
        + "\r\n",
        "HTTP/0.9": "GET /healthz\r\n\r\n",
        "HTTP/3.0": "GET /healthz HTTP/3.0\r\nHost: x\r\n\r\n",
        "a response split in the path": "GET /healthz%0d%0aX-Evil:1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    }.items():
        said = _raw(address, head.encode())
        status = re.match(rb"HTTP/1\.[01] (\d{3})", said)
        told = status[1].decode() if status else "closed"
        report.add(SMUGGLING, what, told, not told.startswith("2") and b"\nX-Evil" not in said)


def _raw(address: tuple[str, int], sent: bytes) -> bytes:
    said = b""
    with socket.create_connection(address, timeout=3) as connection:
        connection.sendall(sent)
        try:
            while part := connection.recv(65536):
                said += part
        except (TimeoutError, ConnectionResetError):
            pass  # it waits for more, or it has closed
    return said
