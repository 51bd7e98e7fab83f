"""Giving, listing and ending roles over HTTP, invitations, and what somebody may do."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace
from uuid import UUID

import pytest
from click.testing import CliRunner
from racing import at_once
from sqlalchemy import literal, select, update
from sqlalchemy.exc import DBAPIError

from engage.activities.models import ActivityStatus
from engage.cli.commands import engage
from engage.core import clock, ids
from engage.core.audit import AuditEntry
from engage.core.db import Look, Nobody, Work
from engage.core.errors import DomainError
from engage.hubs.models import HubStatus
from engage.identity.models import Person, PersonStatus
from engage.identity.service import set_standing
from engage.messages.service import deliver_due
from engage.orgs.access import Permission, held_with, may_give, permitted, permitted_everywhere
from engage.orgs.models import Org, Role, RoleGrant
from engage.orgs.service import end_grant, refuse_last_administrator


@pytest.fixture
def city(make, frozen):
    """A city with two counties, a township in one, hubs, and who runs them."""
    root = make.org(name="市")
    county, other = make.org(root, name="县"), make.org(root, name="邻县")
    town = make.org(county, name="镇")
    hub, other_hub = make.hub(town), make.hub(other)
    return SimpleNamespace(
        root=root, county=county, other=other, town=town, hub=hub, other_hub=other_hub,
        admin=make.staff(Role.PLATFORM_ADMIN, org=root), officer=make.staff(Role.OFFICER, org=county),
        analyst=make.staff(Role.ANALYST, org=county), secretary=make.staff(Role.BRANCH_SECRETARY, org=town),
        manager=make.staff(Role.HUB_MANAGER, hub=hub), auditor=make.staff(Role.AUDITOR, org=root),
    )  # fmt: skip


def _give(client, person, role, *, org=None, hub=None, **more):
    body = {"person_id": str(person.id), "role": role, "reason": "换届", **more}
    body |= {"org_id": str(org.id)} if org else {}
    return client.post("/v1/role-grants", json=body | ({"hub_id": str(hub.id)} if hub else {}))


def _code(answer):
    return answer.status_code, (answer.json or {}).get("code")


def test_nobody_gives_what_is_more_than_they_hold_or_where_they_hold_nothing(city, make, as_user):
    """For each giver: the roles they give at their node, above it, below, and in the other county."""
    below = {"officer", "analyst", "branch_secretary", "delegate", "inspector"}
    everything = below | {"platform_admin", "auditor"}
    gives = {
        city.admin: {"root": everything, "county": everything, "town": everything, "other": everything},
        city.officer: {"root": set(), "county": below, "town": below, "other": set()},
        city.analyst: {}, city.secretary: {}, city.manager: {}, city.auditor: {},
    }  # fmt: skip
    for giver, places in gives.items():
        client = as_user(giver.id)
        for place in ("root", "county", "town", "other"):
            for role in everything:
                answer = _give(client, make.person(), role, org=getattr(city, place))
                expected = (201, None) if role in places.get(place, ()) else (403, "not_allowed")
                assert _code(answer) == expected, (role, place, answer.json)
        of_hub = (201, None) if giver in (city.admin, city.officer) else (403, "not_allowed")
        assert _code(_give(client, make.person(), "hub_manager", hub=city.hub)) == of_hub
    assert _code(_give(as_user(city.officer.id), make.person(), "hub_manager", hub=city.other_hub)) == (
        403,
        "not_allowed",
    )


def test_a_role_that_was_given_works_at_once_and_says_who_gave_it_why(city, make, as_user):
    person = make.person()
    answer = _give(as_user(city.officer.id), person, "hub_manager", hub=city.hub)
    assert answer.json | {"id": 0, "starts_at": 0} == {
        "id": 0,
        "role": "hub_manager",
        "person": {"id": str(person.id), "name": None},
        "org": None,
        "hub": {"id": str(city.hub.id), "name": city.hub.name},
        "starts_at": 0,
        "ends_at": None,
        "reason": "换届",
        "granted_by": {"id": str(city.officer.id), "name": city.officer.name},
        "ended_at": None,
        "end_reason": None,
    }
    assert as_user(city.officer.id).get(answer.headers["Location"]).json == answer.json
    assert [item["role"] for item in as_user(person.id).get("/v1/me/roles").json["items"]] == ["hub_manager"]


def test_giving_a_role_to_an_id_does_not_tell_whose_it_is(city, make, as_user):
    officer, admin = as_user(city.officer.id), as_user(city.admin.id)
    person = make.person(name="陵川某人", hometown_code="140524")
    given = _give(officer, person, "delegate", org=city.town).json
    url = f"/v1/role-grants/{given['id']}"
    for reader in (officer, admin):
        listed = [item for item in reader.get("/v1/role-grants").json["items"] if item["id"] == given["id"]]
        assert [item["person"] for item in (given, *listed, reader.get(url).json)] == [
            {"id": str(person.id), "name": None}
        ] * 3
    assert as_user(person.id).get(url).json["person"]["name"] == "陵川某人"
    assert _end(officer, given["id"]).json["person"]["name"] is None
    # Who accepts an invitation says who they are by it, on that grant.
    accepted = _accept(as_user(person.id), _invite(officer, org_id=str(city.town.id)).json).json
    assert accepted["person"]["name"] == "陵川某人"
    assert officer.get(f"/v1/role-grants/{accepted['id']}").json["person"]["name"] == "陵川某人"
    assert officer.get(url).json["person"]["name"] is None
    # Whom the command line gave a role is known to those who see it.
    shown = officer.get("/v1/role-grants?role=hub_manager").json["items"]
    assert [item["person"]["name"] for item in shown] == [city.manager.name]


def test_whoever_is_given_a_role_or_loses_it_is_told(city, make, as_user, database):
    person, officer = make.person(), as_user(city.officer.id)
    given = _give(officer, person, "analyst", org=city.town).json
    _end(officer, given["id"])
    mine = _give(officer, person, "analyst", org=city.town).json
    deliver_due(database)
    _end(as_user(person.id), mine["id"])  # their own: they know
    deliver_due(database)
    told = as_user(person.id).get("/v1/me/messages").json["items"][::-1]
    assert [(item["kind"], item["subject_kind"], item["subject_id"]) for item in told] == [
        ("role_given", "role_grant", given["id"]),
        ("role_ended", "role_grant", given["id"]),
        ("role_given", "role_grant", mine["id"]),
    ]
    assert as_user(city.officer.id).get("/v1/me/messages").json["items"] == []


def test_they_are_told_which_role_and_where_in_their_language(city, make, as_user, database, frozen):
    person, officer = make.person(), as_user(city.officer.id)
    given = _give(officer, person, "hub_manager", hub=city.hub).json
    _end(officer, given["id"])
    _give(officer, person, "branch_secretary", org=city.town)
    deliver_due(database)

    def texts(language):
        items = as_user(person.id, language=language).get("/v1/me/messages").json["items"]
        return [item["text"] for item in items[::-1]]

    hub = city.hub.name
    assert texts("zh") == [
        f"您在“{hub}”获得了新的角色：站点管理员，10月1日10:00起生效。授予理由：换届",
        f"您在“{hub}”的站点管理员角色已被收回。理由：工作调动",
        "您在“镇”获得了新的角色：支部书记，10月1日10:00起生效。授予理由：换届",
    ]
    assert texts("en") == [
        f"You have been given the role of hub manager at “{hub}”, from 10:00 on 1 Oct on. Reason: 换届",
        f"Your role of hub manager at “{hub}” has been ended. Reason: 工作调动",
        "You have been given the role of branch secretary at “镇”, from 10:00 on 1 Oct on. Reason: 换届",
    ]


def test_what_they_are_told_of_can_be_opened_before_it_begins_and_after_it_has_ended(
    city, make, as_user, database
):
    person, officer = make.person(), as_user(city.officer.id)
    later = (clock.now() + timedelta(days=3)).isoformat()
    given = _give(officer, person, "analyst", org=city.town, starts_at=later).json
    deliver_due(database)
    holder = as_user(person.id)
    told = holder.get("/v1/me/messages").json["items"][0]
    url = f"/v1/role-grants/{told['subject_id']}"
    before = holder.get(url)
    assert (before.status_code, before.json["id"], before.json["ended_at"]) == (200, given["id"], None)
    _end(officer, given["id"])
    after = holder.get(url).json
    assert (after["id"], after["end_reason"]) == (given["id"], "工作调动")
    # It is nobody else's, and whoever reaches for it or reads it is in the log.
    hidden = (404, "no_such_role_grant")
    strangers = [make.person(), city.analyst, city.secretary, city.manager, city.auditor]
    for stranger in [*strangers, make.staff(Role.OFFICER, org=city.other)]:
        assert _code(as_user(stranger.id).get(url)) == hidden
    assert officer.get(url).status_code == as_user(city.admin.id).get(url).status_code == 200
    reads = select(AuditEntry.result, AuditEntry.people).where(
        AuditEntry.action == "read_role_grant", AuditEntry.object_id == UUID(given["id"])
    )
    with database.reading() as connection:
        entries = [tuple(row) for row in connection.execute(reads.order_by(AuditEntry.id))]
    assert entries == [("no_such_role_grant", None)] * 6 + [("done", 1)] * 2


def test_what_cannot_be_given_is_refused(city, make, as_user, database):
    officer, admin = as_user(city.officer.id), as_user(city.admin.id)
    now = clock.now()
    gone = make.person()
    gone.id = ids.new_id()
    nowhere = SimpleNamespace(id=ids.new_id())
    for answer, expected in [
        (_give(officer, city.officer, "analyst", org=city.county), (403, "own_grant")),
        (_give(officer, gone, "analyst", org=city.county), (404, "no_such_person")),
        (_give(officer, make.person(), "analyst", org=nowhere), (404, "no_such_grant_place")),
        (_give(officer, make.person(), "analyst", org=city.county, hub=city.hub), (422, "role_not_here")),
        (_give(officer, make.person(), "analyst", hub=city.hub), (422, "role_not_here")),
        (_give(officer, make.person(), "hub_manager", org=city.town), (422, "role_not_here")),
        (_give(officer, make.person(), "analyst"), (422, "role_not_here")),
        (
            _give(officer, make.person(), "analyst", org=city.town, ends_at=now.isoformat()),
            (422, "grant_ends_early"),
        ),
        (
            _give(
                officer,
                make.person(),
                "analyst",
                org=city.town,
                starts_at=(now - timedelta(days=1)).isoformat(),
            ),
            (422, "grant_starts_in_past"),
        ),
        (
            _give(officer, make.person(status=PersonStatus.SUSPENDED), "analyst", org=city.town),
            (403, "account_suspended"),
        ),
        (_give(officer, city.analyst, "analyst", org=city.county), (409, "role_already_held")),
        (_give(admin, city.auditor, "officer", org=city.town), (409, "duties_not_separate")),
        (_give(admin, city.analyst, "auditor", org=city.town), (409, "duties_not_separate")),
    ]:
        assert _code(answer) == expected
    # Neither by the back door: the database refuses a grant to oneself, and an end put off.
    with pytest.raises(DBAPIError), database.transaction() as session:
        session.execute(update(RoleGrant).values(ends_at=now + timedelta(days=999)))
    with pytest.raises(DBAPIError):
        make.grant(city.officer, Role.ANALYST, org=city.town, granted_by=city.officer.id)


def test_a_term_is_extended_by_the_next_one(city, make, as_user, frozen):
    officer, person = as_user(city.officer.id), make.person()
    end = clock.now() + timedelta(days=10)
    _give(officer, person, "analyst", org=city.town, ends_at=end.isoformat())
    assert _code(_give(officer, person, "analyst", org=city.town, starts_at=end.isoformat()))[0] == 201
    assert _code(_give(officer, person, "analyst", org=city.town))[1] == "role_already_held"
    for days in (9, 2):
        frozen.move(days=days)
        assert len(as_user(person.id).get("/v1/me/roles").json["items"]) == 1


def _outlasts(answer, latest):
    """Whether an answer refuses an end and names the latest that would do."""
    faults = [(fault["pointer"], fault["code"]) for fault in answer.json.get("errors", ())]
    named = (
        faults == [("/ends_at", "outlasts_giver")]
        and latest.isoformat() in answer.json["errors"][0]["detail"]
    )
    return _code(answer) == (422, "invalid_input") and named


def test_nobody_gives_or_invites_for_longer_than_they_hold(city, make, as_user):
    end = clock.now() + timedelta(minutes=5)
    later, soon = end + timedelta(microseconds=1), end - timedelta(minutes=1)
    person = make.person()
    make.grant(person, Role.OFFICER, org=city.county, ends_at=end)
    # Neither of these gives a role there now.
    make.grant(person, Role.ANALYST, org=city.county)
    make.grant(person, Role.OFFICER, org=city.other)
    make.grant(person, Role.OFFICER, org=city.county, starts_at=clock.now() + timedelta(seconds=1))
    make.grant(person, Role.OFFICER, org=city.county, ended_at=clock.now(), end_reason="调动")
    officer, friend = as_user(person.id), make.person()
    for terms in [
        {},
        {"ends_at": None},
        {"ends_at": later.isoformat()},
        {"starts_at": end.isoformat(), "ends_at": later.isoformat()},
        {"starts_at": end.isoformat()},
    ]:
        for place in ({"org": city.county}, {"org": city.town}, {"hub": city.hub}):
            role = "hub_manager" if "hub" in place else "officer"
            assert _outlasts(_give(officer, friend, role, **place, **terms), end), (terms, place)
            body = {f"{kind}_id": str(where.id) for kind, where in place.items()}
            invited = {name: value for name, value in terms.items() if name != "starts_at"}
            assert _outlasts(_invite(officer, role, **body, **invited), end), (terms, place)
    given = _give(officer, friend, "officer", org=city.county, starts_at=soon.isoformat(), ends_at=end.isoformat())  # fmt: skip
    assert _code(given) == (201, None)
    until = {"org_id": str(city.town.id), "ends_at": end.isoformat()}
    accepted = _accept(as_user(make.person().id), _invite(officer, **until).json)
    assert (accepted.status_code, accepted.json["ends_at"]) == (200, end.isoformat())


def test_nobody_extends_their_own_term_through_a_friend(city, make, as_user, frozen):
    end = clock.now() + timedelta(minutes=5)
    person, friend = make.person(), make.person()
    make.grant(person, Role.OFFICER, org=city.county, ends_at=end)
    _give(as_user(person.id), friend, "officer", org=city.county, ends_at=end.isoformat())
    back = _give(as_user(friend.id), person, "officer", org=city.county, starts_at=end.isoformat())
    assert _outlasts(back, end)
    frozen.set(end)
    for each in (person, friend):
        assert as_user(each.id).get("/v1/me/roles").json == {"items": []}


def test_a_role_may_last_as_long_as_the_longest_grant_that_gives_it(city, make, as_user):
    end = clock.now() + timedelta(days=1)
    person = make.person()
    make.grant(person, Role.PLATFORM_ADMIN, org=city.root, ends_at=end)
    make.grant(person, Role.OFFICER, org=city.root, ends_at=end - timedelta(hours=1))
    make.grant(person, Role.OFFICER, org=city.county)
    client = as_user(person.id)
    assert _code(_give(client, make.person(), "officer", org=city.town)) == (201, None)
    assert _outlasts(_give(client, make.person(), "auditor", org=city.town), end)
    assert _outlasts(_give(client, make.person(), "officer", org=city.root), end)


def test_grants_are_listed_where_the_caller_gives_roles(city, make, as_user):
    now = clock.now()
    soon = make.grant(make.person(), Role.OFFICER, org=city.town, ends_at=now + timedelta(days=5))
    sooner = make.grant(make.person(), Role.OFFICER, org=city.town, ends_at=now + timedelta(days=2))
    make.grant(make.person(), Role.OFFICER, org=city.town, ends_at=now)
    make.grant(make.person(), Role.OFFICER, org=city.town, ended_at=now, end_reason="调动")
    make.staff(Role.OFFICER, org=city.other)

    def listed(who, **query):
        answer = as_user(who.id).get("/v1/role-grants", query_string=query)
        return [item["id"] for item in answer.json["items"]]

    everybody = listed(city.officer)
    assert len(everybody) == 6  # four of the city fixture at or below the county, and two of these
    assert listed(city.officer, ends_within_days=7) == [str(sooner.id), str(soon.id)]
    assert listed(city.officer, ends_within_days=3) == [str(sooner.id)]
    assert len(listed(city.officer, hub_id=str(city.hub.id))) == 1
    assert len(listed(city.admin, org_id=str(city.town.id))) == 4
    assert len(listed(city.officer, role="analyst")) == 1
    assert listed(city.officer, org_id=str(city.other.id)) == []
    assert listed(city.analyst) == listed(city.manager) == listed(city.auditor) == []
    # Pages come to the same, and a page of soon ending ones goes on where it stopped.
    first = as_user(city.officer.id).get("/v1/role-grants?limit=1&ends_within_days=7").json
    rest = as_user(city.officer.id).get(
        f"/v1/role-grants?limit=1&ends_within_days=7&cursor={first['next_cursor']}"
    )
    assert [item["id"] for item in rest.json["items"]] == [str(soon.id)]
    # What the list hides, the item hides.
    for grant_id in everybody:
        assert as_user(city.officer.id).get(f"/v1/role-grants/{grant_id}").status_code == 200
        assert _code(as_user(city.auditor.id).get(f"/v1/role-grants/{grant_id}")) == (
            404,
            "no_such_role_grant",
        )


def _grant_of(database, person):
    with database.reading() as connection:
        return connection.scalar(select(RoleGrant.id).where(RoleGrant.person_id == person.id))


def _end(client, grant_id):
    return client.post(f"/v1/role-grants/{grant_id}/end", json={"reason": "工作调动"})


def test_an_ended_grant_stops_at_once_also_for_tokens_issued_before(city, as_user, database):
    manager, officer = as_user(city.manager.id), as_user(city.officer.id)
    mine = f"/v1/me/permissions?hub_id={city.hub.id}"
    assert manager.get(mine).json["items"]
    answer = _end(officer, _grant_of(database, city.manager))
    assert (answer.status_code, answer.json["end_reason"]) == (200, "工作调动")
    assert manager.get(mine).json == {"items": []}
    assert _code(manager.get("/v1/role-grants")) == (403, "not_allowed")
    assert _code(_end(officer, _grant_of(database, city.manager))) == (409, "grant_ended")


def test_who_may_end_what(city, make, as_user, database):
    officer = as_user(city.officer.id)
    above, beside = make.staff(Role.OFFICER, org=city.root), make.staff(Role.OFFICER, org=city.other)
    local_admin = make.staff(Role.PLATFORM_ADMIN, org=city.town)
    for person, expected in [
        (above, (404, "no_such_role_grant")),
        (beside, (404, "no_such_role_grant")),
        (local_admin, (403, "not_allowed")),  # seen below the county, but not an officer's to end
        (city.secretary, (200, None)),
    ]:
        assert _code(_end(officer, _grant_of(database, person))) == expected
    # One's own may be laid down; an analyst ends nobody else's.
    assert _code(_end(as_user(city.analyst.id), _grant_of(database, city.manager)))[0] == 404
    assert _code(_end(as_user(city.analyst.id), _grant_of(database, city.analyst)))[0] == 200


def test_the_last_administrator_stays(city, make, as_user, database):
    admin = as_user(city.admin.id)
    assert _code(_end(admin, _grant_of(database, city.admin))) == (409, "last_administrator")
    suspended = make.staff(Role.PLATFORM_ADMIN, org=city.root)
    make.staff(Role.PLATFORM_ADMIN, org=city.county)  # of a part only
    make.grant(make.person(), Role.PLATFORM_ADMIN, org=city.root, ends_at=clock.now())
    with database.transaction() as session:
        session.execute(update(Person).where(Person.id == suspended.id).values(status=PersonStatus.SUSPENDED))
    assert _code(_end(admin, _grant_of(database, city.admin))) == (409, "last_administrator")
    make.staff(Role.PLATFORM_ADMIN, org=city.root)
    assert _code(_end(admin, _grant_of(database, city.admin))) == (200, None)


def test_an_administrator_is_ended_only_while_another_stays_as_long(city, make, as_user, database):
    now, refused = clock.now(), (409, "last_administrator")
    mine = _grant_of(database, city.admin)

    def administrator(**term):
        return make.grant(make.person(), Role.PLATFORM_ADMIN, org=city.root, **term)

    short = administrator(ends_at=now + timedelta(seconds=30))
    administrator(starts_at=now + timedelta(seconds=1))
    assert _code(_end(as_user(city.admin.id), mine)) == refused  # in 30 seconds nobody would be left
    long = administrator(ends_at=now + timedelta(days=9))
    next_term = administrator(starts_at=now + timedelta(days=1), ends_at=now + timedelta(days=10))
    assert _code(_end(as_user(city.admin.id), mine)) == refused
    assert _code(_end(as_user(short.person_id), mine)) == refused
    # Whose end comes no later than another's may go, whoever ends it.
    assert _code(_end(as_user(city.admin.id), next_term.id)) == (200, None)
    as_long = administrator(ends_at=long.ends_at)
    assert _code(_end(as_user(long.person_id), long.id)) == (200, None)
    assert _code(_end(as_user(short.person_id), short.id)) == (200, None)
    # Who may not use their account is none: their grant goes whatever its term, and nobody else's rests on it.
    _suspend(database, city.admin)
    assert _code(_end(as_user(as_long.person_id), as_long.id)) == refused
    assert _code(_end(as_user(as_long.person_id), mine)) == (200, None)


def _suspend(database, person):
    with database.transaction() as session:
        session.execute(update(Person).where(Person.id == person.id).values(status=PersonStatus.SUSPENDED))


def test_two_administrators_who_end_each_other_leave_one(make, as_user, database, frozen):
    for ends_at in (None, clock.now() + timedelta(days=1)) * 3:
        root, one, two = make.org(), make.person(), make.person()
        for person in (one, two):
            make.grant(person, Role.PLATFORM_ADMIN, org=root, ends_at=ends_at)
        calls = [
            lambda who=who, other=other: _end(as_user(who.id), _grant_of(database, other))
            for who, other in ((one, two), (two, one))
        ]
        answers = [answer.status_code for answer in at_once(calls)]
        assert min(answers) == 200
        assert max(answers) in (403, 404, 409)


def _done(database, who, act):
    """Whether somebody's act, in a transaction of its own, was done and not refused."""
    try:
        with database.transaction() as session:
            act(Work(session, who, clock.now(), database.settings))
    except DomainError:
        return False
    return True


