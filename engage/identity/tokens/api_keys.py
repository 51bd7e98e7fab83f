"""The form of API keys: ``engage_`` + 16 characters that may be shown + ``_`` + 38 that may not.

The fixed prefix, length and alphabet let secret scanners find one that was committed or pasted, and the checksum in the last
six characters tells it from a look-alike without asking us.
"""

from __future__ import annotations

import hmac
import re
import secrets
import string
import zlib
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address, ip_network
from typing import TYPE_CHECKING, Final

from engage.core.crypto import sha256

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

PREFIX: Final = "engage_"
_PUBLIC: Final = string.ascii_lowercase + string.digits
_SECRET: Final = string.ascii_letters + string.digits
_PUBLIC_CHARS, _SECRET_CHARS, _CHECK_CHARS = 16, 32, 6  # 190 random bits
_FORM: Final = re.compile(
    rf"({PREFIX}([a-z0-9]{{{_PUBLIC_CHARS}}})_[A-Za-z0-9]{{{_SECRET_CHARS}}})([A-Za-z0-9]{{{_CHECK_CHARS}}})"
)


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key that was just made: the only moment at which it is whole."""

    public_id: str
    text: str

    @property
    def digest(self) -> bytes:
        return sha256(self.text)


def new_key(public_id: str | None = None) -> NewKey:
    """Return a new key, or another secret for one that has its public part already."""
    public_id = public_id or "".join(secrets.choice(_PUBLIC) for _ in range(_PUBLIC_CHARS))
    secret = "".join(secrets.choice(_SECRET) for _ in range(_SECRET_CHARS))
    body = f"{PREFIX}{public_id}_{secret}"
    return NewKey(public_id, body + _checksum(body))


def public_id_of(text: str) -> str | None:
    """Return the part of a key that may be shown, None where the text cannot be a key of ours."""
    match = _FORM.fullmatch(text)
    return match[2] if match and _checksum(match[1]) == match[3] else None


def _checksum(body: str) -> str:
    number, digits = zlib.crc32(body.encode()), []
    for _ in range(_CHECK_CHARS):
        number, digit = divmod(number, len(_SECRET))
        digits.append(_SECRET[digit])
    return "".join(digits)


def is_secret(
    digest: bytes, current: bytes, previous: bytes | None, previous_until: datetime | None, now: datetime
) -> bool:
    """Say whether a digest is that of the secret, or of the one before while it is being replaced."""
    if hmac.compare_digest(digest, current):
        return True
    replaced = previous is not None and previous_until is not None and now < previous_until
    return replaced and hmac.compare_digest(digest, previous or b"")


def is_from(address: str | None, networks: Sequence[str]) -> bool:
    """Say whether an address lies in one of the networks; none named: anywhere."""
    if not networks:
        return True
    try:
        given = ip_address(address or "")
    except ValueError:
        return False  # a socket file has no address
    if isinstance(given, IPv6Address) and given.ipv4_mapped:
        given = given.ipv4_mapped
    return any(given in ip_network(network) for network in networks)
