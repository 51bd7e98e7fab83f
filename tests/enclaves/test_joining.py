"""Joining an enclave branch: applying, deciding, withdrawing, leaving, and what never moves."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from counting import count_statements
from sqlalchemy import select, update

from engage.core import ids
from engage.enclaves.models import EnclaveApplication, EnclaveParticipation, EnclaveStatus
from engage.messages.models import OutboxEntry
from engage.orgs.models import Membership, Org, OrgStatus, Role


def apply(client, home, **body):
    return client.post(f"{home.url}/applications", json=body)


def reject(client, url, reason="家乡信息不一致。"):
    return client.post(f"{url}/rejection", json={"reason": reason})


@pytest.fixture
def rows(database):
    def read():
        with database.reading() as connection:
            tables = (EnclaveApplication, EnclaveParticipation)
            return [connection.execute(select(table.__table__).order_by(table.id)).all() for table in tables]

    return read


@pytest.fixture
def told(database):
    """Who has been told what, in order."""

    def read():
        with database.reading() as connection:
            return connection.execute(
                select(OutboxEntry.person_id, OutboxEntry.kind, OutboxEntry.params).order_by(OutboxEntry.seq)
            ).all()

    return read


# Applying


def test_an_application_is_handed_in_and_the_secretary_is_told(as_user, home, youth, told):
    answer = apply(as_user(youth.id), home, note="想参加\n家乡活动")
    assert answer.status_code == 201
    assert answer.json | {"id": None, "branch": None} == {
        "id": None,
        "branch": None,
        "applicant": {
            "id": str(youth.id),
            "name": youth.name,
            "age": 20,
            "hometown": {"code": "140524100", "name": "崇文镇"},
        },
        "state": "submitted",
        "note": "想参加\n家乡活动",
        "reason": None,
        "created_at": "2026-10-01T10:00:00+08:00",
        "decided_at": None,
    }
    assert as_user(youth.id).get(answer.headers["Location"]).json == answer.json
    ((person_id, kind, params),) = told()
    assert (person_id, kind) == (home.secretary.id, "enclave_application_received")
    assert params == {"branch_id": str(home.branch.id), "branch_name": answer.json["branch"]["name"]}


def test_without_a_secretary_the_officers_next_above_are_told(as_user, make, city, home, youth, told):
    branch = make.enclave_branch(home.county)
    make.staff(Role.OFFICER, org=city)
    suspended = make.staff(Role.OFFICER, org=home.county)
    former = make.person()
    make.grant(former, Role.BRANCH_SECRETARY, org=Org(id=branch.id), ends_at=suspended.created_at)
    make.grant(home.officer, Role.PLATFORM_ADMIN, org=home.county)
    as_user(youth.id).post(f"/v1/enclave-branches/{branch.id}/applications", json={})
    assert [person_id for person_id, _, _ in told()] == sorted([home.officer.id, suspended.id])


def test_the_same_key_hands_in_once(as_user, home, youth, rows, told):
    headers = {"Idempotency-Key": "apply-1"}
    first = as_user(youth.id).post(f"{home.url}/applications", json={}, headers=headers)
    second = as_user(youth.id).post(f"{home.url}/applications", json={}, headers=headers)
    assert (second.status_code, second.json) == (201, first.json)
    assert len(rows()[0]) == len(told()) == 1


@pytest.mark.parametrize("missing", ["name", "birth_on", "hometown_code"])
def test_an_incomplete_profile_is_refused(as_user, make, home, rows, missing):
    person = make.person(**{"hometown_code": "140524", missing: None})
    answer = apply(as_user(person.id), home)
    assert (answer.status_code, answer.json["code"]) == (409, "profile_incomplete")
    assert rows() == [[], []]


@pytest.mark.parametrize("hometown", ["140502", "140500", "140502001001", "140523"])
def test_people_from_elsewhere_are_refused(as_user, make, home, rows, hometown):
    answer = apply(as_user(make.person(hometown_code=hometown).id), home)
    assert (answer.status_code, answer.json["code"]) == (403, "not_from_home_county")
    assert "陵川县" in answer.json["detail"]
    assert rows() == [[], []]


def test_a_hometown_whose_code_was_retired_counts_as_what_it_became(as_user, make, city):
    gaoping = make.org(city, division_code="140581")
    branch = make.enclave_branch(gaoping, home_county_code="140581")
    person = make.person(hometown_code="140523")
    assert (
        as_user(person.id).post(f"/v1/enclave-branches/{branch.id}/applications", json={}).status_code == 201
    )


def test_a_second_application_is_refused_while_one_is_open(as_user, home, youth, applied, rows):
    before = rows()
    answer = apply(as_user(youth.id), home)
    assert (answer.status_code, answer.json["code"]) == (409, "application_exists")
    assert rows() == before


def test_one_may_apply_to_several_branches_of_home(as_user, make, home, youth, applied):
    other = make.enclave_branch(home.county)
    assert as_user(youth.id).post(f"/v1/enclave-branches/{other.id}/applications", json={}).status_code == 201


def test_a_participant_cannot_apply_again(as_user, home, youth, applied, rows):
    as_user(home.secretary.id).post(f"{applied}/approval")
    before = rows()
    answer = apply(as_user(youth.id), home)
    assert (answer.status_code, answer.json["code"]) == (409, "already_participating")
    assert rows() == before


@pytest.mark.parametrize("end", ["withdrawal", "rejection", "leaving"])
def test_one_may_apply_again_afterwards(as_user, home, youth, applied, end):
    mine, secretary = as_user(youth.id), as_user(home.secretary.id)
    if end == "withdrawal":
        mine.post(f"{applied}/withdrawal")
    elif end == "rejection":
        reject(secretary, applied)
    else:
        secretary.post(f"{applied}/approval")
        mine.delete(f"{home.url}/participation")
    again = apply(mine, home)
    assert again.status_code == 201
    assert secretary.post(f"{again.headers['Location']}/approval").json["state"] == "approved"


def test_a_dissolved_branch_cannot_be_joined(as_user, make, home, youth, database):
    with database.transaction() as session:
        session.execute(update(type(home.branch)).values(status=EnclaveStatus.DISSOLVED))
    assert apply(as_user(youth.id), home).json["code"] == "no_such_enclave_branch"
    officer = make.person(hometown_code="140524")
    make.grant(officer, Role.OFFICER, org=home.county)
    answer = apply(as_user(officer.id), home)
    assert (answer.status_code, answer.json["code"]) == (409, "enclave_branch_dissolved")


@pytest.mark.parametrize(
    ("body", "pointer", "code"),
    [
        ({"note": "长" * 501}, "/note", "too_long"),
        ({"note": 1}, "/note", "not_text"),
        ({"note": "", "x": 1}, "/note", "too_short"),
        ({"person_id": "x"}, "/person_id", "unknown_field"),
    ],
)
def test_bad_applications_name_what_is_wrong(as_user, home, youth, rows, body, pointer, code):
    answer = apply(as_user(youth.id), home, **body)
    assert answer.status_code == 422
    assert {"pointer": pointer, "code": code} in [
        {name: issue[name] for name in ("pointer", "code")} for issue in answer.json["errors"]
    ]
    assert rows() == [[], []]


def test_applying_needs_a_log_in_and_a_branch(client, as_user, home, youth):
    assert apply(client, home).json["code"] == "not_logged_in"
    missing = as_user(youth.id).post(f"/v1/enclave-branches/{ids.new_id()}/applications", json={})
    assert (missing.status_code, missing.json["code"]) == (404, "no_such_enclave_branch")


# Deciding


def test_the_secretary_approves_and_the_applicant_takes_part(as_user, home, youth, applied, told, frozen):
    frozen.move(hours=1)
    answer = as_user(home.secretary.id).post(f"{applied}/approval")
    assert (answer.status_code, answer.json["state"]) == (200, "approved")
    assert answer.json["decided_at"] == "2026-10-01T11:00:00+08:00"
    mine = as_user(youth.id)
    assert mine.get(home.url).json["my"]["is_participant"] is True
    (joined,) = mine.get("/v1/me/enclave-branches").json["items"]
    assert (joined["branch"]["id"], joined["joined_at"]) == (str(home.branch.id), "2026-10-01T11:00:00+08:00")
    person_id, kind, params = told()[-1]
    assert (person_id, kind, params["branch_id"]) == (
        youth.id,
        "enclave_application_approved",
        str(home.branch.id),
    )


def test_joining_and_leaving_never_touch_the_formal_membership(as_user, make, home, youth, database):
    school = make.org(name="校团委")
    make.membership(youth, school)

    def membership():
        with database.reading() as connection:
            return connection.execute(select(Membership.__table__)).all()

    before = membership()
    url = apply(as_user(youth.id), home).headers["Location"]
    as_user(home.secretary.id).post(f"{url}/approval")
    assert membership() == before
    as_user(youth.id).delete(f"{home.url}/participation")
    assert membership() == before
    assert before[0].org_id == school.id


@pytest.mark.parametrize("who", ["officer", "city officer", "city admin"])
def test_officers_of_the_county_or_above_may_decide(as_user, make, city, home, applied, who):
    role = Role.PLATFORM_ADMIN if who == "city admin" else Role.OFFICER
    person = home.officer if who == "officer" else make.staff(role, org=city)
    assert as_user(person.id).post(f"{applied}/approval").json["state"] == "approved"


def test_a_rejection_has_a_reason_that_the_applicant_reads(as_user, home, youth, applied, told):
    answer = reject(as_user(home.secretary.id), applied)
    assert (answer.json["state"], answer.json["reason"]) == ("rejected", "家乡信息不一致。")
    assert as_user(youth.id).get(home.url).json["my"] == {
        "application": {
            "id": answer.json["id"],
            "state": "rejected",
            "reason": "家乡信息不一致。",
            "created_at": "2026-10-01T10:00:00+08:00",
        },
        "is_participant": False,
    }
    person_id, kind, params = told()[-1]
    assert (person_id, kind, params["reason"]) == (
        youth.id,
        "enclave_application_rejected",
        "家乡信息不一致。",
    )


@pytest.mark.parametrize(
    ("body", "pointer", "code"),
    [
        ({}, "/reason", "required"),
        ({"reason": "  "}, "/reason", "too_short"),
        ({"reason": "长" * 501}, "/reason", "too_long"),
        ({"reason": "不符", "x": 1}, "/x", "unknown_field"),
    ],
)
def test_bad_rejections_change_nothing(as_user, home, applied, rows, body, pointer, code):
    before = rows()
    issue = as_user(home.secretary.id).post(f"{applied}/rejection", json=body).json["errors"][0]
    assert (issue["pointer"], issue["code"]) == (pointer, code)
    assert rows() == before


def test_who_may_not_decide(client, as_user, make, city, home, applied, rows):
    other = make.enclave_branch(home.county)
    strangers = [
        make.staff(Role.BRANCH_SECRETARY, org=Org(id=other.id)),
        make.staff(Role.OFFICER, org=make.org(city, division_code="140502")),
        make.staff(Role.ANALYST, org=home.county),
        make.staff(Role.HUB_MANAGER, hub=make.hub(home.county)),
    ]
    before = rows()
    assert client.post(f"{applied}/approval").json["code"] == "not_logged_in"
    assert as_user(make.person().id).post(f"{applied}/approval").json["code"] == "not_allowed"
    for person in strangers:
        staff = as_user(person.id)
        for answer in (staff.post(f"{applied}/approval"), reject(staff, applied)):
            assert (answer.status_code, answer.json["code"]) == (404, "no_such_enclave_application")
    assert rows() == before


def test_nobody_decides_their_own_application(as_user, make, home, rows):
    person = make.person(hometown_code="140524")
    make.grant(person, Role.BRANCH_SECRETARY, org=Org(id=home.branch.id))
    url = apply(as_user(person.id), home).headers["Location"]
    before = rows()
    for answer in (as_user(person.id).post(f"{url}/approval"), reject(as_user(person.id), url)):
        assert (answer.status_code, answer.json["code"]) == (403, "own_application")
    assert rows() == before
    assert as_user(home.officer.id).post(f"{url}/approval").status_code == 200


@pytest.mark.parametrize("first", ["approval", "rejection", "withdrawal"])
def test_what_is_decided_stays_decided(as_user, home, youth, applied, rows, first):
    mine, secretary = as_user(youth.id), as_user(home.secretary.id)
    steps = {
        "approval": lambda: secretary.post(f"{applied}/approval"),
        "rejection": lambda: reject(secretary, applied),
        "withdrawal": lambda: mine.post(f"{applied}/withdrawal"),
    }
    assert steps[first]().status_code == 200
    before = rows()
    for step in steps.values():
        answer = step()
        assert (answer.status_code, answer.json["code"]) == (409, "already_decided")
    assert rows() == before


def test_a_decision_repeated_under_its_key_gives_the_same_answer(as_user, home, applied, told):
    headers = {"Idempotency-Key": "decide-1"}
    answers = [as_user(home.secretary.id).post(f"{applied}/approval", headers=headers) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert answers[0].json == answers[1].json
    assert len(told()) == 2  # received, approved


def test_a_branch_dissolved_meanwhile_takes_nobody(as_user, home, applied, database, rows):
    with database.transaction() as session:
        session.execute(update(Org).where(Org.id == home.branch.id).values(status=OrgStatus.DISSOLVED))
    before = rows()
    answer = as_user(home.secretary.id).post(f"{applied}/approval")
    assert (answer.status_code, answer.json["code"]) == (409, "enclave_branch_dissolved")
    assert rows() == before


# Withdrawing and leaving


def test_the_applicant_withdraws(as_user, youth, applied):
    answer = as_user(youth.id).post(f"{applied}/withdrawal")
    assert (answer.status_code, answer.json["state"]) == (200, "withdrawn")


def test_nobody_else_withdraws(client, as_user, make, home, applied, rows):
    before = rows()
    assert client.post(f"{applied}/withdrawal").json["code"] == "not_logged_in"
    for person in (make.person(), home.secretary, home.officer):
        answer = as_user(person.id).post(f"{applied}/withdrawal")
        assert (answer.status_code, answer.json["code"]) == (404, "no_such_enclave_application")
    assert rows() == before


def test_leaving_may_be_repeated_and_ends_only_ones_own_participation(
    as_user, make, home, youth, applied, frozen
):
    other = make.person(hometown_code="140524")
    make.add(EnclaveParticipation(branch_id=home.branch.id, person_id=other.id, joined_at=frozen.now))
    as_user(home.secretary.id).post(f"{applied}/approval")
    frozen.move(hours=1)
    for _ in range(2):
        assert as_user(youth.id).delete(f"{home.url}/participation").status_code == 204
    assert as_user(youth.id).get(home.url).json["my"]["is_participant"] is False
    assert as_user(other.id).get(home.url).json["my"]["is_participant"] is True


def test_leaving_what_one_never_joined(client, as_user, home, youth, rows):
    assert client.delete(f"{home.url}/participation").json["code"] == "not_logged_in"
    assert as_user(youth.id).delete(f"{home.url}/participation").status_code == 204
    missing = as_user(youth.id).delete(f"/v1/enclave-branches/{ids.new_id()}/participation")
    assert (missing.status_code, missing.json["code"]) == (404, "no_such_enclave_branch")
    assert rows() == [[], []]


# Reading


def test_an_application_is_read_by_the_applicant_and_by_deciders(
    client, as_user, make, city, home, youth, applied
):
    for person in (youth, home.secretary, home.officer, make.staff(Role.OFFICER, org=city)):
        assert as_user(person.id).get(applied).json["state"] == "submitted"
    strangers = [
        make.person(),
        make.staff(Role.OFFICER, org=make.org(city)),
        make.staff(Role.ANALYST, org=home.county),
    ]
    for person in strangers:
        answer = as_user(person.id).get(applied)
        assert (answer.status_code, answer.json["code"]) == (404, "no_such_enclave_application")
    assert client.get(applied).json["code"] == "not_logged_in"


def test_deciders_list_applications_oldest_first_by_state_and_page(as_user, make, home):
    people = [make.person(hometown_code="140524", birth_on=date(2000, 10, 2)) for _ in range(5)]
    urls = [apply(as_user(person.id), home).headers["Location"] for person in people]
    secretary = as_user(home.secretary.id)
    reject(secretary, urls[1])
    listed = f"{home.url}/applications"
    everything = secretary.get(listed).json["items"]
    assert [item["applicant"]["id"] for item in everything] == [str(person.id) for person in people]
    assert {item["applicant"]["age"] for item in everything} == {25}  # 26 tomorrow
    assert not any("phone" in field for item in everything for field in (*item, *item["applicant"]))
    waiting = [item["id"] for item in secretary.get(f"{listed}?state=submitted").json["items"]]
    assert waiting == [item["id"] for item in everything if item["state"] == "submitted"]
    first = secretary.get(f"{listed}?limit=3").json
    second = secretary.get(listed, query_string={"limit": 3, "cursor": first["next_cursor"]}).json
    assert [*first["items"], *second["items"]] == everything


def test_deciders_list_participants(as_user, make, home, frozen):
    people = [make.person(hometown_code="140524") for _ in range(3)]
    for person in people:
        frozen.move(minutes=1)
        make.add(EnclaveParticipation(branch_id=home.branch.id, person_id=person.id, joined_at=frozen.now))
    gone = make.person()
    make.add(
        EnclaveParticipation(
            branch_id=home.branch.id, person_id=gone.id, joined_at=frozen.now, left_at=frozen.now
        )
    )
    listed = f"{home.url}/participants"
    first = as_user(home.officer.id).get(f"{listed}?limit=2").json
    second = (
        as_user(home.officer.id).get(listed, query_string={"limit": 2, "cursor": first["next_cursor"]}).json
    )
    assert [item["person"]["id"] for item in first["items"] + second["items"]] == [
        str(person.id) for person in people
    ]
    assert second["next_cursor"] is None


@pytest.mark.parametrize("listed", ["applications", "participants"])
def test_others_do_not_see_who_applies_or_takes_part(client, as_user, make, city, home, applied, listed):
    url = f"{home.url}/{listed}"
    assert client.get(url).json["code"] == "not_logged_in"
    people = [
        make.person(),
        make.staff(Role.OFFICER, org=make.org(city)),
        make.staff(Role.ANALYST, org=home.county),
    ]
    for person in people:
        answer = as_user(person.id).get(url)
        assert (answer.status_code, answer.json["code"]) == (403, "not_allowed")
    missing = as_user(home.officer.id).get(f"/v1/enclave-branches/{ids.new_id()}/{listed}")
    assert (missing.status_code, missing.json["code"]) == (404, "no_such_enclave_branch")


def test_my_applications_and_branches_are_mine_newest_first(client, as_user, make, home, youth, frozen):
    branches = [make.enclave_branch(home.county) for _ in range(3)]
    for branch in branches:
        url = (
            as_user(youth.id)
            .post(f"/v1/enclave-branches/{branch.id}/applications", json={})
            .headers["Location"]
        )
        as_user(home.officer.id).post(f"{url}/approval")
    apply(as_user(make.person(hometown_code="140524").id), home)
    mine = as_user(youth.id)
    expected = [str(branch.id) for branch in reversed(branches)]
    for url in ("/v1/me/enclave-applications", "/v1/me/enclave-branches"):
        assert client.get(url).json["code"] == "not_logged_in"
        first = mine.get(f"{url}?limit=2").json
        second = mine.get(url, query_string={"limit": 2, "cursor": first["next_cursor"]}).json
        assert [item["branch"]["id"] for item in first["items"] + second["items"]] == expected
        assert second["next_cursor"] is None
        assert mine.get(f"{url}?state=x").json["errors"][0]["code"] == "unknown_field"


def test_lists_take_a_constant_number_of_statements(app, as_user, make, home, youth, applied):
    secretary, mine = as_user(home.secretary.id), as_user(youth.id)
    # The caller's session and role are read fresh, in one statement; that staff read of people is an entry of the audit log: another one.
    expected = [
        (secretary, f"{home.url}/applications", 4),
        (secretary, f"{home.url}/participants", 4),
        (secretary, applied, 3),
        (mine, "/v1/me/enclave-applications", 2),
        (mine, "/v1/me/enclave-branches", 2),
    ]
    for size in (0, 4):
        for _ in range(size):
            url = apply(as_user(make.person(hometown_code="140524").id), home).headers["Location"]
            secretary.post(f"{url}/approval")
        for client, url, count in expected:
            with count_statements(app) as sent:
                assert client.get(url).status_code == 200
            assert len(sent) == count, sent


@pytest.mark.parametrize("action", ["", "/withdrawal", "/approval"])
def test_unknown_applications(as_user, home, action):
    client = as_user(home.officer.id)
    method = client.post if action else client.get
    assert (
        method(f"/v1/enclave-applications/{ids.new_id()}{action}").json["code"]
        == "no_such_enclave_application"
    )
    assert method(f"/v1/enclave-applications/x{action}").json["errors"][0]["code"] == "not_id"


def test_a_role_that_ends_ends_the_deciding(as_user, make, home, applied, frozen):
    person = make.person()
    make.grant(
        person, Role.BRANCH_SECRETARY, org=Org(id=home.branch.id), ends_at=frozen.now + timedelta(minutes=1)
    )
    staff = as_user(person.id)
    assert staff.get(f"{home.url}/applications").status_code == 200
    frozen.move(minutes=1)
    assert staff.post(f"{applied}/approval").json["code"] == "not_allowed"