def _stopping(database, person):
    """Return the call that does what ``engage person suspend`` does."""

    def stop(work):
        refuse_last_administrator(work, person.id)
        set_standing(work, person.id, PersonStatus.SUSPENDED, "市委文件")

    return lambda: _done(database, Nobody(), stop)


def _ending(database, who, grant_id):
    return lambda: _done(database, who, lambda work: end_grant(work, grant_id, "调动"))


def test_of_two_administrators_who_are_removed_at_once_one_stays(make, database, frozen):
    """Both by stopping their accounts, or one so while they end the grant of the other."""
    for way in ("stopped", "ended") * 6:
        root = make.org()
        one, two = (make.staff(Role.PLATFORM_ADMIN, org=root) for _ in range(2))
        ending = _ending(database, SimpleNamespace(id=one.id), _grant_of(database, two))
        calls = [_stopping(database, one), ending if way == "ended" else _stopping(database, two)]
        assert sorted(at_once(calls)) == [False, True], way


def test_of_two_same_grants_at_once_one_is_made(city, make, as_user):
    person = make.person()
    calls = [lambda: _give(as_user(city.officer.id), person, "analyst", org=city.town)] * 4
    assert sorted(answer.status_code for answer in at_once(calls)) == [201, 409, 409, 409]


def _invite(client, role="analyst", **body):
    return client.post("/v1/role-invitations", json={"role": role, "reason": "新任", **body})


