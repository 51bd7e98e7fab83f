"""Reads of projects."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from sqlalchemy import select

from engage.activities.errors import NoSuchProject
from engage.activities.models import Project, ProjectStatus
from engage.core.paging import Page, Pager, beyond
from engage.orgs.models import Org

if TYPE_CHECKING:
    from engage.core.db import Context


def _columns() -> Any:
    return select(
        Project.id,
        Project.name,
        Project.summary,
        Project.status,
        Project.org_id,
        Org.name.label("org_name"),
        Project.daily_limit,
        Project.weekly_limit,
        Project.version,
    ).join(Org, Org.id == Project.org_id)


def _project(row: Any) -> dict[str, Any]:
    project_id, name, summary, status, org_id, org, daily_limit, weekly_limit, version = row
    return {
        "id": project_id,
        "name": name,
        "summary": summary,
        "status": status,
        "org": {"id": org_id, "name": org},
        "daily_limit": daily_limit,
        "weekly_limit": weekly_limit,
        "version": version,
    }


def list_projects(look: Context, query: dict[str, Any]) -> Page:
    """Return active projects by name."""
    pager = Pager(look.settings, "projects", query)
    statement = _columns().where(Project.status == ProjectStatus.ACTIVE)
    if query["q"]:
        statement = statement.where(Project.name.icontains(query["q"], autoescape=True))
    after = pager.after()
    if after:
        statement = statement.where(beyond([Project.name, Project.id], after))
    rows = look.db.execute(statement.order_by(Project.name, Project.id).limit(query["limit"] + 1)).all()
    return pager.page([_project(row) for row in rows], lambda item: [item["name"], item["id"]])


def read_project(look: Context, project_id: UUID) -> dict[str, Any]:
    """Return one project, archived or not.

    Raises:
        NoSuchProject: there is none.

    """
    row = look.db.execute(_columns().where(Project.id == project_id)).one_or_none()
    if row is None:
        raise NoSuchProject
    return _project(row)
