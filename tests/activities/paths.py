"""Every path that gives or frees places, as something that one thread does at a stage where everything is to be done.

A new path is a line in ``PATHS``: a function that, given the stage and a number, returns what one thread does.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import guards
import previews
from factories import Factory, OneTransaction

from engage.activities.models import AdmissionMode, Audience, LotteryDraw, Pool, SignUp, SignUpState
from engage.activities.service import drawing, due
from engage.activities.service.release import release_person
from engage.core import clock
from engage.core.db import Nobody, Work
from engage.orgs.models import Role

HOUR = timedelta(hours=1)
SLOTS = 4  # people of each kind


class Stage:
    """An activity with somebody in every state, so that every path has something to do.

    ``free`` places are left, nobody waits but who is held; or none is, and a queue waits.
    """

    def __init__(
        self,
        app,
        database,
        as_user,
        *,
        start: timedelta,
        free: int = 0,
        divided: bool = False,
        mode: AdmissionMode = AdmissionMode.FIRST_COME,
    ) -> None:
        self.app, self.database, self.as_user, self.mode = app, database, as_user, mode
        with database.transaction() as session, app.app_context():
            # Before a draw nobody has a place: those that race with it are laid as no service leaves them.
            with guards.lifted(session.connection(), "sign_up_arrives"):
                self._build(Factory(OneTransaction(session), app), start, free, divided=divided)
            if mode is AdmissionMode.LOTTERY:
                self._close_entries(session)
        self.kept: dict[Any, set[str]] = {}

    def _build(self, make: Factory, start: timedelta, free: int, *, divided: bool) -> None:
        now = clock.now()
        self.org = make.org()
        self.officers = [make.staff(Role.OFFICER, org=self.org) for _ in range(SLOTS)]
        begins = now + start
        expires, expired, held_until = now + HOUR, now - timedelta(seconds=30), now - timedelta(seconds=30)
        places = SLOTS * 2 + 2  # confirmed, offered, and two offers that have expired
        self.activity = make.activity(
            self.org,
            capacity=places + free,
            waitlist_capacity=100,
            starts_at=begins,
            ends_at=begins + 2 * HOUR,
            offers_from_at=begins - 24 * HOUR,
            queue_closes_at=begins - HOUR,
            sign_up_closes_at=now if self.mode is AdmissionMode.LOTTERY else begins + HOUR,
            admission_mode=self.mode,
            sign_up_opens_at=now - 24 * HOUR,
            pools_merged=not divided,
            pools_merge_at=now if divided else None,
        )
        mask = {"pool_mask": 1} if divided else {}
        inside = {"pool_mask": 1, "pool": 1} if divided else {}
        self.pools = []
        if divided:
            # The second pool has free places that nobody in the queue may have before the pools are one.
            self.pools = [
                {"name": "甲", "audience": "everybody", "county_codes": [], "capacity": places, "overflow_rank": None},
                {"name": "乙", "audience": "counties", "county_codes": ["140524"], "capacity": free, "overflow_rank": None},
            ]  # fmt: skip
            for position, pool in enumerate(self.pools, 1):
                make.add(
                    Pool(
                        activity_id=self.activity.id,
                        position=position,
                        **{**pool, "audience": Audience(pool["audience"])},
                    )
                )
        self.confirmed = [make.sign_up(self.activity, **inside) for _ in range(SLOTS)]
        offer = {"state": SignUpState.OFFERED, "offered_at": now - HOUR, **inside}
        self.offered = [make.sign_up(self.activity, offer_expires_at=expires, **offer) for _ in range(SLOTS)]
        for _ in range(2):
            make.sign_up(self.activity, offer_expires_at=expired, **offer)
        waits = {"state": SignUpState.WAITLISTED, **mask}
        if self.mode is not AdmissionMode.FIRST_COME:
            applies = {"state": SignUpState.APPLIED}
            self.applied = [make.sign_up(self.activity, **applies) for _ in range(SLOTS)]
        elif not free or divided:
            self.waiting = [make.sign_up(self.activity, **waits) for _ in range(3)]
        for _ in range(2):
            make.sign_up(self.activity, held_until=held_until, **waits)
        self.newcomers = [make.person() for _ in range(3 * SLOTS)]
        self.url = f"/v1/activities/{self.activity.id}"

    def _close_entries(self, session: Any) -> None:
        work = Work(session, Nobody(), clock.now(), self.database.settings)
        draw = LotteryDraw(activity_id=self.activity.id, draws_at=clock.now())
        drawing.commit_to_seed(work, draw)
        session.add(draw)
        session.flush()
        drawing.close_entries(work, draw)

    def body(self, capacity: int) -> dict[str, Any]:
        more = capacity - self.activity.capacity
        pools = [dict(pool) for pool in self.pools]
        if pools:
            pools[0]["capacity"] += more
        merge_at = clock.now().isoformat() if pools else None
        lottery = {"draws_at": clock.now().isoformat()} if self.mode is AdmissionMode.LOTTERY else None
        admission = {"mode": self.mode, "pools": pools, "pools_merge_at": merge_at, "lottery": lottery}
        admission = {name: value for name, value in admission.items() if value is not None}
        return {
            "title": self.activity.title,
            "project_id": str(self.activity.project_id),
            "org_id": str(self.org.id),
            "place_name": "文化广场",
            "county_code": "140502",
            "capacity": capacity,
            "waitlist_capacity": 100,
            "admission": admission,
            **{
                name: getattr(self.activity, name).isoformat()
                for name in ("starts_at", "ends_at", "sign_up_opens_at", "sign_up_closes_at")
            },
        }

    def expect(self, person_id: Any, *states: str) -> None:
        """Note what was acknowledged: the person is in one of these states in the end; none: in no live one."""
        self.kept[person_id] = set(states)


Act = Callable[[], Any]
# What may have become of who was told that they are in such a state.
KEPT = {
    "applied": ("applied", "waitlisted", "confirmed"),
    "confirmed": ("confirmed",),
    "waitlisted": ("waitlisted", "offered", "confirmed", "cancelled"),  # the queue may close
}


def sign_up(stage: Stage, slot: int) -> Act:
    person = stage.newcomers[slot]
    client = stage.as_user(person.id)

    def act():
        answer = client.put(f"{stage.url}/sign-up", json={})
        if answer.status_code == 200:
            stage.expect(person.id, *KEPT[answer.json["state"]])
        return answer

    return act


def add(stage: Stage, slot: int) -> Act:
    person = stage.newcomers[SLOTS + slot]
    officer = stage.as_user(stage.officers[slot].id)

    def act():
        answer = officer.post(f"{stage.url}/sign-ups", json={"person_id": str(person.id)})
        if answer.status_code == 201:
            stage.expect(person.id, *KEPT[answer.json["state"]])
        return answer

    return act


def import_people(stage: Stage, slot: int) -> Act:
    people = stage.newcomers[2 * SLOTS + slot :][:2]
    officer = stage.as_user(stage.officers[slot].id)

    def act():
        items = [{"person_id": str(person.id)} for person in people]
        answer = officer.post(f"{stage.url}/sign-up-imports", json={"items": items})
        for person, item in zip(people, answer.json.get("results", ()), strict=False):
            assert item["code"] in (None, "queue_closed", "sign_up_closed"), item
            if item["result"] in KEPT:
                stage.expect(person.id, *KEPT[item["result"]])
        return answer

    return act


def decide(stage: Stage, slot: int) -> Act:
    """Accept one application, and its neighbour too, whom another thread accepts as well."""
    rows = [stage.applied[slot], stage.applied[(slot + 1) % SLOTS]]
    officer = stage.as_user(stage.officers[slot].id)

    def act():
        items = [{"sign_up_id": str(row.id), "decision": "accept"} for row in rows]
        answer = officer.post(f"{stage.url}/decisions", json={"items": items})
        if answer.status_code == 200:
            for row, result in zip(rows, answer.json["results"], strict=True):
                stage.expect(row.person_id, *KEPT[result["state"]])
        return answer

    return act


def draw(stage: Stage, slot: int) -> Act:
    if slot % 2:
        return lambda: due.draw_due(stage.database)
    officer = stage.as_user(stage.officers[slot].id)
    return lambda: officer.post(f"{stage.url}/draw", json={})


def leave(stage: Stage, slot: int) -> Act:
    return _delete(stage, stage.confirmed[slot])


def decline(stage: Stage, slot: int) -> Act:
    return _delete(stage, stage.offered[slot])


def _delete(stage: Stage, row: SignUp) -> Act:
    client = stage.as_user(row.person_id)

    def act():
        answer = client.delete(f"{stage.url}/sign-up")
        if answer.status_code == 204:
            stage.expect(row.person_id, "cancelled")
        return answer

    return act


def cancel(stage: Stage, slot: int) -> Act:
    row = stage.confirmed[slot]
    officer = stage.as_user(stage.officers[slot].id)

    def act():
        answer = officer.post(f"{stage.url}/sign-ups/{row.id}/cancellation", json={"reason": "测试"})
        if answer.status_code == 200:
            stage.expect(row.person_id, "cancelled")
        return answer

    return act


def accept(stage: Stage, slot: int) -> Act:
    row = stage.offered[slot]
    client = stage.as_user(row.person_id)

    def act():
        answer = client.post(f"{stage.url}/sign-up/acceptance")
        if answer.status_code == 200:
            stage.expect(row.person_id, "confirmed", "cancelled")  # the same person may decline at once
        return answer

    return act


def check_in(stage: Stage, slot: int) -> Act:
    row = stage.confirmed[slot]
    client = stage.as_user(row.person_id)
    code = stage.as_user(stage.officers[slot].id).get(f"{stage.url}/check-in-code").json["code"]

    def act():
        answer = client.post(f"{stage.url}/check-in", json={"code": code})
        if answer.status_code == 200:
            stage.expect(row.person_id, "confirmed")
        return answer

    return act


def excuse(stage: Stage, slot: int) -> Act:
    """Somebody excuses themselves, or staff do."""
    row = stage.confirmed[slot]
    client = stage.as_user(stage.officers[slot].id if slot % 2 else row.person_id)
    url = f"{stage.url}/sign-ups/{row.id}/excuse" if slot % 2 else f"{stage.url}/sign-up/excuse"

    def act():
        answer = client.post(url, json={"reason": "测试"})
        if answer.status_code == 200:
            stage.expect(row.person_id, *(("confirmed", "cancelled") if slot % 2 else ("cancelled",)))
        return answer

    return act


def release(stage: Stage, slot: int) -> Act:
    row = stage.confirmed[slot]

    def act():
        with stage.database.transaction() as session:
            work = Work(session, Nobody(), clock.now(), stage.database.settings)
            freed = release_person(work, row.person_id)
        if freed:
            stage.expect(row.person_id, "cancelled")
        return freed

    return act


def cut(stage: Stage, slot: int) -> Act:
    """Take places back, as was shown; nothing if it would by now mean something else."""
    officer = stage.as_user(stage.officers[slot].id)
    body = stage.body(stage.activity.capacity - 2)
    headers = previews.seen(officer, stage.url, body)
    return lambda: officer.put(stage.url, json=body, headers=headers)


def call_off(stage: Stage, slot: int) -> Act:
    """Call it off, and hold it after all."""
    officer = stage.as_user(stage.officers[slot].id)
    headers = previews.seen(officer, stage.url)

    def act():
        officer.post(f"{stage.url}/cancellation", json={"reason": "停电"}, headers=headers)
        return officer.post(f"{stage.url}/reopening", json={"reason": "来电"})

    return act


def _resize(by: int) -> Callable[[Stage, int], Act]:
    def resize(stage: Stage, slot: int) -> Act:
        officer = stage.as_user(stage.officers[slot].id)
        body = stage.body(stage.activity.capacity + by * (slot + 1))
        return lambda: officer.put(stage.url, json=body, headers={"If-Match": "*"})

    return resize


def _settle(name: str) -> Callable[[Stage, int], Act]:
    settle = getattr(due, name)
    return lambda stage, _: lambda: settle(stage.database)


PATHS: dict[str, Callable[[Stage, int], Act]] = {
    "sign_up": sign_up,
    "add": add,
    "leave": leave,
    "cancel": cancel,
    "accept": accept,
    "decline": decline,
    "more_places": _resize(1),
    "fewer_places": _resize(-1),
    "expire_offers": _settle("expire_offers"),
    "release_held": _settle("release_held"),
    "import": import_people,
    "excuse": excuse,
    "release": release,
    "cut": cut,
    "call_off": call_off,
}
MERGE, CLOSE = "merge_pools", "close_queues"
AT_THE_DOOR = "check_in"
REVIEW, DRAW = "decide", "draw"
ALL = (
    PATHS
    | {AT_THE_DOOR: check_in, REVIEW: decide, DRAW: draw}
    | {name: _settle(name) for name in (MERGE, CLOSE)}
)
