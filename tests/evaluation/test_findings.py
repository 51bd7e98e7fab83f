"""Findings: who writes, reads, answers and closes them, what stays, and who is told."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import pytest
from click.testing import CliRunner
from counting import count_statements
from sqlalchemy import select

from engage.activities.models import ActivityStatus
from engage.cli.commands import engage
from engage.core import clock, ids
from engage.core.audit import AuditEntry
from engage.hubs.models import HubStatus
from engage.messages import service as messages
from engage.orgs.models import Role


def code(answer):
    return answer.status_code, answer.json.get("code")


@pytest.fixture
def written(land, at):
    """A problem that the inspector found at the activity."""
    answer = at(land.inspector).write(activity_id=str(land.activity.id), due_on="2026-10-20")
    assert answer.status_code == 201, answer.json
    return answer.json


def test_a_finding_goes_from_open_over_answered_to_settled(land, at, written):
    assert written["subject"] == {"kind": "activity", "id": str(land.activity.id), "name": "青年夜校"}
    assert written["org"]["id"] == str(land.town.id)
    assert (written["state"], written["mine"], written["version"]) == ("open", True, 1)
    assert (written["may_answer"], written["may_close"]) == (False, True)
    answered = at(land.clerk).answer(written).json
    assert (answered["state"], answered["answer"], answered["version"]) == ("answered", "已补记。", 2)
    assert (answered["mine"], answered["may_answer"], answered["may_close"]) == (False, True, False)
    settled = at(land.inspector).close(written)
    assert settled.status_code == 200
    assert (settled.json["state"], settled.json["outcome"]) == ("closed", "settled")
    assert (settled.json["text"], settled.json["answer"]) == (written["text"], "已补记。")
    assert (settled.json["may_answer"], settled.json["may_close"]) == (False, False)


def test_it_is_about_an_activity_a_hub_or_an_organisation(land, at):
    desk = at(land.inspector)
    hub = desk.write("suggestion", hub_id=str(land.hub.id)).json
    assert (hub["subject"]["kind"], hub["subject"]["name"]) == ("hub", "青年之家")
    assert hub["org"]["id"] == str(land.town.id)
    org = desk.write("commendation", org_id=str(land.town.id)).json
    assert (org["subject"]["kind"], org["subject"]["name"]) == ("org", "镇")


@pytest.mark.parametrize(
    ("body", "pointer", "issue"),
    [
        ({}, "/org_id", "required"),
        ({"hub_id": "0199f0c2-b7a0-7c3f-9f5d-2f7a1c3e5b7d", "org_id": "0199f0c2-b7a0-7c3f-9f5d-2f7a1c3e5b7d"}, "/org_id", "not_together"),
        ({"org_id": "0199f0c2-b7a0-7c3f-9f5d-2f7a1c3e5b7d", "kind": "suggestion", "due_on": "2026-10-20"}, "/due_on", "not_together"),
    ],
)  # fmt: skip
def test_a_body_names_one_object_and_only_a_problem_is_due(land, at, body, pointer, issue):
    answer = at(land.inspector).write(**body)
    assert code(answer) == (422, "invalid_input")
    assert [(error["pointer"], error["code"]) for error in answer.json["errors"]] == [(pointer, issue)]


def test_an_answer_is_due_today_at_the_earliest_in_shanghai(land, at, frozen):
    frozen.set(frozen.now.replace(hour=17))  # 01:00 of the next day in Shanghai
    desk, here = at(land.inspector), {"org_id": str(land.town.id)}
    assert code(desk.write(**here, due_on="2026-10-01")) == (422, "finding_due_in_past")
    made = desk.write(**here, due_on="2026-10-02").json
    frozen.move(hours=22)  # the last hour of that day
    assert not desk.read(made).json["overdue"]
    assert desk.ids(overdue="true") == []
    frozen.move(hours=1)
    assert desk.read(made).json["overdue"]
    assert desk.ids(overdue="true") == [made["id"]]
    assert at(land.clerk).answer(made).json["overdue"] is False
    assert desk.ids(overdue="true") == []


@pytest.mark.parametrize("who", ["secretary", "manager", "analyst", "stranger", "elsewhere"])
def test_who_does_not_inspect_there_writes_none(land, at, who):
    desk = at(getattr(land, who))
    assert code(desk.write(activity_id=str(land.activity.id))) == (403, "not_allowed")
    assert code(desk.write(hub_id=str(land.hub.id))) == (403, "not_allowed")
    assert code(desk.write(org_id=str(land.town.id))) == (403, "not_allowed")


def test_what_is_hidden_or_nowhere_is_not_found(land, at, make):
    desk, nowhere = at(land.inspector), str(ids.new_id())
    draft = make.activity(land.town, land.hub, status=ActivityStatus.DRAFT)
    closed = make.hub(land.town, status=HubStatus.CLOSED)
    for name, value, refusal in (
        ("activity_id", nowhere, "no_such_activity"),
        ("activity_id", str(draft.id), "no_such_activity"),
        ("hub_id", nowhere, "no_such_hub"),
        ("hub_id", str(closed.id), "no_such_hub"),
        ("org_id", nowhere, "no_such_org"),
    ):
        assert code(desk.write(**{name: value})) == (404, refusal)
    assert code(desk.read({"id": nowhere})) == (404, "no_such_finding")
    assert code(desk.close({"id": nowhere})) == (404, "no_such_finding")


def test_only_who_inspects_or_answers_there_sees_it(land, at, make, written):
    for who in ("inspector", "officer", "clerk", "secretary", "manager"):
        assert at(getattr(land, who)).ids() == [written["id"]], who
        assert at(getattr(land, who)).read(written).status_code == 200
    others = ("stranger", "elsewhere", "analyst")
    away = [getattr(land, who) for who in others] + [make.staff(Role.HUB_MANAGER, hub=make.hub(land.town))]
    for person in away:
        desk = at(person)
        assert desk.ids() == []
        for answer in (desk.read(written), desk.answer(written), desk.close(written)):
            assert code(answer) == (404, "no_such_finding")


def test_nobody_is_named(land, at, written):
    at(land.clerk).answer(written)
    text = at(land.officer).read(written).text
    for person in (land.inspector, land.clerk):
        assert str(person.id) not in text
        assert person.name not in text


def test_an_inspector_answers_nothing(land, at, make, written):
    assert code(at(land.inspector).answer(written)) == (403, "not_allowed")
    colleague = at(make.staff(Role.INSPECTOR, org=land.city))
    assert colleague.read(written).json["may_answer"] is False
    assert code(colleague.answer(written)) == (403, "not_allowed")


def test_who_wrote_it_does_not_answer_it(land, at):
    written = at(land.officer).write(hub_id=str(land.hub.id)).json
    assert written["may_answer"] is False
    assert code(at(land.officer).answer(written)) == (403, "own_finding")
    for who in ("clerk", "secretary", "manager"):
        written = at(land.officer).write(hub_id=str(land.hub.id)).json
        assert at(getattr(land, who)).read(written).json["may_answer"]
        assert at(getattr(land, who)).answer(written).status_code == 200


def test_an_answer_is_replaced_until_it_is_closed(land, at, written):
    assert at(land.manager).answer(written, "正在处理。").json["version"] == 2
    stale = at(land.manager).answer(written, version=f'"{1}-{"0" * 32}"')
    assert code(stale) == (412, "version_conflict")
    assert at(land.manager).answer(written, "已处理。").json["answer"] == "已处理。"
    at(land.inspector).close(written)
    assert code(at(land.manager).answer(written)) == (409, "finding_closed")
    assert at(land.inspector).read(written).json["answer"] == "已处理。"


def test_only_who_answered_replaces_the_answer(land, at, written):
    """Else somebody else's hand would make room for whoever answered first to settle it."""
    at(land.officer).answer(written)
    assert at(land.secretary).read(written).json["may_answer"] is False
    assert code(at(land.secretary).answer(written, "另答。")) == (403, "not_your_answer")
    assert at(land.officer).read(written).json["may_answer"]
    assert code(at(land.officer).close(written)) == (403, "own_answer")


