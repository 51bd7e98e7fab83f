"""An activity's terms: what its writer said, and the city's defaults for the rest."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import delete, exists, select

from engage.activities.errors import AdmissionFrozen, CapacityBelowTaken
from engage.activities.models import Activity, AdmissionMode, Pool, SignUp, SignUpState
from engage.core.errors import InvalidInput, Issue

if TYPE_CHECKING:
    from uuid import UUID

    from engage.core.config import Settings
    from engage.core.db import Work

_NOTHING: Final[dict[str, Any]] = {}
_KEPT: Final = ("audience", "county_codes")  # whom a pool is for stays while somebody is in
_SHOWN_FOR: Final = timedelta(minutes=5)  # how long everybody can read the entries before they are drawn


def terms_of(settings: Settings, body: dict[str, Any]) -> dict[str, Any]:
    """Return the columns that the parts ``admission``, ``waitlist`` and ``attendance`` of a body amount to.

    Raises:
        InvalidInput: the queue would close before offers begin, pools do not add up to the capacity or merge after the end, or a
            lottery is drawn too soon or too late.

    """
    admission, waitlist, attendance = (
        body.get(part) or _NOTHING for part in ("admission", "waitlist", "attendance")
    )

    def said(part: dict[str, Any], name: str, default: Any) -> Any:
        given = part.get(name)
        return default if given is None else given

    window = said(waitlist, "offer_window_minutes", settings.offer_window_minutes)
    closes = said(waitlist, "closes_minutes", settings.queue_closes_minutes)
    starts_at = body["starts_at"]
    queue_closes_at = starts_at - timedelta(minutes=closes)
    pools = admission.get("pools") or []
    issues = [
        *_misfits(body, pools, admission.get("pools_merge_at")),
        *_misplaced(body, admission.get("lottery"), closes),
    ]
    if closes > window:
        issues.append(Issue("/waitlist/closes_minutes", "too_large", {"max": window}))
    if issues:
        raise InvalidInput(*issues)
    return {
        "admission_mode": admission.get("mode", AdmissionMode.FIRST_COME),
        "overlap": said(admission, "overlap", settings.overlap),
        "pools_merge_at": said(admission, "pools_merge_at", queue_closes_at) if pools else None,
        "offers_from_at": starts_at - timedelta(minutes=window),
        "queue_closes_at": queue_closes_at,
        "offer_minutes": said(waitlist, "offer_minutes", settings.offer_minutes),
        "quiet_from": _minutes(waitlist.get("quiet_from"), settings.quiet_from),
        "quiet_until": _minutes(waitlist.get("quiet_until"), settings.quiet_until),
        "excuse_until_at": starts_at
        - timedelta(minutes=said(attendance, "excuse_minutes", settings.excuse_minutes)),
        "late_minutes": said(attendance, "late_minutes", settings.late_minutes),
        "presence_percent": said(attendance, "presence_percent", settings.presence_percent),
        "requires_check_out": attendance.get("requires_check_out", False),
    }


def _misfits(body: dict[str, Any], pools: list[dict[str, Any]], merge_at: Any) -> list[Issue]:
    if not pools:
        return []
    issues = []
    places = sum(pool["capacity"] for pool in pools)
    if places != body["capacity"]:
        issues.append(
            Issue("/admission/pools", "pools_unequal_capacity", {"sum": places, "capacity": body["capacity"]})
        )
    if merge_at is not None and merge_at > body["ends_at"]:
        issues.append(
            Issue("/admission/pools_merge_at", "bad_order", {"first": "pools_merge_at", "second": "ends_at"})
        )
    return issues


def _misplaced(body: dict[str, Any], lottery: dict[str, Any] | None, closes: int) -> list[Issue]:
    """Return what is wrong with when a lottery is drawn: some time after sign-up closes, not once its queue has closed."""
    if lottery is None:
        return []
    at, draws_at = "/admission/lottery/draws_at", lottery["draws_at"]
    # Who is not drawn gets a turn in a queue: it must still move.
    if draws_at > body["starts_at"] - timedelta(minutes=closes):
        return [Issue(at, "too_late_before", {"second": "starts_at", "minutes": closes})]
    if draws_at < body["sign_up_closes_at"] + _SHOWN_FOR:
        minutes = _SHOWN_FOR // timedelta(minutes=1)
        return [Issue(at, "too_soon_after", {"first": "sign_up_closes_at", "minutes": minutes})]
    return []


def _minutes(given: str | None, default: int) -> int:
    if given is None:
        return default
    hours, _, minutes = given.partition(":")
    return (int(hours) * 60 + int(minutes)) % 1440


def is_used(work: Work, activity_id: UUID) -> bool:
    """Say whether somebody has a live sign-up: what they were told, asked and matched with stays as it is."""
    live = exists().where(SignUp.activity_id == activity_id, SignUp.state != SignUpState.CANCELLED)
    return bool(work.session.scalar(select(live)))


def set_pools(work: Work, activity: Activity, pools: list[dict[str, Any]], *, used: bool) -> None:
    """Divide a locked activity's places into pools, in the order given; none: all places are one.

    While somebody is in, names, capacities and the order of overflow may change, not whom the pools are for, nor whether they take
    overflow. Once merged, pools stay as they were.

    Raises:
        AdmissionFrozen: somebody has signed up, and the pools would be for others.
        CapacityBelowTaken: a pool would have fewer places than are taken in it.

    """
    before = work.session.scalars(
        select(Pool).where(Pool.activity_id == activity.id).order_by(Pool.position)
    ).all()
    same = len(before) == len(pools) and all(
        all(getattr(pool, name) == given[name] for name in _KEPT)
        and (pool.overflow_rank is None) == (given["overflow_rank"] is None)
        for pool, given in zip(before, pools, strict=True)
    )
    if used and not same:
        raise AdmissionFrozen
    if same:
        for pool, given in zip(before, pools, strict=True):
            _resize(pool, given)
        return
    work.session.execute(delete(Pool).where(Pool.activity_id == activity.id))
    work.session.expire_all()
    for position, given in enumerate(pools, 1):
        work.session.add(Pool(activity_id=activity.id, position=position, **given))
    activity.pools_merged = not pools


def _resize(pool: Pool, given: dict[str, Any]) -> None:
    if not pool.merged and given["capacity"] < pool.taken:
        raise CapacityBelowTaken(
            Issue(f"/admission/pools/{pool.position - 1}/capacity", "too_small", {"min": pool.taken}),
            taken=pool.taken,
            affected=pool.taken - given["capacity"],
        )
    pool.name, pool.capacity, pool.overflow_rank = given["name"], given["capacity"], given["overflow_rank"]
