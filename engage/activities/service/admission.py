"""Admission: the only code that gives and frees places, for every path.

What makes it right:

* The row of the activity is locked first (``FOR NO KEY UPDATE``; on SQLite the whole transaction is the only
  writer), so giving, freeing and promoting on one activity happen one after another.
* The decision is made on the locked row in the statement that inserts; nothing is decided on an older read. What was read before (the
  rules that a person must meet) is named by the activity's version, and the statement decides nothing for another version.
* Triggers count, CHECKs refuse (models/activity.py): even a wrong statement cannot oversell, nor pass somebody in the queue.
* A partial unique index allows one live sign-up per person and activity; a violation undoes the whole statement.

Who joins is let in by ``admit``; what becomes free goes to the queue by ``fill`` (filling.py), after ``end`` or whatever else freed it; other changes of
a sign-up's state are in transitions.py. Nothing else writes it.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from sqlalchemy import Connection, String, Uuid, bindparam, exists, select, update
from sqlalchemy.exc import IntegrityError

from engage.activities.errors import ActivityFull, AlreadyCheckedIn
from engage.activities.models import UNRANKED, Activity, CancelCause, SignUp, SignUpState
from engage.activities.service.filling import fill
from engage.activities.service.joining import JOIN_AT_ONCE, JOIN_NOW, LOOK_FIRST, SEEN, WHO_MEETS, Met
from engage.core import ids
from engage.core.columns import UtcDateTime
from engage.core.prepared import Prepared

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from sqlalchemy.orm import Session

    from engage.core.db import Look, Work
    from engage.identity.caller import Member
    from engage.messages.models import MessageKind

__all__ = [
    "AlreadyIn",
    "Joining",
    "Outcome",
    "admit",
    "end",
    "enqueue_ranked",
    "fill",
    "lock",
    "met_beside",
    "number_turns",
    "seen",
    "seen_by",
    "unheld_queue",
]

_SIGN_UPS: Final[Any] = SignUp.__table__
_KEEPS_PLACE: Final = "who was there keeps the place"  # what the trigger says (migration 0009)
_LOCK: Final = Prepared(
    select(Activity.id)
    .where(Activity.id == bindparam("activity_id", type_=Uuid()))
    .with_for_update(key_share=True)
)
_NOW: Final = bindparam("now", type_=UtcDateTime())
_END: Final = Prepared(
    update(_SIGN_UPS)
    .where(_SIGN_UPS.c.id == bindparam("of", type_=Uuid()))
    .values(
        state=SignUpState.CANCELLED,
        pool=None,
        held_until=None,
        offer_expires_at=None,
        updated_at=_NOW,
        cancelled_at=_NOW,
        cancelled_by=bindparam("by", type_=Uuid()),
        cancel_cause=bindparam("cause"),
        cancel_reason=bindparam("reason", type_=String()),
        excused_at=None,
        excused_by=None,
        excuse_reason=None,
    )
    .returning(_SIGN_UPS.c.activity_id)
)
_RANK: Final = (
    update(_SIGN_UPS)
    .where(_SIGN_UPS.c.id == bindparam("of"))
    .values(
        {
            "state": SignUpState.WAITLISTED,
            "rank": bindparam("ranked"),
            **{name: bindparam(name) for name in ("decided_at", "decided_by", "updated_at")},
        }
    )
)

_NUMBER: Final = (
    update(_SIGN_UPS).where(_SIGN_UPS.c.id == bindparam("of")).values(joined_position=bindparam("turn"))
)


@dataclass(frozen=True, slots=True)
class Joining:
    """Somebody who joins, with what was found out about them beforehand.

    ``version`` is that of the activity whose rules they meet. ``pools`` is the mask of pools open to them, 0 where places are not
    divided; ``passed_over`` those pools that others wait for. ``held_until``: they wait until then, whatever is free.
    """

    activity_id: UUID
    person_id: UUID
    version: int
    answers: dict[str, Any]
    pools: int = 0
    passed_over: int = 0
    held_until: datetime | None = None
    added_by: UUID | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a joining.

    ``state`` is None when nobody was let in; then ``mine`` is the live sign-up that the person has already, or ``facts`` tell why. ``facts``
    is None when there is no such activity. ``clash`` is (id, title) of another activity at the same time where they have a place.
    ``held_until`` is when a turn in the queue begins to count. ``missed``: what was read said that they would be let in, and the row, once it
    was held, did not; the facts are older than that.
    """

    sign_up_id: UUID
    state: SignUpState | None
    position: int | None
    mine: Any  # a Met, or None
    facts: Any
    clash: tuple[UUID, str] | None
    answers: dict[str, Any]
    held_until: datetime | None = None
    missed: bool = False


