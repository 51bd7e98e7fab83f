"""JSON shapes of the home screen: what a card shows, so that all of it fits into 12 KB."""

from __future__ import annotations

from typing import Final

from engage.activities.models import ActivityState
from engage.activities.schemas.activity import RefOut
from engage.core.schemas import Choice, Flag, Id, Inner, Instant, Listed, Out, Text, Whole
from engage.enclaves.schemas import EnclaveBranchOut
from engage.home.queries import HUBS, OPEN_ACTIVITIES, SIGN_UPS
from engage.hubs.schemas import HubOut
from engage.regions.schemas import DivisionCode, NearQuery

_ID: Final = "0199f0c2-b7a0-7c3f-9f5d-2f7a1c3e5b7d"


class HomeQuery(NearQuery):
    """Where the caller is, if they let the mini program know."""


class HomeActivityOut(Out):
    """An activity on the home screen; the rest is at its own address."""

    id = Id(required=True, metadata={"example": _ID})
    title = Text(60, required=True, metadata={"example": "团青有约：青年创业分享会"})
    state = Choice(ActivityState, required=True, metadata={"example": "registration_open"})
    project = Inner(RefOut, required=True)
    place_name = Text(80, required=True, metadata={"example": "城区东街街道青年之家"})
    county_code = DivisionCode(required=True, metadata={"example": "140502"})
    starts_at = Instant(required=True, metadata={"example": "2026-12-05T14:00:00+08:00"})
    ends_at = Instant(required=True, metadata={"example": "2026-12-05T16:00:00+08:00"})
    sign_up_closes_at = Instant(required=True, metadata={"example": "2026-12-05T12:00:00+08:00"})
    places_left = Whole(required=True, metadata={"example": 12})
    waiting = Whole(required=True, metadata={"example": 0})
    distance_m = Whole(
        required=True,
        allow_none=True,
        metadata={"example": 850, "description": "不在 50 公里内则为 null · null beyond 50 km"},
    )


class HomeSignUpOut(Out):
    """The caller's sign-up, with its place in the queue while it waits."""

    id = Id(required=True, metadata={"example": _ID})
    position = Whole(
        required=True,
        allow_none=True,
        metadata={
            "example": 3,
            "description": "候补位次，1 为下一位；已确认为 null · 1 is next; null when confirmed",
        },
    )
    checked_in_at = Instant(required=True, allow_none=True, metadata={"example": None})
    activity = Inner(HomeActivityOut, required=True)


class GreetingOut(Out):
    name = Text(40, required=True, allow_none=True, metadata={"example": "李晓燕"})
    profile_complete = Flag(required=True, metadata={"example": True})


class HomeBranchOut(EnclaveBranchOut):
    """The enclave branch that the caller joined, or has applied to: then ``joined_at`` is null."""

    joined_at = Instant(required=True, allow_none=True, metadata={"example": "2026-10-01T12:00:00+08:00"})


class HomeOut(Out):
    """The first screen. Without log-in ``me`` and ``enclave_branch`` are null and the personal lists empty."""

    me = Inner(GreetingOut, required=True, allow_none=True)
    next_activities = Listed(Inner(HomeSignUpOut), SIGN_UPS, required=True)
    queue = Listed(Inner(HomeSignUpOut), SIGN_UPS, required=True)
    open_activities = Listed(Inner(HomeActivityOut), OPEN_ACTIVITIES, required=True)
    hubs = Listed(Inner(HubOut), HUBS, required=True)
    enclave_branch = Inner(HomeBranchOut, required=True, allow_none=True)
    unread_messages = Whole(required=True, metadata={"example": 2})
