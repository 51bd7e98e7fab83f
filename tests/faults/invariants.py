"""What must hold after any fault, said by the database and by what the clients were told."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from uuid import UUID

from sqlalchemy import Connection, Uuid, bindparam, text

from faults.journal import ENTERING, LEAVING, Answer

_ACTIVITY = text(
    "SELECT capacity, taken, waitlist_capacity, waiting FROM activity WHERE id = :activity_id"
).bindparams(bindparam("activity_id", type_=Uuid()))
_SIGN_UPS = (
    text("SELECT seq, id, person_id, state FROM sign_up WHERE activity_id = :activity_id ORDER BY seq")
    .bindparams(bindparam("activity_id", type_=Uuid()))
    .columns(id=Uuid(), person_id=Uuid())
)


@dataclass(frozen=True)
class Row:
    """One sign-up as the database has it."""

    seq: int
    id: UUID
    person_id: UUID
    state: str


@dataclass(frozen=True)
class Held:
    """An activity as the database has it: its counters, and its sign-ups by arrival."""

    capacity: int
    taken: int
    waitlist_capacity: int
    waiting: int
    rows: tuple[Row, ...]

    @classmethod
    def read(cls, connection: Connection, activity_id: UUID) -> Held:
        """Read it with plain SQL, past the service."""
        about = {"activity_id": activity_id}
        counters = connection.execute(_ACTIVITY, about).one()
        return cls(*counters, tuple(Row(*row) for row in connection.execute(_SIGN_UPS, about)))

    def of(self, state: str) -> list[Row]:
        return [row for row in self.rows if row.state == state]


def violations(held: Held, answers: Iterable[Answer]) -> list[str]:
    """Return a sentence for everything that is wrong; none when all is well."""
    answers = sorted(answers, key=lambda answer: answer.answered_at)
    return [
        *_counters(held),
        *_nobody_twice(held),
        *_queue(held),
        *_told(held, answers),
        *_arrival(held, answers),
    ]


def _counters(held: Held) -> Iterator[str]:
    confirmed, waitlisted = len(held.of("confirmed")), len(held.of("waitlisted"))
    if confirmed > held.capacity:
        yield f"{confirmed} confirmed in {held.capacity} places"
    if waitlisted > held.waitlist_capacity:
        yield f"{waitlisted} waiting where {held.waitlist_capacity} may"
    if (held.taken, held.waiting) != (confirmed, waitlisted):
        yield f"counters say {held.taken}+{held.waiting}, the rows {confirmed}+{waitlisted}"


def _nobody_twice(held: Held) -> Iterator[str]:
    live = Counter(row.person_id for row in held.rows if row.state != "cancelled")
    yield from (f"{person} has {count} live sign-ups" for person, count in live.items() if count > 1)


def _queue(held: Held) -> Iterator[str]:
    confirmed, waitlisted = held.of("confirmed"), held.of("waitlisted")
    if waitlisted and len(confirmed) < held.capacity:
        yield f"{held.capacity - len(confirmed)} places are free while {len(waitlisted)} wait"
    if waitlisted and confirmed and confirmed[-1].seq > waitlisted[0].seq:
        yield f"{confirmed[-1].id} has a place, {waitlisted[0].id} came earlier and waits"


def _told(held: Held, answers: list[Answer]) -> Iterator[str]:
    """Every person's sign-ups are those they were told of, no more and no fewer, and in the state they were told."""
    rows: dict[UUID, list[Row]] = defaultdict(list)
    for row in held.rows:
        rows[row.person_id].append(row)
    by_person: dict[UUID, list[Answer]] = defaultdict(list)
    for answer in answers:
        by_person[answer.person_id].append(answer)
    yield from (f"{person}: a sign-up that nobody was told of" for person in rows if person not in by_person)
    for person_id, told in by_person.items():
        yield from (f"{person_id}: {sentence}" for sentence in _one_person(rows[person_id], told))


