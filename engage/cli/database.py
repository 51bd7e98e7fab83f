"""``engage db``: the schema of the database."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import click
from alembic.util import CommandError
from sqlalchemy import text

import engage.tables  # noqa: F401 - every table, for the comparison
from engage.cli.faults import Fault
from engage.cli.installation import open_database
from engage.core import migrations, schema
from engage.core.config import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection

_MIGRATION_LOCK: Final = 7_153_466_211


@click.group(short_help="数据库结构：升级、降级、核对 · Migrate and check the database.")
def db() -> None:
    """数据库结构：升级、降级、核对 · Migrate and check the database of ENGAGE_DATABASE_URL."""


@db.command(short_help="升级到最新版本 · Migrate to the newest revision.")
def upgrade() -> None:
    """升级到最新版本，数据库不存在时新建 SQLite 文件 · Migrate to the newest revision.

    Makes the SQLite file if there is none. Safe to repeat; two runs at the same time wait for each other.
    """
    before = bring_to_head(Settings.from_env())
    click.echo(f"{before or 'base'} -> {schema.head()}")


@db.command(short_help="退回到某个版本 · Migrate down to a revision.")
@click.argument("revision")
@click.confirmation_option(prompt="退回会删除数据，继续吗？ Going back deletes data. Continue?")
def downgrade(revision: str) -> None:
    """退回到 REVISION，如 0007，base 为清空 · Migrate down to REVISION, such as 0007; `base` empties everything.

    Tables and columns that newer revisions added are dropped with their contents. Asks first; --yes does not.
    """
    with _migrating(Settings.from_env()) as connection:
        before = schema.current(connection)
        migrations.downgrade(connection, revision)
        after = schema.current(connection)
    click.echo(f"{before or 'base'} -> {after or 'base'}")


@db.command(short_help="核对版本和结构 · Check revision and structure.")
def check() -> None:
    """核对数据库是否为最新版本、结构是否与程序一致 · Check that the database is what this release needs.

    Ends with code 1 when it is not at the newest revision, or when its tables differ from the models.
    """
    with open_database(Settings.from_env()) as database, database.reading() as connection:
        revision, differences = schema.current(connection), migrations.drift(connection)
    if revision != schema.head():
        raise Fault(
            f"数据库版本 {revision or '空'}，应为 {schema.head()}，请运行 engage db upgrade。",
            f"At {revision or 'nothing'}, should be {schema.head()}: run `engage db upgrade`.",
        )
    if differences:
        raise Fault("数据库结构与程序不一致：", f"the tables differ from the models: {differences[0]}")
    click.echo(f"{revision}: 一致 in order")


def bring_to_head(settings: Settings) -> str | None:
    """Migrate to the newest revision, making a SQLite file that is not there; return the revision before."""
    with _migrating(settings) as connection:
        before = schema.current(connection)
        migrations.upgrade(connection)
    return before


@contextmanager
def _migrating(settings: Settings) -> Iterator[Connection]:
    with open_database(settings, may_create=True) as database, database.writer.connect() as connection:
        if not settings.is_sqlite:
            # One migration at a time, and no limit on how long a big table may take.
            connection.execute(text("SET statement_timeout = 0"))
            connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": _MIGRATION_LOCK})
            connection.commit()
        try:
            yield connection
        except CommandError as error:
            raise Fault("无法迁移：", f"cannot migrate: {error}.") from error
        connection.commit()
        if not settings.is_sqlite:
            connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": _MIGRATION_LOCK})
            connection.execute(text("RESET statement_timeout"))
            connection.commit()
