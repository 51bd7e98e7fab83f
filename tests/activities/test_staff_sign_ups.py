"""What staff do with sign-ups, and answers to questions."""

from __future__ import annotations

from datetime import timedelta

import pytest
from counting import count_statements
from sqlalchemy import select

from engage.activities.models import ActivityStatus, AdmissionMode
from engage.core import ids
from engage.identity.models import PersonStatus
from engage.messages.models import OutboxEntry
from engage.orgs.models import Role

QUESTIONS = [
    {
        "id": "q1",
        "kind": "text",
        "label": "特长",
        "required": True,
        "choices": [],
        "max_length": 5,
        "min": None,
        "max": None,
    },
    {
        "id": "q2",
        "kind": "choice",
        "label": "午餐",
        "required": False,
        "choices": ["素食", "不限"],
        "max_length": None,
        "min": None,
        "max": None,
    },
    {
        "id": "q3",
        "kind": "multiple_choice",
        "label": "时段",
        "required": True,
        "choices": ["上午", "下午"],
        "max_length": None,
        "min": None,
        "max": None,
    },
    {
        "id": "q4",
        "kind": "number",
        "label": "人数",
        "required": False,
        "choices": [],
        "max_length": None,
        "min": 1,
        "max": 3,
    },
]
GOOD = [{"question_id": "q1", "value": "书法"}, {"question_id": "q3", "value": ["上午"]}]


@pytest.fixture
def desk(frozen, make, as_user):
    class Desk:
        org = make.org()
        officer = as_user(make.staff(Role.OFFICER, org=org).id)
        activity = make.activity(org=org, capacity=1, waitlist_capacity=1)
        url = f"/v1/activities/{activity.id}"

    return Desk


def test_staff_add_people_by_the_same_rules_and_outside_the_window(desk, make, as_user, frozen, database):
    first, second, third = (make.person() for _ in range(3))
    young = make.person(birth_on=None)
    add = lambda person: desk.officer.post(f"{desk.url}/sign-ups", json={"person_id": str(person.id)})
    frozen.set(desk.activity.sign_up_closes_at + timedelta(minutes=1))
    desk.officer = as_user(make.staff(Role.OFFICER, org=desk.org).id)
    assert (add(first).status_code, add(first).json["state"]) == (201, "confirmed")
    assert (add(second).json["state"], add(second).json["position"]) == ("waitlisted", 1)
    assert add(third).json["code"] == "activity_full"
    assert add(young).json["code"] == "profile_incomplete"
    with database.reading() as db:
        told = db.execute(select(OutboxEntry.person_id, OutboxEntry.kind).order_by(OutboxEntry.seq)).all()
    assert [tuple(row) for row in told] == [
        (first.id, "sign_up_confirmed"),
        (second.id, "sign_up_waitlisted"),
    ]


def test_nobody_is_added_to_what_is_not_held(desk, make, as_user, frozen):
    person = make.person()
    add = lambda url, who=person: desk.officer.post(f"{url}/sign-ups", json={"person_id": str(who.id)}).json[
        "code"
    ]
    draft = make.activity(org=desk.org, status=ActivityStatus.DRAFT)
    assert add(f"/v1/activities/{draft.id}") == "wrong_activity_state"
    assert add(desk.url, make.person(status=PersonStatus.CLOSED)) == "no_such_person"
    unknown = desk.officer.post(f"{desk.url}/sign-ups", json={"person_id": str(ids.new_id())})
    assert unknown.json["code"] == "no_such_person"
    frozen.set(desk.activity.ends_at)
    desk.officer = as_user(make.staff(Role.OFFICER, org=desk.org).id)
    assert add(desk.url) == "activity_over"


def test_staff_cancel_with_a_reason_that_is_told_and_the_next_moves_up(desk, make, as_user, database):
    people = [make.person() for _ in range(2)]
    for person in people:
        as_user(person.id).put(f"{desk.url}/sign-up", json={})
    first = desk.officer.get(f"{desk.url}/sign-ups").json["items"][0]
    url = f"{desk.url}/sign-ups/{first['id']}/cancellation"
    assert desk.officer.post(url, json={}).json["errors"][0]["code"] == "required"
    cancelled = desk.officer.post(url, json={"reason": "重复报名"}).json
    assert (cancelled["state"], cancelled["cancel_reason"]) == ("cancelled", "重复报名")
    assert desk.officer.post(url, json={"reason": "再来"}).json["cancel_reason"] == "重复报名"
    assert as_user(people[1].id).get(f"{desk.url}/sign-up").json["state"] == "confirmed"
    with database.reading() as db:
        told = db.execute(select(OutboxEntry.person_id, OutboxEntry.kind)).all()
    assert sorted(told) == sorted(
        [(people[0].id, "sign_up_cancelled_by_staff"), (people[1].id, "sign_up_promoted")]
    )


