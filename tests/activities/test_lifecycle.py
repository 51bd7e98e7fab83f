"""Writing, reviewing, publishing, changing, cancelling and closing activities; and projects."""

from __future__ import annotations

from datetime import timedelta

import previews
import pytest
from sqlalchemy import select, update

from engage.activities.models import Activity, ActivityStatus, Project, ProjectStatus
from engage.core import ids
from engage.hubs.models import Hub, HubStatus
from engage.messages.models import OutboxEntry
from engage.orgs.models import Role


@pytest.fixture
def house(frozen, make):
    """A city, two counties below it, a hub in the first, a project, and people with roles."""

    class House:
        city = make.org()
        county = make.org(city)
        other = make.org(city, division_code="140524")
        hub = make.hub(county)
        project = make.project(city)
        city_officer = make.staff(Role.OFFICER, org=city)
        officer = make.staff(Role.OFFICER, org=county)
        neighbour = make.staff(Role.OFFICER, org=other)
        manager = make.staff(Role.HUB_MANAGER, hub=hub)
        analyst = make.staff(Role.ANALYST, org=city)
        youth = make.person()

    return House


def body(house, now, **values):
    return {
        "title": "青年夜校",
        "project_id": str(house.project.id),
        "hub_id": str(house.hub.id),
        "starts_at": (now + timedelta(days=2)).isoformat(),
        "ends_at": (now + timedelta(days=2, hours=2)).isoformat(),
        "sign_up_opens_at": (now - timedelta(hours=1)).isoformat(),
        "sign_up_closes_at": (now + timedelta(days=1)).isoformat(),
        "capacity": 20,
        **values,
    }


def test_a_hub_manager_posts_an_activity_and_it_can_be_found(as_user, house, frozen, client):
    manager = as_user(house.manager.id)
    made = manager.post("/v1/activities", json=body(house, frozen.now))
    assert made.status_code == 201
    assert (made.json["state"], made.json["org"]["id"], made.json["county_code"]) == (
        "draft",
        str(house.county.id),
        "140502",
    )
    url = made.headers["Location"]
    assert client.get(url).status_code == 404
    assert as_user(house.youth.id).get(url).status_code == 404
    assert manager.get(url).json["can_manage"] is True
    assert client.get("/v1/activities").json["items"] == []
    assert [item["id"] for item in manager.get("/v1/activities?managed=true").json["items"]] == [
        made.json["id"]
    ]
    published = manager.post(f"{url}/publication")
    assert published.json["state"] == "registration_open"
    assert [item["id"] for item in client.get("/v1/activities").json["items"]] == [made.json["id"]]


@pytest.mark.parametrize(
    ("who", "status"),
    [
        ("city_officer", 201),
        ("officer", 201),
        ("manager", 201),
        ("neighbour", 422),
        ("analyst", 422),
        ("youth", 403),
    ],
)
def test_who_may_post_at_a_hub(as_user, house, frozen, who, status):
    assert (
        as_user(getattr(house, who).id).post("/v1/activities", json=body(house, frozen.now)).status_code
        == status
    )


@pytest.mark.parametrize(
    ("who", "status"),
    [
        ("city_officer", 200),
        ("officer", 200),
        ("manager", 200),
        ("neighbour", 403),
        ("analyst", 403),
        ("youth", 403),
    ],
)
@pytest.mark.parametrize(
    "action", ["edit", "publication", "cancellation", "sign-ups", "check-in-code", "feedback-entries"]
)
def test_who_may_work_on_an_activity(as_user, make, house, frozen, who, status, action):
    activity = make.activity(
        hub=house.hub, project_id=house.project.id, starts_at=frozen.now + timedelta(hours=1)
    )
    caller, url = as_user(getattr(house, who).id), f"/v1/activities/{activity.id}"
    answer = {
        "edit": lambda: caller.put(url, json=body(house, frozen.now), headers={"If-Match": "*"}),
        "publication": lambda: caller.post(f"{url}/publication"),
        "cancellation": lambda: caller.post(f"{url}/cancellation", json={"reason": "天气原因"}),
        "sign-ups": lambda: caller.get(f"{url}/sign-ups"),
        "check-in-code": lambda: caller.get(f"{url}/check-in-code"),
        "feedback-entries": lambda: caller.get(f"{url}/feedback-entries"),
    }[action]()
    assert answer.status_code == status, answer.json


