"""Which divisions nodes may have: down the tree they lie one within the other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import or_, select
from sqlalchemy.orm import aliased

from engage.core.errors import InvalidInput, Issue
from engage.orgs.models import ENCLAVE_KIND, Org, OrgPath
from engage.regions.models import is_within
from engage.regions.queries import current_codes

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from engage.core.db import Work


def set_division(work: Work, org: Org, code: str | None) -> None:
    """Write the code that is in use today for one that may be retired; whether it fits the tree is for ``refuse_misfit``.

    Raises:
        InvalidInput: the division does not exist, or was retired and has no successor.

    """
    if code is not None:
        resolved = current_codes(work, {code})
        if code not in resolved:
            raise InvalidInput(Issue("/division_code", "no_such_division"))
        today = resolved[code]
        if today is None:
            raise InvalidInput(Issue("/division_code", "division_retired"))
        code = today[0]
    org.division_code = code


def refuse_misfit(work: Work, org: Org, *, exempt: bool) -> None:
    """Refuse a node, placed and flushed, whose division does not fit the tree.

    Raises:
        InvalidInput: its division lies outside one above, or one below outside it.

    """
    if not is_nested(work.session, org, exempt=exempt):
        raise InvalidInput(Issue("/division_code", "division_outside"))


def is_nested(session: Session, org: Org, *, exempt: bool = True) -> bool:
    """Say whether every division at and below a node lies within every one above it.

    Enclave branches stand in another city: theirs bounds nobody, and may lie anywhere; the node's own only if it is ``exempt``.
    """
    upper, lower, above, below = aliased(Org), aliased(Org), aliased(OrgPath), aliased(OrgPath)
    counts = lower.kind_code != ENCLAVE_KIND
    pairs = (
        select(upper.division_code, lower.division_code)
        .distinct()
        .join(above, above.ancestor_id == upper.id)
        .join(below, below.ancestor_id == above.descendant_id)
        .join(lower, lower.id == below.descendant_id)
        .where(
            above.descendant_id == org.id,
            upper.id != lower.id,
            upper.division_code.is_not(None),
            lower.division_code.is_not(None),
            upper.kind_code != ENCLAVE_KIND,
            counts if exempt else or_(counts, lower.id == org.id),
        )
    )
    return all(is_within(inner or "", outer or "") for outer, inner in session.execute(pairs))
