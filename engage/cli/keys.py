"""``engage keys``: the keys that sign access tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from engage.cli.installation import database_at_head
from engage.core import audit, clock
from engage.core import logging as json_logging
from engage.core.config import Settings
from engage.core.db import Nobody, Work
from engage.identity.service import retire_key, rotate_keys
from engage.identity.tokens.signing import ALWAYS, NEVER, keys_of, rows_of

if TYPE_CHECKING:
    from datetime import datetime

    from engage.identity.tokens.signing import Key


@click.group(short_help="签名密钥 · The keys that sign access tokens.")
def keys() -> None:
    """签名密钥 · List, change and retire the keys that sign access tokens.

    The first one is derived from ENGAGE_SECRET_KEY. None of these commands logs anybody out, and no process has to be started again: each
    reads of a change within ten seconds.
    """


@keys.command("list", short_help="列出签名密钥 · List the signing keys.")
def list_keys() -> None:
    """列出签名密钥 · List the signing keys, oldest first, with what each does now: signs, will sign, verifies until, retired.

    engage keys list
    """
    settings = _settings()
    with database_at_head(settings) as database, database.reading() as connection:
        every = keys_of(rows_of(connection), settings).values()
    found = [key for key in every if key.signs_from != NEVER]
    now = clock.now()
    signer = max((key for key in found if key.signs_from <= now and key.verifies(now)), key=_since)
    for key in sorted(found, key=_since):
        since = "ENGAGE_SECRET_KEY" if key.signs_from == ALWAYS else _minute(key.signs_from)
        click.echo(f"{key.kid}  {key.algorithm:<6} {since:<18} {_state(key, signer, now)}")


def _since(key: Key) -> datetime:
    return key.signs_from


def _minute(instant: datetime) -> str:
    return f"{instant.astimezone(clock.SHANGHAI):%Y-%m-%d %H:%M}"


def _state(key: Key, signer: Key, now: datetime) -> str:
    if key is signer:
        return "签名中 signs"
    if not key.verifies(now):
        return "已停用 retired"
    if key.signs_from > now:
        return "即将启用 will sign"
    until = f" until {_minute(key.verifies_until)}" if key.verifies_until else ""
    return f"仅验证 verifies{until}"


@keys.command(short_help="更换签名密钥 · Make a new signing key.")
def rotate() -> None:
    """更换签名密钥 · Make a new key of the algorithm that ENGAGE_TOKEN_ALGORITHM names. It signs from half a minute on.

    The one before verifies for as long as tokens that it signed live. Once or twice a year is enough.
    """
    settings = _settings()
    with database_at_head(settings) as database, database.transaction() as session:
        audit.watch(session)
        kid = rotate_keys(Work(session, Nobody(), clock.now(), settings))
        audit.record(session, clock.now(), "command keys rotate", kind="signing-keys")
    click.echo(f"已生成 made: {kid}")


@keys.command(short_help="立即停用签名密钥 · Retire a signing key at once.")
@click.argument("kid")
def retire(kid: str) -> None:
    """立即停用签名密钥 · Let the key KID verify nothing from now on, for a leak. Where it signed, a new one does at once.

    Tokens it signed count as expired; clients get others with their refresh tokens, and nobody logs in again. If ENGAGE_SECRET_KEY itself
    leaked, change that too: cursors and refresh tokens hang on it.

    engage keys retire 3f9a0c5b7d21e864
    """
    settings = _settings()
    with database_at_head(settings) as database, database.transaction() as session:
        audit.watch(session)
        made = retire_key(Work(session, Nobody(), clock.now(), settings), kid)
        audit.record(session, clock.now(), "command keys retire", kind="signing-keys")
    click.echo(f"已停用 retired: {kid}" + (f"；新密钥 signs now: {made}" if made else ""))


def _settings() -> Settings:
    settings = Settings.from_env()
    json_logging.configure(settings.log_level)
    return settings
