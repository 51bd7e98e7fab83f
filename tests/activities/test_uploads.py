"""What staff record at the door without signal: taken in item by item, the same in any order, nobody lost."""

from __future__ import annotations

import itertools
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from types import SimpleNamespace

import previews
import pytest
from counting import count_statements
from guards import lifted
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from racing import at_once
from sqlalchemy import case, delete, func, select, update

from engage.activities.models import (
    Activity,
    ActivityStatus,
    AdmissionMode,
    CheckIn,
    HoursEntry,
    HoursKind,
    ScanConflict,
    SignUp,
    SignUpState,
)
from engage.core import ids
from engage.core.errors import Language
from engage.identity.models import PersonStatus
from engage.messages.models import OutboxEntry
from engage.orgs.models import Role


def item(person, at, **more):
    return {"person_id": str(getattr(person, "id", person)), "scanned_at": at.isoformat(), **more}


def results(answer):
    return [(row["result"], row["code"]) for row in answer.json["results"]]


def presence(database, person):
    with database.reading() as db:
        return db.execute(
            select(
                CheckIn.arrived_at, CheckIn.left_at, CheckIn.method, CheckIn.checked_in_by, CheckIn.over_capacity
            ).where(CheckIn.person_id == person.id)
        ).one_or_none()  # fmt: skip


def state_of(database, person):
    with database.reading() as db:
        return db.scalar(select(SignUp.state).where(SignUp.person_id == person.id))


def test_a_batch_made_offline_is_taken_item_by_item_and_may_be_replayed(
    door, frozen, make, as_user, database
):
    second, waiting, stranger = make.person(), make.person(), make.person()
    for person in (second, waiting):
        as_user(person.id).put(f"{door.url}/sign-up", json={})
    door.scan()
    frozen.set(door.activity.ends_at + timedelta(days=1))
    at = door.activity.starts_at + timedelta(minutes=5)
    items = [item(person, at) for person in (second, door.person, waiting, stranger, second)]
    items += [
        item(second, door.activity.starts_at - timedelta(hours=3)),
        item(second, door.activity.ends_at),
        item(second, frozen.now + timedelta(hours=1)),
        item(ids.new_id(), at, walk_in=True),
    ]
    sent = door.upload(items)
    assert results(sent) == [
        ("accepted", None),
        ("already", None),
        ("conflict", "sign_up_not_confirmed"),
        ("conflict", "no_such_sign_up"),
        ("already", None),
        ("conflict", "outside_activity"),
        ("conflict", "outside_activity"),
        ("conflict", "clock_ahead"),
        ("conflict", "no_such_person"),
    ]
    with database.reading() as db:
        before = db.execute(select(CheckIn).order_by(CheckIn.person_id)).all()
    frozen.move(minutes=1)
    again = door.upload(items)
    assert results(again)[0] == ("already", None)
    with database.reading() as db:
        assert db.execute(select(CheckIn).order_by(CheckIn.person_id)).all() == before, "a replay"
        row = db.execute(
            select(CheckIn.checked_in_at, CheckIn.claimed_at, CheckIn.arrived_at, CheckIn.checked_in_by).where(
                CheckIn.person_id == second.id
            )
        ).one()  # fmt: skip
    received = frozen.now - timedelta(minutes=1)
    assert row == (received, at, at, door.officer_id), "received by our clock, arrived by the device's"


@pytest.mark.parametrize("language", Language)
def test_each_conflict_says_why_in_the_language_asked_for(door, frozen, make, language):
    waiting, stranger = make.sign_up(door.activity, state=SignUpState.WAITLISTED).person_id, make.person()
    at = frozen.now
    items = [
        item(door.person, at),
        item(waiting, at),
        item(stranger, at),
        item(door.person, at - timedelta(hours=3)),
        item(door.person, at + timedelta(hours=1)),
        item(door.person, at, code="AAAAAAAA"),
        item(ids.new_id(), at, walk_in=True),
    ]
    sent = door.officer().post(
        f"{door.url}/check-ins", json={"items": items}, headers={"Accept-Language": language.value}
    )
    told = [(row["code"], row["detail"]) for row in sent.json["results"]]
    assert told[0] == (None, None)
    assert {code for code, _ in told[1:]} == set(ScanConflict)
    for code, detail in told[1:]:
        assert detail == ScanConflict(code).sentence(language)
        assert detail.isascii() is (language is Language.EN)


