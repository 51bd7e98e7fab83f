"""Migrations: one line of them, both ways, with data, and no drift, on both engines."""

from __future__ import annotations

import re
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from uuid import uuid4

import pytest
from alembic.script import ScriptDirectory
from sqlalchemy import (
    JSON,
    Boolean,
    CheckConstraint,
    Date,
    Enum,
    Integer,
    LargeBinary,
    Numeric,
    String,
    Uuid,
    func,
    insert,
    inspect,
    select,
    text,
)

import engage.tables  # noqa: F401 - every table
from engage.core import migrations, schema
from engage.core.columns import UtcDateTime
from engage.core.db import Base

VERSIONS = Path(schema.__file__).parents[2] / "migrations" / "versions"
NOW = datetime(2026, 10, 1, 2, 0, tzinfo=UTC)


def test_there_is_one_head_and_files_are_numbered_in_order():
    scripts = ScriptDirectory(str(VERSIONS.parent))
    assert len(scripts.get_heads()) == 1
    line = [script.revision for script in scripts.walk_revisions()][::-1]
    assert line == [f"{number:04}" for number in range(1, len(line) + 1)]
    files = sorted(path.name for path in VERSIONS.glob("*.py"))
    assert [name[:4] for name in files] == line
    assert schema.head() == line[-1]
    assert all(re.fullmatch(r"\d{4}_[a-z0-9_]+\.py", name) for name in files)


@pytest.mark.parametrize("path", sorted(VERSIONS.glob("*.py")), ids=lambda path: path.stem)
def test_migrations_stand_alone(path):
    """They import no models: those move on, a migration does not."""
    source = path.read_text(encoding="utf-8")
    assert "engage" not in re.findall(r"^(?:from|import) (\w+)", source, re.MULTILINE)
    assert "please adjust" not in source
    body = source.partition("def downgrade()")[2]
    assert "op." in body, "every migration can be undone"


@contextmanager
def _connected(database):
    with database.writer.connect() as connection:
        yield connection
        connection.commit()


def _tables(connection):
    return set(inspect(connection).get_table_names()) - {"alembic_version"}


def test_up_down_and_up_again_with_a_row_in_every_table(empty_database):
    with _connected(empty_database) as connection:
        migrations.upgrade(connection)
        assert _tables(connection) == set(Base.metadata.tables)
    with empty_database.transaction() as session:
        _fill(session)
        counts = {
            table.name: session.scalar(select(func.count()).select_from(table))
            for table in Base.metadata.sorted_tables
        }
    assert {name for name, count in counts.items() if not count} == set()
    with _connected(empty_database) as connection:
        migrations.downgrade(connection, "base")
        assert _tables(connection) == set()
        assert _leftovers(connection) == []
    with _connected(empty_database) as connection:
        migrations.upgrade(connection)
        assert schema.is_at_head(connection)
    with empty_database.transaction() as session:
        _fill(session)


def _leftovers(connection):
    if connection.dialect.name == "sqlite":
        return connection.scalars(
            text("SELECT name FROM sqlite_master WHERE tbl_name <> 'alembic_version'")
        ).all()
    return connection.scalars(
        text("SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace")
    ).all()


def test_each_step_can_be_taken_back(empty_database):
    revisions = [script.revision for script in ScriptDirectory(str(VERSIONS.parent)).walk_revisions()][::-1]
    with _connected(empty_database) as connection:
        for revision in revisions:
            migrations.upgrade(connection, revision)
            before = _tables(connection)
            migrations.downgrade(connection, "-1")
            migrations.upgrade(connection, revision)
            assert _tables(connection) == before


def test_the_tables_are_those_of_the_models(empty_database):
    with _connected(empty_database) as connection:
        migrations.upgrade(connection)
        assert migrations.drift(connection) == []
        assert _checks(connection) == _declared_checks()


