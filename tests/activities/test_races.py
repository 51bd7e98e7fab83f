"""The last place under a rush: threads, processes, and a random schedule, on both engines."""

from __future__ import annotations

import multiprocessing
import random
import threading
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import replace
from datetime import timedelta

import pytest
from activities.proof import violations
from counting import count_statements
from factories import Factory, OneTransaction
from racing import at_once
from sqlalchemy import select
from sqlalchemy.orm import aliased

from engage.activities.models import (
    HOLDS_PLACE,
    Activity,
    ActivityStatus,
    Audience,
    Pool,
    SignUp,
    SignUpState,
)
from engage.activities.queries.holding import held_for_nothing
from engage.activities.service import due
from engage.app import create_app
from engage.core import clock
from engage.core.config import Overlap
from engage.orgs.models import Role

THREADS = 12


def check_invariants(database, activity_id):
    """Nothing that must hold does not; return how many have a place and how many wait."""
    assert violations(database) == {}
    with database.reading() as db:
        taken, waiting = db.execute(
            select(Activity.taken, Activity.waiting).where(Activity.id == activity_id)
        ).one()
    return taken, waiting


def is_wrong(answer):
    """Say whether an answer is a fault, or what a caller gets when only the database kept a path from doing harm."""
    if answer is None or isinstance(answer, int):
        return False
    return answer.status_code >= 500 or (answer.json or {}).get("code") == "conflicting_change"


@pytest.fixture
def rush(app, as_user, make):
    """An activity with one place, and people with clients of their own."""
    activity = make.activity(capacity=1, waitlist_capacity=100)
    people = [make.person() for _ in range(THREADS)]
    return activity, people, [as_user(person.id) for person in people]


def test_twelve_press_at_once_for_the_last_place(rush, database):
    activity, _, clients = rush
    answers = at_once(
        [
            lambda client=client: client.put(f"/v1/activities/{activity.id}/sign-up", json={}).json
            for client in clients
        ]
    )
    assert sorted(answer["state"] for answer in answers) == ["confirmed"] + ["waitlisted"] * (THREADS - 1)
    assert sorted(answer["position"] for answer in answers if answer["position"]) == list(range(1, THREADS))
    assert check_invariants(database, activity.id) == (1, THREADS - 1)


def test_the_end_of_the_queue_is_not_passed(app, as_user, make, database):
    activity = make.activity(capacity=2, waitlist_capacity=3)
    clients = [as_user(make.person().id) for _ in range(THREADS)]
    answers = at_once(
        [
            lambda client=client: client.put(f"/v1/activities/{activity.id}/sign-up", json={})
            for client in clients
        ]
    )
    assert sorted(answer.status_code for answer in answers) == [200] * 5 + [409] * (THREADS - 5)
    assert check_invariants(database, activity.id) == (2, 3)


def test_one_person_pressing_on_many_connections_has_one_place(as_user, make, database):
    activity, person = make.activity(capacity=5), make.person()
    clients = [as_user(person.id) for _ in range(THREADS)]
    answers = at_once(
        [
            lambda client=client: client.put(f"/v1/activities/{activity.id}/sign-up", json={})
            for client in clients
        ]
    )
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.json["id"] for answer in answers}) == 1
    assert check_invariants(database, activity.id) == (1, 0)


def test_places_given_back_at_once_promote_exactly_as_many(as_user, make, database):
    activity = make.activity(capacity=4, waitlist_capacity=100)
    clients = [as_user(make.person().id) for _ in range(THREADS)]
    url = f"/v1/activities/{activity.id}/sign-up"
    for client in clients:
        client.put(url, json={})
    at_once([lambda client=client: client.delete(url) for client in clients[:4]])
    assert check_invariants(database, activity.id) == (4, THREADS - 8)
    states = [client.get(url).json["state"] for client in clients[4:8]]
    assert states == ["confirmed"] * 4, "the first in the queue are the ones promoted"


def renamed(activity):
    activity.title = "改了名字"
    activity.version += 1


def called_off(activity):
    activity.status = ActivityStatus.CANCELLED
    activity.version += 1


def enlarged(activity):
    activity.capacity += THREADS
    activity.version += 1


def merged(activity):
    activity.pools_merged = True