def _accept(client, invitation):
    return client.post("/v1/role-invitations/acceptance", json={"token": invitation["token"]})


def test_an_invitation_is_accepted_once_by_somebody_else(city, make, as_user, database):
    officer = as_user(city.officer.id)
    made = _invite(officer, org_id=str(city.town.id)).json
    assert made["path"].endswith(made["token"])
    assert len(made["token"]) >= 43
    listed = officer.get("/v1/role-invitations").json["items"]
    assert listed == [{name: value for name, value in made.items() if name not in ("token", "path")}]
    assert as_user(city.analyst.id).get("/v1/role-invitations").json["items"] == []
    assert _code(_accept(officer, made)) == (403, "own_invitation")
    person = make.person()
    given = _accept(as_user(person.id), made)
    assert (given.status_code, given.json["role"], given.json["org"]["id"]) == (
        200,
        "analyst",
        str(city.town.id),
    )
    assert given.json["granted_by"]["id"] == str(city.officer.id)
    for late in (person, make.person()):
        assert _code(_accept(as_user(late.id), made)) == (409, "invitation_used")
    assert officer.get("/v1/role-invitations").json["items"] == []
    with database.reading() as connection:
        kept = connection.exec_driver_sql("SELECT * FROM role_invitation").mappings().one()
    assert made["token"] not in repr(dict(kept))


