"""``engage doctor``: what is wrong with an installation."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import click
import httpx
from sqlalchemy import and_, exists, select, text
from sqlalchemy.exc import SQLAlchemyError

import engage.tables  # noqa: F401 - every table, for the comparison
from engage.activities.queries import integrity
from engage.audit.queries.chain import LATE, waiting_since
from engage.cli.installation import sqlite_file
from engage.core import clock, migrations, schema
from engage.core import logging as json_logging
from engage.core.config import DEVELOPMENT_SECRET, Settings, SettingsError
from engage.core.db import Database
from engage.core.limits import redis_answers
from engage.orgs.access import Permission, in_force, is_active, opened_everywhere
from engage.orgs.models import Org, RoleGrant
from engage.regions.models import Division
from engage.wechat.errors import WeChatError
from engage.wechat.gateway import WeChatGateway
from engage.wechat.tokens import DatabaseTokenStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlalchemy import Connection

_MIN_SECRET_CHARS: Final = 32
_CLOCK_TOLERANCE: Final = timedelta(
    seconds=5
)  # check-in codes live for 60 s, and several machines must agree
_WECHAT_TOLERANCE: Final = timedelta(seconds=30)  # its header has whole seconds and travels
_WECHAT_SECONDS: Final = 5.0
_LOOPBACK: Final = ("127.", "localhost", "[::1]", "unix:")
_CHINA_OFFSET: Final = timedelta(hours=8)


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at."""

    check: str
    ok: bool
    zh: str
    en: str
    note: bool = False  # nothing is wrong, and somebody should know


@click.command(short_help="检查安装 · Say what is wrong with an installation.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list instead of lines.")
@click.option(
    "--invariants",
    is_flag=True,
    help="Recount places, turns and check-ins from the rows instead, and compare.",
)
@click.pass_context
def doctor(ctx: click.Context, *, as_json: bool, invariants: bool) -> None:
    """检查安装 · Say what is wrong with an installation: settings, secrets, database, data, WeChat, clock.

    One line for each check. Ends with code 1 if any has failed, so that a deployment can stop on it; a note is none. Changes nothing.
    """
    json_logging.configure("ERROR")
    checks = list(_invariants() if invariants else _checks())
    if as_json:
        click.echo(json.dumps([asdict(check) for check in checks], ensure_ascii=False, indent=2))
    else:
        for check in checks:
            verdict = "提示 note  " if check.note else "正常 ok    " if check.ok else "异常 FAILED"
            click.echo(f"{verdict}  {check.zh} {check.en}")
    if not all(check.ok for check in checks):
        ctx.exit(1)


def _checks() -> Iterator[Check]:
    try:
        settings = Settings.from_env()
    except SettingsError as error:
        yield Check("settings", ok=False, zh="设置有误：", en=str(error))
        return
    yield Check("settings", ok=True, zh=f"设置可用（{settings.environment}）。", en="Settings can be used.")
    yield from _secrets(settings)
    yield from _folder(settings)
    yield from _limits(settings)
    yield from _database(settings, _installation)
    yield _wechat(settings)
    yield _wechat_clock(settings)
    yield _time_zone()


def _invariants() -> Iterator[Check]:
    try:
        settings = Settings.from_env()
    except SettingsError as error:
        yield Check("settings", ok=False, zh="设置有误：", en=str(error))
        return
    yield from _database(settings, _recount)


def _secrets(settings: Settings) -> Iterator[Check]:
    is_own = settings.secret_key != DEVELOPMENT_SECRET and len(settings.secret_key) >= _MIN_SECRET_CHARS
    yield _say(
        "secret_key", is_own,
        ("密钥是自己的。", "The secret is your own."),
        (
            "ENGAGE_SECRET_KEY 是默认值或太短。",
            "Use 32 random characters or more, such as: python3 -c 'import secrets; print(secrets.token_urlsafe(32))'",
        ),
    )  # fmt: skip
    yield _say(
        "data_keys", bool(settings.data_keys),
        ("已设置数据密钥。", "Data keys are set."),
        (
            "没有 ENGAGE_DATA_KEYS，手机号只由 ENGAGE_SECRET_KEY 保护，无法单独轮换。",
            "Without data keys, phone numbers hang on the secret alone; set 1:BASE64 of 32 random bytes.",
        ),
    )  # fmt: skip


