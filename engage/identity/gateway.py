"""Questions to WeChat about one person, with the refusals of log-in and profile."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from engage.identity.errors import WeChatAccountBlocked as AccountBlockedByWeChat
from engage.identity.errors import WeChatCodeRefused, WeChatPhoneCodeRefused, WeChatProofRefused
from engage.wechat.errors import WeChatAccountBlocked, WeChatError, WeChatUserActionNeeded, refusal_for

if TYPE_CHECKING:
    from collections.abc import Callable

    from engage.core.errors import DomainError
    from engage.wechat.gateway import WeChatGateway, WeChatSession

Answer = TypeVar("Answer")


def exchange_code(gateway: WeChatGateway, code: str) -> WeChatSession:
    """Return whose code of ``wx.login`` it is.

    Raises:
        WeChatCodeRefused: unknown, expired or used.
        WeChatAccountBlocked: WeChat has restricted the account.
        WeChatUnavailable: WeChat cannot be reached or is busy.
        WeChatNotConfigured: WeChat refuses our credentials.

    """
    return _ask(lambda: gateway.code_to_session(code), WeChatCodeRefused)


def prove_account(gateway: WeChatGateway, code: str, openid: str | None) -> None:
    """Make sure that a code of ``wx.login`` was made just now by a person's own WeChat account.

    Raises:
        WeChatProofRefused: unknown, expired, used, or somebody else's.
        WeChatAccountBlocked: WeChat has restricted the account.
        WeChatUnavailable: WeChat cannot be reached or is busy.
        WeChatNotConfigured: WeChat refuses our credentials.

    """
    if openid is None or _ask(lambda: gateway.code_to_session(code), WeChatProofRefused).openid != openid:
        raise WeChatProofRefused


def phone_number(gateway: WeChatGateway, code: str, openid: str | None) -> str:
    """Return the phone number of a code of getPhoneNumber, in E.164.

    Raises:
        WeChatPhoneCodeRefused: unknown, expired, used, or somebody else's.
        WeChatAccountBlocked: WeChat has restricted the account.
        WeChatUnavailable: WeChat cannot be reached or is busy.
        WeChatNotConfigured: WeChat refuses our credentials.

    """
    if openid is None:  # without it WeChat would not check whose number the code gives
        raise WeChatPhoneCodeRefused
    return _ask(lambda: gateway.phone_number(code, openid), WeChatPhoneCodeRefused)


def _ask(call: Callable[[], Answer], refused: type[DomainError]) -> Answer:
    try:
        return call()
    except WeChatUserActionNeeded:
        raise refused from None
    except WeChatAccountBlocked:
        raise AccountBlockedByWeChat from None
    except WeChatError as error:
        raise refusal_for(error) from error
