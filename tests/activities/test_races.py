"""The last place under a rush: real threads on both engines, real processes on SQLite, every pair of paths."""

from __future__ import annotations

import multiprocessing
import random
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from sqlalchemy import select, update

from engage.activities.models import HOLDS_PLACE, Activity, SignUp, SignUpState
from engage.app import create_app
from engage.orgs.models import Role

THREADS = 12


def at_once(calls):
    """Run calls in threads that start together; return their results in order."""
    barrier = threading.Barrier(len(calls))

    def run(call):
        barrier.wait()
        return call()

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(run, calls))


def check_invariants(database, activity_id):
    """Counters equal rows, nobody oversold, nobody twice, nobody waits while a place is free."""
    with database.reading() as db:
        capacity, taken, waiting, queue = db.execute(
            select(Activity.capacity, Activity.taken, Activity.waiting, Activity.waitlist_capacity).where(
                Activity.id == activity_id
            )
        ).one()
        rows = db.execute(
            select(SignUp.person_id, SignUp.state).where(
                SignUp.activity_id == activity_id, SignUp.state != SignUpState.CANCELLED
            )
        ).all()
    states = [state for _, state in rows]
    assert sum(state in HOLDS_PLACE for state in states) == taken
    assert states.count(SignUpState.WAITLISTED) == waiting
    assert taken <= capacity
    assert waiting <= queue
    assert len({person for person, _ in rows}) == len(rows)
    assert taken == capacity or waiting == 0, f"{waiting} wait while {capacity - taken} places are free"
    return taken, waiting


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


def test_cancelling_races_signing_up_and_nobody_is_stranded(as_user, make, database):
    for _ in range(8):
        activity = make.activity(capacity=1, waitlist_capacity=5)
        holder, newcomers = as_user(make.person().id), [as_user(make.person().id) for _ in range(3)]
        url = f"/v1/activities/{activity.id}/sign-up"
        holder.put(url, json={})
        at_once(
            [
                lambda holder=holder, url=url: holder.delete(url),
                *(lambda client=client, url=url: client.put(url, json={}) for client in newcomers),
            ]
        )
        assert check_invariants(database, activity.id) == (1, 2)


def test_every_path_at_the_last_places(as_user, make, database):
    """Self, staff add, staff cancel, leave and capacity changes at once; whatever the order, the invariants hold."""
    org = make.org()
    officer = as_user(make.staff(Role.OFFICER, org=org).id)
    activity = make.activity(org=org, capacity=3, waitlist_capacity=50)
    url = f"/v1/activities/{activity.id}"
    inside = [make.person() for _ in range(6)]
    for person in inside:
        as_user(person.id).put(f"{url}/sign-up", json={})
    listed = officer.get(f"{url}/sign-ups").json["items"]
    body = officer.get(url).json
    kept = {
        name: body[name]
        for name in (
            "title",
            "starts_at",
            "ends_at",
            "sign_up_opens_at",
            "sign_up_closes_at",
            "waitlist_capacity",
            "county_code",
        )
    }
    edit = {
        **kept,
        "project_id": body["project"]["id"],
        "org_id": body["org"]["id"],
        "place_name": body["place"]["name"],
    }

    def resize(capacity):
        client = as_user(make.staff(Role.OFFICER, org=org).id)
        return lambda: client.put(url, json={**edit, "capacity": capacity}, headers={"If-Match": "*"})

    def add():
        person = make.person()
        client = as_user(make.staff(Role.OFFICER, org=org).id)
        return lambda: client.post(f"{url}/sign-ups", json={"person_id": str(person.id)})

    def cancel(item):
        client = as_user(make.staff(Role.OFFICER, org=org).id)
        return lambda: client.post(f"{url}/sign-ups/{item['id']}/cancellation", json={"reason": "测试"})

    def press():
        client = as_user(make.person().id)
        return lambda: client.put(f"{url}/sign-up", json={})

    def leave(person):
        client = as_user(person.id)
        return lambda: client.delete(f"{url}/sign-up")

    calls = [
        press(),
        press(),
        add(),
        add(),
        cancel(listed[0]),
        cancel(listed[4]),
        leave(inside[1]),
        leave(inside[5]),
    ]
    calls += [resize(5), resize(4), resize(2)]
    answers = at_once(calls)
    assert all(answer.status_code < 500 for answer in answers), [
        answer.json for answer in answers if answer.status_code >= 500
    ]
    check_invariants(database, activity.id)


def test_a_random_schedule_leaves_nobody_stranded(as_user, make, database):
    dice = random.Random(7)
    activities = [
        make.activity(capacity=dice.randint(1, 3), waitlist_capacity=dice.randint(0, 4)) for _ in range(5)
    ]
    clients = [as_user(make.person().id) for _ in range(10)]

    def wander(index):
        mine = random.Random(index)
        statuses = set()
        for _ in range(25):
            url = f"/v1/activities/{mine.choice(activities).id}/sign-up"
            answer = clients[index].delete(url) if mine.random() < 0.4 else clients[index].put(url, json={})
            statuses.add(answer.status_code)
        return statuses

    seen = set().union(*at_once([lambda index=index: wander(index) for index in range(10)]))
    assert seen <= {200, 204, 409}
    for activity in activities:
        check_invariants(database, activity.id)


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


def test_a_statement_that_goes_round_the_service_cannot_oversell(make, database):
    """What the database itself refuses, from plain SQL."""
    from sqlalchemy import insert
    from sqlalchemy.exc import IntegrityError

    activity = make.activity(capacity=1, waitlist_capacity=1)
    people = [make.person() for _ in range(4)]

    def add(person, state):
        with database.transaction() as session:
            session.execute(
                insert(SignUp),
                [
                    {
                        "activity_id": activity.id,
                        "person_id": person.id,
                        "state": state,
                        "answers": {},
                        "starts_at": activity.starts_at,
                        "ends_at": activity.ends_at,
                        "created_at": activity.created_at,
                        "updated_at": activity.created_at,
                    }
                ],
            )

    add(people[0], SignUpState.CONFIRMED)
    with pytest.raises(IntegrityError):
        add(people[1], SignUpState.CONFIRMED)
    add(people[1], SignUpState.WAITLISTED)
    with pytest.raises(IntegrityError):
        add(people[2], SignUpState.WAITLISTED)
    with pytest.raises(IntegrityError), database.transaction() as session:
        session.execute(
            update(SignUp).where(SignUp.person_id == people[1].id).values(state=SignUpState.CONFIRMED)
        )
    with pytest.raises(IntegrityError), database.transaction() as session:
        session.execute(update(Activity).where(Activity.id == activity.id).values(capacity=0))
    with pytest.raises(IntegrityError), database.transaction() as session:
        session.execute(update(SignUp).where(SignUp.person_id == people[1].id).values(person_id=people[3].id))
    assert check_invariants(database, activity.id) == (1, 1)