def test_what_replaces_or_closes_names_the_version_it_was_read_at(land, at, written):
    url = f"/v1/findings/{written['id']}"
    assert at(land.clerk).client.put(f"{url}/answer", json={"answer": "好"}).status_code == 428
    assert at(land.inspector).client.post(f"{url}/close", json={"outcome": "settled"}).status_code == 428
    tag = at(land.clerk).read(written).headers["ETag"]
    answered = at(land.clerk).answer(written, version=tag)
    assert answered.status_code == 200
    assert at(land.clerk).answer(written, "再答。", answered.headers["ETag"]).status_code == 200


def test_who_answered_does_not_settle_it(land, at, written):
    at(land.officer).answer(written)
    assert at(land.officer).read(written).json["may_close"] is False
    assert code(at(land.officer).close(written)) == (403, "own_answer")


def test_who_wrote_it_or_the_level_above_settles_it(land, at, make):
    for who in (make.staff(Role.INSPECTOR, org=land.city), land.officer, land.inspector):
        written = at(land.inspector).write(activity_id=str(land.activity.id)).json
        assert at(who).read(written).json["may_close"]
        assert at(who).close(written).json["outcome"] == "settled"


def test_nobody_settles_what_is_about_their_own_hub_or_organisation(land, at, make):
    """Not of their own level, whoever appointed them; nor as an inspector from above who runs the hub; nor at the root, above which nobody is."""
    beside = make.staff(Role.INSPECTOR, org=land.town)
    both = make.staff(Role.INSPECTOR, org=land.county)
    make.grant(both, Role.HUB_MANAGER, hub=land.hub)
    chief = make.staff(Role.OFFICER, org=land.city)
    at_hub = at(land.inspector).write(hub_id=str(land.hub.id)).json
    at_root = at(make.staff(Role.INSPECTOR, org=land.city)).write(org_id=str(land.city.id)).json
    for person, written in ((land.clerk, at_hub), (beside, at_hub), (both, at_hub), (chief, at_root)):
        assert at(person).read(written).json["may_close"] is False
        assert code(at(person).close(written)) == (403, "not_allowed")
    own = at(land.clerk).write(hub_id=str(land.hub.id)).json
    assert at(land.clerk).close(own).status_code == 200  # what they wrote themselves they settle


