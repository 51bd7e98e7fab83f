"""What is an entry, what is none, and that no entry says what somebody's personal data are."""

from __future__ import annotations

import re
from types import SimpleNamespace
from urllib.parse import quote

import pytest
from bodies import activity_body
from counting import count_statements
from identity.conftest import ScriptedGateway
from sqlalchemy import func, select, text, update
from test_bad_input import required_query

from engage.activities.models import Activity, Project
from engage.app import APIS
from engage.core import audit, ids, openapi
from engage.core.errors import DatabaseBusy
from engage.core.http import PREFIX
from engage.enclaves.models import EnclaveApplication
from engage.identity.models import AuthSession, Person, PersonStatus
from engage.orgs.models import Role, RoleGrant

OPERATIONS = [operation for api in APIS for operation in api.operations]


@pytest.fixture
def desk(frozen, make, as_user):
    """An officer with something of every kind to act upon."""
    org = make.org()
    person = make.staff(Role.OFFICER, org=org)
    project = make.project(org)
    return SimpleNamespace(org=org, person=person, officer=as_user(person.id), project=project)


def project_body(desk, **values):
    return {
        "name": "团青有约",
        "org_id": str(desk.org.id),
        "summary": "李晓负责",
        "status": "active",
        **values,
    }


def test_what_staff_write_is_an_entry_with_what_changed(desk, log, app, database):
    url = f"/v1/projects/{desk.project.id}"
    body = project_body(desk, status="archived")
    with count_statements(app) as sent:
        answer = desk.officer.put(url, json=body, headers={"If-Match": "*"})
    assert answer.status_code == 200
    assert sum("audit_" in statement for statement in sent) == 1
    (entry,) = log()
    assert (entry.action, entry.result, entry.actor_id) == ("edit_project", "done", desk.person.id)
    assert (entry.object_kind, entry.object_id, entry.part_id) == ("projects", desk.project.id, None)
    assert entry.request_id == answer.headers["X-Request-Id"]
    assert (entry.address, entry.people, entry.purpose, entry.api_key_id) == ("127.0.0.1", None, None, None)
    with database.reading() as connection:
        session_id = connection.scalar(text("SELECT id FROM auth_session"))
    assert str(entry.session_id).replace("-", "") == str(session_id).replace("-", "")
    changes = {change["field"]: change for change in entry.changes["items"]}
    assert {change["id"] for change in changes.values()} == {str(desk.project.id)}
    named = {name: (change.get("before"), change.get("after")) for name, change in changes.items()}
    assert named["name"] == (desk.project.name, "团青有约")
    assert named["status"] == ("active", "archived")
    assert named["summary"] == (None, None)
    assert "李晓" not in str(entry.changes)


def test_what_is_made_is_the_object_or_a_part_of_it(desk, log, make, frozen):
    made = desk.officer.post("/v1/activities", json=activity_body(desk.project, frozen.now)).json
    activity, somebody = make.activity(desk.org), make.person()
    url = f"/v1/activities/{activity.id}/sign-ups"
    added = desk.officer.post(url, json={"person_id": str(somebody.id)}).json
    desk.officer.post(f"{url}/{added['id']}/cancellation", json={"reason": "李晓的妈妈来电"})
    first, second, third = log()
    assert (first.action, str(first.object_id), first.part_id) == ("create_activity", made["id"], None)
    assert {"object": "activity", "id": made["id"], "field": "capacity", "before": None, "after": "2"} in first.changes["items"]  # fmt: skip
    assert (second.action, second.object_id, str(second.part_id)) == ("add_person", activity.id, added["id"])
    assert (third.action, third.object_id, str(third.part_id)) == ("cancel_sign_up", activity.id, added["id"])
    assert third.changes["items"] == [
        {
            "object": "sign_up",
            "id": added["id"],
            "field": "state",
            "before": "confirmed",
            "after": "cancelled",
        }
    ]


