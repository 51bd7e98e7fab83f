"""Auditors search, page and export the log; nobody else reads it, and reading it is an entry."""

from __future__ import annotations

import csv
import io

import pytest
from counting import count_statements
from sqlalchemy import event

from engage.audit.service import seal_due
from engage.core import ids
from engage.identity.tokens.api_keys import new_key
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


def test_entries_are_found_by_request_address_session_and_key(reader, told, make, as_user, app, log):
    owner = make.staff(Role.ANALYST, org=make.org())
    made = new_key()
    key = make.api_key(owner, made, scopes=["read_evidence"])
    script = app.test_client()
    script.environ_base |= {"HTTP_AUTHORIZATION": f"Bearer {made.text}", "REMOTE_ADDR": "2001:db8::7"}
    assert script.get(f"/v1/activities/{owner.id}/evidence").json["code"] == "no_such_activity"
    assert script.get(URL).status_code == 403
    phone = as_user(owner.id)
    phone.environ_base["REMOTE_ADDR"] = "203.0.113.7"
    assert phone.get("/v1/role-grants", headers={"X-Request-Id": "of-a-client.1"}).status_code == 200
    by_key, refused, by_phone = log()[-3:]
    assert (refused.result, refused.api_key_id, refused.session_id) == ("not_allowed", key.id, None)
    for query, expected in (
        ({"request_id": "of-a-client.1"}, [by_phone]),
        ({"request_id": refused.request_id}, [refused]),
        ({"address": "203.0.113.7"}, [by_phone]),
        ({"address": "2001:db8::7"}, [refused, by_key]),
        ({"session_id": by_phone.session_id}, [by_phone]),
        ({"api_key_id": key.id}, [refused, by_key]),
        ({"api_key_id": key.id, "result": "no_such_activity"}, [by_key]),
        ({"address": "2001:db8::7", "session_id": by_phone.session_id}, []),
        ({"api_key_id": owner.id}, []),
    ):
        items = reader.get(URL, query_string=query).json["items"]
        assert [item["id"] for item in items] == [str(entry.id) for entry in expected], query
        rows = reader.get(f"{URL}/export", query_string=query).get_data().decode("utf-8-sig")
        assert [row["编号"] for row in csv.DictReader(io.StringIO(rows))] == [item["id"] for item in items]


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ({"request_id": "short"}, "too_short"),
        ({"request_id": "has a space"}, "bad_format"),
        ({"request_id": "x" * 65}, "too_long"),
        ({"address": "10.0.0.0/8"}, "bad_format"),
        ({"address": "example.cn"}, "bad_format"),
        ({"address": "1" * 46}, "too_long"),
        ({"session_id": "1"}, "not_id"),
        ({"api_key_id": "engage_x"}, "not_id"),
    ],
)
def test_filters_that_cannot_be_are_named(reader, query, code):
    for url in (URL, f"{URL}/export"):
        answer = reader.get(url, query_string=query)
        assert (answer.status_code, answer.json["errors"][0]["code"]) == (422, code)
        assert answer.json["errors"][0]["pointer"] == f"/{next(iter(query))}"


def test_each_filter_has_its_index(reader, told, database):
    """The planner of PostgreSQL is kept from reading a table of a few rows as a whole."""
    sent = []
    listen = lambda _c, _cursor, statement, values, *_: sent.append((statement, values))
    event.listen(database.reader, "before_cursor_execute", listen)
    filters = {
        "actor_id": ids.new_id(), "action": "log_out", "request_id": "x" * 32, "address": "203.0.113.7",
        "session_id": ids.new_id(), "api_key_id": ids.new_id(), "result": "not_allowed",
    }  # fmt: skip
    for name, value in filters.items():
        sent.clear()
        assert reader.get(URL, query_string={name: value}).status_code == 200
        statement, values = next(each for each in sent if "FROM audit_entry" in each[0])
        with database.writer.begin() as connection:
            if not database.is_sqlite:
                connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
                connection.exec_driver_sql("SET LOCAL enable_sort = off")
            explain = "EXPLAIN QUERY PLAN " if database.is_sqlite else "EXPLAIN "
            plan = str(connection.exec_driver_sql(explain + statement, values).all())
        index = "ix_audit_entry_refused" if name == "result" else f"ix_audit_entry_{name}"
        assert index in plan, plan
    event.remove(database.reader, "before_cursor_execute", listen)


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