def test_who_gives_roles_sees_invitations_page_by_page_and_withdraws_only_to_roles_they_give(city, as_user):
    admin, officer = as_user(city.admin.id), as_user(city.officer.id)
    here = {"org_id": str(city.town.id)}
    above = _invite(admin, role="auditor", **here).json
    ours = _invite(admin, **here).json
    first = officer.get("/v1/role-invitations?limit=1").json
    second = officer.get(f"/v1/role-invitations?limit=1&cursor={first['next_cursor']}").json
    assert [item["id"] for item in first["items"] + second["items"]] == [above["id"], ours["id"]]
    assert second["next_cursor"] is None
    refused = officer.post(f"/v1/role-invitations/{above['id']}/withdrawal")
    assert _code(refused) == (403, "not_allowed")
    assert officer.post(f"/v1/role-invitations/{ours['id']}/withdrawal").status_code == 204
    left = admin.get("/v1/role-invitations").json["items"]
    assert [item["id"] for item in left] == [above["id"]]


def test_each_invitation_that_is_over_says_why(city, make, as_user, frozen, database):
    officer, person = as_user(city.officer.id), as_user(make.person().id)
    here = {"org_id": str(city.town.id)}

    def withdraw(made, client=officer):
        return client.post(f"/v1/role-invitations/{made['id']}/withdrawal")

    withdrawn, expired, void = (_invite(officer, **here).json for _ in range(3))
    assert _code(withdraw(withdrawn, as_user(city.analyst.id))) == (404, "no_such_invitation")
    assert withdraw(withdrawn).status_code == withdraw(withdrawn).status_code == 204
    assert _code(_accept(person, withdrawn)) == (409, "invitation_withdrawn")
    assert _code(_accept(person, {"token": "x" * 43})) == (404, "no_such_invitation")
    held = _invite(officer, **here).json
    assert _code(_accept(as_user(make.staff(Role.AUDITOR, org=city.root).id), held)) == (
        409,
        "duties_not_separate",
    )
    _end(as_user(city.admin.id), _grant_of(database, city.officer))
    assert _code(_accept(person, void)) == (409, "inviter_lost_role")
    frozen.move(days=7)
    assert _code(_accept(person, expired)) == (409, "invitation_expired")
    for role, place, expected in [
        ("platform_admin", city.town, (403, "not_allowed")),
        ("analyst", city.root, (403, "not_allowed")),
    ]:
        again = make.staff(Role.OFFICER, org=city.county)
        assert _code(_invite(as_user(again.id), role, org_id=str(place.id))) == expected