@dataclass
class _Story:
    """What one person was told, answer by answer."""

    known: list[UUID] = field(default_factory=list)
    live: UUID | None = None
    was_confirmed: bool = False
    open: int = 0  # refusals that an earlier try may still have overtaken

    def hear(self, answer: Answer) -> Iterator[str]:
        if answer.verb in LEAVING and answer.status < 300:
            self.live, self.was_confirmed = None, False
        elif answer.verb in ENTERING and answer.sign_up_id is None and self.live is not None:
            yield f"refused ({answer.body.get('code')}) although {self.live} was live"
        elif answer.is_open:
            self.open += 1
        elif answer.verb in ENTERING and answer.sign_up_id is not None:
            yield from self._enter(answer.sign_up_id, answer.state)

    def _enter(self, sign_up_id: UUID, state: str | None) -> Iterator[str]:
        if self.live is None:
            if sign_up_id in self.known:
                yield f"{sign_up_id} came back after it was given up"
            self.known.append(sign_up_id)
            self.live = sign_up_id
        elif sign_up_id != self.live:
            yield f"told of {sign_up_id} while {self.live} was live"
        if self.was_confirmed and state != "confirmed":
            yield f"told {state} after confirmed"
        self.was_confirmed = self.was_confirmed or state == "confirmed"


def _one_person(rows: list[Row], told: list[Answer]) -> Iterator[str]:
    story = _Story()
    for answer in told:
        yield from story.hear(answer)
    unknown = [row for row in rows if row.id not in story.known]
    if len(unknown) > story.open:
        yield f"never told of {[row.id for row in unknown]}"
    rows = [row for row in rows if row.id in story.known]
    if [row.id for row in rows] != story.known:
        yield f"told of {story.known}, the database has {[row.id for row in rows]}"
    alive = [row for row in rows if row.state != "cancelled"]
    if [row.id for row in alive] != [story.live] * (story.live is not None):
        yield f"live should be {story.live}, the database has {alive}"
    elif story.was_confirmed and alive[0].state != "confirmed":
        yield f"told confirmed, the database says {alive[0].state}"


def _arrival(held: Held, answers: list[Answer]) -> Iterator[str]:
    """Who had an answer before somebody else asked stands before them."""
    first = _first_told(held, answers)
    seq = {row.id: row.seq for row in held.rows}
    served = sorted(first, key=lambda sign_up_id: first[sign_up_id][1])
    highest, last, done = 0, None, 0
    for sign_up_id in sorted(first, key=lambda sign_up_id: first[sign_up_id][0]):
        while first[served[done]][1] < first[sign_up_id][0]:
            if seq[served[done]] > highest:
                highest, last = seq[served[done]], served[done]
            done += 1
        if seq[sign_up_id] < highest:
            yield f"{sign_up_id} asked after {last} had its answer, and stands before it"


def _first_told(held: Held, answers: list[Answer]) -> dict[UUID, tuple[float, float]]:
    """Return for each sign-up when it was asked for, and when the person was first told of it."""
    known = {row.id for row in held.rows}
    first: dict[UUID, tuple[float, float]] = {}
    open_since: dict[UUID, float] = {}
    for answer in answers:
        if answer.is_open:
            open_since.setdefault(answer.person_id, answer.asked_at)
        elif answer.verb in ENTERING and answer.sign_up_id in known and answer.sign_up_id not in first:
            asked_at = open_since.pop(answer.person_id, answer.asked_at)
            first[answer.sign_up_id] = (asked_at, answer.answered_at)
    return first


def truth(held: Held, answers: Iterable[Answer]) -> list[str]:
    """Compare what repeated questions are answered at rest with the rows; return what differs."""
    live = {row.person_id: row for row in held.rows if row.state != "cancelled"}
    turns = {row.id: turn for turn, row in enumerate(held.of("waitlisted"), 1)}
    wrong = []
    for answer in answers:
        row = live.get(answer.person_id)
        expected = (row.id, row.state, turns.get(row.id)) if row else (None, None, None)
        said = (answer.sign_up_id, answer.state, answer.body.get("position") if answer.sign_up_id else None)
        if said != expected:
            wrong.append(f"{answer.person_id} asks again and is told {said}; the database has {expected}")
    return wrong
