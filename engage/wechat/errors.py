"""What WeChat's answers mean, and what our callers are told of them."""

from __future__ import annotations

from typing import Final

from engage.core.errors import BadGateway, DomainError, Unavailable

_TRY_LATER_SECONDS: Final = 5


class WeChatError(Exception):
    """WeChat did not do what was asked.

    The text carries the error number, the path and WeChat's request id, and never the message: it may repeat what
    a user has typed.
    """

    def __init__(self, errcode: int | None, rid: str | None, path: str) -> None:
        super().__init__(errcode, rid, path)
        self.errcode, self.rid, self.path = errcode, rid, path

    def __str__(self) -> str:
        return f"{self.path}: errcode {self.errcode}, rid {self.rid}"


class WeChatUserActionNeeded(WeChatError):
    """The code is unknown, expired or used: the user must act again."""


class WeChatAccountBlocked(WeChatError):
    """WeChat has restricted the user; acting again will not help."""


class WeChatBusy(WeChatError):
    """WeChat was busy, three times in a row."""


class WeChatRateLimited(WeChatError):
    """Too many requests for now."""

    def __init__(self, errcode: int | None, rid: str | None, path: str, retry_after: int) -> None:
        super().__init__(errcode, rid, path)
        self.retry_after = retry_after


class WeChatMisconfigured(WeChatError):
    """The operator must act: appid, secret, address list or rights of the account."""


class WeChatRequestBug(WeChatError):
    """We sent something wrong."""


class WeChatTokenRejected(WeChatError):
    """A token that was fetched just now is refused."""


class WeChatTransport(WeChatError):
    """No usable answer: no connection, no answer in time, or none in WeChat's form.

    Unless ``is_unsent`` the request may have been carried out, so that its code may be used up.
    """

    def __init__(self, path: str, reason: str, *, is_unsent: bool = False) -> None:
        super().__init__(None, None, path)
        self.reason, self.is_unsent = reason, is_unsent

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


class WeChatUnavailable(Unavailable):
    code = "wechat_unavailable"
    zh, en = (
        "微信服务暂时无法响应，请稍后重新操作。",
        "WeChat does not answer at present; try again shortly, with a new code.",
    )
    retry_after = _TRY_LATER_SECONDS


class WeChatNotConfigured(BadGateway):
    code = "wechat_misconfigured"
    zh, en = (
        "与微信的对接有误，暂时无法使用，请联系管理员。",
        "The connection with WeChat is not set up correctly; please tell the administrator.",
    )
    retry_after = 60


# By error number, at every path unless the gateway knows better.
_USER: Final = frozenset({40029, 40163, 61010})
_RATE_SECONDS: Final = {44990: 1, 44991: 60, 45011: 60, 44993: 3600, 45009: 3600}
_CONFIG: Final = frozenset({40013, 40125, 40164, 40243, 48001, 50004, 50007, 89503, 89506, 89507})
_TOKEN: Final = frozenset({40001, 40014, 42001})
_BLOCKED: Final = 40226
_BUSY: Final = -1


def error_for(errcode: int, rid: str | None, path: str) -> WeChatError:
    """Return the meaning of an error number other than 0."""
    if errcode in _RATE_SECONDS:
        return WeChatRateLimited(errcode, rid, path, _RATE_SECONDS[errcode])
    kinds: list[tuple[bool, type[WeChatError]]] = [
        (errcode in _USER, WeChatUserActionNeeded),
        (errcode == _BLOCKED, WeChatAccountBlocked),
        (errcode == _BUSY, WeChatBusy),
        (errcode in _CONFIG, WeChatMisconfigured),
        (errcode in _TOKEN, WeChatTokenRejected),
    ]
    kind = next((kind for matches, kind in kinds if matches), WeChatRequestBug)
    return kind(errcode, rid, path)


def refusal_for(error: WeChatError) -> DomainError:
    """Return what to tell the caller.

    A use case first catches ``WeChatUserActionNeeded`` and ``WeChatAccountBlocked``: only it knows which of its
    codes is meant.
    """
    if isinstance(error, WeChatMisconfigured | WeChatRequestBug):
        return WeChatNotConfigured()
    if isinstance(error, WeChatRateLimited):
        return WeChatUnavailable(retry_after=error.retry_after)
    return WeChatUnavailable()