def _checks(connection):
    """Names of the CHECK constraints, which Alembic does not compare."""
    inspector = inspect(connection)
    return {
        (table, check["name"])
        for table in _tables(connection)
        for check in inspector.get_check_constraints(table)
    }


def _declared_checks():
    return {
        (table.name, f"ck_{table.name}_{str(constraint.name).removeprefix(f'ck_{table.name}_')}")
        for table in Base.metadata.tables.values()
        for constraint in table.constraints
        if isinstance(constraint, CheckConstraint)
    }


def test_a_drift_would_be_seen(empty_database):
    with _connected(empty_database) as connection:
        migrations.upgrade(connection)
        connection.execute(text("ALTER TABLE project ADD COLUMN stray integer"))
        assert migrations.drift(connection)


def _fill(session):
    """One row in every table, parents first."""
    rows = {}
    for table in Base.metadata.sorted_tables:
        row = {column.name: _value(column, rows) for column in table.columns if not _generated(column)}
        row |= SPECIAL.get(table.name, {})
        session.execute(insert(table).values(row))
        stored = session.execute(select(table)).mappings().first()
        rows[table.name] = dict(stored)
        if table.name == "hours_account":  # an entry moves between two of them
            other = {"id": RECEIVER, "activity_id": None, "person_id": rows["person"]["id"]}
            session.execute(insert(table).values(other))


def _generated(column):
    return (column.primary_key and column.autoincrement is True) or (
        column.name == "seq" and column.primary_key
    )


def _value(column, rows):
    if column.foreign_keys:
        target = next(iter(column.foreign_keys)).column
        if target.table.name in rows:
            return rows[target.table.name][target.name]
        return None  # a row that points at its own table is the root
    if column.nullable:
        return None
    if isinstance(column.type, Enum):
        return (
            column.type.enum_class(column.type.enums[0]) if column.type.enum_class else column.type.enums[0]
        )
    return next(make() for kind, make in VALUES if isinstance(column.type, kind))


VALUES = [
    (UtcDateTime, lambda: NOW),
    (Uuid, uuid4),
    (Boolean, lambda: False),
    (JSON, list),
    (LargeBinary, lambda: b"x" * 32),
    (Date, lambda: date(2000, 1, 1)),
    (Numeric, lambda: 1),
    (Integer, lambda: 1),
    (String, lambda: "x"),
]

RECEIVER = uuid4()
# What the CHECKs ask for beyond the type.
SPECIAL: dict[str, dict[str, object]] = {
    "activity": {
        "place_name": "x",
        "starts_at": NOW,
        "ends_at": NOW.replace(hour=4),
        "sign_up_opens_at": NOW.replace(hour=0),
        "sign_up_closes_at": NOW.replace(hour=1),
        "taken": 0,
        "waiting": 0,
        "held": 0,
        "applied": 0,
        "capacity": 3,
        "offers_from_at": NOW,
        "queue_closes_at": NOW,
        "excuse_until_at": NOW,
        "pools_merged": True,
    },
    "sign_up": {"state": "confirmed", "rank": 1_000_000},
    "activity_pool": {"position": 1, "taken": 0},
    "credit_entry": {"rule": "attended", "fades_at": NOW.replace(month=12), "withdrawn_by": None},
    "credit_appeal": {"decided_by": None},
    "finding": {"answered_by": None, "closed_by": None},
    "role_grant": {"hub_id": None, "granted_by": None, "ended_by": None},
    "role_invitation": {
        "hub_id": None,
        "grant_id": None,
        "withdrawn_by": None,
        "expires_at": NOW.replace(hour=4),
    },
    "login_ticket": {
        "person_id": None,
        "phone_session_id": None,
        "session_id": None,
        "expires_at": NOW.replace(hour=4),
    },
    "org_path": {"depth": 0},
    "failed_attempts": {"lock_outs": 0},
    "api_key": {"expires_at": NOW.replace(month=12)},
    "hours_account": {"person_id": None},
    "hours_entry": {"credit_account_id": RECEIVER, "until_at": NOW.replace(hour=4)},
}
