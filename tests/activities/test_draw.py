"""Lotteries: committed to before sign-up opens, closed with it, drawn once, and checked by anyone."""

from __future__ import annotations

import copy
import hashlib
import json
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest
from bodies import activity_body
from counting import count_statements
from sqlalchemy import select, update
from sqlalchemy.exc import IntegrityError

from engage.activities.models import Activity, ActivityStatus, LotteryDraw, SignUp, SignUpState
from engage.activities.schemas.draw import DrawIn
from engage.activities.service import drawing, due
from engage.activities.service.draw import Entry, in_order
from engage.activities.service.drawing import close_entries_due, draw_due, settle_due
from engage.core.db import Nobody, Work
from engage.messages.models import OutboxEntry
from engage.messages.service import deliver_due
from engage.orgs.models import Role

SCRIPT = Path(__file__).parents[2] / "docs" / "check_draw.py"
SOURCE = "福利彩票 3D 开奖号码"


@pytest.fixture
def hall(frozen, make, as_user, database):
    """Somewhere to hold lotteries: they open at once, close after a day and are drawn two hours later."""

    class Hall:
        org = make.org()
        project = make.project(org)
        officer = as_user(make.staff(Role.OFFICER, org=org).id)

        def body(self, *, lottery=None, pools=(), **values):
            now = frozen.now
            draws = {"draws_at": (now + timedelta(days=1, hours=2)).isoformat(), **(lottery or {})}
            asked = {
                "sign_up_closes_at": (now + timedelta(days=1)).isoformat(),
                "admission": {"mode": "lottery", "pools": list(pools), "lottery": draws},
                **values,
            }
            return activity_body(self.project, now, **asked)

        def draft(self, **values):
            made = self.officer.post("/v1/activities", json=self.body(**values))
            assert made.status_code == 201, made.json
            return made.headers["Location"]

        def open(self, **values):
            url = self.draft(**values)
            assert self.officer.post(f"{url}/publication").status_code == 200
            return url

        def enter(self, url, count=1, **person):
            clients = [as_user(make.person(**person).id) for _ in range(count)]
            for client in clients:
                answer = client.put(f"{url}/sign-up", json={})
                assert (answer.status_code, answer.json["state"]) == (200, "applied"), answer.json
            return clients

        def close(self):
            frozen.move(days=1, seconds=30)
            assert close_entries_due(database) == 1

        def draw(self):
            self.close()
            frozen.move(hours=2)
            assert draw_due(database) == 1

    return Hall()


def check(answer):
    """Run the script of the documentation on an answer; return its exit code and what it said."""
    run = subprocess.run(
        [sys.executable, str(SCRIPT), "-"],
        input=json.dumps(answer),
        capture_output=True,
        text=True,
        check=False,
        encoding="utf-8",
    )
    return run.returncode, (run.stdout + run.stderr).strip()


def at_once(calls):
    """Run calls in threads that start together."""
    barrier = threading.Barrier(len(calls))

    def run(call):
        barrier.wait()
        return call()

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(run, calls))


def of(url, database, *columns):
    with database.reading() as db:
        return db.execute(
            select(*columns).where(SignUp.activity_id == activity_id(url)).order_by(SignUp.seq)
        ).all()


def activity_id(url):
    return UUID(url.rsplit("/", 1)[1])


def test_the_script_is_short_enough_to_be_read():
    assert len(SCRIPT.read_text(encoding="utf-8").splitlines()) <= 30


def test_a_commitment_is_shown_and_the_seed_is_not(hall, client):
    url = hall.draft()
    assert client.get(f"{url}/draw").json["code"] == "no_such_activity"
    hall.officer.post(f"{url}/publication")
    shown = client.get(f"{url}/draw").json
    assert shown["state"] == "committed"
    assert len(bytes.fromhex(shown["commitment"])) == 32
    assert (shown["seed"], shown["entries_digest"], shown["entries"]) == (None, None, [])
    assert (shown["capacity"], shown["pools"], shown["first_time_weight"]) == (2, [], 1)
    early = client.get(f"{url}/draw/seed")
    assert (early.status_code, early.json["code"]) == (409, "seed_not_revealed")
    terms = client.get(url).json["admission"]["lottery"]
    assert (terms["state"], terms["draws_at"]) == ("committed", shown["draws_at"])


def test_an_activity_without_a_lottery_has_no_draw(hall, client, make):
    url = f"/v1/activities/{make.activity(org=hall.org).id}"
    for answer in (
        client.get(f"{url}/draw"),
        client.get(f"{url}/draw/seed"),
        hall.officer.post(f"{url}/draw", json={}),
    ):
        assert (answer.status_code, answer.json["code"]) == (404, "no_draw")


def test_entries_wait_for_the_draw_and_repeating_or_leaving_is_as_ever(hall, database):
    url = hall.open(capacity=5)
    [one] = hall.enter(url)
    first, again = one.get(f"{url}/sign-up").json, one.put(f"{url}/sign-up", json={}).json
    assert again["id"] == first["id"]
    assert again["state"] == "applied"
    assert hall.officer.get(url).json["admission"]["applied"] == 1
    assert hall.officer.get(url).json["places_left"] == 5
    assert one.delete(f"{url}/sign-up").status_code == 204
    assert one.get(f"{url}/sign-up").status_code == 404
    assert hall.officer.get(url).json["admission"]["applied"] == 0


