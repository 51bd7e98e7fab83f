"""Signing many people up at once: in the order given, by the rules of one, a result for each."""

from __future__ import annotations

from datetime import timedelta

import pytest
from activities.test_races import at_once, check_invariants
from counting import count_statements
from sqlalchemy import select

from engage.activities.models import ActivityStatus, AdmissionMode, Audience, Pool, SignUpState
from engage.core import ids
from engage.core.config import Overlap
from engage.identity.models import PersonStatus
from engage.messages.models import OutboxEntry
from engage.orgs.models import Role


@pytest.fixture
def desk(frozen, make, as_user):
    """An activity of two places and three turns, and its officer."""

    class Desk:
        org = make.org()
        officer_id = make.staff(Role.OFFICER, org=org).id
        activity = make.activity(org=org, capacity=2, waitlist_capacity=3)

        @property
        def officer(self):
            return as_user(self.officer_id)

        def send(self, people, activity=None, caller=None, **headers):
            items = [item if isinstance(item, dict) else {"person_id": str(item.id)} for item in people]
            return (caller or self.officer).post(
                f"/v1/activities/{(activity or self.activity).id}/sign-up-imports",
                json={"items": items},
                headers=headers,
            )

        def outcome(self, people, activity=None):
            answer = self.send(people, activity)
            assert answer.status_code == 200, answer.json
            return [item["code"] or item["result"] for item in answer.json["results"]]

    return Desk()


def test_places_and_turns_go_in_the_order_given_and_are_told(desk, make, database):
    people = [make.person() for _ in range(6)]
    answer = desk.send(people)
    assert [item["person_id"] for item in answer.json["results"]] == [str(person.id) for person in people]
    assert [item["result"] for item in answer.json["results"]] == ["confirmed"] * 2 + ["waitlisted"] * 3 + [
        "refused"
    ]
    refused = answer.json["results"][5]
    assert (refused["code"], refused["detail"]) == ("activity_full", "名额和候补都已满。")
    assert {item["detail"] for item in answer.json["results"][:5]} == {None}
    again = desk.send(people[5:], **{"Accept-Language": "en"})
    assert again.json["results"][0]["detail"] == "All places and the whole queue are taken."
    assert check_invariants(database, desk.activity.id) == (2, 3)
    with database.reading() as db:
        told = db.execute(select(OutboxEntry.person_id, OutboxEntry.kind)).all()
    kinds = ["sign_up_confirmed"] * 2 + ["sign_up_waitlisted"] * 3
    assert sorted(told) == sorted((person.id, kind) for person, kind in zip(people[:5], kinds, strict=True))


def test_a_repetition_changes_nothing(desk, make, database):
    people = [make.person() for _ in range(3)]
    assert desk.outcome([*people, people[0]]) == ["confirmed", "confirmed", "waitlisted", "already"]
    assert desk.outcome(people) == ["already"] * 3
    assert check_invariants(database, desk.activity.id) == (2, 1)
    key = {"Idempotency-Key": "list-1"}
    first = desk.send([make.person()], **key)
    assert desk.send([make.person()], **key).json["code"] == "idempotency_key_reused"
    assert first.json["results"][0]["result"] == "waitlisted"


def test_one_who_is_refused_keeps_nobody_else_out(desk, make, frozen):
    activity = make.activity(
        org=desk.org,
        capacity=9,
        min_age=18,
        max_age=25,
        county_codes=["140502"],
        questions=[
            {
                "id": "q1",
                "kind": "number",
                "label": "几位？",
                "required": True,
                "choices": [],
                "max_length": None,
                "min": 0,
                "max": 3,
            }
        ],
    )
    good = make.person()
    people = [
        make.person(birth_on=None),
        make.person(birth_on=frozen.now.date().replace(year=1990)),
        make.person(hometown_code="140524", current_code="140524"),
        make.person(status=PersonStatus.SUSPENDED),
        {"person_id": str(ids.new_id())},
        {"person_id": str(make.person().id), "answers": [{"question_id": "q1", "value": 7}]},
        {"person_id": str(make.person().id), "answers": [{"question_id": "q1", "value": 2}]},
        good,
    ]
    assert desk.outcome(people, activity) == [
        "profile_incomplete",
        "age_not_allowed",
        "county_not_allowed",
        "no_such_person",
        "no_such_person",
        "invalid_input",
        "confirmed",
        "confirmed",
    ]
    assert desk.outcome([good], activity) == ["already"]


