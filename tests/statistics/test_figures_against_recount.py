"""Whatever happened, the figures equal a recount of the rows in plain Python."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, insert

from engage.activities.models import (
    Activity,
    ActivityStatus,
    CancelCause,
    CheckIn,
    CheckInMethod,
    SignUp,
    SignUpState,
)
from engage.core import clock, ids
from engage.core.clock import SHANGHAI, shanghai_day
from engage.orgs.models import Role

COUNTIES = ["140502", "140521", "140524"]
NOW = datetime(2026, 10, 1, 2, 0, tzinfo=UTC)
FIRST, LAST = date(2026, 9, 29), date(2026, 10, 2)


@dataclass(frozen=True)
class Turn:
    """What somebody did about an activity; ``arrived`` is in seconds from its start, None for who never came."""

    person: int
    state: SignUpState
    arrived: int | None
    excused: bool


@dataclass(frozen=True)
class Past:
    """An activity that a test lets happen."""

    start: datetime
    length: timedelta
    county: int
    hub: int | None
    org: int
    project: int
    status: ActivityStatus
    late_minutes: int
    turns: list[Turn]


LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
TURNS = st.lists(
    st.builds(
        Turn,
        person=st.integers(0, 7),
        state=st.sampled_from([*[SignUpState.CONFIRMED] * 4, *SignUpState]),
        arrived=st.none() | st.sampled_from([-600, 0, 300, 301, 3600]),
        excused=st.booleans(),
    ),
    max_size=8,
    unique_by=lambda turn: turn.person,
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
        late_minutes=st.sampled_from([0, 5]),
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
                    offers_from_at=LONG_AGO, queue_closes_at=LONG_AGO, excuse_until_at=LONG_AGO, questions=[], late_minutes=past.late_minutes, service_minutes=0, status=past.status, created_at=now, updated_at=now,
                )
            )  # fmt: skip
            for turn in past.turns:
                sign_up_id = ids.new_id()
                ended = turn.state is SignUpState.CANCELLED
                session.execute(
                    insert(SignUp).values(
                        id=sign_up_id, activity_id=activity_id, person_id=world.people[turn.person], state=turn.state, answers={},
                        starts_at=past.start, ends_at=past.start + past.length, updated_at=now,
                        created_at=LONG_AGO - timedelta(days=1) if turn.state is SignUpState.WAITLISTED else now,
                        cancelled_at=now if ended else None,
                        cancel_cause=(CancelCause.EXCUSED if turn.excused else CancelCause.LEFT) if ended else None,
                        excused_at=now if turn.excused and turn.state is SignUpState.CONFIRMED else None,
                        offer_expires_at=now if turn.state is SignUpState.OFFERED else None,
                    )
                )  # fmt: skip
                if came(turn):
                    session.execute(
                        insert(CheckIn).values(
                            activity_id=activity_id, person_id=world.people[turn.person], sign_up_id=sign_up_id,
                            method=CheckInMethod.CODE, checked_in_at=now, arrived_at=past.start + timedelta(seconds=turn.arrived), updated_at=now,
                        )
                    )  # fmt: skip


def came(turn):
    return turn.arrived is not None and turn.state in (SignUpState.CONFIRMED, SignUpState.WALK_IN)


def became(past, turn):
    """Return in a word what became of a turn, by the words of the definition."""
    if turn.state is SignUpState.WALK_IN:
        return "walk_ins"
    if turn.state is SignUpState.CANCELLED:
        return "excused" if turn.excused else None
    if turn.state is not SignUpState.CONFIRMED:
        return None
    if came(turn):
        return "late" if turn.arrived > past.late_minutes * 60 else "attended"
    if turn.excused:
        return "excused"
    return "absent" if past.start + past.length <= NOW else None


def recount(pasts):
    """Return the figures of some activities, by the words of their definitions."""
    turns = [(past, turn) for past in pasts for turn in past.turns]
    present = [turn for _, turn in turns if came(turn)]
    over = [(past, turn) for past, turn in turns if past.start + past.length <= NOW]
    expected = [(past, turn) for past, turn in over if became(past, turn) in ("attended", "late", "absent")]
    of = Counter(became(past, turn) for past, turn in turns)
    return {
        "activities": len(pasts),
        "sign_ups": len(turns),
        "confirmed": sum(turn.state in (SignUpState.CONFIRMED, SignUpState.OFFERED) for _, turn in turns),
        "check_ins": len(present),
        **{name: of[name] for name in ("attended", "late", "absent", "excused", "walk_ins")},
        "people": len({turn.person for turn in present}),
        "attendance_rate": round(sum(came(turn) for _, turn in expected) / len(expected), 4)
        if expected
        else None,
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
    for column in answer.json["totals"].keys() - {"people", "attendance_rate"}:
        assert answer.json["totals"][column] == sum(row[column] for row in answer.json["items"])
