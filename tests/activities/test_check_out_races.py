"""Leaving by the code while something else happens to the activity: what is acknowledged counts."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from activities.proof import violations
from sqlalchemy import select, update
from sqlalchemy.exc import OperationalError

from engage.activities.models import Activity, CheckIn, HoursEntry
from engage.activities.service import check_in, hours, walk_ins


class Leaving:
    """Somebody who was there all the time and leaves at the end, when the officer closes the activity."""

    def __init__(self, officer, youth, url, code, database):
        self.officer, self.youth, self.url, self.code, self.database = officer, youth, url, code, database

    def leave(self):
        return self.youth.post(f"{self.url}/check-out", json={"code": self.code})

    def close(self):
        return self.officer.post(f"{self.url}/closure", json={"summary": "圆满"})

    def given(self):
        """Return the minutes of hours that were given, once nothing contradicts anything."""
        assert violations(self.database) == {}
        with self.database.reading() as db:
            return db.scalars(select(HoursEntry.minutes).where(HoursEntry.person_id.is_not(None))).all()

    def left_at(self):
        with self.database.reading() as db:
            return db.scalar(select(CheckIn.left_at))


@pytest.fixture
def leaving(door, frozen, database):
    with database.transaction() as session:
        session.execute(update(Activity).values(requires_check_out=True, service_minutes=120))
    frozen.set(door.activity.starts_at)
    assert door.scan().status_code == 200
    frozen.set(door.activity.ends_at)
    return Leaving(door.officer(), door.youth(), door.url, door.code(), database)


def test_a_closure_waits_for_a_departure_on_its_way_and_counts_it(leaving, monkeypatch):
    departing = check_in._DEPARTING
    with ThreadPoolExecutor(1) as threads:
        closures = []

        class Noted:
            """The departure is noted and not committed yet."""

            def one_or_none(self, *arguments):
                row = departing.one_or_none(*arguments)
                closures.append(threads.submit(leaving.close))
                with pytest.raises(TimeoutError):
                    closures[0].result(0.3)
                return row

        monkeypatch.setattr(check_in, "_DEPARTING", Noted())
        assert leaving.leave().status_code == 200
        assert closures[0].result(5).status_code == 200
    assert leaving.given() == [120]


def test_who_leaves_while_the_activity_is_closed_waits_and_is_refused(leaving, monkeypatch):
    long_enough = hours._long_enough
    with ThreadPoolExecutor(1) as threads:
        departures = []

        def meanwhile(work, activity):
            found = long_enough(work, activity)
            departures.append(threads.submit(leaving.leave))
            with pytest.raises(TimeoutError):
                departures[0].result(0.3)
            return found

        monkeypatch.setattr(hours, "_long_enough", meanwhile)
        assert leaving.close().status_code == 200
        refused = departures[0].result(5)
    assert (refused.status_code, refused.json["code"]) == (409, "activity_over")
    assert leaving.given() == []
    assert leaving.left_at() is None


def test_a_walk_in_has_left_and_made_room_or_neither(door, make, frozen, database, monkeypatch):
    walk_in = make.person()
    door.upload([{"person_id": str(walk_in.id), "scanned_at": frozen.now.isoformat(), "walk_in": True}])
    code, caller = door.code(), door.as_user(walk_in.id)

    def leave():
        answer = caller.post(f"{door.url}/check-out", json={"code": code})
        with database.reading() as db:
            left_at, there = db.execute(
                select(CheckIn.left_at, Activity.walk_ins_present).join(
                    Activity, Activity.id == CheckIn.activity_id
                )
            ).one()
        assert violations(database) == {}
        return answer.status_code, left_at, there

    def cut(*_):
        raise OperationalError("", {}, Exception("the connection was cut"))

    with monkeypatch.context() as broken:
        broken.setattr(walk_ins, "mark", cut)
        assert leave() == (503, None, 1)
    assert leave() == (200, frozen.now, 0), "they try again"
