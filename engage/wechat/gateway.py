"""WeChat's server, as far as the service needs it: log-in, phone number, access token."""

from __future__ import annotations

import logging
import os
import random
import re
import threading
import time
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

import httpx
import orjson

from engage.wechat.errors import (
    WeChatBusy,
    WeChatError,
    WeChatMisconfigured,
    WeChatRateLimited,
    WeChatRequestBug,
    WeChatTokenRejected,
    WeChatTransport,
    WeChatUserActionNeeded,
    error_for,
)
from engage.wechat.tokens import FetchedToken

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from engage.core.config import Settings
    from engage.wechat.tokens import TokenStore

_LOGIN: Final = "/sns/jscode2session"
_STABLE_TOKEN: Final = "/cgi-bin/stable_token"  # noqa: S105 - an address
_PHONE: Final = "/wxa/business/getuserphonenumber"

_CONNECT_SECONDS: Final = 3.0
_READ_SECONDS: Final = 8.0
_TOTAL_SECONDS: Final = 20.0
_PAUSES: Final = (0.3, 0.9)  # before the second and the third try
_MAX_ANSWER_BYTES: Final = 65_536
_MAX_BREAK_SECONDS: Final = 10
_MAX_ID_CHARS: Final = 64
_MAX_TOKEN_CHARS: Final = 512
_MAX_TOKEN_LIFE: Final = 86_400
_E164: Final = re.compile(r"\+[1-9][0-9]{5,14}")
_RID: Final = re.compile(r"rid: ([0-9a-f]{8}-[0-9a-f]{8}-[0-9a-f]{8})")
_NO_LENGTH: Final = 412
_MINUTE_LIMIT: Final = 45011
# Faults of ours whatever the phone code; all other unknown numbers there are about the code (mismatch of openid).
_PROTOCOL_BUGS: Final = frozenset({40002, 40033, 40066, 40097, 41001, 43001, 43002, 44002, 47001})
T = TypeVar("T")
log = logging.getLogger("engage.wechat")


@dataclass(frozen=True, slots=True)
class WeChatSession:
    """Who has logged in. WeChat's session_key is not kept: nothing here needs it."""

    openid: str
    unionid: str | None


@dataclass(slots=True)
class _Budget:
    """What is left of the tries and of the time of one call, whatever it consists of."""

    monotonic: Callable[[], float]
    deadline: float
    pauses: list[float] = field(default_factory=lambda: list(_PAUSES))

    @property
    def seconds(self) -> float:
        return self.deadline - self.monotonic()


@dataclass(frozen=True, slots=True)
class _Question(Generic[T]):
    """One request and how to read what it asks for."""

    method: str
    path: str
    read: Callable[[dict[str, Any]], T]
    query: Mapping[str, str] | None = field(default=None, repr=False)
    body: Mapping[str, Any] | None = field(default=None, repr=False)

    @property
    def content(self) -> bytes | None:
        """Raw UTF-8: WeChat refuses escapes, and a body without a length."""
        return None if self.body is None else orjson.dumps(self.body)

    @property
    def headers(self) -> dict[str, str]:
        return {} if self.body is None else {"Content-Type": "application/json"}


def new_client() -> httpx.Client:
    """Return a client that goes straight to the address given: no proxy of the environment, no redirect."""
    return httpx.Client(trust_env=False, follow_redirects=False)


