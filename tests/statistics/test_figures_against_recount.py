"""Whatever happened, the figures equal a recount of the rows in plain Python."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, insert

from engage.activities.models import Activity, ActivityStatus, CheckIn, CheckInMethod, SignUp, SignUpState
from engage.core import clock, ids
from engage.core.clock import SHANGHAI, shanghai_day
from engage.orgs.models import Role

COUNTIES = ["140502", "140521", "140524"]
NOW = datetime(2026, 10, 1, 2, 0, tzinfo=UTC)
FIRST, LAST = date(2026, 9, 29), date(2026, 10, 2)


@dataclass(frozen=True)
class Past:
    """An activity that a test lets happen; ``turns`` are (person, state, was there)."""

    start: datetime
    length: timedelta
    county: int
    hub: int | None
    org: int
    project: int
    status: ActivityStatus
    turns: list[tuple[int, SignUpState, bool]]


LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
STATES = (SignUpState.CONFIRMED, SignUpState.WAITLISTED, SignUpState.CANCELLED)
TURNS = st.lists(
    st.tuples(st.integers(0, 7), st.sampled_from(STATES), st.booleans()),
    max_size=8,
    unique_by=lambda turn: turn[0],
)
PASTS = st.lists(
    st.builds(
        Past,
        # Around midnight in Shanghai at the turn of a month, and around the ends of the range asked for.
        start=st.integers(-60, 60).map(
            lambda hours: datetime(2026, 9, 30, 16, 0, tzinfo=UTC) + timedelta(hours=hours)
        ),
        length=st.integers(1, 24).map(lambda hours: timedelta(hours=hours)),
        county=st.integers(0, 2),
        hub=st.none() | st.integers(0, 2),
        org=st.integers(0, 2),
        project=st.integers(0, 2),
        status=st.sampled_from(
            [
                *[ActivityStatus.PUBLISHED] * 3,
                ActivityStatus.SUMMARISED,
                ActivityStatus.CANCELLED,
                ActivityStatus.DRAFT,
            ]
        ),
        turns=TURNS,
    ),
    max_size=8,
)


@pytest.fixture
def world(make, frozen):
    city = make.org(division_code="140500")
    orgs = [make.org(city), make.org(city), make.org(division_code="140500")]  # the last outside the city
    return SimpleNamespace(
        city=city,
        orgs=orgs,
        hubs=[make.hub(org, name=f"青年之家{index}") for index, org in enumerate(orgs)],
        projects=[make.project(city, name=f"项目{index}") for index in range(3)],
        people=[make.person().id for _ in range(8)],
        officer=make.staff(Role.OFFICER, org=city),
        manager=make.staff(Role.HUB_MANAGER, hub=make.hub(orgs[0])),
    )


def let_happen(database, world, pasts):
    now = clock.now()
    with database.transaction() as session:
        for table in (CheckIn, SignUp, Activity):
            session.execute(delete(table))
        for past in pasts:
            activity_id = ids.new_id()
            session.execute(
                insert(Activity).values(
                    id=activity_id, title="活动", project_id=world.projects[past.project].id, org_id=world.orgs[past.org].id,
                    hub_id=None if past.hub is None else world.hubs[past.hub].id, place_name="广场", county_code=COUNTIES[past.county],
                    starts_at=past.start, ends_at=past.start + past.length, sign_up_opens_at=past.start - timedelta(days=1),
                    sign_up_closes_at=past.start, capacity=10, waitlist_capacity=10, county_codes=[], members_only=False,
                    offers_from_at=LONG_AGO, queue_closes_at=LONG_AGO, excuse_until_at=LONG_AGO, questions=[], service_minutes=0, status=past.status, created_at=now, updated_at=now,
                )
            )  # fmt: skip
            for person, state, was_there in past.turns:
                sign_up_id = ids.new_id()
                cancelled_at = now if state is SignUpState.CANCELLED else None
                session.execute(
                    insert(SignUp).values(
                        id=sign_up_id, activity_id=activity_id, person_id=world.people[person], state=state, answers={},
                        starts_at=past.start, ends_at=past.start + past.length, created_at=now, updated_at=now,
                        cancelled_at=cancelled_at,
                    )
                )  # fmt: skip
                if was_there and state is SignUpState.CONFIRMED:
                    session.execute(
                        insert(CheckIn).values(
                            activity_id=activity_id, person_id=world.people[person], sign_up_id=sign_up_id,
                            method=CheckInMethod.CODE, checked_in_at=now, arrived_at=now, updated_at=now,
                        )
                    )  # fmt: skip


def recount(pasts):
    """Return the figures of some activities, by the words of their definitions."""
    turns = [(past, *turn) for past in pasts for turn in past.turns]
    confirmed = [turn for turn in turns if turn[2] is SignUpState.CONFIRMED]
    present = [turn for turn in confirmed if turn[3]]
    expected = [turn for turn in confirmed if turn[0].start + turn[0].length <= NOW]
    came = [turn for turn in expected if turn[3]]
    return {
        "activities": len(pasts),
        "sign_ups": len(turns),
        "confirmed": len(confirmed),
        "check_ins": len(present),
        "people": len({person for _, person, _, _ in present}),
        "attendance_rate": round(len(came) / len(expected), 4) if expected else None,
    }


def key_of(world, past, by):
    if by == "month":
        return past.start.astimezone(SHANGHAI).strftime("%Y-%m")
    if by == "county":
        return COUNTIES[past.county]
    if by == "project":
        return str(world.projects[past.project].id)
    return None if past.hub is None else str(world.hubs[past.hub].id)


@pytest.mark.parametrize("by", ["county", "hub", "project", "month"])
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pasts=PASTS)
def test_figures_equal_a_recount(by, pasts, as_user, database, world):
    let_happen(database, world, pasts)
    inside = [
        past
        for past in pasts
        if past.org < 2
        and past.status in (ActivityStatus.PUBLISHED, ActivityStatus.SUMMARISED)
        and FIRST <= shanghai_day(past.start) <= LAST
    ]
    rows = defaultdict(list)
    for past in inside:
        rows[key_of(world, past, by)].append(past)
    answer = as_user(world.officer.id).get(
        "/v1/statistics/participation",
        query_string={"from": FIRST.isoformat(), "to": LAST.isoformat(), "by": by},
    )
    found = {
        row["key"]["id"]: {name: row[name] for name in row if name != "key"} for row in answer.json["items"]
    }
    assert found == {key: recount(pasts) for key, pasts in rows.items()}
    assert answer.json["totals"] == recount(inside)
    for column in ("activities", "sign_ups", "confirmed", "check_ins"):
        assert answer.json["totals"][column] == sum(row[column] for row in answer.json["items"])