def test_an_invitation_is_void_once_whoever_made_it_may_not_give_for_so_long(city, make, as_user, database):
    officer, here = as_user(city.officer.id), {"org_id": str(city.town.id)}
    end = clock.now() + timedelta(days=1)
    endless, short = _invite(officer, **here).json, _invite(officer, **here, ends_at=end.isoformat()).json
    _end(as_user(city.admin.id), _grant_of(database, city.officer))
    make.grant(city.officer, Role.OFFICER, org=city.county, ends_at=end)
    person = as_user(make.person().id)
    assert _code(_accept(person, endless)) == (409, "inviter_lost_role")
    accepted = _accept(person, short)
    assert (accepted.status_code, accepted.json["ends_at"]) == (200, end.isoformat())


def test_one_invitation_accepted_by_many_at_once_is_accepted_once(city, make, as_user):
    made = _invite(as_user(city.officer.id), org_id=str(city.town.id)).json
    people = [as_user(make.person().id) for _ in range(4)]
    answers = at_once([lambda each=each: _accept(each, made) for each in people])
    assert sorted(answer.status_code for answer in answers) == [200, 409, 409, 409]


def test_my_permissions_name_the_places(city, make, as_user):
    items = {
        item["permission"]: item for item in as_user(city.officer.id).get("/v1/me/permissions").json["items"]
    }
    assert items["grant_roles"]["org_ids"] == [str(city.county.id)]
    assert "read_integrity" not in items  # the county is no root
    assert "read_audit" not in items
    manager = {
        item["permission"]: item for item in as_user(city.manager.id).get("/v1/me/permissions").json["items"]
    }
    assert set(manager) == {
        "manage_hub",
        "manage_activity",
        "read_people",
        "read_figures",
        "read_evidence",
        "answer_finding",
    }
    assert all((item["org_ids"], item["hub_ids"]) == ([], [str(city.hub.id)]) for item in manager.values())
    auditor = as_user(city.auditor.id).get("/v1/me/permissions")
    assert [(item["permission"], item["everywhere"]) for item in auditor.json["items"]] == [
        ("read_audit", True)
    ]
    assert as_user(city.auditor.id).get(
        "/v1/me/permissions", headers={"If-None-Match": auditor.headers["ETag"]}
    ).status_code == 304  # fmt: skip
    delegate = make.staff(Role.DELEGATE, org=city.root)
    assert as_user(delegate.id).get("/v1/me/permissions").json == {"items": []}


