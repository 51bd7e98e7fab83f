"""Settings: read once from ``ENGAGE_*`` variables; a missing or unsafe value stops the start."""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass, field, fields
from datetime import timedelta
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from limits import RateLimitItem, RateLimitItemPerHour, RateLimitItemPerMinute

from engage.core.crypto import Keyring, derive_key
from engage.core.variables import (
    data_keys,
    database_url,
    flag,
    flag_or_auto,
    http_base,
    log_level,
    one_of,
    origins,
    rate,
    redis_url,
    text,
    time_of_day,
    whole,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

DEVELOPMENT_SECRET: Final = "development-only-secret-never-in-production"  # noqa: S105
_MIN_SECRET_CHARS: Final = 32
_YEAR_SECONDS: Final = 31_536_000


class SettingsError(Exception):
    """A setting is missing, malformed or unsafe; the text names the variable and says why."""


class Environment(StrEnum):
    """Where the process runs: production refuses every development default."""

    DEVELOPMENT = "development"
    PRODUCTION = "production"


class TokenAlgorithm(StrEnum):
    """How access tokens are signed: by the key derived from ``ENGAGE_SECRET_KEY``, and by those made after it."""

    HS256 = "HS256"
    ES256 = "ES256"
    EDDSA = "EdDSA"


class SqliteSync(StrEnum):
    """FULL: acknowledged means durable; NORMAL: faster, a power cut may lose the last commits."""

    FULL = "FULL"
    NORMAL = "NORMAL"


class Overlap(StrEnum):
    """What becomes of a sign-up while the person has a place elsewhere at the same time."""

    ALLOW = "allow"
    WARN = "warn"
    REFUSE = "refuse"


@dataclass(frozen=True)
class Settings:
    """Everything that can be set. Times in the unit of the name."""

    environment: Environment = Environment.DEVELOPMENT
    database_url: str = "sqlite:///engage.db"
    database_pool_size: int = 8
    sqlite_synchronous: SqliteSync = SqliteSync.FULL
    secret_key: str = field(default=DEVELOPMENT_SECRET, repr=False)
    data_keys: Mapping[int, bytes] = field(default_factory=dict, repr=False)
    token_algorithm: TokenAlgorithm = TokenAlgorithm.EDDSA
    access_token_minutes: int = 15
    refresh_token_days: int = 30
    session_days: int = 180
    second_factor: bool = True
    privileged_minutes: int = 15
    web_session_hours: int = 12  # of a web page that was logged in by QR code, from its log-in
    web_idle_minutes: int = 60  # it ends sooner when it is not used for so long
    trusted_proxies: int = 0
    wechat_api_base: str = "https://api.weixin.qq.com"
    wechat_appid: str = ""
    wechat_secret: str = field(default="", repr=False)
    public_url: str = ""
    max_age: int = 35
    activity_review: bool = False
    offer_window_minutes: int = 1440
    offer_minutes: int = 120
    queue_closes_minutes: int = 60
    quiet_from: int = 1320  # minutes of the Shanghai day
    quiet_until: int = 480
    overlap: Overlap = Overlap.WARN
    excuse_minutes: int = 120
    late_minutes: int = 15
    presence_percent: int = 60
    credit: bool = False
    credit_start: int = 100  # also the most there is
    credit_absent: int = 10  # points lost; 0: this rule is off
    credit_late: int = 2
    credit_late_cancel: int = 5
    credit_attended: int = 3  # points won back
    credit_fades_days: int = 180
    credit_threshold: int = 60
    credit_held_hours: int = 24
    credit_appeal_days: int = 14
    people_days_before: int = 30  # so long before and after an activity a hub manager sees who signed up
    people_days_after: int = 30
    limit_person: RateLimitItem | None = RateLimitItemPerMinute(600)  # None: without limit
    limit_key: RateLimitItem | None = RateLimitItemPerMinute(300)
    limit_address: RateLimitItem | None = RateLimitItemPerMinute(20_000)
    limit_log_in: RateLimitItem | None = RateLimitItemPerMinute(300, 5)  # from here on: of failed attempts
    limit_refresh: RateLimitItem | None = RateLimitItemPerMinute(300, 5)
    limit_api_key: RateLimitItem | None = RateLimitItemPerMinute(60, 10)
    limit_certificate: RateLimitItem | None = RateLimitItemPerMinute(60, 10)
    limit_invitation: RateLimitItem | None = RateLimitItemPerMinute(10, 10)
    limit_phone_code: RateLimitItem | None = RateLimitItemPerHour(10)
    limit_wechat_proof: RateLimitItem | None = RateLimitItemPerMinute(10, 10)
    limit_login_ticket: RateLimitItem | None = RateLimitItemPerMinute(120, 10)  # tickets made, used or not
    limit_page_log_in: RateLimitItem | None = RateLimitItemPerMinute(60, 10)
    redis_url: str = field(default="", repr=False)
    body_limit_bytes: int = 1_048_576
    cors_origins: frozenset[str] = frozenset()
    hsts_seconds: int | None = None  # None: a year in production, nothing in development
    log_level: str = "INFO"
    bind: str = "127.0.0.1:8000"
    workers: int = 2
    threads: int = 4
    pin_workers: bool | None = None  # None: when there is a worker for each processor

    @property
    def is_production(self) -> bool:
        return self.environment is Environment.PRODUCTION

    @property
    def is_sqlite(self) -> bool:
        return self.database_url.startswith("sqlite")

    @property
    def hsts(self) -> int:
        """For how many seconds browsers shall come by https only; 0: nothing is said."""
        if self.hsts_seconds is not None:
            return self.hsts_seconds
        return _YEAR_SECONDS if self.is_production else 0

    @property
    def access_token_life(self) -> timedelta:
        return timedelta(minutes=self.access_token_minutes)

    @property
    def refresh_token_life(self) -> timedelta:
        return timedelta(days=self.refresh_token_days)

    @property
    def session_life(self) -> timedelta:
        return timedelta(days=self.session_days)

    @property
    def privileged_life(self) -> timedelta:
        return timedelta(minutes=self.privileged_minutes)

    @property
    def web_session_life(self) -> timedelta:
        return timedelta(hours=self.web_session_hours)

    @property
    def web_idle_life(self) -> timedelta:
        # Use is seen when an access token is replaced, so idleness is no shorter than the life of one.
        return max(timedelta(minutes=self.web_idle_minutes), self.access_token_life)

    @cached_property
    def keyring(self) -> Keyring:
        """Keys for values sealed in the database: ``ENGAGE_DATA_KEYS``, in development one from the secret."""
        return Keyring(dict(self.data_keys) or {1: derive_key(self.secret_key, "data-key")})

    def key(self, purpose: str) -> bytes:
        """Return the 32-byte key of one purpose, such as ``"check-in-code"``."""
        return derive_key(self.secret_key, purpose)

    def replace(self, **changes: object) -> Settings:
        """Return a copy with some values changed (tests, demo)."""
        return dataclasses.replace(self, **changes)  # type: ignore[arg-type]

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> Settings:
        """Read and check the settings.

        Raises:
            SettingsError: a variable is unknown, malformed, missing or unsafe.

        """
        values = os.environ if environ is None else environ
        settings = cls(**{name: _read(name, values) for name in _READERS if _variable(name) in values})  # type: ignore[arg-type]
        _refuse_unknown(values)
        _check(settings)
        return settings


def _variable(name: str) -> str:
    return f"ENGAGE_{name.upper()}"


def _read(name: str, values: Mapping[str, str]) -> object:
    variable = _variable(name)
    try:
        return _READERS[name](values[variable].strip())
    except ValueError as error:
        # Never the value itself: it may be a secret.
        raise SettingsError(f"{variable}: {error}") from None


_READERS: Final[dict[str, Callable[[str], object]]] = {
    "environment": one_of(Environment),
    "database_url": database_url,
    "database_pool_size": whole(1, 64),
    "sqlite_synchronous": one_of(SqliteSync),
    "secret_key": text,
    "data_keys": data_keys,
    "token_algorithm": one_of(TokenAlgorithm),
    "access_token_minutes": whole(1, 1440),
    "refresh_token_days": whole(1, 365),
    "session_days": whole(1, 3650),
    "second_factor": flag,
    "privileged_minutes": whole(1, 60),
    "web_session_hours": whole(1, 168),
    "web_idle_minutes": whole(5, 10_080),
    "trusted_proxies": whole(0, 10),
    "wechat_api_base": http_base,
    "wechat_appid": text,
    "wechat_secret": text,
    "public_url": http_base,
    "max_age": whole(18, 120),
    "activity_review": flag,
    "offer_window_minutes": whole(0, 43_200),
    "offer_minutes": whole(1, 10_080),
    "queue_closes_minutes": whole(0, 43_200),
    "quiet_from": time_of_day,
    "quiet_until": time_of_day,
    "overlap": one_of(Overlap),
    "excuse_minutes": whole(0, 43_200),
    "late_minutes": whole(0, 1440),
    "presence_percent": whole(0, 100),
    "credit": flag,
    "credit_start": whole(1, 1000),
    "credit_absent": whole(0, 1000),
    "credit_late": whole(0, 1000),
    "credit_late_cancel": whole(0, 1000),
    "credit_attended": whole(0, 1000),
    "credit_fades_days": whole(1, 3650),
    "credit_threshold": whole(0, 1000),
    "credit_held_hours": whole(0, 720),
    "credit_appeal_days": whole(1, 365),
    "people_days_before": whole(0, 3650),
    "people_days_after": whole(7, 3650),
    **{each.name: rate for each in fields(Settings) if each.name.startswith("limit_")},
    "redis_url": redis_url,
    "body_limit_bytes": whole(1024, 16_777_216),
    "cors_origins": origins,
    "hsts_seconds": whole(0, 2 * _YEAR_SECONDS),
    "log_level": log_level,
    "bind": text,
    "workers": whole(1, 64),
    "threads": whole(1, 64),
    "pin_workers": flag_or_auto,
}

# Read by the test run, not by the service.
_OTHER_VARIABLES: Final = frozenset({"ENGAGE_TEST_DATABASE_URL"})


def _refuse_unknown(values: Mapping[str, str]) -> None:
    known = {_variable(name) for name in _READERS} | _OTHER_VARIABLES
    for variable in values:
        if variable.startswith("ENGAGE_") and variable not in known:
            raise SettingsError(f"{variable}: no such setting; is it misspelt?")


def _check(settings: Settings) -> None:
    if settings.queue_closes_minutes > settings.offer_window_minutes:
        raise SettingsError("ENGAGE_QUEUE_CLOSES_MINUTES: the queue cannot close before offers begin")
    if settings.credit_threshold > settings.credit_start:
        raise SettingsError("ENGAGE_CREDIT_THRESHOLD: everybody would be below it from the start")
    if settings.is_production:
        _check_production(settings)


def _check_production(settings: Settings) -> None:
    if settings.secret_key == DEVELOPMENT_SECRET:
        raise SettingsError("ENGAGE_SECRET_KEY: production needs a secret of its own, not the default")
    if len(settings.secret_key) < _MIN_SECRET_CHARS:
        raise SettingsError(f"ENGAGE_SECRET_KEY: production needs at least {_MIN_SECRET_CHARS} characters")
    if len(set(settings.secret_key)) < _MIN_SECRET_CHARS // 4:
        raise SettingsError("ENGAGE_SECRET_KEY: too regular; use random characters")
    for name in ("data_keys", "wechat_appid", "wechat_secret"):
        if not getattr(settings, name):
            raise SettingsError(f"{_variable(name)}: production needs it")
    if not settings.second_factor:
        raise SettingsError("ENGAGE_SECOND_FACTOR: production needs it; leave it on")
    if urlsplit(settings.wechat_api_base).scheme != "https":
        raise SettingsError("ENGAGE_WECHAT_API_BASE: production needs https")
    if settings.public_url and urlsplit(settings.public_url).scheme != "https":
        raise SettingsError("ENGAGE_PUBLIC_URL: must be an https address in production")
    if any(urlsplit(origin).scheme != "https" for origin in settings.cors_origins):
        raise SettingsError("ENGAGE_CORS_ORIGINS: must be https origins in production")