# What staff change while people press, and what those get who waited for it.
CHANGES = {
    "the title": (renamed, {}, {"confirmed": THREADS}),
    "more places": (enlarged, {"capacity": 1}, {"confirmed": THREADS}),
    "the last place but one": (renamed, {"capacity": 1, "waitlist_capacity": 0}, {"confirmed": 1, "activity_full": THREADS - 1}),
    "called off": (called_off, {}, {"activity_cancelled": THREADS}),
    "pools merged": (merged, {"pools_merged": False, "waitlist_capacity": 0}, {"confirmed": THREADS}),
}  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
def test_who_presses_while_an_activity_is_edited_loses_nothing_by_it(make, as_user, database, change):
    """They wait for the row; what it is then decides, not what it was when they pressed."""
    edit, values, expected = CHANGES[change]
    activity = make.activity(
        **{"capacity": THREADS, "pools_merge_at": clock.now() + timedelta(hours=9), **values}
    )
    if not activity.pools_merged:
        for position, capacity in enumerate((0, THREADS), 1):  # the second is for others until pools are one
            make.add(
                Pool(
                    activity_id=activity.id, position=position, name=f"池{position}", capacity=capacity,
                    audience=Audience.EVERYBODY if position == 1 else Audience.MEMBERS, county_codes=[],
                )
            )  # fmt: skip
    url = f"/v1/activities/{activity.id}/sign-up"
    clients = [as_user(make.person().id) for _ in range(THREADS)]
    as_user(make.person(birth_on=None).id).put(url, json={})  # so that the rules are known
    with ThreadPoolExecutor(THREADS) as threads:
        with database.transaction() as session:
            edit(session.get(Activity, activity.id, with_for_update={"key_share": True}))
            session.flush()
            pressed = [threads.submit(client.put, url, json={}) for client in clients]
            assert not wait(pressed, timeout=0.5).done, "they wait for the row"
        answers = [press.result().json for press in pressed]
    got = [answer.get("state") or answer["code"] for answer in answers]
    assert {state: got.count(state) for state in set(got)} == expected
    assert violations(database) == {}


@pytest.mark.parametrize("limited", [False, True])
@pytest.mark.parametrize("full", [False, True])
def test_sold_out_and_closed_take_one_statement_and_wait_for_nobody(
    make, as_user, app, database, full, limited, frozen
):
    project = make.project(daily_limit=3 if limited else None)
    closes = {} if full else {"sign_up_closes_at": frozen.now}
    activity = make.activity(project_id=project.id, capacity=1, waitlist_capacity=1, **closes)
    url = f"/v1/activities/{activity.id}/sign-up"
    if full:
        for state in (SignUpState.CONFIRMED, SignUpState.WAITLISTED):
            make.sign_up(activity, state=state)
    somebody = as_user(make.person().id)
    somebody.put(url, json={})
    with database.transaction() as session, ThreadPoolExecutor(1) as thread:
        session.get(Activity, activity.id, with_for_update={"key_share": True})
        with count_statements(app) as sent:
            answer = thread.submit(somebody.put, url, json={}).result(timeout=5).json
        assert answer["code"] == ("activity_full" if full else "sign_up_closed")
    assert len(sent) == 1, "which finds the caller too"


ACTIVITIES, WORKERS, MOVES = 40, 16, 25


def test_a_random_schedule_of_many_activities_leaves_nobody_stranded(app, make, database):
    """People join and leave, staff add and cancel, accept and decline; a worker settles beside them."""
    dice = random.Random(7)
    now = clock.now()
    with database.transaction() as session, app.app_context():
        house = Factory(OneTransaction(session), app)
        org, soon = house.org(), now + timedelta(hours=10)
        near = {"starts_at": soon, "ends_at": soon + timedelta(hours=2), "sign_up_closes_at": soon}
        near |= {"offers_from_at": soon - timedelta(days=1), "queue_closes_at": soon - timedelta(hours=1)}
        near |= {"quiet_from": 0, "quiet_until": 0, "offer_minutes": 1}
        project_id = house.project(org).id
        activities = [
            house.activity(
                org,
                project_id=project_id,
                capacity=dice.randint(1, 3),
                waitlist_capacity=dice.randint(0, 5),
                overlap=Overlap.REFUSE if number % 4 > 1 else Overlap.ALLOW,  # all are at one of two times
                **(near if number % 2 else {}),
            ).id
            for number in range(ACTIVITIES)
        ]
        people = [house.person().id for _ in range(WORKERS)]
        tokens = [house.access_token(person) for person in people]
        officer = house.access_token(house.staff(Role.OFFICER, org=org).id)

    staff = {"Authorization": f"Bearer {officer}"}

    def cancel_any(client, url, mine):
        listed = client.get(f"{url}/sign-ups", headers=staff).json["items"]
        if not listed:
            return None
        address = f"{url}/sign-ups/{mine.choice(listed)['id']}/cancellation"
        return client.post(address, json={"reason": "测试"}, headers=staff)

    def move(mine, number):
        client, url = app.test_client(), f"/v1/activities/{mine.choice(activities)}"
        me = {"Authorization": f"Bearer {tokens[number]}"}
        somebody = {"person_id": str(mine.choice(people))}
        moves = {
            "join": lambda: client.put(f"{url}/sign-up", json={}, headers=me),
            "leave": lambda: client.delete(f"{url}/sign-up", headers=me),
            "accept": lambda: client.post(f"{url}/sign-up/acceptance", headers=me),
            "add": lambda: client.post(f"{url}/sign-ups", json=somebody, headers=staff),
            "cancel": lambda: cancel_any(client, url, mine),
            "settle": lambda: due.advance_due(database, threading.Event()),
        }
        return moves[mine.choice(["join", "join", "leave", *moves])]()

    def wander(number):
        mine = random.Random(number)
        return [move(mine, number) for _ in range(MOVES)]

    answers = at_once([lambda number=number: wander(number) for number in range(WORKERS)])
    assert [answer.json for run in answers for answer in run if is_wrong(answer)] == []
    assert violations(database) == {}
    assert places_where_none_is_allowed(database) == [], (
        "whoever has a place where no other is allowed has it alone"
    )
    due.advance_due(database, threading.Event())
    assert violations(database) == {}
    with database.reading() as db:
        settings = database.settings
        assert db.scalars(held_for_nothing(settings, clock.now())).all() == []
    assert places_where_none_is_allowed(database) == []


