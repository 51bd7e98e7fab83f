"""Whose participation a caller may see in figures."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engage.activities.models import Activity
from engage.orgs.access import Permission, permitted, require_everywhere

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement

    from engage.core.db import Context


def countable(look: Context) -> ColumnElement[bool]:
    """Return the condition that an activity is in the caller's figures.

    True where the caller reads figures of the activity's organisation, or holds the hub it takes place at. Of these numbers
    nothing is hidden; what others may be told of them is in ``queries.counties``.
    """
    return permitted(look, Permission.READ_FIGURES, Activity.org_id, Activity.hub_id)


def require_whole(look: Context) -> None:
    """Refuse a reader of what is about the whole installation, in counts: it is for ops and for whoever answers for all of it.

    Raises:
        NotAllowed: the caller reads no figures of a tree from its root.

    """
    require_everywhere(look, Permission.READ_INTEGRITY)


def require_county_totals(look: Context) -> None:
    """Refuse whoever does not read the totals of every county: officers and analysts do, wherever they stand.

    Raises:
        NotAllowed: the caller has no such role.

    """
    require_everywhere(look, Permission.READ_COUNTY_TOTALS)
