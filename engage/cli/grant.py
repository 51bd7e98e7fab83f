"""``engage grant``: the first roles of an installation."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
from sqlalchemy import select

from engage.cli.installation import database_at_head
from engage.core import audit, clock
from engage.core.config import Settings
from engage.core.db import Nobody, Work
from engage.orgs.access import Permission, opened_everywhere, roles_with
from engage.orgs.models import Role, RoleGrant
from engage.orgs.service import grant_role, tell_of_role

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID


@click.command(short_help="授予角色 · Give somebody a role.")
@click.argument("person", type=click.UUID)
@click.argument("role", type=click.Choice([role.value for role in Role]))
@click.option("--org", type=click.UUID, help="Organisation: the role reaches it and all below it.")
@click.option("--hub", type=click.UUID, help="Hub; only for hub_manager.")
@click.option(
    "--ends-at",
    type=click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M"]),
    help="When it ends, Shanghai time; without it the role has no end.",
)
@click.option("--reason", required=True, help="Why, for whoever asks later; kept with the grant.")
def grant(
    person: UUID, role: str, *, org: UUID | None, hub: UUID | None, ends_at: datetime | None, reason: str
) -> None:
    r"""授予角色 · Give PERSON (the id that GET /v1/me shows) a role on an organisation or on a hub, from now on.

    An installation starts with nobody in charge: whoever has this machine gives the first roles.

    \b
    engage grant 0199f0c2-… officer --org 0199f0c3-… --reason "市委文件 12 号"
    engage grant 0199f0c2-… hub_manager --hub 0199f0c4-… --ends-at 2027-12-31 --reason "站点负责人"
    """
    until = ends_at.replace(tzinfo=clock.SHANGHAI) if ends_at else None
    now = clock.now()
    with database_at_head(Settings.from_env()) as database, database.transaction() as session:
        audit.watch(session)
        made = grant_role(
            session, now, person, Role(role), reason=reason, org_id=org, hub_id=hub, ends_at=until
        )
        tell_of_role(Work(session, Nobody(), now, database.settings), made)
        audit.record(session, now, "command grant", kind="people", about=[person, made.id], purpose=reason)
        grant_id = made.id
        reads_audit = session.scalar(
            select(opened_everywhere(Permission.READ_AUDIT, RoleGrant.id == grant_id))
        )
    click.echo(f"已授予 granted: {grant_id}")
    if Role(role) in roles_with(Permission.READ_AUDIT) and not reads_audit:
        click.echo(
            "提示：该角色不在组织树的根节点上，不能读审计日志。Note: below the root of the tree this role does not read the audit log."
        )
