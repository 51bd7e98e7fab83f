"""Lotteries: their terms and commitment, the draw as anyone may check it, and drawing as staff. docs/draw.md says what it is about."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from engage.activities.access import activity_to_manage
from engage.activities.errors import (
    ActivityOver,
    AdmissionFrozen,
    AlreadyDrawn,
    DrawTooEarly,
    NoDraw,
    SeedLost,
    WrongActivityState,
)
from engage.activities.models import Activity, ActivityStatus, AdmissionMode, LotteryDraw
from engage.activities.queries.draw import read_evidence
from engage.activities.queries.pools import free_in_pools
from engage.activities.service import drawing
from engage.activities.service.draw import Entry, in_order, read_text, share_out
from engage.core.crypto import SealBrokenError
from engage.core.errors import InvalidInput, Issue

if TYPE_CHECKING:
    from datetime import datetime

    from engage.core.db import Context, Work

_FIXED: Final = ("public_source", "first_time_weight")
_PLACES: Final = ("capacity", "sign_up_closes_at", "pools_merge_at")


def set_lottery(work: Work, activity: Activity, terms: dict[str, Any] | None, values: dict[str, Any]) -> None:
    """Keep the draw of a locked activity as the part ``admission`` of a body has it, before the activity gets its new values.

    Other terms get another seed and so another commitment. Once sign-up has opened it stays so, and they stay, with the project
    that weights come from, and the draw may only be put off. From the closing to the draw neither the places, the pools and their merge
    nor the end of sign-up move, once it is drawn nothing of it.

    Raises:
        AdmissionFrozen: something would change that people rely on.

    """
    given = (terms or {}).get("lottery")
    if given is None and activity.admission_mode is not AdmissionMode.LOTTERY:
        return
    draw = work.session.get(LotteryDraw, activity.id, populate_existing=True)
    if draw is None:
        if given is not None:
            draw = LotteryDraw(activity_id=activity.id, **given)
            drawing.commit_to_seed(work, draw)
            work.session.add(draw)
        return
    _refuse_change(work, activity, draw, terms or {}, values)
    if given is None:
        work.session.delete(draw)
        return
    changed = any(getattr(draw, name) != given[name] for name in _FIXED)
    for name, value in given.items():
        setattr(draw, name, value)
    if changed:
        drawing.commit_to_seed(work, draw)


def _refuse_change(
    work: Work, activity: Activity, draw: LotteryDraw, terms: dict[str, Any], values: dict[str, Any]
) -> None:
    has_opened = activity.status is ActivityStatus.PUBLISHED and work.now >= activity.sign_up_opens_at
    if has_opened and values["sign_up_opens_at"] > work.now:
        raise AdmissionFrozen(Issue("/sign_up_opens_at", "sign_up_has_opened"))
    if not (has_opened or activity.applied or draw.closed_at):
        return
    given = terms.get("lottery")
    if given is None or any(getattr(draw, name) != given[name] for name in _FIXED):
        raise AdmissionFrozen
    if values["project_id"] != activity.project_id:
        raise AdmissionFrozen
    if given["draws_at"] < draw.draws_at or (draw.drawn_at and given["draws_at"] != draw.draws_at):
        raise AdmissionFrozen
    if draw.closed_at and not draw.drawn_at:
        pools = [
            {
                "position": number,
                "capacity": pool["capacity"],
                "overflow_rank": pool["overflow_rank"],
            }
            for number, pool in enumerate(terms["pools"], 1)
        ]
        if (
            any(values[name] != getattr(activity, name) for name in _PLACES)
            or pools != free_in_pools(work, activity.id)
            or _merges_between(activity, draw.draws_at, given["draws_at"])
        ):
            raise AdmissionFrozen


def _merges_between(activity: Activity, before: datetime, after: datetime) -> bool:
    """Say whether a draw that is put off would find its pools one."""
    return activity.pools_merge_at is not None and before < activity.pools_merge_at <= after


def show(look: Context, activity_id: UUID) -> dict[str, Any]:
    """Return a draw with all that anyone needs to recompute it. At most two statements.

    Raises:
        NoSuchActivity: there is none that is published.
        NoDraw: its places are not drawn by lot.

    """
    evidence = read_evidence(look, activity_id)
    entries = read_text(evidence["entries"] or "")
    if evidence["seed"] is None:
        listed = [_listed(entry, None, None) for entry in entries]
    else:
        ordered = in_order(bytes.fromhex(evidence["seed"]), evidence["public_value"], entries)
        withdrawn = {UUID(entry_id) for entry_id in evidence["withdrawn"]}
        outcomes = share_out(ordered, withdrawn, evidence["places"])
        listed = [
            _listed(entry, position, outcome)
            for position, (entry, outcome) in enumerate(zip(ordered, outcomes, strict=True), 1)
        ]
    return {**evidence, **evidence["places"], "entries": listed}


def _listed(entry: Entry, position: int | None, outcome: Any) -> dict[str, Any]:
    return {
        "entry": entry.id,
        "weight": entry.weight,
        "pools": entry.pools,
        "position": position,
        "outcome": outcome,
    }


def hold_draw(work: Work, activity_id: UUID, public_value: str | None) -> dict[str, Any]:
    """Draw, as staff: with the public number where one was named, else when the time has come and no worker was faster.

    Entries that no worker has closed by then are closed first, except where a public number counts: by now everybody knows it.

    Raises:
        NoSuchActivity, NotAllowed: not the caller's to manage.
        NoDraw: its places are not drawn by lot.
        AlreadyDrawn: it is held once.
        WrongActivityState, ActivityOver: not published, cancelled, or over.
        DrawTooEarly: the entries are not closed, or the time has not come.
        SeedLost: the key that its seed is sealed with is gone, or it is not the seed that was committed to.
        InvalidInput: a public number is missing, or was not named beforehand.

    """
    activity = activity_to_manage(work, activity_id)
    draw = work.session.get(LotteryDraw, activity_id, populate_existing=True)
    if draw is None:
        raise NoDraw
    if draw.drawn_at is not None:
        raise AlreadyDrawn
    if activity.status is not ActivityStatus.PUBLISHED:
        raise WrongActivityState
    if work.now >= activity.ends_at:
        raise ActivityOver
    _refuse_too_early(work, draw)
    if draw.public_source is not None and public_value is None:
        raise InvalidInput(Issue("/public_value", "required"))
    if draw.public_source is None and public_value is not None:
        raise InvalidInput(Issue("/public_value", "no_public_source"))
    try:
        drawing.hold(work, activity, draw, public_value)
    except SealBrokenError:
        raise SeedLost from None
    return show(work, activity_id)


def _refuse_too_early(work: Work, draw: LotteryDraw) -> None:
    if work.now < draw.draws_at:
        raise DrawTooEarly
    if draw.closed_at is None and draw.public_source is None:
        drawing.close_entries(work, draw)
    if draw.closed_at is None:
        raise DrawTooEarly
