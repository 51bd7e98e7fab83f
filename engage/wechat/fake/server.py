"""The stand-in as a WSGI application, and as a server on loopback."""

from __future__ import annotations

import io
import socket
import threading
import time
from typing import TYPE_CHECKING, Any, Final

from flask import Flask
from werkzeug.serving import WSGIRequestHandler, make_server
from werkzeug.wrappers import Request, Response

from engage.core import clock
from engage.wechat.fake import identifiers
from engage.wechat.fake.faults import Fault, Faults
from engage.wechat.fake.record import Record
from engage.wechat.fake.routes.control import PREFIX, add_user, control_plane
from engage.wechat.fake.routes.faithful import answer, faithful_plane, refuse
from engage.wechat.fake.world import DEFAULT_APPID, DEFAULT_SECRET, Refusal, World

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from datetime import datetime
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

_HOST: Final = "127.0.0.1"


def create_fake(
    *,
    seed: str = identifiers.DEFAULT_SEED,
    appid: str = DEFAULT_APPID,
    secret: str = DEFAULT_SECRET,
    users: Sequence[Mapping[str, Any]] = (),
    control: bool = False,
    source: Callable[[], datetime] = clock.now,
    sleep: Callable[[float], None] = time.sleep,
) -> Flask:
    """Return the stand-in for WeChat.

    Args:
        seed: identities, codes and tokens follow from it.
        appid: the mini program that exists from the start.
        secret: its AppSecret.
        users: who exists from the start, with the fields of ``USER_FIELDS``.
        control: whether ``/__fake__/`` answers.
        source: the clock; the control plane can put the stand-in ahead of it.
        sleep: how to be slow when asked to.

    """
    app = Flask("fake_wechat", static_folder=None)
    world, faults, record = World(seed, source, appid, secret), Faults(), Record()

    def restart() -> None:
        world.clear()
        faults.clear()
        record.clear()
        for user in users:
            add_user(world, user)

    restart()
    if control:
        app.register_blueprint(control_plane(world, faults, record, restart))
    app.register_blueprint(faithful_plane(world))
    app.wsgi_app = _Line(app.wsgi_app, world, faults, record, sleep)  # type: ignore[method-assign]
    return app


class _Line:
    """Between the wire and the work: keeps the record, makes the faults, lets one request work at a time."""

    def __init__(
        self,
        inner: WSGIApplication,
        world: World,
        faults: Faults,
        record: Record,
        sleep: Callable[[float], None],
    ) -> None:
        self._inner, self._world, self._faults, self._record = inner, world, faults, record
        self._sleep = sleep
        self._lock = threading.Lock()

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        request = Request(environ)
        environ["wsgi.input"] = io.BytesIO(request.get_data())
        if request.path.startswith(f"{PREFIX}/"):
            with self._lock:
                return Response.from_app(self._inner, environ, buffered=True)(environ, start_response)
        with self._lock:
            entry = self._record.begin(request, self._world.now.isoformat())
            has_no_length = request.method == "POST" and request.content_length is None
            fault = None if has_no_length else self._faults.take(request.path)
            if fault and fault.drop == "before":
                _hang_up(environ)
            response = Response(status=412) if has_no_length else self._work(request, environ, fault)
            rid = response.headers.pop("X-Fake-Rid", None)
            self._record.finish(entry, response.status_code, response.get_data(), rid)
        return self._deliver(response, fault, environ, start_response)

    def _work(self, request: Request, environ: WSGIEnvironment, fault: Fault | None) -> Response:
        if fault is None or not fault.replaces_work:
            return Response.from_app(self._inner, environ, buffered=True)
        if fault.errcode is not None:
            return refuse(self._world, request.path, Refusal(fault.errcode, fault.errmsg))
        if fault.body is not None:
            response: Response = answer(request.path, {}, fault.http_status or 200)
            response.set_data(fault.body)
            return response
        return Response(status=fault.http_status)

    def _deliver(
        self, response: Response, fault: Fault | None, environ: WSGIEnvironment, start_response: StartResponse
    ) -> Iterable[bytes]:
        if fault is None:
            return response(environ, start_response)
        if fault.latency_ms:
            self._sleep(fault.latency_ms / 1000)
        if fault.drop == "after":
            _hang_up(environ)
        whole = response(environ, start_response)
        if not fault.truncate:
            return whole
        body = response.get_data()
        return [body[: len(body) // 2]]


def _hang_up(environ: WSGIEnvironment) -> None:
    connection: socket.socket | None = environ.get("werkzeug.socket")
    if connection is not None:
        connection.shutdown(socket.SHUT_RDWR)
    raise ConnectionAbortedError


class _Handler(WSGIRequestHandler):
    """Without the access log: its addresses carry secrets."""

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Say nothing."""


class FakeServer:
    """The stand-in on a port of 127.0.0.1, each request in a thread of its own."""

    def __init__(self, app: Flask, port: int = 0) -> None:
        """Listen; port 0 takes a free one.

        Raises:
            OSError: the port is taken.

        """
        # Our own socket, as werkzeug ends the process when it cannot have the port.
        with socket.create_server((_HOST, port), backlog=128) as listening:
            self._server = make_server(
                _HOST, port, app, threaded=True, request_handler=_Handler, fd=listening.fileno()
            )
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    @property
    def base_url(self) -> str:
        return f"http://{_HOST}:{self._server.port}"

    def serve(self) -> None:
        """Answer until interrupted."""
        self._server.serve_forever()

    def start(self) -> None:
        """Answer in a thread until stopped."""
        self._thread.start()

    def stop(self) -> None:
        """Stop the thread and free the port."""
        self._server.shutdown()
        self._thread.join()
