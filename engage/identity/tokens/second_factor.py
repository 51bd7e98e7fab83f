"""The second factor without a database: codes that change every 30 seconds (TOTP, RFC 6238), and recovery codes."""

from __future__ import annotations

import base64
import os
import re
from typing import TYPE_CHECKING, Final

import pyotp
from pyotp.exceptions import OTPVerificationError

from engage.core.crypto import sha256

if TYPE_CHECKING:
    from datetime import datetime

RECOVERY_CODES: Final = 10
MAX_CODE_CHARS: Final = 24
_ISSUER: Final = "engage"
# Steps of 30 seconds by which the clock of a phone may differ, each way.
_WINDOW: Final = 1
_TOTP: Final = re.compile(r"\d{6}", re.ASCII)
_RECOVERY_BYTES, _GROUP = 10, 4  # 80 random bits are 16 letters
# Base32 has none of these; somebody read a letter as one.
_LOOK_ALIKES: Final = str.maketrans({"0": "O", "1": "I", "8": "B", " ": None, "-": None})


def new_secret() -> str:
    """Return a secret of 160 random bits in Base32, as authenticator apps take it."""
    return pyotp.random_base32()


def otpauth_uri(secret: str, account: str) -> str:
    """Return the address that an authenticator app reads from a QR code."""
    return pyotp.TOTP(secret).provisioning_uri(name=account, issuer_name=_ISSUER)


def totp_of(typed: str) -> str | None:
    """Return the six digits that somebody typed, None where it is no code of an authenticator."""
    digits = typed.replace(" ", "")
    return digits if _TOTP.fullmatch(digits) else None


def step_of(secret: str, code: str, now: datetime) -> int | None:
    """Return the time step whose code it is, if that is now, the one before or the next. Compared in constant time."""
    try:
        return pyotp.TOTP(secret).verify_and_get_timecode(code, for_time=now, valid_window=_WINDOW)
    except OTPVerificationError:
        return None


def new_recovery_codes() -> list[str]:
    """Return codes such as ``K7QF-2M4X-AB3D-EFGH``, to be written down."""
    return [_grouped(base64.b32encode(os.urandom(_RECOVERY_BYTES)).decode()) for _ in range(RECOVERY_CODES)]


def _grouped(letters: str) -> str:
    return "-".join(letters[start : start + _GROUP] for start in range(0, len(letters), _GROUP))


def hash_of_recovery_code(typed: str) -> bytes:
    """Return the SHA-256 of a recovery code, however it was typed: it has 80 random bits, so a slow hash would protect nothing."""
    return sha256(typed.upper().translate(_LOOK_ALIKES))
