"""What the database itself refuses of a finding, from plain SQL, on both engines."""

from __future__ import annotations

import pytest
from sqlalchemy import insert, update
from sqlalchemy.exc import IntegrityError

from engage.core import clock, ids
from engage.evaluation.models import Finding, FindingKind, FindingOutcome

DAY = clock.shanghai_day(clock.now())


@pytest.fixture
def row(frozen, make):
    """A finding that may be, and two people beside its writer."""
    writer, answerer, other = (make.person().id for _ in range(3))
    values = {
        "org_id": make.org().id,
        "about": "镇",
        "kind": FindingKind.PROBLEM,
        "text": "签到记录不全。",
        "written_by": writer,
        "created_at": frozen.now,
        "version": 1,
    }
    named = {"now": frozen.now, "writer": writer, "answerer": answerer, "other": other}

    def fill(given):
        return values | {
            name: named.get(value, value) if isinstance(value, str) else value
            for name, value in given.items()
        }

    return fill


ANSWERED = {"answer": "好", "answered_by": "answerer", "answered_at": "now"}
SETTLED = {"outcome": FindingOutcome.SETTLED, "closed_by": "other", "closed_at": "now"}
WITHDRAWN = {"outcome": FindingOutcome.WITHDRAWN, "closed_by": "writer", "closed_at": "now"}
RIGHT = [
    {},
    {"due_on": DAY},
    ANSWERED,
    SETTLED,
    WITHDRAWN,
    ANSWERED | SETTLED,
    ANSWERED | WITHDRAWN,
    ANSWERED | SETTLED | {"closed_by": "writer"},
]
WRONG = [
    ("due_for_problems", {"kind": FindingKind.SUGGESTION, "due_on": DAY}),
    ("due_for_problems", {"kind": FindingKind.COMMENDATION, "due_on": DAY}),
    *(("answered_whole", ANSWERED | {name: None}) for name in ANSWERED),
    ("answered_by_another", ANSWERED | {"answered_by": "writer"}),
    *(("closed_whole", SETTLED | {name: None}) for name in SETTLED),
    ("withdrawn_by_writer", WITHDRAWN | {"closed_by": "other"}),
    ("closed_by_another", ANSWERED | SETTLED | {"closed_by": "answerer"}),
]


@pytest.mark.parametrize("given", RIGHT)
def test_what_the_service_leaves_may_stand(database, row, given):
    with database.transaction() as session:
        session.execute(insert(Finding).values(id=ids.new_id(), **row(given)))


@pytest.mark.parametrize(("rule", "given"), WRONG)
def test_nothing_else_may_by_an_insert_or_an_update(database, row, rule, given):
    with (
        pytest.raises(IntegrityError, match=f"ck_finding_{rule}"),
        database.transaction() as session,
    ):
        session.execute(insert(Finding).values(id=ids.new_id(), **row(given)))
    with database.transaction() as session:
        session.execute(insert(Finding).values(id=ids.new_id(), **row({})))
    with (
        pytest.raises(IntegrityError, match=f"ck_finding_{rule}"),
        database.transaction() as session,
    ):
        session.execute(update(Finding).values(**row(given)))


@pytest.mark.parametrize(("name", "value"), [("kind", "praise"), ("outcome", "gone"), ("org_id", None)])
def test_sets_are_closed_and_an_organisation_answers(database, row, name, value):
    values = row({}) | (row(SETTLED) if name == "outcome" else {})
    with database.transaction() as session:
        session.execute(insert(Finding).values(id=ids.new_id(), **values))
    shown = "NULL" if value is None else f"'{value}'"
    with pytest.raises(IntegrityError), database.writer.begin() as connection:
        connection.exec_driver_sql(f"UPDATE finding SET {name} = {shown}")