def test_the_draw_is_held_when_its_time_comes_and_anyone_can_check_it(hall, client, database, frozen):
    url = hall.open(capacity=2, lottery={"first_time_weight": 3})
    promised = client.get(f"{url}/draw").json["commitment"]
    clients = hall.enter(url, 6)
    frozen.move(days=1)
    assert close_entries_due(database) == 0, "somebody who pressed in time may still be on the way in"
    frozen.move(seconds=30)
    assert close_entries_due(database) == 1
    assert close_entries_due(database) == 0
    closed = client.get(f"{url}/draw").json
    ids = [entry["entry"] for entry in closed["entries"]]
    assert (closed["state"], closed["seed"], len(ids)) == ("closed", None, 6)
    assert ids == sorted(ids)
    assert {(entry["weight"], entry["position"], entry["outcome"]) for entry in closed["entries"]} == {
        (3, None, None)
    }
    assert draw_due(database) == 0
    frozen.move(hours=2)
    assert draw_due(database) == 1
    assert draw_due(database) == 0
    drawn = client.get(f"{url}/draw").json
    assert (drawn["state"], drawn["commitment"], drawn["entries_digest"]) == (
        "drawn",
        promised,
        closed["entries_digest"],
    )
    assert hashlib.sha256(bytes.fromhex(drawn["seed"])).hexdigest() == promised
    assert client.get(f"{url}/draw/seed").json == {"seed": drawn["seed"]}
    assert check(drawn) == (0, "OK")
    assert sorted(entry["entry"] for entry in drawn["entries"]) == ids
    mine = {answer["id"]: answer for answer in (client.get(f"{url}/sign-up").json for client in clients)}
    for entry in drawn["entries"]:
        number = entry["position"]
        expected = ("confirmed", None) if number <= 2 else ("waitlisted", number - 2)
        assert (mine[entry["entry"]]["state"], mine[entry["entry"]]["position"]) == expected
        assert entry["outcome"] == ("place" if number <= 2 else "waitlist")
    listed = hall.officer.get(f"{url}/sign-ups").json["items"]
    assert {item["id"]: item["rank"] for item in listed} == {
        entry["entry"]: entry["position"] for entry in drawn["entries"]
    }


def test_everybody_is_told_what_the_draw_made_of_them(hall, database, as_user, make):
    url = hall.open(capacity=1)
    hall.enter(url, 3)
    hall.draw()
    with database.reading() as db:
        told = db.execute(select(OutboxEntry.person_id, OutboxEntry.kind, OutboxEntry.params)).all()
    state = dict(of(url, database, SignUp.person_id, SignUp.state))
    assert len(told) == 3
    for person_id, kind, _ in told:
        won = state[person_id] is SignUpState.CONFIRMED
        assert kind == ("draw_won" if won else "draw_lost")
    assert sorted(params["number"] for _, kind, params in told if kind == "draw_lost") == ["1", "2"]


def test_a_draw_at_night_is_told_in_the_morning(hall, database, frozen):
    url = hall.open(capacity=1, lottery={"draws_at": (frozen.now + timedelta(days=1, hours=13)).isoformat()})
    hall.enter(url, 2)
    hall.close()
    frozen.move(hours=13)  # 23:00 in Shanghai
    assert draw_due(database) == 1
    with database.reading() as db:
        assert {at - frozen.now for at in db.scalars(select(OutboxEntry.available_at))} == {
            timedelta(hours=8, minutes=59, seconds=30)
        }


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda it: it.update(seed="00" * 32), "the seed is not the one committed to"),
        (lambda it: it.update(public_value="7"), "should be"),
        (lambda it: it["entries"].pop(), "the entries are not those closed"),
        (lambda it: it["entries"][3].update(weight=10), "the entries are not those closed"),
        (lambda it: it["entries"][0].update(outcome="waitlist"), "should be (1, 'place')"),
        (lambda it: it["entries"][3].update(outcome="place"), "should be (4, 'waitlist')"),
        (lambda it: it["entries"][3].update(position=1), "should be (4, 'waitlist')"),
        (lambda it: it.update(capacity=3), "should be (3, 'place')"),
        (lambda it: it.update(seed=None), "not drawn yet"),
    ],
)
def test_the_script_finds_what_was_tampered_with(hall, client, change, said):
    url = hall.open(capacity=2)
    hall.enter(url, 10)
    hall.draw()
    answer = client.get(f"{url}/draw").json
    assert check(answer) == (0, "OK")
    tampered = copy.deepcopy(answer)
    change(tampered)
    code, text = check(tampered)
    assert code == 1
    assert said in text


def test_staff_draw_with_the_public_number_and_never_twice(hall, client, database, frozen):
    url = hall.open(lottery={"public_source": SOURCE})
    hall.enter(url, 4)

    def refused(body, status, code):
        answer = hall.officer.post(f"{url}/draw", json=body)
        assert (answer.status_code, answer.json["code"]) == (status, code), answer.json
        return answer.json

    refused({"public_value": "3 1 7"}, 409, "draw_too_early")
    hall.close()
    refused({"public_value": "3 1 7"}, 409, "draw_too_early")
    frozen.move(hours=2)
    assert draw_due(database) == 0, "nobody but staff knows the number"
    missing = refused({}, 422, "invalid_input")
    assert [(error["pointer"], error["code"]) for error in missing["errors"]] == [
        ("/public_value", "required")
    ]
    key = {"Idempotency-Key": "draw"}
    held = hall.officer.post(f"{url}/draw", json={"public_value": "3 1 7"}, headers=key)
    assert held.status_code == 200
    assert (held.json["state"], held.json["public_value"]) == ("drawn", "317"), "its digits"
    again = hall.officer.post(f"{url}/draw", json={"public_value": "3 1 7"}, headers=key)
    assert again.get_data() == held.get_data(), "a lost answer can be asked for again"
    answer = client.get(f"{url}/draw").json
    refused({"public_value": "3 1 7"}, 409, "already_drawn")
    refused({"public_value": "9 9 9"}, 409, "already_drawn")
    assert client.get(f"{url}/draw").json == answer
    assert check(answer) == (0, "OK")