def test_batches_are_bounded_in_size_and_time(door, frozen):
    one = item(door.person, frozen.now)
    assert door.upload([]).json["errors"][0]["code"] == "too_short"
    assert door.upload([one] * 501).json["errors"][0]["code"] == "too_long"
    frozen.set(door.activity.ends_at + timedelta(days=7))
    assert door.upload([one]).json["code"] == "activity_over"


def test_what_reaches_us_after_the_closure_counts_and_gives_the_hours_that_are_due(
    door, frozen, make, as_user
):
    frozen.set(door.activity.ends_at)
    door.officer().post(f"{door.url}/closure", json={"summary": "完"})
    walk_in, brief = make.person(), make.person()
    make.sign_up(door.activity, brief)
    frozen.set(door.activity.ends_at + timedelta(days=7, seconds=-1))
    start = door.activity.starts_at
    items = [
        item(door.person, start),
        item(walk_in, start, walk_in=True),
        item(brief, start),
        item(brief, start + timedelta(minutes=1), kind="out"),
    ]
    for _ in range(2):
        door.upload(items)
    minutes = lambda person: as_user(person.id).get("/v1/me/hours").json["total_minutes"]
    assert [minutes(person) for person in (door.person, walk_in, brief)] == [120, 120, 0]
    assert as_user(door.person.id).get(f"{door.url}/sign-up").json["attendance"] == "attended"
    frozen.move(seconds=1)
    assert door.upload(items).json["code"] == "activity_over"


def test_hours_that_were_reversed_do_not_come_back_by_an_upload(door, frozen, as_user):
    frozen.set(door.activity.ends_at)
    items = [item(door.person, door.activity.starts_at)]
    door.upload(items)
    door.officer().post(f"{door.url}/closure", json={"summary": "完"})
    [listed] = door.officer().get(f"{door.url}/hours").json["items"]
    door.officer().post(f"/v1/hours-entries/{listed['entry_id']}/reversal", json={"reason": "代签"})
    door.upload([item(door.person, door.activity.starts_at - timedelta(minutes=1))])
    assert as_user(door.person.id).get("/v1/me/hours").json["total_minutes"] == 0


def came(door):
    return item(door.person, door.activity.starts_at)


def left(door, minutes):
    return item(door.person, door.activity.starts_at + timedelta(minutes=minutes), kind="out")


def close(door):
    answer = door.officer().post(f"{door.url}/closure", json={"summary": "完"})
    assert answer.status_code == 200


def hours(door):
    """Return (minutes, reason) of the one person with a place, as staff see them."""
    [row] = door.officer().get(f"{door.url}/hours").json["items"]
    return row["minutes"], row["reason"]


@pytest.mark.parametrize("order", [*itertools.permutations(["came", "left", "closed"])])
def test_hours_are_the_same_in_whatever_order_arrival_departure_and_closure_reach_us(door, frozen, order):
    frozen.set(door.activity.ends_at)
    steps = {
        "came": lambda: door.upload([came(door)]),
        "left": lambda: door.upload([left(door, 10)]),
        "closed": lambda: close(door),
    }
    for step in order:
        steps[step]()
    assert hours(door) == (0, "too_short")


