"""``engage limits``: who is locked out, and letting them in again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from engage.cli.faults import Fault
from engage.cli.installation import database_at_head
from engage.core import audit, clock, lockout
from engage.core import logging as json_logging
from engage.core.config import Settings

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID


@click.group(short_help="锁定：查看与解除 · Who is locked out, and letting them in again.")
def limits() -> None:
    """锁定：查看与解除 · Who is locked out after too many failed attempts, and letting them in again.

    Each lock ends by itself, at the latest an hour after it began or when its window is over, if that is longer.
    """


def _about_someone(command: Callable[..., Any]) -> Callable[..., Any]:
    address = click.option("--address", help="Where the attempts came from, such as 203.0.113.7.")
    person = click.option("--person", type=click.UUID, help="The id that GET /v1/me shows.")
    return address(person(command))


@limits.command(short_help="列出锁定 · List who is locked out.")
@_about_someone
def show(address: str | None, person: UUID | None) -> None:
    """列出锁定 · List who is locked out now, or all failures that are counted for one address or person.

    engage limits show --address 203.0.113.7
    """
    subject = _subject(address, person)
    now = clock.now()
    with database_at_head(_settings()) as database, database.transaction() as session:
        rows = lockout.counted(session, now, subject)
        for row in rows:
            is_locked = row.locked_until is not None and row.locked_until > now
            until = row.locked_until if is_locked else row.window_ends_at
            state = "已锁定 locked" if is_locked else "计数中 counts"
            click.echo(f"{row.gate:<14} {row.subject:<48} {row.failures:>5}  {state} until {_minute(until)}")
    if not rows:
        click.echo("没有 none")


@limits.command(short_help="解除锁定 · Let somebody in again.")
@_about_someone
@click.option("--gate", help="Only this one, as `engage limits show` names it.")
def unlock(address: str | None, person: UUID | None, gate: str | None) -> None:
    """解除锁定 · Forget the failures of one address or person, at one gate or at all.

    engage limits unlock --address 203.0.113.7 --gate log_in
    """
    subject = _subject(address, person)
    if subject is None:
        raise Fault("请用 --address 或 --person 说明解除谁。", "Say whom: --address or --person.")
    with database_at_head(_settings()) as database, database.transaction() as session:
        gates = lockout.unlock(session, subject, gate)
        about = [person] if person else []
        audit.record(session, clock.now(), "command limits unlock", kind="limits", about=about)
    click.echo(f"已解除 unlocked: {', '.join(gates) or '没有 none'}")


def _subject(address: str | None, person: UUID | None) -> str | None:
    if address is not None and person is not None:
        raise Fault("--address 与 --person 只能给一个。", "Give --address or --person, not both.")
    if person is not None:
        return lockout.person_subject(person)
    subject = lockout.address_subject(address)
    if address is not None and subject is None:
        raise Fault("这不是网络地址。", "This is no network address.")
    return subject


def _minute(instant: Any) -> str:
    return f"{instant.astimezone(clock.SHANGHAI):%Y-%m-%d %H:%M}"


def _settings() -> Settings:
    settings = Settings.from_env()
    json_logging.configure(settings.log_level)
    return settings
