"""Lists and details of activities: filters, order, paging, what each caller sees, how many statements."""

from __future__ import annotations

from datetime import timedelta

import pytest
from counting import count_statements

from engage.activities.models import ActivityStatus
from engage.core import ids
from engage.orgs.models import Role


def found(client, **query):
    answer = client.get("/v1/activities", query_string=query)
    assert answer.status_code == 200, answer.json
    return [item["title"] for item in answer.json["items"]]


def at(frozen, **delta):
    start = frozen.now + timedelta(**delta)
    return {"starts_at": start, "ends_at": start + timedelta(hours=2), "sign_up_closes_at": start}


def test_activities_are_listed_by_start_and_those_over_are_left_out(client, make, frozen):
    make.activity(title="后", **at(frozen, days=3))
    make.activity(title="先", **at(frozen, days=1))
    make.activity(title="过去", **at(frozen, hours=-3), sign_up_opens_at=frozen.now - timedelta(days=2))
    make.activity(title="进行中", **at(frozen, hours=-1), sign_up_opens_at=frozen.now - timedelta(days=2))
    assert found(client) == ["进行中", "先", "后"]


def test_drafts_are_not_listed_and_cancelled_ones_are_marked(client, make, frozen):
    for status in ActivityStatus:
        make.activity(title=status.value, status=status, **at(frozen, days=1))
    assert sorted(found(client)) == ["cancelled", "published", "summarised"]


def test_filters_combine(client, make, frozen):
    org = make.org()
    hub, project = make.hub(org), make.project(org, name="青年讲师")
    make.activity(title="甲", hub=hub, project_id=project.id, **at(frozen, days=1))
    make.activity(title="乙", hub=hub, **at(frozen, days=2))
    make.activity(title="丙", org=org, project_id=project.id, county_code="140524", **at(frozen, days=3))
    assert found(client, project_id=project.id) == ["甲", "丙"]
    assert found(client, hub_id=hub.id) == ["甲", "乙"]
    assert found(client, org_id=org.id) == ["甲", "乙", "丙"]
    assert found(client, hub_id=hub.id, project_id=project.id) == ["甲"]
    assert found(client, county="140524") == ["丙"]
    assert found(client, q="讲师") == ["甲", "丙"]
    assert found(client, q="乙") == ["乙"]
    assert found(client, q="%") == []
    assert found(client, q="_") == []


def test_days_are_shanghai_days_and_both_ends_count(client, make, frozen):
    # 23:30 on the 2nd and 00:30 on the 3rd in Shanghai: both the 2nd in UTC
    make.activity(title="二日晚", **at(frozen, hours=37, minutes=30))
    make.activity(title="三日凌晨", **at(frozen, hours=38, minutes=30))
    assert found(client, **{"from": "2026-10-02", "to": "2026-10-02"}) == ["二日晚"]
    assert found(client, **{"from": "2026-10-03"}) == ["三日凌晨"]
    assert found(client, to="2026-10-02") == ["二日晚"]
    backwards = client.get("/v1/activities?from=2026-10-03&to=2026-10-02")
    assert (backwards.status_code, backwards.json["errors"][0]["pointer"]) == (422, "/to")


def test_open_means_that_pressing_now_gives_a_place_or_a_turn(client, make, as_user, frozen):
    make.activity(title="可报")
    make.activity(title="未开始", sign_up_opens_at=frozen.now + timedelta(hours=1))
    make.activity(title="已截止", sign_up_closes_at=frozen.now)
    full = make.activity(title="满", capacity=1, waitlist_capacity=0)
    queue = make.activity(title="可候补", capacity=1, waitlist_capacity=1)
    for activity in (full, queue):
        as_user(make.person().id).put(f"/v1/activities/{activity.id}/sign-up", json={})
    assert sorted(found(client, open="true")) == ["可候补", "可报"]


def test_near_a_point_distance_decides(client, make, frozen):
    place = {"place_name": "某处"}
    make.activity(title="远", lat=35.56, lng=112.83, **place)
    make.activity(title="近", lat=35.501, lng=112.83, **place)
    make.activity(title="圈外", lat=35.70, lng=112.83, **place)
    make.activity(title="无坐标", **place)
    make.activity(title="站点", hub=make.hub(lat=35.52, lng=112.83))
    items = client.get("/v1/activities", query_string={"near": "35.50,112.83"}).json["items"]
    assert [item["title"] for item in items] == ["近", "站点", "远"]
    assert [item["distance_m"] for item in items] == [111, 2224, 6672]
    assert found(client, near="35.50,112.83", radius_m=1000) == ["近"]


