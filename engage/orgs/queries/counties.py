"""Which county answers for a node."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import select
from sqlalchemy.orm import aliased

from engage.orgs.models import Org, OrgPath
from engage.regions.models import Division, DivisionLevel

if TYPE_CHECKING:
    from uuid import UUID

    from sqlalchemy import ColumnElement

    from engage.core.db import Context


def answering_county(org_id: Any) -> ColumnElement[str | None]:
    """Return the county that answers for a node: that of the uppermost in its line which is a county's. What is said below changes nothing."""
    node, path = aliased(Org), aliased(OrgPath)
    return (
        select(node.division_code)
        .join(path, path.ancestor_id == node.id)
        .join(Division, Division.code == node.division_code)
        .where(path.descendant_id == org_id, Division.level == DivisionLevel.COUNTY)
        .order_by(path.depth.desc())
        .limit(1)
        .scalar_subquery()
    )


def is_of_county(look: Context, org_id: UUID, county_code: str) -> bool:
    """Say whether a county's committee answers for a node."""
    return look.db.scalar(select(answering_county(org_id))) == county_code
