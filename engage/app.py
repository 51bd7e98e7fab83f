"""The application: wires settings, database, gateway, features and error handling together."""

from __future__ import annotations

import logging
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, Final

from flask import Flask
from flask.ctx import RequestContext
from flask.sessions import NullSession, SessionInterface
from sqlalchemy.exc import IntegrityError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from werkzeug.exceptions import HTTPException
from werkzeug.exceptions import MethodNotAllowed as WerkzeugMethodNotAllowed
from werkzeug.middleware.proxy_fix import ProxyFix

import engage.activities.routes
import engage.api_keys.routes
import engage.audit.routes
import engage.console.routes
import engage.enclaves.routes
import engage.evaluation.routes
import engage.home.routes
import engage.hubs.routes
import engage.identity.routes
import engage.login_tickets.routes
import engage.messages.routes
import engage.orgs.routes
import engage.regions.routes
import engage.statistics.routes
from engage.core import limits
from engage.core import logging as json_logging
from engage.core.config import Settings
from engage.core.db import Database
from engage.core.envelope import Envelope
from engage.core.errors import (
    BodyTooLarge,
    ConflictingChange,
    DatabaseBusy,
    DomainError,
    HttpRefusal,
    InternalError,
    MalformedRequest,
    MethodNotAllowed,
    NoSuchAddress,
)
from engage.core.replies import Page, problem_response, this_request
from engage.identity import caller
from engage.wechat.gateway import WeChatGateway
from engage.wechat.tokens import DatabaseTokenStore

if TYPE_CHECKING:
    from collections.abc import Callable

    from _typeshed.wsgi import WSGIEnvironment
    from flask import Request
    from flask.wrappers import Response
    from werkzeug.routing import MapAdapter

    from engage.core.http import Api
    from engage.core.replies import Answer

APIS: Final[tuple[Api, ...]] = (
    engage.identity.routes.api,
    engage.login_tickets.routes.api,
    engage.home.routes.api,
    engage.regions.routes.api,
    *engage.orgs.routes.apis,
    engage.api_keys.routes.api,
    engage.hubs.routes.api,
    *engage.activities.routes.apis,
    engage.enclaves.routes.api,
    engage.messages.routes.api,
    engage.statistics.routes.api,
    engage.evaluation.routes.api,
    engage.audit.routes.api,
)
_MAX_FORM_FIELDS: Final = 100
_REMEMBERED: Final = 4096  # addresses, some 4 MB
_LONG: Final = 200  # longer than any address of an operation
log = logging.getLogger("engage.request")


class _NoSessions(SessionInterface):
    """Nothing is kept in cookies, so nothing is looked for in them."""

    _none: Final = NullSession()

    def open_session(self, app: Flask, request: Request) -> NullSession:
        return self._none


class _Context(RequestContext):
    """What Flask keeps for a request; the operation of an address that was asked for before is remembered."""

    def match_request(self) -> None:
        """Find the operation of the address."""
        service: Any = self.app
        try:
            self.request.url_rule, arguments = service.find(self.request.path, self.request.method)
            self.request.view_args = {**arguments}
        except HTTPException as error:
            self.request.routing_exception = error


