"""Findings about activities, hubs and organisations, their answers, and how they ended."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None

CHECKS = {
    "due_for_problems": "due_on IS NULL OR kind = 'problem'",
    "answered_whole": "(answered_at IS NULL) = (answered_by IS NULL) AND (answered_at IS NULL) = (answer IS NULL)",
    "answered_by_another": "answered_by IS NULL OR answered_by <> written_by",
    "closed_whole": "(closed_at IS NULL) = (closed_by IS NULL) AND (closed_at IS NULL) = (outcome IS NULL)",
    "withdrawn_by_writer": "outcome IS NULL OR outcome <> 'withdrawn' OR closed_by = written_by",
    "closed_by_another": "outcome IS NULL OR answered_by IS NULL OR closed_by <> answered_by",
}


def upgrade() -> None:
    instant = sa.DateTime(timezone=True)
    op.create_table(
        "finding",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("org_id", sa.Uuid(), nullable=False),
        sa.Column("hub_id", sa.Uuid(), nullable=True),
        sa.Column("activity_id", sa.Uuid(), nullable=True),
        sa.Column("about", sa.String(80), nullable=False),
        sa.Column(
            "kind",
            sa.Enum("commendation", "suggestion", "problem", name="finding_kind", native_enum=False, create_constraint=True, length=32),
            nullable=False,
        ),
        sa.Column("text", sa.String(1000), nullable=False),
        sa.Column("due_on", sa.Date(), nullable=True),
        sa.Column("written_by", sa.Uuid(), nullable=False),
        sa.Column("created_at", instant, nullable=False),
        sa.Column("answer", sa.String(1000), nullable=True),
        sa.Column("answered_by", sa.Uuid(), nullable=True),
        sa.Column("answered_at", instant, nullable=True),
        sa.Column("closed_at", instant, nullable=True),
        sa.Column("closed_by", sa.Uuid(), nullable=True),
        sa.Column(
            "outcome",
            sa.Enum("settled", "withdrawn", name="finding_outcome", native_enum=False, create_constraint=True, length=32),
            nullable=True,
        ),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_finding")),
        *(
            sa.ForeignKeyConstraint([column], [f"{table}.id"], name=op.f(f"fk_finding_{column}"))
            for column, table in (
                ("org_id", "org"),
                ("hub_id", "hub"),
                ("activity_id", "activity"),
                ("written_by", "person"),
                ("answered_by", "person"),
                ("closed_by", "person"),
            )
        ),
        *(sa.CheckConstraint(condition, name=op.f(f"ck_finding_{name}")) for name, condition in CHECKS.items()),
    )  # fmt: skip
    for column in ("org_id", "hub_id", "activity_id"):
        op.create_index(f"ix_finding_{column}_id", "finding", [column, "id"])
    is_open = sa.text("answered_at IS NULL AND closed_at IS NULL")
    op.create_index(
        "ix_finding_due_on", "finding", ["due_on"], postgresql_where=is_open, sqlite_where=is_open
    )


def downgrade() -> None:
    op.drop_table("finding")
