"""What a change means for people who signed up: found out before it is made, and again when it is.

The change names the preview it accepts: the digest of exactly these consequences. If they are others by then, because somebody joined or left,
nothing is changed and staff look again.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from sqlalchemy import select

from engage.activities.errors import PreviewOutdated, PreviewRequired
from engage.activities.models import HOLDS_PLACE, Activity, ActivityStatus, SignUp, SignUpState
from engage.activities.service.transitions import UNDECIDED
from engage.core.db import Version
from engage.messages import service as messages
from engage.messages.models import MessageKind

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from engage.core.db import Work

# Whom a change concerns. Who was refused or has left expects nothing any more.
CONCERNED: Final = (
    SignUpState.APPLIED,
    SignUpState.WAITLISTED,
    SignUpState.OFFERED,
    SignUpState.CONFIRMED,
    SignUpState.WALK_IN,
)
# What those are told whom an edit brings from one state to another.
_TOLD: Final = (
    (MessageKind.PLACE_WITHDRAWN, HOLDS_PLACE, (SignUpState.WAITLISTED,)),
    (MessageKind.PLACE_LOST, HOLDS_PLACE, (SignUpState.CANCELLED,)),
    (MessageKind.QUEUE_CLOSED, (SignUpState.WAITLISTED,), (SignUpState.CANCELLED,)),
)
_DIGEST_BYTES: Final = 16  # twice that of an activity's own ETag: by its length one is told from the other


@dataclass(frozen=True, slots=True)
class Effect:
    """What becomes of one person; ``after`` equals ``before`` for who is only told."""

    sign_up_id: UUID
    person_id: UUID
    before: SignUpState
    after: SignUpState

    @property
    def loses_place(self) -> bool:
        return self.before in HOLDS_PLACE and self.after not in HOLDS_PLACE


@dataclass(frozen=True, slots=True)
class Consequences:
    """What a change means: ``moved`` names the fields of time and place it changes, with their new values.

    ``effects`` are those of whom it concerns, in the order of the queue: all of them when time or place move or the activity is cancelled.
    """

    moved: tuple[tuple[str, str], ...]
    effects: tuple[Effect, ...]

    @property
    def harmful(self) -> bool:
        """Whether somebody loses what they had, or has planned for what is no longer so."""
        return any(
            effect.loses_place or effect.after is SignUpState.CANCELLED for effect in self.effects
        ) or bool(self.moved and self.effects)

    def people(self, before: Collection[SignUpState], after: Collection[SignUpState]) -> list[UUID]:
        """Return who is brought from one of some states to one of others."""
        return [
            effect.person_id for effect in self.effects if effect.before in before and effect.after in after
        ]

    @property
    def counts(self) -> list[tuple[SignUpState, SignUpState, int]]:
        """How many go from which state to which."""
        found = Counter((effect.before, effect.after) for effect in self.effects)
        return sorted((before, after, count) for (before, after), count in found.items())

    @property
    def digest(self) -> str:
        """Return what stands for exactly these consequences."""
        lines = [f"{name}={value}" for name, value in self.moved]
        lines += sorted(f"{effect.sign_up_id} {effect.before} {effect.after}" for effect in self.effects)
        return hashlib.blake2b("\n".join(lines).encode(), digest_size=_DIGEST_BYTES).hexdigest()

    def tag(self, version: int) -> str:
        """Return the entity tag by which a change of a version accepts them."""
        return f'"{version}-{self.digest}"'


def concerned(work: Work, activity_id: UUID) -> dict[UUID, tuple[UUID, SignUpState]]:
    """Return (person, state) of whom a change of a locked activity would concern, by sign-up, in the order of the queue."""
    rows = work.session.execute(
        select(SignUp.id, SignUp.person_id, SignUp.state)
        .where(SignUp.activity_id == activity_id, SignUp.state.in_(CONCERNED))
        .order_by(SignUp.rank, SignUp.seq)
    )
    return {sign_up_id: (person_id, state) for sign_up_id, person_id, state in rows}


def of_edit(
    before: dict[UUID, tuple[UUID, SignUpState]],
    after: dict[UUID, tuple[UUID, SignUpState]],
    moved: Iterable[tuple[str, Any]],
) -> Consequences:
    """Return the consequences of an edit from whom it concerned before and after it; who is no longer there has been dropped."""
    named = tuple((name, str(value)) for name, value in moved)
    dropped = (None, SignUpState.CANCELLED)
    effects = (
        Effect(sign_up_id, person_id, state, after.get(sign_up_id, dropped)[1])
        for sign_up_id, (person_id, state) in before.items()
    )
    return Consequences(named, tuple(effect for effect in effects if named or effect.before != effect.after))


def of_cancellation(work: Work, activity: Activity) -> Consequences:
    """Return the consequences of calling a locked activity off. What was never published concerns nobody."""
    if activity.status is not ActivityStatus.PUBLISHED:
        return Consequences((), ())
    people = concerned(work, activity.id).items()
    return Consequences(
        (),
        tuple(
            Effect(sign_up_id, person_id, state, SignUpState.CANCELLED)
            for sign_up_id, (person_id, state) in people
        ),
    )


def names_preview(version: int | None) -> bool:
    """Say whether ``If-Match`` named a preview rather than the activity itself, or anything."""
    return isinstance(version, Version) and len(version.digest) == 2 * _DIGEST_BYTES


def accept(consequences: Consequences, version: int | None) -> None:
    """Refuse a change whose consequences were not seen.

    Raises:
        PreviewOutdated: they were others when staff looked.
        PreviewRequired: they do harm, and nobody looked.

    """
    if isinstance(version, Version) and names_preview(version):
        if version.digest != consequences.digest:
            raise PreviewOutdated
    elif consequences.harmful:
        raise PreviewRequired(affected=len(consequences.effects))


def tell(work: Work, activity: Activity, consequences: Consequences) -> None:
    """Tell people what an edit means for them; a new time or place to those only who are still in."""
    about: dict[str, Any] = {"activity_id": str(activity.id), "title": activity.title}
    undecided = UNDECIDED[activity.admission_mode], (SignUpState.APPLIED,), (SignUpState.CANCELLED,)
    for kind, before, after in (*_TOLD, undecided):
        messages.enqueue_all(work.session, work.now, consequences.people(before, after), kind, **about)
    if consequences.moved:
        about["starts_at"] = activity.starts_at.isoformat()
        still_in = consequences.people(CONCERNED, CONCERNED)
        messages.enqueue_all(work.session, work.now, still_in, MessageKind.ACTIVITY_CHANGED, **about)
