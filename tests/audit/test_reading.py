"""Auditors search, page and export the log; nobody else reads it, and reading it is an entry."""

from __future__ import annotations

import csv
import io

import pytest
from counting import count_statements

from engage.audit.service import seal_due
from engage.orgs.models import Role

URL = "/v1/audit/entries"


@pytest.fixture
def reader(frozen, make, as_user):
    return as_user(make.staff(Role.PLATFORM_ADMIN, org=make.org()).id)


@pytest.fixture
def told(reader, make, as_user, frozen):
    """Six entries, a minute apart, of two officers."""
    org = make.org()
    people = [make.staff(Role.OFFICER, org=org), make.staff(Role.OFFICER, org=make.org())]
    projects = [make.project(org), make.project(org)]
    for person in people:
        for project in projects:
            body = {"name": f"新{project.name}", "org_id": str(org.id), "summary": None, "status": "active"}
            as_user(person.id).put(f"/v1/projects/{project.id}", json=body, headers={"If-Match": "*"})
            frozen.move(minutes=1)
        activity = make.activity(org)
        as_user(person.id).get(f"/v1/activities/{activity.id}/sign-ups")
        frozen.move(minutes=1)
    return people, projects


def ask(reader, **query):
    answer = reader.get(URL, query_string={"limit": 100, **query})
    assert answer.status_code == 200, answer.json
    return [item for item in answer.json["items"] if item["action"] != "list_audit_entries"]


def test_entries_are_found_by_who_what_object_result_and_time(reader, told, frozen):
    people, projects = told
    everything = ask(reader)
    assert len(everything) == 6
    assert [item["occurred_at"] for item in everything] == sorted(
        (item["occurred_at"] for item in everything), reverse=True
    )
    for query, expected in (
        ({"actor_id": people[0].id}, [item for item in everything if item["actor_id"] == str(people[0].id)]),
        ({"object_id": projects[0].id}, [item for item in everything if item["object_id"] == str(projects[0].id)]),
        ({"action": "edit_project"}, [item for item in everything if item["action"] == "edit_project"]),
        ({"result": "done"}, everything[3:]),
        ({"result": "not_allowed"}, everything[:3]),
        ({"from": everything[2]["occurred_at"]}, everything[:3]),
        ({"until": everything[2]["occurred_at"]}, everything[3:]),
        ({"result": "done", "action": "list_sign_ups", "actor_id": people[0].id}, everything[3:4]),
    ):  # fmt: skip
        assert 0 < len(expected) <= 6
        assert ask(reader, **query) == expected, query
    assert (
        reader.get(
            URL, query_string={"from": "2026-10-02T00:00:00Z", "until": "2026-10-01T00:00:00Z"}
        ).status_code
        == 422
    )


def test_pages_follow_each_other_without_gap_or_repetition(reader, told):
    seen, cursor = [], None
    until = "2026-10-01T10:05:30+08:00"
    while True:
        page = reader.get(
            URL, query_string={"limit": 2, "until": until} | ({"cursor": cursor} if cursor else {})
        ).json
        seen += page["items"]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert len(seen) == len({item["id"] for item in seen}) == 6


def test_an_entry_says_whether_it_is_sealed(reader, told, database):
    assert {(item["sealed"], item["position"]) for item in ask(reader)} == {(False, None)}
    seal_due(database)
    sealed = ask(reader)
    assert all(item["sealed"] for item in sealed)
    assert sorted(item["position"] for item in sealed) == [1, 2, 3, 4, 5, 6]


def test_the_export_has_the_rows_of_the_list(reader, told):
    listed = ask(reader, action="edit_project")
    answer = reader.get(f"{URL}/export", query_string={"action": "edit_project"})
    rows = list(csv.DictReader(io.StringIO(answer.get_data().decode("utf-8-sig"))))
    assert [row["编号"] for row in rows] == [item["id"] for item in listed]
    assert [row["结果"] for row in rows] == [item["result"] for item in listed]
    assert any("→" in row["变更"] for row in rows)


def test_reading_the_log_is_an_entry(reader, log, app):
    with count_statements(app) as sent:
        reader.get(URL)
    assert len(sent) == 4  # who and whether staff, whether a reader, the page, the entry
    reader.get(f"{URL}/export")
    assert [(entry.action, entry.people) for entry in log()] == [
        ("list_audit_entries", 0),
        ("export_audit_entries", 1),
    ]


def test_only_auditors_and_administrators_read_it(make, as_user, log):
    org, hub = make.org(), make.hub()
    for role in (Role.OFFICER, Role.ANALYST, Role.BRANCH_SECRETARY):
        client = as_user(make.staff(role, org=org).id)
        assert client.get(URL).json["code"] == client.get(f"{URL}/export").json["code"] == "not_allowed"
    assert as_user(make.staff(Role.HUB_MANAGER, hub=hub).id).get(URL).status_code == 403
    part = make.org(org)
    for role in (Role.PLATFORM_ADMIN, Role.AUDITOR):  # of a part of the tree; the log is about all of it
        assert as_user(make.staff(role, org=part).id).get(URL).status_code == 403
    assert {entry.result for entry in log()} == {"not_allowed"}
    assert as_user(make.staff(Role.AUDITOR, org=org).id).get(URL).status_code == 200
