"""``engage person``: stopping an account, and letting it be used again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

from engage.activities.service.release import release_person
from engage.cli.faults import Fault
from engage.cli.installation import database_at_head
from engage.core import audit, clock
from engage.core import logging as json_logging
from engage.core.config import Settings
from engage.core.db import Nobody, Work
from engage.identity.models import PersonStatus
from engage.identity.service import reset_second_factor, set_standing
from engage.orgs.errors import LastAdministrator
from engage.orgs.service import refuse_last_administrator

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from sqlalchemy.orm import Session

_MAX_REASON_CHARS: Final = 200
_COMMANDS: Final = {
    PersonStatus.SUSPENDED: "suspend",
    PersonStatus.CLOSED: "close",
    PersonStatus.ACTIVE: "restore",
}


@click.group(
    short_help="停用、注销、恢复账号，重置二次验证 · Suspend, close, restore an account; reset a second factor."
)
def person() -> None:
    """停用、注销、恢复账号，重置二次验证 · Suspend, close or restore an account; reset its second factor.

    What somebody holds in activities to come goes to whoever is next; what has been stays. Their sessions end at once. Each may be repeated.
    """


def _reason(_context: click.Context, _parameter: click.Parameter, value: str) -> str:
    text = value.strip()
    if not 1 <= len(text) <= _MAX_REASON_CHARS:
        raise click.BadParameter(f"1-{_MAX_REASON_CHARS}")
    return text


def _about_someone(command: Callable[..., Any]) -> Callable[..., Any]:
    reason = click.option(
        "--reason",
        required=True,
        callback=_reason,
        help="Why, for whoever asks later; kept in the log, so write no names.",
    )
    return click.argument("person_id", type=click.UUID)(reason(command))


_even_the_last = click.option(
    "--even-the-last-administrator",
    is_flag=True,
    help="Also when a node is then left without an administrator; engage grant makes the next one.",
)


@person.command(short_help="停用账号 · Suspend an account.")
@_about_someone
@_even_the_last
def suspend(person_id: UUID, reason: str, *, even_the_last_administrator: bool) -> None:
    """停用账号 · Suspend the account of PERSON_ID (the id that GET /v1/me shows) until it is restored.

    engage person suspend 0199f0c2-… --reason "市委文件 12 号"
    """
    _stop(person_id, PersonStatus.SUSPENDED, reason, even_the_last=even_the_last_administrator)


@person.command(short_help="注销账号 · Close an account.")
@_about_someone
@_even_the_last
def close(person_id: UUID, reason: str, *, even_the_last_administrator: bool) -> None:
    """注销账号 · Close the account of PERSON_ID (the id that GET /v1/me shows), as its owner asked for.

    engage person close 0199f0c2-… --reason "本人书面申请"
    """
    _stop(person_id, PersonStatus.CLOSED, reason, even_the_last=even_the_last_administrator)


@person.command(short_help="恢复账号 · Restore an account.")
@_about_someone
def restore(person_id: UUID, reason: str) -> None:
    """恢复账号 · Let the account of PERSON_ID be used again. They log in anew; places that were freed do not come back.

    engage person restore 0199f0c2-… --reason "申诉成立"
    """
    with database_at_head(_settings()) as database, database.transaction() as session:
        _set(session, database.settings, person_id, PersonStatus.ACTIVE, reason)
    click.echo(f"已恢复 restored: {person_id}")


@person.command("reset-second-factor", short_help="重置二次验证 · Reset a second factor.")
@_about_someone
def reset_factor(person_id: UUID, reason: str) -> None:
    """重置二次验证 · Forget the second factor of PERSON_ID, who has lost phone and recovery codes; they enrol anew. Make sure that it is they who ask.

    No session of theirs is privileged any more, and a message tells them.

    engage person reset-second-factor 0199f0c2-… --reason "本人到场，核验身份证"
    """
    with database_at_head(_settings()) as database, database.transaction() as session:
        audit.watch(session)
        work = Work(session, Nobody(), clock.now(), database.settings)
        was_there = reset_second_factor(work, person_id)
        command = "command person reset-second-factor"
        audit.record(session, work.now, command, kind="people", about=[person_id], purpose=reason)
    click.echo(f"已重置 reset: {person_id}" if was_there else f"没有启用 has none: {person_id}")


def _stop(person_id: UUID, status: PersonStatus, reason: str, *, even_the_last: bool) -> None:
    with database_at_head(_settings()) as database:
        with database.transaction() as session:
            if not even_the_last:
                _refuse_last_administrator(Work(session, Nobody(), clock.now(), database.settings), person_id)
            _set(session, database.settings, person_id, status, reason)
        # Only now: who is stopped joins nothing more, and what they joined before is seen. A request that is under way is the worker's.
        with database.transaction() as session:
            freed = release_person(Work(session, Nobody(), clock.now(), database.settings), person_id)
    click.echo(f"已停止 {status}: {person_id}；释放报名 sign-ups freed: {freed}")


def _refuse_last_administrator(work: Work, person_id: UUID) -> None:
    try:
        refuse_last_administrator(work, person_id)
    except LastAdministrator:
        raise Fault(
            "此人管理的组织没有任期同样长的另一位平台管理员。请先用 engage grant 授权一位，或加上 --even-the-last-administrator。",
            "Nobody else administers this person's organisation for as long. Make somebody its administrator first (engage grant), "
            "or say --even-the-last-administrator.",
        ) from None


def _set(session: Session, settings: Settings, person_id: UUID, status: PersonStatus, reason: str) -> None:
    audit.watch(session)
    work = Work(session, Nobody(), clock.now(), settings)
    set_standing(work, person_id, status, reason)
    command = f"command person {_COMMANDS[status]}"
    audit.record(session, work.now, command, kind="people", about=[person_id], purpose=reason)


def _settings() -> Settings:
    settings = Settings.from_env()
    json_logging.configure(settings.log_level)
    return settings
