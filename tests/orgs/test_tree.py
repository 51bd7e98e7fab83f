"""The organisation tree over HTTP: reading, making, editing, moving."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from counting import count_statements
from sqlalchemy import select

from engage.core import clock, ids
from engage.orgs import service
from engage.orgs.errors import OrgBelowItself
from engage.orgs.models import MAX_LEVELS, Cluster, ClusterKind, ClusterMember, Org, OrgPath, OrgStatus, Role


@pytest.fixture
def tree(make, frozen):
    """City > two counties > a township each; officers of the city and of 陵川."""

    class Tree:
        city = make.org(name="共青团晋城市委员会", division_code="140500")
        lingchuan = make.org(city, name="共青团陵川县委员会", division_code="140524")
        gaoping = make.org(city, name="共青团高平市委员会", division_code="140581")
        township = make.org(lingchuan, name="共青团陵川县崇文镇委员会", division_code="140524100")
        city_officer = make.staff(Role.OFFICER, org=city)
        officer = make.staff(Role.OFFICER, org=lingchuan)

    return Tree


@pytest.fixture
def cluster(make):
    def build(*orgs, name="片区", **values):
        made = make.add(Cluster(name=name, kind=ClusterKind.AREA, division_code="140524", **values))
        for org in orgs:
            make.add(ClusterMember(cluster_id=made.id, org_id=org.id))
        return made

    return build


@pytest.fixture
def closure(database):
    """Check the closure table against the parents, and return it."""

    def read():
        with database.reading() as connection:
            parents = {row.id: row.parent_id for row in connection.execute(select(Org.id, Org.parent_id))}
            found = {
                tuple(row)
                for row in connection.execute(
                    select(OrgPath.ancestor_id, OrgPath.descendant_id, OrgPath.depth)
                )
            }
        expected = set()
        for org_id in parents:
            above, depth = org_id, 0
            while above is not None:
                expected.add((above, org_id, depth))
                above, depth = parents[above], depth + 1
        assert found == expected
        return found

    return read


def body(**values):
    return {"name": "崇文镇石字岭村团支部", "kind": "branch", **values}


def as_it_is(org, **values):
    return {
        "name": org.name,
        "kind": org.kind_code,
        "parent_id": str(org.parent_id) if org.parent_id else None,
        "division_code": org.division_code,
        "status": "active",
        **values,
    }


def put(client, org, change, version="*"):
    return client.put(f"/v1/orgs/{org.id}", json=change, headers={"If-Match": version})


def names(answer):
    assert answer.status_code == 200, answer.json
    return [item["name"] for item in answer.json["items"]]


# Reading


def test_kinds_are_listed_to_everybody(client):
    items = client.get("/v1/org-kinds").json["items"]
    assert items == sorted(items, key=lambda item: item["code"])
    assert {"code": "branch", "name_zh": "团支部", "name_en": "Branch"} in items


def test_without_filters_the_roots_are_listed(client, tree):
    answer = client.get("/v1/orgs")
    assert names(answer) == ["共青团晋城市委员会"]
    assert answer.json["items"][0]["children_count"] == 2


def test_children_are_listed_below_their_parent(client, tree):
    assert names(client.get(f"/v1/orgs?parent_id={tree.city.id}")) == [
        "共青团陵川县委员会",
        "共青团高平市委员会",
    ]
    assert names(client.get(f"/v1/orgs?parent_id={tree.township.id}")) == []


def test_a_division_filters_with_all_below_it(client, tree, make):
    make.org(division_code="110000", name="驻京团工委")
    make.org(division_code=None, name="没有区划的团委")
    assert names(client.get("/v1/orgs?division=140524")) == ["共青团陵川县委员会", "共青团陵川县崇文镇委员会"]
    assert len(names(client.get("/v1/orgs?division=140500"))) == 4
    assert len(names(client.get("/v1/orgs?division=140000"))) == 4
    assert names(client.get("/v1/orgs?division=140524100")) == ["共青团陵川县崇文镇委员会"]
    assert names(client.get("/v1/orgs?division=140502")) == []


def test_kind_text_and_cluster_filter_together(client, tree, make, cluster):
    branch = make.org(tree.lingchuan, kind_code="branch", name="陵川团支部100%")
    area = cluster(branch, tree.township)
    assert names(client.get("/v1/orgs?kind=branch")) == ["陵川团支部100%"]
    assert names(client.get("/v1/orgs", query_string={"q": "崇文"})) == ["共青团陵川县崇文镇委员会"]
    assert names(client.get("/v1/orgs", query_string={"q": "0%"})) == ["陵川团支部100%"]
    assert names(client.get("/v1/orgs", query_string={"q": "_"})) == []
    assert names(client.get(f"/v1/orgs?cluster_id={area.id}")) == [
        "共青团陵川县崇文镇委员会",
        "陵川团支部100%",
    ]
    assert names(client.get(f"/v1/orgs?cluster_id={area.id}&kind=branch")) == ["陵川团支部100%"]


def test_closed_organisations_are_listed_only_when_asked_for(client, tree, make):
    make.org(tree.city, name="撤销的团委", status=OrgStatus.DISSOLVED)
    assert "撤销的团委" not in names(client.get(f"/v1/orgs?parent_id={tree.city.id}"))
    assert names(client.get(f"/v1/orgs?parent_id={tree.city.id}&status=dissolved")) == ["撤销的团委"]
    assert client.get("/v1/orgs").json["items"][0]["children_count"] == 2


def test_pages_join_without_gap_or_repetition(client, tree, make):
    for _ in range(5):
        make.org(tree.township, name="同名团支部")
    query, seen = {"parent_id": tree.township.id, "limit": 2}, []
    while True:
        page = client.get("/v1/orgs", query_string=query).json
        seen += [item["id"] for item in page["items"]]
        if page["next_cursor"] is None:
            break
        query["cursor"] = page["next_cursor"]
    assert len(seen) == len(set(seen)) == 5


def test_one_comes_with_its_path_and_clusters(client, tree, cluster):
    area = cluster(tree.township, name="崇文片区")
    org = client.get(f"/v1/orgs/{tree.township.id}").json
    assert [step["name"] for step in org["path"]] == [
        "共青团晋城市委员会",
        "共青团陵川县委员会",
        "共青团陵川县崇文镇委员会",
    ]
    assert org["clusters"] == [{"id": str(area.id), "name": "崇文片区"}]
    assert (org["kind_name"], org["kind_name_en"], org["version"], org["children_count"]) == (
        "团委",
        "League committee",
        1,
        0,
    )


def test_an_unchanged_one_is_not_sent_again(client, tree):
    first = client.get(f"/v1/orgs/{tree.city.id}")
    assert (
        client.get(f"/v1/orgs/{tree.city.id}", headers={"If-None-Match": first.headers["ETag"]}).status_code
        == 304
    )


def test_clusters_are_listed_and_read_with_members(client, tree, cluster):
    area = cluster(tree.township, tree.lingchuan, name="崇文片区")
    cluster(name="行业组合")
    page = client.get("/v1/clusters?limit=1").json
    rest = client.get("/v1/clusters", query_string={"limit": 1, "cursor": page["next_cursor"]})
    assert [item["members_count"] for item in page["items"]] + names(rest) == [2, "行业组合"]
    assert names(client.get("/v1/clusters?division=140500&kind=area")) == ["崇文片区", "行业组合"]
    assert names(client.get("/v1/clusters?division=140581")) == []
    assert names(client.get("/v1/clusters?kind=trade")) == []
    read = client.get(f"/v1/clusters/{area.id}").json
    assert [org["name"] for org in read["members"]] == ["共青团陵川县委员会", "共青团陵川县崇文镇委员会"]


@pytest.mark.parametrize(("path", "code"), [("orgs", "no_such_org"), ("clusters", "no_such_cluster")])
def test_what_does_not_exist_is_not_found(client, app, path, code):
    answer = client.get(f"/v1/{path}/{ids.new_id()}")
    assert (answer.status_code, answer.json["code"]) == (404, code)
    assert client.get(f"/v1/{path}/1").json["errors"][0]["code"] == "not_id"


def test_reads_take_a_constant_number_of_statements(client, app, tree, make, cluster):
    for _ in range(6):
        cluster(make.org(tree.township), tree.township)
    area = cluster(tree.township)
    for path, most in [
        ("/v1/org-kinds", 1),
        (f"/v1/orgs?parent_id={tree.township.id}", 1),
        ("/v1/orgs?division=140500&q=团", 1),
        (f"/v1/orgs/{tree.township.id}", 3),
        ("/v1/clusters", 1),
        (f"/v1/clusters/{area.id}", 2),
    ]:
        with count_statements(app) as sent:
            assert client.get(path).status_code == 200
        assert len(sent) <= most, path


@pytest.mark.parametrize(
    ("query", "pointer", "code"),
    [
        ("nope=1", "/nope", "unknown_field"),
        ("parent_id=1", "/parent_id", "not_id"),
        ("cluster_id=x", "/cluster_id", "not_id"),
        ("division=14", "/division", "too_short"),
        ("division=1405a2", "/division", "bad_format"),
        ("kind=Branch", "/kind", "bad_format"),
        ("kind=" + "a" * 41, "/kind", "too_long"),
        ("q=", "/q", "too_short"),
        ("q=" + "a" * 41, "/q", "too_long"),
        ("status=open", "/status", "not_choice"),
        ("limit=0", "/limit", "too_small"),
        ("cursor=AAAA", "/cursor", "bad_cursor"),
    ],
)
def test_bad_queries_name_what_is_wrong(client, app, query, pointer, code):
    answer = client.get(f"/v1/orgs?{query}")
    assert (answer.status_code, answer.json["errors"][0]["pointer"], answer.json["errors"][0]["code"]) == (
        422,
        pointer,
        code,
    )


# Making


def test_an_officer_makes_a_node_below_their_own(as_user, tree, closure, client, cluster):
    area = cluster()
    made = as_user(tree.officer.id).post(
        "/v1/orgs",
        json=body(
            parent_id=str(tree.township.id),
            division_code="140524100",
            established_on="2021-05-04",
            cluster_ids=[str(area.id)],
        ),
    )
    assert made.status_code == 201, made.json
    assert made.headers["Location"] == f"/v1/orgs/{made.json['id']}"
    assert client.get(f"/v1/orgs/{made.json['id']}").json == made.json
    assert [step["name"] for step in made.json["path"]][-2:] == [
        "共青团陵川县崇文镇委员会",
        "崇文镇石字岭村团支部",
    ]
    assert (made.json["kind"], made.json["established_on"], made.json["clusters"][0]["id"]) == (
        "branch",
        "2021-05-04",
        str(area.id),
    )
    assert len(closure()) == 1 + 2 + 2 + 3 + 4


def test_the_same_request_under_one_key_makes_one(as_user, tree, database):
    client = as_user(tree.officer.id)
    answers = [
        client.post(
            "/v1/orgs", json=body(parent_id=str(tree.township.id)), headers={"Idempotency-Key": "k-1234567"}
        )
        for _ in range(2)
    ]
    assert answers[0].json == answers[1].json
    with database.reading() as connection:
        assert len(connection.execute(select(Org.id)).all()) == 5


def test_who_may_make_a_node(client, as_user, make, tree):
    below = body(parent_id=str(tree.township.id))
    assert client.post("/v1/orgs", json=below).status_code == 401
    for person, status in [
        (make.person(), 403),
        (make.staff(Role.OFFICER, org=tree.gaoping), 403),
        (make.staff(Role.BRANCH_SECRETARY, org=tree.township), 403),
        (make.staff(Role.ANALYST, org=tree.city), 403),
        (make.staff(Role.HUB_MANAGER, hub=make.hub(tree.township)), 403),
        (make.staff(Role.OFFICER, org=tree.township), 201),
        (tree.officer, 201),
        (tree.city_officer, 201),
        (make.staff(Role.PLATFORM_ADMIN, org=tree.city), 201),
    ]:
        answer = as_user(person.id).post("/v1/orgs", json=below)
        assert answer.status_code == status, answer.json
        assert status == 201 or answer.json["code"] == "not_allowed"


def test_a_role_counts_only_from_its_start_to_its_end(as_user, make, tree, frozen):
    person, below = make.person(), body(parent_id=str(tree.township.id))
    now = clock.now()
    make.grant(person, Role.OFFICER, org=tree.city, starts_at=now - timedelta(days=2), ends_at=now)
    make.grant(person, Role.OFFICER, org=tree.city, starts_at=now + timedelta(seconds=1))
    assert as_user(person.id).post("/v1/orgs", json=below).status_code == 403
    frozen.move(seconds=1)
    assert as_user(person.id).post("/v1/orgs", json=below).status_code == 201


@pytest.mark.parametrize(
    ("change", "issue"),
    [
        ({"nope": 1}, ("/nope", "unknown_field")),
        ({"name": None}, ("/name", "null")),
        ({"name": 5}, ("/name", "not_text")),
        ({"name": "团"}, ("/name", "too_short")),
        ({"name": "团" * 81}, ("/name", "too_long")),
        ({"name": "团\n支部"}, ("/name", "bad_characters")),
        ({"kind": "团支部"}, ("/kind", "bad_format")),
        ({"parent_id": None}, ("/parent_id", "null")),
        ({"parent_id": "1"}, ("/parent_id", "not_id")),
        ({"division_code": "999999"}, ("/division_code", "no_such_division")),
        ({"division_code": "140511"}, ("/division_code", "division_retired")),
        ({"established_on": "2021-02-30"}, ("/established_on", "not_date")),
        ({"cluster_ids": "x"}, ("/cluster_ids", "not_list")),
        ({"cluster_ids": ["0199f0c2-b7a0-7c3f-9f5d-2f7a1c3e5b7d"] * 2}, ("/cluster_ids", "not_unique")),
        ({"cluster_ids": ["0199f0c2-b7a0-7c3f-9f5d-2f7a1c3e5b7d"]}, ("/cluster_ids/0", "no_such_object")),
    ],
)
def test_a_wrong_node_is_refused_and_nothing_is_made(as_user, tree, database, change, issue):
    answer = as_user(tree.officer.id).post("/v1/orgs", json=body(parent_id=str(tree.township.id)) | change)
    assert answer.status_code == 422, answer.json
    assert (answer.json["errors"][0]["pointer"], answer.json["errors"][0]["code"]) == issue
    with database.reading() as connection:
        assert len(connection.execute(select(Org.id)).all()) == 4


def test_missing_fields_are_named(as_user, tree):
    answer = as_user(tree.officer.id).post("/v1/orgs", json={})
    assert {issue["pointer"] for issue in answer.json["errors"]} == {"/name", "/kind", "/parent_id"}


def test_a_retired_division_is_stored_as_what_it_became(as_user, tree):
    answer = as_user(tree.city_officer.id).post(
        "/v1/orgs", json=body(parent_id=str(tree.gaoping.id), division_code="140523")
    )
    assert answer.json["division_code"] == "140581"


def test_unknown_parents_kinds_and_closed_parents_are_refused(as_user, make, tree):
    client = as_user(tree.city_officer.id)
    closed = make.org(tree.city, status=OrgStatus.MERGED)
    for change, status, code in [
        ({"parent_id": str(ids.new_id())}, 404, "no_such_org"),
        ({"kind": "party"}, 404, "no_such_org_kind"),
        ({"parent_id": str(closed.id)}, 409, "org_not_active"),
    ]:
        answer = client.post("/v1/orgs", json=body(parent_id=str(tree.city.id)) | change)
        assert (answer.status_code, answer.json["code"]) == (status, code)


def test_the_tree_has_a_greatest_depth(as_user, make, tree):
    lowest = tree.township
    for _ in range(MAX_LEVELS - 3):
        lowest = make.org(lowest)
    client = as_user(tree.officer.id)
    answer = client.post("/v1/orgs", json=body(parent_id=str(lowest.id)))
    assert (answer.status_code, answer.json["code"]) == (409, "org_too_deep")
    assert client.post("/v1/orgs", json=body(parent_id=str(lowest.parent_id))).status_code == 201
    assert len(client.get(f"/v1/orgs/{lowest.id}").json["path"]) == MAX_LEVELS


# Editing


def test_an_officer_edits_a_node(as_user, tree, client, cluster):
    old, new = cluster(tree.township, name="旧片区"), cluster(name="新片区")
    change = as_it_is(
        tree.township,
        name="共青团崇文镇委员会",
        established_on="2020-01-02",
        division_code=None,
        cluster_ids=[str(new.id)],
    )
    answer = put(
        as_user(tree.officer.id),
        tree.township,
        change,
        client.get(f"/v1/orgs/{tree.township.id}").headers["ETag"],
    )
    assert answer.status_code == 200, answer.json
    assert client.get(f"/v1/orgs/{tree.township.id}").json == answer.json
    assert (answer.json["name"], answer.json["division_code"], answer.json["version"]) == (
        "共青团崇文镇委员会",
        None,
        2,
    )
    assert answer.json["clusters"] == [{"id": str(new.id), "name": "新片区"}]
    assert client.get(f"/v1/clusters/{old.id}").json["members"] == []


def test_an_edit_of_an_older_copy_is_refused(as_user, tree, client):
    mine, first = as_user(tree.officer.id), client.get(f"/v1/orgs/{tree.township.id}").headers["ETag"]
    assert put(mine, tree.township, as_it_is(tree.township, name="先改的"), first).status_code == 200
    late = put(mine, tree.township, as_it_is(tree.township, name="后改的"), first)
    assert (late.status_code, late.json["code"]) == (412, "version_conflict")
    assert client.get(f"/v1/orgs/{tree.township.id}").json["name"] == "先改的"
    without = mine.put(f"/v1/orgs/{tree.township.id}", json=as_it_is(tree.township))
    assert (without.status_code, without.json["code"]) == (428, "version_required")


def test_who_may_edit_a_node(client, as_user, make, tree):
    change = as_it_is(tree.township)
    assert put(client, tree.township, change).status_code == 401
    for person, status in [
        (make.person(), 403),
        (make.staff(Role.OFFICER, org=tree.gaoping), 403),
        (make.staff(Role.BRANCH_SECRETARY, org=tree.township), 403),
        (make.staff(Role.OFFICER, org=tree.township), 200),
        (tree.city_officer, 200),
    ]:
        assert put(as_user(person.id), tree.township, change).status_code == status
    unknown = as_user(tree.city_officer.id).put(
        f"/v1/orgs/{ids.new_id()}", json=change, headers={"If-Match": "*"}
    )
    assert (unknown.status_code, unknown.json["code"]) == (404, "no_such_org")


def test_a_node_above_active_ones_is_not_closed(as_user, tree, client):
    mine = as_user(tree.city_officer.id)
    answer = put(mine, tree.lingchuan, as_it_is(tree.lingchuan, status="merged"))
    assert (answer.status_code, answer.json["code"]) == (409, "org_has_children")
    assert "1" in answer.json["detail"]
    assert client.get(f"/v1/orgs/{tree.lingchuan.id}").json["status"] == "active"
    assert put(mine, tree.township, as_it_is(tree.township, status="dissolved")).json["status"] == "dissolved"
    assert put(mine, tree.lingchuan, as_it_is(tree.lingchuan, status="merged")).json["status"] == "merged"
    reopened = put(mine, tree.township, as_it_is(tree.township))
    assert (reopened.status_code, reopened.json["code"]) == (409, "org_not_active")
    assert put(mine, tree.lingchuan, as_it_is(tree.lingchuan)).status_code == 200
    assert put(mine, tree.township, as_it_is(tree.township)).status_code == 200


def test_a_root_stays_a_root_and_nothing_else_becomes_one(as_user, tree, make):
    mine = as_user(tree.city_officer.id)
    assert put(mine, tree.city, as_it_is(tree.city, name="晋城团市委")).json["name"] == "晋城团市委"
    for org, parent_id, code in [
        (tree.lingchuan, None, "null"),
        (tree.city, str(tree.lingchuan.id), "invalid"),
    ]:
        answer = put(mine, org, as_it_is(org, parent_id=parent_id))
        assert (
            answer.status_code,
            answer.json["errors"][0]["pointer"],
            answer.json["errors"][0]["code"],
        ) == (422, "/parent_id", code)


@pytest.mark.parametrize(
    ("change", "refusal"),
    [
        ({"kind": "party"}, (404, "no_such_org_kind")),
        ({"division_code": "140511"}, (422, "invalid_input")),
        ({"cluster_ids": ["0199f0c2-b7a0-7c3f-9f5d-2f7a1c3e5b7d"]}, (422, "invalid_input")),
        ({"status": "gone"}, (422, "invalid_input")),
        ({"nope": 1}, (422, "invalid_input")),
    ],
)
def test_a_wrong_edit_is_refused_and_nothing_is_changed(as_user, tree, client, change, refusal):
    before = client.get(f"/v1/orgs/{tree.township.id}").json
    answer = put(as_user(tree.officer.id), tree.township, as_it_is(tree.township, name="不会改成") | change)
    assert (answer.status_code, answer.json["code"]) == refusal
    assert client.get(f"/v1/orgs/{tree.township.id}").json == before


def test_an_edit_keeps_a_division_that_was_retired_since(as_user, tree, make):
    old = make.org(tree.city, division_code="140511")
    answer = put(as_user(tree.city_officer.id), old, as_it_is(old, name="改了名的团委"))
    assert (answer.status_code, answer.json["division_code"]) == (200, "140511")


def test_of_two_edits_at_once_on_one_copy_one_is_refused(as_user, tree, client):
    mine, first = as_user(tree.officer.id), client.get(f"/v1/orgs/{tree.township.id}").headers["ETag"]
    with ThreadPoolExecutor(8) as pool:
        edits = [
            pool.submit(put, mine, tree.township, as_it_is(tree.township, name=f"改名{n}"), first)
            for n in range(8)
        ]
    assert sorted(edit.result().status_code for edit in edits) == [200] + [412] * 7


# Moving


def to_gaoping(tree):
    """Below 高平, and no longer of a division of 陵川."""
    return as_it_is(tree.township, parent_id=str(tree.gaoping.id), division_code=None)


def test_a_moved_node_takes_all_below_it_along(as_user, tree, make, closure, client):
    branch = make.org(make.org(tree.township, division_code=None), division_code=None)
    answer = put(as_user(tree.city_officer.id), tree.township, to_gaoping(tree))
    assert answer.status_code == 200, answer.json
    assert [step["id"] for step in answer.json["path"]] == [
        str(org.id) for org in (tree.city, tree.gaoping, tree.township)
    ]
    assert (tree.gaoping.id, branch.id, 3) in closure()
    assert not any(
        ancestor == tree.lingchuan.id and descendant == branch.id for ancestor, descendant, _ in closure()
    )


def test_roles_follow_a_move(as_user, tree, make):
    gaoping_officer = make.staff(Role.OFFICER, org=tree.gaoping)
    below = body(parent_id=str(tree.township.id))
    assert as_user(gaoping_officer.id).post("/v1/orgs", json=below).status_code == 403
    put(as_user(tree.city_officer.id), tree.township, to_gaoping(tree))
    assert as_user(gaoping_officer.id).post("/v1/orgs", json=below).status_code == 201
    assert as_user(tree.officer.id).post("/v1/orgs", json=below).status_code == 403


def test_a_move_takes_a_role_on_both_sides(as_user, tree, make, closure):
    own_and_new = make.staff(Role.OFFICER, org=tree.township)
    make.grant(own_and_new, Role.OFFICER, org=tree.gaoping)
    for person in (tree.officer, own_and_new, make.staff(Role.OFFICER, org=tree.gaoping)):
        assert put(as_user(person.id), tree.township, to_gaoping(tree)).status_code == 403
    before = closure()
    make.grant(tree.officer, Role.OFFICER, org=tree.gaoping)
    assert put(as_user(tree.officer.id), tree.township, to_gaoping(tree)).status_code == 200
    assert closure() != before


def test_nothing_is_moved_below_itself(as_user, tree, closure):
    mine = as_user(tree.city_officer.id)
    before = closure()
    for parent in (tree.lingchuan, tree.township):
        answer = put(mine, tree.lingchuan, as_it_is(tree.lingchuan, parent_id=str(parent.id)))
        assert (answer.status_code, answer.json["code"]) == (409, "org_below_itself")
    assert closure() == before


def test_a_move_below_what_is_closed_or_unknown_is_refused(as_user, tree, make):
    mine = as_user(tree.city_officer.id)
    closed = make.org(tree.city, division_code=None, status=OrgStatus.DISSOLVED)
    assert (
        put(mine, tree.township, as_it_is(tree.township, parent_id=str(closed.id))).json["code"]
        == "org_not_active"
    )
    assert (
        put(mine, tree.township, as_it_is(tree.township, parent_id=str(ids.new_id()))).json["code"]
        == "no_such_org"
    )


def test_a_node_becomes_a_root_and_an_only_root_only_by_import(database, tree, closure):
    with database.transaction() as session:
        service.place(session, session.get_one(Org, tree.lingchuan.id), None)
    assert (tree.lingchuan.id, tree.township.id, 1) in closure()


def test_nodes_made_while_their_parent_moves_get_the_new_path(database, tree, make, closure, frozen):
    """Whatever the interleaving, the closure agrees with the parents."""
    branch = make.org(tree.township)
    barrier, failures = threading.Barrier(4), []

    def move(parents):
        for parent in parents:
            with database.transaction() as session:
                service.place(
                    session, session.get_one(Org, tree.township.id), session.get_one(Org, parent.id)
                )

    def enter():
        for _ in range(10):
            with database.transaction() as session:
                org = Org(name="新团支部", kind_code="branch", created_at=clock.now())
                service.place(session, org, session.get_one(Org, branch.id))

    def run(work):
        try:
            barrier.wait()
            work()
        except Exception as error:
            failures.append(error)

    works = [
        lambda: move([tree.gaoping, tree.lingchuan] * 5),
        lambda: move([tree.lingchuan, tree.city] * 5),
        enter,
        enter,
    ]
    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(closure()) > 80


def test_two_moves_at_once_make_no_circle(database, tree, closure):
    barrier, refused = threading.Barrier(2), []

    def move(org, parent):
        try:
            with database.transaction() as session:
                loaded = session.get_one(Org, org.id), session.get_one(Org, parent.id)
                if not database.is_sqlite:  # there the second transaction begins when the first has ended
                    barrier.wait(timeout=10)
                service.place(session, *loaded)
        except OrgBelowItself as error:
            refused.append(error)

    pairs = [(tree.lingchuan, tree.gaoping), (tree.gaoping, tree.lingchuan)]
    threads = [threading.Thread(target=move, args=pair) for pair in pairs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(refused) == 1
    closure()