def _folder(settings: Settings) -> Iterator[Check]:
    file = sqlite_file(settings)
    if file is not None:
        writable = os.access(file.parent, os.W_OK | os.X_OK) and (
            not file.exists() or os.access(file, os.W_OK)
        )
        yield _say(
            "database_folder", writable,
            ("数据库文件夹可写。", "The database's folder can be written."),
            (f"不能写入 {file}。", "SQLite needs to write the file and its folder."),
        )  # fmt: skip


def _limits(settings: Settings) -> Iterator[Check]:
    # Who listens on this machine only has a proxy in front, and all requests would seem to come from it.
    hidden = settings.bind.startswith(_LOOPBACK) and not settings.trusted_proxies
    yield _say(
        "trusted_proxies", not (settings.is_production and hidden),
        ("限流能分辨来源地址。", "Limits can tell addresses apart."),
        (
            "未设置 ENGAGE_TRUSTED_PROXIES，限流和锁定会把代理当作唯一来源。",
            "Set ENGAGE_TRUSTED_PROXIES to the number of your proxies: limits and lock-outs would take the proxy for everybody.",
        ),
    )  # fmt: skip
    if settings.redis_url:
        yield _say(
            "redis", redis_answers(settings),
            ("Redis 可连接。", "Redis answers."),
            ("Redis 无法连接，各进程各自计数。", "Redis does not answer: each worker counts for itself."),
        )  # fmt: skip


def _database(settings: Settings, look: Callable[[Connection, Settings], Iterator[Check]]) -> Iterator[Check]:
    file = sqlite_file(settings)
    if file is not None and not file.exists():
        yield Check("database", ok=False, zh=f"没有数据库 {file}。", en="Run `engage db upgrade`.")
        return
    database = Database(settings)
    try:
        with database.reading() as connection:
            yield from look(connection, settings)
    except SQLAlchemyError as error:
        reason = str(getattr(error, "orig", None) or type(error).__name__).strip().partition("\n")[0]
        yield Check(
            "database", ok=False, zh="数据库无法连接。", en=f"The database cannot be reached: {reason}."
        )
    finally:
        database.dispose()


def _installation(connection: Connection, settings: Settings) -> Iterator[Check]:
    yield from _schema(connection)
    yield _database_clock(connection, settings)


def _recount(connection: Connection, _settings: Settings) -> Iterator[Check]:
    revision = _revision(connection)
    yield revision
    if not revision.ok:
        return
    for found in integrity.examine(connection, clock.now()).checks:
        ids = ", ".join(map(str, found.examples))
        yield _say(
            found.name, not found.violations,
            (f"{found.zh}。", f"Holds: {found.en}."),
            (f"{found.violations} 处不符：{found.zh}。", f"Does not hold: {found.en}; activities {ids}"),
        )  # fmt: skip


def _revision(connection: Connection) -> Check:
    revision, newest = schema.current(connection), schema.head()
    return _say(
        "revision", revision == newest,
        (f"数据库版本 {revision}。", "The database is at the newest revision."),
        (f"数据库版本 {revision or '空'}，应为 {newest}。", "Run `engage db upgrade`."),
    )  # fmt: skip


def _schema(connection: Connection) -> Iterator[Check]:
    yield Check("database", ok=True, zh="数据库可连接。", en="The database answers.")
    revision = _revision(connection)
    yield revision
    if not revision.ok:
        return
    yield _say(
        "drift", not migrations.drift(connection),
        ("数据库结构与程序一致。", "Tables are as the models say."),
        ("数据库结构与程序不一致。", "Tables differ from the models; `engage db check` says where."),
    )  # fmt: skip
    yield _say(
        "reference_data",
        bool(connection.scalar(select(exists(select(Division.code))))) and bool(connection.scalar(select(exists(select(Org.id))))),
        ("已导入行政区划和组织。", "Divisions and organisations are there."),
        ("没有行政区划或组织。", "Run `engage import divisions` and `engage import orgs`."),
    )  # fmt: skip
    yield _say(
        "staff", bool(connection.scalar(select(exists(select(RoleGrant.id))))),
        ("已有人获得角色。", "Somebody holds a role."),
        ("还没有人获得角色。", "Nobody can manage anything yet: `engage grant`."),
    )  # fmt: skip
    yield from _audit_readers(connection)
    yield _sealing(connection)