def test_a_role_that_has_ended_opens_nothing(as_user, make, house, frozen):
    activity, person = make.activity(hub=house.hub), make.person()
    make.grant(person, Role.OFFICER, org=house.county, ends_at=frozen.now)
    assert as_user(person.id).get(f"/v1/activities/{activity.id}/sign-ups").json["code"] == "not_allowed"


def test_an_edit_needs_the_version_that_was_read(as_user, make, house, frozen):
    activity = make.activity(hub=house.hub, project_id=house.project.id)
    officer, url = as_user(house.officer.id), f"/v1/activities/{activity.id}"
    tag = officer.get(url).headers["ETag"]
    change = body(house, frozen.now, title="新标题")
    assert officer.put(url, json=change).json["code"] == "version_required"
    changed = officer.put(url, json=change, headers={"If-Match": tag})
    assert (changed.status_code, changed.json["title"], changed.json["version"]) == (200, "新标题", 2)
    stale = officer.put(url, json=body(house, frozen.now, title="旧"), headers={"If-Match": tag})
    assert (stale.status_code, stale.json["code"]) == (412, "version_conflict")
    assert officer.put(url, json=change, headers={"If-Match": "nonsense"}).status_code == 412
    assert (
        officer.put(url, json=change, headers={"If-Match": "W/" + changed.headers["ETag"]}).status_code == 200
    )


def test_more_places_promote_at_once(as_user, make, house, frozen, database):
    activity = make.activity(hub=house.hub, project_id=house.project.id, capacity=1, waitlist_capacity=5)
    clients = [as_user(make.person().id) for _ in range(4)]
    for client in clients:
        client.put(f"/v1/activities/{activity.id}/sign-up", json={})
    officer = as_user(house.officer.id)
    url = f"/v1/activities/{activity.id}"
    edited = previews.edit(officer, url, body(house, frozen.now, capacity=3, waitlist_capacity=1))
    assert (edited.json["places_left"], edited.json["waiting"], edited.json["waitlist_capacity"]) == (0, 1, 1)
    states = [client.get(f"{url}/sign-up").json["state"] for client in clients]
    assert states == ["confirmed"] * 3 + ["waitlisted"]


def test_fewer_places_than_taken_are_refused_with_how_many_would_lose(as_user, make, house, frozen):
    activity = make.activity(hub=house.hub, project_id=house.project.id, capacity=3, waitlist_capacity=5)
    for _ in range(5):
        as_user(make.person().id).put(f"/v1/activities/{activity.id}/sign-up", json={})
    officer, url = as_user(house.officer.id, "en"), f"/v1/activities/{activity.id}"
    fewer = officer.put(url, json=body(house, frozen.now, capacity=1), headers={"If-Match": "*"})
    assert (fewer.status_code, fewer.json["code"]) == (409, "capacity_below_taken")
    assert "last 2" in fewer.json["detail"]
    assert fewer.json["errors"][0]["pointer"] == "/capacity"
    shorter = officer.put(
        url, json=body(house, frozen.now, capacity=3, waitlist_capacity=1), headers={"If-Match": "*"}
    )
    assert (shorter.status_code, shorter.json["code"]) == (409, "waitlist_below_waiting")
    assert officer.get(url).json["version"] == 1