@pytest.mark.parametrize(
    "typed",
    ["317", " 3 1 7 ", "３１７", "3-1-7", "3，1，7", "3、1、7", "3\u30001\u30007", "3+1|7", "③①⑦", "3−1–7"],
)
def test_however_the_public_number_is_typed_it_is_the_same(typed):
    assert DrawIn().load({"public_value": typed}) == {"public_value": "317"}


def test_the_zeros_of_a_public_number_count():
    assert DrawIn().load({"public_value": "03 11 07"}) == {"public_value": "031107"}


@pytest.mark.parametrize(
    ("typed", "code"),
    [
        ("", "too_short"), ("  ", "too_short"), ("- -", "not_digits"), ("三一七", "not_digits"), ("3 1 x", "not_digits"),
        ("٣١٧", "not_digits"), ("3\u200b17", "not_digits"), ("3 1 7 号", "not_digits"), ("㉜" * 51, "too_long"), (317, "not_text"),
    ],
)  # fmt: skip
def test_a_public_number_of_anything_else_is_refused(hall, frozen, typed, code):
    url = hall.open(lottery={"public_source": SOURCE})
    hall.close()
    frozen.move(hours=2)
    answer = hall.officer.post(f"{url}/draw", json={"public_value": typed})
    assert answer.status_code == 422
    assert [(error["pointer"], error["code"]) for error in answer.json["errors"]] == [("/public_value", code)]


def test_a_public_number_in_other_form_does_not_steer_the_draw(hall, client, database, frozen):
    url = hall.open(lottery={"public_source": SOURCE})
    hall.enter(url, 8)
    hall.close()
    frozen.move(hours=2)
    assert hall.officer.post(f"{url}/draw", json={"public_value": "３-1-７"}).status_code == 200
    drawn = client.get(f"{url}/draw").json
    assert (drawn["algorithm"], drawn["public_value"], check(drawn)) == ("engage-draw-2", "317", (0, "OK"))
    entries = [Entry(UUID(entry["entry"]), entry["weight"], entry["pools"]) for entry in drawn["entries"]]
    expected = in_order(bytes.fromhex(drawn["seed"]), "317", entries)
    assert [entry["entry"] for entry in drawn["entries"]] == [str(entry.id) for entry in expected]
    code, said = check({**drawn, "public_value": "3 1 7"})
    assert (code, "the public number is not in plain digits" in said) == (1, True)


def test_a_draw_of_the_first_algorithm_stays_checkable(hall, client, database, frozen):
    """Its number counts as it was typed."""
    url = hall.open(lottery={"public_source": SOURCE})
    with database.transaction() as session:
        session.execute(update(LotteryDraw).values(algorithm="engage-draw-1"))
    hall.enter(url, 8)
    hall.close()
    frozen.move(hours=2)
    with database.transaction() as session:
        work = Work(session, Nobody(), frozen.now, database.settings)
        activity, draw = session.get(Activity, activity_id(url)), session.get(LotteryDraw, activity_id(url))
        drawing.hold(work, activity, draw, "3 1 7")
    drawn = client.get(f"{url}/draw").json
    assert (drawn["algorithm"], drawn["public_value"], check(drawn)) == ("engage-draw-1", "3 1 7", (0, "OK"))
    assert check({**drawn, "public_value": "317"})[0] == 1


def test_a_draw_that_comes_after_its_queue_has_closed_promises_no_turn(hall, database, frozen):
    url = hall.open(capacity=1)
    hall.enter(url, 3)
    hall.close()
    frozen.move(hours=47)  # 71.5 hours: the queue closed half an hour ago
    assert draw_due(database) == 1
    due.close_queues(database)
    with database.reading() as db:
        assert sorted(db.scalars(select(OutboxEntry.kind))) == ["draw_won", "queue_closed", "queue_closed"]


def test_a_draw_that_would_be_heard_of_after_its_queue_has_closed_promises_no_turn(hall, database, frozen):
    """At night, of what begins in the morning: both would be read at the same moment."""
    start = frozen.now + timedelta(days=1, hours=22, minutes=30)  # 08:30 in Shanghai
    draws_at = (frozen.now + timedelta(days=1, hours=13)).isoformat()  # 23:00
    url = hall.open(capacity=1, lottery={"draws_at": draws_at}, starts_at=start)
    hall.enter(url, 2)
    hall.close()
    frozen.move(hours=13)
    assert draw_due(database) == 1
    with database.reading() as db:
        assert db.scalars(select(OutboxEntry.kind)).all() == ["draw_won"]


def test_who_is_never_drawn_is_told_at_the_start(hall, client, database, frozen, as_user):
    url = hall.open(lottery={"public_source": SOURCE})
    one, two = hall.enter(url, 2)
    hall.close()
    frozen.move(hours=47, minutes=59)
    assert due.end_undecided(database) == 0
    frozen.move(minutes=1)
    assert due.end_undecided(database) == 1
    with database.reading() as db:
        assert db.scalars(select(OutboxEntry.kind)).all() == ["draw_not_held"] * 2
    deliver_due(database)
    (told,) = one.get("/v1/me/messages").json["items"]
    assert told["text"].startswith("很抱歉，")
    assert one.get(f"{url}/sign-up").status_code == 404
    assert two.get(f"{url}/sign-up").status_code == 404


def test_who_was_drawn_is_not_taken_out_while_the_rest_is_settled(
    hall, client, database, frozen, monkeypatch
):
    monkeypatch.setattr(drawing, "_SETTLED_AT_ONCE", 2)
    url = hall.open(capacity=5)
    hall.enter(url, 4)
    hall.close()
    frozen.move(hours=47, minutes=59)
    assert draw_due(database) == 1
    frozen.move(minutes=1)
    assert due.end_undecided(database) == 0
    while settle_due(database):
        pass
    assert [state for (state,) in of(url, database, SignUp.state)] == [SignUpState.CONFIRMED] * 4