class WeChatGateway:
    """One mini program's access to WeChat.

    Holds no connection until the first call, and none over a fork. The circuit breaker is per process: each worker
    learns of a limit by itself, which costs at most one refused request per worker and pause.
    """

    def __init__(
        self,
        *,
        base_url: str,
        appid: str,
        secret: str,
        tokens: TokenStore,
        make_client: Callable[[], httpx.Client] = new_client,
        sleep: Callable[[float], None] = time.sleep,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._base_url, self._appid, self._secret, self._tokens = base_url, appid, secret, tokens
        self._make_client, self._sleep, self._monotonic = make_client, sleep, monotonic
        self._client: httpx.Client | None = None
        self._client_of: int | None = None
        self._client_lock = threading.Lock()
        self._closed_until: dict[str, tuple[float, WeChatRateLimited]] = {}

    @classmethod
    def of(cls, settings: Settings, tokens: TokenStore) -> WeChatGateway:
        """Return the gateway of an installation."""
        return cls(
            base_url=settings.wechat_api_base,
            appid=settings.wechat_appid,
            secret=settings.wechat_secret,
            tokens=tokens,
        )

    def code_to_session(self, js_code: str) -> WeChatSession:
        """Exchange a code of ``wx.login``; it can be exchanged once. Needs no access token.

        Raises:
            WeChatUserActionNeeded: the code is unknown, expired or used.
            WeChatAccountBlocked: WeChat has restricted the user.
            WeChatTransport: no usable answer; unless ``is_unsent`` the code may be used up.
            WeChatError: busy, limited, misconfigured, or a fault of ours.

        """
        self._refuse_unset(_LOGIN)
        query = {
            "appid": self._appid,
            "secret": self._secret,
            "js_code": js_code,
            "grant_type": "authorization_code",
        }
        return self._ask(self._budget(), _Question("GET", _LOGIN, _session, query=query))

    def phone_number(self, code: str, openid: str) -> str:
        """Exchange a code of the phone button for the number in E.164, such as ``+8613580006666``.

        ``openid`` is of whoever is logged in: WeChat refuses a code that somebody else has got. Never call it inside
        a transaction (``DatabaseTokenStore``).

        Raises:
            WeChatUserActionNeeded: the code is unknown, expired, used, or another user's.
            WeChatTransport: no usable answer; unless ``is_unsent`` the code may be used up.
            WeChatError: busy, limited, misconfigured, or a fault of ours.

        """
        self._refuse_unset(_PHONE)
        return self._ask_with_token(_PHONE, {"code": code, "openid": openid}, self._number)

    def _number(self, answer: dict[str, Any]) -> str:
        info = answer.get("phone_info")
        watermark = info.get("watermark") if isinstance(info, dict) else None
        if not isinstance(info, dict) or not isinstance(watermark, dict):
            raise WeChatTransport(_PHONE, "the answer has no phone number")
        if watermark.get("appid") != self._appid:
            raise WeChatMisconfigured(None, None, _PHONE)
        number = f"+{info.get('countryCode')}{info.get('purePhoneNumber')}"
        if not _E164.fullmatch(number):
            raise WeChatTransport(_PHONE, "the answer has no phone number")
        return number

    def check(self) -> None:
        """Ask for the access token, and so learn whether WeChat is reachable and takes our credentials.

        Disturbs nobody: WeChat answers with the token that is in use.

        Raises:
            WeChatError: not reachable, misconfigured, limited or busy.

        """
        self._refuse_unset(_STABLE_TOKEN)
        self._fetch_token(self._budget(), force=False)

    # One call: token, tries, breaker

    def _budget(self) -> _Budget:
        return _Budget(self._monotonic, self._monotonic() + _TOTAL_SECONDS)

    def _refuse_unset(self, path: str) -> None:
        for value, errcode in ((self._appid, 41002), (self._secret, 41004)):
            if not value:
                raise WeChatMisconfigured(errcode, None, path)

    def _ask_with_token(self, path: str, body: Mapping[str, Any], read: Callable[[dict[str, Any]], T]) -> T:
        budget = self._budget()

        def fetch(*, force: bool) -> FetchedToken:
            return self._fetch_token(budget, force=force)

        def ask(token: str) -> T:
            question = _Question("POST", path, read, query={"access_token": token}, body=body)
            return self._ask(budget, question)

        token = self._tokens.get(fetch)
        try:
            return ask(token)
        except WeChatTokenRejected:
            token = self._tokens.replace_if(token, fetch)
        return ask(token)

    def _fetch_token(self, budget: _Budget, *, force: bool) -> FetchedToken:
        body = {
            "grant_type": "client_credential",
            "appid": self._appid,
            "secret": self._secret,
            "force_refresh": force,
        }
        try:
            return self._ask(budget, _Question("POST", _STABLE_TOKEN, _token, body=body))
        except WeChatTokenRejected as error:
            # Here 40001 is about the AppSecret.
            raise WeChatMisconfigured(error.errcode, error.rid, error.path) from None

    def _ask(self, budget: _Budget, question: _Question[T]) -> T:
        """Return WeChat's answer; try again where that cannot do harm and the budget allows."""
        while True:
            self._refuse_while_limited(question.path)
            try:
                return self._answer(budget, question)
            except (WeChatBusy, WeChatTransport) as error:
                if isinstance(error, WeChatTransport) and not error.is_unsent:
                    raise
                if not budget.pauses:
                    raise
                pause = budget.pauses.pop(0) * random.uniform(0.75, 1.25)
                if pause >= budget.seconds:
                    raise
            except WeChatRateLimited as error:
                self._limit(question.path, error)
                raise
            self._sleep(pause)

    def _refuse_while_limited(self, path: str) -> None:
        until, error = self._closed_until.get(path, (0.0, None))
        if error is not None and self._monotonic() < until:
            raise WeChatRateLimited(error.errcode, error.rid, path, error.retry_after)

    def _limit(self, path: str, error: WeChatRateLimited) -> None:
        # This limit of log-ins is per user: one who presses too often must not shut out the others.
        if (path, error.errcode) != (_LOGIN, _MINUTE_LIMIT):
            pause = min(error.retry_after, _MAX_BREAK_SECONDS)
            self._closed_until[path] = (self._monotonic() + pause, error)

    # One request

    def _answer(self, budget: _Budget, question: _Question[T]) -> T:
        path = question.path
        try:
            return question.read(_meaning(path, *self._exchange(budget, question)))
        except WeChatError as error:
            fields = {
                "path": path,
                "kind": type(error).__name__,
                "errcode": error.errcode,
                "rid": error.rid,
                "reason": getattr(error, "reason", None),
            }
            log.warning("wechat", extra={"fields": fields})
            raise

    def _exchange(self, budget: _Budget, question: _Question[T]) -> tuple[int, bytes]:
        """Send one request; return status and body.

        The exceptions of httpx hold the request with its secrets, so none of them may travel further as a cause.
        """
        path, left = question.path, budget.seconds
        if left <= 0:
            raise WeChatTransport(path, "the time is over", is_unsent=True)
        deadline = self._monotonic() + min(_READ_SECONDS + _CONNECT_SECONDS, left)
        timeout = httpx.Timeout(min(_READ_SECONDS, left), connect=min(_CONNECT_SECONDS, left))
        try:
            with self._http().stream(
                question.method,
                self._base_url + path,
                params=question.query,
                content=question.content,
                headers=question.headers,
                timeout=timeout,
            ) as response:
                return response.status_code, self._read(path, response, deadline)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout):
            fault = WeChatTransport(path, "no connection", is_unsent=True)
        except httpx.TimeoutException:
            fault = WeChatTransport(path, "no answer in time")
        except (httpx.HTTPError, httpx.InvalidURL):
            fault = WeChatTransport(path, "the connection broke")
        raise fault

    def _read(self, path: str, response: httpx.Response, deadline: float) -> bytes:
        body = bytearray()
        for chunk in response.iter_bytes():
            body += chunk
            if len(body) > _MAX_ANSWER_BYTES:
                raise WeChatTransport(path, "the answer is too long")
            if self._monotonic() > deadline:
                raise WeChatTransport(path, "no answer in time")
        return bytes(body)

    def _http(self) -> httpx.Client:
        """Return this process's client: connections must not be shared over a fork."""
        with self._client_lock:
            if self._client is None or self._client_of != os.getpid():
                self._client, self._client_of = self._make_client(), os.getpid()
            return self._client


