"""Whether answers fit the questions of an activity."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

from engage.activities.models import QuestionKind
from engage.core.errors import InvalidInput, Issue

DEFAULT_TEXT_CHARS: Final = 200
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_MAX_NUMBER: Final = 2**53 - 1  # beyond it whole numbers lose their last digits on the way (RFC 7493)


def check_answers(
    questions: list[dict[str, Any]], given: list[dict[str, Any]], *, complete: bool = True
) -> dict[str, Any]:
    """Return the answers by question id.

    Args:
        questions: the activity's, as stored.
        given: a list of {question_id, value} as sent.
        complete: whether required questions must be answered (staff who add somebody need not).

    Raises:
        InvalidInput: an unknown, repeated, missing or unfitting answer, at ``/answers/<index>``.

    """
    known = {question["id"]: question for question in questions}
    issues: list[Issue] = []
    answers: dict[str, Any] = {}
    for index, answer in enumerate(given):
        pointer, question = f"/answers/{index}", known.get(answer["question_id"])
        if question is None:
            issues.append(Issue(pointer, "no_such_question"))
        elif answer["question_id"] in answers:
            issues.append(Issue(pointer, "not_unique"))
        else:
            answers[answer["question_id"]] = answer["value"]
            issues += _fits(question, answer["value"], pointer)
    if complete:
        issues += [
            Issue("/answers", "missing_answer", {"question": question["label"]})
            for question in questions
            if question["required"] and question["id"] not in answers
        ]
    if issues:
        raise InvalidInput(*issues)
    return answers


def _fits(question: dict[str, Any], value: Any, pointer: str) -> list[Issue]:
    issue = _CHECKS[QuestionKind(question["kind"])](question, value)
    return [Issue(pointer, issue[0], issue[1])] if issue else []


_Fault = tuple[str, dict[str, object]] | None


def _text(question: dict[str, Any], value: Any) -> _Fault:
    longest = question["max_length"] or DEFAULT_TEXT_CHARS
    if not isinstance(value, str):
        return "not_text", {}
    if _CONTROL.search(value):
        return "bad_characters", {}
    if len(value) > longest:
        return "too_long", {"max": longest}
    return ("too_short", {"min": 1}) if question["required"] and not value.strip() else None


def _choice(question: dict[str, Any], value: Any) -> _Fault:
    if value not in question["choices"]:
        return "not_choice", {"choices": "、".join(question["choices"])}
    return None


def _multiple_choice(question: dict[str, Any], value: Any) -> _Fault:
    if not isinstance(value, list):
        return "not_list", {}
    if len(value) > len(question["choices"]):
        return "too_long", {"max": len(question["choices"])}
    if any(item not in question["choices"] for item in value):
        return "not_choice", {"choices": "、".join(question["choices"])}
    if len(set(value)) < len(value):
        return "not_unique", {}
    return ("too_short", {"min": 1}) if question["required"] and not value else None


def _number(question: dict[str, Any], value: Any) -> _Fault:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return "not_number", {}
    if question["min"] is not None and value < question["min"]:
        return "too_small", {"min": question["min"]}
    if question["max"] is not None and value > question["max"]:
        return "too_large", {"max": question["max"]}
    if abs(value) > _MAX_NUMBER:
        return ("too_large", {"max": _MAX_NUMBER}) if value > 0 else ("too_small", {"min": -_MAX_NUMBER})
    return None


_CHECKS: Final[dict[QuestionKind, Callable[[dict[str, Any], Any], _Fault]]] = {
    QuestionKind.TEXT: _text,
    QuestionKind.CHOICE: _choice,
    QuestionKind.MULTIPLE_CHOICE: _multiple_choice,
    QuestionKind.NUMBER: _number,
}
