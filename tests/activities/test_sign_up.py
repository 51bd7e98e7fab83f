"""Signing up and leaving, over HTTP."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from types import SimpleNamespace

import pytest
from counting import count_statements
from guards import lifted
from sqlalchemy import func, select, update
from sqlalchemy.exc import IntegrityError

from engage.activities.models import (
    MAX_APPLICATIONS,
    Activity,
    ActivityStatus,
    AdmissionMode,
    CancelCause,
    SignUp,
    SignUpState,
)
from engage.activities.service import admission, rules
from engage.activities.service import sign_up as service
from engage.core import clock, ids
from engage.core.db import Work
from engage.identity.models import AuthSession, Person, PersonStatus
from engage.messages.models import OutboxEntry
from engage.orgs.models import MembershipStatus, Role


def url(activity, rest="sign-up"):
    return f"/v1/activities/{activity.id}/{rest}"


def counters(database, activity):
    with database.reading() as db:
        return tuple(
            db.execute(select(Activity.taken, Activity.waiting).where(Activity.id == activity.id)).one()
        )


def test_a_free_place_is_confirmed_at_once(as_user, make, frozen, database):
    activity, person = make.activity(), make.person()
    answer = as_user(person.id).put(url(activity), json={})
    assert answer.status_code == 200
    assert (answer.json["state"], answer.json["position"]) == ("confirmed", None)
    assert answer.json["created_at"] == "2026-10-01T10:00:00+08:00"
    assert counters(database, activity) == (1, 0)


def test_repeating_a_sign_up_returns_the_same_place(as_user, make, database):
    activity, client = make.activity(), as_user(make.person().id)
    first, again = client.put(url(activity), json={}), client.put(url(activity), json={})
    assert again.status_code == 200
    assert again.json == first.json
    assert counters(database, activity) == (1, 0)


def test_a_full_activity_gives_turns_in_order_of_arrival(as_user, make, database):
    activity = make.activity(capacity=1, waitlist_capacity=2)
    answers = [as_user(make.person().id).put(url(activity), json={}).json for _ in range(3)]
    assert [(answer["state"], answer["position"]) for answer in answers] == [
        ("confirmed", None),
        ("waitlisted", 1),
        ("waitlisted", 2),
    ]
    refused = as_user(make.person().id).put(url(activity), json={})
    assert (refused.status_code, refused.json["code"]) == (409, "activity_full")
    assert counters(database, activity) == (1, 2)


def test_leaving_promotes_the_next_in_the_same_transaction(as_user, make, database):
    activity = make.activity(capacity=1)
    people = [make.person() for _ in range(3)]
    clients = [as_user(person.id) for person in people]
    for client in clients:
        client.put(url(activity), json={})
    assert clients[0].delete(url(activity)).status_code == 204
    states = [client.get(url(activity)).json for client in clients[1:]]
    assert [(state["state"], state["position"]) for state in states] == [
        ("confirmed", None),
        ("waitlisted", 1),
    ]
    assert counters(database, activity) == (1, 1)
    with database.reading() as db:
        told = db.execute(select(OutboxEntry.person_id, OutboxEntry.kind)).all()
    assert [tuple(row) for row in told] == [(people[1].id, "sign_up_promoted")]


def test_leaving_the_queue_moves_everybody_behind_up(as_user, make):
    activity = make.activity(capacity=1)
    clients = [as_user(make.person().id) for _ in range(4)]
    for client in clients:
        client.put(url(activity), json={})
    clients[1].delete(url(activity))
    assert [client.get(url(activity)).json["position"] for client in clients[2:]] == [1, 2]


def test_leaving_twice_changes_nothing_more(as_user, make, database):
    activity, client = make.activity(), as_user(make.person().id)
    client.put(url(activity), json={})
    assert client.delete(url(activity)).status_code == 204
    assert client.delete(url(activity)).status_code == 204
    assert client.get(url(activity)).json["code"] == "no_such_sign_up"
    assert counters(database, activity) == (0, 0)


def test_whoever_comes_back_queues_at_the_end(as_user, make):
    activity = make.activity(capacity=1)
    clients = [as_user(make.person().id) for _ in range(3)]
    for client in clients:
        client.put(url(activity), json={})
    clients[1].delete(url(activity))
    assert clients[1].put(url(activity), json={}).json["position"] == 2


@pytest.mark.parametrize(
    ("values", "status", "code"),
    [
        ({"sign_up_opens_at": timedelta(hours=1)}, 409, "sign_up_not_open"),
        ({"sign_up_closes_at": timedelta(0)}, 409, "sign_up_closed"),
        (
            {
                "starts_at": timedelta(hours=-3),
                "ends_at": timedelta(hours=-1),
                "sign_up_closes_at": timedelta(hours=-2),
            },
            409,
            "activity_over",
        ),
        ({"status": ActivityStatus.CANCELLED}, 409, "activity_cancelled"),
        ({"status": ActivityStatus.SUMMARISED}, 409, "activity_over"),
        ({"status": ActivityStatus.DRAFT}, 404, "no_such_activity"),
        ({"status": ActivityStatus.REVIEW}, 404, "no_such_activity"),
        ({"status": ActivityStatus.REJECTED}, 404, "no_such_activity"),
        ({"min_age": 21}, 403, "age_not_allowed"),
        ({"max_age": 19}, 403, "age_not_allowed"),
        ({"county_codes": ["140524"]}, 403, "county_not_allowed"),
        ({"members_only": True}, 403, "members_only"),
    ],
)
def test_an_activity_that_does_not_take_the_caller_says_why(
    as_user, make, frozen, database, values, status, code
):
    values = {
        name: frozen.now + value if isinstance(value, timedelta) else value for name, value in values.items()
    }
    activity = make.activity(**values)
    answer = as_user(make.person().id).put(url(activity), json={})
    assert (answer.status_code, answer.json["code"]) == (status, code)
    assert counters(database, activity) == (0, 0)


def test_the_age_counts_on_the_day_of_the_activity(as_user, make, frozen):
    # 18 on 2 October, the day of the activity; still 17 on 1 October, the day of signing up
    person = make.person(birth_on=date(2008, 10, 2))
    assert as_user(person.id).put(url(make.activity(min_age=18)), json={}).status_code == 200
    assert as_user(person.id).put(url(make.activity(min_age=19)), json={}).status_code == 403


def test_hometown_or_present_county_opens_an_activity(as_user, make):
    activity = make.activity(county_codes=["140524"])
    home = make.person(hometown_code="140524100", current_code="140100")
    here = make.person(hometown_code="140522", current_code="140524")
    assert [as_user(person.id).put(url(activity), json={}).status_code for person in (home, here)] == [
        200,
        200,
    ]


def test_members_may_come_to_what_is_for_members(as_user, make):
    activity, org = make.activity(members_only=True), make.org()
    member, former = make.person(), make.person()
    make.membership(member, org)
    make.membership(former, org, status=MembershipStatus.AGED_OUT)
    assert as_user(member.id).put(url(activity), json={}).status_code == 200
    assert as_user(former.id).put(url(activity), json={}).json["code"] == "members_only"


def test_an_incomplete_profile_is_asked_for_first(as_user, make):
    person = make.person(birth_on=None)
    answer = as_user(person.id).put(url(make.activity()), json={})
    assert (answer.status_code, answer.json["code"]) == (409, "profile_incomplete")


def test_only_logged_in_active_people_sign_up(client, as_user, make):
    activity = make.activity()
    assert client.put(url(activity), json={}).json["code"] == "not_logged_in"
    assert client.get(url(activity)).status_code == 401
    assert client.delete(url(activity)).status_code == 401
    suspended = make.person(status=PersonStatus.SUSPENDED)
    assert as_user(suspended.id).put(url(activity), json={}).json["code"] == "account_suspended"


def test_leaving_is_too_late_after_the_start(as_user, make, frozen, database):
    activity, person = make.activity(), make.person()
    as_user(person.id).put(url(activity), json={})
    frozen.set(activity.starts_at)
    answer = as_user(person.id).delete(url(activity))
    assert (answer.status_code, answer.json["code"]) == (409, "activity_started")
    assert counters(database, activity) == (1, 0)


def test_my_sign_ups_are_upcoming_or_past(as_user, make, frozen):
    person = make.person()
    client = as_user(person.id)
    soon, later = (
        make.activity(starts_at=frozen.now + timedelta(hours=2), ends_at=frozen.now + timedelta(hours=30)),
        make.activity(),
    )
    for activity in (later, soon):
        client.put(url(activity), json={})
    upcoming = client.get("/v1/me/sign-ups").json["items"]
    assert [item["activity"]["id"] for item in upcoming] == [str(soon.id), str(later.id)]
    assert client.get("/v1/me/sign-ups?when=past").json["items"] == []
    frozen.move(days=3)
    client = as_user(person.id)
    past = client.get("/v1/me/sign-ups?when=past").json["items"]
    assert [(item["activity"]["id"], item["attendance"]) for item in past] == [
        (str(later.id), "absent"),
        (str(soon.id), "absent"),
    ]


def test_my_sign_ups_are_paged(as_user, make):
    client = as_user(make.person().id)
    for _ in range(3):
        client.put(url(make.activity()), json={})
    first = client.get("/v1/me/sign-ups?limit=2").json
    second = client.get("/v1/me/sign-ups", query_string={"limit": 2, "cursor": first["next_cursor"]}).json
    assert len({item["id"] for item in first["items"] + second["items"]}) == 3
    assert second["next_cursor"] is None


def test_a_cancelled_activity_can_be_left_and_promotes_nobody(as_user, make, database):
    activity = make.activity(capacity=1)
    people = [make.person() for _ in range(2)]
    for person in people:
        as_user(person.id).put(url(activity), json={})
    with database.transaction() as session:
        session.execute(
            update(Activity).where(Activity.id == activity.id).values(status=ActivityStatus.CANCELLED)
        )
    assert as_user(people[0].id).delete(url(activity)).status_code == 204
    assert as_user(people[1].id).get(url(activity)).json["state"] == "waitlisted"


def test_an_unknown_activity_cannot_be_joined_or_left(as_user, make):
    client, unknown = as_user(make.person().id), f"/v1/activities/{ids.new_id()}/sign-up"
    assert client.put(unknown, json={}).json["code"] == "no_such_activity"
    assert client.delete(unknown).json["code"] == "no_such_activity"
    assert client.get(unknown).json["code"] == "no_such_activity"


def test_only_a_second_live_sign_up_counts_as_already_in(make, database, frozen):
    activity, person = make.activity(), make.person()
    joining = admission.Joining(activity.id, person.id, activity.version, {})
    with database.transaction() as session:
        assert admission.admit(session, joining, frozen.now).state is SignUpState.CONFIRMED
    with database.transaction() as session:
        assert admission.admit(session, joining, frozen.now).mine is not None
    with pytest.raises(IntegrityError) as second:
        make.sign_up(activity, person)
    assert admission._is_second_live(second.value)
    with pytest.raises(IntegrityError) as nobody, database.transaction() as session:
        admission.admit(session, replace(joining, person_id=ids.new_id()), frozen.now)
    assert not admission._is_second_live(nobody.value)


def faster(monkeypatch, what):
    """Let something happen between reading what an activity asks and admission."""
    check = service.check_answers

    def check_after(*args, **kwargs):
        monkeypatch.setattr(service, "check_answers", check)
        what()
        return check(*args, **kwargs)

    monkeypatch.setattr(service, "check_answers", check_after)


@pytest.mark.parametrize("mode", [AdmissionMode.REVIEW, AdmissionMode.LOTTERY])
def test_where_no_more_applications_are_taken_it_says_so_and_not_that_places_are_gone(
    as_user, make, database, mode
):
    org = make.org()
    activity = make.activity(org, admission_mode=mode)

    def set_(**values):
        with database.transaction() as session:
            session.execute(update(Activity).where(Activity.id == activity.id).values(**values))

    set_(applied=MAX_APPLICATIONS)
    for _ in range(2):  # the second finds the rules known
        refused = as_user(make.person().id).put(url(activity), json={})
        assert (refused.status_code, refused.json["code"]) == (409, "too_many_applications")
    if mode is AdmissionMode.REVIEW:
        officer = as_user(make.staff(Role.OFFICER, org=org).id)
        added = officer.post(url(activity, "sign-ups"), json={"person_id": str(make.person().id)})
        assert added.json["state"] == "confirmed", "staff do not apply"
        set_(capacity=1, waitlist_capacity=0)
        added = officer.post(url(activity, "sign-ups"), json={"person_id": str(make.person().id)})
        assert added.json["code"] == "activity_full"
    else:
        with database.transaction() as session, lifted(session.connection(), "activity_keeps_admission"):
            session.execute(update(Activity).values(drawn=True))
        assert as_user(make.person().id).put(url(activity), json={}).json["state"] == "confirmed"


def test_whoever_is_beaten_to_the_last_place_is_told_so(as_user, make, monkeypatch):
    activity = make.activity(capacity=1, waitlist_capacity=0)
    other, client = as_user(make.person().id), as_user(make.person().id)
    faster(monkeypatch, lambda: other.put(url(activity), json={}))
    answer = client.put(url(activity), json={})
    assert (answer.status_code, answer.json["code"]) == (409, "activity_full")


def test_whoever_is_beaten_by_their_own_other_press_gets_that_place(as_user, make, monkeypatch, database):
    activity, person = make.activity(), make.person()
    first, second = as_user(person.id), as_user(person.id)
    answers = []
    faster(monkeypatch, lambda: answers.append(first.put(url(activity), json={}).json))
    assert second.put(url(activity), json={}).json == answers[0]
    assert counters(database, activity) == (1, 0)


def test_an_activity_cancelled_meanwhile_says_so(as_user, make, monkeypatch, database):
    activity, client = make.activity(), as_user(make.person().id)

    def cancel():
        with database.transaction() as session:
            session.execute(
                update(Activity).where(Activity.id == activity.id).values(status=ActivityStatus.CANCELLED)
            )

    faster(monkeypatch, cancel)
    assert client.put(url(activity), json={}).json["code"] == "activity_cancelled"


def test_a_full_activity_is_refused_without_touching_it(app, as_user, make):
    activity = make.activity(capacity=1, waitlist_capacity=0)
    as_user(make.person().id).put(url(activity), json={})
    client = as_user(make.person().id)
    with count_statements(app) as sent:
        assert client.put(url(activity), json={}).json["code"] == "activity_full"
    assert len(sent) == 1  # who calls, and what they meet


@pytest.mark.parametrize("capacity", [1, 5])
@pytest.mark.parametrize(
    ("change", "answer"),
    [
        (update(Person).values(status=PersonStatus.SUSPENDED), (403, "account_suspended")),
        (update(Person).values(status=PersonStatus.CLOSED), (403, "account_closed")),
        (update(AuthSession).values(ended_at=clock.now()), (401, "session_ended")),
        (update(AuthSession).values(expires_at=clock.now()), (401, "session_ended")),
    ],
)
def test_who_may_not_call_learns_nothing_and_gets_nothing(
    app, as_user, make, database, capacity, change, answer
):
    """Also where the rules are known, so that who calls and what they meet is read at once."""
    activity, person = make.activity(capacity=capacity, waitlist_capacity=0), make.person()
    as_user(make.person().id).put(url(activity), json={})
    client = as_user(person.id)
    whose = Person.id if change.table.name == "person" else AuthSession.person_id
    with database.transaction() as session:
        session.execute(change.where(whose == person.id))
    refused = client.put(url(activity), json={})
    assert (refused.status_code, refused.json["code"]) == answer
    with database.reading() as connection:
        assert connection.scalar(select(func.count()).select_from(SignUp)) == 1


def test_a_repetition_after_the_end_tells_what_became_of_it(as_user, make, frozen):
    activity, person = make.activity(), make.person()
    as_user(person.id).put(url(activity), json={})
    frozen.set(activity.ends_at)
    client = as_user(person.id)
    assert client.put(url(activity), json={}).json.items() <= client.get(url(activity)).json.items()
    assert client.get(url(activity)).json["attendance"] == "absent"


def test_a_session_that_ended_shows_nothing_personal_any_more(as_user, make, client):
    activity, person = make.activity(), make.person()
    mine = as_user(person.id)
    mine.put(url(activity), json={})
    mine.post("/v1/auth/logout")
    assert mine.get(url(activity, "")[:-1]).json["code"] == "session_ended"
    assert client.get(url(activity, "")[:-1]).json["my_sign_up"] is None


def test_an_activity_taken_back_meanwhile_is_not_found(as_user, make, database):
    """Its rules are still known to this process; they let nobody in."""
    activity = make.activity()
    as_user(make.person().id).put(url(activity), json={})
    with database.transaction() as session:
        session.get(Activity, activity.id).status = ActivityStatus.DRAFT
    answer = as_user(make.person().id).put(url(activity), json={})
    assert (answer.status_code, answer.json["code"]) == (404, "no_such_activity")


def test_whoever_meets_another_version_each_time_may_try_again(as_user, make, monkeypatch):
    activity, client = make.activity(), as_user(make.person().id)
    known = rules.rules_of

    def older(look, activity_id):
        return replace(known(look, activity_id), version=0)

    monkeypatch.setattr(service, "rules_of", older)
    answer = client.put(url(activity), json={})
    assert (answer.status_code, answer.json["code"]) == (409, "conflicting_change")


def test_rules_are_kept_of_so_many_activities_only(as_user, make, monkeypatch):
    monkeypatch.setattr(rules, "_KEPT", 1)
    client = as_user(make.person().id)
    for activity in (make.activity(), make.activity()):
        assert client.put(url(activity), json={}).json["state"] == "confirmed"
        assert len(rules._rules) == 1


def test_staff_enter_somebody_in_a_lottery(as_user, make):
    org = make.org()
    activity = make.activity(org, admission_mode="lottery")
    officer = as_user(make.staff(Role.OFFICER, org=org).id)
    answer = officer.post(url(activity, "sign-ups"), json={"person_id": str(make.person().id)})
    assert (answer.status_code, answer.json["state"]) == (201, "applied")


def test_a_look_at_no_activity_sees_nothing(make, database):
    with database.transaction() as session:
        assert admission.seen(session, ids.new_id(), make.person().id).facts is None


def test_another_fault_of_ending_a_sign_up_is_not_taken_for_presence(make, database, frozen, settings):
    sign_up = make.sign_up(make.activity())
    stranger = SimpleNamespace(id=ids.new_id())
    with pytest.raises(IntegrityError), database.transaction() as session:
        admission.end(Work(session, stranger, frozen.now, settings), sign_up.id, CancelCause.LEFT)
