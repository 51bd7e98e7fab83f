"""Entries of the audit log are found by request, address, session and API key."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

_COLUMNS = ("request_id", "address", "session_id", "api_key_id")


def upgrade() -> None:
    for column in _COLUMNS:
        # Few entries are a key's; all the others need no place in its index.
        of_some = sa.text("api_key_id IS NOT NULL") if column == "api_key_id" else None
        op.create_index(
            f"ix_audit_entry_{column}",
            "audit_entry",
            [column, "occurred_at", "id"],
            postgresql_where=of_some,
            sqlite_where=of_some,
        )


def downgrade() -> None:
    for column in _COLUMNS:
        op.drop_index(f"ix_audit_entry_{column}", "audit_entry")