def test_hours_that_a_later_report_takes_back_are_reversed_by_the_system_and_given_again(
    door, frozen, as_user, database
):
    frozen.set(door.activity.ends_at)
    door.upload([came(door)])
    close(door)
    youth = as_user(door.person.id)
    certificate = youth.post("/v1/me/hours-certificates", json={}).headers["Location"]
    door.upload([left(door, 10)])
    [back, award] = youth.get("/v1/me/hours").json["items"]
    assert (award["kind"], award["reversed"]) == ("award", True)
    assert (back["kind"], back["minutes"], back["reverses_id"]) == ("reversal", -120, award["id"])
    assert "在场时间未达到要求" in back["reason"]
    assert youth.get(certificate).json["status"] == "superseded"
    door.upload([left(door, 10)])
    door.upload([left(door, 140)])
    assert hours(door) == (120, None)
    found = youth.get("/v1/me/hours").json
    assert (found["total_minutes"], found["awarded_minutes"], found["reversed_minutes"]) == (120, 240, 120)
    with database.reading() as db:
        assert list(
            db.execute(
                select(HoursEntry.kind, HoursEntry.created_by).order_by(HoursEntry.created_at, HoursEntry.id)
            )
        ) == [("award", None), ("reversal", None), ("award", None)]
        told = db.scalars(
            select(OutboxEntry.kind).where(OutboxEntry.kind.like("hours%")).order_by(OutboxEntry.seq)
        )
        assert list(told) == ["hours_awarded", "hours_withdrawn", "hours_awarded"]


def test_what_staff_decided_about_hours_stays_whatever_is_reported_later(door, frozen):
    frozen.set(door.activity.ends_at)
    door.upload([came(door), left(door, 10)])
    close(door)
    body = {"person_id": str(door.person.id), "minutes": 45, "reason": "在后台帮忙"}
    made = door.officer().post(f"{door.url}/hours", json=body).json
    for minutes in (20, 150):
        door.upload([left(door, minutes)])
        assert hours(door) == (45, None)
    door.officer().post(f"/v1/hours-entries/{made['id']}/reversal", json={"reason": "误记"})
    door.upload([left(door, 151)])
    close(door)
    assert hours(door) == (0, "reversed")


def test_the_earliest_arrival_and_the_latest_departure_count(door, frozen, make, database):
    door.scan()
    colleague = make.staff(Role.OFFICER, org=door.org)
    at = frozen.now
    frozen.move(hours=2)
    sent = door.upload(
        [
            item(door.person, at - timedelta(minutes=9)),
            item(door.person, at - timedelta(minutes=4)),
            item(door.person, at + timedelta(minutes=70), kind="out"),
            item(door.person, at + timedelta(minutes=60), kind="out"),
        ]
    )
    assert [result for result, _ in results(sent)] == ["accepted", "already", "accepted", "already"]
    assert presence(database, door.person) == (
        at - timedelta(minutes=9), at + timedelta(minutes=70), "staff", door.officer_id, False
    )  # fmt: skip
    assert colleague.id != door.officer_id


def test_who_is_seen_leaving_was_there(door, frozen, database):
    frozen.set(door.activity.ends_at + timedelta(hours=2))
    last = door.activity.ends_at + timedelta(minutes=59)
    sent = door.upload(
        [
            item(door.person, last, kind="out"),
            item(door.person, last + timedelta(minutes=1), kind="out"),
        ]
    )
    assert results(sent) == [("accepted", None), ("conflict", "outside_activity")]
    assert presence(database, door.person)[:2] == (last, last)
    door.upload([item(door.person, door.activity.starts_at)])
    assert presence(database, door.person)[:2] == (door.activity.starts_at, last)


def test_a_scanned_code_has_to_be_of_this_activity_and_time(door, frozen, make, database):
    other = make.activity(org=door.org, starts_at=frozen.now)
    code = door.code()
    foreign = door.officer().get(f"/v1/activities/{other.id}/check-in-code").json["code"]
    at = frozen.now
    frozen.move(hours=1)
    five = timedelta(minutes=5)
    sent = door.upload(
        [
            item(door.person, at, code=foreign),
            item(door.person, at + timedelta(minutes=6), code=code),
            item(door.person, at - timedelta(minutes=6), code=code),
        ]
    )
    assert results(sent) == [("conflict", "check_in_code_invalid")] * 3
    assert presence(database, door.person) is None
    sent = door.upload([item(door.person, at + five, code=code), item(door.person, at - five, code=code)])
    assert results(sent) == [("accepted", None)] * 2, "clocks may differ by five minutes"