def test_more_changes_than_fit_are_counted(desk, log, make, database, monkeypatch):
    monkeypatch.setattr(audit, "MAX_CHANGES", 1)
    desk.officer.put(f"/v1/projects/{desk.project.id}", json=project_body(desk), headers={"If-Match": "*"})
    assert (len(log()[0].changes["items"]), log()[0].changes["omitted"]) == (1, 1)


def test_a_key_that_acts_for_somebody_is_named_beside_them(log, database, frozen):
    owner, key = ids.new_id(), ids.new_id()
    with database.transaction() as session:
        actor = SimpleNamespace(id=owner, session_id=None, key_id=key)
        audit.record(session, frozen.now, "list_sign_ups", actor=actor, people=1)
    assert [(entry.actor_id, entry.api_key_id, entry.session_id) for entry in log()] == [(owner, key, None)]


def test_a_rehearsal_is_an_entry_without_changes(desk, log, make, frozen):
    activity = make.activity(desk.org, project_id=desk.project.id)
    change = activity_body(desk.project, frozen.now, capacity=7)
    answer = desk.officer.post(f"/v1/activities/{activity.id}/change-preview", json={"change": change})
    assert answer.status_code == 200, answer.json
    assert [(entry.action, entry.changes) for entry in log()] == [("preview_change", None)]


def test_a_request_that_is_repeated_under_its_key_is_told_as_that(desk, log, frozen, database):
    body, key = activity_body(desk.project, frozen.now), {"Idempotency-Key": "k" * 20}
    answers = [desk.officer.post("/v1/activities", json=body, headers=key) for _ in range(2)]
    assert answers[1].headers["Idempotency-Replayed"] == "true"
    assert answers[1].data == answers[0].data
    done, repeated = log()
    assert (done.action, done.result) == (repeated.action, "done") == ("create_activity", "done")
    assert (repeated.result, repeated.changes) == ("repeated", None)
    assert str(repeated.object_id) == str(done.object_id) == answers[0].json["id"]
    with database.reading() as connection:
        assert connection.scalar(select(func.count()).select_from(Activity)) == 1


def test_an_answer_is_given_again_to_staff_only_while_they_might_still_ask_for_it(
    desk, log, make, as_user, database, frozen
):
    hub, somebody = make.hub(desk.org), make.person(name="王秘密")
    person = make.staff(Role.HUB_MANAGER, hub=hub)
    make.grant(person, Role.DELEGATE, org=desk.org)  # still staff, afterwards
    manager, activity = as_user(person.id), make.activity(desk.org, hub)

    def add():
        return manager.post(
            f"/v1/activities/{activity.id}/sign-ups",
            json={"person_id": str(somebody.id)},
            headers={"Idempotency-Key": "k" * 20},
        )

    def create():
        body = activity_body(desk.project, frozen.now, org_id=None, hub_id=str(hub.id))
        return manager.post("/v1/activities", json=body, headers={"Idempotency-Key": "k" * 21})

    for ask in (add, create):
        first, again = ask(), ask()
        assert first.status_code == again.status_code == 201
        assert again.data == first.data
    with database.transaction() as session:
        mine = (RoleGrant.person_id == person.id, RoleGrant.role == Role.HUB_MANAGER)
        session.execute(update(RoleGrant).where(*mine).values(ended_at=frozen.now, end_reason="调离"))
    added, created = add(), create()
    assert (added.status_code, added.json["code"]) == (403, "not_allowed")
    assert somebody.name not in added.text
    assert (created.status_code, created.json["code"]) == (422, "invalid_input")
    assert [(entry.action, entry.result) for entry in log()] == [
        *(("add_person", result) for result in ("done", "repeated")),
        *(("create_activity", result) for result in ("done", "repeated")),
        ("add_person", "not_allowed"),
        ("create_activity", "invalid_input"),
    ]
    assert log()[0].part_id == log()[1].part_id is not None