class AlreadyIn(Exception):
    """The person has a live sign-up already, made at the same moment; nothing was changed."""


def admit(
    db: Connection | Session,
    joining: Joining,
    now: datetime,
    atomic: Callable[[], AbstractContextManager[None]] = nullcontext,
) -> Outcome:
    """Give a place, a turn in the queue or an entry, or say why not. On an AUTOCOMMIT connection this is its own transaction.

    One statement on PostgreSQL. On SQLite a look comes first, so that who gets nothing does not queue for the writer, as ``atomic`` does where
    this is no part of a transaction. Staff (``added_by``) may add outside the sign-up window, until the end.

    Raises:
        AlreadyIn: the person got a live sign-up at the same moment.

    """
    sign_up_id = ids.new_id()
    values = _values(joining, sign_up_id, now)
    bind = db if isinstance(db, Connection) else db.connection()
    divided = joining.pools > 0
    try:
        if bind.dialect.name == "postgresql":
            met = JOIN_AT_ONCE[divided].one_or_none(db, values)
        else:
            met = LOOK_FIRST[divided].one_or_none(db, values)
            if met is not None and met.mine_id is None and met.takes:
                with atomic():
                    got = JOIN_NOW[divided].one_or_none(db, values) or (None, None)
                met = met._replace(joined_state=got[0], joined_position=got[1])
    except IntegrityError as error:
        if _is_second_live(error):
            raise AlreadyIn from None
        raise
    return _outcome(sign_up_id, met, joining.answers, joining.held_until)


def seen_by(db: Connection | Session, joining: Joining, now: datetime) -> Outcome:
    """Return what joining would meet; ``missed`` says that it would be let in. One statement, which waits for nobody."""
    values = _values(joining, joining.person_id, now)
    met = LOOK_FIRST[joining.pools > 0].one_or_none(db, values)
    return _outcome(joining.person_id, met, joining.answers)


def met_beside(look: Look, activity_id: UUID, version: int) -> tuple[Member, Outcome]:
    """Return who calls and what joining an undivided activity would meet; ``missed``: it would take them. One statement.

    Raises:
        SessionEnded, AccountSuspended, AccountClosed: they may not call.

    """
    values = {
        "activity_id": activity_id, "version": version, "by_staff": False, "held_until": None, "now": look.now,
    }  # fmt: skip
    member, found = look.actor.member_beside(look.db, look.now, WHO_MEETS, values)
    met = Met(*found) if found and found[0] is not None else None
    return member, _outcome(member.id, met, {})


def _values(joining: Joining, sign_up_id: UUID, now: datetime) -> dict[str, Any]:
    return {
        "id": sign_up_id,
        "activity_id": joining.activity_id,
        "person_id": joining.person_id,
        "version": joining.version,
        "answers": joining.answers,
        "pools": joining.pools,
        "first_pool": (joining.pools & -joining.pools).bit_length(),
        "free_for": joining.pools & ~joining.passed_over,
        "held_until": joining.held_until,
        "added_by": joining.added_by,
        "by_staff": joining.added_by is not None,
        "now": now,
    }


def seen(db: Connection | Session, activity_id: UUID, person_id: UUID) -> Outcome:
    """Return what joining would meet, without letting anybody in. One statement."""
    met = SEEN.one_or_none(db, {"activity_id": activity_id, "person_id": person_id})
    return _outcome(ids.new_id(), met, {})


def _outcome(
    sign_up_id: UUID, met: Met | None, answers: dict[str, Any], held_until: datetime | None = None
) -> Outcome:
    if met is None:
        return Outcome(sign_up_id, None, None, None, None, None, answers)
    state = SignUpState(met.joined_state) if met.joined_state else None
    return Outcome(
        sign_up_id=sign_up_id,
        state=state,
        position=met.joined_position if state is SignUpState.WAITLISTED else None,
        mine=met if met.mine_id is not None else None,
        facts=met,
        clash=(met.clash_id, met.clash_title or "") if met.clash_id is not None else None,
        answers=answers,
        held_until=held_until if state is SignUpState.WAITLISTED else None,
        missed=bool(met.takes) and state is None and met.mine_id is None,
    )