def test_a_worker_that_comes_late_draws_before_it_gives_up(hall, database, frozen):
    url = hall.open(capacity=5)
    hall.enter(url, 2)
    frozen.move(days=3)
    due.advance_due(database, threading.Event())
    assert [state for (state,) in of(url, database, SignUp.state)] == [SignUpState.CONFIRMED] * 2


def test_staff_may_draw_what_is_due_but_not_with_a_number_that_nobody_named(hall, frozen):
    url = hall.open()
    hall.enter(url, 3)
    hall.close()
    frozen.move(hours=2)
    wrong = hall.officer.post(f"{url}/draw", json={"public_value": "3 1 7"})
    assert [(error["pointer"], error["code"]) for error in wrong.json["errors"]] == [
        ("/public_value", "no_public_source")
    ]
    assert hall.officer.post(f"{url}/draw", json={}).json["state"] == "drawn"


def test_staff_draw_although_no_worker_has_closed_the_entries(hall, client, frozen):
    url = hall.open(capacity=2)
    hall.enter(url, 3)
    frozen.move(days=1, hours=1)
    assert hall.officer.post(f"{url}/draw", json={}).json["code"] == "draw_too_early"
    frozen.move(hours=1)
    assert client.get(f"{url}/draw").json["state"] == "committed"
    held = hall.officer.post(f"{url}/draw", json={})
    assert (held.status_code, held.json["state"]) == (200, "drawn")
    drawn = client.get(f"{url}/draw").json
    assert (len(drawn["entries"]), check(drawn)) == (3, (0, "OK"))


def test_entries_that_nobody_closed_are_not_drawn_with_a_number_that_everybody_knows(hall, database, frozen):
    url = hall.open(lottery={"public_source": SOURCE})
    hall.enter(url, 3)
    frozen.move(days=1, hours=2)
    draw = {"public_value": "3 1 7"}
    assert hall.officer.post(f"{url}/draw", json=draw).json["code"] == "draw_too_early"
    assert close_entries_due(database) == 1
    assert hall.officer.post(f"{url}/draw", json=draw).json["state"] == "drawn"


def test_only_the_staff_of_the_activity_draw(hall, as_user, make, frozen):
    url = hall.open()
    hall.close()
    frozen.move(hours=2)
    neighbour = as_user(make.staff(Role.OFFICER, org=make.org()).id)
    analyst = as_user(make.staff(Role.ANALYST, org=hall.org).id)
    for caller in (neighbour, analyst):
        assert caller.post(f"{url}/draw", json={}).json["code"] == "not_allowed"
    assert hall.officer.post(f"{url}/draw", json={}).json["state"] == "drawn"


def test_who_has_never_been_there_has_more_tickets(hall, client, make, as_user, frozen):
    over = {
        "starts_at": frozen.now - timedelta(days=9),
        "ends_at": frozen.now - timedelta(days=9, hours=-2),
        "sign_up_opens_at": frozen.now - timedelta(days=19),
        "sign_up_closes_at": frozen.now - timedelta(days=10),
    }
    past = make.activity(org=hall.org, project_id=hall.project.id, **over)
    elsewhere = make.activity(org=hall.org, **over)
    regular, stranger, absent, newcomer = (make.person() for _ in range(4))
    make.check_in(make.sign_up(past, regular))
    make.check_in(make.sign_up(elsewhere, stranger))
    make.sign_up(past, absent)
    url = hall.open(lottery={"first_time_weight": 2})
    ids = [
        as_user(person.id).put(f"{url}/sign-up", json={}).json["id"]
        for person in (regular, stranger, absent, newcomer)
    ]
    hall.close()
    weights = {entry["entry"]: entry["weight"] for entry in client.get(f"{url}/draw").json["entries"]}
    assert [weights[sign_up_id] for sign_up_id in ids] == [1, 2, 2, 2]


def test_who_leaves_after_the_closing_stays_in_the_list_and_gets_nothing(hall, client, frozen, database):
    url = hall.open(capacity=2)
    clients = hall.enter(url, 5)
    ids = [client.get(f"{url}/sign-up").json["id"] for client in clients]
    hall.close()
    closed = client.get(f"{url}/draw").json
    assert clients[0].delete(f"{url}/sign-up").status_code == 204
    frozen.move(hours=2)
    assert draw_due(database) == 1
    drawn = client.get(f"{url}/draw").json
    assert drawn["entries_digest"] == closed["entries_digest"]
    outcomes = {entry["entry"]: entry["outcome"] for entry in drawn["entries"]}
    assert outcomes[ids[0]] == "withdrawn"
    assert sorted(outcomes.values()) == ["place", "place", "waitlist", "waitlist", "withdrawn"]
    assert check(drawn) == (0, "OK")
    assert sorted(client.get(f"{url}/sign-up").json["state"] for client in clients[1:]) == [
        "confirmed",
        "confirmed",
        "waitlisted",
        "waitlisted",
    ]


