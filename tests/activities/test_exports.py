"""The list of sign-ups as a table: the same rows, states and words as the list of the staff."""

from __future__ import annotations

import csv
import io
from datetime import timedelta

import pytest
from counting import count_statements
from sqlalchemy import update

from engage.activities.models import AdmissionMode, Attendance, CancelCause, SignUp, SignUpState
from engage.activities.queries.exports import ATTENDANCES, STATES
from engage.core import ids
from engage.orgs.models import Role

QUESTIONS = [
    {"id": "q1", "kind": "text", "label": "特长", "required": False, "choices": [], "max_length": 50, "min": None, "max": None},
    {"id": "q2", "kind": "multiple_choice", "label": "=时段", "required": False, "choices": ["上午", "下午"], "max_length": None, "min": None,
     "max": None},
]  # fmt: skip


def table(answer):
    """Return the rows of an export by the heading of their column."""
    assert answer.status_code == 200, answer.json
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert answer.headers["Cache-Control"] == "no-store"
    return list(csv.DictReader(io.StringIO(answer.get_data().decode("utf-8-sig"))))


@pytest.fixture
def held(frozen, make, as_user, database):
    """An activity that is over, with every kind of sign-up, and its officer."""

    class Held:
        org = make.org()
        officer = as_user(make.staff(Role.OFFICER, org=org).id)
        activity = make.activity(
            org=org,
            starts_at=frozen.now - timedelta(hours=3),
            ends_at=frozen.now - timedelta(hours=1),
            sign_up_closes_at=frozen.now - timedelta(hours=3),
            waitlist_capacity=50,
            admission_mode=AdmissionMode.REVIEW,
            questions=QUESTIONS,
        )
        url = f"/v1/activities/{activity.id}/sign-ups"

    held = Held()
    starts_at = held.activity.starts_at

    def sign_up(name, **values):
        before = starts_at - timedelta(hours=2)
        return make.sign_up(held.activity, make.person(name=name), created_at=before, **values)

    make.check_in(sign_up("准时", answers={"q1": "=1+1", "q2": ["上午", "下午"]}), arrived_at=starts_at)
    make.check_in(sign_up("迟到"), arrived_at=starts_at + timedelta(minutes=40))
    sign_up("缺席")
    sign_up("请假", excused_at=starts_at, excuse_reason="孩子生病")
    make.check_in(sign_up("加入", state=SignUpState.WALK_IN), arrived_at=starts_at)
    sign_up("排队", state=SignUpState.WAITLISTED)
    ranked = sign_up("先排队", state=SignUpState.APPLIED)
    with database.transaction() as session:  # as a reviewer does it
        values = {"state": SignUpState.WAITLISTED, "rank": 7, "decided_at": starts_at}
        session.execute(update(SignUp).where(SignUp.id == ranked.id).values(values))
    sign_up("等待", state=SignUpState.APPLIED)
    sign_up("未过", state=SignUpState.REFUSED, decision_reason="材料不全")
    sign_up("离开", state=SignUpState.CANCELLED, cancel_cause=CancelCause.LEFT)
    return held


def test_every_row_of_the_list_is_in_it_with_the_same_states(held):
    listed = held.officer.get(held.url, query_string={"limit": 100}).json["items"]
    rows = table(held.officer.get(f"{held.url}/export"))
    assert [row["报名编号"] for row in rows] == [item["id"] for item in listed]
    assert [row["姓名"] for row in rows] == [item["person"]["name"] for item in listed]
    assert [row["状态"] for row in rows] == [STATES[SignUpState(item["state"])] for item in listed]
    assert [row["出勤"] for row in rows] == [
        ATTENDANCES[Attendance(item["attendance"])] if item["attendance"] else "" for item in listed
    ]
    assert {row["出勤"] for row in rows} == {*ATTENDANCES.values(), ""}
    for name, heading in (("position", "候补位次"), ("rank", "名次"), ("cancel_reason", "取消原因")):
        expected = ["" if item[name] is None else str(item[name]) for item in listed]
        assert [row[heading] for row in rows] == expected
    by_name = {row["姓名"]: row for row in rows}
    assert (by_name["先排队"]["候补位次"], by_name["排队"]["候补位次"]) == ("1", "2")
    assert by_name["请假"]["请假原因"] == "孩子生病"
    assert by_name["未过"]["审核意见"] == "材料不全"
    assert by_name["准时"]["签到时间"] == "2026-10-01 10:00:00"


def test_every_question_has_a_column_and_no_answer_is_a_formula(held):
    first = table(held.officer.get(f"{held.url}/export"))[0]
    assert (first["特长"], first["'=时段"]) == ("'=1+1", "上午、下午")


def test_it_can_be_of_one_state_like_the_list(held):
    for state in SignUpState:
        query = {"state": state.value}
        listed = held.officer.get(held.url, query_string=query).json["items"]
        rows = table(held.officer.get(f"{held.url}/export", query_string=query))
        assert [row["报名编号"] for row in rows] == [item["id"] for item in listed]
    wrong = held.officer.get(f"{held.url}/export", query_string={"state": "gone"})
    assert wrong.json["errors"][0]["pointer"] == "/state"
    assert held.officer.get(f"{held.url}/export", query_string={"limit": 3}).status_code == 422


@pytest.mark.parametrize(
    ("role", "elsewhere", "status"),
    [
        (Role.OFFICER, False, 200),
        (Role.PLATFORM_ADMIN, False, 200),
        (Role.ANALYST, False, 403),
        (Role.OFFICER, True, 403),
        (None, False, 403),
    ],
)
def test_who_may_read_the_list_may_export_it(held, make, as_user, role, elsewhere, status):
    org = make.org() if elsewhere else held.org
    caller = as_user((make.staff(role, org=org) if role else make.person()).id)
    assert caller.get(f"{held.url}/export").status_code == status
    assert caller.get(held.url).status_code == status


def test_the_manager_of_its_hub_may_and_nobody_finds_what_is_not_there(held, make, as_user, client):
    hub = make.hub(held.org)
    activity = make.activity(hub=hub)
    manager = as_user(make.staff(Role.HUB_MANAGER, hub=hub).id)
    assert table(manager.get(f"/v1/activities/{activity.id}/sign-ups/export")) == []
    assert manager.get(f"{held.url}/export").json["code"] == "not_allowed"
    assert client.get(f"{held.url}/export").status_code == 401
    missing = held.officer.get(f"/v1/activities/{ids.new_id()}/sign-ups/export")
    assert missing.json["code"] == "no_such_activity"


def test_statements_do_not_grow_with_the_rows(held, app, make):
    counts = []
    for _ in range(2):
        with count_statements(app) as sent:
            table(held.officer.get(f"{held.url}/export"))
        counts.append(len(sent))
        for number in range(30):
            state = SignUpState.WAITLISTED if number % 2 else SignUpState.APPLIED
            make.sign_up(held.activity, state=state, created_at=held.activity.created_at - timedelta(hours=9))
    assert counts[0] == counts[1] <= 6  # the last is the entry of the audit log
