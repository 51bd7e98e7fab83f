"""A city to measure in: people with open sessions, hubs, activities; and the requests that go to it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

from flask import Flask
from sqlalchemy import Engine, insert, select, text

from engage.activities.models import Activity, ActivityStatus, Project, SignUp, SignUpState
from engage.core import ids
from engage.core.db import Database
from engage.hubs.models import Hub
from engage.identity.caller import issue_access_token
from engage.identity.models import AuthSession, Gender, Person
from engage.orgs.models import Org, OrgPath
from tests.reference import seed_reference

PEOPLE = 3000
LISTED = 400
HUBS = 60
COUNTIES = ("140502", "140521", "140522", "140524", "140525", "140581")
WITHOUT_LIMIT = 1_000_000
RUSH_PLACES = 200
RUSH_QUEUE = 300


@dataclass(frozen=True)
class City:
    """Who and what there is."""

    tokens: list[str]
    people: list[tuple[UUID, UUID]]  # person, session
    activities: list[UUID]
    project_id: UUID
    org_id: UUID
    hub_id: UUID


def fill(database: Database, app: Flask, now: datetime) -> City:
    """Write the city; the same each time but for the ids."""
    with database.transaction() as session:
        seed_reference(session)
        org = Org(
            id=ids.new_id(), name="城区团委", kind_code="committee", division_code="140502", created_at=now
        )
        session.add(org)
        session.flush()
        session.add(OrgPath(ancestor_id=org.id, descendant_id=org.id, depth=0))
        projects = [
            Project(id=ids.new_id(), name=f"项目{number}", org_id=org.id, created_at=now)
            for number in range(22)
        ]
        session.add_all(projects)
        session.flush()
        hubs = [_hub(number, org.id, now) for number in range(HUBS)]
        session.execute(insert(Hub), hubs)
        people, sessions = _people(now)
        session.execute(insert(Person), people)
        session.execute(insert(AuthSession), sessions)
        activities = [
            activity(
                project_id=projects[number % 22].id,
                org_id=org.id,
                hub_id=hubs[number % HUBS]["id"],
                now=now,
                number=number,
                capacity=40,
                waitlist_capacity=20,
            )
            for number in range(LISTED)
        ]
        session.execute(insert(Activity), activities)
        session.execute(insert(SignUp), _sign_ups(activities, people, now))
    with app.app_context():
        tokens = [issue_access_token(row["person_id"], row["id"], timedelta(hours=12)) for row in sessions]
    settle(database.writer)
    return City(
        tokens=tokens,
        people=[(row["person_id"], row["id"]) for row in sessions],
        activities=[row["id"] for row in activities],
        project_id=projects[0].id,
        org_id=org.id,
        hub_id=hubs[0]["id"],
    )


def settle(engine: Engine) -> None:
    """Let the planner know the tables; a plan made for empty ones halves the rate."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("ANALYZE"))


def open_activity(database: Database, city: City, now: datetime, **values: Any) -> UUID:
    """Write one more activity that takes sign-ups: ``capacity``, ``waitlist_capacity`` and what else differs."""
    row = activity(
        project_id=city.project_id, org_id=city.org_id, hub_id=city.hub_id, now=now, number=0, **values
    )
    with database.transaction() as session:
        session.execute(insert(Activity), [row])
    found: UUID = row["id"]
    return found


def sign_up(database: Database, city: City, now: datetime, activity_id: UUID, **people: int) -> None:
    """Write sign-ups of the first people of the city, so many in each state: ``confirmed=200, waitlisted=300``."""
    with database.transaction() as session:
        times = session.execute(
            select(Activity.starts_at, Activity.ends_at).where(Activity.id == activity_id)
        ).one()
        first = 0
        for state, count in people.items():
            rows = [
                _sign_up(activity_id, person, SignUpState(state), *times, now)
                for person, _ in city.people[first : first + count]
            ]
            session.execute(insert(SignUp), rows)
            first += count


def activity(
    *,
    project_id: UUID,
    org_id: UUID,
    hub_id: UUID,
    now: datetime,
    number: int,
    capacity: int,
    waitlist_capacity: int,
    starts_at: datetime | None = None,
    **values: Any,
) -> dict[str, Any]:
    """Return the row of an activity ahead, open for sign-up."""
    starts_at = starts_at or now + timedelta(days=1 + number % 30, minutes=number)
    return {
        "id": ids.new_id(), "title": f"青年创业分享会第{number}期", "summary": "与本地青年创业者面对面交流，提供茶点。" * 5,
        "project_id": project_id, "org_id": org_id, "hub_id": hub_id, "place_name": None, "county_code": COUNTIES[number % 6],
        "starts_at": starts_at, "ends_at": starts_at + timedelta(hours=2), "sign_up_opens_at": now - timedelta(days=3),
        "sign_up_closes_at": starts_at - timedelta(hours=1), "capacity": capacity, "waitlist_capacity": waitlist_capacity,
        "county_codes": [], "members_only": False, "questions": [], "service_minutes": 120, "status": ActivityStatus.PUBLISHED,
        "offers_from_at": starts_at - timedelta(hours=24), "queue_closes_at": starts_at - timedelta(hours=1),
        "excuse_until_at": starts_at - timedelta(hours=2), "created_at": now, "updated_at": now, "min_age": 14, "max_age": 35,
        **values,
    }  # fmt: skip


def _hub(number: int, org_id: UUID, now: datetime) -> dict[str, Any]:
    county = COUNTIES[number % 6]
    return {
        "id": ids.new_id(), "name": f"青年之家{number}", "kind_code": "youth_home", "org_id": org_id, "division_code": county,
        "county_code": county, "address": f"文昌东街{number}号", "lat": 35.5 + number / 500, "lng": 112.8 + number / 500,
        "opening_hours": [], "services": [], "created_at": now, "updated_at": now,
    }  # fmt: skip


def _people(now: datetime) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    people = [
        {
            "id": ids.new_id(), "name": f"青年{number}", "gender": Gender.FEMALE, "birth_on": date(2004, 3, 5),
            "hometown_code": "140502", "current_code": "140502", "is_synthetic": True, "created_at": now, "updated_at": now,
        }
        for number in range(PEOPLE)
    ]  # fmt: skip
    sessions = [
        {
            "id": ids.new_id(),
            "person_id": person["id"],
            "created_at": now,
            "expires_at": now + timedelta(days=30),
        }
        for person in people
    ]
    return people, sessions


def _sign_ups(
    activities: list[dict[str, Any]], people: list[dict[str, Any]], now: datetime
) -> list[dict[str, Any]]:
    """About ten people in each activity."""
    return [
        _sign_up(
            row["id"], people[(index * 7 + turn) % PEOPLE]["id"], SignUpState.CONFIRMED, row["starts_at"], row["ends_at"], now
        )
        for index, row in enumerate(activities)
        for turn in range(10)
    ]  # fmt: skip


def _sign_up(
    activity_id: UUID,
    person_id: UUID,
    state: SignUpState,
    starts_at: datetime,
    ends_at: datetime,
    now: datetime,
) -> dict[str, Any]:
    return {
        "id": ids.new_id(), "activity_id": activity_id, "person_id": person_id, "state": state, "answers": {},
        "starts_at": starts_at, "ends_at": ends_at, "created_at": now, "updated_at": now,
    }  # fmt: skip


def get(path: str, token: str) -> bytes:
    """Return the bytes of a GET."""
    return f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}\r\nAccept: application/json\r\n\r\n".encode()


def send(method: str, path: str, token: str, body: bytes = b"") -> bytes:
    """Return the bytes of a request that writes."""
    head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body