def places_where_none_is_allowed(database):
    """People with two places at the same time in activities of which each allows none beside it."""
    here, there = aliased(SignUp), aliased(SignUp)
    with database.reading() as db:
        return db.scalars(
            select(here.person_id)
            .join(
                there,
                (there.person_id == here.person_id)
                & (there.starts_at == here.starts_at)
                & (there.seq > here.seq),
            )
            .join(Activity, Activity.id == there.activity_id)
            .where(
                here.state.in_(HOLDS_PLACE),
                there.state.in_(HOLDS_PLACE),
                Activity.overlap == Overlap.REFUSE,
                here.activity_id.in_(select(Activity.id).where(Activity.overlap == Overlap.REFUSE)),
            )
        ).all()


def test_check_in_races_leaving_and_one_of_them_wins(as_user, make, database, frozen):
    for _ in range(6):
        org = make.org()
        officer = as_user(make.staff(Role.OFFICER, org=org).id)
        person = make.person()
        frozen_start = frozen.now.replace(minute=30)
        activity = make.activity(org=org, starts_at=frozen_start)
        url = f"/v1/activities/{activity.id}"
        clients = [as_user(person.id), as_user(person.id)]
        clients[0].put(f"{url}/sign-up", json={})
        code = officer.get(f"{url}/check-in-code").json["code"]
        came, left = at_once(
            [
                lambda url=url, code=code, clients=clients: clients[0].post(
                    f"{url}/check-in", json={"code": code}
                ),
                lambda url=url, clients=clients: clients[1].delete(f"{url}/sign-up"),
            ]
        )
        assert {came.status_code, left.status_code} in ({200, 409}, {204, 404}), (came.json, left.status_code)
        check_invariants(database, activity.id)


def _press_in_process(settings, tokens, url, start, results):
    app = create_app(settings)
    start.wait()
    states = []
    for token in tokens:
        answer = app.test_client().put(url, json={}, headers={"Authorization": f"Bearer {token}"})
        states.append((answer.status_code, answer.json.get("state")))
    results.put(states)


def test_processes_share_the_last_places(settings, make, database):
    """Three processes, as Gunicorn's workers are, press for five places: none is sold twice and none is lost."""
    activity = make.activity(capacity=5, waitlist_capacity=100)
    tokens = [make.access_token(make.person().id) for _ in range(24)]
    context = multiprocessing.get_context("spawn")
    start, results = context.Event(), context.Queue()
    quiet = replace(settings, log_level="ERROR", database_pool_size=4)
    arguments = [
        (quiet, tokens[i::3], f"/v1/activities/{activity.id}/sign-up", start, results) for i in range(3)
    ]
    processes = [context.Process(target=_press_in_process, args=args) for args in arguments]
    for process in processes:
        process.start()
    start.set()
    answers = [answer for _ in processes for answer in results.get(timeout=60)]
    for process in processes:
        process.join(timeout=30)
    assert sorted(answers) == sorted([(200, "confirmed")] * 5 + [(200, "waitlisted")] * 19)
    assert check_invariants(database, activity.id) == (5, 19)
