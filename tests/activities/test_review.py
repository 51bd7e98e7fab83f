"""Applications: accepted, ranked and refused by staff, one or many at once, all or none."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from uuid import UUID

import pytest
from counting import count_statements
from sqlalchemy import select, update

from engage.activities.models import (
    Activity,
    ActivityStatus,
    AdmissionMode,
    CancelCause,
    SignUp,
    SignUpState,
)
from engage.activities.service import due
from engage.core import clock
from engage.identity.models import Person
from engage.messages.models import OutboxEntry
from engage.messages.service import deliver_due
from engage.orgs.models import Role


@pytest.fixture
def office(frozen, make, as_user):
    """An activity with reviews, its officer, and people who apply."""

    class Office:
        org = make.org()
        officer = as_user(make.staff(Role.OFFICER, org=org).id)
        activity = None
        url = ""

        def open(self, **values):
            self.activity = make.activity(org=self.org, admission_mode=AdmissionMode.REVIEW, **values)
            self.url = f"/v1/activities/{self.activity.id}"
            return self

        def apply(self, count):
            """Return as many clients who applied, and the ids of their applications."""
            clients = [as_user(make.person().id) for _ in range(count)]
            answers = [client.put(f"{self.url}/sign-up", json={}) for client in clients]
            assert {answer.json["state"] for answer in answers} == {"applied"}
            return clients, [answer.json["id"] for answer in answers]

        def decide(self, *items):
            return self.officer.post(f"{self.url}/decisions", json={"items": list(items)})

        def results(self, *items):
            answer = self.decide(*items)
            assert answer.status_code == 200, answer.json
            return [(result["state"], result["position"]) for result in answer.json["results"]]

        def faults(self, *items):
            answer = self.decide(*items)
            assert answer.status_code == 422, answer.json
            return [(error["pointer"], error["code"]) for error in answer.json["errors"]]

    return Office()


def accept(sign_up_id, rank=None, **more):
    return {"sign_up_id": sign_up_id, "decision": "accept", "rank": rank, **more}


def refuse(sign_up_id, reason="材料不全"):
    return {"sign_up_id": sign_up_id, "decision": "refuse", "reason": reason}


def contents(database):
    with database.reading() as db:
        return [
            db.execute(select(table).order_by(table.c[key])).all()
            for table, key in (
                (SignUp.__table__, "seq"),
                (Activity.__table__, "id"),
                (OutboxEntry.__table__, "seq"),
            )
        ]


def test_an_application_waits_takes_no_place_and_can_be_repeated(office):
    office.open(capacity=3)
    [one], [first] = office.apply(1)
    again = one.put(f"{office.url}/sign-up", json={}).json
    assert (again["id"], again["state"], again["position"]) == (first, "applied", None)
    seen = office.officer.get(office.url).json
    assert (seen["places_left"], seen["waiting"], seen["admission"]["applied"]) == (3, 0, 1)
    assert [
        item["id"] for item in office.officer.get(f"{office.url}/sign-ups?state=applied").json["items"]
    ] == [first]


def test_the_queue_is_by_rank_then_arrival(office):
    office.open(capacity=2, waitlist_capacity=9)
    clients, ids = office.apply(7)
    order = [None, 2, 1, 3, 3, None, 2]
    results = office.results(*(accept(one, rank) for one, rank in zip(ids, order, strict=True)))
    assert results == [
        ("waitlisted", 4),
        ("confirmed", None),
        ("confirmed", None),
        ("waitlisted", 2),
        ("waitlisted", 3),
        ("waitlisted", 5),
        ("waitlisted", 1),
    ]
    assert [client.get(f"{office.url}/sign-up").json["position"] for client in clients] == [
        position for _, position in results
    ]
    ranks = {item["id"]: item["rank"] for item in office.officer.get(f"{office.url}/sign-ups").json["items"]}
    assert [ranks[one] for one in ids] == order
    clients[1].delete(f"{office.url}/sign-up")
    assert clients[6].get(f"{office.url}/sign-up").json["state"] == "confirmed", "the best rank is next"


def test_who_waits_may_be_ranked_anew_and_is_not_told_again(office, database):
    office.open(capacity=1, waitlist_capacity=9)
    _, ids = office.apply(3)
    assert office.results(*(accept(one, rank) for rank, one in enumerate(ids, 1)))[1:] == [
        ("waitlisted", 1),
        ("waitlisted", 2),
    ]
    assert office.results(accept(ids[2], 1), accept(ids[1], 2)) == [("waitlisted", 1), ("waitlisted", 2)]
    with database.reading() as db:
        assert len(db.scalars(select(OutboxEntry.seq)).all()) == 3


def test_repeating_decisions_gives_the_same_and_tells_nobody_twice(office, database, frozen):
    office.open(capacity=1, waitlist_capacity=9)
    _, ids = office.apply(3)
    items = [accept(ids[0], 1), accept(ids[1], 2), refuse(ids[2])]
    first = office.results(*items)
    before = contents(database)
    frozen.move(minutes=5)
    assert office.results(*items) == first == [("confirmed", None), ("waitlisted", 1), ("refused", None)]
    assert contents(database) == before


def test_everybody_is_told(office, database):
    office.open(capacity=1, waitlist_capacity=9)
    _, ids = office.apply(3)
    office.results(accept(ids[0]), accept(ids[1]), refuse(ids[2], "超出年龄范围"))
    with database.reading() as db:
        told = dict(
            db.execute(
                select(SignUp.id, OutboxEntry.kind).join(
                    OutboxEntry, OutboxEntry.person_id == SignUp.person_id
                )
            ).all()
        )
        params = {row.kind: row.params for row in db.execute(select(OutboxEntry.kind, OutboxEntry.params))}
    assert [told[sign_up_id] for sign_up_id in sorted(told)] == [
        "application_accepted",
        "application_waitlisted",
        "application_refused",
    ]
    assert params["application_waitlisted"]["number"] == "1"
    assert params["application_refused"]["reason"] == "超出年龄范围"


def test_what_is_decided_at_night_is_told_in_the_morning(office, database, frozen):
    office.open(capacity=1, waitlist_capacity=9, starts_at=frozen.now + timedelta(days=2),
                ends_at=frozen.now + timedelta(days=2, hours=1))  # fmt: skip
    _, ids = office.apply(3)
    frozen.move(hours=13)  # 23:00 in Shanghai
    office.results(accept(ids[0]), accept(ids[1]), refuse(ids[2]))
    with database.reading() as db:
        times = db.scalars(select(OutboxEntry.available_at)).all()
    assert {at - frozen.now for at in times} == {timedelta(hours=9)}
    assert len(times) == 3


def test_who_was_refused_reads_why_and_may_be_accepted_later(office):
    office.open(capacity=1)
    [one], [sign_up_id] = office.apply(1)
    assert office.results(refuse(sign_up_id)) == [("refused", None)]
    for answer in (one.get(f"{office.url}/sign-up"), one.put(f"{office.url}/sign-up", json={})):
        assert answer.json["id"] == sign_up_id
        assert (answer.json["state"], answer.json["decision_reason"]) == ("refused", "材料不全")
    assert office.officer.get(office.url).json["admission"]["applied"] == 0
    assert one.delete(f"{office.url}/sign-up").status_code == 204
    assert one.get(f"{office.url}/sign-up").json["state"] == "refused", "leaving is no way to apply again"
    assert office.results(accept(sign_up_id)) == [("confirmed", None)]
    assert one.get(f"{office.url}/sign-up").json["decision_reason"] is None


def test_who_waits_may_be_refused_and_who_has_a_place_may_not(office, database):
    office.open(capacity=1, waitlist_capacity=9)
    _, ids = office.apply(3)
    office.results(*map(accept, ids))
    assert office.results(refuse(ids[1])) == [("refused", None)]
    assert office.officer.get(office.url).json["waiting"] == 1
    before = contents(database)
    answer = office.decide(refuse(ids[2]), refuse(ids[0]))
    assert (answer.status_code, answer.json["code"]) == (409, "already_admitted")
    assert [error["pointer"] for error in answer.json["errors"]] == ["/items/1/decision"]
    assert contents(database) == before


def test_ranks_with_holes_and_repetitions_are_refused(office, database):
    office.open(capacity=1)
    _, ids = office.apply(3)
    before = contents(database)
    holes = [("/items", "ranks_with_holes")]
    assert office.faults(accept(ids[0], 2)) == holes
    assert office.faults(accept(ids[0], 1), accept(ids[1], 3)) == holes
    assert office.faults(accept(ids[0], 1), accept(ids[1], 1), accept(ids[2], 100_000)) == holes
    assert office.faults(accept(ids[0]), accept(ids[0])) == [("/items/1/sign_up_id", "not_unique")]
    assert office.faults({**refuse(ids[0]), "reason": None}) == [("/items/0/reason", "required")]
    assert office.faults({**refuse(ids[0]), "rank": 1}) == [("/items/0/rank", "not_together")]
    assert office.faults(*(accept(ids[0]) for _ in range(501))) == [("/items", "too_long")]
    assert office.faults() == [("/items", "too_short")]
    assert contents(database) == before


def test_ranks_go_on_from_those_given_before(office):
    office.open(capacity=1, waitlist_capacity=9)
    clients, ids = office.apply(6)
    holes = [("/items", "ranks_with_holes")]
    assert office.results(accept(ids[0], 1)) == [("confirmed", None)]
    assert office.results(accept(ids[1], 2)) == [("waitlisted", 1)]
    assert office.results(accept(ids[2], 3), accept(ids[3], 3)) == [("waitlisted", 2), ("waitlisted", 3)]
    assert office.faults(accept(ids[4], 5)) == holes
    assert office.faults(accept(ids[1], 3)) == holes, "the second would be nobody"
    assert office.faults(accept(ids[1])) == holes, "also when it is taken away"
    assert office.results(accept(ids[1], 3), accept(ids[3], 2)) == [("waitlisted", 2), ("waitlisted", 1)]
    clients[3].delete(f"{office.url}/sign-up")
    assert office.results(accept(ids[4], 4)) == [("waitlisted", 3)], "who has left leaves no hole"
    assert office.results(refuse(ids[2]), accept(ids[5], 5)) == [("refused", None), ("waitlisted", 3)]


def test_what_is_no_application_of_this_activity_is_named(office, make, database):
    office.open(capacity=5)
    clients, ids = office.apply(2)
    clients[1].delete(f"{office.url}/sign-up")
    elsewhere = make.sign_up(make.activity(org=office.org))
    unknown = "0199f0c2-b7a0-7c3f-9f5d-2f7a1c3e5b7d"
    before = contents(database)
    found = office.faults(accept(ids[0]), accept(str(elsewhere.id)), accept(unknown), refuse(ids[1]))
    assert found == [(f"/items/{index}/sign_up_id", "no_such_object") for index in (1, 2, 3)]
    assert contents(database) == before, "all or none"


def test_a_queue_that_would_be_too_long_changes_nothing(office, database):
    office.open(capacity=1, waitlist_capacity=1)
    _, ids = office.apply(4)
    before = contents(database)
    answer = office.decide(refuse(ids[3]), *map(accept, ids[:3]))
    assert (answer.status_code, answer.json["code"]) == (409, "activity_full")
    assert contents(database) == before
    assert office.results(*map(accept, ids[:2])) == [("confirmed", None), ("waitlisted", 1)]


def test_a_refusal_makes_room_in_the_same_call(office):
    office.open(capacity=1, waitlist_capacity=1)
    _, ids = office.apply(3)
    office.results(*map(accept, ids[:2]))
    assert office.results(accept(ids[2]), refuse(ids[1])) == [("waitlisted", 1), ("refused", None)]


def test_only_the_places_given_take_a_statement_each(office, app, make, database):
    counts = []
    for size in (2, 500):
        office.open(capacity=size // 2, waitlist_capacity=size)
        people = [make.person() for _ in range(2)] if size == 2 else None
        with database.transaction() as session:
            people = people or [_person(session) for _ in range(size)]
            rows = [_application(office.activity, person) for person in people]
            session.add_all(rows)
        ids = [str(row.id) for row in rows]
        items = [accept(one, rank) for rank, one in enumerate(ids, 1)]
        with count_statements(app) as sent:
            results = office.results(*items)
        assert results.count(("confirmed", None)) == size // 2
        counts.append(len(sent) - size // 2)
    assert counts[0] == counts[1]


def _person(session):
    person = Person(name="青年", created_at=clock.now(), updated_at=clock.now())
    session.add(person)
    session.flush()
    return person


def _application(activity, person):
    return SignUp(
        activity_id=activity.id,
        person_id=person.id,
        state=SignUpState.APPLIED,
        answers={},
        starts_at=activity.starts_at,
        ends_at=activity.ends_at,
        created_at=activity.created_at,
        updated_at=activity.created_at,
    )


def test_decisions_need_an_activity_with_reviews_that_is_published_and_not_over(
    office, make, database, frozen
):
    office.open(capacity=1)
    _, [sign_up_id] = office.apply(1)
    plain = make.activity(org=office.org)
    other = make.sign_up(plain)
    answer = office.officer.post(
        f"/v1/activities/{plain.id}/decisions", json={"items": [accept(str(other.id))]}
    )
    assert (answer.status_code, answer.json["code"]) == (409, "no_review")
    with database.transaction() as session:
        session.execute(update(Activity).values(status=ActivityStatus.CANCELLED))
    assert office.decide(accept(sign_up_id)).json["code"] == "wrong_activity_state"
    with database.transaction() as session:
        session.execute(update(Activity).values(status=ActivityStatus.PUBLISHED))
    frozen.move(days=2)
    assert office.decide(accept(sign_up_id)).json["code"] == "activity_over"


def test_only_staff_of_the_activity_decide(office, make, as_user):
    office.open(capacity=1)
    clients, [sign_up_id] = office.apply(1)
    neighbour = as_user(make.staff(Role.OFFICER, org=make.org()).id)
    analyst = as_user(make.staff(Role.ANALYST, org=office.org).id)
    for caller in (*clients, neighbour, analyst):
        answer = caller.post(f"{office.url}/decisions", json={"items": [accept(sign_up_id)]})
        assert (answer.status_code, answer.json["code"]) == (403, "not_allowed")


def test_accepting_races_leaving_and_a_change_of_capacity(office, database, as_user, make):
    for _ in range(6):
        office.open(capacity=2, waitlist_capacity=9)
        clients, ids = office.apply(6)
        office.results(*map(accept, ids[:3]))
        seen = office.officer.get(office.url).json
        second = as_user(make.staff(Role.OFFICER, org=office.org).id)
        body = {
            name: seen[name]
            for name in (
                "title", "starts_at", "ends_at", "sign_up_opens_at", "sign_up_closes_at", "waitlist_capacity", "county_code",
            )
        }  # fmt: skip
        body |= {
            "project_id": seen["project"]["id"],
            "org_id": seen["org"]["id"],
            "place_name": seen["place"]["name"],
            "admission": {"mode": "review"},
            "capacity": 4,
        }
        calls = [
            lambda ids=ids: office.decide(accept(ids[3], 1), accept(ids[4], 2)),
            lambda ids=ids, second=second: second.post(
                f"{office.url}/decisions", json={"items": [refuse(ids[5]), accept(ids[4], 1)]}
            ),
            lambda clients=clients: clients[0].delete(f"{office.url}/sign-up"),
            lambda clients=clients: clients[4].delete(f"{office.url}/sign-up"),
            lambda body=body, second=second: second.put(office.url, json=body, headers={"If-Match": "*"}),
        ]
        answers = _at_once(calls)
        assert {answer.status_code for answer in answers} <= {200, 204, 422}
        with database.reading() as db:
            capacity, taken, waiting = db.execute(
                select(Activity.capacity, Activity.taken, Activity.waiting).where(
                    Activity.id == office.activity.id
                )
            ).one()
        assert taken <= capacity == 4
        assert taken == capacity or waiting == 0, "nobody waits while a place is free"
        listed = office.officer.get(f"{office.url}/sign-ups").json["items"]
        states = {item["id"]: item["state"] for item in listed}
        assert states[ids[0]] == states[ids[4]] == "cancelled"
        assert states[ids[1]] == states[ids[2]] == "confirmed"


def _at_once(calls):
    barrier = threading.Barrier(len(calls))

    def run(call):
        barrier.wait()
        return call()

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(run, calls))


def told(database):
    with database.reading() as db:
        return db.execute(select(OutboxEntry.person_id, OutboxEntry.kind, OutboxEntry.available_at)).all()


def test_who_is_not_decided_on_in_time_is_told_and_waits_no_longer(office, frozen, database):
    office.open(capacity=3, queue_closes_at=frozen.now + timedelta(hours=23))
    (one, two, _), ids = office.apply(3)
    office.results(accept(ids[1]), refuse(ids[2]))
    with database.transaction() as session:
        session.execute(OutboxEntry.__table__.delete())
    frozen.move(hours=22, minutes=59)
    assert due.end_undecided(database) == 0
    frozen.move(minutes=1)
    assert due.end_undecided(database) == 1
    assert due.end_undecided(database) == 0
    assert one.get(f"{office.url}/sign-up").json["code"] == "no_such_sign_up"
    with database.reading() as db:
        row = db.execute(select(SignUp.state, SignUp.cancel_cause).where(SignUp.id == UUID(ids[0]))).one()
    assert tuple(row) == (SignUpState.CANCELLED, CancelCause.QUEUE_CLOSED)
    assert two.get(f"{office.url}/sign-up").json["state"] == "confirmed"
    assert [(kind, at) for _, kind, at in told(database)] == [("application_not_decided", frozen.now)]
    assert office.officer.get(office.url).json["admission"]["applied"] == 0


def test_while_people_may_apply_there_is_time_to_decide(office, frozen, database):
    office.open(queue_closes_at=frozen.now + timedelta(hours=2))
    _, [one] = office.apply(1)
    frozen.move(hours=22)
    assert due.end_undecided(database) == 0
    assert office.results(accept(one)) == [("confirmed", None)]


def test_who_is_not_decided_on_is_told_after_the_night_and_even_once_it_is_over(office, frozen, database):
    office.open(starts_at=frozen.now + timedelta(hours=13), ends_at=frozen.now + timedelta(hours=14), sign_up_closes_at=frozen.now + timedelta(hours=13))  # fmt: skip
    office.apply(2)
    frozen.move(hours=14)  # midnight in Shanghai
    assert due.end_undecided(database) == 1
    assert {(kind, at - frozen.now) for _, kind, at in told(database)} == {
        ("application_not_decided", timedelta(hours=8))
    }


def test_what_is_called_off_ends_no_application(office, frozen, database):
    office.open()
    office.apply(1)
    with database.transaction() as session:
        session.execute(update(Activity).values(status=ActivityStatus.CANCELLED))
    frozen.move(hours=25)
    assert due.end_undecided(database) == 0


def test_the_message_is_read_in_both_languages(office, frozen, database, as_user, make):
    office.open(title="插花课")
    person = make.person()
    as_user(person.id).put(f"{office.url}/sign-up", json={})
    frozen.move(hours=24)
    due.end_undecided(database)
    deliver_due(database)
    texts = [
        as_user(person.id, language).get("/v1/me/messages").json["items"][0]["text"]
        for language in ("zh", "en")
    ]
    assert texts[0].startswith("很抱歉，“插花课”的报名审核已经截止")
    assert texts[1].startswith("We are sorry: nobody decided on your application for “插花课” in time")


def test_an_earlier_start_that_leaves_no_time_to_decide_is_shown_first_and_told_once(
    office, frozen, database, make
):
    office.open(starts_at=frozen.now + timedelta(hours=24), queue_closes_at=frozen.now + timedelta(hours=23))
    office.apply(2)
    body = {
        "title": "x", "project_id": str(office.activity.project_id), "org_id": str(office.org.id), "place_name": "文化广场",
        "county_code": "140502", "capacity": 10, "waitlist_capacity": 10, "admission": {"mode": "review"},
        "starts_at": (frozen.now + timedelta(minutes=30)).isoformat(), "ends_at": office.activity.ends_at.isoformat(),
        "sign_up_opens_at": office.activity.sign_up_opens_at.isoformat(), "sign_up_closes_at": frozen.now.isoformat(),
    }  # fmt: skip
    preview = office.officer.post(f"{office.url}/change-preview", json={"change": body})
    assert preview.json["counts"] == [{"before": "applied", "after": "cancelled", "count": 2}]
    assert (
        office.officer.put(office.url, json=body, headers={"If-Match": "*"}).json["code"]
        == "preview_required"
    )
    seen = {"If-Match": preview.headers["ETag"]}
    assert office.officer.put(office.url, json=body, headers=seen).status_code == 200
    assert due.end_undecided(database) == 0
    assert [kind for _, kind, _ in told(database)] == ["application_not_decided"] * 2