def test_a_sign_up_of_another_activity_is_not_found_here(desk, make, as_user):
    other, person = make.activity(), make.person()
    sign_up = as_user(person.id).put(f"/v1/activities/{other.id}/sign-up", json={}).json
    answer = desk.officer.post(f"{desk.url}/sign-ups/{sign_up['id']}/cancellation", json={"reason": "误"})
    assert (answer.status_code, answer.json["code"]) == (404, "no_such_sign_up")


def test_after_the_end_nobody_is_cancelled(desk, make, as_user, frozen):
    as_user(make.person().id).put(f"{desk.url}/sign-up", json={})
    item = desk.officer.get(f"{desk.url}/sign-ups").json["items"][0]
    frozen.set(desk.activity.ends_at)
    officer = as_user(make.staff(Role.OFFICER, org=desk.org).id)
    answer = officer.post(f"{desk.url}/sign-ups/{item['id']}/cancellation", json={"reason": "晚"})
    assert answer.json["code"] == "activity_over"


def test_the_list_shows_people_with_age_on_the_day_and_no_contact(desk, make, as_user, app):
    person = make.person(name="李晓", phone_sealed=b"x", phone_hash=b"y" * 32)
    as_user(person.id).put(f"{desk.url}/sign-up", json={})
    as_user(make.person().id).put(f"{desk.url}/sign-up", json={})
    with count_statements(app) as sent:
        page = desk.officer.get(f"{desk.url}/sign-ups?limit=1").json
    assert len(sent) <= 5  # the last is the entry of the audit log
    assert page["items"][0]["person"] == {"id": str(person.id), "name": "李晓", "gender": "female", "age": 20}
    rest = desk.officer.get(
        f"{desk.url}/sign-ups", query_string={"limit": 1, "cursor": page["next_cursor"]}
    ).json
    assert [item["position"] for item in rest["items"]] == [1]
    assert [
        item["state"] for item in desk.officer.get(f"{desk.url}/sign-ups?state=waitlisted").json["items"]
    ] == ["waitlisted"]


def test_answers_are_kept_and_shown(desk, make, as_user):
    activity = make.activity(org=desk.org, questions=QUESTIONS)
    client, url = as_user(make.person().id), f"/v1/activities/{activity.id}"
    assert client.put(f"{url}/sign-up", json={"answers": GOOD}).json["answers"] == GOOD
    assert client.get(f"{url}/sign-up").json["answers"] == GOOD
    assert client.put(f"{url}/sign-up", json={}).json["answers"] == GOOD, "a bare repetition keeps them"
    better = [{"question_id": "q1", "value": "唱歌"}, *GOOD[1:], {"question_id": "q4", "value": 2}]
    assert client.put(f"{url}/sign-up", json={"answers": better}).json["answers"] == better
    assert desk.officer.get(f"{url}/sign-ups").json["items"][0]["answers"] == better
    assert client.put(f"{url}/sign-up", json={"answers": []}).json["code"] == "invalid_input"
    assert client.get(f"{url}/sign-up").json["answers"] == better


def test_answers_stand_still_when_sign_up_has_closed(desk, make, as_user, frozen):
    activity, person = make.activity(org=desk.org, questions=QUESTIONS), make.person()
    url = f"/v1/activities/{activity.id}/sign-up"
    as_user(person.id).put(url, json={"answers": GOOD})
    frozen.set(activity.sign_up_closes_at)
    client = as_user(person.id)
    assert client.put(url, json={"answers": GOOD}).status_code == 200
    assert (
        client.put(url, json={"answers": [*GOOD, {"question_id": "q4", "value": 1}]}).json["code"]
        == "sign_up_closed"
    )


