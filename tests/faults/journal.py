"""What the clients of a rush were told, and when."""

from __future__ import annotations

import threading
import time
from collections import Counter
from dataclasses import dataclass
from typing import Any
from uuid import UUID

ENTERING = ("join", "added", "again")  # verbs whose success means a live sign-up
LEAVING = ("leave", "cancelled")  # verbs whose success means there is none


@dataclass(frozen=True)
class Answer:
    """A definite answer (not 5xx) about one person, after as many tries as it took."""

    person_id: UUID
    verb: str
    status: int
    body: dict[str, Any]
    asked_at: float  # when the first try was sent
    answered_at: float
    tries: int = 1

    @property
    def is_open(self) -> bool:
        """A refusal of a repeated try: an earlier one, given up by the client, may still get what is freed later."""
        return self.verb in ENTERING and self.status >= 400 and self.tries > 1

    @property
    def sign_up_id(self) -> UUID | None:
        return UUID(self.body["id"]) if self.status in (200, 201) and "id" in self.body else None

    @property
    def state(self) -> str | None:
        return self.body.get("state") if self.status in (200, 201) else None


class Journal:
    """Everything that was asked and answered in one rush; shared by its threads."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self.answers: list[Answer] = []
        self.tries = 0
        self.failures: Counter[str] = Counter()  # tries without a definite answer, by what happened
        self.wrong: list[str] = []
        self.given_up = False
        self._served: list[tuple[float, float]] = []

    def failed(self, what: str) -> None:
        """Note a try that the client has to repeat."""
        with self._changed:
            self.tries += 1
            self.failures[what] += 1
            self._changed.notify_all()

    def answered(self, answer: Answer, sent_at: float) -> None:
        """Note a definite answer, and when the try that brought it was sent."""
        with self._changed:
            self.tries += 1
            self.answers.append(answer)
            self._served.append((sent_at, answer.answered_at))
            self._changed.notify_all()

    def complain(self, sentence: str) -> None:
        """Note an answer that must never be given."""
        with self._changed:
            self.wrong.append(sentence)

    def give_up(self) -> None:
        """Send the clients home: the fault itself could not be made."""
        self.given_up = True

    @property
    def acknowledged(self) -> int:
        return sum(answer.status < 300 for answer in self.answers)

    def wait_for_answers(self, count: int, seconds: float = 60) -> None:
        """Return once so many definite answers have been given."""
        self._wait(lambda: len(self.answers) >= count, seconds)

    def failure_count(self) -> int:
        """Return how many tries have failed so far."""
        return sum(self.failures.values())

    def wait_for_failures(self, count: int = 1, *, since: int | None = None, seconds: float = 60) -> None:
        """Return once so many more tries have failed than had ``since``, read before the fault, or than have now."""
        wanted = (self.failure_count() if since is None else since) + count
        self._wait(lambda: self.failure_count() >= wanted, seconds)

    def _wait(self, condition: Any, seconds: float) -> None:
        with self._changed:
            if not self._changed.wait_for(condition, seconds):
                raise TimeoutError(f"{len(self.answers)} answers, failures {dict(self.failures)}")

    def recovered_after(self, instant: float) -> float:
        """Return the seconds from an instant to the first definite answer to a try sent after it."""
        return min(answered for sent, answered in self._served if sent >= instant) - instant

    def longest(self) -> float:
        """Return the longest that anybody waited for a definite answer, all tries together, in seconds."""
        return max(answer.answered_at - answer.asked_at for answer in self.answers)


def now() -> float:
    """Return the clock of the journal."""
    return time.monotonic()