def test_membership_limits_and_overlaps_decide_as_for_one(desk, make, frozen):
    members_only = make.activity(org=desk.org, members_only=True)
    member, other = make.person(), make.person()
    make.membership(member, desk.org)
    assert desk.outcome([member, other], members_only) == ["confirmed", "members_only"]
    strict = make.activity(org=desk.org, overlap=Overlap.REFUSE)
    assert desk.outcome([member, other], strict) == ["overlaps", "confirmed"]
    project = make.project(desk.org, daily_limit=1, weekly_limit=2)
    same_day, next_day, day_after = (
        make.activity(
            org=desk.org,
            project_id=project.id,
            starts_at=frozen.now + timedelta(hours=24 * day),
            ends_at=frozen.now + timedelta(hours=24 * day + 1),
            sign_up_closes_at=frozen.now + timedelta(hours=24 * day),
        )
        for day in (1, 2, 3)
    )
    again = make.activity(org=desk.org, project_id=project.id)
    assert desk.outcome([member], same_day) == ["confirmed"]
    assert desk.outcome([member, other], again) == ["daily_limit_reached", "confirmed"]
    assert desk.outcome([member], next_day) == ["confirmed"]
    assert desk.outcome([member, other], day_after) == ["weekly_limit_reached", "confirmed"]


def test_pools_are_respected_and_nobody_passes_who_waits(desk, make, as_user, frozen, database):
    body = {
        "title": "分池", "project_id": str(make.project(desk.org).id), "org_id": str(desk.org.id), "place_name": "广场",
        "county_code": "140502", "starts_at": (frozen.now + timedelta(days=5)).isoformat(),
        "ends_at": (frozen.now + timedelta(days=5, hours=2)).isoformat(),
        "sign_up_opens_at": (frozen.now - timedelta(hours=1)).isoformat(),
        "sign_up_closes_at": (frozen.now + timedelta(days=4)).isoformat(), "capacity": 2, "waitlist_capacity": 9,
        "admission": {"pools": [
            {"name": "城区", "audience": "counties", "county_codes": ["140502"], "capacity": 1},
            {"name": "团员", "audience": "members", "capacity": 1},
        ]},
    }  # fmt: skip
    url = desk.officer.post("/v1/activities", json=body).headers["Location"]
    desk.officer.post(f"{url}/publication")
    local = [make.person() for _ in range(2)]
    member = make.person(hometown_code="140524", current_code="140524")
    make.membership(member, desk.org)
    stranger = make.person(hometown_code="140524", current_code="140524")

    class Pooled:
        id = url.rsplit("/", 1)[1]

    assert desk.outcome([*local, member, stranger], Pooled) == [
        "confirmed",
        "waitlisted",
        "confirmed",
        "no_pool_for_you",
    ]


def test_a_place_that_others_wait_for_is_not_taken_before_them(desk, make, frozen, database):
    """At night nothing is offered; what is free belongs to who waits all the same."""
    hour = timedelta(hours=1)
    activity = make.activity(org=desk.org, capacity=1, starts_at=frozen.now + 2 * hour, offers_from_at=frozen.now - hour, queue_closes_at=frozen.now + hour, quiet_from=540, quiet_until=780, pools_merged=False, pools_merge_at=frozen.now + hour)  # fmt: skip
    make.add(
        Pool(
            activity_id=activity.id,
            position=1,
            name="所有人",
            audience=Audience.EVERYBODY,
            county_codes=[],
            capacity=1,
        )
    )
    make.sign_up(activity, state=SignUpState.WAITLISTED, pool_mask=1)
    assert desk.outcome([make.person(), make.person()], activity) == ["waitlisted", "waitlisted"]


def test_who_has_too_few_points_waits_as_when_they_press_themselves(
    desk, make, frozen, database, monkeypatch
):
    monkeypatch.setattr(database, "settings", database.settings.replace(credit=True))
    starts_at = frozen.now + timedelta(days=3)
    activity = make.activity(org=desk.org, capacity=9, starts_at=starts_at, ends_at=starts_at + timedelta(hours=1))  # fmt: skip
    poor, rich = make.person(), make.person()
    make.credit_entry(make.sign_up(make.activity(), poor), points=-41)
    make.credit_entry(make.sign_up(make.activity(), rich), points=-40)
    assert desk.outcome([poor, rich, make.person()], activity) == ["waitlisted", "confirmed", "confirmed"]
    entry = desk.officer.get(f"/v1/activities/{activity.id}/sign-ups?state=waitlisted").json["items"][0]
    assert entry["held_until"] == "2026-10-03T10:00:00+08:00"
    frozen.set(starts_at - timedelta(hours=24))
    later = make.person()
    make.credit_entry(make.sign_up(make.activity(), later), points=-41)
    assert desk.outcome([later], activity) == ["confirmed"]


def test_a_lottery_takes_entries_and_review_is_passed_by_staff(desk, make):
    lottery = make.activity(org=desk.org, capacity=1, admission_mode=AdmissionMode.LOTTERY)
    assert desk.outcome([make.person(), make.person()], lottery) == ["applied", "applied"]
    review = make.activity(org=desk.org, capacity=1, admission_mode=AdmissionMode.REVIEW)
    assert desk.outcome([make.person(), make.person()], review) == ["confirmed", "waitlisted"]