def _is_second_live(error: IntegrityError) -> bool:
    diagnosis = getattr(error.orig, "diag", None)
    if diagnosis is not None:
        return bool(diagnosis.constraint_name == "uq_sign_up_live")
    return "sign_up.activity_id, sign_up.person_id" in str(error.orig)


def lock(work: Work, activity_id: UUID) -> None:
    """Hold the row of an activity until the transaction ends; every path that gives or frees begins with this."""
    _LOCK.all(work.session, {"activity_id": activity_id})


def end(work: Work, sign_up_id: UUID, cause: CancelCause, reason: str | None = None) -> None:
    """End a live sign-up of a locked activity, and give what it held to whoever is next.

    Raises:
        AlreadyCheckedIn: the person is there; perhaps since a moment ago.

    """
    values = {"of": sign_up_id, "now": work.now, "by": work.actor.id, "cause": cause, "reason": reason}
    try:
        ((activity_id,),) = _END.all(work.session, values)
    except IntegrityError as error:
        if _KEEPS_PLACE in str(error.orig):
            raise AlreadyCheckedIn from None
        raise
    fill(work, activity_id)


def enqueue_ranked(
    work: Work,
    activity_id: UUID,
    ranked: Sequence[tuple[UUID, int | None]],
    *,
    told: MessageKind,
    drawn: bool = False,
) -> None:
    """Put applications or entries of a locked activity into its queue by rank, then give the free places at once.

    Args:
        work: the transaction.
        activity_id: the activity, locked.
        ranked: sign-up ids that hold no place, each with its rank; None stands behind all ranks.
        told: what those are told who get a place.
        drawn: the draw ranked them: the queue grows to hold them all, and no walk-in takes a place from them.

    Raises:
        ActivityFull: more would wait than the queue has turns.

    """
    if not ranked:
        return
    turns, _, held = _queue(work, activity_id)
    # The queue holds them all for a moment, until the places are given.
    _set_turns(work, activity_id, Activity.waiting + len(ranked) + turns)
    decision = {
        "decided_at": work.now,
        "decided_by": work.actor.id,
        "updated_at": work.now,
    }
    work.session.connection().execute(
        _RANK, [{"of": sign_up_id, "ranked": rank or UNRANKED, **decision} for sign_up_id, rank in ranked]
    )
    fill(work, activity_id, at_once=True, drawn=drawn, told=told)
    number_turns(work, activity_id)
    _, waiting, held_now = _queue(work, activity_id)
    # Who is held back for their credit is not kept out for it.
    if waiting - (held_now - held) > turns and not drawn:
        raise ActivityFull
    _set_turns(work, activity_id, max(turns, waiting))


def number_turns(work: Work, activity_id: UUID) -> None:
    """Keep for those who came into the queue of a locked activity otherwise than by joining it which number they have there."""
    # Counted here: a planner that knows nothing yet of the new queue joins it to its own numbers row by row.
    queue = work.session.execute(
        select(SignUp.id, SignUp.joined_position)
        .where(SignUp.activity_id == activity_id, SignUp.state == SignUpState.WAITLISTED)
        .order_by(SignUp.rank, SignUp.seq)
    )
    new = [{"of": row.id, "turn": turn} for turn, row in enumerate(queue, 1) if row.joined_position is None]
    if new:
        work.session.connection().execute(_NUMBER, new)


def _queue(work: Work, activity_id: UUID) -> tuple[int, int, int]:
    """Return (turns there are, turns taken, those of them held back)."""
    turns, waiting, held = work.session.execute(
        select(Activity.waitlist_capacity, Activity.waiting, Activity.held).where(Activity.id == activity_id)
    ).one()
    return turns, waiting, held


def _set_turns(work: Work, activity_id: UUID, turns: Any) -> None:
    work.session.execute(
        update(Activity)
        .where(Activity.id == activity_id)
        .values(waitlist_capacity=turns)
        .execution_options(synchronize_session=False)
    )


def unheld_queue(work: Work, activity_id: UUID) -> int:
    """Return the mask of pools that somebody in the queue of a locked activity could have now; 0 once it has closed."""
    moves = exists().where(Activity.id == activity_id, Activity.queue_closes_at > work.now)
    masks = work.session.scalars(
        select(SignUp.pool_mask)
        .where(
            moves,
            SignUp.activity_id == activity_id,
            SignUp.state == SignUpState.WAITLISTED,
            SignUp.held_until.is_(None),
        )
        .distinct()
    )
    wanted = 0
    for mask in masks:
        wanted |= mask
    return wanted
