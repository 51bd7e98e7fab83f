"""Refusals: one code each, a sentence in both languages, none forgotten."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import engage
from engage.app import APIS
from engage.core import errors, openapi
from engage.core.errors import ISSUE_TEXTS, STATUS_TITLES, DomainError, HttpRefusal, Issue, Language
from engage.identity.errors import AccountClosed, AccountSuspended, WeChatAccountBlocked

CJK = re.compile(r"[\u4e00-\u9fff]")
PLACEHOLDER = re.compile(r"\{(\w+)\}")
SOURCE = {path: path.read_text(encoding="utf-8") for path in Path(engage.__file__).parent.rglob("*.py")}

# Given by the HTTP layer outside any operation.
OUTSIDE_OPERATIONS = {"no_such_address", "method_not_allowed", "malformed_request"}
# Given by commands (engage import, engage grant, engage keys), whose use cases no operation offers.
OF_COMMANDS = {
    "grant_ends_early",
    "import_order",
    "no_such_grant_place",
    "no_such_signing_key",
    "role_already_held",
    "role_not_here",
}


def _subclasses(kind):
    for child in kind.__subclasses__():
        yield child
        yield from _subclasses(child)


REFUSALS = sorted(
    {
        kind
        for kind in _subclasses(DomainError)
        if "code" in vars(kind) and kind.__module__.startswith("engage.")
    },
    key=lambda kind: kind.code,
)
each_refusal = pytest.mark.parametrize("refusal", REFUSALS, ids=lambda refusal: refusal.code)


def test_codes_are_used_once():
    codes = [refusal.code for refusal in REFUSALS]
    assert sorted(codes) == sorted(set(codes))


@each_refusal
def test_it_has_a_status_and_a_sentence_in_both_languages(refusal):
    assert refusal.status in STATUS_TITLES
    assert re.fullmatch(r"[a-z]+(_[a-z0-9]+)*", refusal.code)
    assert CJK.search(refusal.zh)
    assert refusal.zh[-1] in "。！？"
    assert not CJK.search(refusal.en)
    assert refusal.en[-1] in ".!?"
    assert set(PLACEHOLDER.findall(refusal.zh)) == set(PLACEHOLDER.findall(refusal.en))


@each_refusal
def test_it_is_documented_by_some_operation(refusal):
    documented = {
        found.code for api in APIS for operation in api.operations for found in openapi.refusals(operation)
    }
    assert refusal.code in documented | OUTSIDE_OPERATIONS | OF_COMMANDS


@each_refusal
def test_it_is_raised_somewhere(refusal):
    outside = (
        text
        for path, text in SOURCE.items()
        if path.name not in ("errors.py", "openapi.py")
        and path.name != "routes.py"
        and path.parent.name != "routes"
    )
    assert any(re.search(rf"\b{refusal.__name__}\b", text) for text in outside), (
        f"nothing raises {refusal.__name__}"
    )


@pytest.mark.parametrize("code", sorted(ISSUE_TEXTS))
def test_issues_have_a_sentence_in_both_languages(code):
    zh, en = ISSUE_TEXTS[code]
    assert CJK.search(zh)
    assert not CJK.search(en)
    assert set(PLACEHOLDER.findall(zh)) == set(PLACEHOLDER.findall(en))
    values = dict.fromkeys(PLACEHOLDER.findall(zh), "x")
    assert "{" not in Issue("", code, values).sentence(Language.ZH)
    assert "{" not in Issue("", code, values).sentence(Language.EN)


@pytest.mark.parametrize("code", sorted(ISSUE_TEXTS))
def test_issue_codes_are_used(code):
    texts = [text.replace("ISSUE_TEXTS", "") for text in SOURCE.values()]
    definition = f'"{code}": ('
    assert any(f'"{code}"' in text.replace(definition, "") for text in texts)


@pytest.mark.parametrize(
    ("refusal", "zh", "en"),
    [
        (AccountSuspended, "团组织", "League committee"),
        (AccountClosed, "团组织", "League committee"),
        (WeChatAccountBlocked, "帮助与反馈", "Help & Feedback"),
    ],
)
def test_whoever_cannot_get_in_is_told_who_to_turn_to(refusal, zh, en):
    assert zh in refusal().sentence(Language.ZH)
    assert en in refusal().sentence(Language.EN)


def test_titles_come_in_both_languages():
    for zh, en in STATUS_TITLES.values():
        assert CJK.search(zh)
        assert not CJK.search(en)


def test_any_status_of_the_http_layer_becomes_a_problem():
    for status in (*STATUS_TITLES, 418, 599):
        refusal = HttpRefusal(status)
        body = refusal.problem(Language.EN, "x" * 32)
        assert body["status"] == refusal.status
        assert body["status"] in errors.STATUS_TITLES
        assert body["detail"].endswith(".")
