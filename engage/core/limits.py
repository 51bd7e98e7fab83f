"""How often somebody may call: by person, by API key, and by address for those who show neither.

Counts are shared through Redis where it is set. Without it each worker counts in its own memory: N workers then admit up to N times
as much. No request ever waits for a count or fails for want of one: while Redis is away the workers count by themselves.
"""

from __future__ import annotations

import logging
import threading
import time
import zlib
from collections.abc import Callable
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from math import ceil
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol, TypeVar

from limits.errors import ConfigurationError, StorageError
from limits.storage import RedisStorage

from engage.core import clock
from engage.core.config import SettingsError
from engage.core.errors import DomainError, RateLimited
from engage.core.logging import current

if TYPE_CHECKING:
    from uuid import UUID

    from limits import RateLimitItem

    from engage.core.config import Settings
    from engage.core.db import Database
    from engage.core.http import Operation
    from engage.core.logging import Trace

R = TypeVar("R")
PERSON: Final = "person"
KEY: Final = "key"
ADDRESS: Final = "address"
# A refused attempt at what is for staff leaves an entry in the audit log, which nothing takes away again: so many requests does it count as.
REFUSAL_WEIGHT: Final = 10
MOST_COUNTS: Final = 50_000  # kept in memory for each of the three; some 12 MB
_NETWORK_OF_ONE: Final = 64  # bits of an IPv6 address that a household or a phone gets as a whole
_REDIS_SECONDS: Final = 0.25
_REDIS_AWAY_SECONDS: Final = 5.0

log = logging.getLogger("engage.limits")


class Caller(Protocol):
    """Who calls, and by what they are counted: one of the names above, and whose count it is.

    ``person_id``: whoever this is, once it is known that they are somebody.
    """

    @property
    def person_id(self) -> UUID | None: ...
    @property
    def counted_as(self) -> tuple[str, str]: ...


class Counter(Protocol):
    """What counts: a storage of the library, or ours."""

    def incr(self, key: str, expiry: int, amount: int = 1) -> int: ...


class Policy(NamedTuple):
    """A limit as clients read of it."""

    name: str
    amount: int
    seconds: int
    header: str


class Quota(NamedTuple):
    """What is left of a limit to whoever calls, and in how many seconds there is more."""

    policy: Policy
    remaining: int
    reset: int


class Memory:
    """Counts of this process, a bounded number of them and without a thread.

    The library's own begins a thread every ten milliseconds, which looks through all keys, and it forgets none before its
    time, so that whoever has many addresses fills it. Here the older half is forgotten when the younger is full.
    """

    def __init__(self, most: int = MOST_COUNTS) -> None:
        self._half = most // 2
        self._guard = threading.Lock()
        self._young: dict[str, tuple[int, int]] = {}  # by subject: the window, and the count in it
        self._old: dict[str, tuple[int, int]] = {}

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    def add(self, subject: str, window: int, weight: int) -> int:
        """Add to what is counted for a subject in a window, and return it."""
        with self._guard:
            counted = self._young.get(subject)
            if counted is None:
                if len(self._young) >= self._half:
                    self._old, self._young = self._young, {}
                counted = self._old.pop(subject, None)
            count = counted[1] + weight if counted and counted[0] == window else weight
            self._young[subject] = window, count
            return count


