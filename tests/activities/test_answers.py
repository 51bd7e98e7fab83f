"""What an answer may hold."""

from __future__ import annotations

import pytest

from engage.activities.schemas.activity import QuestionIn
from engage.activities.service.answers import check_answers
from engage.core.errors import InvalidInput


def ask(kind, value):
    choices = {"choices": ["上午", "晚上"]} if "choice" in kind else {}
    asked = {**QuestionIn().load({"kind": kind, "label": "？", **choices}), "id": "q1"}
    return check_answers([asked], [{"question_id": "q1", "value": value}])["q1"]


@pytest.mark.parametrize(
    ("kind", "value", "code"),
    [
        *(("text", f"a{character}b", "bad_characters") for character in "\x00\x07\x08\x0b\x1b\x7f"),
        ("number", 2.0**53, "too_large"),
        ("number", 1e308, "too_large"),
        ("number", -1e308, "too_small"),
        ("number", True, "not_number"),
        ("text", {"a": 1}, "not_text"),
        ("choice", "下午", "not_choice"),
        ("choice", ["上午"], "not_choice"),
        ("multiple_choice", ["上午", "下午"], "not_choice"),
        ("multiple_choice", ["上午", "上午"], "not_unique"),
    ],
)
def test_what_no_table_or_terminal_can_take_is_refused(kind, value, code):
    with pytest.raises(InvalidInput) as refused:
        ask(kind, value)
    assert [issue.code for issue in refused.value.issues] == [code]


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("text", "两行\n\t字"),
        ("number", 2**53 - 1),
        ("number", -0.5),
        ("choice", "晚上"),
        ("multiple_choice", ["晚上", "上午"]),
    ],
)
def test_everything_else_is_kept_as_it_is(kind, value):
    assert ask(kind, value) == value