def test_who_only_answers_closes_nothing(land, at, written):
    for who in ("secretary", "manager"):
        assert at(getattr(land, who)).read(written).json["may_close"] is False
        assert code(at(getattr(land, who)).close(written)) == (403, "not_allowed")


def test_only_who_wrote_it_withdraws_it(land, at, written):
    assert code(at(land.officer).close(written, "withdrawn")) == (403, "not_your_finding")
    withdrawn = at(land.inspector).close(written, "withdrawn").json
    assert (withdrawn["state"], withdrawn["outcome"]) == ("closed", "withdrawn")
    assert code(at(land.inspector).close(written, "withdrawn")) == (409, "finding_closed")
    assert code(at(land.officer).close(written)) == (409, "finding_closed")


def test_whose_role_has_ended_reads_no_finding_of_theirs_any_more(land, at, make, written):
    temporary = make.person()
    make.grant(temporary, Role.INSPECTOR, org=land.county, ends_at=clock.now() + timedelta(days=1))
    make.grant(temporary, Role.ANALYST, org=land.county)
    desk = at(temporary)
    made = desk.write(org_id=str(land.town.id)).json
    clock.use(lambda: land.times["ends_at"] + timedelta(days=3))
    assert desk.ids() == []
    assert code(desk.close(made, "withdrawn")) == (404, "no_such_finding")


def test_the_list_is_filtered_and_paged_newest_first(land, at, make, frozen):
    desk, made = at(land.inspector), []
    for kind, body in (
        ("problem", {"activity_id": str(land.activity.id)}),
        ("suggestion", {"hub_id": str(land.hub.id)}),
        ("commendation", {"org_id": str(land.town.id)}),
        ("problem", {"org_id": str(land.county.id)}),
    ):
        frozen.move(minutes=1)
        made.append(desk.write(kind, **body).json["id"])
    activity, hub, town, county = made
    at(land.clerk).answer({"id": hub})
    desk.close({"id": town})
    assert desk.ids() == made[::-1]
    assert desk.ids(state="open") == [county, activity]
    assert desk.ids(state="answered") == [hub]
    assert desk.ids(state="closed") == [town]
    assert desk.ids(kind="problem") == [county, activity]
    assert desk.ids(org_id=str(land.town.id)) == [town, hub, activity]
    assert desk.ids(org_id=str(land.city.id)) == made[::-1]
    assert desk.ids(org_id=str(land.other.id)) == []
    assert desk.ids(hub_id=str(land.hub.id)) == [hub, activity]
    assert desk.ids(activity_id=str(land.activity.id)) == [activity]
    page = desk.client.get("/v1/findings?limit=3").json
    rest = desk.client.get("/v1/findings", query_string={"limit": 3, "cursor": page["next_cursor"]}).json
    assert [item["id"] for item in page["items"] + rest["items"]] == made[::-1]
    assert rest["next_cursor"] is None
    assert at(land.clerk).ids() == [town, hub, activity]
    assert at(land.manager).ids() == [hub, activity]


def test_the_list_takes_one_statement_after_who_asks(land, at, written, app):
    client = at(land.inspector).client
    with count_statements(app) as sent:
        client.get("/v1/findings")
    assert len(sent) == 2


def test_a_finding_stays_with_the_organisation_that_answered_for_it(land, at, make, written, database):
    with database.transaction() as session:
        session.merge(land.activity).org_id = land.other.id
    assert at(land.clerk).ids() == [written["id"]]
    assert at(land.stranger).ids() == []


def test_a_repeated_key_writes_one(land, at):
    client, body = (
        at(land.inspector).client,
        {"kind": "problem", "text": "无人值守", "hub_id": str(land.hub.id)},
    )
    answers = [client.post("/v1/findings", json=body, headers={"Idempotency-Key": "k1"}) for _ in range(2)]
    assert answers[0].json == answers[1].json
    assert answers[0].headers["Location"] == f"/v1/findings/{answers[0].json['id']}"
    assert len(at(land.inspector).ids()) == 1