class Limiter:
    """Counts each request of an operation and says when it is one too many.

    Windows are fixed, and begin at another time for each subject, known from its name: one addition is all that a count takes,
    and not everybody comes back in the same second.
    """

    def __init__(self, settings: Settings, whose: Callable[[], Caller | None]) -> None:
        rates = {PERSON: settings.limit_person, KEY: settings.limit_key, ADDRESS: settings.limit_address}
        self._limits = {name: (policy_of(name, rate), Memory()) for name, rate in rates.items() if rate}
        self._whose = whose
        self.shared: Counter | None = _redis(settings.redis_url) if settings.redis_url else None
        self._shared_from = 0.0

    def admit(self, trace: Trace, caller: Caller | None) -> None:
        """Count a request of whoever calls, or of the address it came from.

        Raises:
            RateLimited: it is one too many.

        """
        if caller is None:
            caller = self._whose()
        self._admit(trace, _stranger(trace.address) if caller is None else caller.counted_as)

    def admit_stranger(self, trace: Trace) -> None:
        """Count a request whose token or key is not good, by address.

        Raises:
            RateLimited: it is one too many.

        """
        self._admit(trace, _stranger(trace.address))

    def weigh_refusal(self, trace: Trace, caller: Caller) -> None:
        """Count a request once more: for what its refusal has left behind, or by address where the key turned out to be nobody's.

        Raises:
            RateLimited: as ``admit_stranger``.

        """
        if caller.person_id is None:
            self.admit_stranger(trace)
            return
        quota = self._count(caller.counted_as, REFUSAL_WEIGHT - 1)
        if quota is not None:
            trace.quotas = (quota, *trace.quotas[1:])

    def _admit(self, trace: Trace, counted_as: tuple[str, str] | None) -> None:
        quota = counted_as and self._count(counted_as, 1)
        if not quota:
            return
        trace.quotas = (quota,)
        if quota.remaining < 0:
            raise RateLimited(retry_after=quota.reset, seconds=quota.reset)

    def _count(self, counted_as: tuple[str, str], weight: int) -> Quota | None:
        name, subject = counted_as
        limit = self._limits.get(name)
        if limit is None:
            return None
        policy, memory = limit
        seconds = policy.seconds
        passed = clock.now().timestamp() + zlib.crc32(subject.encode()) % seconds
        window = int(passed // seconds)
        count = self._shared_count(f"{name}/{subject}/{window}", seconds, weight) if self.shared else None
        if count is None:
            count = memory.add(subject, window, weight)
        return Quota(policy, policy.amount - count, ceil((window + 1) * seconds - passed))

    def _shared_count(self, key: str, seconds: int, weight: int) -> int | None:
        if self.shared is None or time.monotonic() < self._shared_from:
            return None
        try:
            return self.shared.incr(key, seconds, weight)
        except StorageError as error:
            self._shared_from = time.monotonic() + _REDIS_AWAY_SECONDS
            log.warning("redis", exc_info=error)
            return None


def weighing_refusals(run: Callable[..., R], limiter: Callable[[], Limiter]) -> Callable[..., R]:
    """Return what runs an operation and counts a refusal for more where it leaves an entry in the audit log, for good."""

    def weighing(
        operation: Operation, dump: Any, database: Database, identity: Any, arguments: dict[str, Any]
    ) -> R:
        try:
            return run(operation, dump, database, identity, arguments)
        except DomainError as refusal:
            if isinstance(refusal, operation.told):
                limiter().weigh_refusal(current.get(), identity)
            raise

    return weighing


def redis_answers(settings: Settings) -> bool:
    """Say whether Redis, which is set, can be reached.

    Raises:
        SettingsError: the package for it is missing.

    """
    return bool(_redis(settings.redis_url).check())


def _redis(url: str) -> RedisStorage:
    """Return the storage in Redis; it connects when it is first asked.

    Raises:
        SettingsError: the package for it is missing.

    """
    try:
        return RedisStorage(
            url,
            key_prefix="engage",
            wrap_exceptions=True,
            socket_timeout=_REDIS_SECONDS,
            socket_connect_timeout=_REDIS_SECONDS,
        )
    except ConfigurationError as error:
        raise SettingsError("ENGAGE_REDIS_URL: needs another package: pip install 'engage[redis]'") from error


@lru_cache(maxsize=256)
def policy_of(name: str, rate: RateLimitItem) -> Policy:
    """Return a limit of the settings as clients read of it."""
    seconds = rate.get_expiry()
    shown = name.replace("_", "-")
    return Policy(shown, rate.amount, seconds, f'"{shown}";q={rate.amount};w={seconds}')


def told(quotas: tuple[Quota, ...]) -> tuple[tuple[str, str], tuple[str, str]]:
    """Return the headers of draft-ietf-httpapi-ratelimit-headers, revision 10."""
    policies, left = quotas[0].policy.header, _left(quotas[0])
    for quota in quotas[1:]:
        policies, left = f"{policies}, {quota.policy.header}", f"{left}, {_left(quota)}"
    return ("RateLimit-Policy", policies), ("RateLimit", left)


def _left(quota: Quota) -> str:
    return f'"{quota.policy.name}";r={max(0, quota.remaining)};t={quota.reset}'


def _stranger(address: str | None) -> tuple[str, str] | None:
    subject = subject_of(address)
    return None if subject is None else (ADDRESS, subject)


@lru_cache(maxsize=4096)
def subject_of(address: str | None) -> str | None:
    """Return what is counted for an address: itself, or the /64 of IPv6, all of which one caller has; None for what is none."""
    try:
        given: IPv4Address | IPv6Address = ip_address(address or "")
    except ValueError:
        return None  # a socket file has no address
    if isinstance(given, IPv4Address):
        return str(given)
    if given.ipv4_mapped:
        return str(given.ipv4_mapped)
    return str(IPv6Network((given, _NETWORK_OF_ONE), strict=False))
