"""What can be checked about an activity: the counts of the figures and of the ledger, and nobody in it."""

from __future__ import annotations

from datetime import timedelta

import pytest
from bodies import activity_body
from counting import count_statements
from sqlalchemy import select

from engage.activities.models import ActivityStatus, CheckInMethod, HoursKind, SignUpState
from engage.app import APIS
from engage.core import clock
from engage.core.audit import AuditEntry
from engage.evaluation.queries import evidence
from engage.identity.models import Person
from engage.identity.tokens.api_keys import new_key
from engage.orgs.models import Role


def url(activity):
    return f"/v1/activities/{activity.id}/evidence"


@pytest.fixture
def held(land, make, frozen):
    """Somebody of each kind at the activity: on time, late, absent, excused, a walk-in, one who left, one who waits."""
    activity, start = land.activity, land.times["starts_at"]
    on_time, late = make.sign_up(activity), make.sign_up(activity)
    make.check_in(on_time, method=CheckInMethod.CODE, checked_in_at=start)
    late_by = start + timedelta(minutes=20)
    make.check_in(late, checked_in_at=frozen.now, claimed_at=late_by, arrived_at=late_by)
    make.sign_up(activity)
    make.sign_up(activity, excused_at=start - timedelta(hours=1))
    make.check_in(make.sign_up(activity, state=SignUpState.WALK_IN), checked_in_at=start)
    make.sign_up(activity, state=SignUpState.CANCELLED)
    make.sign_up(activity, state=SignUpState.WAITLISTED)
    given = make.hours(activity, make.add(Person(name="李晓", created_at=start, updated_at=start)))
    taken = make.hours(activity, make.person(), minutes=90)
    make.hours(
        activity,
        Person(id=taken.person_id),
        minutes=90,
        kind=HoursKind.REVERSAL,
        reverses_id=taken.id,
        reason="误记",
        debit_account_id=taken.credit_account_id,
        credit_account_id=taken.debit_account_id,
    )
    assert given.minutes == 120
    return activity


def test_an_inspector_reads_facts_and_counts(land, held, as_user):
    answer = as_user(land.inspector.id).get(url(held))
    assert answer.status_code == 200
    found = answer.json
    assert (found["title"], found["state"]) == ("青年夜校", "ended")
    assert (found["org"]["name"], found["hub"]["name"]) == ("镇", "青年之家")
    assert (found["admission_mode"], found["capacity"], found["waitlist_capacity"]) == ("first_come", 10, 10)
    assert found["sign_ups"] == {"total": 7, "confirmed": 4, "waiting": 1, "cancelled": 1}
    assert found["attendance"] == {
        "attended": 1, "late": 1, "absent": 1, "excused": 1, "walk_ins": 1, "rate": 0.6667,
    }  # fmt: skip
    assert found["check_ins"] == {"total": 3, "by_code": 1, "by_staff": 2, "after_end": 1}
    assert found["hours"] == {"minutes": 120, "credits": 2, "reversals": 1}
    assert found["ratings"] == {"count": 0, "mean": None}


def test_the_counts_are_those_of_the_figures(land, held, as_user, frozen):
    client, day = as_user(land.inspector.id), clock.shanghai_day(frozen.now)
    figures = client.get(f"/v1/statistics/participation?from={day}&to={day}&by=hub").json
    assert [item["kind"] for item in figures["scope"]] == ["org"]
    totals, found = figures["totals"], client.get(url(held)).json
    assert totals["sign_ups"] == found["sign_ups"]["total"]
    assert totals["confirmed"] == found["sign_ups"]["confirmed"]
    assert totals["check_ins"] == found["check_ins"]["total"]
    assert totals["attendance_rate"] == found["attendance"].pop("rate")
    assert {name: totals[name] for name in found["attendance"]} == found["attendance"]


def test_nobody_is_in_it(land, held, as_user, database):
    text = as_user(land.inspector.id).get(url(held)).text
    with database.reading() as db:
        people = db.execute(select(Person.id, Person.name)).all()
    assert people
    for person_id, name in people:
        assert str(person_id) not in text
        assert name not in text


def test_a_mean_rating_is_told_from_five_on(land, make, as_user):
    client = as_user(land.inspector.id)
    for stars in (5, 5, 4, 4):
        make.feedback(land.activity, make.person(), stars=stars)
    assert client.get(url(land.activity)).json["ratings"] == {"count": 4, "mean": None}
    make.feedback(land.activity, make.person(), stars=1, text="李晓带队不认真")
    answer = client.get(url(land.activity))
    assert answer.json["ratings"] == {"count": 5, "mean": 3.8}
    assert "李晓" not in answer.text


def test_it_says_when_an_activity_was_published_cancelled_and_closed(land, make, as_user, frozen):
    officer, inspector = as_user(land.officer.id), as_user(land.inspector.id)
    made = officer.post("/v1/activities", json=activity_body(make.project(land.town), frozen.now)).json
    base = f"/v1/activities/{made['id']}"

    def times():
        found = inspector.get(f"{base}/evidence").json
        return [found[name] for name in ("published_at", "cancelled_at", "closed_at")]

    def act(what, **body):
        frozen.move(minutes=10)
        assert officer.post(f"{base}/{what}", json=body or None).status_code == 200
        return frozen.now.astimezone(clock.SHANGHAI).isoformat()

    published = act("publication")
    assert times() == [published, None, None]
    act("publication")  # again, which changes nothing
    cancelled = act("cancellation", reason="下雨")
    assert times() == [published, cancelled, None]
    act("reopening", reason="放晴")
    assert times() == [published, None, None]
    frozen.move(days=4)
    closed = act("closure", summary="圆满")
    act("closure", summary="很圆满")  # the summary is another one; it was closed before
    assert times() == [published, None, closed]
    assert "圆满" not in inspector.get(f"{base}/evidence").text


