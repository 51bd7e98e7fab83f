"""``engage access``: why somebody may do something, or may not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import click

import engage.app  # noqa: F401 - every feature says how its objects stand in the tree
from engage.cli.installation import database_at_head
from engage.core import clock
from engage.core.config import Settings
from engage.core.db import Look, Nobody
from engage.identity.models import PersonStatus
from engage.orgs.access import PLACES, Permission
from engage.orgs.queries.permissions import explain as explained

if TYPE_CHECKING:
    from datetime import datetime

_ID_KINDS: Final = ", ".join(sorted(PLACES))


@click.group(short_help="查权限 · Say why somebody may do something, or may not.")
def access() -> None:
    """查权限 · Say why somebody may do something, or may not."""


def _object(
    _context: click.Context, _parameter: click.Parameter, value: str | None
) -> tuple[str, UUID] | None:
    if value is None:
        return None
    kind, _, text = value.partition(":")
    if kind not in PLACES:
        raise click.BadParameter(f"KIND:ID; KIND: {_ID_KINDS}")
    try:
        return kind, UUID(text)
    except ValueError:
        raise click.BadParameter(f"{kind}:ID (UUID)") from None


@access.command(short_help="解释一项权限 · Explain a decision.")
@click.option("--user", type=click.UUID, required=True, help="Person: the id that GET /v1/me shows.")
@click.option("--permission", type=click.Choice([each.value for each in Permission]), required=True)
@click.option(
    "--object",
    "about",
    callback=_object,
    help=f"KIND:ID, KIND one of {_ID_KINDS}; without it: the whole installation.",
)
def explain(user: UUID, permission: str, about: tuple[str, UUID] | None) -> None:
    r"""解释一项权限 · Print whether a person has a permission on an object, and what each of their grants does for it.

    The same conditions decide here as in the service.

    \b
    engage access explain --user 0199f0c2-… --permission read_people --object activity:0199f0c5-…
    """
    with database_at_head(Settings.from_env()) as database, database.reading() as connection:
        look = Look(connection, Nobody(), clock.now(), database)
        kind, object_id = about or (None, None)
        found = explained(look, user, Permission(permission), kind, object_id)
    click.echo("可以 yes" if found.allowed else "不可以 no")
    if found.path:
        click.echo("对象所在 the object stands at: " + " > ".join(found.path))
    if not found.visible:
        click.echo(
            "该对象对此人不可见（如草稿、已关闭）the person may not see the object: it is a draft, say, or closed"
        )
    if found.status is not PersonStatus.ACTIVE:
        click.echo(f"账号不可用 the account is {found.status}: 任何授权都不生效 no grant counts")
    if not found.grants:
        click.echo("没有任何授权 no grant at all")
    for grant in found.grants:
        click.echo(f"- {grant.role} @ {grant.place} ({grant.id}): {_verdict(grant, look.now)}")


def _verdict(grant: Any, now: datetime) -> str:
    return "; ".join((_about_time(grant, now), _about_object(grant)))


def _about_time(grant: Any, now: datetime) -> str:
    if grant.in_force:
        return "有效 in force"
    if grant.ended_at is not None:
        return f"已提前结束 ended on {grant.ended_at:%Y-%m-%d %H:%M}"
    if grant.starts_at > now:
        return f"尚未开始 begins on {grant.starts_at:%Y-%m-%d %H:%M}"
    return f"已到期 expired on {grant.ends_at:%Y-%m-%d %H:%M}"


def _about_object(grant: Any) -> str:
    if grant.opens:
        return "可及该对象 reaches the object"
    if grant.out_of_time:
        return "站点相符，但不在可查看的时间内 reaches its hub, outside the time in which people are shown"
    if not grant.has_role:
        return "此角色没有这项权限 the role has no such permission"
    return "对象不在其范围内 the object is elsewhere in the tree"
