"""Keys, sealed values and keyed hashes, all derived from the settings' secrets."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
from dataclasses import dataclass
from functools import cache

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

_NONCE_BYTES = 12


class SealBrokenError(Exception):
    """A sealed value cannot be opened: wrong key, wrong purpose or altered bytes."""


@cache
def derive_key(secret: str, purpose: str, length: int = 32) -> bytes:
    """Derive an independent key of ``length`` bytes for one purpose (HKDF-SHA-256, RFC 5869)."""
    kdf = HKDF(algorithm=hashes.SHA256(), length=length, salt=None, info=b"engage:" + purpose.encode())
    return kdf.derive(secret.encode())


def keyed_hash(key: bytes, value: str) -> bytes:
    """Return HMAC-SHA-256 of a text: equal texts meet, nobody without the key can guess them."""
    return hmac.new(key, value.encode(), hashlib.sha256).digest()


def sha256(value: str) -> bytes:
    """Return SHA-256 of a text that is itself a secret of high entropy."""
    return hashlib.sha256(value.encode()).digest()


def url_token(raw: bytes) -> str:
    """Return bytes as URL-safe Base64 without padding."""
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


@dataclass(frozen=True)
class Keyring:
    """AES-256-GCM under the newest of several numbered keys; older keys still open what they sealed."""

    keys: dict[int, bytes]

    def seal(self, plain: str, purpose: str) -> bytes:
        """Encrypt a text; ``purpose`` is bound to it, so that a value cannot be moved to another column."""
        number = max(self.keys)
        nonce = os.urandom(_NONCE_BYTES)
        body = AESGCM(self.keys[number]).encrypt(nonce, plain.encode(), purpose.encode())
        return bytes([number]) + nonce + body

    def open(self, sealed: bytes, purpose: str) -> str:
        """Decrypt a sealed text.

        Raises:
            SealBrokenError: unknown key number, other purpose, or altered bytes.

        """
        key = self.keys.get(sealed[0]) if sealed else None
        if key is None:
            raise SealBrokenError("no such key")
        nonce, body = sealed[1 : 1 + _NONCE_BYTES], sealed[1 + _NONCE_BYTES :]
        try:
            return AESGCM(key).decrypt(nonce, body, purpose.encode()).decode()
        except (InvalidTag, ValueError) as error:
            raise SealBrokenError("cannot be opened") from error
