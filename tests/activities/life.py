"""How places are given, in plain Python: what the service is held against. Time is in minutes from a midnight in Shanghai."""

from __future__ import annotations

from dataclasses import dataclass, field

DAY = 1440
QUIET_FROM, QUIET_UNTIL = 1320, 480
OFFER_MINUTES = 120
HELD_MINUTES = 240  # before the start: from then on points decide nothing


def is_quiet(at: int) -> bool:
    return at % DAY >= QUIET_FROM or at % DAY < QUIET_UNTIL


def waking(at: int, minutes: int) -> int:
    """The time after so many minutes that are not quiet."""
    while minutes:
        minutes -= not is_quiet(at)
        at += 1
    return at


@dataclass
class Row:
    """A sign-up; ``pool`` is the index of a pool."""

    person: int
    state: str
    pools: tuple[int, ...] = ()  # open to the person, the first first
    pool: int | None = None
    held_until: int | None = None
    expires: int | None = None
    present: bool = False  # checked in

    @property
    def holds_place(self) -> bool:
        return self.state in ("confirmed", "offered")

    def end(self) -> None:
        self.state, self.pool, self.held_until, self.expires = "cancelled", None, None, None


@dataclass
class Life:
    """An activity; ``places`` are the capacities of its pools, one where places are not divided."""

    places: list[int]
    turns: int
    offers_from: int
    queue_closes: int
    starts: int
    ends: int
    merge_at: int | None = None  # None: not divided
    now: int = 0
    merged: bool = False
    called_off: bool = False
    alone: bool = False  # allows no other activity at the same time
    low: dict[int, int] = field(default_factory=dict)  # who has too few points, until when
    elsewhere: set[int] = field(default_factory=set)  # who has a place in another activity at the same time
    rows: list[Row] = field(default_factory=list)

    @property
    def divided(self) -> bool:
        return self.merge_at is not None and not self.merged

    @property
    def capacity(self) -> int:
        return sum(self.places)

    def live(self, person: int) -> Row | None:
        return next((row for row in self.rows if row.person == person and row.state != "cancelled"), None)

    def queue(self) -> list[Row]:
        return [row for row in self.rows if row.state == "waitlisted"]

    def due(self) -> list[Row]:
        return [row for row in self.queue() if row.held_until is None]

    def taken(self, pool: int | None = None) -> int:
        return sum(row.holds_place and pool in (None, row.pool) for row in self.rows)

    def free_for(self, pools: tuple[int, ...]) -> list[int | None]:
        """The pools with a place for somebody, best first; [None] where places are one."""
        if self.divided:
            return [pool for pool in pools if self.taken(pool) < self.places[pool]]
        return [None] if self.taken() < self.capacity else []

    def clashes(self, person: int) -> bool:
        return self.alone and person in self.elsewhere

    def held_until(self, person: int) -> int | None:
        """Until when somebody is passed over if nothing changes, None when they may have a place now."""
        if self.clashes(person):
            return self.queue_closes
        last_hours = self.starts - HELD_MINUTES
        return last_hours if self.low.get(person, 0) > self.now and self.now < last_hours else None

    # What people and staff do; each returns whether it was taken.

    def join(self, person: int, pools: tuple[int, ...], *, by_staff: bool = False) -> bool:
        if by_staff and self.called_off:
            return False
        if self.live(person):
            return True
        if self.called_off or self.clashes(person):
            return False
        if self.now >= self.ends or (not by_staff and self.now >= self.starts):
            return False
        until = self.held_until(person)
        self.merge_if_due()
        ahead = self.due() if self.now < self.queue_closes else []
        wanted = {pool for row in ahead for pool in row.pools}
        if self.divided:
            free = [pool for pool in self.free_for(pools) if pool not in wanted]
        else:
            free = [] if ahead else self.free_for(pools)
        if free and until is None:
            self.rows.append(Row(person, "confirmed", pools, free[0]))
        elif len(self.queue()) < self.turns and self.now < self.queue_closes:
            self.rows.append(Row(person, "waitlisted", pools, held_until=until))
        else:
            return False
        return True

    def leave(self, person: int, *, by_staff: bool = False) -> bool:
        row = self.live(person)
        if row is None:
            return not by_staff
        if row.present or self.now >= (self.ends if by_staff else self.starts):
            return False
        row.end()
        self.fill()
        return True

    def excuse(self, person: int) -> bool:
        return not self.called_off and self.live(person) is not None and self.leave(person)

    def call_off(self) -> None:
        self.called_off = True

    def reopen(self) -> bool:
        if not self.called_off or self.now >= self.starts:
            return False
        self.called_off = False
        expires = self.end_of_offer()
        for row in self.rows:
            if row.state == "offered" and (row.expires or 0) <= self.now and expires is not None:
                row.expires = expires
        self.fill()
        return True

    def accept(self, person: int) -> bool:
        row = self.live(person)
        if row and row.state == "confirmed":
            return True  # perhaps it was never offered: the caller looks
        if self.called_off or row is None or row.state != "offered" or (row.expires or 0) <= self.now:
            return False
        if self.clashes(person):
            return False
        row.state, row.expires = "confirmed", None
        return True

    def resize(self, places: list[int]) -> bool:
        if self.called_off or self.now >= self.ends or sum(places) < max(1, self.taken()):
            return False
        if self.divided and any(self.taken(pool) > size for pool, size in enumerate(places)):
            return False
        self.places = places
        self.fill()
        return True

    def cut(self, places: list[int]) -> bool:
        """Take places back from the last, offers first; they stand ahead of all who had none."""
        if self.called_off or self.now >= self.ends:
            return False
        back: list[Row] = []
        for pool, size in enumerate(places) if self.divided else [(None, sum(places))]:
            inside = [row for row in self.rows if row.holds_place and pool in (None, row.pool)]
            last = sorted(
                (row for row in inside[::-1] if not row.present), key=lambda row: row.state == "confirmed"
            )
            too_many = max(0, len(inside) - size)
            if len(last) < too_many:
                return False
            back += last[:too_many]
        for row in back:
            row.state, row.pool, row.expires = "waitlisted", None, None
        self.places = places
        self.fill()
        self.turns = max(self.turns, len(self.queue()))
        return True

    def move(self, by: int) -> None:
        """Start later, with all that is set in relation to the start."""
        for name in ("offers_from", "queue_closes", "starts", "ends"):
            setattr(self, name, getattr(self, name) + by)
        for row in self.rows:
            if row.held_until is not None:
                row.held_until += by
        self.fill()

    # What the clock brings about.

    def settle(self) -> None:
        while self._settle_once():
            pass

    def _settle_once(self) -> bool:
        expired = [row for row in self.rows if row.state == "offered" and (row.expires or 0) <= self.now]
        if self.called_off:
            expired = []
        for row in expired:
            row.end()
        if expired:
            self.fill()
        released = [row for row in self.queue() if row.held_until is not None and row.held_until <= self.now]
        for row in released:
            row.held_until = None
        if released:  # they waited for their place until now: it is not offered
            self.fill(at_once=self.now < self.queue_closes)
        back = [
            row for row in self.queue() if row.held_until is not None and self.held_until(row.person) is None
        ]
        for row in back:
            row.held_until = None
        if back:
            self.fill()
        merged = self.merge_if_due()
        closed = self.queue() if self.now >= self.queue_closes and not self.called_off else []
        for row in closed:
            row.end()
        return bool(expired or released or back or merged or closed)

    def merge_if_due(self) -> bool:
        if self.divided and not self.called_off and (self.merge_at or 0) <= self.now < self.ends:
            self.merged = True
            self.fill()
            return True
        return False

    def end_of_offer(self) -> int | None:
        """Until when an offer made now would hold; none is made of which nobody would hear."""
        expires = min(waking(self.now, OFFER_MINUTES), self.queue_closes)
        return None if all(is_quiet(minute) for minute in range(self.now, expires)) else expires

    def fill(self, *, at_once: bool = False) -> None:
        if self.now >= self.ends or self.called_off:
            return
        if self.divided and (self.merge_at or 0) <= self.now:
            self.merged = True
        expires = None
        if self.now >= self.queue_closes:
            return
        if self.now > self.offers_from and not at_once:
            expires = self.end_of_offer()
            if expires is None:
                return
        for row in self.due():
            free = self.free_for(row.pools)
            if free and (until := self.held_until(row.person)) is not None:
                row.held_until = until
            elif free:
                row.state = "confirmed" if expires is None else "offered"
                row.pool, row.expires = free[0], expires
