"""Operations of evidence and findings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from engage.activities.errors import NoSuchActivity
from engage.core.errors import NotAllowed
from engage.core.http import Api
from engage.core.replies import NO_STORE
from engage.evaluation import queries, service
from engage.evaluation.errors import (
    FindingClosed,
    FindingDueInPast,
    NoSuchFinding,
    NotYourAnswer,
    NotYourFinding,
    OwnAnswer,
    OwnFinding,
)
from engage.evaluation.schemas import (
    EvidenceOut,
    FindingAnswerIn,
    FindingClosureIn,
    FindingIn,
    FindingOut,
    FindingPage,
    FindingsQuery,
)
from engage.hubs.errors import NoSuchHub
from engage.orgs.caller import staff, staff_in_person
from engage.orgs.errors import NoSuchOrg

if TYPE_CHECKING:
    from uuid import UUID

    from engage.core.db import Look, Work
    from engage.core.paging import Page

api: Final = Api("督查 · Evidence and findings")


@api.operation(
    "GET", "/activities/{activity_id}/evidence", access=staff, zh="活动的督查依据", returns=EvidenceOut,
    refuses=[NoSuchActivity, NotAllowed],
)  # fmt: skip
def read_evidence(look: Look, activity_id: UUID) -> dict[str, Any]:
    """Read what can be checked about an activity, without people.

    只有事实和数字，不含任何个人、评价文字。各数字与统计、时长台账口径一致；评分不足 5 个时不给平均分，否则等于说出某个人打了几分。

    Facts and counts only: no person, no words of feedback. The counts are those of the figures and of the ledger of hours. A mean rating is given from
    five ratings on: that of one or two would tell what somebody gave.
    """
    return queries.read_evidence(look, activity_id)


@api.operation(
    "GET", "/findings", access=staff_in_person, zh="督查意见列表", query=FindingsQuery, returns=FindingPage
)  # fmt: skip
def list_findings(look: Look, query: dict[str, Any]) -> Page:
    """List the findings that the caller writes or answers, the newest first."""
    return queries.list_findings(look, query)


@api.operation(
    "GET", "/findings/{finding_id}", access=staff_in_person, zh="查看一条督查意见", returns=FindingOut, refuses=[NoSuchFinding],
    cache=NO_STORE,
)  # fmt: skip
def read_finding(look: Look, finding_id: UUID) -> dict[str, Any]:
    """Read a finding, with what the caller may do with it."""
    return queries.read_finding(look, finding_id)


@api.operation(
    "POST", "/findings", access=staff, zh="写督查意见", body=FindingIn, returns=FindingOut, status=201,
    refuses=[NoSuchActivity, NoSuchHub, NoSuchOrg, NotAllowed, FindingDueInPast], idempotent=True, location="/findings/{id}",
)  # fmt: skip
def write_finding(work: Work, body: dict[str, Any]) -> dict[str, Any]:
    """Write a finding about an activity, a hub or an organisation.

    分表扬、建议、问题三种；问题可以给出答复期限。最近的、可以答复的工作人员会收到消息。写下后不能修改，写错了请撤回重写。

    A commendation, a suggestion or a problem; for a problem it may say by when to answer. The nearest who may answer are told. What is written stays:
    withdraw what is wrong, and write it anew.
    """
    return service.write_finding(work, body)


@api.operation(
    "PUT", "/findings/{finding_id}/answer", access=staff, zh="答复督查意见", body=FindingAnswerIn, returns=FindingOut,
    refuses=[NoSuchFinding, NotAllowed, FindingClosed, OwnFinding, NotYourAnswer], if_match=True, cache=NO_STORE,
)  # fmt: skip
def answer_finding(work: Work, finding_id: UUID, body: dict[str, Any], version: int | None) -> dict[str, Any]:
    """Answer a finding; until it is closed whoever answered may replace their answer."""
    return service.answer_finding(work, finding_id, body["answer"], version)


@api.operation(
    "POST", "/findings/{finding_id}/close", access=staff, zh="办结或撤回督查意见", body=FindingClosureIn, returns=FindingOut,
    refuses=[NoSuchFinding, NotAllowed, FindingClosed, NotYourFinding, OwnAnswer], if_match=True,
)  # fmt: skip
def close_finding(work: Work, finding_id: UUID, body: dict[str, Any], version: int | None) -> dict[str, Any]:
    """Settle a finding, or withdraw one's own.

    办结由写的人或上一级作出，答复的人、本站点或本组织的工作人员除外；撤回只能由写的人作出。写的人和答复的人会收到消息。

    Who wrote it settles it, or somebody of a level above: nobody what they answered, nor what is about the hub or organisation that they run. Only who wrote it
    withdraws it. Who wrote it and who answered it are told.
    """
    return service.close_finding(work, finding_id, body["outcome"], version)
