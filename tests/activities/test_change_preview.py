"""What a change means for people: shown first, accepted by its preview, refused when it has become something else."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

import previews
import pytest
from activities.test_races import at_once, check_invariants
from conftest import _contents
from counting import count_statements
from sqlalchemy import select
from sqlalchemy.orm import Session

from engage.activities.models import ActivityStatus, SignUp, SignUpState
from engage.activities.service.due import advance_due
from engage.core import ids
from engage.messages.models import OutboxEntry
from engage.orgs.models import Role


@pytest.fixture
def hall(frozen, make, as_user):
    """An activity of three places tomorrow, and five who pressed one after another: three have places, two wait."""

    class Hall:
        def __init__(self):
            self.city = make.org()
            self.org = make.org(self.city)
            self.officer_id = make.staff(Role.OFFICER, org=self.org).id
            self.activity = make.activity(
                org=self.org, capacity=3, waitlist_capacity=5, min_age=None, service_minutes=60
            )
            self.url = f"/v1/activities/{self.activity.id}"
            self.people = [make.person(name=f"第{number}位") for number in range(1, 6)]
            for person in self.people:
                as_user(person.id).put(f"{self.url}/sign-up", json={})

        @property
        def officer(self):
            return as_user(self.officer_id)

        def sent(self, **changes):
            return previews.as_sent(self.officer, self.url, **changes)

        def states(self):
            return [as_user(person.id).get(f"{self.url}/sign-up").json["state"] for person in self.people]

        def positions(self):
            return [as_user(person.id).get(f"{self.url}/sign-up").json["position"] for person in self.people]

    return Hall()


@pytest.fixture
def told(database):
    """Return a function that lists (person, kind) of all messages, in order."""

    def told():
        with database.reading() as db:
            rows = db.execute(select(OutboxEntry.person_id, OutboxEntry.kind).order_by(OutboxEntry.seq)).all()
        return [tuple(row) for row in rows]

    return told


def later(activity, **by):
    return (activity.starts_at + timedelta(**by)).isoformat()


def test_fewer_places_are_shown_then_taken_from_the_last_who_stand_first_in_the_queue(hall, told):
    fewer = hall.sent(capacity=1)
    answer = previews.look(hall.officer, hall.url, fewer)
    shown = answer.json
    assert answer.headers["ETag"] == shown["preview"]
    assert (shown["harmful"], shown["moved"], shown["affected_total"]) == (True, [], 2)
    assert shown["counts"] == [{"before": "confirmed", "after": "waitlisted", "count": 2}]
    assert [(item["person_name"], item["after"]) for item in shown["affected"]] == [
        ("第2位", "waitlisted"),
        ("第3位", "waitlisted"),
    ]
    assert hall.states() == ["confirmed"] * 3 + ["waitlisted"] * 2
    assert told() == []
    edited = hall.officer.put(hall.url, json=fewer, headers={"If-Match": shown["preview"]})
    assert (edited.status_code, edited.json["places_left"], edited.json["waiting"]) == (200, 0, 4)
    assert hall.positions() == [None, 1, 2, 3, 4]
    assert told() == [(person.id, "place_withdrawn") for person in hall.people[1:3]]


def test_the_queue_is_lengthened_for_who_loses_a_place(hall):
    full = hall.sent(waitlist_capacity=2)
    assert hall.officer.put(hall.url, json=full, headers={"If-Match": "*"}).status_code == 200
    edited = previews.edit(hall.officer, hall.url, {**full, "capacity": 1})
    assert (edited.json["waitlist_capacity"], edited.json["waiting"]) == (4, 4)


def test_who_lost_a_place_gets_the_next_one(hall, as_user):
    previews.edit(hall.officer, hall.url, hall.sent(capacity=1))
    as_user(hall.people[0].id).delete(f"{hall.url}/sign-up")
    assert as_user(hall.people[1].id).get(f"{hall.url}/sign-up").json["state"] == "confirmed"


def test_offers_go_before_confirmed_places(hall, make, frozen, as_user):
    hall.activity = make.activity(org=hall.org, capacity=2, starts_at=frozen.now + timedelta(hours=20), offers_from_at=frozen.now - timedelta(hours=1), queue_closes_at=frozen.now + timedelta(hours=19))  # fmt: skip
    hall.url = f"/v1/activities/{hall.activity.id}"
    first, second, third, fourth, fifth = (as_user(person.id) for person in hall.people)
    for client in (first, second, third):
        client.put(f"{hall.url}/sign-up", json={})
    first.delete(f"{hall.url}/sign-up")
    assert third.get(f"{hall.url}/sign-up").json["state"] == "offered"
    second.delete(f"{hall.url}/sign-up")
    assert fourth.put(f"{hall.url}/sign-up", json={}).json["state"] == "confirmed", "though they came later"
    shown = previews.look(hall.officer, hall.url, hall.sent(capacity=1)).json
    assert shown["counts"] == [{"before": "offered", "after": "waitlisted", "count": 1}]
    assert previews.edit(hall.officer, hall.url, hall.sent(capacity=1)).status_code == 200
    assert third.get(f"{hall.url}/sign-up").json["offer_expires_at"] is None
    fifth.put(f"{hall.url}/sign-up", json={})
    assert third.get(f"{hall.url}/sign-up").json["position"] == 1


def test_who_is_there_or_excused_keeps_the_place(hall, frozen):
    entries = hall.officer.get(f"{hall.url}/sign-ups").json["items"]
    by_person = {entry["person"]["id"]: entry["id"] for entry in entries}
    frozen.set(hall.activity.starts_at)
    hall.officer.post(
        f"{hall.url}/sign-ups/{by_person[str(hall.people[2].id)]}/excuse", json={"reason": "病"}
    )
    previews.edit(hall.officer, hall.url, hall.sent(capacity=1))
    entries = hall.officer.get(f"{hall.url}/sign-ups").json["items"]
    states = {entry["person"]["id"]: entry["state"] for entry in entries}
    # The queue has closed: who loses the place then has no turn in it either.
    assert [states[str(person.id)] for person in hall.people[:3]] == ["cancelled", "cancelled", "confirmed"]


def test_as_many_places_as_people_are_there_must_remain(hall, make, database):
    with Session(database.reader) as session:
        for sign_up in session.scalars(select(SignUp).order_by(SignUp.seq).limit(2)).all():
            make.check_in(sign_up)
    answer = previews.look(hall.officer, hall.url, hall.sent(capacity=1))
    assert (answer.status_code, answer.json["code"]) == (409, "capacity_below_present")
    assert previews.edit(hall.officer, hall.url, hall.sent(capacity=2)).status_code == 200
    assert hall.states() == ["confirmed"] * 2 + ["waitlisted"] * 3


def test_more_places_are_shown_and_need_no_preview(hall, told):
    more = hall.sent(capacity=4)
    shown = previews.look(hall.officer, hall.url, more).json
    assert (shown["harmful"], shown["counts"]) == (
        False,
        [{"before": "waitlisted", "after": "confirmed", "count": 1}],
    )
    assert told() == []
    tag = hall.officer.get(hall.url).headers["ETag"]
    assert hall.officer.put(hall.url, json=more, headers={"If-Match": tag}).status_code == 200
    assert told() == [(hall.people[3].id, "sign_up_promoted")]


def test_a_new_time_or_place_needs_a_preview_and_is_told_to_everybody(hall, told):
    moves = [
        ({"starts_at": later(hall.activity, hours=1)}, ["starts_at"]),
        ({"ends_at": later(hall.activity, hours=3)}, ["ends_at"]),
        ({"place_name": "体育馆"}, ["place_name"]),
        ({"address": "东街 2 号", "position": {"lat": 35.5, "lng": 112.8}}, ["address", "position"]),
    ]
    for change, moved in moves:
        body, before = hall.sent(**change), len(told())
        for tag in ("*", hall.officer.get(hall.url).headers["ETag"]):
            refused = hall.officer.put(hall.url, json=body, headers={"If-Match": tag})
            assert (refused.status_code, refused.json["code"]) == (409, "preview_required")
            assert "5" in refused.json["detail"]
        shown = previews.look(hall.officer, hall.url, body).json
        assert (shown["harmful"], shown["moved"], shown["affected_total"]) == (True, moved, 5)
        assert len(told()) == before
        edited = hall.officer.put(hall.url, json=body, headers={"If-Match": shown["preview"]})
        assert edited.status_code == 200, edited.json
        assert sorted(told()[before:]) == sorted((person.id, "activity_changed") for person in hall.people)


def test_with_nobody_signed_up_time_and_place_move_freely(hall, make):
    activity = make.activity(org=hall.org)
    url = f"/v1/activities/{activity.id}"
    body = previews.as_sent(hall.officer, url, place_name="体育馆")
    assert previews.look(hall.officer, url, body).json["harmful"] is False
    assert hall.officer.put(url, json=body, headers={"If-Match": "*"}).status_code == 200


def test_calling_off_needs_a_preview_once_somebody_signed_up(hall, told):
    off = {"reason": "停电"}
    for headers in ({}, {"If-Match": "*"}, {"If-Match": hall.officer.get(hall.url).headers["ETag"]}):
        refused = hall.officer.post(f"{hall.url}/cancellation", json=off, headers=headers)
        assert (refused.status_code, refused.json["code"]) == (409, "preview_required")
    shown = previews.look(hall.officer, hall.url).json
    assert (shown["harmful"], shown["affected_total"]) == (True, 5)
    assert {item["after"] for item in shown["affected"]} == {"cancelled"}
    assert told() == []
    done = hall.officer.post(f"{hall.url}/cancellation", json=off, headers={"If-Match": shown["preview"]})
    assert done.json["state"] == "cancelled"
    assert sorted(told()) == sorted((person.id, "activity_cancelled") for person in hall.people)
    again = previews.look(hall.officer, hall.url)
    assert (again.status_code, again.json["code"]) == (409, "wrong_activity_state")


def test_calling_off_with_an_old_version_is_refused(hall, make):
    url = f"/v1/activities/{make.activity(org=hall.org).id}"
    old = hall.officer.get(url).headers["ETag"]
    hall.officer.put(url, json=previews.as_sent(hall.officer, url, title="改"), headers={"If-Match": old})
    answer = hall.officer.post(f"{url}/cancellation", json={"reason": "停"}, headers={"If-Match": old})
    assert (answer.status_code, answer.json["code"]) == (412, "version_conflict")
    assert (
        hall.officer.post(
            f"{url}/cancellation", json={"reason": "停"}, headers={"If-Match": "nonsense"}
        ).status_code
        == 412
    )


def test_a_preview_is_outdated_when_others_are_concerned_by_now(hall, as_user, make, told):
    fewer, moved = hall.sent(capacity=1), hall.sent(place_name="体育馆")
    for_fewer, for_moved, for_off = (
        previews.seen(hall.officer, hall.url, fewer),
        previews.seen(hall.officer, hall.url, moved),
        previews.seen(hall.officer, hall.url),
    )
    as_user(make.person().id).put(f"{hall.url}/sign-up", json={})
    for answer in (
        hall.officer.put(hall.url, json=moved, headers=for_moved),
        hall.officer.post(f"{hall.url}/cancellation", json={"reason": "停"}, headers=for_off),
    ):
        assert (answer.status_code, answer.json["code"]) == (412, "preview_outdated")
    as_user(hall.people[2].id).delete(f"{hall.url}/sign-up")
    answer = hall.officer.put(hall.url, json=fewer, headers=for_fewer)
    assert (answer.status_code, answer.json["code"]) == (412, "preview_outdated")
    assert hall.officer.get(hall.url).json["version"] == 1
    assert [kind for _, kind in told()] == ["sign_up_promoted"]


def test_who_joins_the_queue_does_not_spoil_a_preview_of_who_leaves_it(hall, as_user, make):
    fewer = hall.sent(capacity=1)
    headers = previews.seen(hall.officer, hall.url, fewer)
    as_user(make.person().id).put(f"{hall.url}/sign-up", json={})
    assert hall.officer.put(hall.url, json=fewer, headers=headers).status_code == 200


def test_a_preview_accepts_its_own_change_only(hall):
    earlier, later_on = (
        hall.sent(starts_at=later(hall.activity, minutes=30)),
        hall.sent(starts_at=later(hall.activity, hours=1)),
    )
    answer = hall.officer.put(hall.url, json=earlier, headers=previews.seen(hall.officer, hall.url, later_on))
    assert (answer.status_code, answer.json["code"]) == (412, "preview_outdated")
    answer = hall.officer.put(hall.url, json=earlier, headers=previews.seen(hall.officer, hall.url))
    assert answer.json["code"] == "preview_outdated"


def test_a_preview_of_an_older_version_is_refused(hall):
    moved = hall.sent(place_name="体育馆")
    headers = previews.seen(hall.officer, hall.url, moved)
    hall.officer.put(hall.url, json=hall.sent(title="改"), headers={"If-Match": "*"})
    answer = hall.officer.put(hall.url, json=moved, headers=headers)
    assert (answer.status_code, answer.json["code"]) == (412, "version_conflict")


def test_the_same_instant_written_otherwise_is_no_move(hall):
    utc = datetime.fromisoformat(hall.sent()["starts_at"]).astimezone(UTC).isoformat()
    shown = previews.look(hall.officer, hall.url, hall.sent(starts_at=utc)).json
    assert (shown["moved"], shown["harmful"]) == ([], False)


def test_overlaps_that_a_new_time_brings_are_counted(hall, make):
    elsewhere = make.activity(starts_at=hall.activity.starts_at + timedelta(hours=5), ends_at=hall.activity.starts_at + timedelta(hours=7))  # fmt: skip
    for person in (hall.people[0], hall.people[1], hall.people[4]):  # the last of them has no place here
        make.sign_up(elsewhere, person)
    at_same_time = make.activity(
        starts_at=hall.activity.starts_at, ends_at=hall.activity.starts_at + timedelta(hours=7)
    )
    make.sign_up(at_same_time, hall.people[1])  # overlaps already
    off = make.activity(starts_at=hall.activity.starts_at + timedelta(hours=5), ends_at=hall.activity.starts_at + timedelta(hours=7), status=ActivityStatus.CANCELLED)  # fmt: skip
    make.sign_up(off, hall.people[2])
    moved = hall.sent(ends_at=later(hall.activity, hours=6))
    assert previews.look(hall.officer, hall.url, moved).json["overlaps_created"] == 1
    assert previews.look(hall.officer, hall.url, hall.sent(title="改")).json["overlaps_created"] == 0


def test_a_pool_that_shrinks_takes_back_its_own_last(make, frozen, as_user):
    org = make.org()
    officer = as_user(make.staff(Role.OFFICER, org=org).id)
    pools = [
        {"name": "城区", "audience": "counties", "county_codes": ["140502"], "capacity": 2},
        {"name": "其他", "audience": "everybody", "capacity": 1, "overflow_rank": 1},
    ]
    body = {
        "title": "分池", "project_id": str(make.project(org).id), "org_id": str(org.id), "place_name": "广场", "county_code": "140502",
        "starts_at": (frozen.now + timedelta(days=5)).isoformat(), "ends_at": (frozen.now + timedelta(days=5, hours=2)).isoformat(),
        "sign_up_opens_at": (frozen.now - timedelta(hours=1)).isoformat(),
        "sign_up_closes_at": (frozen.now + timedelta(days=4)).isoformat(),
        "capacity": 3, "waitlist_capacity": 5, "admission": {"pools": pools},
    }  # fmt: skip
    url = officer.post("/v1/activities", json=body).headers["Location"]
    officer.post(f"{url}/publication")
    local = [make.person(name=f"本地{number}") for number in range(2)]
    away = make.person(name="外地", hometown_code="140524", current_code="140524")
    for person in (*local, away):
        assert as_user(person.id).put(f"{url}/sign-up", json={}).json["state"] == "confirmed"
    fewer = {
        **body,
        "capacity": 2,
        "admission": {"pools": [{**pools[0], "capacity": 1}, {**pools[1], "capacity": 1}]},
    }
    refused = officer.put(url, json=fewer, headers={"If-Match": "*"})
    assert refused.json["code"] == "capacity_below_taken"
    shown = previews.look(officer, url, fewer).json
    assert [item["person_name"] for item in shown["affected"]] == ["本地1"]
    assert previews.edit(officer, url, fewer).status_code == 200
    assert as_user(local[1].id).get(f"{url}/sign-up").json["position"] == 1
    # Another pool's new place goes to whoever it is for: the one who lost theirs is one of everybody.
    shifted = {
        **body,
        "capacity": 2,
        "admission": {"pools": [{**pools[0], "capacity": 0}, {**pools[1], "capacity": 2}]},
    }
    shown = previews.look(officer, url, shifted).json
    assert [(item["person_name"], item["before"], item["after"]) for item in shown["affected"]] == []
    assert previews.edit(officer, url, shifted).status_code == 200
    assert as_user(local[0].id).get(f"{url}/sign-up").json["state"] == "confirmed"


def test_at_most_a_hundred_are_shown_by_name(make, as_user):
    org = make.org()
    officer = as_user(make.staff(Role.OFFICER, org=org).id)
    activity = make.activity(org=org, capacity=200)
    for number in range(103):
        make.sign_up(activity, make.person(name=f"第{number}位"))
    url = f"/v1/activities/{activity.id}"
    moved = previews.as_sent(officer, url, place_name="体育馆", capacity=101)
    shown = previews.look(officer, url, moved).json
    assert (shown["affected_total"], len(shown["affected"])) == (103, 100)
    assert [item["person_name"] for item in shown["affected"][:3]] == ["第101位", "第102位", "第0位"]


def test_what_is_set_by_the_start_moves_with_it(hall, make, frozen, database):
    starts_at = frozen.now + timedelta(hours=20)
    activity = make.activity(org=hall.org, capacity=1, starts_at=starts_at, offers_from_at=frozen.now - timedelta(hours=4), queue_closes_at=starts_at - timedelta(hours=1))  # fmt: skip
    offered = make.sign_up(activity, state=SignUpState.OFFERED, offer_expires_at=frozen.now + timedelta(hours=18))  # fmt: skip
    held = [make.sign_up(activity, state=SignUpState.WAITLISTED, held_until=starts_at - timedelta(hours=hours)) for hours in (4, 3)]  # fmt: skip
    url = f"/v1/activities/{activity.id}"
    earlier = previews.as_sent(hall.officer, url, starts_at=later(activity, hours=-3), sign_up_closes_at=(frozen.now + timedelta(hours=1)).isoformat())  # fmt: skip
    assert previews.edit(hall.officer, url, earlier).status_code == 200
    with database.reading() as db:
        rows = dict(db.execute(select(SignUp.id, SignUp.held_until)).all())
        expires_at = db.scalar(select(SignUp.offer_expires_at).where(SignUp.id == offered.id))
    assert expires_at == starts_at - timedelta(hours=4)
    assert [rows[one.id] for one in held] == [
        starts_at - timedelta(hours=7),
        starts_at - timedelta(hours=6),
    ]


CLOSED = {"offer_window_minutes": 1440, "closes_minutes": 1440}  # a day before the start: now


def test_a_change_that_closes_the_queue_is_shown_and_told_as_such(hall, told, database):
    closing = hall.sent(waitlist=CLOSED)
    refused = hall.officer.put(hall.url, json=closing, headers={"If-Match": "*"})
    assert (refused.status_code, refused.json["code"]) == (409, "preview_required")
    shown = previews.look(hall.officer, hall.url, closing).json
    assert (shown["harmful"], shown["moved"]) == (True, [])
    assert shown["counts"] == [{"before": "waitlisted", "after": "cancelled", "count": 2}]
    assert told() == []
    edited = hall.officer.put(hall.url, json=closing, headers={"If-Match": shown["preview"]})
    assert (edited.status_code, edited.json["waiting"]) == (200, 0)
    advance_due(database, threading.Event())
    assert told() == [(person.id, "queue_closed") for person in hall.people[3:]]


def test_who_is_cut_when_the_queue_has_closed_is_not_told_of_a_turn(hall, told, database):
    fewer = hall.sent(waitlist=CLOSED, capacity=1)
    shown = previews.look(hall.officer, hall.url, fewer).json
    assert shown["counts"] == [
        {"before": "confirmed", "after": "cancelled", "count": 2},
        {"before": "waitlisted", "after": "cancelled", "count": 2},
    ]
    edited = previews.edit(hall.officer, hall.url, fewer)
    assert (edited.status_code, edited.json["waiting"], edited.json["waitlist_capacity"]) == (200, 0, 5)
    advance_due(database, threading.Event())
    assert told() == [
        *((person.id, "place_lost") for person in hall.people[1:3]),
        *((person.id, "queue_closed") for person in hall.people[3:]),
    ]
    assert check_invariants(database, hall.activity.id) == (1, 0)


def test_an_earlier_start_closes_the_queue_and_ends_offers(hall, make, frozen, told, database):
    hour = timedelta(hours=1)
    starts_at = frozen.now + 20 * hour
    activity = make.activity(org=hall.org, capacity=2, starts_at=starts_at, offers_from_at=frozen.now - 4 * hour, queue_closes_at=starts_at - hour)  # fmt: skip
    kept, offered, waits = (make.person() for _ in range(3))
    make.sign_up(activity, kept)
    make.sign_up(activity, offered, state=SignUpState.OFFERED, offer_expires_at=frozen.now + 2 * hour)
    make.sign_up(activity, waits, state=SignUpState.WAITLISTED)
    url = f"/v1/activities/{activity.id}"
    soon = (frozen.now + hour).isoformat()
    earlier = previews.as_sent(hall.officer, url, starts_at=soon, sign_up_closes_at=soon)
    shown = previews.look(hall.officer, url, earlier).json
    assert {(count["before"], count["after"]) for count in shown["counts"]} == {
        ("confirmed", "confirmed"),
        ("offered", "cancelled"),
        ("waitlisted", "cancelled"),
    }
    assert previews.edit(hall.officer, url, earlier).status_code == 200
    advance_due(database, threading.Event())
    assert sorted(told()) == sorted(
        [(kept.id, "activity_changed"), (offered.id, "place_lost"), (waits.id, "queue_closed")]
    )


def test_looking_changes_nothing(hall, database):
    before = _contents(database)
    for change in (
        hall.sent(capacity=1),
        hall.sent(capacity=5),
        hall.sent(starts_at=later(hall.activity, hours=1), place_name="体育馆"),
        None,
    ):
        assert previews.look(hall.officer, hall.url, change).status_code == 200
    after = _contents(database)
    assert {name for name in before if before[name] != after[name]} <= {"auth_session"}


@pytest.mark.parametrize(
    ("who", "status"),
    [
        ("officer", 200),
        ("city officer", 200),
        ("neighbour", 403),
        ("analyst", 403),
        ("youth", 403),
        ("nobody", 401),
    ],
)
def test_who_may_look(hall, make, as_user, client, who, status):
    caller = {
        "officer": lambda: hall.officer,
        "city officer": lambda: as_user(make.staff(Role.OFFICER, org=hall.city).id),
        "neighbour": lambda: as_user(make.staff(Role.OFFICER, org=make.org(hall.city)).id),
        "analyst": lambda: as_user(make.staff(Role.ANALYST, org=hall.org).id),
        "youth": lambda: as_user(hall.people[0].id),
        "nobody": lambda: client,
    }[who]()
    assert previews.look(caller, hall.url).status_code == status
    assert previews.look(caller, hall.url, hall.sent(capacity=1)).status_code == status


def test_what_cannot_be_asked(hall, make):
    url, body = f"{hall.url}/change-preview", hall.sent()
    for asked, pointer, code in [
        ({}, "/change", "required"),
        ({"cancel": False}, "/change", "required"),
        ({"cancel": True, "change": body}, "/cancel", "not_together"),
        ({"change": {**body, "capacity": 0}}, "/change/capacity", "too_small"),
        ({"change": {**body, "project_id": str(ids.new_id())}}, "/change/project_id", "no_such_object"),
    ]:
        answer = hall.officer.post(url, json=asked)
        assert answer.status_code == 422, asked
        assert (pointer, code) in {(error["pointer"], error["code"]) for error in answer.json["errors"]}
    assert previews.look(hall.officer, f"/v1/activities/{ids.new_id()}").json["code"] == "no_such_activity"
    short = previews.look(hall.officer, hall.url, hall.sent(waitlist_capacity=1))
    assert (short.json["code"], short.json["errors"][0]["pointer"]) == (
        "waitlist_below_waiting",
        "/change/waitlist_capacity",
    )
    asked_anew = hall.sent(questions=[{"kind": "text", "label": "特长？"}])
    assert previews.look(hall.officer, hall.url, asked_anew).json["code"] == "questions_frozen"


def test_the_refusals_speak_both_languages(hall, as_user):
    english = as_user(hall.officer_id, "en")
    moved = hall.sent(place_name="体育馆")
    answer = english.put(hall.url, json=moved, headers={"If-Match": "*"})
    assert answer.json["detail"].startswith("This would affect 5 people")
    chinese = hall.officer.put(hall.url, json=moved, headers={"If-Match": "*"})
    assert "5 位" in chinese.json["detail"]


def test_two_changes_at_once_and_one_of_them_is_made(hall, as_user, database):
    for _ in range(4):
        changes = [hall.sent(place_name=f"地点{number}") for number in range(2)]
        headers = [previews.seen(hall.officer, hall.url, change) for change in changes]
        clients = [hall.officer, hall.officer]
        answers = at_once(
            [
                lambda client=client, change=change, header=header: client.put(
                    hall.url, json=change, headers=header
                )
                for client, change, header in zip(clients, changes, headers, strict=True)
            ]
        )
        assert sorted(answer.status_code for answer in answers) == [200, 412]
    check_invariants(database, hall.activity.id)


def test_a_change_races_people_who_join_and_leave(hall, as_user, make, database, told):
    """Whoever was told nothing of it joined after it; whoever was there before made it outdated, or was told."""
    previews.edit(hall.officer, hall.url, hall.sent(waitlist_capacity=20))
    for round_number in range(5):
        moved = hall.sent(place_name=f"地点{round_number}")
        headers, officer, before = previews.seen(hall.officer, hall.url, moved), hall.officer, len(told())
        newcomers = [make.person() for _ in range(2)]
        clients = [as_user(person.id) for person in newcomers]
        leaver = as_user(hall.people[round_number].id)
        edited, *joined, left = at_once(
            [
                lambda officer=officer, moved=moved, headers=headers: officer.put(
                    hall.url, json=moved, headers=headers
                ),
                *(lambda client=client: client.put(f"{hall.url}/sign-up", json={}) for client in clients),
                lambda leaver=leaver: leaver.delete(f"{hall.url}/sign-up"),
            ]
        )
        changed = [person for person, kind in told()[before:] if kind == "activity_changed"]
        assert edited.status_code in (200, 412)
        assert bool(changed) == (edited.status_code == 200)
        assert [answer.status_code for answer in (*joined, left)] == [200, 200, 204]
        check_invariants(database, hall.activity.id)


def test_a_cut_races_check_in_and_who_is_there_keeps_the_place(make, frozen, as_user, database):
    for _ in range(5):
        org = make.org()
        officers = [as_user(make.staff(Role.OFFICER, org=org).id) for _ in range(2)]
        activity = make.activity(
            org=org, capacity=2, starts_at=frozen.now + timedelta(minutes=30), waitlist_capacity=5
        )
        url, people = f"/v1/activities/{activity.id}", [make.person(), make.person()]
        clients = [as_user(person.id) for person in people]
        for client in clients:
            client.put(f"{url}/sign-up", json={})
        code = officers[0].get(f"{url}/check-in-code").json["code"]
        fewer = previews.as_sent(officers[0], url, capacity=1)
        headers = previews.seen(officers[0], url, fewer)
        cut, came = at_once(
            [
                lambda url=url, officers=officers, fewer=fewer, headers=headers: officers[0].put(
                    url, json=fewer, headers=headers
                ),
                lambda url=url, clients=clients, code=code: clients[1].post(
                    f"{url}/check-in", json={"code": code}
                ),
            ]
        )
        assert (cut.status_code, came.status_code) in ((200, 409), (409, 200), (412, 200), (200, 404)), (
            cut.json,
            came.json,
        )
        state = clients[1].get(f"{url}/sign-up").json["state"]
        assert state == ("confirmed" if came.status_code == 200 else "waitlisted")
        check_invariants(database, activity.id)


def test_a_preview_takes_as_many_statements_for_many_people(hall, make, app):
    def count():
        body = hall.sent(place_name="体育馆", capacity=2)
        with count_statements(app) as sent:
            previews.look(hall.officer, hall.url, body)
        return len(sent)

    few = count()
    for _ in range(20):
        make.sign_up(hall.activity, state=SignUpState.APPLIED)
    assert count() == few
