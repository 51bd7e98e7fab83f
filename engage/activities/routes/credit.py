"""Operations of credit and appeals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from engage.activities.errors import (
    AlreadyAppealed,
    AppealDecided,
    AppealTooLate,
    NoSuchAppeal,
    NoSuchCreditEntry,
    NothingToAppeal,
)
from engage.activities.queries import credit as queries
from engage.activities.schemas.credit import (
    AppealDecisionIn,
    AppealIn,
    AppealsQuery,
    CreditEntryOut,
    CreditEntryPage,
    CreditOut,
    StaffAppealOut,
    StaffAppealPage,
)
from engage.activities.service import credit as service
from engage.core.audit import listed
from engage.core.errors import NotAllowed
from engage.core.http import Api
from engage.core.schemas import PageQuery
from engage.identity.caller import member
from engage.orgs.caller import staff, staff_in_person

if TYPE_CHECKING:
    from uuid import UUID

    from engage.core.db import Look, Work
    from engage.core.paging import Page

api: Final = Api("信用 · Credit")


@api.operation("GET", "/me/credit", access=member, zh="我的信用分", returns=CreditOut)
def read_my_credit(look: Look) -> dict[str, Any]:
    """Read how many credit points the caller has, and what they mean."""
    return queries.my_credit(look)


@api.operation(
    "GET", "/me/credit-entries", access=member, zh="我的信用记录", query=PageQuery, returns=CreditEntryPage
)
def list_my_credit_entries(look: Look, query: dict[str, Any]) -> Page:
    """List what changed the caller's points, by which activity and rule, newest first.

    扣分记录附申诉期限和申诉结果。Losses come with the time to appeal and what became of an appeal.
    """
    return queries.list_my_entries(look, query)


@api.operation(
    "POST", "/me/credit-entries/{credit_entry_id}/appeal", access=member, zh="对扣分申诉", body=AppealIn,
    returns=CreditEntryOut, status=201, refuses=[NoSuchCreditEntry, NothingToAppeal, AlreadyAppealed, AppealTooLate],
    idempotent=True,
)  # fmt: skip
def appeal_credit_entry(work: Work, credit_entry_id: UUID, body: dict[str, Any]) -> dict[str, Any]:
    """Appeal against a loss of points, once.

    由活动主办组织的上一级处理。The level above the activity's organisation decides.
    """
    return service.appeal(work, credit_entry_id, body["text"])


@api.operation(
    "GET", "/credit-appeals", access=staff_in_person, zh="待我处理的申诉", query=AppealsQuery, returns=StaffAppealPage,
    people=listed(),
)  # fmt: skip
def list_credit_appeals(look: Look, query: dict[str, Any]) -> Page:
    """List the appeals that the caller decides, by default those that are open, the oldest first."""
    return queries.list_appeals(look, query)


@api.operation(
    "POST", "/credit-appeals/{appeal_id}/decision", access=staff, zh="处理申诉", body=AppealDecisionIn,
    returns=StaffAppealOut, refuses=[NoSuchAppeal, NotAllowed, AppealDecided],
)  # fmt: skip
def decide_credit_appeal(work: Work, appeal_id: UUID, body: dict[str, Any]) -> dict[str, Any]:
    """Uphold an appeal, which gives the points back, or dismiss it.

    可安全重复：同样的决定返回同样的结果。Safe to repeat: the same decision gives the same answer.
    """
    return service.decide_appeal(work, appeal_id, uphold=body["uphold"], reason=body["reason"])