def test_permissions_on_one_object_are_those_that_its_operations_ask(city, make, as_user, frozen):
    now = clock.now()
    far = {"starts_at": now + timedelta(days=40), "ends_at": now + timedelta(days=40, hours=2)}
    near, later = make.activity(city.town, city.hub), make.activity(city.town, city.hub, **far)

    def asked(who, **query):
        answer = as_user(who.id).get("/v1/me/permissions", query_string=query)
        return {item["permission"] for item in answer.json["items"]}

    always = {"manage_activity", "read_figures", "read_evidence"}
    for activity, people in ((near, {"read_people"}), (later, set())):
        assert asked(city.manager, activity_id=activity.id) == always | people
        answer = as_user(city.manager.id).get(f"/v1/activities/{activity.id}/sign-ups")
        assert answer.status_code == (200 if people else 403)
    assert "read_people" in asked(city.officer, activity_id=later.id)
    assert asked(city.analyst, activity_id=near.id) == {"read_figures"}
    assert asked(city.auditor, activity_id=near.id) == set()
    assert asked(city.officer, hub_id=city.other_hub.id) == set()
    assert "grant_roles" in asked(city.officer, org_id=city.town.id)
    draft = make.activity(city.other, status="draft")
    hidden = as_user(city.officer.id).get(f"/v1/me/permissions?activity_id={draft.id}")
    assert _code(hidden) == (404, "no_such_object")
    both = as_user(city.officer.id).get(f"/v1/me/permissions?org_id={city.town.id}&hub_id={city.hub.id}")
    assert both.status_code == 422