def test_who_walks_in_before_the_draw_does_not_stop_it(hall, client, frozen, database):
    url = hall.open(capacity=2, lottery={"draws_at": (frozen.now + timedelta(hours=71)).isoformat()})
    people = hall.enter(url, 3)
    hall.close()
    frozen.move(hours=46, minutes=30)  # the door opens two hours before the start
    eager = people[0].get(f"{url}/sign-up").json["id"]
    [(person_id, _)] = [row for row in of(url, database, SignUp.person_id, SignUp.id) if str(row.id) == eager]
    seen = {"person_id": str(person_id), "kind": "in", "scanned_at": frozen.now.isoformat(), "walk_in": True}
    uploaded = hall.officer.post(f"{url}/check-ins", json={"items": [seen]})
    assert uploaded.json["results"][0]["result"] == "accepted", uploaded.json
    frozen.move(minutes=30)
    assert draw_due(database) == 1
    drawn = client.get(f"{url}/draw").json
    assert check(drawn) == (0, "OK")
    assert {entry["entry"]: entry["outcome"] for entry in drawn["entries"]}[eager] == "withdrawn"
    states = [state for (state,) in of(url, database, SignUp.state)]
    assert sorted(states) == ["confirmed", "confirmed", "walk_in"]


def test_what_was_drawn_stays_on_record_whatever_happens_later(hall, client, database, frozen):
    url = hall.open(capacity=2)
    clients = hall.enter(url, 6)
    hall.draw()
    drawn = client.get(f"{url}/draw").json
    winner = next(client for client in clients if client.get(f"{url}/sign-up").json["state"] == "confirmed")
    assert winner.delete(f"{url}/sign-up").status_code == 204
    body = hall.body(capacity=4)
    for name in ("starts_at", "ends_at", "sign_up_opens_at", "sign_up_closes_at"):
        body[name] = client.get(url).json[name]
    body["admission"]["lottery"]["draws_at"] = drawn["draws_at"]
    edited = hall.officer.put(url, json={**body, "waitlist_capacity": 9}, headers={"If-Match": "*"})
    assert edited.status_code == 200, edited.json
    states = [state for (state,) in of(url, database, SignUp.state)]
    assert states.count(SignUpState.CONFIRMED) == 4
    assert client.get(f"{url}/draw").json == drawn
    assert check(drawn) == (0, "OK")
    by_rank = [
        item["state"]
        for item in sorted(hall.officer.get(f"{url}/sign-ups").json["items"], key=lambda item: item["rank"])
        if item["state"] != "cancelled"
    ]
    assert by_rank == ["confirmed"] * 4 + ["waitlisted"], "those who moved up did so in the order of the draw"


POOLS = [
    {"name": "公开名额", "audience": "everybody", "capacity": 2, "overflow_rank": None},
    {
        "name": "陵川名额",
        "audience": "counties",
        "county_codes": ["140524"],
        "capacity": 2,
        "overflow_rank": 2,
    },
    {"name": "团员名额", "audience": "members", "capacity": 1, "overflow_rank": 1},
]


def test_a_draw_fills_pools_as_the_function_says(hall, client, make, as_user, database):
    url = hall.open(capacity=5, pools=POOLS)
    hall.enter(url, 4)
    hall.enter(url, 4, hometown_code="140524")
    members = [make.person() for _ in range(3)]
    for member in members:
        make.membership(member, hall.org)
        as_user(member.id).put(f"{url}/sign-up", json={})
    hall.draw()
    drawn = client.get(f"{url}/draw").json
    assert [(pool["capacity"], pool["overflow_rank"]) for pool in drawn["pools"]] == [
        (2, None),
        (2, 2),
        (1, 1),
    ]
    assert {entry["pools"] for entry in drawn["entries"]} == {0b001, 0b011, 0b101}
    assert check(drawn) == (0, "OK")
    states = {str(sign_up_id): state for sign_up_id, state in of(url, database, SignUp.id, SignUp.state)}
    for entry in drawn["entries"]:
        assert (states[entry["entry"]] is SignUpState.CONFIRMED) == (entry["outcome"] == "place")
    with database.reading() as db:
        assert db.scalar(select(Activity.taken).where(Activity.id == activity_id(url))) == 5


def test_pools_that_are_one_by_then_are_drawn_as_one(hall, client, frozen):
    merge_at = (frozen.now + timedelta(days=1, hours=1)).isoformat()
    body = hall.body(capacity=5, pools=POOLS)
    body["admission"]["pools_merge_at"] = merge_at
    url = hall.officer.post("/v1/activities", json=body).headers["Location"]
    hall.officer.post(f"{url}/publication")
    hall.enter(url, 7)
    hall.draw()
    drawn = client.get(f"{url}/draw").json
    assert drawn["pools"] == []
    assert [entry["outcome"] for entry in drawn["entries"]] == ["place"] * 5 + ["waitlist"] * 2
    assert check(drawn) == (0, "OK")


def test_somebody_whom_the_closing_did_not_see_stands_behind_all_others(hall, client, make, database, frozen):
    url = hall.open(capacity=1)
    hall.enter(url, 3)
    hall.close()
    with database.reading() as db:
        activity = db.execute(select(Activity.__table__).where(Activity.id == activity_id(url))).one()
    late = make.sign_up(activity, state=SignUpState.APPLIED)
    frozen.move(hours=2)
    assert draw_due(database) == 1
    drawn = client.get(f"{url}/draw").json
    assert str(late.id) not in {entry["entry"] for entry in drawn["entries"]}
    assert check(drawn) == (0, "OK")
    listed = {item["id"]: item for item in hall.officer.get(f"{url}/sign-ups").json["items"]}
    assert (listed[str(late.id)]["state"], listed[str(late.id)]["position"]) == ("waitlisted", 3)


def test_nobody_enters_between_the_closing_and_the_draw(hall, as_user, make):
    url = hall.open(capacity=5)
    hall.close()
    late = make.person()
    assert as_user(late.id).put(f"{url}/sign-up", json={}).json["code"] == "sign_up_closed"
    by_staff = hall.officer.post(f"{url}/sign-ups", json={"person_id": str(late.id)})
    assert (by_staff.status_code, by_staff.json["code"]) == (409, "sign_up_closed")


