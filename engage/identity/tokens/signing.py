"""The keys that sign access tokens: several verify, one signs, and every worker notices a change within seconds."""

from __future__ import annotations

import base64
import threading
import time
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import select

from engage.core.config import TokenAlgorithm
from engage.identity.models import SigningKey, signing_key_purpose

if TYPE_CHECKING:
    from sqlalchemy import Connection
    from sqlalchemy.orm import Session

    from engage.core.config import Settings
    from engage.core.db import Database

# A new key signs only when every worker must have read of it: they read again when what they know is older than this.
REREAD_SECONDS: Final = 10.0
LEAD: Final = timedelta(seconds=30)
# Somebody who makes up names of keys costs one statement a second, no more.
_UNKNOWN_SECONDS: Final = 1.0
ALWAYS: Final = datetime(1970, 1, 1, tzinfo=UTC)
NEVER: Final = datetime.max.replace(tzinfo=UTC)
_P256_ORDER: Final = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


@dataclass(frozen=True, slots=True)
class Key:
    """A key as it is used."""

    kid: str
    algorithm: TokenAlgorithm
    private: Any
    public: Any
    signs_from: datetime
    verifies_until: datetime | None

    def verifies(self, now: datetime) -> bool:
        """Say whether what it signed is still taken."""
        return self.verifies_until is None or now < self.verifies_until


@dataclass(frozen=True)
class KeySet:
    """All keys at one moment, and the tokens that were verified with them: a changed set begins without any."""

    rows: list[tuple[Any, ...]]
    first: str  # the name of the derived key that signs
    keys: dict[str, Key]
    verified: dict[str, Any] = field(default_factory=dict)

    def signer(self, now: datetime) -> Key:
        """Return the newest key that signs."""
        able = (key for key in self.keys.values() if key.signs_from <= now and key.verifies(now))
        return max(able, key=lambda key: key.signs_from)


class SigningKeys:
    """The keys of one process, read anew by age and when a token names one that is not known."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._held: KeySet | None = None
        self._read_at = 0.0
        self._reading = threading.Lock()

    def known(self) -> KeySet:
        """Return the keys as they were at most ``REREAD_SECONDS`` ago."""
        held = self._held
        if held is None or time.monotonic() - self._read_at >= REREAD_SECONDS:
            return self._read(held)
        return held

    def find(self, kid: str | None) -> Key | None:
        """Return the key that a token names; one without a name is from before there were several."""
        held = self.known()
        name = kid or held.first
        if name not in held.keys and time.monotonic() - self._read_at >= _UNKNOWN_SECONDS:
            held = self._read(held)
        return held.keys.get(name)

    def _read(self, held: KeySet | None) -> KeySet:
        if not self._reading.acquire(blocking=held is None) and held is not None:
            return held  # another thread is at it; what was good a moment ago serves meanwhile
        try:
            with self._database.reading() as connection:
                rows = rows_of(connection)
            if held is None or rows != held.rows:
                settings = self._database.settings
                held = KeySet(rows, derived_kid(settings), keys_of(rows, settings))
            self._held, self._read_at = held, time.monotonic()
            return held
        finally:
            self._reading.release()


def rows_of(db: Connection | Session) -> list[tuple[Any, ...]]:
    """Return (kid, algorithm, sealed bytes, signs_from, verifies_until) of all signing keys, oldest first."""
    columns = (
        SigningKey.kid, SigningKey.algorithm, SigningKey.seed_sealed, SigningKey.signs_from, SigningKey.verifies_until,
    )  # fmt: skip
    rows = db.execute(select(*columns).order_by(SigningKey.signs_from, SigningKey.kid))
    return [tuple(row) for row in rows]


def keys_of(rows: list[tuple[Any, ...]], settings: Settings) -> dict[str, Key]:
    """Return the keys of rows by their names, with the derived ones, which may have no rows."""
    seed = settings.key("access-token")
    found = {
        kid: _key(kid, algorithm, seed, ALWAYS if algorithm is settings.token_algorithm else NEVER, None)
        for kid, algorithm in derived_kids(settings).items()
    }
    for kid, algorithm, sealed, signs_from, verifies_until in rows:
        if sealed is not None:
            own = base64.b64decode(settings.keyring.open(sealed, signing_key_purpose(kid)))
            found[kid] = _key(kid, algorithm, own, signs_from, verifies_until)
        elif kid in found:  # else derived from a secret that is not ours any more
            found[kid] = replace(found[kid], verifies_until=verifies_until)
    return found


def derived_kids(settings: Settings) -> dict[str, TokenAlgorithm]:
    """Return the names of the keys derived from ``ENGAGE_SECRET_KEY``, one for each algorithm: another secret, other names.

    All of them verify, that of the settings signs: so processes may differ in the setting while it is changed.
    """
    return {settings.key(f"access-token-kid:{each}")[:8].hex(): each for each in TokenAlgorithm}


def derived_kid(settings: Settings) -> str:
    """Return the name of the derived key that signs."""
    return next(kid for kid, each in derived_kids(settings).items() if each is settings.token_algorithm)


def _key(
    kid: str, algorithm: TokenAlgorithm, seed: bytes, signs_from: datetime, verifies_until: datetime | None
) -> Key:
    private, public = _pair(algorithm, seed)
    return Key(kid, algorithm, private, public, signs_from, verifies_until)


def _pair(algorithm: TokenAlgorithm, seed: bytes) -> tuple[Any, Any]:
    """Return what signs and what verifies, of 32 random bytes."""
    if algorithm is TokenAlgorithm.HS256:
        return seed, seed
    if algorithm is TokenAlgorithm.EDDSA:
        edwards = Ed25519PrivateKey.from_private_bytes(seed)
        return edwards, edwards.public_key()
    number = int.from_bytes(seed) % (_P256_ORDER - 1) + 1
    elliptic = ec.derive_private_key(number, ec.SECP256R1())
    return elliptic, elliptic.public_key()