def test_questions_stand_still_once_somebody_signed_up(as_user, make, house, frozen):
    activity = make.activity(hub=house.hub, project_id=house.project.id)
    as_user(make.person().id).put(f"/v1/activities/{activity.id}/sign-up", json={})
    change = body(house, frozen.now, questions=[{"kind": "text", "label": "特长？"}])
    answer = as_user(house.officer.id).put(
        f"/v1/activities/{activity.id}", json=change, headers={"If-Match": "*"}
    )
    assert (answer.status_code, answer.json["code"]) == (409, "questions_frozen")


def test_a_new_time_is_told_to_everybody_signed_up(as_user, make, house, frozen, database):
    activity = make.activity(hub=house.hub, project_id=house.project.id)
    people = [make.person() for _ in range(2)]
    for person in people:
        as_user(person.id).put(f"/v1/activities/{activity.id}/sign-up", json={})
    officer, url = as_user(house.officer.id), f"/v1/activities/{activity.id}"
    previews.edit(officer, url, body(house, frozen.now))
    officer.put(url, json=body(house, frozen.now, title="只改标题"), headers={"If-Match": "*"})
    with database.reading() as db:
        told = db.execute(select(OutboxEntry.person_id, OutboxEntry.kind).order_by(OutboxEntry.seq)).all()
    assert sorted(told) == sorted((person.id, "activity_changed") for person in people)


def test_cancelling_tells_everybody_and_stays_visible(as_user, make, house, frozen, database, client):
    activity, person = make.activity(hub=house.hub), make.person()
    as_user(person.id).put(f"/v1/activities/{activity.id}/sign-up", json={})
    officer, url = as_user(house.officer.id), f"/v1/activities/{activity.id}"
    cancelled = previews.cancel(officer, url, "大雪")
    assert (cancelled.json["state"], cancelled.json["status_reason"]) == ("cancelled", "大雪")
    assert officer.post(f"{url}/cancellation", json={"reason": "再次"}).json["status_reason"] == "大雪"
    with database.reading() as db:
        assert db.execute(select(OutboxEntry.kind)).scalars().all() == ["activity_cancelled"]
    assert client.get(url).json["state"] == "cancelled"
    assert client.get("/v1/activities?open=true").json["items"] == []
    edit = officer.put(url, json=body(house, frozen.now), headers={"If-Match": "*"})
    assert edit.json["code"] == "activity_not_editable"
    assert officer.post(f"{url}/publication").json["code"] == "wrong_activity_state"


def test_an_activity_is_closed_with_a_summary_when_it_is_over(as_user, make, house, frozen):
    activity = make.activity(hub=house.hub)
    officer, url = as_user(house.officer.id), f"/v1/activities/{activity.id}"
    assert officer.post(f"{url}/closure", json={"summary": "早"}).json["code"] == "activity_not_over"
    frozen.set(activity.ends_at)
    officer = as_user(house.officer.id)
    assert officer.get(url).json["state"] == "ended"
    closed = officer.post(f"{url}/closure", json={"summary": "到场 0 人"})
    assert (closed.json["state"], closed.json["closing_summary"]) == ("summarised", "到场 0 人")
    assert officer.post(f"{url}/cancellation", json={"reason": "晚"}).json["code"] == "wrong_activity_state"
    draft = make.activity(hub=house.hub, status=ActivityStatus.DRAFT, starts_at=frozen.now - timedelta(hours=2), ends_at=frozen.now - timedelta(hours=1), sign_up_closes_at=frozen.now - timedelta(hours=3), sign_up_opens_at=frozen.now - timedelta(days=2))  # fmt: skip
    assert (
        officer.post(f"/v1/activities/{draft.id}/closure", json={"summary": "x"}).json["code"]
        == "wrong_activity_state"
    )
    assert officer.post(f"/v1/activities/{draft.id}/publication").json["code"] == "activity_not_editable"


def test_what_is_over_cannot_be_cancelled(as_user, make, house, frozen):
    activity = make.activity(hub=house.hub)
    frozen.set(activity.ends_at)
    answer = as_user(house.officer.id).post(
        f"/v1/activities/{activity.id}/cancellation", json={"reason": "晚了"}
    )
    assert answer.json["code"] == "activity_not_editable"