def test_however_often_it_is_called_off_the_last_time_counts(land, make, as_user, frozen, monkeypatch):
    monkeypatch.setattr(evidence, "_MAX_STEPS", 2)
    officer = as_user(land.officer.id)
    made = officer.post("/v1/activities", json=activity_body(make.project(land.town), frozen.now)).json
    base, published = f"/v1/activities/{made['id']}", frozen.now
    officer.post(f"{base}/publication")
    for _ in range(4):
        frozen.move(minutes=10)
        officer.post(f"{base}/reopening", json={"reason": "放晴"})
        frozen.move(minutes=10)
        officer.post(f"{base}/cancellation", json={"reason": "下雨"})
    found = as_user(land.inspector.id).get(f"{base}/evidence").json
    shown = [at.astimezone(clock.SHANGHAI).isoformat() for at in (published, frozen.now)]
    assert [found["published_at"], found["cancelled_at"]] == shown


def test_what_the_log_does_not_tell_is_null(land, as_user, make):
    done = make.activity(land.town, status=ActivityStatus.SUMMARISED, closing_summary="好", **land.times)
    found = as_user(land.inspector.id).get(url(done)).json
    assert [found[name] for name in ("published_at", "cancelled_at", "closed_at")] == [None] * 3


def test_the_steps_are_operations():
    """By whose names the log is searched."""
    assert set(evidence._STEPS) <= {operation.name for api in APIS for operation in api.operations}


def test_reading_evidence_leaves_no_entry_and_takes_three_statements(land, held, as_user, app, database):
    client = as_user(land.inspector.id)
    with count_statements(app) as sent:
        client.get(url(held))
    assert len(sent) == 1 + 3
    with database.reading() as db:
        assert db.execute(select(AuditEntry.id).where(AuditEntry.object_id == held.id)).all() == []


@pytest.mark.parametrize("who", ["officer", "clerk", "secretary", "manager", "inspector"])
def test_who_works_there_reads_it(land, as_user, who):
    assert as_user(getattr(land, who).id).get(url(land.activity)).status_code == 200


@pytest.mark.parametrize("who", ["analyst", "stranger", "elsewhere"])
def test_others_are_refused(land, as_user, who):
    answer = as_user(getattr(land, who).id).get(url(land.activity))
    assert (answer.status_code, answer.json["code"]) == (403, "not_allowed")


def test_a_draft_is_no_evidence_to_an_inspector(land, make, as_user):
    draft = make.activity(land.town, land.hub, status=ActivityStatus.DRAFT)
    hidden = as_user(land.inspector.id).get(url(draft))
    assert (hidden.status_code, hidden.json["code"]) == (404, "no_such_activity")
    own = as_user(land.clerk.id).get(url(draft))
    assert (own.status_code, own.json["sign_ups"]["total"]) == (200, 0)


def test_an_inspector_meets_nobody(land, held, as_user):
    client, base = as_user(land.inspector.id), f"/v1/activities/{held.id}"
    for path in ("sign-ups", "roster", "hours", "feedback-entries"):
        assert client.get(f"{base}/{path}").status_code == 403


def test_a_key_reads_evidence_by_its_scope_and_no_finding(land, held, make, app):
    def by_key(*scopes):
        made = new_key()
        make.api_key(land.inspector, made, scopes=scopes)
        return {"Authorization": f"Bearer {made.text}"}

    finding, client = make.finding(held), app.test_client()
    assert client.get(url(held), headers=by_key("read_evidence")).status_code == 200
    refused = client.get(url(held), headers=by_key("read_figures"))
    assert refused.status_code == 403
    assert refused.json["errors"][0]["code"] == "scope_missing"
    for path in ("/v1/findings", f"/v1/findings/{finding.id}"):
        assert client.get(path, headers=by_key("read_evidence")).json["code"] == "api_key_not_taken"


def test_its_holders_see_their_buttons(land, as_user):
    def asked(who, **query):
        items = as_user(who.id).get("/v1/me/permissions", query_string=query).json["items"]
        return {item["permission"] for item in items}

    theirs = {"read_figures", "read_evidence", "write_finding"}
    assert asked(land.inspector) == theirs | {"settle_finding"}
    assert asked(land.inspector, activity_id=land.activity.id) == theirs
    assert asked(land.inspector, hub_id=land.hub.id) == theirs - {"read_evidence"}
    assert asked(land.inspector, org_id=land.town.id) == theirs - {"read_evidence"}
    assert asked(land.elsewhere, activity_id=land.activity.id) == set()


def test_an_inspector_reads_no_totals_of_others(land, make, as_user):
    client = as_user(make.staff(Role.INSPECTOR, org=land.city).id)
    assert client.get("/v1/statistics/counties?month=2026-08").status_code == 403
    assert client.get("/v1/statistics/integrity").status_code == 403
