"""Whose turn comes in an activity that allows no other at the same time, and who has one: passed over for as long as that is so."""

from __future__ import annotations

import threading
from datetime import timedelta

import previews
import pytest
from activities.proof import violations
from bodies import activity_body
from counting import count_statements
from racing import at_once
from sqlalchemy import select

from engage.activities.models import AdmissionMode, Audience, Pool, SignUpState
from engage.activities.service.due import advance_due
from engage.activities.service.release import release_person
from engage.core import clock
from engage.core.config import Overlap
from engage.core.db import Nobody, Work
from engage.messages.models import OutboxEntry
from engage.orgs.models import Role

HOUR = timedelta(hours=1)


@pytest.fixture
def stage(frozen, make, as_user, database):
    """Activities of one organisation, with one place from 14:00 to 16:00 the day after tomorrow."""

    class Stage:
        log_in = staticmethod(as_user)
        org = make.org()
        officer = as_user(make.staff(Role.OFFICER, org=org).id)
        begin = frozen.now + timedelta(hours=52)

        def activity(self, overlap=Overlap.REFUSE, **values):
            times = {"starts_at": self.begin, "ends_at": self.begin + 2 * HOUR}
            return make.activity(self.org, **{"overlap": overlap, "capacity": 1, **times, **values})

        def people(self, count):
            return [as_user(make.person().id) for _ in range(count)]

        def join(self, activity, *clients):
            return [client.put(url(activity), json={}).json["state"] for client in clients]

        def waiting_elsewhere(self, **values):
            """An activity where the first has a place and the others wait, and one where the second has a place."""
            here, there = self.activity(**values), self.activity(title="团青有约")
            clients = self.people(3)
            self.join(here, *clients)
            self.join(there, clients[1])
            return here, there, clients

        def settle(self):
            advance_due(database, threading.Event())
            assert violations(database) == {}

    return Stage()


def url(activity):
    return f"/v1/activities/{activity.id}/sign-up"


def states(activity, *clients):
    answers = [client.get(url(activity)) for client in clients]
    return [answer.json["state"] if answer.status_code == 200 else None for answer in answers]


def test_a_freed_place_passes_who_has_one_elsewhere_and_they_keep_their_turn(stage, database):
    here, there, clients = stage.waiting_elsewhere()
    clients[0].delete(url(here))
    assert states(here, *clients[1:]) == ["waitlisted", "confirmed"]
    assert states(there, clients[1]) == ["confirmed"]
    mine = clients[1].get(url(here)).json
    assert (mine["position"], mine["held_until"]) == (1, stage.begin.astimezone(clock.SHANGHAI).isoformat())
    assert [warning["activity"]["name"] for warning in mine["warnings"]] == ["团青有约"]
    stage.settle()
    assert states(here, *clients[1:]) == ["waitlisted", "confirmed"], "it stays so while it is so"


def leave(stage, here, there, client):
    client.delete(url(there))


def call_off(stage, here, there, client):
    previews.cancel(stage.officer, f"/v1/activities/{there.id}")


def be_cancelled(stage, here, there, client):
    sign_up_id = client.get(url(there)).json["id"]
    address = f"/v1/activities/{there.id}/sign-ups/{sign_up_id}/cancellation"
    assert stage.officer.post(address, json={"reason": "测试"}).status_code == 200


def move_it(stage, here, there, client):
    times = {"starts_at": stage.begin + 9 * HOUR, "ends_at": stage.begin + 11 * HOUR}
    change(stage, there, **{name: instant.isoformat() for name, instant in times.items()})


def allow_it(stage, here, there, client):
    change(stage, here, admission={"mode": "first_come", "overlap": "warn"})


def change(stage, activity, **values):
    place = f"/v1/activities/{activity.id}"
    answer = previews.edit(stage.officer, place, previews.as_sent(stage.officer, place, **values))
    assert answer.status_code == 200, answer.json


ENDS = [leave, call_off, be_cancelled, move_it, allow_it]


@pytest.mark.parametrize("end", ENDS)
def test_the_place_that_stayed_free_is_theirs_when_nothing_is_in_the_way_any_more(stage, end):
    here, there, clients = stage.waiting_elsewhere()
    for client in (clients[2], clients[0]):
        client.delete(url(here))
    assert states(here, clients[1]) == ["waitlisted"]
    end(stage, here, there, clients[1])
    stage.settle()
    assert states(here, clients[1]) == ["confirmed"]
    assert clients[1].get(url(here)).json["held_until"] is None