def test_what_refuses_a_repetition_only_because_it_was_done_is_no_reason_not_to_answer(
    desk, log, make, frozen
):
    branch, applicant = make.enclave_branch(desk.org), make.person()
    application = make.add(
        EnclaveApplication(branch_id=branch.id, person_id=applicant.id, created_at=frozen.now)
    )
    url, key = f"/v1/enclave-applications/{application.id}/approval", {"Idempotency-Key": "k" * 20}
    assert [desk.officer.post(url, headers=key).status_code for _ in range(2)] == [200, 200]
    assert desk.officer.post(url).json["code"] == "already_decided"
    assert [entry.result for entry in log()] == ["done", "repeated", "already_decided"]
    assert [entry.changes for entry in log()[1:]] == [None, None]


def test_what_is_refused_to_somebody_known_is_an_entry_and_nothing_else(desk, log, make, as_user):
    member = make.person()
    elsewhere = as_user(make.staff(Role.OFFICER, org=make.org()).id)
    make.project(desk.org, name="已有")
    url = f"/v1/projects/{desk.project.id}"
    body, any_version = project_body(desk), {"If-Match": "*"}
    activity = make.activity(desk.org)
    for client, method, path, sent, code in (
        (as_user(member.id), "PUT", url, body, "not_allowed"),
        (elsewhere, "PUT", url, body, "not_allowed"),
        (desk.officer, "PUT", f"/v1/projects/{member.id}", body, "no_such_project"),
        (desk.officer, "PUT", url, body | {"name": "已有"}, None),
        (elsewhere, "GET", f"/v1/activities/{activity.id}/sign-ups", None, "not_allowed"),
        (desk.officer, "POST", f"/v1/activities/{activity.id}/closure", {"summary": "完"}, None),
    ):
        answer = client.open(path, method=method, json=sent, headers=any_version)
        assert answer.status_code in (403, 404, 409, 412), answer.json
        assert code in (None, answer.json["code"])
        entry = log()[-1]
        assert (entry.result, entry.request_id) == (answer.json["code"], answer.headers["X-Request-Id"])
        assert (entry.changes, entry.people) == (None, None)
    assert len(log()) == 6
    assert log()[0].actor_id == member.id
    stale = desk.officer.put(url, json=body, headers={"If-Match": '"7-0123456789abcdef"'})
    assert log()[-1].result == stale.json["code"] == "version_conflict"
    assert log()[-1].object_id == desk.project.id


def test_a_refused_attempt_tells_at_what_and_for_whom_also_where_only_its_body_says(
    desk, log, make, as_user, frozen
):
    officer = make.staff(Role.OFFICER, org=make.org())
    elsewhere, somebody, hub = as_user(officer.id), make.person(), make.hub(desk.org)
    activity = make.activity(desk.org)
    at_org, at_hub = {"org_id": str(desk.org.id)}, {"hub_id": str(hub.id)}
    for_whom, why = {"person_id": str(somebody.id)}, {"reason": "李晓的妈妈来电"}
    finding = {"kind": "suggestion", "text": why["reason"]}
    for path, body, named in (
        ("role-grants", {"role": "officer", **for_whom, **at_org, **why}, (desk.org.id, somebody.id)),
        ("role-grants", {"role": "hub_manager", **for_whom, **at_hub, **why}, (hub.id, somebody.id)),
        ("role-invitations", {"role": "officer", **at_org, **why}, (desk.org.id, None)),
        ("findings", {"activity_id": str(activity.id), **finding}, (activity.id, None)),
        ("findings", {**at_hub, **finding}, (hub.id, None)),
        ("activities", activity_body(desk.project, frozen.now), (desk.project.id, desk.org.id)),
        (f"activities/{activity.id}/sign-ups", for_whom, (activity.id, somebody.id)),
    ):
        answer = elsewhere.post(f"/v1/{path}", json=body)
        assert (answer.status_code, answer.json["code"]) == (403, "not_allowed"), (path, answer.json)
        entry = log()[-1]
        assert (entry.object_kind, entry.result) == (path.split("/")[0], "not_allowed")
        assert (entry.actor_id, entry.object_id, entry.part_id) == (officer.id, *named), path
        assert "李晓" not in str(tuple(entry))
    assert len(log()) == 7


