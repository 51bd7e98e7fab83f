"""What the city sets for every activity, and what an activity sets for itself: both decide what happens and when it is told."""

from __future__ import annotations

import threading
from datetime import datetime

import pytest
from bodies import activity_body
from sqlalchemy import select

from engage.activities.service.due import advance_due
from engage.core.clock import SHANGHAI
from engage.core.config import Settings
from engage.messages.models import OutboxEntry
from engage.orgs.models import Role

CITY = {
    "ENGAGE_OFFER_WINDOW_MINUTES": "600",
    "ENGAGE_OFFER_MINUTES": "45",
    "ENGAGE_QUEUE_CLOSES_MINUTES": "30",
    "ENGAGE_QUIET_FROM": "13:00",
    "ENGAGE_QUIET_UNTIL": "14:30",
}
NAMES = ("offer_window_minutes", "offer_minutes", "queue_closes_minutes", "quiet_from", "quiet_until")
OWN = {"offer_minutes": 30, "closes_minutes": 60, "quiet_from": "12:00", "quiet_until": "14:00"}


def today(hour, minute=0):
    return datetime(2026, 10, 1, hour, minute, tzinfo=SHANGHAI)  # the clock stands at 10:00


@pytest.fixture
def city(monkeypatch, database):
    """The city's settings are others than ours."""
    given = Settings.from_env(CITY)
    values = {name: getattr(given, name) for name in NAMES}
    monkeypatch.setattr(database, "settings", database.settings.replace(**values))


@pytest.fixture
def hall(frozen, make, as_user, database):
    """Activities of one place today, posted over HTTP, with whoever has the place and two who wait."""

    class Hall:
        org = make.org()
        officer = as_user(make.staff(Role.OFFICER, org=org).id)

        def post(self, starts_at, **values):
            sent = activity_body(
                make.project(self.org), frozen.now, starts_at=starts_at, capacity=1, waitlist_capacity=5,
                sign_up_closes_at=starts_at.isoformat(), **values,
            )  # fmt: skip
            made = self.officer.post("/v1/activities", json=sent)
            assert made.status_code == 201, made.json
            return made

        def open(self, starts_at, **values):
            self.url = self.post(starts_at, **values).headers["Location"]
            self.officer.post(f"{self.url}/publication")
            self.people = [make.person() for _ in range(3)]
            self.clients = [as_user(person.id) for person in self.people]
            for client in self.clients:
                assert client.put(f"{self.url}/sign-up", json={}).status_code == 200

        def leave(self, at):
            frozen.set(at)
            assert self.clients[0].delete(f"{self.url}/sign-up").status_code == 204
            offered = self.clients[1].get(f"{self.url}/sign-up").json
            assert offered["state"] == "offered"
            return datetime.fromisoformat(offered["offer_expires_at"])

        def told(self):
            """Return what was told to whom (by number), and when they hear it."""
            number = {person.id: index for index, person in enumerate(self.people)}
            with database.reading() as db:
                rows = db.execute(
                    select(OutboxEntry.person_id, OutboxEntry.kind, OutboxEntry.available_at).order_by(
                        OutboxEntry.seq
                    )
                ).all()
            return [(number[person_id], kind, at) for person_id, kind, at in rows]

    return Hall()


@pytest.mark.usefixtures("city")
def test_the_city_decides_for_an_activity_that_says_nothing(hall):
    made = hall.post(today(20)).json
    assert made["waitlist"] == {
        "offer_window_minutes": 600,
        "offer_minutes": 45,
        "closes_minutes": 30,
        "quiet_from": "13:00",
        "quiet_until": "14:30",
    }
    hall.open(today(20))
    assert hall.leave(today(12, 40)) == today(14, 55), "twenty minutes before the quiet, the rest after it"
    assert hall.told() == [(1, "place_offered", today(12, 40))]


@pytest.mark.usefixtures("city")
def test_an_activity_decides_for_itself_what_it_says(hall):
    made = hall.post(today(20), waitlist={"offer_minutes": 30, "quiet_until": "14:00"}).json
    assert made["waitlist"] == {
        "offer_window_minutes": 600,
        "offer_minutes": 30,
        "closes_minutes": 30,
        "quiet_from": "13:00",
        "quiet_until": "14:00",
    }


def test_its_own_quiet_hours_and_minutes_decide_an_offer_and_when_it_is_told(hall, database):
    hall.open(today(20), waitlist=OWN)
    assert hall.leave(today(12, 30)) == today(14, 30)
    assert hall.told() == [(1, "place_offered", today(14))]
    with database.reading() as db:
        params = db.scalar(select(OutboxEntry.params))
    assert datetime.fromisoformat(params["expires_at"]) == today(14, 30)


def test_what_ends_in_its_quiet_hours_is_told_after_them(hall, database, frozen):
    hall.open(today(14), waitlist=OWN)
    assert hall.leave(today(11, 50)) == today(13), "the closing of the queue ends it"
    frozen.set(today(13))
    advance_due(database, threading.Event())
    assert hall.told() == [
        (1, "place_offered", today(11, 50)),
        (1, "offer_expired", today(14)),
        (2, "queue_closed", today(14)),
    ]
