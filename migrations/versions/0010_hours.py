"""The ledger of service hours, and certificates."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

# What holds against every statement, whoever sends it:
# - an award or a correction moves minutes from the account of its activity to that of its person;
# - no two entries in force of one person touch the same time. On PostgreSQL the row of the person's account is held
#   for the check, so that two transactions cannot miss each other; SQLite runs one writer at a time;
# - a reversal mirrors what it reverses, and is not itself reversed (once: a unique index);
# - what is written stays as it is.
POSTGRESQL = (
    """
    CREATE FUNCTION hours_entry_check() RETURNS trigger LANGUAGE plpgsql AS $$
    DECLARE
        of_person uuid;
        of_activity uuid;
        original hours_entry%ROWTYPE;
    BEGIN
        SELECT id INTO of_person FROM hours_account WHERE person_id = NEW.person_id FOR NO KEY UPDATE;
        SELECT id INTO of_activity FROM hours_account WHERE activity_id = NEW.activity_id;
        IF NEW.kind = 'reversal' THEN
            SELECT * INTO original FROM hours_entry WHERE id = NEW.reverses_id;
            IF original.kind = 'reversal' OR (
                NEW.debit_account_id, NEW.credit_account_id, NEW.minutes, NEW.activity_id, NEW.person_id, NEW.from_at,
                NEW.until_at
            ) IS DISTINCT FROM (
                original.credit_account_id, original.debit_account_id, original.minutes, original.activity_id,
                original.person_id, original.from_at, original.until_at
            ) THEN
                RAISE EXCEPTION 'a reversal mirrors the entry it reverses' USING ERRCODE = 'check_violation';
            END IF;
        ELSIF (NEW.debit_account_id, NEW.credit_account_id) IS DISTINCT FROM (of_activity, of_person) THEN
            RAISE EXCEPTION 'hours move from their activity to their person' USING ERRCODE = 'check_violation';
        ELSIF EXISTS (
            SELECT 1 FROM hours_entry AS other
            WHERE other.person_id = NEW.person_id AND other.kind <> 'reversal'
            AND other.from_at < NEW.until_at AND NEW.from_at < other.until_at
            AND NOT EXISTS (SELECT 1 FROM hours_entry AS back WHERE back.reverses_id = other.id)
        ) THEN
            RAISE EXCEPTION 'hours of one person do not overlap' USING ERRCODE = 'check_violation';
        END IF;
        RETURN NEW;
    END $$
    """,
    """
    CREATE TRIGGER hours_entry_check BEFORE INSERT ON hours_entry
    FOR EACH ROW EXECUTE FUNCTION hours_entry_check()
    """,
    """
    CREATE FUNCTION hours_keep() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        RAISE EXCEPTION 'the ledger is not changed, only added to' USING ERRCODE = 'check_violation';
    END $$
    """,
    "CREATE TRIGGER hours_entry_keep BEFORE UPDATE ON hours_entry FOR EACH ROW EXECUTE FUNCTION hours_keep()",
    "CREATE TRIGGER hours_account_keep BEFORE UPDATE ON hours_account FOR EACH ROW EXECUTE FUNCTION hours_keep()",
)
SQLITE = (
    """
    CREATE TRIGGER hours_entry_moves BEFORE INSERT ON hours_entry
    WHEN NEW.kind <> 'reversal' AND NOT EXISTS (
        SELECT 1 FROM hours_account AS giver, hours_account AS taker
        WHERE giver.id = NEW.debit_account_id AND giver.activity_id = NEW.activity_id
        AND taker.id = NEW.credit_account_id AND taker.person_id = NEW.person_id
    ) BEGIN
        SELECT RAISE(ABORT, 'hours move from their activity to their person');
    END
    """,
    """
    CREATE TRIGGER hours_entry_overlap BEFORE INSERT ON hours_entry
    WHEN NEW.kind <> 'reversal' AND EXISTS (
        SELECT 1 FROM hours_entry AS other
        WHERE other.person_id = NEW.person_id AND other.kind <> 'reversal'
        AND other.from_at < NEW.until_at AND NEW.from_at < other.until_at
        AND NOT EXISTS (SELECT 1 FROM hours_entry AS back WHERE back.reverses_id = other.id)
    ) BEGIN
        SELECT RAISE(ABORT, 'hours of one person do not overlap');
    END
    """,
    """
    CREATE TRIGGER hours_entry_mirrors BEFORE INSERT ON hours_entry
    WHEN NEW.kind = 'reversal' AND NOT EXISTS (
        SELECT 1 FROM hours_entry AS original
        WHERE original.id = NEW.reverses_id AND original.kind <> 'reversal'
        AND original.credit_account_id = NEW.debit_account_id AND original.debit_account_id = NEW.credit_account_id
        AND original.minutes = NEW.minutes AND original.activity_id = NEW.activity_id
        AND original.person_id = NEW.person_id AND original.from_at = NEW.from_at AND original.until_at = NEW.until_at
    ) BEGIN
        SELECT RAISE(ABORT, 'a reversal mirrors the entry it reverses');
    END
    """,
    """
    CREATE TRIGGER hours_entry_keep BEFORE UPDATE ON hours_entry BEGIN
        SELECT RAISE(ABORT, 'the ledger is not changed, only added to');
    END
    """,
    """
    CREATE TRIGGER hours_account_keep BEFORE UPDATE ON hours_account BEGIN
        SELECT RAISE(ABORT, 'the ledger is not changed, only added to');
    END
    """,
)


def upgrade() -> None:
    op.create_table(
        "hours_account",
        sa.Column("activity_id", sa.Uuid(), nullable=True),
        sa.Column("person_id", sa.Uuid(), nullable=True),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.CheckConstraint(
            "(activity_id IS NULL) <> (person_id IS NULL)", name=op.f("ck_hours_account_has_one_owner")
        ),
        sa.ForeignKeyConstraint(["activity_id"], ["activity.id"], name=op.f("fk_hours_account_activity_id")),
        sa.ForeignKeyConstraint(["person_id"], ["person.id"], name=op.f("fk_hours_account_person_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_hours_account")),
    )
    op.create_index("uq_hours_account_activity_id", "hours_account", ["activity_id"], unique=True)
    op.create_index("uq_hours_account_person_id", "hours_account", ["person_id"], unique=True)
    op.create_table(
        "hours_entry",
        sa.Column("debit_account_id", sa.Uuid(), nullable=False),
        sa.Column("credit_account_id", sa.Uuid(), nullable=False),
        sa.Column("minutes", sa.Integer(), nullable=False),
        sa.Column(
            "kind",
            sa.Enum(
                "award",
                "correction",
                "reversal",
                name="hours_kind",
                native_enum=False,
                create_constraint=True,
                length=32,
            ),
            nullable=False,
        ),
        sa.Column("activity_id", sa.Uuid(), nullable=False),
        sa.Column("person_id", sa.Uuid(), nullable=False),
        sa.Column("from_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("until_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("reverses_id", sa.Uuid(), nullable=True),
        sa.Column("reason", sa.String(length=200), nullable=True),
        sa.Column("created_by", sa.Uuid(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.CheckConstraint("minutes > 0", name=op.f("ck_hours_entry_minutes_positive")),
        sa.CheckConstraint("from_at < until_at", name=op.f("ck_hours_entry_from_before_until")),
        sa.CheckConstraint(
            "debit_account_id <> credit_account_id", name=op.f("ck_hours_entry_moves_between_accounts")
        ),
        sa.CheckConstraint(
            "(kind = 'reversal') = (reverses_id IS NOT NULL)",
            name=op.f("ck_hours_entry_reversal_names_entry"),
        ),
        sa.CheckConstraint("kind = 'award' OR reason IS NOT NULL", name=op.f("ck_hours_entry_reason_given")),
        sa.ForeignKeyConstraint(
            ["debit_account_id"], ["hours_account.id"], name=op.f("fk_hours_entry_debit_account_id")
        ),
        sa.ForeignKeyConstraint(
            ["credit_account_id"], ["hours_account.id"], name=op.f("fk_hours_entry_credit_account_id")
        ),
        sa.ForeignKeyConstraint(["activity_id"], ["activity.id"], name=op.f("fk_hours_entry_activity_id")),
        sa.ForeignKeyConstraint(["person_id"], ["person.id"], name=op.f("fk_hours_entry_person_id")),
        sa.ForeignKeyConstraint(["reverses_id"], ["hours_entry.id"], name=op.f("fk_hours_entry_reverses_id")),
        sa.ForeignKeyConstraint(["created_by"], ["person.id"], name=op.f("fk_hours_entry_created_by")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_hours_entry")),
    )
    op.create_index("uq_hours_entry_reverses_id", "hours_entry", ["reverses_id"], unique=True)
    op.create_index("uq_hours_entry_id_person_id", "hours_entry", ["id", "person_id"], unique=True)
    op.create_index("ix_hours_entry_person_id_id", "hours_entry", ["person_id", "id"], unique=False)
    op.create_index(
        "ix_hours_entry_activity_id_person_id", "hours_entry", ["activity_id", "person_id"], unique=False
    )
    op.create_table(
        "hours_certificate",
        sa.Column("person_id", sa.Uuid(), nullable=False),
        sa.Column("holder_name", sa.String(length=40), nullable=False),
        sa.Column("issuer_name", sa.String(length=80), nullable=False),
        sa.Column("from_on", sa.Date(), nullable=False),
        sa.Column("until_on", sa.Date(), nullable=False),
        sa.Column("code_hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("code_sealed", sa.LargeBinary(), nullable=False),
        sa.Column("issued_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.CheckConstraint("from_on <= until_on", name=op.f("ck_hours_certificate_from_by_until")),
        sa.ForeignKeyConstraint(["person_id"], ["person.id"], name=op.f("fk_hours_certificate_person_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_hours_certificate")),
    )
    op.create_index("uq_hours_certificate_code_hash", "hours_certificate", ["code_hash"], unique=True)
    op.create_index(
        "uq_hours_certificate_id_person_id", "hours_certificate", ["id", "person_id"], unique=True
    )
    op.create_index(
        "ix_hours_certificate_person_id_id", "hours_certificate", ["person_id", "id"], unique=False
    )
    op.create_table(
        "hours_certificate_entry",
        sa.Column("certificate_id", sa.Uuid(), nullable=False),
        sa.Column("entry_id", sa.Uuid(), nullable=False),
        sa.Column("person_id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(
            ["certificate_id", "person_id"],
            ["hours_certificate.id", "hours_certificate.person_id"],
            name="fk_hours_certificate_entry_certificate_id",
        ),
        sa.ForeignKeyConstraint(
            ["entry_id", "person_id"],
            ["hours_entry.id", "hours_entry.person_id"],
            name="fk_hours_certificate_entry_entry_id",
        ),
        sa.PrimaryKeyConstraint("certificate_id", "entry_id", name=op.f("pk_hours_certificate_entry")),
    )
    op.create_index(
        "ix_hours_certificate_entry_entry_id", "hours_certificate_entry", ["entry_id"], unique=False
    )
    for statement in POSTGRESQL if op.get_bind().dialect.name == "postgresql" else SQLITE:
        op.execute(statement)


def downgrade() -> None:
    for table in ("hours_certificate_entry", "hours_certificate", "hours_entry", "hours_account"):
        op.drop_table(table)
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION hours_entry_check()")
        op.execute("DROP FUNCTION hours_keep()")
