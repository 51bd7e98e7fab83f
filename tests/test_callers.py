"""Who may call, for every operation: a wrong caller is refused with the documented code, and nothing is changed."""

from __future__ import annotations

from typing import Any

import pytest
from test_bad_input import required_query

from engage.app import APIS
from engage.core import openapi
from engage.core.http import PREFIX
from engage.identity.models import PersonStatus
from engage.orgs.models import Role

OPERATIONS = [operation for api in APIS for operation in api.operations]


def _open_to(*names: str) -> Any:
    return _those(lambda operation: operation.access.name in names)


def _those(condition: Any) -> Any:
    found = [operation for operation in OPERATIONS if condition(operation)]
    return pytest.mark.parametrize("operation", found, ids=lambda operation: operation.name)


@pytest.fixture
def send(client, world, operation):
    """Return a function that sends a request which is right but for its caller."""

    def send(token: str | None) -> Any:
        ids = {name: str(world.id_for(name) or "140502") for name in operation.path_parameters}
        headers = {"If-Match": "*"} | ({"Authorization": token} if token else {})
        return client.open(
            PREFIX + operation.path.format_map(ids),
            method=operation.method,
            query_string=required_query(operation),
            json=openapi.example(operation.body) if operation.body else None,
            headers=headers,
        )

    return send


@_open_to("member", "staff")
@pytest.mark.usefixtures("unchanged")
def test_nobody_is_asked_to_log_in(operation, send):
    answer = send(None)
    assert (answer.status_code, answer.json["code"]) == (401, "not_logged_in")
    assert answer.headers["WWW-Authenticate"] == "Bearer"


@_open_to("member", "staff", "anyone")
@pytest.mark.usefixtures("unchanged")
def test_a_token_that_is_none_is_refused(operation, send, world):
    good = world.callers["member"]
    for token in ("Bearer", "Bearer x", "Bearer a.b.c", "Basic YTpi", good[:-4] + "AAAA", good + "x"):
        answer = send(token)
        assert (answer.status_code, answer.json["code"]) == (401, "token_invalid"), token


@_open_to("public")
def test_where_nobody_is_asked_no_token_is_looked_at(operation, send):
    with_token, without = send("Bearer x"), send(None)
    assert with_token.status_code == without.status_code
    assert with_token.json.get("code") == without.json.get("code") != "token_invalid"


@_open_to("member", "staff")
def test_a_suspended_account_is_refused(operation, send, world, make):
    person = make.person(status=PersonStatus.SUSPENDED)
    answer = send(f"Bearer {make.access_token(person.id)}")
    assert (answer.status_code, answer.json["code"]) == (403, "account_suspended")


@_open_to("staff")
@pytest.mark.usefixtures("unchanged")
def test_what_staff_do_a_member_may_not(operation, send, world):
    answer = send(world.callers["member"])
    assert (answer.status_code, answer.json["code"]) == (403, "not_allowed")


@_those(lambda operation: operation.access.name == "staff" and operation.path_parameters)
def test_staff_of_another_tree_reach_nothing_here(operation, send, world, make):
    """The highest role, held elsewhere, opens no object of this tree."""
    elsewhere = make.staff(Role.PLATFORM_ADMIN, org=make.org(name="外市团委"))
    answer = send(f"Bearer {make.access_token(elsewhere.id)}")
    assert answer.status_code in (403, 404), answer.json
