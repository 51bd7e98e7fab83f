"""Operations of service hours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from engage.activities.errors import (
    HoursAlreadyGiven,
    HoursNotReversible,
    HoursOverlap,
    NoSuchActivity,
    NoSuchHoursEntry,
    NoSuchSignUp,
    SignUpNotConfirmed,
    WrongActivityState,
)
from engage.activities.queries import hours as queries
from engage.activities.schemas.activity import ReasonIn
from engage.activities.schemas.hours import ActivityHoursPage, MakeUpIn, MyHoursPage, StaffHoursEntryOut
from engage.activities.service import hours as service
from engage.core.audit import listed
from engage.core.errors import NotAllowed
from engage.core.http import Api
from engage.core.schemas import PageQuery
from engage.identity.caller import member
from engage.orgs.caller import staff

if TYPE_CHECKING:
    from uuid import UUID

    from engage.core.db import Look, Work
    from engage.core.paging import Page

api: Final = Api("服务时长 · Service hours")


@api.operation("GET", "/me/hours", access=member, zh="我的服务时长", query=PageQuery, returns=MyHoursPage)
def list_my_hours(look: Look, query: dict[str, Any]) -> dict[str, Any]:
    """List the entries of the caller's service hours, with totals.

    活动总结后，在场达到规定比例的人按活动时长全额记入，否则不记；同一时间只计一次；记错的只撤销，不改写。

    Closing an activity gives its hours, whole, to everybody who was there for the share of the time it asks for. Time
    counts once. What is wrong is reversed, never rewritten.
    """
    return queries.list_my_hours(look, query)


@api.operation(
    "GET", "/activities/{activity_id}/hours", access=staff, zh="活动的在场与时长", query=PageQuery, returns=ActivityHoursPage,
    refuses=[NoSuchActivity, NotAllowed], people=listed(),
)  # fmt: skip
def list_activity_hours(look: Look, activity_id: UUID, query: dict[str, Any]) -> Page:
    """List how long people were there and which hours they have, or why none."""
    return queries.list_activity_hours(look, activity_id, query)


@api.operation(
    "POST", "/activities/{activity_id}/hours", access=staff, zh="补录时长", body=MakeUpIn, returns=StaffHoursEntryOut, status=201,
    refuses=[
        NoSuchActivity, NotAllowed, WrongActivityState, NoSuchSignUp, SignUpNotConfirmed, HoursAlreadyGiven, HoursOverlap,
    ],
    idempotent=True,
)  # fmt: skip
def make_up_hours(work: Work, activity_id: UUID, body: dict[str, Any]) -> dict[str, Any]:
    """Give hours of a closed activity that no check-in shows; marked as made up."""
    return service.make_up(work, activity_id, body["person_id"], body["minutes"], body["reason"])


@api.operation(
    "POST", "/hours-entries/{entry_id}/reversal", access=staff, zh="撤销时长", body=ReasonIn, returns=StaffHoursEntryOut,
    refuses=[NoSuchHoursEntry, HoursNotReversible],
)  # fmt: skip
def reverse_hours(work: Work, entry_id: UUID, body: dict[str, Any]) -> dict[str, Any]:
    """Take hours back, with a reason; the person is told.

    可安全重复：返回已有的撤销记录。已列入证明的，该证明随即失效。
    Safe to repeat: returns the reversal that is there. A certificate that lists the hours is superseded.
    """
    return service.reverse(work, entry_id, body["reason"])