def _meaning(path: str, status: int, raw: bytes) -> dict[str, Any]:
    """Return the answer, or raise what it means; the content type says nothing at WeChat."""
    if status == _NO_LENGTH:
        raise WeChatRequestBug(None, None, path)
    if status != httpx.codes.OK:
        raise WeChatTransport(path, f"HTTP {status}")
    answer, errcode = _parsed(raw)
    if answer is None or errcode is None:
        raise WeChatTransport(path, "the answer is not WeChat's JSON")
    if errcode == 0:
        return answer
    rid = _RID.search(str(answer.get("errmsg", "")))
    error = error_for(errcode, rid.group(1) if rid else None, path)
    if path == _PHONE and type(error) is WeChatRequestBug and errcode not in _PROTOCOL_BUGS:
        raise WeChatUserActionNeeded(errcode, error.rid, path)
    raise error


def _parsed(raw: bytes) -> tuple[dict[str, Any] | None, int | None]:
    try:
        answer = orjson.loads(raw)
        return dict(answer), int(answer.get("errcode", 0))  # success often has none, and it may be text
    except (ValueError, TypeError, AttributeError, OverflowError):
        return None, None


def _session(answer: dict[str, Any]) -> WeChatSession:
    openid, unionid = answer.get("openid"), answer.get("unionid")
    return WeChatSession(
        openid=_opaque(_LOGIN, openid, _MAX_ID_CHARS),
        unionid=_opaque(_LOGIN, unionid, _MAX_ID_CHARS) if unionid else None,
    )


def _token(answer: dict[str, Any]) -> FetchedToken:
    seconds = answer.get("expires_in")
    if not isinstance(seconds, int) or not 0 < seconds <= _MAX_TOKEN_LIFE:
        raise WeChatTransport(_STABLE_TOKEN, "the answer has no lifetime")
    value = _opaque(_STABLE_TOKEN, answer.get("access_token"), _MAX_TOKEN_CHARS)
    return FetchedToken(value, timedelta(seconds=seconds))


def _opaque(path: str, value: object, max_chars: int) -> str:
    """Return an identifier: printable ASCII, otherwise WeChat's own affair."""
    if not (
        isinstance(value, str) and 1 <= len(value) <= max_chars and value.isascii() and value.isprintable()
    ):
        raise WeChatTransport(path, "the answer lacks an identifier")
    return value