def test_the_nearest_who_may_answer_are_told_and_then_who_wrote_it(land, at, told, as_user, database):
    at_hub = at(land.inspector).write(text="张三迟到", hub_id=str(land.hub.id)).json
    assert told() == [(land.manager.id, "finding_written", {"finding_id": at_hub["id"], "about": "青年之家"})]
    at(land.manager).answer(at_hub, "已批评张三")
    assert told()[1:] == [
        (land.inspector.id, "finding_answered", {"finding_id": at_hub["id"], "about": "青年之家"})
    ]
    assert messages.deliver_due(database) == 2
    for person, language, text in (
        (land.manager, "zh", "“青年之家”有一条新的督查意见，请查看；需要答复的，请及时答复。"),
        (
            land.inspector,
            "en",
            "Your finding about “青年之家” has been answered; please read the answer.",
        ),
    ):
        (message,) = as_user(person.id, language).get("/v1/me/messages").json["items"]
        assert (message["text"], message["subject_kind"], message["subject_id"]) == (
            text,
            "finding",
            at_hub["id"],
        )


def test_the_level_above_is_told_where_nobody_nearer_could_answer(land, at, make, told):
    at(land.inspector).write(org_id=str(land.town.id))
    assert {person_id for person_id, *_ in told()} == {land.clerk.id, land.secretary.id}
    lonely = make.org(land.county)
    only = make.staff(Role.OFFICER, org=lonely)
    at(only).write(org_id=str(lonely.id))  # nobody answers themselves
    assert {person_id for person_id, *_ in told()[2:]} == {land.officer.id}


def test_each_step_is_an_entry_without_its_words(land, at, written, database):
    at(land.clerk).answer(written, "已批评李晓")
    at(land.inspector).close(written)
    with database.reading() as db:
        of_it = select(AuditEntry.__table__).where(AuditEntry.object_id == UUID(written["id"]))
        entries = db.execute(of_it.order_by(AuditEntry.id)).all()
    assert [(entry.action, entry.actor_id) for entry in entries] == [
        ("write_finding", land.inspector.id),
        ("answer_finding", land.clerk.id),
        ("close_finding", land.inspector.id),
    ]
    changes = str([entry.changes for entry in entries])
    assert "李晓" not in changes
    assert written["text"] not in changes
    assert {"object": "finding", "id": written["id"], "field": "answer"} in entries[1].changes["items"]
    shown = {item["field"]: item.get("after") for item in entries[2].changes["items"]}
    assert shown == {"outcome": "settled", "closed_by": str(land.inspector.id), "closed_at": None}


def test_whoever_wrote_or_answered_it_is_told_that_it_is_closed(land, at, told, written):
    about = {"finding_id": written["id"], "about": "青年夜校"}
    at(land.manager).answer(written)
    at(land.officer).close(written)
    assert sorted(told()[2:]) == sorted(
        (who.id, "finding_closed", about) for who in (land.inspector, land.manager)
    )


def test_nobody_is_told_of_what_is_not_theirs_any_more_nor_twice_of_the_same(land, at, told, make, database):
    temporary = make.person()
    make.grant(temporary, Role.INSPECTOR, org=land.county, ends_at=clock.now() + timedelta(days=1))
    made = at(temporary).write(activity_id=str(land.activity.id)).json
    for text in ("正在办。", "正在办。", "已办。"):
        at(land.manager).answer(made, text)
    assert [kind for _, kind, _ in told()] == ["finding_written", "finding_answered", "finding_answered"]
    clock.use(lambda: land.times["ends_at"] + timedelta(days=3))
    at(land.manager).answer(made, "又办。")
    at(land.officer).close(made)
    assert [(who, kind) for who, kind, _ in told()[3:]] == [(land.manager.id, "finding_closed")]


def test_a_finding_tells_what_it_was_about_when_it_was_written(land, at, make, database):
    """Not what has become of it since, which may be none of the reader's business."""
    made = at(land.inspector).write(hub_id=str(land.hub.id)).json
    with database.transaction() as session:
        hub = session.merge(land.hub)
        hub.org_id, hub.name, hub.status = land.other.id, "新名", HubStatus.CLOSED
    assert "新名" not in at(land.inspector).read(made).text
    draft = make.activity(land.town, land.hub, status=ActivityStatus.DRAFT)
    assert code(at(land.clerk).write(activity_id=str(draft.id))) == (404, "no_such_activity")


def test_its_permissions_are_explained(land, written, settings, monkeypatch, own_log):
    monkeypatch.setenv("ENGAGE_DATABASE_URL", settings.database_url)
    for who, word in ((land.manager, "可以 yes"), (land.inspector, "no such permission")):
        about = ["--permission", "answer_finding", "--object", f"finding:{written['id']}"]
        found = CliRunner().invoke(engage, ["access", "explain", "--user", str(who.id), *about])
        assert word in found.output