def test_a_draw_without_entries_is_a_draw(hall, client, frozen):
    url = hall.open()
    hall.draw()
    drawn = client.get(f"{url}/draw").json
    assert (drawn["state"], drawn["entries"], check(drawn)) == ("drawn", [], (0, "OK"))


def edit(hall, url, frozen, change):
    """Put an activity as it is but for a change; return the status and the code of the answer."""
    now = hall.officer.get(url).json
    lottery = {
        name: now["admission"]["lottery"][name] for name in ("draws_at", "public_source", "first_time_weight")
    }
    body = hall.body(lottery=lottery)
    for name in (
        "starts_at",
        "ends_at",
        "sign_up_opens_at",
        "sign_up_closes_at",
        "capacity",
        "waitlist_capacity",
    ):
        body[name] = now[name]
    body["admission"]["pools"] = [
        {name: pool[name] for name in ("name", "audience", "county_codes", "capacity", "overflow_rank")}
        for pool in now["admission"]["pools"]
    ]
    change(body)
    answer = hall.officer.put(url, json=body, headers={"If-Match": "*"})
    return answer.status_code, answer.json.get("code")


def later(body, **by):
    lottery = body["admission"]["lottery"]
    lottery["draws_at"] = (datetime.fromisoformat(lottery["draws_at"]) + timedelta(**by)).isoformat()


def earlier(instant, **by):
    return (datetime.fromisoformat(instant) - timedelta(**by)).isoformat()


FROZEN = (409, "admission_frozen")


def test_terms_stay_from_the_opening_of_sign_up_on(hall, client, frozen):
    opens_at = (frozen.now + timedelta(hours=1)).isoformat()
    url = hall.open(sign_up_opens_at=opens_at)
    first = client.get(f"{url}/draw").json["commitment"]
    assert edit(hall, url, frozen, lambda body: later(body, minutes=-30)) == (200, None)
    assert client.get(f"{url}/draw").json["commitment"] == first, "the time is no part of what is drawn"
    source = {"public_source": SOURCE}
    assert edit(hall, url, frozen, lambda body: body["admission"]["lottery"].update(source)) == (200, None)
    second = client.get(f"{url}/draw").json
    assert (second["public_source"], second["commitment"] != first) == (SOURCE, True)
    frozen.move(hours=1)
    for change in (
        lambda body: body["admission"]["lottery"].update(public_source=None),
        lambda body: body["admission"]["lottery"].update(first_time_weight=2),
        lambda body: body.update(admission=None),
        lambda body: later(body, minutes=-1),
    ):
        assert edit(hall, url, frozen, change) == FROZEN
    assert edit(hall, url, frozen, lambda body: later(body, hours=1)) == (200, None)
    third = client.get(f"{url}/draw").json
    assert (third["commitment"], third["draws_at"] > second["draws_at"]) == (second["commitment"], True)


def test_the_project_that_weights_come_from_stays_too(hall, make, frozen):
    other = str(make.project(hall.org).id)
    url = hall.open(sign_up_opens_at=(frozen.now + timedelta(hours=1)).isoformat())
    assert edit(hall, url, frozen, lambda body: body.update(project_id=other)) == (200, None)
    frozen.move(hours=1)
    assert edit(hall, url, frozen, lambda body: body.update(title="秋日诗会")) == FROZEN, "back to the first"
    assert edit(hall, url, frozen, lambda body: body.update(project_id=other, title="秋日诗会")) == (
        200,
        None,
    )


@pytest.mark.parametrize("entries", [0, 1])
def test_a_lottery_that_has_opened_does_not_open_again(hall, client, frozen, entries):
    url = hall.open()
    hall.enter(url, entries)
    commitment = client.get(f"{url}/draw").json["commitment"]
    opens_at = (frozen.now + timedelta(hours=3)).isoformat()

    def reopen(body):
        body.update(sign_up_opens_at=opens_at)
        body["admission"]["lottery"].update(first_time_weight=2)

    assert edit(hall, url, frozen, lambda body: body.update(sign_up_opens_at=opens_at)) == FROZEN
    assert edit(hall, url, frozen, reopen) == FROZEN
    was_opened = earlier(opens_at, hours=9)
    assert edit(hall, url, frozen, lambda body: body.update(sign_up_opens_at=was_opened)) == (200, None)
    assert client.get(f"{url}/draw").json["commitment"] == commitment


def test_why_the_opening_stays_is_said_at_its_field(hall, frozen):
    url = hall.open()
    body = hall.body(sign_up_opens_at=(frozen.now + timedelta(hours=3)).isoformat())
    answer = hall.officer.put(url, json=body, headers={"If-Match": "*"})
    preview = hall.officer.post(f"{url}/change-preview", json={"change": body})
    assert [(error["pointer"], error["code"]) for it in (answer, preview) for error in it.json["errors"]] == [
        ("/sign_up_opens_at", "sign_up_has_opened"), ("/change/sign_up_opens_at", "sign_up_has_opened")
    ]  # fmt: skip


def test_before_it_has_opened_a_lottery_may_open_later(hall, frozen):
    url = hall.open(sign_up_opens_at=(frozen.now + timedelta(hours=1)).isoformat())
    opens_at = (frozen.now + timedelta(hours=3)).isoformat()
    assert edit(hall, url, frozen, lambda body: body.update(sign_up_opens_at=opens_at)) == (200, None)


