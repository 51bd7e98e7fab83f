"""Refusals about findings."""

from __future__ import annotations

from engage.core.errors import Conflict, Forbidden, Invalid, NotFound


class NoSuchFinding(NotFound):
    code = "no_such_finding"
    zh, en = "没有这条督查意见，或您不能查看。", "There is no such finding, or you may not see it."


class FindingDueInPast(Invalid):
    code = "finding_due_in_past"
    zh, en = "答复期限不能早于今天。", "An answer cannot be due before today."


class FindingClosed(Conflict):
    code = "finding_closed"
    zh, en = (
        "这条督查意见已经办结或撤回，不能再改。",
        "This finding is closed; nothing of it changes any more.",
    )


class OwnFinding(Forbidden):
    code = "own_finding"
    zh, en = (
        "不能答复自己写的督查意见，请由被督查的一方答复。",
        "You cannot answer your own finding; those whom it is about must.",
    )


class NotYourFinding(Forbidden):
    code = "not_your_finding"
    zh, en = (
        "督查意见只能由写的人撤回；问题已经解决的，请办结。",
        "Only who wrote a finding withdraws it; settle it if it has been dealt with.",
    )


class NotYourAnswer(Forbidden):
    code = "not_your_answer"
    zh, en = (
        "这条督查意见已由他人答复，只能由答复的人修改。",
        "Somebody else has answered this finding; only they replace their answer.",
    )


class OwnAnswer(Forbidden):
    code = "own_answer"
    zh, en = (
        "答复由您作出，不能再由您办结，请由督查的一方办结。",
        "You answered this finding, so somebody else must settle it.",
    )
