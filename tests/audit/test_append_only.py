"""The database keeps the log from everybody who has not the rights of its owner, and tells the owner so."""

from __future__ import annotations

import pytest
from sqlalchemy import insert, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from engage.audit.models import AuditLink
from engage.audit.service import _seal, seal_due
from engage.core import audit, clock, ids

TABLES = ("audit_entry", "audit_link")


@pytest.fixture
def sealed(database):
    """A log of two entries in the chain."""
    with database.transaction() as session:
        for action in ("command one", "command two"):
            audit.record(session, clock.now(), action)
    assert seal_due(database) == 2


def _refused(database, statement, values=None):
    with pytest.raises(DBAPIError, match="only grows"), database.transaction() as session:
        session.execute(statement if values else text(statement), values)


@pytest.mark.usefixtures("sealed")
def test_no_statement_changes_or_deletes_what_is_written(database, log):
    before = log()
    for table, column in (("audit_entry", "action"), ("audit_link", "entry_id")):
        _refused(database, f"UPDATE {table} SET {column} = {column}")
        _refused(database, f"DELETE FROM {table}")
        if not database.is_sqlite:
            _refused(database, f"TRUNCATE {table}")
    if database.is_sqlite:  # which lets OR REPLACE delete past the triggers of a DELETE
        for table in TABLES:
            columns = "*" if table == "audit_entry" else "position + 5, entry_id, hash"
            _refused(database, f"INSERT OR REPLACE INTO {table} SELECT {columns} FROM {table}")
            _refused(database, f"REPLACE INTO {table} SELECT * FROM {table}")
    else:
        row = {"position": 1, "entry_id": ids.new_id(), "hash": b"x" * 32}
        _refused(database, "INSERT INTO audit_link (position, entry_id, hash) SELECT * FROM audit_link ON CONFLICT (position) DO UPDATE SET hash = 'x'")  # fmt: skip
        with pytest.raises(DBAPIError, match="pk_audit_link"), database.transaction() as session:
            session.execute(insert(AuditLink), row)
    assert log() == before


@pytest.mark.usefixtures("sealed")
def test_the_role_of_the_service_has_no_right_to(database):
    """On PostgreSQL, also where the role owns the tables; what the service does needs none of these rights."""
    if database.is_sqlite:
        return
    with Session(database.writer) as session:  # never committed
        for statement in (
            "CREATE ROLE engage_of_a_test",
            "GRANT ALL ON SCHEMA public TO engage_of_a_test",
            *(f"ALTER TABLE {table} OWNER TO engage_of_a_test" for table in (*TABLES, "audit_unsealed")),
            "SET LOCAL ROLE engage_of_a_test",
        ):
            session.execute(text(statement))
        for table in TABLES:
            for right in ("UPDATE", "DELETE", "TRUNCATE"):
                has = "SELECT has_table_privilege(current_user, :table, :right)"
                assert session.scalar(text(has), {"table": table, "right": right}) is False
        audit.record(session, clock.now(), "command three")
        assert [position for position, _ in _seal(session)] == [3]
        with pytest.raises(DBAPIError, match="permission denied"):
            session.execute(text("DELETE FROM audit_entry"))