def test_between_closing_and_draw_neither_places_nor_sign_up_move(hall, client, frozen, database):
    url = hall.open(capacity=5, pools=POOLS)
    hall.enter(url, 6)

    def swap(body):
        body["admission"]["pools"][0]["capacity"], body["admission"]["pools"][1]["capacity"] = 1, 3

    changes = (
        swap,
        lambda body: body.update(sign_up_closes_at=earlier(body["sign_up_closes_at"], minutes=1)),
        lambda body: body["admission"].update(pools_merge_at=body["sign_up_closes_at"]),
        lambda body: body["admission"].update(pools_merge_at=body["ends_at"]),
        lambda body: later(body, hours=45),  # the pools would be one by then
        lambda body: body["admission"]["pools"][1].update(overflow_rank=None),
        lambda body: (body.update(capacity=6), body["admission"]["pools"][0].update(capacity=3)),
    )
    hall.close()
    for change in changes:
        assert edit(hall, url, frozen, change) == FROZEN
    assert edit(hall, url, frozen, lambda body: body.update(title="秋日诗会")) == (200, None)
    assert edit(hall, url, frozen, lambda body: later(body, hours=1)) == (200, None)
    frozen.move(hours=3)
    assert draw_due(database) == 1
    assert edit(hall, url, frozen, lambda body: later(body, hours=1)) == FROZEN
    assert edit(hall, url, frozen, changes[-1]) == (200, None)
    assert check(client.get(f"{url}/draw").json) == (0, "OK")


def test_a_draft_may_become_a_lottery_and_stop_being_one(hall, client, frozen, database):
    url = hall.draft()
    assert edit(hall, url, frozen, lambda body: body.update(admission=None)) == (200, None)
    assert hall.officer.get(url).json["admission"]["lottery"] is None
    with database.reading() as db:
        assert db.execute(select(LotteryDraw.activity_id)).all() == []
    body = hall.body()
    assert hall.officer.put(url, json=body, headers={"If-Match": "*"}).status_code == 200
    hall.officer.post(f"{url}/publication")
    assert client.get(f"{url}/draw").json["state"] == "committed"


def test_a_lottery_needs_its_terms_and_its_time_in_order(hall, frozen):
    def refused(body):
        answer = hall.officer.post("/v1/activities", json=body)
        assert answer.status_code == 422
        return [(error["pointer"], error["code"]) for error in answer.json["errors"]]

    at = "/admission/lottery"
    assert refused({**hall.body(), "admission": {"mode": "lottery"}}) == [(at, "required")]
    others = {**hall.body()["admission"], "mode": "first_come"}
    assert refused({**hall.body(), "admission": others}) == [(at, "not_together")]
    for minutes, code in (
        (23 * 60, "too_soon_after"),
        (24 * 60 + 4, "too_soon_after"),
        (71 * 60 + 1, "too_late_before"),
    ):
        draws_at = (frozen.now + timedelta(minutes=minutes)).isoformat()
        assert refused(hall.body(lottery={"draws_at": draws_at})) == [(f"{at}/draws_at", code)]
    for minutes in (24 * 60 + 5, 71 * 60):
        hall.draft(lottery={"draws_at": (frozen.now + timedelta(minutes=minutes)).isoformat()})
    assert refused(hall.body(lottery={"first_time_weight": 11})) == [(f"{at}/first_time_weight", "too_large")]


def test_what_is_called_off_or_over_is_not_drawn(hall, database, frozen):
    url = hall.open()
    hall.enter(url, 2)
    hall.close()
    with database.transaction() as session:
        session.execute(update(Activity).values(status=ActivityStatus.CANCELLED))
    frozen.move(hours=2)
    assert draw_due(database) == 0
    assert hall.officer.post(f"{url}/draw", json={}).json["code"] == "wrong_activity_state"
    with database.transaction() as session:
        session.execute(update(Activity).values(status=ActivityStatus.PUBLISHED))
    frozen.move(days=5)
    assert draw_due(database) == 0
    assert hall.officer.post(f"{url}/draw", json={}).json["code"] == "activity_over"


def test_a_clock_that_is_set_back_draws_nothing_early(hall, database, frozen):
    url = hall.open()
    hall.enter(url, 3)
    hall.close()
    closed_at = frozen.now
    frozen.move(hours=2)
    due_at = frozen.now
    frozen.set(closed_at - timedelta(hours=5))
    assert (close_entries_due(database), draw_due(database)) == (0, 0)
    assert hall.officer.post(f"{url}/draw", json={}).json["code"] == "draw_too_early"
    frozen.set(due_at)
    assert draw_due(database) == 1


def test_only_the_seed_that_was_committed_to_draws_and_one_that_is_lost_stops_no_other(
    hall, database, frozen, settings
):
    moved, swapped, fine = hall.open(), hall.open(), hall.open()
    frozen.move(days=1, seconds=30)
    assert close_entries_due(database) == 3
    with database.transaction() as session:
        other = session.scalar(
            select(LotteryDraw.sealed_seed).where(LotteryDraw.activity_id == activity_id(fine))
        )
        another = settings.keyring.seal("00" * 32, f"lottery-seed:{activity_id(swapped)}")
        for url, sealed in ((moved, other), (swapped, another)):
            session.execute(
                update(LotteryDraw)
                .where(LotteryDraw.activity_id == activity_id(url))
                .values(sealed_seed=sealed)
            )
    frozen.move(hours=2)
    assert draw_due(database) == 1
    states = [hall.officer.get(f"{url}/draw").json["state"] for url in (moved, swapped, fine)]
    assert states == ["closed", "closed", "drawn"]
    for url in (moved, swapped):
        refused = hall.officer.post(f"{url}/draw", json={})
        assert (refused.status_code, refused.json["code"]) == (409, "seed_lost")