@pytest.mark.parametrize(
    ("answers", "pointer", "code"),
    [
        ([], "/answers", "missing_answer"),
        ([{"question_id": "q9", "value": 1}, *GOOD], "/answers/0", "no_such_question"),
        ([*GOOD, GOOD[0]], "/answers/2", "not_unique"),
        ([{"question_id": "q1", "value": "六个字太长了"}, GOOD[1]], "/answers/0", "too_long"),
        ([{"question_id": "q1", "value": " "}, GOOD[1]], "/answers/0", "too_short"),
        ([{"question_id": "q1", "value": 5}, GOOD[1]], "/answers/0", "not_text"),
        ([{"question_id": "q1", "value": "a\u0000b"}, GOOD[1]], "/answers/0", "bad_characters"),
        ([*GOOD, {"question_id": "q2", "value": "荤"}], "/answers/2", "not_choice"),
        ([*GOOD, {"question_id": "q2", "value": ["素食"]}], "/answers/2", "not_choice"),
        ([*GOOD, {"question_id": "q2", "value": None}], "/answers/2/value", "null"),
        ([GOOD[0], {"question_id": "q3", "value": "上午"}], "/answers/1", "not_list"),
        ([GOOD[0], {"question_id": "q3", "value": []}], "/answers/1", "too_short"),
        ([GOOD[0], {"question_id": "q3", "value": ["晚上"]}], "/answers/1", "not_choice"),
        ([GOOD[0], {"question_id": "q3", "value": [{}]}], "/answers/1", "not_choice"),
        ([GOOD[0], {"question_id": "q3", "value": ["上午", "上午"]}], "/answers/1", "not_unique"),
        ([GOOD[0], {"question_id": "q3", "value": ["上午"] * 3}], "/answers/1", "too_long"),
        ([*GOOD, {"question_id": "q4", "value": "2"}], "/answers/2", "not_number"),
        ([*GOOD, {"question_id": "q4", "value": True}], "/answers/2", "not_number"),
        ([*GOOD, {"question_id": "q4", "value": 0}], "/answers/2", "too_small"),
        ([*GOOD, {"question_id": "q4", "value": 3.5}], "/answers/2", "too_large"),
        ([{"question_id": "q1"}, GOOD[1]], "/answers/0/value", "required"),
        ("q1", "/answers", "not_list"),
    ],
)
def test_answers_that_do_not_fit_are_refused_where_they_stand(desk, make, as_user, answers, pointer, code):
    activity, client = make.activity(org=desk.org, questions=QUESTIONS), as_user(make.person().id)
    refused = client.put(f"/v1/activities/{activity.id}/sign-up", json={"answers": answers})
    assert refused.status_code == 422
    assert (pointer, code) in {(issue["pointer"], issue["code"]) for issue in refused.json["errors"]}, (
        refused.json
    )
    assert client.get(f"/v1/activities/{activity.id}/sign-up").json["code"] == "no_such_sign_up"


def test_a_manager_of_some_hub_is_told_that_an_activity_elsewhere_is_not_theirs(as_user, make):
    org = make.org()
    manager = as_user(make.staff(Role.HUB_MANAGER, hub=make.hub(org)).id)
    refused = manager.get(f"/v1/activities/{make.activity(org).id}/sign-ups")
    assert (refused.status_code, refused.json["code"]) == (403, "not_allowed")


@pytest.mark.parametrize("refused_before", [False, True])
def test_adding_somebody_who_has_applied_accepts_them(make, as_user, database, refused_before):
    org = make.org()
    officer = as_user(make.staff(Role.OFFICER, org=org).id)
    review = make.activity(org=org, capacity=1, waitlist_capacity=1, admission_mode=AdmissionMode.REVIEW)
    url = f"/v1/activities/{review.id}"
    people = [make.person() for _ in range(3)]
    for person in people:
        sign_up = as_user(person.id).put(f"{url}/sign-up", json={}).json
        if refused_before:
            refused = {"sign_up_id": sign_up["id"], "decision": "refuse", "reason": "材料不全"}
            officer.post(f"{url}/decisions", json={"items": [refused]})

    def add(person):
        answer = officer.post(f"{url}/sign-ups", json={"person_id": str(person.id)})
        return answer.json.get("code") or (answer.json["state"], answer.json["decision_reason"])

    assert add(people[0]) == ("confirmed", None)
    assert add(people[0]) == ("confirmed", None), "a repetition changes nothing"
    assert add(people[1]) == ("waitlisted", None)
    assert add(people[2]) == "activity_full"
    untouched = ("refused", "材料不全") if refused_before else ("applied", None)
    mine = as_user(people[2].id).get(f"{url}/sign-up").json
    assert (mine["state"], mine["decision_reason"]) == untouched
    with database.reading() as db:
        told = db.scalars(select(OutboxEntry.kind).order_by(OutboxEntry.seq)).all()
    assert told[3 * refused_before :] == ["application_accepted", "application_waitlisted"]
