"""The home screen, put together from what the features know."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from engage.activities.models import HOLDS_PLACE, SignUpState
from engage.activities.queries.activities import open_activities
from engage.activities.queries.sign_ups import my_next_sign_ups
from engage.enclaves.queries import my_branch_for_home
from engage.hubs.queries import near_hubs
from engage.identity.queries import read_greeting
from engage.messages.queries import count_unread

if TYPE_CHECKING:
    from engage.core.db import Context
    from engage.regions.geo import Point

SIGN_UPS: Final = 3
OPEN_ACTIVITIES: Final = 6
HUBS: Final = 5
_WAITING: Final = (SignUpState.WAITLISTED, SignUpState.APPLIED)
_NOTHING_PERSONAL: Final[dict[str, Any]] = {
    "me": None,
    "next_activities": [],
    "queue": [],
    "enclave_branch": None,
    "unread_messages": 0,
}


def read_home(look: Context, near: Point | None) -> dict[str, Any]:
    """Return the first screen around a point in GCJ-02. At most seven statements, whatever the data."""
    personal = _NOTHING_PERSONAL if look.actor.id is None else _personal(look)
    return {
        **personal,
        "open_activities": [_activity(card) for card in open_activities(look, near, OPEN_ACTIVITIES)],
        "hubs": near_hubs(look, near, HUBS) if near is not None else [],
    }


def _personal(look: Context) -> dict[str, Any]:
    sign_ups = my_next_sign_ups(look, SIGN_UPS)
    return {
        "me": read_greeting(look, look.actor.id),
        "next_activities": [_sign_up(mine) for mine in sign_ups if mine["state"] in HOLDS_PLACE][:SIGN_UPS],
        "queue": [_sign_up(mine) for mine in sign_ups if mine["state"] in _WAITING][:SIGN_UPS],
        "enclave_branch": my_branch_for_home(look),
        "unread_messages": count_unread(look),
    }


def _sign_up(mine: dict[str, Any]) -> dict[str, Any]:
    return {**mine, "activity": _activity(mine["activity"])}


def _activity(card: dict[str, Any]) -> dict[str, Any]:
    return {**card, "place_name": card["place"]["name"]}
