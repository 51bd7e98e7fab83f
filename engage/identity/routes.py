"""Operations of identity."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from flask import current_app

from engage.core.http import Api, Mode, public
from engage.core.lockout import By, Gate
from engage.core.replies import this_request
from engage.core.schemas import PageQuery
from engage.identity import queries, service
from engage.identity.caller import member, tokens_of
from engage.identity.errors import (
    AccountClosed,
    AccountSuspended,
    LoginInProgress,
    NoSuchSession,
    RefreshTokenInvalid,
    RefreshTokenReused,
    SessionEnded,
    TooOld,
    TooYoung,
    WeChatAccountBlocked,
    WeChatCodeRefused,
    WeChatPhoneCodeRefused,
)
from engage.identity.models import SessionEnd, device_of
from engage.identity.schemas import (
    MeOut,
    ProfileIn,
    RefreshIn,
    SessionPage,
    TokensOut,
    WeChatLoginIn,
    WeChatLoginOut,
)
from engage.wechat.errors import WeChatNotConfigured, WeChatUnavailable

if TYPE_CHECKING:
    from uuid import UUID

    from engage.core.db import Errand, Look, Work
    from engage.core.paging import Page
    from engage.wechat.gateway import WeChatGateway

api: Final = Api("登录与个人 · Identity")
# Each code is a question to WeChat, which answers so many a minute: who is locked out is refused before it is asked.
_LOG_IN: Final = Gate("log_in", By.ADDRESS, (WeChatCodeRefused,))
_REFRESH: Final = Gate("refresh", By.ADDRESS, (RefreshTokenInvalid, RefreshTokenReused), lets_good_pass=True)
_PHONE_CODE: Final = Gate(
    "phone_code",
    By.PERSON,
    (WeChatPhoneCodeRefused,),
    counts_success=True,  # WeChat charges for it
    when=lambda arguments: arguments["body"]["phone_code"] is not None,
)


def _wechat() -> WeChatGateway:
    gateway: WeChatGateway = current_app.extensions["engage.wechat"]
    return gateway


@api.operation(
    "POST", "/auth/wechat/login", access=public, zh="微信登录", body=WeChatLoginIn, returns=WeChatLoginOut,
    mode=Mode.ERRAND, refuses=[WeChatCodeRefused, WeChatAccountBlocked, WeChatUnavailable, WeChatNotConfigured,
                               LoginInProgress, AccountSuspended, AccountClosed],
    gate=_LOG_IN,
)  # fmt: skip
def log_in_with_wechat(errand: Errand, body: dict[str, Any]) -> dict[str, Any]:
    """Log in with the code of wx.login.

    The first log-in creates the person. The same code sent again within 60 seconds gives the same session, so a
    request whose answer was lost may be repeated.
    """
    device = device_of(this_request().environ.get("HTTP_USER_AGENT", ""))
    outcome = service.log_in(errand, _wechat(), body["code"], device)
    return {**tokens_of(outcome.session, errand.settings), "is_new": outcome.is_new, "user": outcome.user}


@api.operation(
    "POST", "/auth/refresh", access=public, zh="刷新登录凭证", body=RefreshIn, returns=TokensOut, mode=Mode.ERRAND,
    refuses=[RefreshTokenInvalid, RefreshTokenReused, SessionEnded, AccountSuspended, AccountClosed], gate=_REFRESH,
)  # fmt: skip
def refresh(errand: Errand, body: dict[str, Any]) -> dict[str, Any]:
    """Exchange a refresh token for new tokens.

    Each refresh token is good for one exchange; sent again within 30 seconds it gives the same successor. Later it
    counts as stolen and ends the session, and the person finds a message about it. A session ends 30 days after its last
    refresh and 180 days after its log-in, unless set otherwise.
    """
    return tokens_of(service.refresh(errand, body["refresh_token"]), errand.settings)


@api.operation("POST", "/auth/logout", access=member, zh="退出登录", audited=True)
def log_out(work: Work) -> None:
    """End this session; its tokens stop at once."""
    service.end_session(work, work.actor.session_id, SessionEnd.LOGGED_OUT)


@api.operation("GET", "/me/sessions", access=member, zh="我的登录设备", query=PageQuery, returns=SessionPage)
def list_my_sessions(look: Look, query: dict[str, Any]) -> Page:
    """List where I am logged in, the newest log-in first."""
    return queries.list_my_sessions(look, query)


@api.operation("DELETE", "/me/sessions", access=member, zh="退出其他全部登录", audited=True)
def end_my_other_sessions(work: Work) -> None:
    """End all my sessions but this one; their tokens stop at once."""
    service.end_other_sessions(work)


@api.operation(
    "DELETE",
    "/me/sessions/{session_id}",
    access=member,
    zh="退出一处登录",
    refuses=[NoSuchSession],
    audited=True,
)
def end_my_session(work: Work, session_id: UUID) -> None:
    """End one of my sessions; its tokens stop at once."""
    service.end_own_session(work, session_id)


@api.operation("GET", "/me", access=member, zh="我的资料", returns=MeOut)
def read_me(look: Look) -> dict[str, Any]:
    """Read my profile."""
    return queries.read_me(look, look.actor.id)


@api.operation(
    "PUT", "/me", access=member, zh="填写我的资料", body=ProfileIn, returns=MeOut, mode=Mode.ERRAND,
    refuses=[TooYoung, TooOld, WeChatPhoneCodeRefused, WeChatAccountBlocked, WeChatUnavailable, WeChatNotConfigured],
    gate=_PHONE_CODE,
)  # fmt: skip
def replace_me(errand: Errand, body: dict[str, Any]) -> dict[str, Any]:
    """Replace my profile.

    The phone number changes only with a ``phone_code`` of WeChat's getPhoneNumber; without it the number stays.
    """
    return service.replace_profile(errand, _wechat(), body)
