"""What must never be printed or logged: everything that the whole run of the tests captures is searched for it.

A record of the log, a line on standard output or standard error, during any test, with a secret or a personal datum in it fails
that test (tests/conftest.py). So do refusals that show one (tests/contract.py).
"""

from __future__ import annotations

import re
from typing import Any

import fakes

# By what they look like: most are made anew in each test.
WORDS = {
    "an access token": r"eyJ[\w-]{25,}",
    "an API key": r"engage_[0-9a-z]{16}_[0-9A-Za-z]{38}",
    "a refresh token or an invitation": r"[\w-]{43}",
    "an openid": r"o[\w-]{27}",
    "a log-in code of WeChat": r"0[A-Za-z0-9]{31}",
    "an access token of WeChat": r"\d{1,4}_[\w-]{120,}",
}
TEXTS = {
    "the secret of the service": r"a secret for tests, long enough to be taken",
    "the secret of the mini program": re.escape(fakes.SECRET),
    "a session key of WeChat": r"session_key\W{1,4}[\w+/]{8}",
    "a phone number": r"\+861[3-9]\d{9}|(?:1[3-9]\d{9}|1206660\d{4})(?<![\w.]\d{11})(?!\w)",
    "a name": r"青年\d+|李晓燕|张三|李四",
    "a birth date": r"2006-03-05",
    "a password of the database": r"postgres(?:ql)?(?:\+psycopg)?://[^\s:/@]+:(?!\*|…|PASSWORD)[^\s:/@]+@",
    "a private key": r"BEGIN (?:EC |RSA )?PRIVATE" + " KEY",
}
_LONG = re.compile(
    r"[\w-]{28,}", re.ASCII
)  # first: to try every pattern at every letter takes ten times as long
_WORDS = {kind: re.compile(pattern) for kind, pattern in WORDS.items()}
_TEXTS = {kind: re.compile(pattern) for kind, pattern in TEXTS.items()}


def found(text: str) -> str | None:
    """Say what kind of secret a text holds and where, None for none. Never the secret itself: a report is read by many."""
    for match in _LONG.finditer(text):
        word = match[0]
        if word.islower() or word.isupper() or word.isalpha():  # names, ids and digests
            continue
        for kind, pattern in _WORDS.items():
            if pattern.fullmatch(word):
                return _told(kind, text, match.start())
    for kind, pattern in _TEXTS.items():
        hit = pattern.search(text)
        if hit:
            return _told(kind, text, hit.start())
    return None


def _told(kind: str, text: str, start: int) -> str:
    return f"{kind}, line {text.count(chr(10), 0, start) + 1}, after {text[max(0, start - 60) : start]!r}"


def judge(report: Any) -> None:
    """Fail the report of one phase of a test that has let something out; what has failed already says so itself."""
    let_out = [
        f"{name}: {leak}"
        for name, text in report.sections
        if name.startswith("Captured") and name.endswith(report.when) and (leak := found(text))
    ]
    if let_out and report.outcome != "failed":
        report.outcome, report.longrepr = "failed", "\n".join(["This was let out:", *let_out])
