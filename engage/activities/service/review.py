"""Decisions on applications: one or many at once, all or none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from sqlalchemy import bindparam, select, update

from engage.activities.access import activity_to_manage
from engage.activities.errors import ActivityOver, AlreadyAdmitted, NoReview, WrongActivityState
from engage.activities.models import (
    UNRANKED,
    Activity,
    ActivityStatus,
    AdmissionMode,
    Decision,
    SignUp,
    SignUpState,
)
from engage.activities.queries.review import results_of
from engage.activities.service import admission, transitions
from engage.activities.service.quiet import audible
from engage.core.errors import InvalidInput, Issue
from engage.messages import service as messages
from engage.messages.models import MessageKind
from engage.orgs.access import Permission

if TYPE_CHECKING:
    from collections.abc import Iterable

    from engage.core.db import Work

_SIGN_UPS: Final[Any] = SignUp.__table__
_DECIDED: Final[dict[str, Any]] = {
    name: bindparam(name) for name in ("decision_reason", "decided_at", "decided_by", "updated_at")
}
_UNDECIDED: Final = (SignUpState.APPLIED, SignUpState.REFUSED)
_IN_OR_OUT: Final = (*_UNDECIDED, SignUpState.WAITLISTED)


def decide(work: Work, activity_id: UUID, items: list[dict[str, Any]]) -> dict[str, Any]:
    """Accept and refuse applications, and rank those accepted. Repeating it changes nothing.

    Who is accepted gets a place while there is one, else a turn in the queue by rank, then arrival. Who was refused may be
    accepted later, and who waits may be ranked anew or refused; who has a place keeps it. Who is accepted with too few points, or with a place
    elsewhere that the activity does not allow, waits at their rank until neither is in the way.

    Raises:
        NoSuchActivity, NotAllowed: not the caller's to manage.
        NoReview: its sign-ups are not reviewed.
        WrongActivityState, ActivityOver: not published, cancelled, or over.
        InvalidInput: something that is no live sign-up of this activity, or ranks that leave holes.
        AlreadyAdmitted: somebody to be refused has a place.
        ActivityFull: more would wait than the queue has turns.

    """
    activity = activity_to_manage(work, activity_id, Permission.READ_PEOPLE)
    if activity.admission_mode is not AdmissionMode.REVIEW:
        raise NoReview
    if activity.status is not ActivityStatus.PUBLISHED:
        raise WrongActivityState
    if work.now >= activity.ends_at:
        raise ActivityOver
    before = _sign_ups(work, activity_id, items)
    held = [
        Issue(f"/items/{index}/decision", "already_admitted")
        for index, item in enumerate(items)
        if item["decision"] is Decision.REFUSE and before[item["sign_up_id"]].state not in _IN_OR_OUT
    ]
    if held:
        raise AlreadyAdmitted(*held)
    changes = [item for item in items if _changes(before[item["sign_up_id"]], item)]
    refused = [item for item in changes if item["decision"] is Decision.REFUSE]
    accepted = [item for item in changes if item["decision"] is Decision.ACCEPT]
    _refuse_holes(work, activity_id, accepted)
    _note(work, changes)
    transitions.refuse(work, [item["sign_up_id"] for item in refused])
    admission.enqueue_ranked(
        work,
        activity_id,
        [(item["sign_up_id"], item["rank"]) for item in accepted],
        told=MessageKind.APPLICATION_ACCEPTED,
    )
    after = results_of(work, activity_id, [item["sign_up_id"] for item in items])
    _tell(work, activity, changes, before, after)
    return {
        "results": [
            {"sign_up_id": item["sign_up_id"], "state": state, "position": position}
            for item in items
            for state, position in (after[item["sign_up_id"]],)
        ]
    }


def is_undecided(activity: Activity, state: SignUpState) -> bool:
    """Say whether somebody who has signed up is still to be accepted, or was refused: only a decision brings them in."""
    return activity.admission_mode is AdmissionMode.REVIEW and state in _UNDECIDED


def accept(work: Work, activity_id: UUID, sign_up_id: UUID) -> SignUpState:
    """Accept one application without a rank; return what it has become. See ``decide``."""
    item = {"sign_up_id": sign_up_id, "decision": Decision.ACCEPT, "reason": None, "rank": None}
    (result,) = decide(work, activity_id, [item])["results"]
    return SignUpState(result["state"])


def _sign_ups(work: Work, activity_id: UUID, items: list[dict[str, Any]]) -> dict[UUID, Any]:
    rows = work.session.execute(
        select(SignUp.id, SignUp.person_id, SignUp.state, SignUp.rank, SignUp.decision_reason).where(
            SignUp.id.in_([item["sign_up_id"] for item in items]),
            SignUp.activity_id == activity_id,
            SignUp.state != SignUpState.CANCELLED,
        )
    )
    found = {row.id: row for row in rows}
    strangers = [
        Issue(f"/items/{index}/sign_up_id", "no_such_object")
        for index, item in enumerate(items)
        if item["sign_up_id"] not in found
    ]
    if strangers:
        raise InvalidInput(*strangers)
    return found


def _changes(sign_up: Any, item: dict[str, Any]) -> bool:
    if item["decision"] is Decision.REFUSE:
        return sign_up.state is not SignUpState.REFUSED or sign_up.decision_reason != item["reason"]
    if sign_up.state is SignUpState.WAITLISTED:
        return bool(sign_up.rank != (item["rank"] or UNRANKED))
    return sign_up.state in _UNDECIDED


def _refuse_holes(work: Work, activity_id: UUID, accepted: list[dict[str, Any]]) -> None:
    """Refuse ranks that, with those given before, do not run from 1; who has left since keeps theirs filled."""
    given = {item["rank"] for item in accepted} - {None}
    if not accepted:
        return
    others = select(SignUp.rank).where(
        SignUp.activity_id == activity_id,
        SignUp.rank != UNRANKED,
        SignUp.id.not_in([item["sign_up_id"] for item in accepted]),
    )
    ranks = given | set(work.session.scalars(others.distinct()))
    missing = next((rank for rank in range(1, len(ranks) + 1) if rank not in ranks), None)
    if missing is not None:
        raise InvalidInput(Issue("/items", "ranks_with_holes", {"missing": missing}))


def _note(work: Work, items: list[dict[str, Any]]) -> None:
    if not items:
        return
    decision = {"decided_at": work.now, "decided_by": work.actor.id, "updated_at": work.now}
    work.session.connection().execute(
        update(_SIGN_UPS).where(_SIGN_UPS.c.id == bindparam("of")).values(_DECIDED),
        [{"of": item["sign_up_id"], "decision_reason": item["reason"], **decision} for item in items],
    )


def _tell(
    work: Work,
    activity: Activity,
    changes: Iterable[dict[str, Any]],
    before: dict[UUID, Any],
    after: dict[UUID, tuple[SignUpState, int | None]],
) -> None:
    """Tell who was refused, and who got into the queue; who got a place has been told."""
    about = {"activity_id": str(activity.id), "title": activity.title}
    refused, waiting = [], []
    for item in changes:
        sign_up = before[item["sign_up_id"]]
        state, position = after[item["sign_up_id"]]
        if state is SignUpState.REFUSED:
            refused.append((sign_up.person_id, {**about, "reason": item["reason"]}))
        elif state is SignUpState.WAITLISTED and sign_up.state is not SignUpState.WAITLISTED:
            waiting.append((sign_up.person_id, {**about, "number": str(position)}))
    not_before = audible(activity, work.now)
    for kind, letters in (
        (MessageKind.APPLICATION_REFUSED, refused),
        (MessageKind.APPLICATION_WAITLISTED, waiting),
    ):
        messages.enqueue_each(work.session, work.now, kind, letters, not_before=not_before)