def test_what_people_do_for_themselves_and_what_nobody_did_is_none(desk, log, make, as_user, client):
    member = as_user(make.person().id)
    url = f"/v1/activities/{make.activity(desk.org).id}"
    assert member.put(f"{url}/sign-up", json={}).status_code == 200
    assert member.delete(f"{url}/sign-up").status_code == 204
    for path in (
        url,
        "/v1/activities",
        "/v1/me",
        "/v1/statistics/participation?from=2026-10-01&to=2026-10-02&by=county",
    ):
        assert desk.officer.get(path).status_code == 200
    assert client.get(f"{url}/sign-ups").status_code == 401
    assert desk.officer.post("/v1/projects", json={}).status_code == 422
    assert log() == []


def test_there_is_no_effect_and_no_answer_without_its_entry(desk, log, make, database, monkeypatch):
    def fail(*_, **__):
        raise DatabaseBusy

    somebody = make.person()
    activity = make.activity(desk.org)
    make.sign_up(activity, somebody)
    monkeypatch.setattr(audit, "record", fail)
    url = f"/v1/projects/{desk.project.id}"
    answers = (
        desk.officer.put(url, json=project_body(desk), headers={"If-Match": "*"}),
        desk.officer.get(f"/v1/activities/{activity.id}/sign-ups"),
        desk.officer.get(f"/v1/activities/{activity.id}/sign-ups/export"),
    )
    assert [answer.status_code for answer in answers] == [503] * 3
    assert all(somebody.name not in answer.text for answer in answers)
    with database.reading() as connection:
        name = connection.scalar(select(Project.name).where(Project.id == desk.project.id))
    assert name == desk.project.name


def test_reading_personal_data_is_an_entry_with_how_many_people(desk, log, make, as_user, frozen):
    activity = make.activity(desk.org)
    for _ in range(3):
        make.sign_up(activity, make.person(name="第一行\n第二行"))
    make.feedback(activity, make.person())
    branch, applicant = make.enclave_branch(desk.org), make.person()
    application = make.add(
        EnclaveApplication(branch_id=branch.id, person_id=applicant.id, created_at=frozen.now)
    )
    reads = {
        f"/v1/activities/{activity.id}/sign-ups?limit=2": ("list_sign_ups", 2),
        f"/v1/activities/{activity.id}/sign-ups/export": ("export_sign_ups", 3),
        f"/v1/activities/{activity.id}/roster": ("read_roster", 3),
        f"/v1/activities/{activity.id}/hours": ("list_activity_hours", 3),
        f"/v1/activities/{activity.id}/feedback-entries": ("list_feedback", 1),
        "/v1/credit-appeals": ("list_credit_appeals", 0),
        f"/v1/enclave-branches/{branch.id}/applications": ("list_enclave_applications", 1),
        f"/v1/enclave-branches/{branch.id}/participants": ("list_enclave_participants", 0),
        f"/v1/enclave-applications/{application.id}": ("read_enclave_application", 1),
    }
    for path, (action, people) in reads.items():
        assert desk.officer.get(path).status_code == 200, path
        entry = log()[-1]
        assert (entry.action, entry.people, entry.result) == (action, people, "done")
        assert entry.actor_id == desk.person.id
    assert len(log()) == len(reads)
    own = as_user(applicant.id).get(f"/v1/enclave-applications/{application.id}")
    assert own.status_code == 200
    assert len(log()) == len(reads)


