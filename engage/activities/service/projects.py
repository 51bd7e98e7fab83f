"""Projects: created and edited by officers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from sqlalchemy import exists, select, update

from engage.activities.access import project_to_manage
from engage.activities.errors import ProjectNameTaken
from engage.activities.models import Activity, ActivityStatus, Project
from engage.activities.queries.projects import read_project
from engage.orgs.access import org_to_manage

if TYPE_CHECKING:
    from engage.core.db import Work


def create_project(work: Work, body: dict[str, Any]) -> dict[str, Any]:
    """Create a project of an organisation.

    Raises:
        NoSuchOrg, NotAllowed: the caller is no officer of the organisation.
        ProjectNameTaken: names are unique.

    """
    org = org_to_manage(work, body["org_id"])
    _refuse_taken(work, body["name"], None)
    project = Project(
        name=body["name"],
        summary=body["summary"],
        org_id=org.id,
        daily_limit=body["daily_limit"],
        weekly_limit=body["weekly_limit"],
        created_at=work.now,
    )
    work.session.add(project)
    work.session.flush()
    return read_project(work, project.id)


def edit_project(work: Work, project_id: UUID, body: dict[str, Any], version: int | None) -> dict[str, Any]:
    """Replace a project. New limits count for who signs up from now on.

    Raises:
        NoSuchProject, NoSuchOrg, NotAllowed: not the caller's to manage.
        ProjectNameTaken: names are unique.
        VersionConflict: somebody was faster.

    """
    project = project_to_manage(work, project_id)
    project.accept_version(version)
    if body["org_id"] != project.org_id:
        project.org_id = org_to_manage(work, body["org_id"]).id
    _refuse_taken(work, body["name"], project_id)
    if (project.daily_limit, project.weekly_limit) != (body["daily_limit"], body["weekly_limit"]):
        _renew_rules(work, project_id)
    project.name, project.summary, project.status = body["name"], body["summary"], body["status"]
    project.daily_limit, project.weekly_limit = body["daily_limit"], body["weekly_limit"]
    work.session.flush()
    return read_project(work, project_id)


def _renew_rules(work: Work, project_id: UUID) -> None:
    """Make nobody be let in by the limits that were: who joins names the version of the activity whose rules they met.

    The rows are locked in the order of their ids, as by everybody who locks several.
    """
    ahead = (
        select(Activity.id)
        .where(
            Activity.project_id == project_id,
            Activity.status == ActivityStatus.PUBLISHED,
            Activity.ends_at > work.now,
        )
        .order_by(Activity.id)
        .with_for_update(key_share=True)
    )
    locked = work.session.scalars(ahead).all()
    work.session.execute(
        update(Activity)
        .where(Activity.id.in_(locked))
        .values(version=Activity.version + 1)
        .execution_options(synchronize_session=False)
    )


def _refuse_taken(work: Work, name: str, but: UUID | None) -> None:
    if work.session.scalar(
        select(exists().where(Project.name == name, Project.id != but if but else Project.id.is_not(None)))
    ):
        raise ProjectNameTaken
