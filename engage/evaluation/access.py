"""Where the caller may write findings, and which they may read, answer and close."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import ColumnElement, Uuid, and_, literal, or_, select, true

from engage.activities.access import PLACE as ACTIVITY
from engage.activities.access import is_public as is_public_activity
from engage.activities.errors import NoSuchActivity
from engage.activities.models import Activity
from engage.core.errors import NotAllowed
from engage.evaluation.errors import NoSuchFinding
from engage.evaluation.models import Finding
from engage.hubs.access import PLACE as HUB
from engage.hubs.access import is_public as is_public_hub
from engage.hubs.errors import NoSuchHub
from engage.hubs.models import Hub
from engage.orgs.access import PLACES, Permission, Place, define_place, holds_here
from engage.orgs.errors import NoSuchOrg
from engage.orgs.models import Org

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

    from engage.core.db import Context, Work
    from engage.core.errors import DomainError


def visible_findings(look: Context) -> ColumnElement[bool]:
    """Return the condition that the caller may see a finding: one where they write findings, or answer them."""
    return or_(PLACE.allows(look, Permission.WRITE_FINDING), PLACE.allows(look, Permission.ANSWER_FINDING))


PLACE: Final = Place(
    Finding.id,
    Finding.org_id,
    (Permission.WRITE_FINDING, Permission.SETTLE_FINDING, Permission.ANSWER_FINDING),
    hub_id=Finding.hub_id,
    visible=visible_findings,
)
define_place("finding", PLACE)


def answerable(look: Context) -> ColumnElement[bool]:
    """Return the condition that the caller answers for what a finding is about."""
    return PLACE.allows(look, Permission.ANSWER_FINDING)


def closable(look: Context) -> ColumnElement[bool]:
    """Return the condition that the caller may settle a finding: who wrote it, or the level above. Nobody settles what is about their own hub or organisation."""
    from_above = and_(
        PLACE.allows(look, Permission.SETTLE_FINDING),
        ~holds_here(look, Permission.ANSWER_FINDING, Finding.org_id, Finding.hub_id),
    )
    wrote_it = and_(Finding.written_by == look.actor.id, PLACE.allows(look, Permission.WRITE_FINDING))
    return or_(wrote_it, from_above)


@dataclass(frozen=True)
class _Kind:
    """What findings are about: where it stands, who sees it (whoever inspects: what is public), what it is called, and the refusal where there is none."""

    place: Place
    is_public: ColumnElement[bool]
    name: Any
    hub_id: Any
    refusal: type[DomainError]


_NO_HUB: Final = literal(None, Uuid())
_KINDS: Final = {
    "activity_id": _Kind(ACTIVITY, is_public_activity(), Activity.title, Activity.hub_id, NoSuchActivity),
    "hub_id": _Kind(HUB, is_public_hub(), Hub.name, Hub.id, NoSuchHub),
    "org_id": _Kind(PLACES["org"], true(), Org.name, _NO_HUB, NoSuchOrg),
}


@dataclass(frozen=True, slots=True)
class Subject:
    """What a finding is about: its columns, and the name."""

    org_id: UUID
    hub_id: UUID | None
    activity_id: UUID | None
    name: str


def subject_to_judge(work: Work, body: Mapping[str, Any]) -> Subject:
    """Return the one object that a body names, where the caller may write findings.

    Raises:
        NoSuchActivity, NoSuchHub, NoSuchOrg: there is none that everybody may see.
        NotAllowed: the caller sees it but does not inspect there.

    """
    named = next(name for name in _KINDS if body[name] is not None)
    kind = _KINDS[named]
    row = work.session.execute(
        select(
            kind.place.allows(work, Permission.WRITE_FINDING), kind.place.org_id, kind.hub_id, kind.name
        ).where(kind.place.id == body[named], kind.is_public)
    ).one_or_none()
    if row is None:
        raise kind.refusal
    allowed, org_id, hub_id, name = row
    if not allowed:
        raise NotAllowed
    return Subject(org_id, hub_id, body["activity_id"], name)


def finding_to_change(work: Work, finding_id: UUID, allowed: ColumnElement[bool]) -> Finding:
    """Load a finding for which a condition about the caller holds, and hold its row until the transaction ends.

    Raises:
        NoSuchFinding: there is none that the caller may see.
        NotAllowed: the caller sees it but has no such role there.

    """
    row = work.session.execute(
        select(Finding, allowed)
        .where(Finding.id == finding_id, visible_findings(work))
        .with_for_update(of=Finding, key_share=True)
        .execution_options(populate_existing=True)
    ).one_or_none()
    if row is None:
        raise NoSuchFinding
    finding, may = row
    if not may:
        raise NotAllowed
    return finding
