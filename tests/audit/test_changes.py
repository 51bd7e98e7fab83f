"""That an entry says what a column was and what it became, also where a statement changed it, and nothing where nothing changed."""

from __future__ import annotations

from datetime import datetime

import pyotp
import pytest
from click.testing import CliRunner
from factories import SECRET
from identity.conftest import ScriptedGateway

from engage.cli.commands import engage
from engage.orgs.models import Role


@pytest.fixture
def told(log):
    """Return a function that returns the newest entry: its action, and (object, id, field, before, after) of each change."""

    def told():
        entry = log()[-1]
        changes = (entry.changes or {"items": []})["items"]
        return entry.action, [
            (item["object"], item["id"], item["field"], item.get("before"), item.get("after"))
            for item in changes
        ]

    return told


@pytest.fixture
def command(database, own_log, monkeypatch):
    monkeypatch.setenv("ENGAGE_DATABASE_URL", database.settings.database_url)

    def run(*words):
        result = CliRunner().invoke(engage, [str(word) for word in words])
        assert result.exit_code == 0, result.output

    return run


def test_suspending_and_restoring_say_what_was_and_repeating_them_that_nothing_changed(
    command, told, make, frozen
):
    person = make.person()
    session = make.session(person.id)
    status = ("person", str(person.id), "status")
    ended = ("auth_session", str(session.id), "ended_at", None, frozen.now.isoformat())
    for what, changes in (
        ("suspend", [ended, (*status, "active", "suspended")]),
        ("suspend", []),
        ("close", [(*status, "suspended", "closed")]),
        ("restore", [(*status, "closed", "active")]),
        ("restore", []),
    ):
        command("person", what, person.id, "--reason", "复核")
        assert told() == (f"command person {what}", changes)


def test_revoking_a_key_says_so_once(told, make, as_user, frozen):
    person = make.staff(Role.ANALYST, org=make.org())
    key, client = make.api_key(person), as_user(person.id)
    revoked = ("api_key", str(key.id), "revoked_at", None, frozen.now.isoformat())
    for changes in ([revoked], []):
        assert client.delete(f"/v1/me/api-keys/{key.id}").status_code == 204
        assert told() == ("revoke_api_key", changes)
        frozen.move(minutes=1)


def test_ending_sessions_names_each_that_ended(told, make, as_user, frozen):
    person = make.person()
    client = as_user(person.id)
    (mine,) = (item["id"] for item in client.get("/v1/me/sessions").json["items"])
    others = [str(make.session(person.id).id) for _ in range(3)]
    make.session(person.id, ended_at=frozen.now)
    make.session(make.person().id)

    def ended(session_id):
        about = ("auth_session", session_id)
        return [
            (*about, "ended_at", None, frozen.now.isoformat()),
            (*about, "end_reason", None, "logged_out"),
        ]

    assert client.delete(f"/v1/me/sessions/{others[0]}").status_code == 204
    assert told() == ("end_my_session", ended(others[0]))
    assert client.delete("/v1/me/sessions").status_code == 204
    action, changes = told()
    assert (action, sorted(changes)) == (
        "end_my_other_sessions",
        sorted(ended(others[1]) + ended(others[2])),
    )
    assert client.delete("/v1/me/sessions").status_code == 204
    assert told() == ("end_my_other_sessions", [])
    assert client.post("/v1/auth/logout").status_code == 204
    assert told() == ("log_out", ended(mine))


def test_a_session_that_becomes_privileged_or_is_no_more_says_until_when(told, make, as_user, frozen):
    person = make.staff(Role.OFFICER, org=make.org())
    make.second_factor(person)
    client = as_user(person.id, privileged=False)
    (mine,) = (item["id"] for item in client.get("/v1/me/sessions").json["items"])
    about = ("auth_session", mine, "privileged_until")
    before = None
    for _ in range(2):
        code = pyotp.TOTP(SECRET).at(frozen.now)
        until = client.post("/v1/me/privileged-session", json={"code": code}).json["privileged_until"]
        action, changes = told()
        after = changes[-1][-1]
        assert (action, changes[-1]) == ("open_privileged_session", (*about, before, after))
        assert datetime.fromisoformat(after) == datetime.fromisoformat(until)
        before = after
        frozen.move(minutes=1)
    assert client.post("/v1/me/privileged-session", json={"code": "000000"}).status_code == 403
    assert told() == (
        "open_privileged_session",
        [("second_factor", str(person.id), "failures", None, None)],
    )
    for changes in ([(*about, before, None)], []):
        assert client.delete("/v1/me/privileged-session").status_code == 204
        assert told() == ("end_privileged_session", changes)
    code = pyotp.TOTP(SECRET).at(frozen.now)
    assert client.post("/v1/me/privileged-session", json={"code": code}).status_code == 200
    assert client.delete("/v1/me/second-factor").status_code == 204
    action, changes = told()
    assert action == "remove_second_factor"
    assert [change[:3] for change in changes] == [
        ("second_factor", str(person.id), "confirmed_at"),
        about,
    ]
    assert changes[-1][-1] is None
    assert changes[-1][-2] is not None


def test_a_session_that_was_ended_as_stolen_is_named(client, told, make, database, frozen, app, monkeypatch):
    gateway = ScriptedGateway(database)
    monkeypatch.setitem(app.extensions, "engage.wechat", gateway)
    gateway.openids["code"] = "openid"
    token = client.post("/v1/auth/wechat/login", json={"code": "code"}).json["refresh_token"]
    for _ in range(2):
        client.post("/v1/auth/refresh", json={"refresh_token": token})
        frozen.move(minutes=5)
    action, changes = told()
    assert action == "refresh"
    assert [(item[0], *item[2:4]) for item in changes] == [
        ("auth_session", "ended_at", None),
        ("auth_session", "end_reason", None),
    ]
    assert changes[1][-1] == "refresh_reused"
