"""Who may call, for every operation: a wrong caller is refused with the documented code, and nothing is changed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from test_bad_input import asking_query

from engage.app import APIS
from engage.core import clock, openapi
from engage.core.http import PREFIX, Operation
from engage.identity.caller import issue_access_token
from engage.identity.models import PersonStatus
from engage.orgs.models import Role

OPERATIONS = [operation for api in APIS for operation in api.operations]
OPTIONAL = ("guest",)  # a token may be left out, but a bad one is refused


@pytest.fixture
def send(client, world):
    """Return a function that sends a request which is right but for its caller."""

    def send(operation: Operation, token: str | None) -> Any:
        ids = {name: str(world.id_for(name) or "140502") for name in operation.path_parameters}
        return client.open(
            PREFIX + operation.path.format_map(ids),
            method=operation.method,
            query_string=asking_query(operation),
            json=openapi.example(operation.body) if operation.body else None,
            headers={"If-Match": "*"} | ({"Authorization": token} if token else {}),
        )

    return send


def _open_to(*names: str) -> list[Operation]:
    return [operation for operation in OPERATIONS if operation.access.name in names]


@pytest.fixture
def each(subtests) -> Callable[[list[Operation], Callable[[Operation], None]], None]:
    """Return a function that runs a check on every operation of a list."""

    def each(operations: list[Operation], check: Callable[[Operation], None]) -> None:
        assert operations
        for operation in operations:
            with subtests.test(operation.name):
                check(operation)

    return each


def test_every_kind_of_caller_is_known_here():
    assert {operation.access.name for operation in OPERATIONS} <= {"public", "member", "staff", *OPTIONAL}


@pytest.mark.usefixtures("unchanged")
def test_nobody_is_asked_to_log_in(each, send):
    def check(operation):
        answer = send(operation, None)
        assert (answer.status_code, answer.json["code"]) == (401, "not_logged_in")
        assert answer.headers["WWW-Authenticate"] == "Bearer"

    each(_open_to("member", "staff"), check)


@pytest.mark.usefixtures("unchanged")
def test_a_token_that_is_none_is_refused(each, send, world):
    good = world.callers["member"]

    def check(operation):
        for token in ("Bearer", "Bearer x", "Bearer a.b.c", "Basic YTpi", good[:-4] + "AAAA", good + "x"):
            answer = send(operation, token)
            assert (answer.status_code, answer.json["code"]) == (401, "token_invalid"), token

    each(_open_to("member", "staff", *OPTIONAL), check)


def test_where_nobody_is_asked_no_token_is_looked_at(each, send):
    def check(operation):
        with_token, without = send(operation, "Bearer x"), send(operation, None)
        assert with_token.status_code == without.status_code
        assert with_token.json.get("code") == without.json.get("code") != "token_invalid"

    each(_open_to("public"), check)


def test_a_suspended_account_is_refused(each, send, make):
    token = f"Bearer {make.access_token(make.person(status=PersonStatus.SUSPENDED).id)}"

    def check(operation):
        answer = send(operation, token)
        assert (answer.status_code, answer.json["code"]) == (403, "account_suspended")

    each(_open_to("member", "staff", *OPTIONAL), check)


def test_a_session_that_has_ended_or_is_past_its_time_is_refused(each, send, make, app):
    now, person = clock.now(), make.person()
    over = [make.session(person.id, **{name: now}) for name in ("ended_at", "expires_at")]
    with app.app_context():
        tokens = [issue_access_token(person.id, session.id, timedelta(minutes=15)) for session in over]

    def check(operation):
        for token in tokens:
            answer = send(operation, f"Bearer {token}")
            assert (answer.status_code, answer.json["code"]) == (401, "session_ended")

    each(_open_to("member", "staff", *OPTIONAL), check)


def test_whoever_logs_out_manages_nothing_any_more(as_user, make):
    """Each answer that depends on who asks: what it showed before is refused after, and not shown as to nobody."""
    county = make.org()
    hub, branch = make.hub(county), make.enclave_branch(county)
    client = as_user(make.staff(Role.OFFICER, org=county).id)
    addresses = (
        "/v1/activities?managed=true", "/v1/hubs", f"/v1/hubs/{hub.id}", "/v1/enclave-branches",
        f"/v1/enclave-branches/{branch.id}", "/v1/home",
    )  # fmt: skip
    assert {client.get(address).status_code for address in addresses} == {200}
    assert client.post("/v1/auth/logout").status_code == 204
    answers = [client.get(address) for address in addresses]
    assert {(answer.status_code, answer.json["code"]) for answer in answers} == {(401, "session_ended")}


def test_the_list_of_activities_is_public_until_it_is_asked_who_manages_them(client, as_user, make):
    make.activity(title="公开")
    person = make.person()
    for_nobody = client.get("/v1/activities")
    for headers in (
        {"Authorization": "Bearer x"},
        {"Authorization": f"Bearer {make.access_token(person.id)}"},
    ):
        answer = client.get("/v1/activities", headers=headers)
        assert (answer.status_code, answer.json) == (200, for_nobody.json)
    for managed in ("true", "false"):
        answer = client.get(f"/v1/activities?managed={managed}", headers={"Authorization": "Bearer x"})
        assert (answer.status_code, answer.json["code"]) == (401, "token_invalid")


@pytest.mark.usefixtures("unchanged")
def test_what_staff_do_a_member_may_not(each, send, world):
    def check(operation):
        answer = send(operation, world.callers["member"])
        assert (answer.status_code, answer.json["code"]) == (403, "not_allowed")

    each(_open_to("staff"), check)


def test_what_needs_the_second_factor_is_refused_without_it(each, send, make):
    """Staff who may, but have not shown it: they are told whether to show one or to enrol one."""
    top, needing = make.org(), [operation for operation in OPERATIONS if operation.access.needs_privilege]
    without, enrolled = make.staff(Role.PLATFORM_ADMIN, org=top), make.staff(Role.PLATFORM_ADMIN, org=top)
    make.second_factor(enrolled)
    tokens = {
        "second_factor_missing": make.access_token(without.id, privileged=False),
        "second_factor_required": make.access_token(enrolled.id, privileged=False),
    }

    def check(operation):
        for code, token in tokens.items():
            answer = send(operation, f"Bearer {token}")
            assert (answer.status_code, answer.json["code"]) == (403, code)

    each(needing, check)


def test_staff_of_another_tree_reach_nothing_here(each, send, make):
    """The highest role, held elsewhere, opens no object of this tree."""
    elsewhere = make.staff(Role.PLATFORM_ADMIN, org=make.org(name="外市团委"))
    token = f"Bearer {make.access_token(elsewhere.id)}"

    def check(operation):
        answer = send(operation, token)
        assert answer.status_code in (403, 404), answer.json

    each([operation for operation in _open_to("staff") if operation.path_parameters], check)
