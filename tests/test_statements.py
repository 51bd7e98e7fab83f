"""How many SQL statements reading takes: few, and as many for a full page as for one item."""

from __future__ import annotations

from typing import Any

import pytest
from counting import count_statements
from test_bad_input import required_query

from engage.app import APIS
from engage.core.http import PREFIX

READS = [operation for api in APIS for operation in api.operations if operation.method == "GET"]
LISTS = [operation for operation in READS if operation.query and "limit" in operation.query().fields]
# To know the caller; then what the answer itself may take.
CALLER = {"public": 0, "anyone": 0, "guest": 1, "member": 1, "staff": 2}
ITEM, PAGE, HOME = 3, 2, 7


@pytest.fixture
def count(app, client, world):
    """Return a function that reads as an administrator and counts statements."""

    def count(operation: Any, **query: Any) -> int:
        ids = {name: str(world.id_for(name) or "140502") for name in operation.path_parameters}
        with count_statements(app) as sent:
            client.get(
                PREFIX + operation.path.format_map(ids),
                query_string={**required_query(operation), **query},
                headers={"Authorization": world.callers["admin"]},
            )
        return len(sent)

    return count


def test_reading_takes_few_statements(count, subtests):
    for operation in READS:
        with subtests.test(operation.name):
            allowed = HOME if operation.name == "read_home" else PAGE if operation in LISTS else ITEM
            allowed += operation.people is not None  # the entry of the audit log
            assert count(operation) <= CALLER[operation.access.name] + allowed


def test_a_longer_page_takes_no_more_statements(count, subtests):
    for operation in LISTS:
        with subtests.test(operation.name):
            assert count(operation, limit=1) == count(operation, limit=100)


def test_the_lists_that_phones_open_first_take_one(count):
    for name in ("list_activities", "list_hubs", "list_enclave_branches", "list_projects"):
        operation = next(operation for operation in LISTS if operation.name == name)
        assert count(operation, limit=20) == 1
