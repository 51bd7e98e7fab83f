"""Credit: changes of points, what has been settled, appeals."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

# An entry is about its sign-up's person and activity, and only its withdrawal is written later.
POSTGRESQL = (
    """
    CREATE FUNCTION credit_entry_keeps() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF TG_OP = 'UPDATE' THEN
            IF (NEW.id, NEW.person_id, NEW.activity_id, NEW.sign_up_id, NEW.rule, NEW.points, NEW.created_at, NEW.fades_at)
                IS DISTINCT FROM
                (OLD.id, OLD.person_id, OLD.activity_id, OLD.sign_up_id, OLD.rule, OLD.points, OLD.created_at, OLD.fades_at)
                OR OLD.withdrawn_at IS NOT NULL
            THEN
                RAISE EXCEPTION 'an entry is only withdrawn, once' USING ERRCODE = 'check_violation';
            END IF;
        ELSIF NOT EXISTS (
            SELECT 1 FROM sign_up
            WHERE id = NEW.sign_up_id AND person_id = NEW.person_id AND activity_id = NEW.activity_id
        ) THEN
            RAISE EXCEPTION 'an entry is about the person and the activity of its sign-up' USING ERRCODE = 'check_violation';
        END IF;
        RETURN NEW;
    END $$
    """,
    """
    CREATE TRIGGER credit_entry_keeps BEFORE INSERT OR UPDATE ON credit_entry
    FOR EACH ROW EXECUTE FUNCTION credit_entry_keeps()
    """,
)
SQLITE = (
    """
    CREATE TRIGGER credit_entry_of_sign_up BEFORE INSERT ON credit_entry
    WHEN NOT EXISTS (
        SELECT 1 FROM sign_up
        WHERE id = NEW.sign_up_id AND person_id = NEW.person_id AND activity_id = NEW.activity_id
    ) BEGIN
        SELECT RAISE(ABORT, 'CHECK: an entry is about the person and the activity of its sign-up');
    END
    """,
    """
    CREATE TRIGGER credit_entry_keeps BEFORE UPDATE ON credit_entry
    WHEN (NEW.id, NEW.person_id, NEW.activity_id, NEW.sign_up_id, NEW.rule, NEW.points, NEW.created_at, NEW.fades_at)
        IS NOT (OLD.id, OLD.person_id, OLD.activity_id, OLD.sign_up_id, OLD.rule, OLD.points, OLD.created_at, OLD.fades_at)
        OR OLD.withdrawn_at IS NOT NULL
    BEGIN
        SELECT RAISE(ABORT, 'CHECK: an entry is only withdrawn, once');
    END
    """,
)


def _is_postgresql() -> bool:
    return op.get_bind().dialect.name == "postgresql"


def _choice(name: str, *values: str) -> sa.Enum:
    return sa.Enum(*values, name=name, native_enum=False, create_constraint=True, length=32)


def _instant(name: str, *, nullable: bool = False) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def upgrade() -> None:
    op.create_index("ix_activity_ends_at", "activity", ["ends_at"])
    op.create_table(
        "credit_entry",
        sa.Column("person_id", sa.Uuid(), nullable=False),
        sa.Column("activity_id", sa.Uuid(), nullable=False),
        sa.Column("sign_up_id", sa.Uuid(), nullable=False),
        sa.Column("rule", _choice("credit_rule", "absent", "late", "late_cancel", "attended"), nullable=False),
        sa.Column("points", sa.Integer(), nullable=False),
        _instant("created_at"),
        _instant("fades_at"),
        _instant("withdrawn_at", nullable=True),
        sa.Column("withdrawn_by", sa.Uuid(), nullable=True),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.CheckConstraint(
            "points <> 0 AND (points > 0) = (rule = 'attended')", name=op.f("ck_credit_entry_points_by_rule")
        ),
        sa.CheckConstraint("fades_at > created_at", name=op.f("ck_credit_entry_fades_later")),
        sa.CheckConstraint(
            "(withdrawn_at IS NULL) = (withdrawn_by IS NULL)", name=op.f("ck_credit_entry_withdrawn_by_somebody")
        ),
        sa.ForeignKeyConstraint(["activity_id"], ["activity.id"], name=op.f("fk_credit_entry_activity_id")),
        sa.ForeignKeyConstraint(["person_id"], ["person.id"], name=op.f("fk_credit_entry_person_id")),
        sa.ForeignKeyConstraint(["sign_up_id"], ["sign_up.id"], name=op.f("fk_credit_entry_sign_up_id")),
        sa.ForeignKeyConstraint(["withdrawn_by"], ["person.id"], name=op.f("fk_credit_entry_withdrawn_by")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_credit_entry")),
    )  # fmt: skip
    op.create_index("uq_credit_entry_sign_up_id_rule", "credit_entry", ["sign_up_id", "rule"], unique=True)
    op.create_index("ix_credit_entry_person_id_fades_at", "credit_entry", ["person_id", "fades_at"])
    op.create_index("ix_credit_entry_person_id_id", "credit_entry", ["person_id", "id"])
    op.create_table(
        "credit_settlement",
        sa.Column("activity_id", sa.Uuid(), nullable=False),
        _instant("settled_at"),
        sa.ForeignKeyConstraint(
            ["activity_id"], ["activity.id"], name=op.f("fk_credit_settlement_activity_id")
        ),
        sa.PrimaryKeyConstraint("activity_id", name=op.f("pk_credit_settlement")),
    )
    op.create_table(
        "credit_appeal",
        sa.Column("entry_id", sa.Uuid(), nullable=False),
        sa.Column("text", sa.String(length=500), nullable=False),
        sa.Column("state", _choice("appeal_state", "open", "upheld", "dismissed"), nullable=False),
        _instant("created_at"),
        _instant("decided_at", nullable=True),
        sa.Column("decided_by", sa.Uuid(), nullable=True),
        sa.Column("reason", sa.String(length=200), nullable=True),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.CheckConstraint(
            "(state = 'open') = (decided_at IS NULL) AND (decided_at IS NULL) = (decided_by IS NULL)"
            " AND (decided_at IS NULL) = (reason IS NULL)",
            name=op.f("ck_credit_appeal_decided_whole"),
        ),
        sa.ForeignKeyConstraint(["decided_by"], ["person.id"], name=op.f("fk_credit_appeal_decided_by")),
        sa.ForeignKeyConstraint(["entry_id"], ["credit_entry.id"], name=op.f("fk_credit_appeal_entry_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_credit_appeal")),
    )
    op.create_index("uq_credit_appeal_entry_id", "credit_appeal", ["entry_id"], unique=True)
    op.create_index("ix_credit_appeal_state_id", "credit_appeal", ["state", "id"])
    for statement in POSTGRESQL if _is_postgresql() else SQLITE:
        op.execute(statement)


def downgrade() -> None:
    op.drop_table("credit_appeal")
    op.drop_table("credit_settlement")
    op.drop_table("credit_entry")
    if _is_postgresql():
        op.execute("DROP FUNCTION credit_entry_keeps()")
    op.drop_index("ix_activity_ends_at", table_name="activity")