def test_reaching_for_an_application_of_somebody_else_is_an_entry_and_ones_own_refusals_are_none(
    desk, log, make, as_user, frozen
):
    applicant = make.person()
    application = make.add(
        EnclaveApplication(
            branch_id=make.enclave_branch(desk.org).id, person_id=applicant.id, created_at=frozen.now
        )
    )
    url = f"/v1/enclave-applications/{application.id}"
    elsewhere = make.staff(Role.OFFICER, org=make.org())
    officer, member = as_user(elsewhere.id), as_user(applicant.id)
    read, withdrawn = officer.get(url), officer.post(f"{url}/withdrawal")
    assert (read.status_code, withdrawn.status_code) == (404, 404)
    attempts = [("read_enclave_application", read), ("withdraw_enclave_application", withdrawn)]
    assert [(e.action, e.result, e.actor_id, e.object_id, e.people, e.request_id) for e in log()] == [
        (action, "no_such_enclave_application", elsewhere.id, application.id, None, answer.headers["X-Request-Id"])
        for action, answer in attempts
    ]  # fmt: skip
    assert member.post(f"{url}/withdrawal").status_code == 200
    assert member.post(f"{url}/withdrawal").json["code"] == "already_decided"
    assert member.get(url, headers={"X-Purpose": "a%00b"}).status_code == 422
    assert member.post("/v1/auth/logout").status_code == 204
    assert member.get(url).json["code"] == "session_ended"
    assert [entry.action for entry in log()[2:]] == ["log_out"]


def test_what_the_data_are_for_is_kept_when_it_is_said(desk, log, make):
    url = f"/v1/activities/{make.activity(desk.org).id}/sign-ups"

    def read(purpose):
        return desk.officer.get(url, headers={"X-Purpose": purpose})

    assert read(quote("核对到场人数")).status_code == 200
    assert log()[-1].purpose == "核对到场人数"
    assert read("%20").status_code == 200
    assert log()[-1].purpose is None
    for wrong, code in (("x" * 201, "too_long"), ("a%00b", "bad_characters")):
        assert read(wrong).json["errors"][0] | {"detail": ""} == {
            "pointer": "/X-Purpose",
            "code": code,
            "detail": "",
        }
        assert (log()[-1].result, log()[-1].purpose) == ("invalid_input", None)


def test_log_in_log_out_and_a_stolen_refresh_token_are_entries(
    log, client, app, database, monkeypatch, frozen
):
    gateway = ScriptedGateway(database)
    monkeypatch.setitem(app.extensions, "engage.wechat", gateway)
    gateway.openids |= {"code-1": "openid-of-one", "code-2": "openid-of-one"}
    first, second = (
        client.post("/v1/auth/wechat/login", json={"code": code}).json for code in ("code-1", "code-2")
    )
    bearer = {"Authorization": f"Bearer {first['access_token']}"}
    assert client.post("/v1/auth/logout", headers=bearer).status_code == 204
    token = second["refresh_token"]
    assert client.post("/v1/auth/refresh", json={"refresh_token": token}).status_code == 200
    frozen.move(minutes=5)
    assert (
        client.post("/v1/auth/refresh", json={"refresh_token": token}).json["code"] == "refresh_token_reused"
    )
    entries = log()
    assert [(entry.action, entry.result) for entry in entries] == [
        ("log_in_with_wechat", "done"),
        ("log_in_with_wechat", "done"),
        ("log_out", "done"),
        ("refresh", "refresh_token_reused"),
    ]
    with database.reading() as connection:
        assert {entry.actor_id for entry in entries} == {connection.scalar(select(Person.id))}
    assert entries[0].session_id == entries[2].session_id != entries[1].session_id == entries[3].session_id