def test_a_draw_that_the_database_refuses_stops_no_other(hall, database, frozen, monkeypatch):
    broken, fine = hall.open(), hall.open()
    frozen.move(days=1, seconds=30)
    assert close_entries_due(database) == 2
    frozen.move(hours=2)
    hold = drawing.hold

    def fail_at_one(work, activity, *rest):
        if activity.id == activity_id(broken):
            raise IntegrityError("UPDATE", {}, Exception("constraint"))
        hold(work, activity, *rest)

    monkeypatch.setattr(drawing, "hold", fail_at_one)
    assert draw_due(database) == 1
    states = [hall.officer.get(f"{url}/draw").json["state"] for url in (broken, fine)]
    assert states == ["closed", "drawn"]


def test_a_draw_tells_nothing_about_people_and_is_cheap_to_read_again(hall, client, make, as_user):
    url = hall.open(capacity=1)
    person = make.person(name="李晓彤")
    as_user(person.id).put(f"{url}/sign-up", json={})
    hall.draw()
    answer = client.get(f"{url}/draw")
    assert person.name not in answer.text
    assert str(person.id) not in answer.text
    again = client.get(f"{url}/draw", headers={"If-None-Match": answer.headers["ETag"]})
    assert again.status_code == 304


@pytest.mark.parametrize("pools", [(), POOLS])
def test_statements_do_not_grow_with_the_entries(hall, app, client, database, frozen, pools):
    counts = []
    for size in (2, 12):
        url = hall.open(capacity=5, pools=pools)
        hall.enter(url, size)
        with count_statements(app) as closing:
            hall.close()
        with count_statements(app) as reading:
            client.get(f"{url}/draw")
        frozen.move(hours=2)
        with count_statements(app) as drawing:
            assert draw_due(database) == 1
        with count_statements(app) as reading_after:
            client.get(f"{url}/draw")
        assert len(reading) <= 2
        assert len(reading_after) == 1
        counts.append((len(closing), len(drawing)))
    few, many = counts
    assert few[0] == many[0]
    assert many[1] <= few[1] + 4, "only the queue that is left is numbered and told besides"


@pytest.mark.parametrize("pools", [(), POOLS])
def test_a_large_draw_is_settled_in_batches_and_comes_to_the_same(
    hall, client, database, frozen, monkeypatch, pools
):
    monkeypatch.setattr(drawing, "_SETTLED_AT_ONCE", 3)
    url = hall.open(capacity=5, pools=pools)
    clients = [*hall.enter(url, 5), *hall.enter(url, 5, hometown_code="140524")]
    hall.close()
    frozen.move(hours=2)
    assert draw_due(database) == 1
    drawn = client.get(f"{url}/draw").json
    assert hall.officer.post(f"{url}/draw", json={}).json["code"] == "already_drawn"
    states = [one.get(f"{url}/sign-up").json["state"] for one in clients]
    assert states.count("applied") == 7
    last = next(client for client, state in zip(clients, states, strict=True) if state == "applied")
    gone = last.get(f"{url}/sign-up").json["id"]
    assert last.delete(f"{url}/sign-up").status_code == 204
    rounds = 0
    while settle_due(database):
        rounds += 1
    assert rounds == 3
    assert client.get(f"{url}/draw").json == drawn
    assert check(drawn) == (0, "OK")
    states = {str(sign_up_id): state for sign_up_id, state in of(url, database, SignUp.id, SignUp.state)}
    outcomes = {entry["entry"]: entry["outcome"] for entry in drawn["entries"]}
    held = [one for one, state in states.items() if state is SignUpState.CONFIRMED]
    assert len(held) == 5 or pools
    for one, outcome in outcomes.items():
        assert one == gone or outcome != "place" or states[one] is SignUpState.CONFIRMED
        assert states[one] is not SignUpState.APPLIED
    with database.reading() as db:
        told = db.scalars(select(OutboxEntry.person_id)).all()
    assert len(told) == len(set(told)) == 9


def test_the_database_keeps_a_draw_whole(hall, database):
    url = hall.open()
    hall.draw()
    values = (
        {"places": None},
        {"seed": None},
        {"entries": None},
        {"entries_digest": None},
        {"drawn_at": None},
        {"closed_at": None, "entries": None, "entries_digest": None},
        {"public_source": SOURCE},
        {"drawn_at": None, "seed": None, "places": None},
        {"first_time_weight": 11},
    )
    for wrong in values:
        with pytest.raises(IntegrityError), database.transaction() as session:
            session.execute(
                update(LotteryDraw).where(LotteryDraw.activity_id == activity_id(url)).values(wrong)
            )


def test_the_worker_staff_and_people_who_leave_meet_at_the_draw(hall, client, database, frozen):
    for _ in range(5):
        url = hall.open(capacity=3)
        clients = hall.enter(url, 8)
        hall.close()
        frozen.move(hours=2)
        at_once(
            [
                lambda: draw_due(database),
                lambda url=url: hall.officer.post(f"{url}/draw", json={}),
                lambda: draw_due(database),
                *(lambda one=one, url=url: one.delete(f"{url}/sign-up") for one in clients[:3]),
            ]
        )
        drawn = client.get(f"{url}/draw").json
        assert drawn["state"] == "drawn"
        assert check(drawn) == (0, "OK")
        states = [state for (state,) in of(url, database, SignUp.state)]
        assert states.count(SignUpState.CONFIRMED) == 3
        assert states.count(SignUpState.CANCELLED) == 3
        assert states.count(SignUpState.WAITLISTED) == 2
        with database.reading() as db:
            told = db.scalars(
                select(OutboxEntry.person_id).where(OutboxEntry.kind.in_(("draw_won", "draw_lost")))
            ).all()
            withdrawn = [entry for entry in drawn["entries"] if entry["outcome"] == "withdrawn"]
        assert len(told) == len(set(told))
        with database.transaction() as session:
            session.execute(OutboxEntry.__table__.delete())
        assert len(told) == 8 - len(withdrawn), "each who was in the draw hears of it once"