def test_and_if_it_was_given_on_they_are_next_in_their_order(stage):
    here, there, clients = stage.waiting_elsewhere()
    last = stage.people(1)[0]
    stage.join(here, last)
    clients[0].delete(url(here))
    clients[1].delete(url(there))
    stage.settle()
    assert states(here, *clients[1:], last) == ["waitlisted", "confirmed", "waitlisted"]
    clients[2].delete(url(here))
    assert states(here, clients[1], last) == ["confirmed", "waitlisted"]


def test_near_the_start_it_is_offered_like_to_anybody(stage):
    """They could not know that they would be free, and may not be: only who was told a time to wait for is confirmed by it."""
    begin = stage.begin
    here, there, clients = stage.waiting_elsewhere(
        offers_from_at=begin - 60 * HOUR, queue_closes_at=begin - HOUR
    )
    clients[0].delete(url(here))
    assert states(here, *clients[1:]) == ["waitlisted", "offered"]
    clients[1].delete(url(there))
    clients[2].delete(url(here))
    stage.settle()
    assert states(here, clients[1]) == ["offered"]


def test_a_place_that_is_kept_for_them_elsewhere_is_in_the_way_until_they_decline_it(stage, make):
    here, there = stage.activity(), stage.activity(capacity=2)
    first, second = stage.people(1)[0], make.person()
    client = stage.log_in(second.id)
    stage.join(here, first, client)
    make.sign_up(
        there, second, state=SignUpState.OFFERED, offered_at=clock.now(), offer_expires_at=clock.now() + HOUR
    )
    first.delete(url(here))
    assert states(here, client) == ["waitlisted"]
    client.delete(url(there))
    stage.settle()
    assert states(here, client) == ["confirmed"]


def test_newcomers_and_more_places_pass_them_too(stage):
    here, _there, clients = stage.waiting_elsewhere(waitlist_capacity=2)
    change(stage, here, capacity=2)
    assert states(here, *clients) == ["confirmed", "waitlisted", "confirmed"]
    clients[0].delete(url(here))
    assert stage.join(here, *stage.people(1)) == ["confirmed"]


def test_once_the_queue_closes_their_turn_is_over(stage, frozen):
    here, _there, clients = stage.waiting_elsewhere(queue_closes_at=stage.begin - HOUR)
    clients[0].delete(url(here))
    frozen.set(stage.begin - HOUR)
    stage.settle()
    assert states(here, *clients[1:]) == [None, "confirmed"]


def test_who_is_accepted_in_review_waits_at_their_rank_as_long_as_they_have_a_place_elsewhere(stage):
    here, there = (
        stage.activity(admission_mode=AdmissionMode.REVIEW, waitlist_capacity=0, capacity=2),
        stage.activity(),
    )
    clients = stage.people(2)
    stage.join(here, *clients)
    stage.join(there, clients[0])
    ids = [client.get(url(here)).json["id"] for client in clients]
    items = [{"sign_up_id": one, "decision": "accept", "rank": rank} for rank, one in enumerate(ids, 1)]
    answer = stage.officer.post(f"/v1/activities/{here.id}/decisions", json={"items": items}).json
    assert [result["state"] for result in answer["results"]] == ["waitlisted", "confirmed"]
    clients[0].delete(url(there))
    stage.settle()
    assert states(here, *clients) == ["confirmed", "confirmed"]


def test_a_draw_gives_their_place_to_the_next_and_they_keep_their_number(stage, make, frozen):
    closes_at = frozen.now + 24 * HOUR
    body = activity_body(
        make.project(stage.org), frozen.now, starts_at=stage.begin, sign_up_closes_at=closes_at.isoformat(), capacity=1, waitlist_capacity=5,
        admission={"mode": "lottery", "overlap": "refuse", "lottery": {"draws_at": (closes_at + 2 * HOUR).isoformat()}},
    )  # fmt: skip
    place = stage.officer.post("/v1/activities", json=body).headers["Location"]
    stage.officer.post(f"{place}/publication")
    clients = stage.people(3)
    for client in clients:
        client.put(f"{place}/sign-up", json={})
    elsewhere = [stage.activity() for _ in range(2)]
    for activity, client in zip(elsewhere, clients, strict=False):
        stage.join(activity, client)
    frozen.move(days=1, minutes=1)
    stage.settle()
    frozen.move(hours=2)
    stage.settle()
    mine = [client.get(f"{place}/sign-up").json for client in clients]
    shown = clients[0].get(f"{place}/draw").json["entries"]
    number = {entry["entry"]: entry["position"] for entry in shown}
    assert [one["state"] for one in mine] == ["waitlisted", "waitlisted", "confirmed"]
    waiting = sorted(mine[:2], key=lambda one: number[one["id"]])
    assert [one["position"] for one in waiting] == [1, 2]


