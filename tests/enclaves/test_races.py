"""Two at once: the same application twice, approval against withdrawal, approval against a new application."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
from sqlalchemy import func, select

from engage.enclaves.models import ApplicationState, EnclaveApplication, EnclaveParticipation
from engage.messages.models import OutboxEntry

ROUNDS = 12


def at_once(*calls):
    """Run calls in threads that start together; return their results in order."""
    barrier = threading.Barrier(len(calls))

    def run(call):
        barrier.wait()
        return call()

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(run, calls))


@pytest.fixture
def counted(database):
    def count(person_id):
        with database.reading() as db:
            states = db.scalars(
                select(EnclaveApplication.state).where(EnclaveApplication.person_id == person_id)
            ).all()
            joined = db.scalar(
                select(func.count())
                .select_from(EnclaveParticipation)
                .where(EnclaveParticipation.person_id == person_id, EnclaveParticipation.left_at.is_(None))
            )
            told = db.scalars(select(OutboxEntry.kind).where(OutboxEntry.person_id == person_id)).all()
        return sorted(states), joined, told

    return count


def test_one_person_applying_on_many_connections_has_one_application(as_user, make, home, counted):
    person = make.person(hometown_code="140524")
    clients = [as_user(person.id) for _ in range(10)]
    answers = at_once(
        *(lambda client=client: client.post(f"{home.url}/applications", json={}) for client in clients)
    )
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 9
    assert {answer.json["code"] for answer in answers if answer.status_code == 409} == {"application_exists"}
    assert counted(person.id)[0] == [ApplicationState.SUBMITTED]


def test_approval_races_withdrawal_and_exactly_one_wins(as_user, make, home, counted):
    for _ in range(ROUNDS):
        person = make.person(hometown_code="140524")
        mine, secretary = as_user(person.id), as_user(home.secretary.id)
        url = mine.post(f"{home.url}/applications", json={}).headers["Location"]
        answers = at_once(partial(secretary.post, f"{url}/approval"), partial(mine.post, f"{url}/withdrawal"))
        assert sorted(answer.status_code for answer in answers) == [200, 409]
        loser = next(answer for answer in answers if answer.status_code == 409)
        assert loser.json["code"] == "already_decided"
        states, joined, told = counted(person.id)
        approved = answers[0].status_code == 200
        assert states == [ApplicationState.APPROVED if approved else ApplicationState.WITHDRAWN]
        assert joined == int(approved)
        assert told == ["enclave_application_approved"] * joined


def test_two_deciders_at_once_and_exactly_one_wins(as_user, make, home, counted):
    for _ in range(ROUNDS):
        person = make.person(hometown_code="140524")
        secretary, officer = as_user(home.secretary.id), as_user(home.officer.id)
        url = as_user(person.id).post(f"{home.url}/applications", json={}).headers["Location"]
        answers = at_once(
            partial(secretary.post, f"{url}/approval"),
            partial(officer.post, f"{url}/rejection", json={"reason": "信息不符"}),
            partial(officer.post, f"{url}/approval"),
        )
        assert sorted(answer.status_code for answer in answers) == [200, 409, 409]
        states, joined, told = counted(person.id)
        assert (len(states), len(told)) == (1, 1)
        assert joined == (states == [ApplicationState.APPROVED])


def test_applying_again_while_being_approved_leaves_no_open_application(as_user, make, home, counted):
    for _ in range(ROUNDS):
        person = make.person(hometown_code="140524")
        mine, again, secretary = as_user(person.id), as_user(person.id), as_user(home.secretary.id)
        url = mine.post(f"{home.url}/applications", json={}).headers["Location"]
        approval, second = at_once(
            partial(secretary.post, f"{url}/approval"),
            partial(again.post, f"{home.url}/applications", json={}),
        )
        assert approval.status_code == 200
        assert second.json["code"] in ("application_exists", "already_participating")
        assert counted(person.id)[:2] == ([ApplicationState.APPROVED], 1)


def test_dissolving_races_applying_and_nobody_is_left_waiting(as_user, make, home, counted):
    for _ in range(ROUNDS):
        branch = make.enclave_branch(home.county)
        person = make.person(hometown_code="140524")
        mine, officer = as_user(person.id), as_user(home.officer.id)
        url = f"/v1/enclave-branches/{branch.id}"
        body = {"name": "陵川支部", "host_city_code": "140100", "status": "dissolved"}
        applying, dissolving = at_once(
            partial(mine.post, f"{url}/applications", json={}),
            partial(officer.put, url, json=body, headers={"If-Match": "*"}),
        )
        assert dissolving.status_code == 200
        states, _, told = counted(person.id)
        if applying.status_code == 201:
            assert (states, told) == ([ApplicationState.REJECTED], ["enclave_application_rejected"])
        else:
            assert applying.json["code"] == "no_such_enclave_branch"
            assert states == []