@pytest.fixture
def crowd(door, frozen, make, as_user, database):
    """Two confirmed (who came), and one person in every other state that can walk in; the queue has closed."""
    second = make.person()
    as_user(second.id).put(f"{door.url}/sign-up", json={})
    others = {
        state: make.sign_up(door.activity, state=state).person_id
        for state in (SignUpState.APPLIED, SignUpState.REFUSED, SignUpState.WAITLISTED)
    }
    with database.transaction() as session:
        session.execute(update(Activity).values(offers_from_at=frozen.now, queue_closes_at=frozen.now))
    return SimpleNamespace(confirmed=[door.person, second], others=others, stranger=make.person())


def test_whoever_walks_in_is_taken_in_beyond_the_capacity_and_marked(door, frozen, crowd, make, database):
    at = frozen.now
    walking = [*crowd.others.values(), crowd.stranger.id]
    items = [item(person, at) for person in crowd.confirmed]
    items += [
        item(person, at + timedelta(minutes=minute), walk_in=True) for minute, person in enumerate(walking, 1)
    ]
    frozen.move(minutes=30)
    refused = door.upload([{**one, "walk_in": False} for one in items[2:]])
    assert results(refused) == [
        *[("conflict", "sign_up_not_confirmed")] * 3,
        ("conflict", "no_such_sign_up"),
    ]
    sent = door.upload(items)
    assert results(sent) == [("accepted", None)] * 6
    assert [row["over_capacity"] for row in sent.json["results"]] == [False, False, True, True, True, True]
    with database.reading() as db:
        assert db.scalar(
            select(func.count()).select_from(SignUp).where(SignUp.state == SignUpState.WALK_IN)
        ) == len(walking)
        assert db.execute(select(Activity.taken, Activity.waiting, Activity.applied)).one() == (2, 0, 0)
    listed = door.officer().get(f"{door.url}/sign-ups").json["items"]
    assert [row["attendance"] for row in listed] == ["attended"] * 2 + ["walk_in"] * 4


def test_a_walk_in_takes_the_room_of_who_has_left_and_not_of_who_may_still_come(
    door, frozen, crowd, make, database
):
    at = frozen.now
    frozen.move(hours=1)
    minutes = lambda number: at + timedelta(minutes=number)
    first, second, third, fourth = (make.person() for _ in range(4))
    sent = door.upload(
        [
            item(crowd.confirmed[0], minutes(0)),
            item(first, minutes(1), walk_in=True),  # the other confirmed one has not come, and has a place
            item(crowd.confirmed[0], minutes(3), kind="out"),
            item(first, minutes(3), kind="out", walk_in=True),
            item(second, minutes(3), walk_in=True),
            item(third, minutes(4), walk_in=True),
            item(second, minutes(5), kind="out", walk_in=True),
            item(third, minutes(6), kind="out", walk_in=True),
            item(fourth, minutes(6), walk_in=True),
        ]
    )
    over = {row["person_id"]: row["over_capacity"] for row in sent.json["results"]}
    walked_in = [first, second, third, fourth]
    assert [over[str(person.id)] for person in walked_in] == [True, False, True, False]
    # That they came after all, whenever that is reported, changes nothing.
    door.upload([item(crowd.confirmed[1], minutes(0))])
    assert [presence(database, person).over_capacity for person in walked_in] == [True, False, True, False]


def left_to_others(door, as_user, make):
    """Return how many places the activity shows, whether it is listed as open, and what becomes of somebody who signs up now."""
    newcomer = as_user(make.person().id)
    seen = newcomer.get(door.url).json
    listed = newcomer.get("/v1/activities?open=true").json["items"]
    got = newcomer.put(f"{door.url}/sign-up", json={}).json
    if "state" in got:
        newcomer.delete(f"{door.url}/sign-up")
    return seen["places_left"], bool(listed), got.get("state") or got["code"]


def close_queue(database, at):
    with database.transaction() as session:
        session.execute(update(Activity).values(offers_from_at=at, queue_closes_at=at))


