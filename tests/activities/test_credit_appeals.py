"""Objecting to a loss of points, and the level above deciding about it."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from counting import count_statements
from sqlalchemy import select, update
from sqlalchemy.exc import IntegrityError

from engage.activities.models import (
    AppealState,
    CreditAppeal,
    CreditEntry,
    CreditRule,
)
from engage.activities.service.due import advance_due
from engage.core import clock, ids
from engage.messages.models import OutboxEntry
from engage.orgs.models import Role


@pytest.fixture
def court(frozen, make, as_user, database, monkeypatch):
    """Somebody who lost points at an activity of a county, which stands below a city and above a branch."""
    monkeypatch.setattr(database, "settings", database.settings.replace(credit=True))

    class Court:
        city = make.org(division_code="140500")
        county, other_county = make.org(city), make.org(city)
        branch = make.org(county)
        hub = make.hub(county)
        person = make.person(name="李晓")
        client = as_user(person.id)
        activity = make.activity(county, hub, title="青年夜校")
        sign_up = make.sign_up(activity, person)
        entry = make.credit_entry(sign_up)
        url = f"/v1/me/credit-entries/{entry.id}/appeal"

        @staticmethod
        def appeal():
            entry = Court.client.post(Court.url, json={"text": "我到场了，忘记扫码。"})
            assert entry.status_code == 201, entry.json
            return f"/v1/credit-appeals/{entry.json['appeal']['id']}/decision"

        @staticmethod
        def staff(role, **where):
            return as_user(make.staff(role, **where).id)

        @staticmethod
        def points():
            return Court.client.get("/v1/me/credit").json["points"]

    return Court


UPHOLD = {"uphold": True, "reason": "签到记录漏传，已核实到场。"}
DISMISS = {"uphold": False, "reason": "没有到场的证明。"}


def test_an_appeal_stands_with_its_entry(court):
    court.appeal()
    entry = court.client.get("/v1/me/credit-entries").json["items"][0]
    assert entry["appeal"] == {
        "id": entry["appeal"]["id"],
        "state": "open",
        "text": "我到场了，忘记扫码。",
        "created_at": entry["appeal"]["created_at"],
        "decided_at": None,
        "reason": None,
    }
    assert entry["can_appeal"] is False
    assert court.points() == 90, "an appeal that is open changes nothing yet"


def test_an_entry_is_appealed_against_once(court):
    court.appeal()
    again = court.client.post(court.url, json={"text": "再说一次"})
    assert (again.status_code, again.json["code"]) == (409, "already_appealed")


def test_a_repeated_appeal_under_one_key_is_the_same(court):
    send = lambda: court.client.post(court.url, json={"text": "我到场了"}, headers={"Idempotency-Key": "k1"})
    first, second = send(), send()
    assert (first.status_code, second.status_code) == (201, 201)
    assert first.json == second.json


def test_two_appeals_at_once_are_one(court, as_user, make, database):
    clients = [as_user(court.person.id) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda client: client.post(court.url, json={"text": "我到场了"}), clients))
    assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409]
    assert {answer.json["code"] for answer in answers if answer.status_code == 409} == {"already_appealed"}


def test_appeals_end_after_the_days_that_are_set(court, as_user, frozen):
    until = court.client.get("/v1/me/credit-entries").json["items"][0]["appeal_until"]
    assert until == (clock.now() + timedelta(days=14)).isoformat()
    frozen.move(days=14)
    late = as_user(court.person.id)
    assert late.post(court.url, json={"text": "晚了"}).json["code"] == "appeal_too_late"
    assert late.get("/v1/me/credit-entries").json["items"][0]["can_appeal"] is False
    frozen.move(seconds=-1)
    assert late.post(court.url, json={"text": "还来得及"}).status_code == 201


def test_a_gain_is_nothing_to_appeal_against(court, make):
    gain = make.credit_entry(court.sign_up, rule=CreditRule.ATTENDED, points=3)
    answer = court.client.post(f"/v1/me/credit-entries/{gain.id}/appeal", json={"text": "太少"})
    assert (answer.status_code, answer.json["code"]) == (409, "nothing_to_appeal")


def test_nobody_appeals_against_what_is_not_theirs(court, make, as_user):
    for client, entry_id in ((as_user(make.person().id), court.entry.id), (court.client, ids.new_id())):
        answer = client.post(f"/v1/me/credit-entries/{entry_id}/appeal", json={"text": "我"})
        assert (answer.status_code, answer.json["code"]) == (404, "no_such_credit_entry")


def test_an_appeal_that_is_upheld_gives_the_points_back_and_is_told(court, database):
    url = court.appeal()
    officer = court.staff(Role.OFFICER, org=court.city)
    decided = officer.post(url, json=UPHOLD)
    assert decided.status_code == 200
    assert (decided.json["state"], decided.json["reason"]) == ("upheld", UPHOLD["reason"])
    assert decided.json["entry"]["withdrawn_at"] == clock.now().isoformat()
    assert court.points() == 100
    entry = court.client.get("/v1/me/credit-entries").json["items"][0]
    assert (entry["counts"], entry["appeal"]["state"]) == (False, "upheld")
    with database.reading() as db:
        told = db.execute(select(OutboxEntry.person_id, OutboxEntry.kind, OutboxEntry.params)).all()
    about = {"activity_id": str(court.activity.id), "title": "青年夜校", "reason": UPHOLD["reason"]}
    assert [tuple(row) for row in told] == [(court.person.id, "credit_appeal_upheld", about)]


def test_an_appeal_that_is_dismissed_changes_no_points_and_is_told(court, database):
    decided = court.staff(Role.OFFICER, org=court.city).post(court.appeal(), json=DISMISS).json
    assert (decided["state"], decided["entry"]["withdrawn_at"]) == ("dismissed", None)
    assert court.points() == 90
    with database.reading() as db:
        assert db.scalars(select(OutboxEntry.kind)).all() == ["credit_appeal_dismissed"]


def test_the_same_decision_again_gives_the_same_answer_and_another_is_refused(court, database):
    url, officer = court.appeal(), court.staff(Role.OFFICER, org=court.city)
    first = officer.post(url, json=DISMISS)
    again = officer.post(url, json={**DISMISS, "reason": "别的原因"})
    assert (again.status_code, again.json) == (200, first.json)
    other = officer.post(url, json=UPHOLD)
    assert (other.status_code, other.json["code"]) == (409, "appeal_decided")
    assert court.points() == 90
    with database.reading() as db:
        assert len(db.scalars(select(OutboxEntry.seq)).all()) == 1


def test_of_two_officers_who_decide_at_once_one_is_right(court, database):
    url = court.appeal()
    clients = [court.staff(Role.OFFICER, org=court.city) for _ in range(2)]
    with ThreadPoolExecutor(2) as pool:
        answers = list(
            pool.map(
                lambda each: each[0].post(url, json=each[1]), zip(clients, (UPHOLD, DISMISS), strict=True)
            )
        )
    assert sorted(answer.status_code for answer in answers) == [200, 409]
    won = next(answer.json["state"] for answer in answers if answer.status_code == 200)
    assert court.points() == (100 if won == "upheld" else 90)
    with database.reading() as db:
        assert db.scalars(select(OutboxEntry.kind)).all() == [f"credit_appeal_{won}"]


@pytest.mark.parametrize(
    ("role", "place", "status"),
    [
        (Role.OFFICER, "city", 200),
        (Role.PLATFORM_ADMIN, "city", 200),
        (Role.ANALYST, "city", 404),
        (Role.BRANCH_SECRETARY, "city", 403),
        (Role.OFFICER, "county", 403),
        (Role.BRANCH_SECRETARY, "county", 403),
        (Role.HUB_MANAGER, "hub", 403),
        (Role.OFFICER, "other_county", 404),
        (Role.OFFICER, "branch", 404),
    ],
)
def test_the_level_above_decides_and_nobody_else(court, role, place, status):
    url = court.appeal()
    client = court.staff(role, **{"hub" if place == "hub" else "org": getattr(court, place)})
    listed = client.get("/v1/credit-appeals").json["items"]
    assert len(listed) == (status == 200)
    assert client.post(url, json=UPHOLD).status_code == status
    assert court.points() == (100 if status == 200 else 90)


def test_where_nothing_is_above_the_officers_of_the_root_decide(court, make):
    sign_up = make.sign_up(make.activity(court.city), court.person)
    entry = make.credit_entry(sign_up)
    appeal = make.add(CreditAppeal(entry_id=entry.id, text="我到场了", created_at=clock.now()))
    url = f"/v1/credit-appeals/{appeal.id}/decision"
    assert court.staff(Role.OFFICER, org=court.county).post(url, json=UPHOLD).status_code == 404
    assert court.staff(Role.OFFICER, org=court.city).post(url, json=UPHOLD).status_code == 200


def test_nobody_decides_about_their_own_points(court, make, as_user):
    url = court.appeal()
    make.grant(court.person, Role.OFFICER, org=court.city)
    own = as_user(court.person.id)
    assert own.get("/v1/credit-appeals").json["items"] == []
    assert own.post(url, json=UPHOLD).status_code == 403
    assert court.points() == 90


def test_a_role_that_has_ended_decides_nothing(court, make, as_user):
    url = court.appeal()
    officer = make.person()
    make.grant(officer, Role.OFFICER, org=court.city, ends_at=clock.now() - timedelta(hours=1))
    make.grant(officer, Role.ANALYST, org=court.city)
    assert as_user(officer.id).post(url, json=UPHOLD).status_code == 404


def test_an_unknown_appeal_is_not_found(court):
    answer = court.staff(Role.OFFICER, org=court.city).post(
        f"/v1/credit-appeals/{ids.new_id()}/decision", json=UPHOLD
    )
    assert (answer.status_code, answer.json["code"]) == (404, "no_such_appeal")


def test_open_appeals_are_listed_oldest_first_and_decided_ones_newest_first(court, make):
    appeals = []
    for state in (AppealState.DISMISSED, AppealState.OPEN, AppealState.DISMISSED, AppealState.OPEN):
        entry = make.credit_entry(make.sign_up(court.activity))
        decided = {"decided_at": clock.now(), "decided_by": court.person.id, "reason": "已核实"}
        values = {} if state is AppealState.OPEN else decided
        appeals.append(
            make.add(CreditAppeal(entry_id=entry.id, text="x", state=state, created_at=clock.now(), **values))
        )
    officer = court.staff(Role.OFFICER, org=court.city)

    def listed(**query):
        found, cursor = [], {}
        while cursor is not None:
            page = officer.get("/v1/credit-appeals", query_string={**query, **cursor, "limit": 1}).json
            found += [item["id"] for item in page["items"]]
            cursor = {"cursor": page["next_cursor"]} if page["next_cursor"] else None
        return found

    assert listed() == [str(appeals[1].id), str(appeals[3].id)]
    assert listed(state="dismissed") == [str(appeals[2].id), str(appeals[0].id)]
    assert listed(state="upheld") == []


def test_who_decides_sees_what_it_is_about(court):
    court.appeal()
    item = court.staff(Role.OFFICER, org=court.city).get("/v1/credit-appeals").json["items"][0]
    assert item["person"] == {"id": str(court.person.id), "name": "李晓"}
    assert item["entry"]["activity"] == {"id": str(court.activity.id), "title": "青年夜校"}
    assert (item["entry"]["rule"], item["entry"]["points"]) == ("absent", -10)


def test_deciding_takes_few_statements(app, court):
    url, officer = court.appeal(), court.staff(Role.OFFICER, org=court.city)
    with count_statements(app) as sent:
        officer.post(url, json=UPHOLD)
    assert len(sent) <= 2 + 8 + 1, "two of them find the caller, the last is the entry of the audit log"


@pytest.mark.parametrize(("points", "freed"), [(-40, True), (-41, False)])
def test_who_is_no_longer_below_the_threshold_takes_their_turn(court, make, database, points, freed):
    make.credit_entry(make.sign_up(make.activity(), court.person), points=points)
    starts_at = clock.now() + timedelta(days=3)
    ahead = make.activity(starts_at=starts_at, ends_at=starts_at + timedelta(hours=2))
    court.client.put(f"/v1/activities/{ahead.id}/sign-up", json={})
    court.staff(Role.OFFICER, org=court.city).post(court.appeal(), json=UPHOLD)
    advance_due(database, threading.Event())
    mine = court.client.get(f"/v1/activities/{ahead.id}/sign-up").json
    held_until = (starts_at - timedelta(hours=24)).isoformat()
    assert (mine["state"], mine["held_until"]) == (
        ("confirmed", None) if freed else ("waitlisted", held_until)
    )
    assert (court.points() >= 60) is freed


@pytest.mark.parametrize(
    ("method", "url", "body"),
    [
        ("GET", "/v1/me/credit", None),
        ("GET", "/v1/me/credit-entries", None),
        ("GET", "/v1/credit-appeals", None),
        ("POST", "/v1/credit-appeals/{appeal_id}/decision", UPHOLD),
    ],
)
def test_nobody_and_members_without_a_role_are_refused(court, client, method, url, body):
    url = url.format(appeal_id=ids.new_id())
    assert client.open(url, method=method, json=body).status_code == 401
    if "/me/" not in url:
        assert court.client.open(url, method=method, json=body).status_code == 403


@pytest.mark.parametrize(
    "values",
    [
        {"state": AppealState.UPHELD},
        {"reason": "已核实"},
        {"state": AppealState.DISMISSED, "reason": "x"},
    ],
)
def test_the_database_refuses_a_decision_that_is_not_whole(court, database, values):
    court.appeal()
    with pytest.raises(IntegrityError), database.transaction() as session:
        session.execute(update(CreditAppeal).values(**values))


def test_the_database_refuses_a_second_appeal(court, make):
    court.appeal()
    with pytest.raises(IntegrityError):
        make.add(CreditAppeal(entry_id=court.entry.id, text="x", created_at=clock.now()))


def test_refusals_are_in_both_languages(court, as_user):
    court.appeal()
    send = lambda client: client.post(court.url, json={"text": "x"}).json["detail"]
    assert send(court.client) == "这条记录已经申诉过。"
    assert send(as_user(court.person.id, "en")) == "There is an appeal against this entry already."


def test_an_entry_keeps_who_withdrew_it(court, database, make, as_user):
    officer = make.staff(Role.OFFICER, org=court.city)
    as_user(officer.id).post(court.appeal(), json=UPHOLD)
    with database.reading() as db:
        assert db.scalars(select(CreditEntry.withdrawn_by)).all() == [officer.id]