def test_pages_near_a_point_join_without_gap(client, make):
    for step in range(5):
        make.activity(title=str(step), place_name="某处", lat=35.50 + step / 1000, lng=112.83)
    query, seen = {"near": "35.50,112.83", "limit": 2}, []
    while True:
        page = client.get("/v1/activities", query_string=query).json
        seen += [item["title"] for item in page["items"]]
        if page["next_cursor"] is None:
            break
        query["cursor"] = page["next_cursor"]
    assert seen == ["0", "1", "2", "3", "4"]


def test_pages_by_start_join_without_gap_even_at_equal_starts(client, make, frozen):
    for _ in range(5):
        make.activity(**at(frozen, days=1))
    query, seen = {"limit": 2}, []
    while True:
        page = client.get("/v1/activities", query_string=query).json
        seen += [item["id"] for item in page["items"]]
        if page["next_cursor"] is None:
            break
        query["cursor"] = page["next_cursor"]
    assert len(seen) == len(set(seen)) == 5


def test_staff_find_their_own_with_drafts(as_user, make, client):
    county, other = make.org(), make.org()
    make.activity(title="草稿", org=county, status=ActivityStatus.DRAFT)
    make.activity(title="邻县", org=other, status=ActivityStatus.DRAFT)
    officer = as_user(make.staff(Role.OFFICER, org=county).id)
    assert found(officer, managed="true") == ["草稿"]
    assert found(as_user(make.person().id), managed="true") == []
    assert found(client, managed="true") == []


def test_the_detail_shows_places_and_my_own_turn(client, as_user, make):
    activity = make.activity(capacity=1, waitlist_capacity=5)
    people = [as_user(make.person().id) for _ in range(3)]
    for person in people:
        person.put(f"/v1/activities/{activity.id}/sign-up", json={})
    url = f"/v1/activities/{activity.id}"
    mine = people[2].get(url).json
    assert (mine["places_left"], mine["waiting"]) == (0, 2)
    assert (mine["my_sign_up"]["state"], mine["my_sign_up"]["position"]) == ("waitlisted", 2)
    assert client.get(url).json["my_sign_up"] is None
    assert as_user(make.person().id).get(url).json["my_sign_up"] is None


def test_the_detail_is_not_sent_twice_until_something_changes(client, as_user, make):
    activity = make.activity()
    url = f"/v1/activities/{activity.id}"
    tag = client.get(url).headers["ETag"]
    assert client.get(url, headers={"If-None-Match": tag}).status_code == 304
    as_user(make.person().id).put(f"{url}/sign-up", json={})
    assert client.get(url, headers={"If-None-Match": tag}).status_code == 200


@pytest.mark.parametrize("size", [1, 15])
def test_statements_do_not_grow_with_the_list(app, as_user, make, size):
    activities = [make.activity(hub=make.hub()) for _ in range(size)]
    person = make.person()
    client = as_user(person.id)
    for activity in activities:
        client.put(f"/v1/activities/{activity.id}/sign-up", json={})
    officer = as_user(make.staff(Role.PLATFORM_ADMIN, org=make.org()).id)
    for url, most in [
        ("/v1/activities", 1),
        ("/v1/activities?near=35.50,112.83", 1),
        (f"/v1/activities/{activities[0].id}", 2),
        (f"/v1/activities/{activities[0].id}/sign-up", 2),
        ("/v1/me/sign-ups", 2),
        ("/v1/projects", 1),
    ]:
        with count_statements(app) as sent:
            assert client.get(url).status_code == 200
        assert len(sent) <= most, (url, sent)
    assert officer.get("/v1/projects").status_code == 200


def test_a_sign_up_takes_two_statements_and_its_repetition_one(app, as_user, make, settings):
    """The rules of the activity are read once by each process; SQLite looks before it waits for the writer."""
    activity, look = make.activity(), settings.is_sqlite
    first, second = as_user(make.person().id), as_user(make.person().id)
    for client, most in ((first, 3 + look), (second, 2 + look), (second, 1)):
        with count_statements(app) as sent:
            assert client.put(f"/v1/activities/{activity.id}/sign-up", json={}).status_code == 200
        assert len(sent) == most, sent


def test_an_unknown_activity_is_not_found(client):
    assert client.get(f"/v1/activities/{ids.new_id()}").json["code"] == "no_such_activity"
    bad = client.get("/v1/activities/not-an-id")
    assert (bad.status_code, bad.json["errors"][0]["code"]) == (422, "not_id")