def test_a_walk_in_uses_up_a_free_place_once_the_queue_has_closed(door, frozen, make, as_user, database):
    walk_in = make.person()
    door.upload([item(walk_in, frozen.now, walk_in=True)])
    assert left_to_others(door, as_user, make) == (1, True, "confirmed"), "until then it is the list's"
    close_queue(database, frozen.now)
    assert left_to_others(door, as_user, make) == (0, False, "queue_closed")
    door.upload([item(make.person(), frozen.now, walk_in=True)])
    assert left_to_others(door, as_user, make) == (0, False, "queue_closed")


def test_a_walk_in_who_leaves_by_the_code_makes_room(door, frozen, make, as_user, database):
    walk_in, other = make.person(), make.person()
    close_queue(database, frozen.now)
    door.upload([item(walk_in, frozen.now, walk_in=True)])
    left = as_user(walk_in.id).post(f"{door.url}/check-out", json={"code": door.code()})
    assert left.status_code == 200
    assert left_to_others(door, as_user, make) == (1, True, "confirmed")
    frozen.move(minutes=1)
    door.upload([item(other, frozen.now, walk_in=True)])
    assert presence(database, other).over_capacity is False
    assert left_to_others(door, as_user, make) == (0, False, "queue_closed")


def test_what_a_walk_in_uses_up_is_not_given_to_an_application(door, frozen, make, as_user, database):
    close_queue(database, frozen.now)
    door.upload([item(make.person(), frozen.now, walk_in=True)])
    applied = make.sign_up(door.activity, state=SignUpState.APPLIED)
    with database.transaction() as session, lifted(session.connection(), "activity_keeps_admission"):
        session.execute(
            update(Activity).values(
                admission_mode=AdmissionMode.REVIEW, waitlist_capacity=5, version=Activity.version + 1
            )
        )
    body = {"items": [{"sign_up_id": str(applied.id), "decision": "accept"}]}
    assert door.officer().post(f"{door.url}/decisions", json=body).status_code == 200
    with database.reading() as db:
        assert db.scalar(select(SignUp.state).where(SignUp.id == applied.id)) is SignUpState.WAITLISTED


def test_a_walk_in_and_a_sign_up_at_once_do_not_get_the_same_place(door, frozen, make, as_user, database):
    close_queue(database, frozen.now)
    with database.transaction() as session:
        session.execute(update(Activity).values(capacity=Activity.capacity + 6))
    officer, places = door.officer(), 7
    newcomers = [as_user(make.person().id) for _ in range(places)]
    items = [item(make.person(), frozen.now, walk_in=True) for _ in range(places)]
    at_once(
        [
            *(lambda client=client: client.put(f"{door.url}/sign-up", json={}) for client in newcomers),
            *(lambda one=one: officer.post(f"{door.url}/check-ins", json={"items": [one]}) for one in items),
        ]
    )
    with database.reading() as db:
        taken, capacity, present = db.execute(
            select(Activity.taken, Activity.capacity, Activity.walk_ins_present)
        ).one()
        beyond = db.scalar(select(func.count()).select_from(CheckIn).where(CheckIn.over_capacity))
    assert present == places
    assert beyond == taken + present - capacity, (
        "each who is beyond it is marked, and nobody signed up beyond it"
    )


def test_an_offer_that_walks_in_is_free_for_the_next(door, frozen, make, as_user, database):
    second, offered, waiting = make.person(), make.person(), make.person()
    with database.transaction() as session:
        session.execute(update(Activity).values(capacity=3))
    as_user(second.id).put(f"{door.url}/sign-up", json={})
    make.sign_up(
        door.activity,
        offered,
        state=SignUpState.OFFERED,
        offered_at=frozen.now,
        offer_expires_at=door.activity.starts_at,
    )
    as_user(waiting.id).put(f"{door.url}/sign-up", json={})
    assert state_of(database, waiting) is SignUpState.WAITLISTED
    assert results(door.upload([item(offered, frozen.now, walk_in=True)])) == [("accepted", None)]
    assert state_of(database, offered) is SignUpState.WALK_IN
    assert state_of(database, waiting) is SignUpState.CONFIRMED
    with database.reading() as db:
        told = db.scalars(select(OutboxEntry.person_id).where(OutboxEntry.kind == "sign_up_promoted"))
        assert list(told) == [waiting.id]