def test_entries_that_are_closed_take_nobody_and_say_so(desk, make, as_user, frozen):
    lottery = make.activity(org=desk.org, capacity=9, admission_mode=AdmissionMode.LOTTERY)
    frozen.set(lottery.sign_up_closes_at)
    late = make.person()
    assert desk.outcome([late], lottery) == ["sign_up_closed"]
    by_staff = desk.officer.post(f"/v1/activities/{lottery.id}/sign-ups", json={"person_id": str(late.id)})
    assert by_staff.json["code"] == "sign_up_closed", "as for one"


def test_applications_are_accepted_by_it(desk, make, as_user, database):
    review = make.activity(org=desk.org, capacity=1, waitlist_capacity=1, admission_mode=AdmissionMode.REVIEW)
    url = f"/v1/activities/{review.id}"
    people = [make.person() for _ in range(4)]
    ids_of = [as_user(person.id).put(f"{url}/sign-up", json={}).json["id"] for person in people]
    refused = {"sign_up_id": ids_of[1], "decision": "refuse", "reason": "材料不全"}
    assert desk.officer.post(f"{url}/decisions", json={"items": [refused]}).status_code == 200
    assert desk.outcome([people[0], people[1], people[2], people[0]], review) == [
        "confirmed",
        "waitlisted",
        "activity_full",
        "already",
    ]
    states = [as_user(person.id).get(f"{url}/sign-up").json["state"] for person in people]
    assert states == ["confirmed", "waitlisted", "applied", "applied"]
    assert check_invariants(database, review.id) == (1, 1)
    with database.reading() as db:
        told = db.execute(select(OutboxEntry.person_id, OutboxEntry.kind).order_by(OutboxEntry.seq)).all()
    assert told == [
        (people[1].id, "application_refused"),
        (people[0].id, "application_accepted"),
        (people[1].id, "application_waitlisted"),
    ]


def test_when_it_takes_nobody(desk, make, frozen, as_user):
    for status in (ActivityStatus.DRAFT, ActivityStatus.CANCELLED):
        activity = make.activity(org=desk.org, status=status)
        answer = desk.send([make.person()], activity)
        assert (answer.status_code, answer.json["code"]) == (409, "wrong_activity_state")
    closed = make.activity(
        org=desk.org, capacity=1, queue_closes_at=frozen.now, starts_at=frozen.now + timedelta(hours=1)
    )
    assert desk.outcome([make.person(), make.person()], closed) == ["confirmed", "queue_closed"]
    frozen.set(desk.activity.ends_at)
    assert desk.send([make.person()]).json["code"] == "activity_over"
    assert desk.send([make.person()], make.activity(org=make.org())).json["code"] == "not_allowed"


@pytest.mark.parametrize("count", [0, 501])
def test_the_list_is_bounded(desk, make, count):
    answer = desk.send([{"person_id": str(ids.new_id())}] * count)
    assert (answer.status_code, answer.json["errors"][0]["pointer"]) == (422, "/items")


@pytest.mark.parametrize(("role", "status"), [(Role.OFFICER, 200), (Role.ANALYST, 403), (None, 403)])
def test_who_may_import(desk, make, as_user, role, status):
    caller = make.staff(role, org=desk.org) if role else make.person()
    assert desk.send([make.person()], caller=as_user(caller.id)).status_code == status
    elsewhere = make.staff(Role.OFFICER, org=make.org())
    assert desk.send([make.person()], caller=as_user(elsewhere.id)).status_code == 403


def test_each_person_takes_one_statement_more(desk, make, app, database):
    project = make.project(desk.org, daily_limit=3)
    activity = make.activity(org=desk.org, project_id=project.id, capacity=99, members_only=True)

    def count(size):
        people = [make.person() for _ in range(size)]
        for person in people:
            make.membership(person, desk.org)
        officer = desk.officer
        with count_statements(app) as sent:
            desk.send(people, activity, officer)
        return len(sent)

    each = 2 if database.is_sqlite else 1
    assert count(11) - count(1) == 10 * each


def test_two_imports_and_pressing_at_once(desk, make, as_user, database):
    activity = make.activity(org=desk.org, capacity=5, waitlist_capacity=50)
    people = [make.person() for _ in range(10)]
    officers = [as_user(make.staff(Role.OFFICER, org=desk.org).id) for _ in range(2)]
    clients = [as_user(person.id) for person in people[:5]]
    answers = at_once(
        [
            lambda: desk.send(people, activity, officers[0]),
            lambda: desk.send(people[::-1], activity, officers[1]),
            *(
                lambda client=client: client.put(f"/v1/activities/{activity.id}/sign-up", json={})
                for client in clients
            ),
        ]
    )
    assert [answer.status_code for answer in answers] == [200] * 7
    assert check_invariants(database, activity.id) == (5, 5)
    given = [item["result"] for answer in answers[:2] for item in answer.json["results"]]
    assert given.count("already") >= 10
    assert SignUpState.CONFIRMED.value in {answer.json["state"] for answer in answers[2:]} | set(given)