def test_with_review_a_hub_manager_hands_in_and_an_officer_decides(
    app, as_user, make, house, frozen, monkeypatch
):
    database = app.extensions["engage.database"]
    monkeypatch.setattr(database, "settings", database.settings.replace(activity_review=True))
    manager, officer = as_user(house.manager.id), as_user(house.officer.id)
    url = manager.post("/v1/activities", json=body(house, frozen.now)).headers["Location"]
    assert officer.post(f"{url}/rejection", json={"reason": "早"}).json["code"] == "wrong_activity_state"
    assert manager.post(f"{url}/publication").json["state"] == "review"
    assert manager.post(f"{url}/publication").json["state"] == "review"
    assert manager.post(f"{url}/rejection", json={"reason": "自己"}).json["code"] == "not_allowed"
    rejected = officer.post(f"{url}/rejection", json={"reason": "请写明地点"})
    assert (rejected.json["state"], rejected.json["status_reason"]) == ("rejected", "请写明地点")
    assert manager.post(f"{url}/publication").json["code"] == "wrong_activity_state"
    assert manager.put(url, json=body(house, frozen.now), headers={"If-Match": "*"}).json["state"] == "draft"
    manager.post(f"{url}/publication")
    assert officer.post(f"{url}/publication").json["state"] == "registration_open"


def test_bad_activities_are_refused_at_the_field(as_user, make, house, frozen):
    manager, now = as_user(house.manager.id), frozen.now
    closed = make.hub(house.county, status=HubStatus.CLOSED)
    question = {"kind": "choice", "label": "？", "choices": ["一", "二"]}
    for change, pointer, code in [
        ({"ends_at": (now + timedelta(days=1)).isoformat()}, "/ends_at", "bad_order"),
        ({"sign_up_closes_at": (now - timedelta(days=1)).isoformat()}, "/sign_up_closes_at", "bad_order"),
        ({"sign_up_closes_at": (now + timedelta(days=9)).isoformat()}, "/sign_up_closes_at", "bad_order"),
        ({"capacity": 0}, "/capacity", "too_small"),
        ({"capacity": "20"}, "/capacity", "not_whole_number"),
        ({"capacity": True}, "/capacity", "not_whole_number"),
        ({"min_age": 30, "max_age": 20}, "/max_age", "bad_order"),
        ({"service_minutes": 121}, "/service_minutes", "too_large"),
        ({"starts_at": "2026-10-03 10:00:00"}, "/starts_at", "not_instant"),
        ({"starts_at": "2026-10-03T10:00:00"}, "/starts_at", "not_instant"),
        ({"title": "  "}, "/title", "too_short"),
        ({"title": "长" * 61}, "/title", "too_long"),
        ({"title": None}, "/title", "null"),
        ({"hub_id": str(ids.new_id())}, "/hub_id", "no_such_object"),
        ({"hub_id": str(closed.id)}, "/hub_id", "no_such_object"),
        ({"hub_id": None}, "/place_name", "required"),
        ({"hub_id": None, "place_name": "广场"}, "/org_id", "required"),
        ({"project_id": str(ids.new_id())}, "/project_id", "no_such_object"),
        ({"county_codes": ["140500"]}, "/county_codes/0", "wrong_division_level"),
        ({"county_codes": ["140502", "999999"]}, "/county_codes/1", "no_such_division"),
        ({"county_code": "140523"}, "/county_code", "division_retired"),
        ({"county_codes": ["140502", "140502"]}, "/county_codes", "not_unique"),
        ({"position": {"lat": 91, "lng": 0}}, "/position/lat", "too_large"),
        (
            {"questions": [{"kind": "choice", "label": "？", "choices": ["一"]}]},
            "/questions/0/choices",
            "too_short",
        ),
        (
            {"questions": [{"kind": "text", "label": "？", "choices": ["一", "二"]}]},
            "/questions/0/choices",
            "not_together",
        ),
        ({"questions": [{**question, "max_length": 3}]}, "/questions/0/max_length", "not_together"),
        ({"questions": [{**question, "min": 3}]}, "/questions/0/min", "not_together"),
        (
            {"questions": [{"kind": "number", "label": "？", "min": 3, "max": 2}]},
            "/questions/0/max",
            "bad_order",
        ),
        ({"questions": [{**question, "id": "q2"}, question]}, "/questions", "not_unique"),
        ({"questions": [question] * 21}, "/questions", "too_long"),
        ({"nope": 1}, "/nope", "unknown_field"),
    ]:
        answer = manager.post("/v1/activities", json=body(house, now, **change))
        assert answer.status_code == 422, (change, answer.json)
        assert (pointer, code) in {(issue["pointer"], issue["code"]) for issue in answer.json["errors"]}, (
            change,
            answer.json,
        )