@pytest.mark.parametrize("status", [PersonStatus.SUSPENDED, PersonStatus.CLOSED])
def test_who_has_no_account_any_more_does_not_walk_in(door, frozen, make, status):
    gone = make.person(status=status)
    assert results(door.upload([item(gone, frozen.now, walk_in=True)])) == [("conflict", "no_such_person")]


@pytest.mark.parametrize("state", [SignUpState.REFUSED, SignUpState.WAITLISTED])
def test_a_sign_up_from_before_lets_nobody_in_whose_account_was_suspended(
    door, frozen, make, database, state
):
    gone = make.person(status=PersonStatus.SUSPENDED)
    make.sign_up(door.activity, gone, state=state)
    assert results(door.upload([item(gone, frozen.now, walk_in=True)])) == [("conflict", "no_such_person")]
    assert state_of(database, gone) is state


def test_who_had_a_place_is_taken_in_whatever_became_of_the_account(door, frozen, make):
    gone = make.person(status=PersonStatus.SUSPENDED)
    make.sign_up(door.activity, gone)
    assert results(door.upload([item(gone, frozen.now)])) == [("accepted", None)]


def test_more_places_leave_fewer_walk_ins_beyond_them(door, frozen, crowd, database):
    at = frozen.now
    items = [item(person, at) for person in crowd.confirmed]
    door.upload([*items, item(crowd.stranger, at + timedelta(minutes=1), walk_in=True)])
    over = lambda: presence(database, crowd.stranger).over_capacity
    assert over() is True
    wider = previews.as_sent(door.officer(), door.url, capacity=3)
    assert previews.edit(door.officer(), door.url, wider).status_code == 200
    assert over() is False
    previews.edit(door.officer(), door.url, {**wider, "capacity": 2})
    assert over() is True


def test_a_confirmed_person_is_no_walk_in_whatever_the_device_thinks(door, frozen, database):
    door.upload([item(door.person, frozen.now, walk_in=True)])
    assert state_of(database, door.person) is SignUpState.CONFIRMED


STEP = 17  # minutes; of an activity of 150, 90 of which bring hours
REPORTS = st.lists(
    st.tuples(
        st.integers(0, 6),  # who
        st.integers(0, 8),  # when, in steps
        st.sampled_from(["in", "in", "out"]),
        st.booleans(),  # taken for a walk-in
        st.integers(0, 1),  # by which device
    ),
    max_size=12,
)