@pytest.mark.parametrize(
    ("status", "code"),
    [(PersonStatus.SUSPENDED, "account_suspended"), (PersonStatus.CLOSED, "account_closed")],
)
def test_log_in_and_refresh_of_an_account_that_may_not_be_used_are_entries_once_in_a_minute(
    log, client, app, database, monkeypatch, frozen, status, code
):
    gateway = ScriptedGateway(database)
    monkeypatch.setitem(app.extensions, "engage.wechat", gateway)
    gateway.openids |= dict.fromkeys(("code-1", "code-2", "code-3"), "openid-of-one")

    def log_in(wechat_code):
        return client.post("/v1/auth/wechat/login", json={"code": wechat_code})

    tokens = log_in("code-1").json
    with database.transaction() as session:
        person_id = session.scalar(select(Person.id))
        session.execute(update(Person).values(status=status))
        session.execute(update(AuthSession).values(ended_at=frozen.now))
    before = len(log())
    for again in ("code-1", "code-2"):
        assert log_in(again).json["code"] == code
    for _ in range(3):
        answer = client.post("/v1/auth/refresh", json={"refresh_token": tokens["refresh_token"]})
        assert answer.json["code"] == code
    frozen.move(seconds=60)
    assert log_in("code-3").json["code"] == code
    entries = log()[before:]
    assert [(entry.action, entry.result) for entry in entries] == [
        ("log_in_with_wechat", code),
        ("refresh", code),
        ("log_in_with_wechat", code),
    ]
    assert {entry.actor_id for entry in entries} == {person_id}
    assert [entry.session_id for entry in entries] == [None, log()[0].session_id, None]
    assert {entry.address for entry in entries} == {"127.0.0.1"}


def test_commands_are_entries_without_an_actor(log, make, database, own_log, monkeypatch, tmp_path):
    from click.testing import CliRunner

    from engage.cli.commands import engage

    monkeypatch.setenv("ENGAGE_DATABASE_URL", database.settings.database_url)
    person, org = make.person(), make.org()
    for command in (
        ["grant", person.id, "officer", "--org", org.id, "--reason", "市委文件 12 号"],
        ["person", "suspend", person.id, "--reason", "复核"],
        ["person", "restore", person.id, "--reason", "申诉成立"],
    ):
        result = CliRunner().invoke(engage, [str(word) for word in command])
        assert result.exit_code == 0, result.output
    granted, suspended, restored = log()
    assert (granted.action, granted.actor_id, granted.purpose) == ("command grant", None, "市委文件 12 号")
    assert granted.object_id == person.id
    values = {change["field"]: change["after"] for change in granted.changes["items"]}
    assert (values["role"], values["org_id"]) == ("officer", str(org.id))
    assert (suspended.action, restored.action) == ("command person suspend", "command person restore")
    assert suspended.changes["items"][0]["after"] == "suspended"


def test_no_entry_says_what_the_personal_data_are(client, world, log, database):
    """Every operation of staff on every object there is, as an administrator, and then a look at all entries."""
    tried = [operation for operation in OPERATIONS if operation.is_of_staff]
    for operation in tried:
        for pick in range(3):
            found = {name: str(world.id_for(name, pick) or "140502") for name in operation.path_parameters}
            client.open(
                PREFIX + operation.path.format_map(found),
                method=operation.method,
                query_string=required_query(operation),
                json=openapi.example(operation.body) if operation.body else None,
                headers={"If-Match": "*", "Authorization": world.callers["admin"]},
            )
    entries = log()
    assert {entry.action for entry in entries} >= {
        operation.name for operation in tried if operation.audited or operation.people
    }
    assert sum(entry.result == "done" for entry in entries) > 20
    with database.reading() as connection:
        names = set(connection.scalars(select(Person.name)))
    told = "\n".join(str(tuple(entry)) for entry in entries)
    assert not [name for name in names if re.search(rf"{name}\b", told)]
    for private in ("李晓", "张", "13800000000", "138", "2006-03-05", "0356-", "contact_phone', 'before"):
        assert private not in re.sub(r"[0-9a-f-]{32,36}", "", told), private
