"""Ways of giving places arrive in a city that is at work, and leave again: nobody loses a place or a turn, on either engine."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from engage.core import migrations, schema

NOW = datetime(2026, 10, 1, 2, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)


class City:
    """Rows written as the version at hand knows them, by plain SQL: models have moved on."""

    def __init__(self, database):
        self.database = database
        self.sqlite = database.is_sqlite

    @contextmanager
    def connected(self):
        with self.database.writer.connect() as connection:
            yield connection
            connection.commit()

    def migrate(self, revision):
        with self.connected() as connection:
            if (schema.current(connection) or "0000") < revision:
                migrations.upgrade(connection, revision)
            else:
                migrations.downgrade(connection, revision)

    def instant(self, value):
        return value.strftime("%Y-%m-%d %H:%M:%S.%f") if self.sqlite else value

    def key(self):
        return uuid4().hex if self.sqlite else uuid4()

    def add(self, table, **values):
        values = {
            name: self.instant(value) if isinstance(value, datetime) else value
            for name, value in values.items()
        }
        names = ", ".join(values)
        marks = ", ".join(f":{name}" for name in values)
        with self.connected() as connection:
            connection.execute(text(f"INSERT INTO {table} ({names}) VALUES ({marks})"), values)

    def rows(self, statement):
        with self.connected() as connection:
            return [tuple(row) for row in connection.execute(text(statement))]

    def person(self):
        key = self.key()
        self.add(
            "person",
            id=key,
            status="active",
            is_synthetic=False,
            created_at=NOW,
            updated_at=NOW,
        )
        return key

    def build(self):
        """One activity with two places taken, a queue of two, somebody gone, and somebody there."""
        self.add("division", code="140502", name="城区", level="county", point_is_placeholder=False)
        self.add("org_kind", code="committee", name_zh="团委", name_en="committee")
        org, project, self.activity = self.key(), self.key(), self.key()
        self.add(
            "org", id=org, name="城区团委", kind_code="committee", status="active", created_at=NOW, version=1
        )
        self.add("project", id=project, name="项目", org_id=org, status="active", created_at=NOW, version=1)
        self.add(
            "activity", id=self.activity, title="讲座", project_id=project, org_id=org, place_name="广场", county_code="140502",
            starts_at=NOW + 48 * HOUR, ends_at=NOW + 50 * HOUR, sign_up_opens_at=NOW - HOUR, sign_up_closes_at=NOW + 47 * HOUR,
            capacity=2, waitlist_capacity=2, county_codes="[]", members_only=False, questions="[]", service_minutes=60,
            status="published", created_at=NOW, updated_at=NOW, version=1,
        )  # fmt: skip
        self.signed = {}
        for number, name in enumerate(("first", "second", "third", "fourth", "gone")):
            self.signed[name] = (self.key(), self.person())
            gone = {"cancelled_at": NOW + HOUR, "cancel_reason": "有事"} if name == "gone" else {}
            state = "cancelled" if gone else "confirmed" if number < 2 else "waitlisted"
            self.add(
                "sign_up", id=self.signed[name][0], activity_id=self.activity, person_id=self.signed[name][1], state=state,
                answers="{}", created_at=NOW + number * timedelta(minutes=1), **gone,
            )  # fmt: skip
        sign_up, person = self.signed["first"]
        self.add(
            "check_in", activity_id=self.activity, person_id=person, sign_up_id=sign_up, method="staff",
            checked_in_at=NOW + 48 * HOUR, claimed_at=NOW + 47 * HOUR,
        )  # fmt: skip
        return self

    def states(self):
        found = dict(self.rows("SELECT id, state FROM sign_up"))
        return {name: found[key] for name, (key, _) in self.signed.items()}

    def counters(self):
        ((taken, waiting),) = self.rows("SELECT taken, waiting FROM activity")
        return taken, waiting


@pytest.fixture
def city(empty_database):
    city = City(empty_database)
    city.migrate("0008")
    return city.build()


BEFORE = {
    "first": "confirmed", "second": "confirmed", "third": "waitlisted", "fourth": "waitlisted", "gone": "cancelled",
}  # fmt: skip


def test_everybody_keeps_what_they_have_on_the_way_up(city):
    order = city.rows("SELECT seq, id FROM sign_up ORDER BY seq")
    city.migrate("0009")
    assert (city.states(), city.counters()) == (BEFORE, (2, 2))
    assert city.rows("SELECT seq, id FROM sign_up ORDER BY seq") == order, "the queue stands in its order"
    ((*terms, mode, merged, held, applied),) = city.rows(
        "SELECT offers_from_at, queue_closes_at, excuse_until_at, admission_mode, pools_merged, held, applied FROM activity"
    )
    expected = [NOW + 24 * HOUR, NOW + 47 * HOUR, NOW + 46 * HOUR]
    assert [str(term) for term in terms] == [_said(city, instant) for instant in expected]
    assert (mode, bool(merged), held, applied) == ("first_come", True, 0, 0)
    assert city.rows(
        "SELECT count(*) FROM sign_up JOIN activity ON activity.id = activity_id WHERE sign_up.starts_at = activity.starts_at"
    ) == [(5,)]
    assert city.rows(
        "SELECT count(*) FROM check_in WHERE arrived_at = claimed_at AND updated_at = checked_in_at"
    ) == [(1,)]


def _said(city, instant):
    if city.sqlite:
        return city.instant(instant)
    ((said,),) = city.rows(f"SELECT timestamptz '{instant.isoformat()}'")
    return str(said)


def test_the_database_refuses_at_once_what_the_new_version_refuses(city):
    city.migrate("0009")
    fourth = city.signed["fourth"][0]
    with pytest.raises(IntegrityError, match="ck_activity_taken_within_capacity"):
        city.rows(f"UPDATE sign_up SET state = 'confirmed' WHERE id = '{fourth}' RETURNING id")
    city.rows("UPDATE activity SET capacity = 3 RETURNING id")
    with pytest.raises(IntegrityError, match="somebody else is next"):
        city.rows(f"UPDATE sign_up SET state = 'confirmed' WHERE id = '{fourth}' RETURNING id")
    first = city.signed["first"][0]
    with pytest.raises(IntegrityError, match="who was there keeps the place"):
        city.rows(
            f"UPDATE sign_up SET state = 'cancelled', cancelled_at = created_at WHERE id = '{first}' RETURNING id"
        )
    assert (city.states(), city.counters()) == (BEFORE, (2, 2))


def test_nobody_is_lost_on_the_way_back(city):
    """What the older version does not know becomes what it does: offers places, applications turns, refusals ends."""
    city.migrate("0009")
    for statement in (
        "UPDATE activity SET capacity = 3, waitlist_capacity = 3",
        f"UPDATE sign_up SET state = 'offered', offer_expires_at = starts_at, offered_at = created_at WHERE id = '{city.signed['third'][0]}'",
    ):
        city.rows(f"{statement} RETURNING id")
    columns = {
        "answers": "{}",
        "created_at": NOW,
        "updated_at": NOW,
        "starts_at": NOW + 48 * HOUR,
        "ends_at": NOW + 50 * HOUR,
    }
    for name, state in (("hopes", "applied"), ("refused", "refused"), ("came", "walk_in")):
        city.signed[name] = (city.key(), city.person())
        key, person = city.signed[name]
        city.add("sign_up", id=key, activity_id=city.activity, person_id=person, state=state, **columns)
    city.migrate("0008")
    assert city.states() == {
        **BEFORE, "third": "confirmed", "hopes": "waitlisted", "refused": "cancelled", "came": "confirmed",
    }  # fmt: skip
    assert city.counters() == (4, 2)
    assert city.rows("SELECT capacity >= taken, waitlist_capacity >= waiting FROM activity") in (
        [(True, True)],
        [(1, 1)],
    )
    assert city.rows("SELECT count(*) FROM check_in") == [(1,)]
    city.migrate("0009")
    assert city.counters() == (4, 2)


def test_the_older_version_counts_again(city):
    city.migrate("0009")
    city.migrate("0008")
    third = city.signed["third"][0]
    city.rows(
        f"UPDATE sign_up SET state = 'cancelled', cancelled_at = created_at WHERE id = '{third}' RETURNING id"
    )
    assert city.counters() == (2, 1)
    with pytest.raises(IntegrityError):
        city.rows("UPDATE activity SET taken = 3 RETURNING id")
