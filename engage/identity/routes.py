"""Operations of identity."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from flask import current_app

from engage.core.http import Api, Mode, public
from engage.core.lockout import By, Gate
from engage.core.replies import this_request
from engage.core.schemas import PageQuery
from engage.identity import queries, service
from engage.identity.caller import member, member_privileged, tokens_of
from engage.identity.errors import (
    AccountClosed,
    AccountSuspended,
    LoginInProgress,
    NoSuchSession,
    RefreshTokenInvalid,
    RefreshTokenReused,
    SecondFactorCodeUsed,
    SecondFactorCodeWrong,
    SecondFactorEnrolled,
    SecondFactorLocked,
    SecondFactorMissing,
    SecondFactorNotBegun,
    SessionEnded,
    TooOld,
    TooYoung,
    WeChatAccountBlocked,
    WeChatCodeRefused,
    WeChatPhoneCodeRefused,
    WeChatProofRefused,
)
from engage.identity.models import SessionEnd, device_of
from engage.identity.schemas import (
    MeOut,
    PrivilegedSessionOut,
    ProfileIn,
    RecoveryCodesOut,
    RefreshIn,
    SecondFactorCodeIn,
    SecondFactorConfirmedOut,
    SecondFactorIn,
    SecondFactorOut,
    SecondFactorSecretOut,
    SessionPage,
    TokensOut,
    TotpIn,
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
_WECHAT_PROOF: Final = Gate("wechat_proof", By.PERSON, (WeChatProofRefused,))
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


@api.operation("GET", "/me/second-factor", access=member, zh="我的二次验证", returns=SecondFactorOut)
def read_my_second_factor(look: Look) -> dict[str, Any]:
    """Read how it stands with my second factor: whether I have one, how many recovery codes are left, until when this session is privileged."""
    return queries.read_second_factor(look)


@api.operation(
    "POST", "/me/second-factor", access=member, zh="启用二次验证", body=SecondFactorIn, returns=SecondFactorSecretOut, mode=Mode.ERRAND,
    refuses=[SecondFactorEnrolled, WeChatProofRefused, WeChatAccountBlocked, WeChatUnavailable, WeChatNotConfigured],
    gate=_WECHAT_PROOF,
)  # fmt: skip
def begin_second_factor(errand: Errand, body: dict[str, Any]) -> dict[str, Any]:
    """Begin to enrol a second factor (TOTP): get its secret, shown this once.

    `wechat_code` 证明此刻操作的是本人的微信，所以只有访问令牌的人不能替您启用。30 分钟内用 `POST /me/second-factor/confirmation` 确认；重新开始则前一个作废。

    The `wechat_code` proves that whoever asks is using my own WeChat now, so that a stolen access token enrols nothing. Confirm within 30
    minutes; to begin again voids what was begun before.
    """
    return service.begin_second_factor(errand, _wechat(), body["wechat_code"])


@api.operation(
    "POST", "/me/second-factor/confirmation", access=member, zh="确认二次验证", body=TotpIn, returns=SecondFactorConfirmedOut,
    mode=Mode.ERRAND, refuses=[SecondFactorNotBegun, SecondFactorEnrolled, SecondFactorCodeWrong, SecondFactorLocked],
)  # fmt: skip
def confirm_second_factor(errand: Errand, body: dict[str, Any]) -> dict[str, Any]:
    """Show the first code of my second factor: it counts from now on.

    返回 10 个恢复码，只显示这一次；本次登录随即成为特权会话。回复丢失时可更换恢复码。
    The answer has ten recovery codes, shown this once, and the session is privileged. If it is lost, renew the recovery codes.
    """
    return service.confirm_second_factor(errand, body["code"])


@api.operation(
    "POST", "/me/second-factor/recovery-codes", access=member_privileged, zh="更换恢复码", returns=RecoveryCodesOut, audited=True,
    refuses=[SecondFactorMissing],
)  # fmt: skip
def renew_recovery_codes(work: Work) -> dict[str, Any]:
    """Get ten new recovery codes, shown this once; the old ones are void."""
    return service.renew_recovery_codes(work)


@api.operation(
    "DELETE", "/me/second-factor", access=member_privileged, zh="移除二次验证", audited=True, refuses=[SecondFactorMissing]
)  # fmt: skip
def remove_second_factor(work: Work) -> None:
    """Remove my second factor with its recovery codes, to enrol another, say; no session of mine is privileged any more."""
    service.remove_second_factor(work)


@api.operation(
    "POST", "/me/privileged-session", access=member, zh="输入验证码，进入特权会话", body=SecondFactorCodeIn, returns=PrivilegedSessionOut,
    mode=Mode.ERRAND, refuses=[SecondFactorMissing, SecondFactorCodeWrong, SecondFactorCodeUsed, SecondFactorLocked],
)  # fmt: skip
def open_privileged_session(errand: Errand, body: dict[str, Any]) -> dict[str, Any]:
    """Show a code of my second factor, or a recovery code: this session is privileged for 15 minutes, unless set otherwise.

    授予角色、导出个人信息、新建密钥等操作需要特权会话。每个验证码只能用一次：回复丢失时先看 `GET /me/second-factor`，不要重发。连续错误 5 次，暂停 15 分钟。

    Giving roles, exporting personal data and making keys need it. Each code is good once: when an answer was lost, look at
    `GET /me/second-factor` rather than sending it again. After five wrong codes in a row none is taken for 15 minutes.
    """
    return service.open_privileged_session(errand, body["code"])


@api.operation("DELETE", "/me/privileged-session", access=member, zh="退出特权会话", audited=True)
def end_privileged_session(work: Work) -> None:
    """Let this session be an ordinary one again."""
    service.end_privileged_session(work)


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
