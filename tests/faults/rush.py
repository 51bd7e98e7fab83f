"""Many people at one activity, all paths mixed, with one fault in the middle; and the verdict."""

from __future__ import annotations

import random
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID, uuid4

from faults.clients import Client, Request
from faults.invariants import Held, truth, violations
from faults.journal import ENTERING, Answer, Journal
from faults.stage import Stage

CAPACITY, QUEUE, CLIENTS = 12, 14, 8
_TURNS_TO_REST = 5
# What people do, one step after the other, and how many of 56 do it. "added" and "cancelled" are done by staff.
SCRIPTS: dict[tuple[str, ...], int] = {
    ("join",): 20,
    ("join", "join"): 8,
    ("join", "leave"): 8,
    ("join", "leave", "join"): 5,
    ("added",): 4,
    ("added", "join"): 3,
    ("added", "cancelled"): 4,
    ("join", "cancelled", "join"): 4,
}


@dataclass
class Person:
    """Somebody with steps still to do."""

    id: UUID
    steps: deque[str]
    may_walk_away: bool
    sign_up_id: UUID | None = None  # of the live sign-up, as far as they were told

    def learn(self, answer: Answer | None) -> None:
        """Take in what was answered; what cannot be done any more is not tried."""
        if answer is not None and answer.status < 300:
            self.sign_up_id = answer.sign_up_id if answer.verb in ENTERING else None
        if self.steps and self.steps[0] == "cancelled" and self.sign_up_id is None:
            self.steps.popleft()  # it was full: staff have nothing to cancel

    def something_more(self, *, walk_away: bool) -> str:
        """Return one more step: out and in again, but in only for those who now walk away from answers."""
        stays = walk_away and self.may_walk_away
        return "join" if stays or self.sign_up_id is None else "leave"


@dataclass(frozen=True)
class Verdict:
    """What came of a rush."""

    told: list[Answer]
    tries: int
    acknowledged: int
    repeated: int
    recovery: float
    longest: float
    failures: dict[str, int]
    wrong: list[str]


class Rush:
    """One rush at one new activity. Each person is in the hands of one client at a time."""

    def __init__(self, stage: Stage, seed: int) -> None:
        self.stage, self.journal = stage, Journal()
        self.choose = random.Random(seed)
        self.activity_id = stage.open_activity(CAPACITY, QUEUE)
        self.walk_away = False
        self._fault_is_over = threading.Event()
        self._guard = threading.Lock()
        self._people = deque(self._cast())
        self.steps = sum(len(person.steps) for person in self._people)

    def _cast(self) -> list[Person]:
        scripts = [script for script, count in SCRIPTS.items() for _ in range(count)]
        self.choose.shuffle(scripts)
        # An answer that nobody waits for may still be on its way when the same person asks for something else, and
        # then nobody can say what the truth is. So only those walk away who ask for one thing alone.
        return [
            Person(person_id, deque(script), not {"leave", "cancelled"} & set(script))
            for person_id, script in zip(self.stage.tokens, scripts, strict=True)
        ]

    def run(self, inject: Callable[[Rush], float]) -> Verdict:
        """Rush, let a fault happen on the way, and judge. ``inject`` returns from when on recovery counts."""
        threads = [
            threading.Thread(target=self._act, args=(random.Random(self.choose.random()),))
            for _ in range(CLIENTS)
        ]
        for thread in threads:
            thread.start()
        try:
            self.journal.wait_for_answers(self.choose.randint(self.steps // 10, self.steps // 2))
            instant = inject(self)
        except BaseException:
            self.journal.give_up()
            raise
        finally:
            self._fault_is_over.set()
            for thread in threads:
                thread.join()
        told = list(self.journal.answers)
        held, asked_again = self._at_rest()
        wrong = [*self.journal.wrong, *violations(held, told), *truth(held, asked_again)]
        return Verdict(
            told=told,
            tries=self.journal.tries,
            acknowledged=self.journal.acknowledged,
            repeated=self.journal.tries - len(self.journal.answers),
            recovery=self.journal.recovered_after(instant),
            longest=self.journal.longest(),
            failures=dict(self.journal.failures),
            wrong=wrong,
        )

    def _act(self, choose: random.Random) -> None:
        try:
            self._serve_the_queue(choose)
        except Exception as error:
            self.journal.complain(f"a client broke down: {error!r}")
            raise

    def _serve_the_queue(self, choose: random.Random) -> None:
        client = Client(self.stage.service.port, self.journal, choose)
        while (person := self._next()) is not None:
            request = self._request(person, person.steps.popleft())
            answer = client.ask(
                request, leave_early=self._walks_away(person, request) and choose.random() < 0.7
            )
            person.learn(answer)
            if not person.steps and not self._fault_is_over.is_set():
                person.steps.append(
                    person.something_more(walk_away=self.walk_away)
                )  # the rush lasts as long as the fault
            with self._guard:
                if person.steps and not self.journal.given_up:
                    self._people.append(person)
        client.close()

    def _walks_away(self, person: Person, request: Request) -> bool:
        return self.walk_away and person.may_walk_away and request.verb in ENTERING

    def _next(self) -> Person | None:
        with self._guard:
            return self._people.popleft() if self._people and not self.journal.given_up else None

    def _request(self, person: Person, verb: str) -> Request:
        activity = f"/v1/activities/{self.activity_id}"
        token, staff = self.stage.tokens[person.id], self.stage.staff_token
        if verb == "added":
            body = {"person_id": str(person.id)}
            return Request(person.id, verb, "POST", f"{activity}/sign-ups", staff, body, uuid4().hex)
        if verb == "cancelled":
            path = f"{activity}/sign-ups/{person.sign_up_id}/cancellation"
            return Request(person.id, verb, "POST", path, staff, {"reason": "测试"})
        if verb == "leave":
            return Request(person.id, verb, "DELETE", f"{activity}/sign-up", token)
        if verb == "look":
            return Request(person.id, verb, "GET", f"{activity}/sign-up", token)
        return Request(person.id, verb, "PUT", f"{activity}/sign-up", token, {})

    def _at_rest(self) -> tuple[Held, list[Answer]]:
        """Let everybody repeat themselves now that it is over; once more while tries without a client still arrive."""
        held = self.stage.held(self.activity_id)
        for _ in range(_TURNS_TO_REST):
            answers = self._ask_again(held)
            before, held = held, self.stage.held(self.activity_id)
            if held == before:
                return held, answers
        self.journal.complain("the sign-ups go on changing although nobody asks any more")
        return held, answers

    def _ask_again(self, held: Held) -> list[Answer]:
        """Those with a sign-up sign up again, the others look."""
        live = {row.person_id for row in held.rows if row.state != "cancelled"}
        client = Client(self.stage.service.port, self.journal, random.Random(0))
        answers = [
            client.ask(self._request(Person(person_id, deque(), may_walk_away=False), verb))
            for person_id in self.stage.tokens
            for verb in (["again"] if person_id in live else ["look"])
        ]
        client.close()
        return [answer for answer in answers if answer is not None]