def test_a_hub_manager_meets_people_from_thirty_days_before_to_thirty_after(city, make, as_user, frozen):
    start = clock.now() + timedelta(days=31)
    activity = make.activity(city.town, city.hub, starts_at=start, ends_at=start + timedelta(hours=2))
    sign_up = make.sign_up(activity)
    base = f"/v1/activities/{activity.id}"
    reads = ["sign-ups", "sign-ups/export", "roster", "hours", "feedback-entries"]

    def seen(who):
        client = as_user(who.id)
        return {client.get(f"{base}/{path}").status_code for path in reads}

    for at, expected in [
        (start - timedelta(days=30, seconds=1), {403}),
        (start - timedelta(days=30), {200}),
        (activity.ends_at + timedelta(days=30, seconds=-1), {200}),
        (activity.ends_at + timedelta(days=30), {403}),
    ]:
        frozen.set(at)
        assert seen(city.manager) == expected
        assert seen(city.officer) == {200}
    manager = as_user(city.manager.id)
    act = manager.post(f"{base}/sign-ups/{sign_up.id}/excuse", json={"reason": "病假"})
    assert _code(act) == (403, "not_allowed")
    assert _code(
        manager.post(f"{base}/sign-ups", json={"person_id": str(make.person().id), "answers": []})
    ) == (
        403,
        "not_allowed",
    )


