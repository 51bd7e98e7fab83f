"""What may be written into variables of the environment: each function reads one kind of value.

All of them raise ValueError with the end of a sentence that begins with the name of the variable, and never repeat the value.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import re
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from limits import parse_many

if TYPE_CHECKING:
    from collections.abc import Callable
    from enum import StrEnum

    from limits import RateLimitItem

_DATA_KEY_BYTES: Final = 32
_MAX_KEY_NUMBER: Final = 255
_LONGEST_WINDOW: Final = 86_400
_OFF: Final = "off"
# As browsers write one: nothing after the port, no capitals, no port that goes without saying.
_ORIGIN: Final = re.compile(r"(https?)://[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?(?::([1-9][0-9]{0,4}))?")
_UNSAID_PORTS: Final = {("http", "80"), ("https", "443")}


def text(value: str) -> str:
    """Return a text that is not empty."""
    if not value:
        raise ValueError("is empty")
    return value


def whole(low: int, high: int) -> Callable[[str], int]:
    """Return the reader of whole numbers within bounds, both included."""

    def read(value: str) -> int:
        if not value.isdecimal() or not low <= int(value) <= high:
            raise ValueError(f"must be a whole number from {low} to {high}")
        return int(value)

    return read


def time_of_day(value: str) -> int:
    """Return minutes since midnight, from ``22:00``."""
    hours, colon, minutes = value.partition(":")
    if not (colon and hours.isdecimal() and minutes.isdecimal() and int(hours) < 24 and int(minutes) < 60):  # noqa: PLR2004
        raise ValueError("must be a time of day such as 22:00")
    return int(hours) * 60 + int(minutes)


def flag(value: str) -> bool:
    """Return whether it is ``1`` and not ``0``."""
    if value not in ("0", "1"):
        raise ValueError("must be 0 or 1")
    return value == "1"


def flag_or_auto(value: str) -> bool | None:
    """Return as ``flag``, or None for ``auto``."""
    return None if value == "auto" else flag(value)


def one_of(kind: type[StrEnum]) -> Callable[[str], StrEnum]:
    """Return the reader of the values of an enumeration."""

    def read(value: str) -> StrEnum:
        try:
            return kind(value)
        except ValueError:
            raise ValueError("must be one of " + ", ".join(kind)) from None

    return read


def log_level(value: str) -> str:
    """Return a level of the log."""
    if value not in ("DEBUG", "INFO", "WARNING", "ERROR"):
        raise ValueError("must be one of DEBUG, INFO, WARNING, ERROR")
    return value


def database_url(value: str) -> str:
    """Return the address of a database, with the driver that is used here."""
    if value.startswith("postgresql://"):
        return "postgresql+psycopg://" + value.removeprefix("postgresql://")
    if value.startswith("postgresql+psycopg://"):
        return value
    if value.startswith("sqlite:///") and value not in ("sqlite:///", "sqlite:///:memory:"):
        return value
    raise ValueError("must be sqlite:///FILE or postgresql://USER:PASSWORD@HOST/NAME")


def http_base(value: str) -> str:
    """Return an http or https address without query, without a slash at its end."""
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.netloc or parts.query or parts.fragment:
        raise ValueError("must be an http or https address such as https://api.weixin.qq.com")
    return value.rstrip("/")


def rate(value: str) -> RateLimitItem | None:
    """Return a rate such as ``10/5 minutes``; None for ``off``."""
    if value == _OFF:
        return None
    try:
        rates = parse_many(value)
    except ValueError:
        rates = []
    if len(rates) != 1 or not rates[0].amount or rates[0].get_expiry() > _LONGEST_WINDOW:
        raise ValueError("must be off, or a rate of up to a day such as 600/minute or 10/5 minutes")
    return rates[0]


def redis_url(value: str) -> str:
    """Return the address of a Redis database."""
    parts = urlsplit(value)
    with contextlib.suppress(ValueError):  # a port that is no number
        if parts.scheme in ("redis", "rediss") and parts.hostname and parts.port != 0:
            return value
    raise ValueError("must be an address such as redis://HOST:6379/0 or rediss://:PASSWORD@HOST/0")


def origins(value: str) -> frozenset[str]:
    """Return origins as browsers send them."""
    origins = [origin.strip() for origin in value.split(",")]
    for origin in origins:
        found = _ORIGIN.fullmatch(origin)
        if found is None or found.groups() in _UNSAID_PORTS:
            raise ValueError(
                "must be origins as browsers send them, such as https://ops.example.cn, comma-separated"
            )
    return frozenset(origins)


def data_keys(value: str) -> dict[int, bytes]:
    """Return the keys of ``1:BASE64,2:BASE64``; the highest number seals, all of them open."""
    keys: dict[int, bytes] = {}
    for entry in value.split(","):
        number, _, encoded = entry.strip().partition(":")
        try:
            raw = base64.b64decode(encoded, validate=True)
        except binascii.Error:
            raw = b""
        if not number.isdecimal() or not 1 <= int(number) <= _MAX_KEY_NUMBER or len(raw) != _DATA_KEY_BYTES:
            raise ValueError("must be NUMBER:BASE64 of 32 bytes, comma-separated, numbers from 1 to 255")
        keys[int(number)] = raw
    return keys