def test_in_pools_the_place_stays_in_its_pool_for_the_next(stage, make):
    here = stage.activity(capacity=2, pools_merged=False, pools_merge_at=stage.begin - HOUR)
    for position in (1, 2):
        make.add(
            Pool(
                activity_id=here.id, position=position, name=f"池{position}", capacity=1, audience=Audience.EVERYBODY,
                county_codes=[], overflow_rank=position,
            )
        )  # fmt: skip
    there, clients = stage.activity(), stage.people(4)
    assert stage.join(here, *clients) == ["confirmed", "confirmed", "waitlisted", "waitlisted"]
    stage.join(there, clients[2])
    clients[0].delete(url(here))
    assert states(here, *clients[2:]) == ["waitlisted", "confirmed"]
    clients[2].delete(url(there))
    clients[1].delete(url(here))
    stage.settle()
    assert states(here, clients[2]) == ["confirmed"]


def test_where_a_warning_is_all_they_are_promoted_and_their_sign_up_says_so(stage, database):
    here, _there, clients = stage.waiting_elsewhere(overlap=Overlap.WARN)
    clients[0].delete(url(here))
    mine = clients[1].get(url(here)).json
    assert (mine["state"], [warning["code"] for warning in mine["warnings"]]) == ("confirmed", ["overlap"])
    with database.reading() as db:
        assert db.scalar(select(OutboxEntry.kind).where(OutboxEntry.kind == "sign_up_promoted"))


def test_two_activities_that_promote_one_person_at_the_same_moment_give_one_place(stage, database):
    """Each looks before the other has given; nobody is stranded by it, and whoever gives up one place has the other."""
    for _ in range(6):
        here, there = stage.activity(), stage.activity()
        first, second, both = stage.people(3)
        stage.join(here, first, both)
        stage.join(there, second, both)
        left = at_once([lambda: first.delete(url(here)), lambda: second.delete(url(there))])  # noqa: B023 - they run here
        assert [answer.status_code for answer in left] == [204, 204]
        assert sorted(states(here, both) + states(there, both)) == ["confirmed", "waitlisted"]
        stage.settle()
        kept, other = (here, there) if states(here, both) == ["confirmed"] else (there, here)
        both.delete(url(kept))
        stage.settle()
        assert states(other, both) == ["confirmed"]


def test_joining_one_while_another_promotes_gives_one_place(stage):
    for _ in range(6):
        here, there = stage.activity(), stage.activity()
        first, both = stage.people(2)
        stage.join(here, first, both)
        left, joined = at_once([lambda: first.delete(url(here)), lambda: both.put(url(there), json={})])  # noqa: B023
        assert left.status_code == 204
        confirmed = states(here, both) == ["confirmed"]
        assert (joined.status_code, joined.json.get("state")) == (
            (409, None) if confirmed else (200, "confirmed")
        )


def test_freeing_all_that_somebody_has_waits_for_nobody_who_waits_for_it(stage, make, database):
    """It locks all its activities before anybody in their queues: else another, which holds one of them, waits for that person."""
    for _ in range(8):
        early, late = stage.activity(), stage.activity(capacity=2)
        released, (leaves, waits) = make.person(), stage.people(2)
        stage.join(late, leaves)
        late_too = stage.log_in(released.id)
        change(
            stage,
            late,
            starts_at=(stage.begin + 2 * HOUR).isoformat(),
            ends_at=(stage.begin + 4 * HOUR).isoformat(),
        )
        stage.join(early, late_too, waits)
        stage.join(late, late_too, waits)

        def release(person=released):
            with database.transaction() as session:
                return release_person(Work(session, Nobody(), clock.now(), database.settings), person.id)

        assert at_once([release, lambda: leaves.delete(url(late)).status_code]) == [2, 204]  # noqa: B023
        assert states(early, waits) + states(late, waits) == ["confirmed", "confirmed"]


def test_promoting_takes_three_statements_more(app, stage):
    def leaving(overlap):
        here, clients = stage.activity(overlap), stage.people(3)
        stage.join(here, *clients)
        with count_statements(app) as sent:
            clients[0].delete(url(here))
        return len(sent)

    leaving(Overlap.WARN)
    assert leaving(Overlap.REFUSE) - leaving(Overlap.WARN) == 3