def test_an_activity_elsewhere_belongs_to_an_org_of_the_caller(as_user, house, frozen):
    away = {"hub_id": None, "place_name": "体育馆", "county_code": "140502", "org_id": str(house.county.id)}
    away["position"] = {"lat": 35.50222, "lng": 112.83278, "coord_type": "wgs84"}
    made = as_user(house.officer.id).post("/v1/activities", json=body(house, frozen.now, **away))
    assert made.json["place"]["position"] == {
        "lat": pytest.approx(35.50185, abs=1e-4),
        "lng": pytest.approx(112.83893, abs=1e-4),
    }
    assert (
        as_user(house.neighbour.id).post("/v1/activities", json=body(house, frozen.now, **away)).json["code"]
        == "not_allowed"
    )
    unknown = {**away, "org_id": str(ids.new_id())}
    assert (
        as_user(house.officer.id).post("/v1/activities", json=body(house, frozen.now, **unknown)).json["code"]
        == "no_such_org"
    )


def test_creating_under_one_key_twice_makes_one_activity(as_user, house, frozen, database):
    manager, headers = as_user(house.manager.id), {"Idempotency-Key": "tap-1"}
    first = manager.post("/v1/activities", json=body(house, frozen.now), headers=headers)
    again = manager.post("/v1/activities", json=body(house, frozen.now), headers=headers)
    assert (again.status_code, again.json, again.headers["Location"]) == (
        201,
        first.json,
        first.headers["Location"],
    )
    other = manager.post("/v1/activities", json=body(house, frozen.now, title="另一个"), headers=headers)
    assert (other.status_code, other.json["code"]) == (422, "idempotency_key_reused")
    with database.reading() as db:
        assert len(db.execute(select(Activity.id)).all()) == 1
    frozen.move(hours=25)
    assert (
        as_user(house.manager.id)
        .post("/v1/activities", json=body(house, frozen.now, title="次日"), headers=headers)
        .status_code
        == 201
    )


def test_projects_are_managed_by_officers(as_user, client, house, make):
    officer = as_user(house.city_officer.id)
    made = officer.post("/v1/projects", json={"name": "青年画社", "org_id": str(house.city.id)})
    assert made.status_code == 201
    url = made.headers["Location"]
    assert client.get(url).json["name"] == "青年画社"
    taken = officer.post("/v1/projects", json={"name": "青年画社", "org_id": str(house.city.id)})
    assert (taken.status_code, taken.json["code"]) == (409, "project_name_taken")
    below = as_user(house.officer.id).post(
        "/v1/projects", json={"name": "越级", "org_id": str(house.city.id)}
    )
    assert below.json["code"] == "not_allowed"
    edit = {"name": "青年画社", "summary": "每周一课", "org_id": str(house.county.id), "status": "archived"}
    edited = officer.put(url, json=edit, headers={"If-Match": made.headers.get("ETag", "*")})
    assert (edited.json["status"], edited.json["org"]["id"], edited.json["version"]) == (
        "archived",
        str(house.county.id),
        2,
    )
    assert "青年画社" not in [item["name"] for item in client.get("/v1/projects").json["items"]]
    assert client.get(f"/v1/projects/{ids.new_id()}").json["code"] == "no_such_project"
    assert (
        officer.put(f"/v1/projects/{ids.new_id()}", json=edit, headers={"If-Match": "*"}).status_code == 404
    )
    assert (
        as_user(house.neighbour.id).put(url, json=edit, headers={"If-Match": "*"}).json["code"]
        == "not_allowed"
    )
    assert (
        client.get("/v1/projects", query_string={"q": "项目", "limit": 1}).json["items"][0]["name"]
        == house.project.name
    )