class Service(Flask):
    """Flask without what it finds out anew for each request and what is never so here: hosts, subdomains, redirects, cookies, coroutines."""

    response_class = Page
    session_interface = _NoSessions()

    def __init__(self, name: str) -> None:
        super().__init__(name, static_folder=None)
        self._addresses = self.url_map.bind("")
        self._match = partial(self._addresses.match, return_rule=True)
        self._remembered = lru_cache(_REMEMBERED)(self._match)

    def find(self, path: str, method: str) -> tuple[Any, Any]:
        """Return (rule, arguments) of an address; where thousands ask for one activity it is looked for once."""
        return (self._match if len(path) > _LONG else self._remembered)(path, method)

    def full_dispatch_request(self) -> Response:
        """Answer a request. Operations have no hooks and nobody waits for signals (``tests/house`` holds that); pages take Flask's way."""
        asked = this_request()
        rule = asked.url_rule
        json_logging.current.get().route = rule.rule if rule else None
        if rule and "." in rule.endpoint:  # of a blueprint
            return super().full_dispatch_request()
        # Every view and every handler here returns a response: none has to be made of something else.
        try:
            if rule is None or asked.method == "OPTIONS":
                return self.dispatch_request()  # type: ignore[return-value]
            return self.view_functions[rule.endpoint](**asked.view_args or {})  # type: ignore[return-value]
        except Exception as error:  # noqa: BLE001 - as Flask does: the handlers below know what to do
            return self.handle_user_exception(error)  # type: ignore[return-value]

    def make_default_options_response(self) -> Response:
        """Answer OPTIONS with the methods of the address; Flask would ask what knows all addresses about none."""
        answer = self.response_class()
        answer.allow.update(self._addresses.allowed_methods(this_request().path))
        return answer

    def do_teardown_request(self, _exc: Any = None) -> None:
        """Do nothing: no hook waits for the end of a request."""

    def do_teardown_appcontext(self, _exc: Any = None) -> None:
        """Do nothing: no hook waits for the end of a context."""

    def request_context(self, environ: WSGIEnvironment) -> RequestContext:
        """Return what Flask keeps for a request."""
        return _Context(self, environ)

    def create_url_adapter(self, request: Request | None) -> MapAdapter | None:
        """Return what knows all addresses. It makes none of other hosts, so it need not know this one."""
        return self._addresses if request else None

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """Return a view or a hook as it is."""
        return func


def create_app(settings: Settings | None = None) -> Flask:
    """Return the WSGI application for some settings (by default those of the environment).

    Raises:
        SettingsError: a setting is missing or unsafe.

    """
    settings = settings or Settings.from_env()
    json_logging.configure(settings.log_level)
    app = Service("engage")
    app.url_map.merge_slashes = False
    app.config.update(
        MAX_CONTENT_LENGTH=settings.body_limit_bytes,
        MAX_FORM_PARTS=_MAX_FORM_FIELDS,
        PROPAGATE_EXCEPTIONS=False,
    )
    database = Database(settings)
    app.extensions["engage.settings"] = settings
    app.wsgi_app = Envelope(app.wsgi_app, settings)  # type: ignore[method-assign]
    if settings.trusted_proxies:  # else anybody could say where they come from
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=settings.trusted_proxies, x_proto=0, x_host=0)  # type: ignore[method-assign]
    app.extensions["engage.database"] = database
    app.extensions["engage.wechat"] = WeChatGateway.of(settings, DatabaseTokenStore(database))
    app.extensions["engage.operations"] = [operation for api in APIS for operation in api.operations]
    app.extensions["engage.limiter"] = limits.Limiter(settings, caller.shown)
    caller.install(app, settings, database)
    _answer_errors(app)
    for api in APIS:
        api.register(app)
    app.register_blueprint(engage.console.routes.blueprint)
    return app


def _request_id() -> str:
    return json_logging.current.get().request_id


def _answer_errors(app: Flask) -> None:
    app.register_error_handler(DomainError, problem_response)
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(OperationalError, _database_error)
    app.register_error_handler(PoolTimeout, _database_error)
    app.register_error_handler(IntegrityError, _integrity_error)
    app.register_error_handler(Exception, _unexpected)


def _http_error(error: HTTPException) -> Answer:
    refusals: dict[int, type[DomainError]] = {
        400: MalformedRequest,
        404: NoSuchAddress,
        405: MethodNotAllowed,
        413: BodyTooLarge,
        500: InternalError,
    }
    status = error.code or 500
    answer = problem_response(refusals[status]() if status in refusals else HttpRefusal(status))
    if isinstance(error, WerkzeugMethodNotAllowed) and error.valid_methods:
        answer.headers.append(("Allow", ", ".join(sorted(error.valid_methods))))
    return answer


def _database_error(error: Exception) -> Answer:
    log.warning("database", exc_info=error, extra={"fields": {"request_id": _request_id()}})
    return problem_response(DatabaseBusy())


def _integrity_error(error: IntegrityError) -> Answer:
    # A race that the use case did not name: the constraint held, nothing was changed, the caller may read again.
    log.warning("integrity", exc_info=error, extra={"fields": {"request_id": _request_id()}})
    return problem_response(ConflictingChange())


def _unexpected(error: Exception) -> Answer:
    log.error("unexpected", exc_info=error, extra={"fields": {"request_id": _request_id()}})
    return problem_response(InternalError())
