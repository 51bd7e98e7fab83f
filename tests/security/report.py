# ruff: noqa: T201 - a report is printed
"""The table of attempts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import groupby

import httpx

from .target import code_of


@dataclass(frozen=True)
class Attempt:
    """One thing that was tried, the answer, and whether it was in vain."""

    kind: str
    what: str
    answer: str
    in_vain: bool


@dataclass
class Report:
    """All of them. ``notes`` are measurements that prove nothing by themselves."""

    attempts: list[Attempt] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, kind: str, what: str, answer: httpx.Response | str, in_vain: object) -> None:
        """Note an attempt."""
        text = answer if isinstance(answer, str) else f"{answer.status_code} {code_of(answer)}".strip()
        self.attempts.append(Attempt(kind, what, text, bool(in_vain)))

    def add_many(self, kind: str, what: str, answers: Iterable[httpx.Response], in_vain: object) -> None:
        """Note many attempts of one kind as one line."""
        counted = Counter(f"{answer.status_code} {code_of(answer)}".strip() for answer in answers)
        told = ", ".join(f"{answer} × {count}" for answer, count in counted.most_common(4))
        self.add(kind, f"{what} ({sum(counted.values())})", told, in_vain)

    @property
    def succeeded(self) -> list[Attempt]:
        return [attempt for attempt in self.attempts if not attempt.in_vain]

    def print(self) -> None:
        """Print each attempt and its answer."""
        for kind, group in groupby(self.attempts, key=lambda attempt: attempt.kind):
            print(f"\n### {kind}\n\n| attempt | answer | |\n|---|---|---|")
            for attempt in group:
                what = attempt.what.replace("|", "\\|")
                print(f"| {what} | {attempt.answer} | {'in vain' if attempt.in_vain else '**SUCCEEDED**'} |")
        for note in self.notes:
            print(f"\n{note}")
        print("\n| kind | attempts | succeeded |\n|---|---|---|")
        kinds = Counter(attempt.kind for attempt in self.attempts)
        bad = Counter(attempt.kind for attempt in self.succeeded)
        for kind, count in kinds.items():
            print(f"| {kind} | {count} | {bad[kind]} |")
        print(f"\n{len(self.attempts)} attempts, {len(self.succeeded)} succeeded.")
