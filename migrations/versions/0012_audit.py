"""The audit log, its chain, and what waits to be chained. The log and the chain only grow."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

GROWING = ("audit_entry", "audit_link")
QUEUE = """
    CREATE FUNCTION audit_entry_waits() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        INSERT INTO audit_unsealed (entry_id) VALUES (NEW.id);
        RETURN NULL;
    END $$
"""
REFUSE = """
    CREATE FUNCTION audit_only_grows() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        RAISE EXCEPTION 'the audit log only grows' USING ERRCODE = 'insufficient_privilege';
    END $$
"""


def _postgresql() -> list[str]:
    return [
        QUEUE,
        "CREATE TRIGGER audit_entry_waits AFTER INSERT ON audit_entry FOR EACH ROW EXECUTE FUNCTION audit_entry_waits()",
        REFUSE,
        *(
            f"CREATE TRIGGER {table}_only_grows BEFORE UPDATE OR DELETE OR TRUNCATE ON {table}"
            " FOR EACH STATEMENT EXECUTE FUNCTION audit_only_grows()"
            for table in GROWING
        ),
        *(f"REVOKE UPDATE, DELETE, TRUNCATE ON {table} FROM PUBLIC, CURRENT_USER" for table in GROWING),
    ]


def _sqlite() -> list[str]:
    # OR REPLACE deletes without a DELETE that a trigger would see: hence the third one.
    same = {
        "audit_entry": "id = NEW.id",
        "audit_link": "position = NEW.position OR entry_id = NEW.entry_id",
    }
    made = [
        """
        CREATE TRIGGER audit_entry_waits AFTER INSERT ON audit_entry BEGIN
            INSERT INTO audit_unsealed (entry_id) VALUES (NEW.id);
        END
        """
    ]
    for table in GROWING:
        refusal = "BEGIN SELECT RAISE(ABORT, 'CHECK: the audit log only grows'); END"
        made += [
            f"CREATE TRIGGER {table}_not_updated BEFORE UPDATE ON {table} {refusal}",
            f"CREATE TRIGGER {table}_not_deleted BEFORE DELETE ON {table} {refusal}",
            f"""
            CREATE TRIGGER {table}_not_replaced BEFORE INSERT ON {table}
            WHEN EXISTS (SELECT 1 FROM {table} WHERE {same[table]}) {refusal}
            """,
        ]
    return made


def upgrade() -> None:
    op.create_table(
        "audit_entry",
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("actor_id", sa.Uuid(), nullable=True),
        sa.Column("session_id", sa.Uuid(), nullable=True),
        sa.Column("api_key_id", sa.Uuid(), nullable=True),
        sa.Column("action", sa.String(length=64), nullable=False),
        sa.Column("object_kind", sa.String(length=40), nullable=True),
        sa.Column("object_id", sa.Uuid(), nullable=True),
        sa.Column("part_id", sa.Uuid(), nullable=True),
        sa.Column("result", sa.String(length=64), nullable=False),
        sa.Column("people", sa.Integer(), nullable=True),
        sa.Column("request_id", sa.String(length=64), nullable=True),
        sa.Column("address", sa.String(length=45), nullable=True),
        sa.Column("purpose", sa.String(length=200), nullable=True),
        sa.Column("changes", sa.JSON(), nullable=True),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_entry")),
    )
    op.create_index("ix_audit_entry_occurred_at_id", "audit_entry", ["occurred_at", "id"])
    for column in ("actor_id", "object_id", "part_id", "action"):
        op.create_index(f"ix_audit_entry_{column}", "audit_entry", [column, "occurred_at", "id"])
    refused = sa.text("result <> 'done'")
    op.create_index(
        "ix_audit_entry_refused",
        "audit_entry",
        ["result", "occurred_at", "id"],
        postgresql_where=refused,
        sqlite_where=refused,
    )
    op.create_table(
        "audit_link",
        sa.Column("position", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("entry_id", sa.Uuid(), nullable=False),
        sa.Column("hash", sa.LargeBinary(length=32), nullable=False),
        sa.CheckConstraint("position > 0", name=op.f("ck_audit_link_counted_from_one")),
        sa.PrimaryKeyConstraint("position", name=op.f("pk_audit_link")),
    )
    op.create_index("uq_audit_link_entry_id", "audit_link", ["entry_id"], unique=True)
    op.create_table(
        "audit_unsealed",
        sa.Column("entry_id", sa.Uuid(), nullable=False),
        sa.PrimaryKeyConstraint("entry_id", name=op.f("pk_audit_unsealed")),
    )
    for statement in _postgresql() if op.get_bind().dialect.name == "postgresql" else _sqlite():
        op.execute(statement)


def downgrade() -> None:
    for table in ("audit_unsealed", *GROWING[::-1]):
        op.drop_table(table)
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION audit_entry_waits()")
        op.execute("DROP FUNCTION audit_only_grows()")