def _audit_readers(connection: Connection) -> Iterator[Check]:
    grants = and_(in_force(clock.now()), is_active(RoleGrant.person_id))
    if not connection.scalar(select(opened_everywhere(Permission.READ_AUDIT, grants))):
        yield Check(
            "audit_readers", ok=True, note=True, zh="没有人能读审计日志：组织树的根节点上没有审计员或平台管理员。",
            en="Nobody can read the audit log: there is no auditor or platform admin at a root of the tree.",
        )  # fmt: skip


def _sealing(connection: Connection) -> Check:
    since = waiting_since(connection)
    waited = clock.now() - since if since else timedelta()
    return _say(
        "audit_sealing", waited <= LATE,
        ("审计日志已及时封存。", "The audit log is sealed in time."),
        (
            f"审计日志有记录 {waited.total_seconds():.0f} 秒未封存，期间可被删除而不留痕迹。engage worker 在运行吗？",
            "The audit log waits to be sealed, and until then entries could be deleted unnoticed: is `engage worker` running?",
        ),
    )  # fmt: skip


def _database_clock(connection: Connection, settings: Settings) -> Check:
    if settings.is_sqlite:
        return Check(
            "database_clock", ok=True, zh="数据库与本机同一时钟。", en="SQLite has this machine's clock."
        )
    before = clock.now()
    there: datetime = connection.execute(text("SELECT clock_timestamp()")).scalar_one()
    gap = abs(there - before - (clock.now() - before) / 2)
    return _say(
        "database_clock", gap <= _CLOCK_TOLERANCE,
        ("本机与数据库时钟一致。", "This clock agrees with the database's."),
        (
            f"本机时钟与数据库相差 {gap.total_seconds():.0f} 秒。",
            "The clocks of this machine and of the database differ: set up NTP on both.",
        ),
    )  # fmt: skip


def _wechat(settings: Settings) -> Check:
    try:
        WeChatGateway.of(settings, DatabaseTokenStore(Database(settings))).check()
    except WeChatError as error:
        return Check(
            "wechat", ok=False, zh="微信不可用或不接受凭证。",
            en=f"WeChat cannot be reached or refuses appid and secret ({error}).",
        )  # fmt: skip
    return Check(
        "wechat", ok=True, zh="微信可连接，凭证有效。", en="WeChat answers and takes our credentials."
    )


def _wechat_clock(settings: Settings) -> Check:
    """Compare with the clock of somebody else: WeChat's answers carry their date."""
    try:
        with httpx.Client(trust_env=False, timeout=_WECHAT_SECONDS) as client:
            there = parsedate_to_datetime(client.head(settings.wechat_api_base).headers.get("Date", ""))
    except (httpx.HTTPError, httpx.InvalidURL, ValueError):
        return Check(
            "clock",
            ok=False,
            zh="无法与微信比对时钟。",
            en="Nobody to compare the clock with: WeChat did not answer.",
        )
    gap = abs(there.astimezone(UTC) - clock.now())
    return _say(
        "clock", gap <= _WECHAT_TOLERANCE,
        ("本机时钟与微信一致。", "This clock agrees with WeChat's."),
        (f"本机时钟与微信相差 {gap.total_seconds():.0f} 秒。", "This machine's clock is off: set up NTP."),
    )  # fmt: skip


def _time_zone() -> Check:
    try:
        offset = datetime(2026, 7, 1, tzinfo=ZoneInfo("Asia/Shanghai")).utcoffset()
    except (ZoneInfoNotFoundError, ValueError):
        offset = None
    return _say(
        "time_zone", offset == _CHINA_OFFSET,
        ("时区数据可用。", "Time zone data is there."),
        ("缺少时区数据。", "Install the package tzdata."),
    )  # fmt: skip


def _say(name: str, ok: bool, good: tuple[str, str], bad: tuple[str, str]) -> Check:  # noqa: FBT001 - the outcome
    zh, en = good if ok else bad
    return Check(name, ok=ok, zh=zh, en=en)
