"""Identifiers in WeChat's formats, each a pure function of a seed and of what it names."""

from __future__ import annotations

import base64
import hashlib
import string
from typing import Final

DEFAULT_SEED: Final = "engage"
_URL_SAFE: Final = string.ascii_letters + string.digits + "-_"
_ALPHANUMERIC: Final = string.ascii_letters + string.digits
_ID_CHARS: Final = 27  # behind the leading "o"
_JS_CODE_CHARS: Final = 31  # behind the leading "0"
_PHONE_CODE_BYTES: Final = 32
_TOKEN_CHARS: Final = 157
_SESSION_KEY_BYTES: Final = 16


def _digest(size: int, *parts: object) -> bytes:
    return hashlib.shake_256("\0".join(map(str, parts)).encode()).digest(size)


def _text(alphabet: str, size: int, *parts: object) -> str:
    return "".join(alphabet[byte % len(alphabet)] for byte in _digest(size, *parts))


def openid_of(appid: str, key: str, seed: str = DEFAULT_SEED) -> str:
    """Return the openid of a user in one mini program, the same in every process and after every restart."""
    return "o" + _text(_URL_SAFE, _ID_CHARS, seed, "openid", appid, key)


def unionid_of(key: str, seed: str = DEFAULT_SEED) -> str:
    """Return the unionid of a user, the same in every mini program."""
    return "o" + _text(_URL_SAFE, _ID_CHARS, seed, "unionid", key)


def phone_of(key: str, seed: str = DEFAULT_SEED) -> str:
    """Return a number that cannot be dialled, near those of WeChat's own virtual test users."""
    return "1206660" + _text(string.digits, 4, seed, "phone", key)


def js_code(*parts: object) -> str:
    """Return a code of ``wx.login``: 32 characters."""
    return "0" + _text(_ALPHANUMERIC, _JS_CODE_CHARS, "js_code", *parts)


def phone_code(*parts: object) -> str:
    """Return a code of the phone button: 64 hexadecimal digits."""
    return _digest(_PHONE_CODE_BYTES, "phone_code", *parts).hex()


def session_key(*parts: object) -> str:
    """Return 16 bytes in Base64."""
    return base64.b64encode(_digest(_SESSION_KEY_BYTES, "session_key", *parts)).decode()


def access_token(number: int, *parts: object) -> str:
    """Return a token: a number, an underscore, and characters that need no escape in an address."""
    head = f"{number}_"
    return head + _text(_URL_SAFE, _TOKEN_CHARS - len(head), "access_token", number, *parts)


def request_id(second: int, *parts: object) -> str:
    """Return a rid: the Unix time and two more groups of eight hexadecimal digits."""
    tail = _digest(8, "rid", second, *parts).hex()
    return f"{second:08x}-{tail[:8]}-{tail[8:]}"


def hint(*parts: object) -> str:
    """Return what the phone operation adds to its errors."""
    return f"{_text(_ALPHANUMERIC, 8, 'hint', *parts)}-{_text(_ALPHANUMERIC, 6, 'tail', *parts)}"
