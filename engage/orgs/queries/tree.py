"""Reads of the organisation tree and clusters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import and_, func, select
from sqlalchemy.orm import aliased

from engage.core.paging import Page, Pager, beyond
from engage.orgs.errors import NoSuchCluster, NoSuchOrg
from engage.orgs.models import Cluster, ClusterMember, Org, OrgKind, OrgPath, OrgStatus
from engage.regions.models import digits_of

if TYPE_CHECKING:
    from uuid import UUID

    from sqlalchemy import ColumnElement
    from sqlalchemy.orm import InstrumentedAttribute

    from engage.core.db import Context

KINDS_AT_MOST: Final = 200
MEMBERS_AT_MOST: Final = 100

_below = aliased(Org)
_CHILDREN: Final = (
    select(func.count())
    .select_from(_below)
    .where(_below.parent_id == Org.id, _below.status == OrgStatus.ACTIVE)
    .scalar_subquery()
    .label("children_count")
)
_MEMBERS: Final = (
    select(func.count())
    .select_from(ClusterMember)
    .where(ClusterMember.cluster_id == Cluster.id)
    .scalar_subquery()
    .label("members_count")
)
_ORG_COLUMNS: Final = (
    Org.id,
    Org.name,
    Org.kind_code.label("kind"),
    OrgKind.name_zh.label("kind_name"),
    Org.parent_id,
    Org.division_code,
    Org.status,
    _CHILDREN,
)
_CLUSTER_COLUMNS: Final = (Cluster.id, Cluster.name, Cluster.kind, Cluster.division_code, _MEMBERS)


def list_kinds(look: Context) -> list[Any]:
    """Return the kinds of organisations by code: rows of code, name_zh, name_en."""
    columns = (OrgKind.code, OrgKind.name_zh, OrgKind.name_en)
    return [*look.db.execute(select(*columns).order_by(OrgKind.code).limit(KINDS_AT_MOST))]


def in_division(division_code: InstrumentedAttribute[Any], code: str) -> ColumnElement[bool]:
    """Return the condition that a column holds a division's code or that of one below it."""
    prefix = digits_of(code)
    # A range of digits, not LIKE: it uses the index whatever the database's collation.
    return and_(division_code >= prefix, division_code < str(int(prefix) + 1))


def list_orgs(look: Context, query: dict[str, Any]) -> Page:
    """Return organisations by name: the roots, or those that match every given filter."""
    pager = Pager(look.settings, "orgs", query)
    statement = (
        select(*_ORG_COLUMNS)
        .join(OrgKind, OrgKind.code == Org.kind_code)
        .where(Org.status == query["status"], *_org_filters(query))
    )
    after = pager.after()
    if after:
        statement = statement.where(beyond([Org.name, Org.id], after))
    rows = look.db.execute(statement.order_by(Org.name, Org.id).limit(query["limit"] + 1)).all()
    return pager.page(rows, lambda row: [row.name, row.id])


def _org_filters(query: dict[str, Any]) -> list[ColumnElement[bool]]:
    filters: list[ColumnElement[bool]] = []
    if query["parent_id"]:
        filters.append(Org.parent_id == query["parent_id"])
    if query["kind"]:
        filters.append(Org.kind_code == query["kind"])
    if query["division"]:
        filters.append(in_division(Org.division_code, query["division"]))
    if query["q"]:
        filters.append(Org.name.icontains(query["q"], autoescape=True))
    if query["cluster_id"]:
        members = select(ClusterMember.org_id).where(ClusterMember.cluster_id == query["cluster_id"])
        filters.append(Org.id.in_(members))
    return filters or [Org.parent_id.is_(None)]


def read_org(look: Context, org_id: UUID) -> dict[str, Any]:
    """Return one organisation with its path from the root and its clusters.

    Raises:
        NoSuchOrg: there is none.

    """
    row = look.db.execute(
        select(*_ORG_COLUMNS, OrgKind.name_en.label("kind_name_en"), Org.established_on, Org.version)
        .join(OrgKind, OrgKind.code == Org.kind_code)
        .where(Org.id == org_id)
    ).one_or_none()
    if row is None:
        raise NoSuchOrg
    return {**row._mapping, "path": _path(look, org_id), "clusters": _clusters(look, org_id)}  # noqa: SLF001 - the public name of a row's mapping


def _path(look: Context, org_id: UUID) -> list[Any]:
    return [
        *look.db.execute(
            select(Org.id, Org.name)
            .join(OrgPath, OrgPath.ancestor_id == Org.id)
            .where(OrgPath.descendant_id == org_id)
            .order_by(OrgPath.depth.desc())
        )
    ]


def _clusters(look: Context, org_id: UUID) -> list[Any]:
    return [
        *look.db.execute(
            select(Cluster.id, Cluster.name)
            .join(ClusterMember, ClusterMember.cluster_id == Cluster.id)
            .where(ClusterMember.org_id == org_id)
            .order_by(Cluster.name, Cluster.id)
        )
    ]


def list_clusters(look: Context, query: dict[str, Any]) -> Page:
    """Return clusters by name, all or those of a kind or a division."""
    pager = Pager(look.settings, "clusters", query)
    statement = select(*_CLUSTER_COLUMNS)
    if query["kind"]:
        statement = statement.where(Cluster.kind == query["kind"])
    if query["division"]:
        statement = statement.where(in_division(Cluster.division_code, query["division"]))
    after = pager.after()
    if after:
        statement = statement.where(beyond([Cluster.name, Cluster.id], after))
    rows = look.db.execute(statement.order_by(Cluster.name, Cluster.id).limit(query["limit"] + 1)).all()
    return pager.page(rows, lambda row: [row.name, row.id])


def read_cluster(look: Context, cluster_id: UUID) -> dict[str, Any]:
    """Return one cluster with its first members by name.

    Raises:
        NoSuchCluster: there is none.

    """
    row = look.db.execute(select(*_CLUSTER_COLUMNS).where(Cluster.id == cluster_id)).one_or_none()
    if row is None:
        raise NoSuchCluster
    members = look.db.execute(
        select(Org.id, Org.name)
        .join(ClusterMember, ClusterMember.org_id == Org.id)
        .where(ClusterMember.cluster_id == cluster_id)
        .order_by(Org.name, Org.id)
        .limit(MEMBERS_AT_MOST)
    )
    return {**row._mapping, "members": [*members]}  # noqa: SLF001 - the public name of a row's mapping
