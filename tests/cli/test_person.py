"""``engage person``: an account is stopped at once, with all that it holds, and restored."""

from __future__ import annotations

from datetime import timedelta

import pytest
from activities.test_races import check_invariants
from sqlalchemy import select

from engage.cli import person as cli_person
from engage.core import clock, ids
from engage.core.audit import AuditEntry
from engage.identity.models import Person, PersonStatus, RecoveryCode
from engage.messages.service import deliver_due
from engage.orgs.models import Role


@pytest.fixture
def tell(run, database):
    """Return a function that runs ``engage person`` on the database of the test."""

    def tell(what, person_id, reason="市委文件", *more):
        url = database.settings.database_url
        return run("person", what, person_id, "--reason", reason, *more, database_url=url)

    return tell


@pytest.mark.parametrize(("what", "code"), [("suspend", "account_suspended"), ("close", "account_closed")])
def test_a_stopped_account_frees_its_place_and_is_refused_until_restored(
    frozen, tell, make, as_user, database, what, code
):
    person, next_one = make.person(), make.person()
    activity = make.activity(capacity=1)
    url = f"/v1/activities/{activity.id}/sign-up"
    client = as_user(person.id)
    for pressing in (client, as_user(next_one.id)):
        pressing.put(url, json={})
    result = tell(what, person.id)
    assert result.exit_code == 0, result.output
    assert "freed: 1" in result.output
    assert client.get("/v1/me").json["code"] == code
    assert as_user(next_one.id).get(url).json["state"] == "confirmed"
    assert check_invariants(database, activity.id) == (1, 0)
    assert "freed: 0" in tell(what, person.id).output
    assert tell("restore", person.id).exit_code == 0
    assert client.get("/v1/me").json["code"] == "session_ended"
    assert as_user(person.id).put(url, json={}).json["state"] == "waitlisted"


def test_an_account_is_stopped_before_what_it_holds_is_looked_for(frozen, tell, make, database, monkeypatch):
    """So that whoever signs up at that moment is either seen, or refused, or found by the worker."""
    person, seen = make.person(), []

    def look(work, person_id):
        with database.reading() as other:
            seen.append(other.scalar(select(Person.status).where(Person.id == person_id)))
        return 0

    monkeypatch.setattr(cli_person, "release_person", look)
    assert tell("suspend", person.id).exit_code == 0
    assert seen == [PersonStatus.SUSPENDED]


@pytest.mark.parametrize("what", ["suspend", "close"])
def test_the_last_administrator_is_stopped_only_when_it_is_said(frozen, tell, make, as_user, database, what):
    root = make.org()
    county = make.org(root)
    last, officer = make.staff(Role.PLATFORM_ADMIN, org=root), make.staff(Role.OFFICER, org=root)
    below = make.staff(Role.PLATFORM_ADMIN, org=county)
    make.grant(make.person(), Role.PLATFORM_ADMIN, org=root, ends_at=clock.now() + timedelta(seconds=30))
    make.grant(
        make.person(), Role.PLATFORM_ADMIN, org=root, ended_at=clock.now(), ended_by=None, end_reason="调动"
    )
    refused = tell(what, last.id)
    assert refused.exit_code == 1
    assert "另一位平台管理员" in refused.stderr
    assert "--even-the-last-administrator" in refused.stderr
    assert as_user(last.id).get("/v1/me").status_code == 200
    for anybody in (below, officer):  # of these there are others, and none is asked for
        assert tell(what, anybody.id).exit_code == 0
    assert tell(what, last.id, "市委文件", "--even-the-last-administrator").exit_code == 0
    assert as_user(last.id).get("/v1/me").status_code == 403
    # Who is none any more may be stopped again, and so may the last but one.
    assert tell("close", last.id).exit_code == 0
    make.staff(Role.PLATFORM_ADMIN, org=root)
    assert tell(what, make.staff(Role.PLATFORM_ADMIN, org=root).id).exit_code == 0


def test_the_log_says_who_was_stopped_and_why(frozen, tell, make):
    person = make.person()
    result = tell("suspend", person.id, "违反活动纪律")
    assert f'"person":"{person.id}","status":"suspended","reason":"违反活动纪律"' in result.stderr


def test_what_is_wrong_is_said(tell, make):
    unknown = tell("suspend", ids.new_id())
    assert unknown.exit_code == 1
    assert "没有这个人" in unknown.stderr
    assert tell("suspend", "nobody").exit_code == 2
    assert tell("close", make.person().id, "x" * 201).exit_code == 2
    assert tell("restore", make.person().id, " ").exit_code == 2


def test_a_lost_second_factor_is_reset_and_its_owner_is_told(frozen, tell, make, as_user, database):
    person = make.person()
    make.second_factor(person)
    make.add(RecoveryCode(person_id=person.id, code_hash=b"x" * 32))
    client = as_user(person.id)
    assert client.get("/v1/me/second-factor").json["privileged_until"] is not None
    assert "已重置" in tell("reset-second-factor", person.id).output
    state = client.get("/v1/me/second-factor").json
    assert (state["state"], state["recovery_codes_left"], state["privileged_until"]) == ("none", 0, None)
    assert "没有启用" in tell("reset-second-factor", person.id).output
    assert "没有这个人" in tell("reset-second-factor", ids.new_id()).stderr
    deliver_due(database)
    assert [item["kind"] for item in client.get("/v1/me/messages").json["items"]] == ["second_factor_reset"]
    with database.reading() as connection:
        kept = connection.execute(
            select(AuditEntry.purpose, AuditEntry.changes).where(
                AuditEntry.object_id == person.id, AuditEntry.action == "command person reset-second-factor"
            )
        ).all()
    assert [(purpose, changes and changes["items"][0]["field"]) for purpose, changes in kept] == [
        ("市委文件", "confirmed_at"),
        ("市委文件", None),
    ]
