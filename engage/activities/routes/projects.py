"""Operations of projects."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from engage.activities.errors import NoSuchProject, ProjectNameTaken
from engage.activities.queries import projects as queries
from engage.activities.schemas.activity import (
    ProjectEditIn,
    ProjectIn,
    ProjectOut,
    ProjectPage,
    ProjectsQuery,
)
from engage.activities.service import projects as service
from engage.core.errors import NotAllowed
from engage.core.http import Api, public
from engage.core.replies import NO_STORE
from engage.orgs.caller import staff
from engage.orgs.errors import NoSuchOrg

if TYPE_CHECKING:
    from uuid import UUID

    from engage.core.db import Look, Work
    from engage.core.paging import Page

api: Final = Api("项目 · Projects")
_SHORT: Final = "private, no-cache"


@api.operation(
    "GET", "/projects", access=public, zh="项目列表", query=ProjectsQuery, returns=ProjectPage, cache=_SHORT
)
def list_projects(look: Look, query: dict[str, Any]) -> Page:
    """List active projects by name."""
    return queries.list_projects(look, query)


@api.operation(
    "GET",
    "/projects/{project_id}",
    access=public,
    zh="项目详情",
    returns=ProjectOut,
    refuses=[NoSuchProject],
    cache=_SHORT,
)
def read_project(look: Look, project_id: UUID) -> dict[str, Any]:
    """Read a project."""
    return queries.read_project(look, project_id)


@api.operation(
    "POST", "/projects", access=staff, zh="新建项目", body=ProjectIn, returns=ProjectOut, status=201,
    refuses=[NoSuchOrg, NotAllowed, ProjectNameTaken], idempotent=True, location="/projects/{id}",
)  # fmt: skip
def create_project(work: Work, body: dict[str, Any]) -> dict[str, Any]:
    """Create a project."""
    return service.create_project(work, body)


@api.operation(
    "PUT", "/projects/{project_id}", access=staff, zh="修改项目", body=ProjectEditIn, returns=ProjectOut,
    refuses=[NoSuchProject, NoSuchOrg, NotAllowed, ProjectNameTaken], if_match=True, cache=NO_STORE,
)  # fmt: skip
def edit_project(work: Work, project_id: UUID, body: dict[str, Any], version: int | None) -> dict[str, Any]:
    """Replace a project."""
    return service.edit_project(work, project_id, body, version)
