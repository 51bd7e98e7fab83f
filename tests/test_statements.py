"""How many SQL statements reading takes: few, and as many for a full page as for one item."""

from __future__ import annotations

import re
from typing import Any

import pytest
from counting import count_statements
from test_bad_input import asking_query, required_query

from engage.app import APIS
from engage.core import openapi
from engage.core.http import PREFIX

READS = [operation for api in APIS for operation in api.operations if operation.method == "GET"]
LISTS = [operation for operation in READS if operation.query and "limit" in operation.query().fields]
# To know the caller; then what the answer itself may take.
CALLER = {"public": 0, "guest": 1, "member": 1, "staff": 1}
ITEM, PAGE, HOME = 3, 2, 7
_KNOWING = re.compile(r"\bSELECT person\.name, [^()]*\bauth_session\.privileged_until\b")
# Yes or no about a role, and nothing of what is asked for.
_DECIDING = re.compile(
    r"\s*SELECT (1 AS \w+\s+WHERE )?\(?(EXISTS|NOT EXISTS|\w+\.\w+ IN) \(SELECT[^;]*role_grant", re.DOTALL
)


@pytest.fixture
def count(app, client, world):
    """Return a function that reads, as an administrator if nobody else, and counts statements."""

    def count(operation: Any, caller: str | None = "admin", **query: Any) -> int:
        ids = {name: str(world.id_for(name) or "140502") for name in operation.path_parameters}
        with count_statements(app) as sent:
            client.get(
                PREFIX + operation.path.format_map(ids),
                query_string={**required_query(operation), **query},
                headers={"Authorization": world.callers[caller]} if caller else {},
            )
        return len(sent)

    return count


def test_reading_takes_few_statements(count, subtests):
    for operation in READS:
        with subtests.test(operation.name):
            allowed = HOME if operation.name == "read_home" else PAGE if operation in LISTS else ITEM
            allowed += operation.people is not None  # the entry of the audit log
            assert count(operation) <= CALLER[operation.access.name] + allowed


def test_knowing_the_caller_takes_one_statement_and_may_they_at_most_another(app, client, world, subtests):
    """Beside those that read or write what is asked for. Whether staff hold a role at all comes with who they are."""
    decided = 0
    for operation in (operation for api in APIS for operation in api.operations):
        if operation.name == "log_out":  # or everybody after it is nobody
            continue
        ids = {name: str(world.id_for(name) or "140502") for name in operation.path_parameters}
        with subtests.test(operation.name), count_statements(app) as sent:
            client.open(
                PREFIX + operation.path.format_map(ids),
                method=operation.method,
                query_string=asking_query(operation),
                json=openapi.example(operation.body) if operation.body else None,
                headers={"Authorization": world.callers["admin"], "If-Match": "*"},
            )
        knowing = [statement for statement in sent if _KNOWING.search(statement)]
        deciding = [statement for statement in sent if _DECIDING.match(statement)]
        assert len(knowing) == CALLER[operation.access.name], knowing
        assert len(deciding) <= 1, deciding
        decided += len(deciding)
    assert decided > 10, "this test knows what such a statement looks like"


def test_a_longer_page_takes_no_more_statements(count, subtests):
    for operation in LISTS:
        with subtests.test(operation.name):
            assert count(operation, limit=1) == count(operation, limit=100)


def test_the_lists_that_phones_open_first_take_one_and_one_for_who_asks_where_that_changes_them(count):
    """Staff find their own hubs and enclave branches in those lists; activities only where they ask for ``managed``."""
    for name, knowing in (
        ("list_activities", 0),
        ("list_projects", 0),
        ("list_orgs", 0),
        ("list_hubs", 1),
        ("list_enclave_branches", 1),
    ):
        operation = next(operation for operation in LISTS if operation.name == name)
        assert count(operation, caller=None, limit=20) == 1
        assert count(operation, caller="member", limit=20) == 1 + knowing
