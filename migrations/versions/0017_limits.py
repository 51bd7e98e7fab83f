"""Failed attempts and lock-outs."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "failed_attempts",
        sa.Column("gate", sa.String(length=24), nullable=False),
        sa.Column("subject", sa.String(length=64), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("window_ends_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("lock_outs", sa.Integer(), nullable=False),
        sa.Column("locked_until", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("failures >= 0", name=op.f("ck_failed_attempts_failures_counted")),
        sa.CheckConstraint(
            "(lock_outs > 0) = (locked_until IS NOT NULL)",
            name=op.f("ck_failed_attempts_locked_until_an_end"),
        ),
        sa.PrimaryKeyConstraint("gate", "subject", name=op.f("pk_failed_attempts")),
    )
    op.create_index("ix_failed_attempts_window_ends_at", "failed_attempts", ["window_ends_at"])


def downgrade() -> None:
    op.drop_table("failed_attempts")
