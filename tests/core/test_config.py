"""Settings: what is taken, and what stops the start with its name and why."""

from __future__ import annotations

import base64

import pytest

from engage.core.config import Settings, SettingsError

KEY = base64.b64encode(bytes(range(32))).decode()
PRODUCTION = {
    "ENGAGE_ENVIRONMENT": "production",
    "ENGAGE_DATABASE_URL": "postgresql://engage:secret@db/engage",
    "ENGAGE_SECRET_KEY": "N3v3r-th3-same-twice_0123456789abcdef",
    "ENGAGE_DATA_KEYS": f"1:{KEY}",
    "ENGAGE_WECHAT_APPID": "wx4f4bc4dec97d474b",
    "ENGAGE_WECHAT_SECRET": "0123456789abcdef0123456789abcdef",
    "ENGAGE_PUBLIC_URL": "https://engage.example.cn",
}


def test_nothing_has_to_be_set_in_development():
    settings = Settings.from_env({"PATH": "/usr/bin"})
    assert settings == Settings()
    assert settings.keyring.open(settings.keyring.seal("13800138000", "p"), "p") == "13800138000"


def test_limits_are_rates_or_off():
    settings = Settings.from_env(
        {
            "ENGAGE_LIMIT_PERSON": "off",
            "ENGAGE_LIMIT_LOG_IN": "10/5 minutes",
            "ENGAGE_REDIS_URL": "rediss://:secret@cache:6380/0",
        }
    )
    assert settings.limit_person is None
    assert (settings.limit_log_in.amount, settings.limit_log_in.get_expiry()) == (10, 300)
    assert "secret" not in repr(settings)


def test_production_takes_what_is_complete():
    settings = Settings.from_env(PRODUCTION)
    assert settings.is_production
    assert settings.database_url == "postgresql+psycopg://engage:secret@db/engage"
    assert settings.hsts == 365 * 86_400
    assert Settings.from_env({**PRODUCTION, "ENGAGE_HSTS_SECONDS": "0"}).hsts == 0
    assert Settings.from_env({}).hsts == 0


def test_origins_are_those_that_browsers_send():
    given = {"ENGAGE_CORS_ORIGINS": "https://ops.example.cn, http://localhost:5173"}
    assert Settings.from_env(given).cors_origins == {"https://ops.example.cn", "http://localhost:5173"}
    assert Settings.from_env({}).cors_origins == frozenset()


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("ENGAGE_ENVIRONMENT", "staging"),
        ("ENGAGE_DATABASE_URL", "mysql://x/y"),
        ("ENGAGE_DATABASE_URL", "sqlite:///:memory:"),
        ("ENGAGE_DATABASE_POOL_SIZE", "0"),
        ("ENGAGE_DATABASE_POOL_SIZE", "many"),
        ("ENGAGE_SQLITE_SYNCHRONOUS", "OFF"),
        ("ENGAGE_SECRET_KEY", " "),
        ("ENGAGE_DATA_KEYS", "1:short"),
        ("ENGAGE_DATA_KEYS", f"0:{KEY}"),
        ("ENGAGE_DATA_KEYS", f"x:{KEY}"),
        ("ENGAGE_DATA_KEYS", "1:%%%"),
        ("ENGAGE_TOKEN_ALGORITHM", "none"),
        ("ENGAGE_SESSION_DAYS", "0"),
        ("ENGAGE_PRIVILEGED_MINUTES", "61"),
        ("ENGAGE_SECOND_FACTOR", "off"),
        ("ENGAGE_TRUSTED_PROXIES", "-1"),
        ("ENGAGE_WECHAT_API_BASE", "ftp://api"),
        ("ENGAGE_WECHAT_API_BASE", "https://api?x=1"),
        ("ENGAGE_PUBLIC_URL", "engage.example.cn"),
        ("ENGAGE_MAX_AGE", "17"),
        ("ENGAGE_ACTIVITY_REVIEW", "yes"),
        ("ENGAGE_CREDIT", "on"),
        ("ENGAGE_CREDIT_ABSENT", "-10"),
        ("ENGAGE_CREDIT_FADES_DAYS", "0"),
        ("ENGAGE_CREDIT_THRESHOLD", "101"),
        ("ENGAGE_LIMIT_PERSON", "0/minute"),
        ("ENGAGE_LIMIT_PERSON", "many"),
        ("ENGAGE_LIMIT_LOG_IN", "10/fortnight"),
        ("ENGAGE_LIMIT_LOG_IN", "10/minute;5/second"),
        ("ENGAGE_LIMIT_PHONE_CODE", "10/month"),
        ("ENGAGE_REDIS_URL", "memcached://cache"),
        ("ENGAGE_REDIS_URL", "redis://cache:port/0"),
        ("ENGAGE_CORS_ORIGINS", "*"),
        ("ENGAGE_CORS_ORIGINS", "null"),
        ("ENGAGE_CORS_ORIGINS", "https://*.example.cn"),
        ("ENGAGE_CORS_ORIGINS", "https://ops.example.cn/"),
        ("ENGAGE_CORS_ORIGINS", "https://ops.example.cn:443"),
        ("ENGAGE_CORS_ORIGINS", "https://OPS.example.cn"),
        ("ENGAGE_CORS_ORIGINS", "https://a@ops.example.cn"),
        ("ENGAGE_CORS_ORIGINS", "https://ops.example.cn,"),
        ("ENGAGE_CORS_ORIGINS", "ops.example.cn"),
        ("ENGAGE_HSTS_SECONDS", "-1"),
        ("ENGAGE_LOG_LEVEL", "LOUD"),
        ("ENGAGE_WORKER", "2"),
    ],
)
def test_a_bad_value_stops_the_start_with_its_name_and_not_its_value(variable, value):
    with pytest.raises(SettingsError) as refused:
        Settings.from_env({variable: value})
    assert str(refused.value).startswith(f"{variable}: ")
    assert KEY not in str(refused.value)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("ENGAGE_SECRET_KEY", None),
        ("ENGAGE_SECRET_KEY", "short"),
        ("ENGAGE_SECRET_KEY", "ab" * 20),
        ("ENGAGE_DATA_KEYS", None),
        ("ENGAGE_WECHAT_APPID", None),
        ("ENGAGE_WECHAT_SECRET", None),
        ("ENGAGE_WECHAT_API_BASE", "http://api.weixin.qq.com"),
        ("ENGAGE_PUBLIC_URL", "http://engage.example.cn"),
        ("ENGAGE_SECOND_FACTOR", "0"),
        ("ENGAGE_CORS_ORIGINS", "https://ops.example.cn,http://localhost:5173"),
    ],
)
def test_production_refuses_what_is_missing_or_unsafe(variable, value):
    values = (
        {**PRODUCTION, variable: value} if value else {k: v for k, v in PRODUCTION.items() if k != variable}
    )
    with pytest.raises(SettingsError, match=variable):
        Settings.from_env(values)


def test_secrets_do_not_show_in_the_settings_text():
    shown = repr(Settings.from_env(PRODUCTION))
    for name in ("ENGAGE_SECRET_KEY", "ENGAGE_WECHAT_SECRET"):
        assert PRODUCTION[name] not in shown
    assert "data_keys" not in shown