def outcome(door, database):
    """Return what staff see of everybody's hours, the sums of the ledger, presences, sign-ups and counters."""
    listed = door.officer().get(f"{door.url}/hours").json["items"]
    hours_of = sorted((row["person"]["id"], row["minutes"], row["reason"]) for row in listed)
    in_force = func.sum(
        case((HoursEntry.kind == HoursKind.REVERSAL, -HoursEntry.minutes), else_=HoursEntry.minutes)
    )
    with database.reading() as db:
        return (
            hours_of,
            db.execute(
                select(HoursEntry.person_id, HoursEntry.activity_id, in_force)
                .group_by(HoursEntry.person_id, HoursEntry.activity_id)
                .having(in_force != 0)
                .order_by(HoursEntry.person_id)
            ).all(),
            db.execute(
                select(
                    CheckIn.person_id, CheckIn.arrived_at, CheckIn.left_at, CheckIn.method, CheckIn.claimed_at,
                    CheckIn.checked_in_by, CheckIn.over_capacity,
                ).order_by(CheckIn.person_id)
            ).all(),
            db.execute(select(SignUp.person_id, SignUp.state).order_by(SignUp.person_id)).all(),
            db.execute(select(Activity.taken, Activity.waiting, Activity.applied).where(Activity.id == door.activity.id)).all(),
        )  # fmt: skip


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(reports=REPORTS, data=st.data())
def test_two_devices_leave_the_same_rows_and_hours_in_whatever_order_they_upload(
    reports, data, door, frozen, crowd, make, as_user, database
):
    devices = [door.officer_id, make.staff(Role.OFFICER, org=door.org).id]
    people = [
        *(person.id for person in crowd.confirmed),
        *crowd.others.values(),
        crowd.stranger.id,
        ids.new_id(),
    ]
    start = door.activity.starts_at
    frozen.set(door.activity.ends_at + timedelta(hours=1))

    def reset():
        with database.transaction() as session:
            for table in (HoursEntry, CheckIn):
                session.execute(delete(table))
            session.execute(delete(SignUp).where(SignUp.person_id == crowd.stranger.id))
            for state, person_id in crowd.others.items():
                session.execute(update(SignUp).where(SignUp.person_id == person_id).values(state=state))
            session.execute(update(Activity).values(status=ActivityStatus.PUBLISHED))

    def send(device, batch):
        items = [
            item(people[who], start + timedelta(minutes=when * STEP), kind=kind, walk_in=walk_in)
            for who, when, kind, walk_in, _ in batch
        ]
        as_user(devices[device]).post(f"{door.url}/check-ins", json={"items": items})

    def split(order):
        """Batches of neighbours of one device, some of them cut."""
        batches = []
        for device, neighbours in itertools.groupby(order, key=lambda report: report[4]):
            group = list(neighbours)
            cut = data.draw(st.integers(0, len(group)))
            batches += [(device, part) for part in (group[:cut], group[cut:]) if part]
        return batches

    def in_some_order(order):
        batches = split(order)
        closed_before = data.draw(st.integers(0, len(batches)))
        reset()
        for device, batch in batches[:closed_before]:
            send(device, batch)
        close(door)
        for device, batch in batches[closed_before:]:
            send(device, batch)
        return outcome(door, database)

    assert in_some_order(data.draw(st.permutations(reports))) == in_some_order(reports)


def test_an_upload_waits_for_a_check_in_on_its_way_and_keeps_both(door, frozen, make, database):
    """The code on one phone and the staff's upload at the same moment are one presence, with the earlier arrival."""
    people = [door.person, *(make.person() for _ in range(7))]
    with database.transaction() as session:
        session.execute(update(Activity).values(capacity=8))
    for person in people[1:]:
        make.sign_up(door.activity, person)
    earlier = frozen.now - timedelta(minutes=3)
    code, officer = door.code(), door.officer()
    callers = [door.as_user(person.id) for person in people]
    with ThreadPoolExecutor(len(people) + 1) as threads:
        scans = [
            threads.submit(lambda caller=caller: caller.post(f"{door.url}/check-in", json={"code": code}))
            for caller in callers
        ]
        items = [item(person, earlier) for person in people]
        batch = threads.submit(lambda: officer.post(f"{door.url}/check-ins", json={"items": items}))
        assert {scan.result().status_code for scan in scans} == {200}
        assert {result for result, _ in results(batch.result())} == {"accepted"}
    with database.reading() as db:
        assert set(db.execute(select(CheckIn.arrived_at, CheckIn.method)).all()) == {(earlier, "staff")}


def test_a_batch_of_any_size_takes_as_many_statements(door, frozen, make, app, database):
    with database.transaction() as session:
        session.execute(update(Activity).values(capacity=400))
    people = [make.person() for _ in range(120)]
    for person in people[:60]:
        make.sign_up(door.activity, person)
    officer = door.officer()

    def count(confirmed, walking):
        items = [item(person, frozen.now) for person in confirmed]
        items += [item(person, frozen.now, walk_in=True) for person in walking]
        with count_statements(app) as sent:
            answer = officer.post(f"{door.url}/check-ins", json={"items": items})
        assert set(results(answer)) == {("accepted", None)}
        return len(sent)

    assert count(people[:1], people[60:61]) == count(people[1:60], people[61:]) <= 11
