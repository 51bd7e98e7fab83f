"""Making, editing and moving nodes of the tree."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import Uuid, delete, exists, func, insert, inspect, literal, select, union_all
from sqlalchemy.orm import aliased

from engage.core.errors import InvalidInput, Issue
from engage.orgs.access import org_to_manage, require_around
from engage.orgs.errors import (
    NoSuchOrgKind,
    OrgBelowItself,
    OrgHasChildren,
    OrgNotActive,
    OrgTooDeep,
)
from engage.orgs.models import MAX_LEVELS, Cluster, ClusterMember, Org, OrgKind, OrgPath, OrgStatus
from engage.orgs.service.divisions import refuse_misfit, set_division

if TYPE_CHECKING:
    from uuid import UUID

    from sqlalchemy.orm import Session

    from engage.core.db import Work


def create_org(work: Work, body: dict[str, Any]) -> Org:
    """Make a node below one that the caller manages.

    Args:
        work: the caller's transaction.
        body: as ``OrgIn`` loads it.

    Raises:
        NoSuchOrg: there is no such parent.
        NotAllowed: the caller does not manage it, or for a division the nearest node above that has one.
        OrgNotActive: the parent is merged or dissolved.
        NoSuchOrgKind: there is no such kind.
        OrgTooDeep: the tree would have too many levels.
        InvalidInput: a division or cluster does not exist, or the division lies outside those above.

    """
    parent = org_to_manage(work, body["parent_id"])
    _refuse_inactive(parent)
    org = Org(
        name=body["name"],
        kind_code=_kind(work, body["kind"]),
        established_on=body["established_on"],
        created_at=work.now,
    )
    set_division(work, org, body["division_code"])
    place(work.session, org, parent)
    if org.division_code is not None:
        require_around(work, org)
        refuse_misfit(work, org, exempt=False)
    _set_clusters(work, org, body["cluster_ids"])
    return org


def change_org(work: Work, org_id: UUID, body: dict[str, Any], version: int | None) -> Org:
    """Replace what a node says about itself, and move it if its parent is another one now.

    Args:
        work: the caller's transaction.
        org_id: the node.
        body: as ``OrgChangeIn`` loads it.
        version: the one that the caller read; None accepts any.

    Raises:
        NoSuchOrg: there is no such node or new parent.
        NotAllowed: the caller does not manage the node, for a move its old and its new parent, or for another division the nearest
            node above that has one.
        VersionConflict: somebody changed it meanwhile.
        OrgNotActive: it would be active below a node that is not.
        OrgHasChildren: it would be closed above nodes that are active.
        OrgBelowItself: it would stand below itself.
        NoSuchOrgKind: there is no such kind.
        OrgTooDeep: the tree would have too many levels.
        InvalidInput: a division or cluster does not exist, the division does not fit those above and below, or only one of the old
            and new parent is null.

    """
    org = org_to_manage(work, org_id, lock=True)
    org.accept_version(version)
    kind, division, parent_id = org.kind_code, org.division_code, org.parent_id
    org.name = body["name"]
    org.kind_code = _kind(work, body["kind"])
    if body["division_code"] != org.division_code:
        set_division(work, org, body["division_code"])
    org.established_on = body["established_on"]
    org.status = body["status"]
    if body["parent_id"] != parent_id:
        _move(work, org, body["parent_id"])
    _check_division(work, org, kind, division, parent_id)
    _check_status(work, org)
    _set_clusters(work, org, body["cluster_ids"])
    return org


def _move(work: Work, org: Org, parent_id: UUID | None) -> None:
    if parent_id is None or org.parent_id is None:
        raise InvalidInput(Issue("/parent_id", "null" if parent_id is None else "invalid"))
    # Both sides decide: an officer of the node alone can neither leave the superior nor choose another.
    org_to_manage(work, org.parent_id)
    place(work.session, org, org_to_manage(work, parent_id))


def _check_division(work: Work, org: Org, kind: str, division: str | None, parent_id: UUID | None) -> None:
    """Hold the tree while a change of what a node was is compared with it."""
    is_stated = (org.kind_code, org.division_code) != (kind, division)
    if not is_stated and org.parent_id == parent_id:
        return
    work.session.flush()
    _hold_tree(work.session, exclusive=True)
    if org.division_code != division:
        require_around(work, org)
    refuse_misfit(work, org, exempt=not is_stated)


def _check_status(work: Work, org: Org) -> None:
    if org.status is OrgStatus.ACTIVE:
        if org.parent_id is not None:
            _refuse_inactive(work.session.get_one(Org, org.parent_id))
        return
    count = work.session.scalar(
        select(func.count()).select_from(Org).where(Org.parent_id == org.id, Org.status == OrgStatus.ACTIVE)
    )
    if count:
        raise OrgHasChildren(count=count)


def _refuse_inactive(org: Org) -> None:
    if org.status is not OrgStatus.ACTIVE:
        raise OrgNotActive


def _kind(work: Work, code: str) -> str:
    if work.session.get(OrgKind, code) is None:
        raise NoSuchOrgKind
    return code


def _set_clusters(work: Work, org: Org, cluster_ids: list[UUID]) -> None:
    known = set(work.session.scalars(select(Cluster.id).where(Cluster.id.in_(cluster_ids))))
    unknown = [index for index, cluster_id in enumerate(cluster_ids) if cluster_id not in known]
    if unknown:
        raise InvalidInput(*(Issue(f"/cluster_ids/{index}", "no_such_object") for index in unknown))
    work.session.execute(delete(ClusterMember).where(ClusterMember.org_id == org.id))
    if cluster_ids:
        rows = [{"cluster_id": cluster_id, "org_id": org.id} for cluster_id in cluster_ids]
        work.session.execute(insert(ClusterMember), rows)


def place(session: Session, org: Org, parent: Org | None) -> None:
    """Put a new node below a parent (None: as a root), or move an existing one with all that is below it.

    The only writer of ``parent_id`` and of the closure table.

    Raises:
        OrgBelowItself: the parent is the node itself or below it.
        OrgTooDeep: the tree would have too many levels.

    """
    is_new = not inspect(org).persistent
    _hold_tree(session, exclusive=not is_new)
    if not is_new and parent is not None and _is_above(session, org, parent):
        raise OrgBelowItself
    org.parent_id = parent.id if parent else None
    session.add(org)
    session.flush()
    if is_new:
        _enter(session, org, parent)
    else:
        _transplant(session, org, parent)
    deepest = session.scalar(
        select(func.max(OrgPath.depth)).where(
            OrgPath.descendant_id.in_(select(OrgPath.descendant_id).where(OrgPath.ancestor_id == org.id))
        )
    )
    if deepest is not None and deepest >= MAX_LEVELS:
        raise OrgTooDeep(max=MAX_LEVELS)


def _hold_tree(session: Session, *, exclusive: bool) -> None:
    """Let new nodes pass each other, but nothing pass a move: it would copy a path that is being rewritten.

    The roots stand for the tree; SQLite has one writer anyway and ignores the lock.
    """
    session.execute(
        select(Org.id)
        .where(Org.parent_id.is_(None))
        .order_by(Org.id)
        .with_for_update(read=not exclusive, key_share=exclusive)
    ).all()


def _is_above(session: Session, org: Org, other: Org) -> bool:
    path = select(OrgPath).where(OrgPath.ancestor_id == org.id, OrgPath.descendant_id == other.id)
    return bool(session.scalar(select(exists(path))))


_COLUMNS = ("ancestor_id", "descendant_id", "depth")


def _enter(session: Session, org: Org, parent: Org | None) -> None:
    itself = literal(org.id, Uuid())
    rows = select(itself, itself, literal(0))
    above = select(OrgPath.ancestor_id, itself, OrgPath.depth + 1)
    lines = union_all(rows, above.where(OrgPath.descendant_id == parent.id)) if parent else rows
    session.execute(insert(OrgPath).from_select(_COLUMNS, lines))


def _transplant(session: Session, org: Org, parent: Org | None) -> None:
    subtree = select(OrgPath.descendant_id).where(OrgPath.ancestor_id == org.id)
    session.execute(
        delete(OrgPath)
        .where(OrgPath.descendant_id.in_(subtree), OrgPath.ancestor_id.not_in(subtree))
        .execution_options(synchronize_session=False)
    )
    if parent is None:
        return
    upper, lower = aliased(OrgPath), aliased(OrgPath)
    pairs = (
        select(upper.ancestor_id, lower.descendant_id, upper.depth + lower.depth + 1)
        .join(lower, lower.ancestor_id == org.id)
        .where(upper.descendant_id == parent.id)
    )
    session.execute(insert(OrgPath).from_select(_COLUMNS, pairs))
