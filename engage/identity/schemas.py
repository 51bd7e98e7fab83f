"""JSON shapes of log-in and profile."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING, Any, Final

from marshmallow import ValidationError

from engage.core.schemas import (
    Bounds,
    Choice,
    Day,
    Fault,
    Flag,
    Id,
    In,
    Inner,
    Instant,
    Listed,
    Out,
    Text,
    Whole,
    page_of,
)
from engage.identity.models import MAX_DEVICE_CHARS, Gender, LoginMethod, SecondFactorState
from engage.identity.tokens.second_factor import MAX_CODE_CHARS, RECOVERY_CODES
from engage.regions.schemas import DivisionCode, RegionRefOut

if TYPE_CHECKING:
    from collections.abc import Mapping

_NAME_CHARS: Final = 40
# Phones type the dot of names such as 阿卜杜拉·买买提 in several ways; identity cards print the first one.
_DOTS: Final = str.maketrans(dict.fromkeys("•‧・･", "·"))
_BLANK_LETTERS: Final = frozenset("\u115f\u1160\u3164\uffa0")  # letters by category, yet nothing is seen
_TOKEN: Final = "q0V3cYb1hDk7xZ2mT9sLwE4uRfJ8nPaG5iOo6vBtCyM"  # noqa: S105 - an example


class PersonName(Text):
    """A name of 1 to 40 letters of any script, with blanks and middle dots between them."""

    def __init__(self, **options: Any) -> None:
        super().__init__(_NAME_CHARS, **options)

    def _deserialize(
        self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any
    ) -> Any:
        text: str = super()._deserialize(value, attr, data, **kwargs)
        name = " ".join(unicodedata.normalize("NFC", text).translate(_DOTS).split())
        letters = [char for char in name if _is_letter(char)]
        if not letters or any(char not in " ·" and not _is_letter(char) for char in name):
            raise ValidationError(Fault("bad_characters"))
        Bounds(1, _NAME_CHARS, of_length=True)(name)
        return name


def _is_letter(char: str) -> bool:
    return unicodedata.category(char).startswith("L") and char not in _BLANK_LETTERS


class WeChatLoginIn(In):
    code = Text(
        128,
        pattern="[!-~]+",
        required=True,
        metadata={
            "example": "021ByuFs0fNXie1T5lJs0IwBFs0ByuF1",
            "description": "wx.login 的 code · the code of wx.login",
        },
    )


class RefreshIn(In):
    refresh_token = Text(200, pattern="[A-Za-z0-9_-]+", required=True, metadata={"example": _TOKEN})


class ProfileIn(In):
    name = PersonName(
        required=True,
        metadata={"example": "李晓燕", "description": "文字、间隔号与空格 · letters, middle dots, blanks"},
    )
    gender = Choice(Gender, required=True, metadata={"example": "female"})
    birth_on = Day(required=True, metadata={"example": "2006-03-05"})
    hometown_code = DivisionCode(
        required=True, metadata={"example": "140524", "description": "家乡：县级或以下 · county or below"}
    )
    current_code = DivisionCode(
        required=True,
        metadata={"example": "140100", "description": "现居：地市级或以下 · prefecture or below"},
    )
    phone_code = Text(
        128,
        pattern="[!-~]+",
        load_default=None,
        allow_none=True,
        metadata={
            "example": None,
            "description": "getPhoneNumber 的 code，缺省不改手机号 · code of getPhoneNumber; without it the number stays",
        },
    )


class MeOut(Out):
    id = Id(required=True, metadata={"example": "0199f0c2-b7a0-7c3f-9f5d-2f7a1c3e5b7d"})
    name = Text(_NAME_CHARS, required=True, allow_none=True, metadata={"example": "李晓燕"})
    gender = Choice(Gender, required=True, allow_none=True, metadata={"example": "female"})
    birth_on = Day(required=True, allow_none=True, metadata={"example": "2006-03-05"})
    hometown = Inner(RegionRefOut, required=True, allow_none=True)
    current = Inner(RegionRefOut, required=True, allow_none=True)
    phone_masked = Text(30, required=True, allow_none=True, metadata={"example": "138****8000"})
    profile_complete = Flag(required=True, metadata={"example": True})
    created_at = Instant(required=True, metadata={"example": "2026-10-01T15:01:00+08:00"})


class TokensOut(Out):
    """``access_token`` goes into ``Authorization: Bearer …``; ``refresh_token`` is good for one use."""

    access_token = Text(
        4000, required=True, metadata={"example": "eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiIwIn0.c2ln"}
    )
    refresh_token = Text(43, 43, required=True, metadata={"example": _TOKEN})
    token_type = Text(10, required=True, metadata={"example": "Bearer"})
    expires_in = Whole(required=True, metadata={"example": 900, "description": "秒 · seconds"})


class WeChatLoginOut(TokensOut):
    is_new = Flag(required=True, metadata={"example": False})
    user = Inner(MeOut, required=True)


class SessionOut(Out):
    """A log-in that goes on. ``last_used_at`` is exact to the life of an access token; ``device`` is null where it is not known."""

    id = Id(required=True, metadata={"example": "0199f0c2-b7a0-7c3f-9f5d-2f7a1c3e5b7d"})
    device = Text(MAX_DEVICE_CHARS, required=True, allow_none=True, metadata={"example": "iPhone · WeChat"})
    method = Choice(
        LoginMethod,
        required=True,
        metadata={
            "example": "wechat",
            "description": "登录方式：小程序，或网页扫码 · how it began: in the mini program, or on a web page by QR code",
        },
    )
    created_at = Instant(required=True, metadata={"example": "2026-10-01T15:01:00+08:00"})
    last_used_at = Instant(required=True, metadata={"example": "2026-10-08T09:15:00+08:00"})
    expires_at = Instant(required=True, metadata={"example": "2026-11-07T09:15:00+08:00"})
    is_current = Flag(
        required=True, metadata={"example": True, "description": "本次登录 · this very session"}
    )


SessionPage = page_of(SessionOut, "SessionPage")


class SecondFactorIn(In):
    wechat_code = Text(
        128,
        pattern="[!-~]+",
        required=True,
        metadata={
            "example": "021ByuFs0fNXie1T5lJs0IwBFs0ByuF1",
            "description": "刚刚由 wx.login 得到的 code，证明是本人的微信 · a code that wx.login has just given, which proves that it is you",
        },
    )


class SecondFactorSecretOut(Out):
    """Shown this once. ``otpauth_uri`` is what an authenticator app reads from a QR code; ``secret`` is for typing."""

    secret = Text(64, required=True, metadata={"example": "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"})
    otpauth_uri = Text(
        1000,
        required=True,
        metadata={
            "example": "otpauth://totp/engage:%E6%9D%8E%E6%99%93?secret=JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP&issuer=engage"
        },
    )
    expires_at = Instant(required=True, metadata={"example": "2026-10-01T15:31:00+08:00"})


class SecondFactorCodeIn(In):
    code = Text(
        MAX_CODE_CHARS,
        6,
        pattern="[0-9A-Za-z -]+",
        required=True,
        metadata={
            "example": "492039",
            "description": "六位动态验证码或恢复码 · six digits of the authenticator, or a recovery code",
        },
    )


class TotpIn(In):
    code = Text(
        MAX_CODE_CHARS,
        6,
        pattern="[0-9 ]+",
        required=True,
        metadata={
            "example": "492039",
            "description": "六位动态验证码 · six digits of the authenticator",
        },
    )


class RecoveryCodesOut(Out):
    """Shown this once; each is good once."""

    recovery_codes = Listed(
        Text(19, 19, metadata={"example": "K7QF-2M4X-AB3D-EFGH"}), RECOVERY_CODES, required=True
    )


class PrivilegedSessionOut(Out):
    privileged_until = Instant(required=True, metadata={"example": "2026-10-01T15:16:00+08:00"})


class SecondFactorConfirmedOut(RecoveryCodesOut, PrivilegedSessionOut):
    """The recovery codes, shown this once; and the session is privileged, for a code was shown."""


class SecondFactorOut(Out):
    """``locked_until``: until then no code is taken. ``privileged_until`` is that of this session."""

    state = Choice(SecondFactorState, required=True, metadata={"example": "enrolled"})
    enrolled_at = Instant(required=True, allow_none=True, metadata={"example": "2026-10-01T15:01:00+08:00"})
    recovery_codes_left = Whole(0, RECOVERY_CODES, required=True, metadata={"example": 9})
    locked_until = Instant(required=True, allow_none=True, metadata={"example": None})
    privileged_until = Instant(
        required=True, allow_none=True, metadata={"example": "2026-10-01T15:16:00+08:00"}
    )