def test_explaining_says_which_grant_or_what_is_missing(
    city, make, database, settings, monkeypatch, own_log, frozen
):
    monkeypatch.setenv("ENGAGE_DATABASE_URL", settings.database_url)
    near = make.activity(city.town, city.hub)
    start = clock.now() + timedelta(days=90)
    far = make.activity(city.town, city.hub, starts_at=start, ends_at=start + timedelta(hours=1))
    expired, suspended = make.person(), make.staff(Role.OFFICER, org=city.county)
    make.grant(expired, Role.OFFICER, org=city.county, ends_at=clock.now() - timedelta(hours=1))
    with database.transaction() as session:
        session.execute(update(Person).where(Person.id == suspended.id).values(status=PersonStatus.SUSPENDED))

    def told(person, activity, permission="read_people"):
        arguments = ["--user", str(person.id), "--permission", permission]
        arguments += ["--object", f"activity:{activity.id}"] if activity else []
        found = CliRunner().invoke(engage, ["access", "explain", *arguments])
        assert found.exit_code == 0, found.output
        return found.output

    for output, words in [
        (told(city.officer, near), ["yes", "市 > 县 > 镇", "officer @ 县", "reaches the object"]),
        (told(city.manager, near), ["yes", "hub_manager"]),
        (told(city.manager, far), ["不可以 no", "outside the time"]),
        (told(city.analyst, near), ["不可以 no", "no such permission"]),
        (told(expired, near), ["不可以 no", "expired on", "reaches the object"]),
        (told(suspended, near), ["不可以 no", "the account is suspended"]),
        (told(make.staff(Role.OFFICER, org=city.other), near), ["不可以 no", "elsewhere in the tree"]),
        (told(make.person(), near), ["不可以 no", "no grant at all"]),
        (told(city.auditor, None, "read_audit"), ["可以 yes"]),
        (told(city.officer, None, "read_integrity"), ["不可以 no"]),
        (told(city.officer, None, "manage_org"), ["不可以 no"]),  # never of the whole installation
    ]:
        assert all(word in output for word in words), output
    nowhere = ids.new_id()
    for person_id, about, sentence in (
        (nowhere, [], "没有这个人"),
        (city.officer.id, ["--object", f"activity:{nowhere}"], "没有这个对象"),
    ):
        asked = ["access", "explain", "--user", str(person_id), "--permission", "read_people", *about]
        found = CliRunner().invoke(engage, asked)
        assert found.exit_code == 1
        assert sentence in found.output


def test_explaining_says_no_of_what_the_person_may_not_see(
    city, make, as_user, settings, monkeypatch, own_log
):
    monkeypatch.setenv("ENGAGE_DATABASE_URL", settings.database_url)
    inspector = make.staff(Role.INSPECTOR, org=city.county)
    activities = [make.activity(city.town, status=status) for status in ActivityStatus]
    hubs = [make.hub(city.town, status=status) for status in HubStatus]
    answers = set()
    for who in (inspector, city.officer):
        for kind, each, permission in [
            *(("activity", activity, "read_evidence") for activity in activities),
            *(("hub", hub, "read_figures") for hub in hubs),
        ]:
            asked = as_user(who.id).get("/v1/me/permissions", query_string={f"{kind}_id": str(each.id)})
            may = asked.status_code == 200 and permission in [
                item["permission"] for item in asked.json["items"]
            ]
            about = ["--permission", permission, "--object", f"{kind}:{each.id}"]
            told = CliRunner().invoke(engage, ["access", "explain", "--user", str(who.id), *about]).output
            assert told.startswith("可以 yes" if may else "不可以 no"), (who.id, kind, each.status)
            hidden = "不可见" in told and "may not see the object" in told
            assert hidden is (asked.status_code == 404), told
            assert "reaches the object" in told, "the grant is not what is missing"
            if kind == "activity":
                evidence = as_user(who.id).get(f"/v1/activities/{each.id}/evidence")
                assert evidence.status_code == (200 if may else 404)
            answers.add((who.id, kind, may))
    both = {(inspector.id, kind, may) for kind in ("activity", "hub") for may in (True, False)}
    assert answers == both | {(city.officer.id, kind, True) for kind in ("activity", "hub")}


def test_neither_nobody_nor_a_key_without_the_scope_may_anything(city, database, frozen):
    """Whatever the owner of the key holds: each condition that access.py makes from a permission."""

    def opened(**actor):
        with database.reading() as connection:
            look = Look(connection, SimpleNamespace(**actor), frozen.now, database)
            conditions = (
                permitted(look, Permission.GRANT_ROLES, Org.id),
                may_give(look, literal(Role.ANALYST, RoleGrant.role.type), Org.id),
                permitted_everywhere(look, Permission.READ_AUDIT),
            )
            town = select(*conditions).select_from(Org).where(Org.id == city.town.id)
            held = select(RoleGrant.id).where(held_with(look, Permission.GRANT_ROLES))
            return [*connection.execute(town).one(), connection.scalar(held) is not None]

    admin = city.admin.id
    assert opened(id=admin) == [True] * 4
    every = frozenset({Permission.GRANT_ROLES, Permission.READ_AUDIT})
    assert opened(id=admin, scopes=every) == [True] * 4
    assert opened(id=admin, scopes=frozenset({Permission.READ_FIGURES})) == [False] * 4
    assert opened(id=None) == [False] * 4
