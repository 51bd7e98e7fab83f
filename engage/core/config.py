"""Settings: read once from ``ENGAGE_*`` variables; a missing or unsafe value stops the start."""

from __future__ import annotations

import base64
import binascii
import dataclasses
import os
import re
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from engage.core.crypto import Keyring, derive_key

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

DEVELOPMENT_SECRET: Final = "development-only-secret-never-in-production"  # noqa: S105
_MIN_SECRET_CHARS: Final = 32
_DATA_KEY_BYTES: Final = 32
_MAX_KEY_NUMBER: Final = 255
_YEAR_SECONDS: Final = 31_536_000
# As browsers write one: nothing after the port, no capitals, no port that goes without saying.
_ORIGIN: Final = re.compile(r"(https?)://[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?(?::([1-9][0-9]{0,4}))?")
_UNSAID_PORTS: Final = {("http", "80"), ("https", "443")}


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


def _text(value: str) -> str:
    if not value:
        raise ValueError("is empty")
    return value


def _whole(low: int, high: int) -> Callable[[str], int]:
    def read(value: str) -> int:
        if not value.isdecimal() or not low <= int(value) <= high:
            raise ValueError(f"must be a whole number from {low} to {high}")
        return int(value)

    return read


def _time_of_day(value: str) -> int:
    hours, colon, minutes = value.partition(":")
    if not (colon and hours.isdecimal() and minutes.isdecimal() and int(hours) < 24 and int(minutes) < 60):  # noqa: PLR2004
        raise ValueError("must be a time of day such as 22:00")
    return int(hours) * 60 + int(minutes)


def _flag(value: str) -> bool:
    if value not in ("0", "1"):
        raise ValueError("must be 0 or 1")
    return value == "1"


def _flag_or_auto(value: str) -> bool | None:
    return None if value == "auto" else _flag(value)


def _one_of(kind: type[StrEnum]) -> Callable[[str], StrEnum]:
    def read(value: str) -> StrEnum:
        try:
            return kind(value)
        except ValueError:
            raise ValueError("must be one of " + ", ".join(kind)) from None

    return read


def _log_level(value: str) -> str:
    if value not in ("DEBUG", "INFO", "WARNING", "ERROR"):
        raise ValueError("must be one of DEBUG, INFO, WARNING, ERROR")
    return value


def _database_url(value: str) -> str:
    if value.startswith("postgresql://"):
        return "postgresql+psycopg://" + value.removeprefix("postgresql://")
    if value.startswith("postgresql+psycopg://"):
        return value
    if value.startswith("sqlite:///") and value not in ("sqlite:///", "sqlite:///:memory:"):
        return value
    raise ValueError("must be sqlite:///FILE or postgresql://USER:PASSWORD@HOST/NAME")


def _http_base(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.netloc or parts.query or parts.fragment:
        raise ValueError("must be an http or https address such as https://api.weixin.qq.com")
    return value.rstrip("/")


def _origins(value: str) -> frozenset[str]:
    origins = [origin.strip() for origin in value.split(",")]
    for origin in origins:
        found = _ORIGIN.fullmatch(origin)
        if found is None or found.groups() in _UNSAID_PORTS:
            raise ValueError(
                "must be origins as browsers send them, such as https://ops.example.cn, comma-separated"
            )
    return frozenset(origins)


def _data_keys(value: str) -> dict[int, bytes]:
    """Read ``1:BASE64,2:BASE64``; the highest number seals, all of them open."""
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


_READERS: Final[dict[str, Callable[[str], object]]] = {
    "environment": _one_of(Environment),
    "database_url": _database_url,
    "database_pool_size": _whole(1, 64),
    "sqlite_synchronous": _one_of(SqliteSync),
    "secret_key": _text,
    "data_keys": _data_keys,
    "token_algorithm": _one_of(TokenAlgorithm),
    "access_token_minutes": _whole(1, 1440),
    "refresh_token_days": _whole(1, 365),
    "session_days": _whole(1, 3650),
    "trusted_proxies": _whole(0, 10),
    "wechat_api_base": _http_base,
    "wechat_appid": _text,
    "wechat_secret": _text,
    "public_url": _http_base,
    "max_age": _whole(18, 120),
    "activity_review": _flag,
    "offer_window_minutes": _whole(0, 43_200),
    "offer_minutes": _whole(1, 10_080),
    "queue_closes_minutes": _whole(0, 43_200),
    "quiet_from": _time_of_day,
    "quiet_until": _time_of_day,
    "overlap": _one_of(Overlap),
    "excuse_minutes": _whole(0, 43_200),
    "late_minutes": _whole(0, 1440),
    "presence_percent": _whole(0, 100),
    "credit": _flag,
    "credit_start": _whole(1, 1000),
    "credit_absent": _whole(0, 1000),
    "credit_late": _whole(0, 1000),
    "credit_late_cancel": _whole(0, 1000),
    "credit_attended": _whole(0, 1000),
    "credit_fades_days": _whole(1, 3650),
    "credit_threshold": _whole(0, 1000),
    "credit_held_hours": _whole(0, 720),
    "credit_appeal_days": _whole(1, 365),
    "people_days_before": _whole(0, 3650),
    "people_days_after": _whole(7, 3650),
    "body_limit_bytes": _whole(1024, 16_777_216),
    "cors_origins": _origins,
    "hsts_seconds": _whole(0, 2 * _YEAR_SECONDS),
    "log_level": _log_level,
    "bind": _text,
    "workers": _whole(1, 64),
    "threads": _whole(1, 64),
    "pin_workers": _flag_or_auto,
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
    if urlsplit(settings.wechat_api_base).scheme != "https":
        raise SettingsError("ENGAGE_WECHAT_API_BASE: production needs https")
    if settings.public_url and urlsplit(settings.public_url).scheme != "https":
        raise SettingsError("ENGAGE_PUBLIC_URL: must be an https address in production")
    if any(urlsplit(origin).scheme != "https" for origin in settings.cors_origins):
        raise SettingsError("ENGAGE_CORS_ORIGINS: must be https origins in production")