def test_an_archived_project_takes_no_new_activities(as_user, house, frozen, make):
    archived = make.project(house.city, status=ProjectStatus.ARCHIVED)
    answer = as_user(house.manager.id).post(
        "/v1/activities", json=body(house, frozen.now, project_id=str(archived.id))
    )
    assert answer.json["errors"] == [
        {"pointer": "/project_id", "code": "no_such_object", "detail": "没有这个对象，或您不能使用它。"}
    ]


def test_an_activity_elsewhere_says_which_county_it_counts_in(as_user, house, frozen):
    away = body(house, frozen.now, hub_id=None, place_name="体育馆", org_id=str(house.county.id))
    answer = as_user(house.officer.id).post("/v1/activities", json=away)
    assert [(issue["pointer"], issue["code"]) for issue in answer.json["errors"]] == [
        ("/county_code", "required")
    ]


def test_cancelling_a_draft_tells_nobody(as_user, make, house, database):
    activity = make.activity(hub=house.hub, status=ActivityStatus.DRAFT)
    answer = as_user(house.officer.id).post(
        f"/v1/activities/{activity.id}/cancellation", json={"reason": "不办了"}
    )
    assert answer.json["state"] == "cancelled"
    with database.reading() as db:
        assert db.execute(select(OutboxEntry.kind)).all() == []


def test_staff_operations_on_unknown_activities_are_not_found(as_user, house):
    officer, unknown = as_user(house.officer.id), f"/v1/activities/{ids.new_id()}"
    assert officer.get(f"{unknown}/sign-ups").json["code"] == "no_such_activity"
    assert officer.post(f"{unknown}/publication").json["code"] == "no_such_activity"


def test_a_project_is_edited_in_place(as_user, house):
    officer, url = as_user(house.city_officer.id), f"/v1/projects/{house.project.id}"
    edit = {
        "name": house.project.name,
        "summary": "每月一次",
        "org_id": str(house.city.id),
        "status": "active",
    }
    assert officer.put(url, json=edit, headers={"If-Match": "*"}).json["summary"] == "每月一次"


def test_a_project_archived_or_a_hub_closed_meanwhile_does_not_stop_a_correction(
    as_user, make, house, frozen, database
):
    activity = make.activity(hub=house.hub, project_id=house.project.id)
    with database.transaction() as session:
        session.execute(update(Hub).where(Hub.id == house.hub.id).values(status=HubStatus.CLOSED))
        session.execute(
            update(Project).where(Project.id == house.project.id).values(status=ProjectStatus.ARCHIVED)
        )
    officer, url = as_user(house.officer.id), f"/v1/activities/{activity.id}"
    change = body(house, frozen.now, title="改正标题")
    edited = officer.put(url, json=change, headers={"If-Match": "*"})
    assert (edited.status_code, edited.json["title"], edited.json["county_code"]) == (
        200,
        "改正标题",
        "140502",
    )
    other = make.project(house.city, status=ProjectStatus.ARCHIVED)
    moved = officer.put(url, json={**change, "project_id": str(other.id)}, headers={"If-Match": "*"})
    assert moved.json["errors"][0]["pointer"] == "/project_id"
