"""Projects, activities, sign-ups."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

# The counters of an activity follow its sign-ups whoever writes them, so the CHECKs on the counters refuse an
# over-full activity even to a direct INSERT. A sign-up never changes its activity or its person.
POSTGRESQL = (
    """
    CREATE FUNCTION sign_up_count() RETURNS trigger LANGUAGE plpgsql AS $$
    DECLARE
        places integer := 0;
        turns integer := 0;
        its_activity uuid := CASE WHEN TG_OP = 'INSERT' THEN NEW.activity_id ELSE OLD.activity_id END;
    BEGIN
        IF TG_OP = 'UPDATE' AND (NEW.activity_id <> OLD.activity_id OR NEW.person_id <> OLD.person_id) THEN
            RAISE EXCEPTION 'a sign-up keeps its activity and its person' USING ERRCODE = 'check_violation';
        END IF;
        IF TG_OP <> 'DELETE' THEN
            places := (NEW.state = 'confirmed')::integer;
            turns := (NEW.state = 'waitlisted')::integer;
        END IF;
        IF TG_OP <> 'INSERT' THEN
            places := places - (OLD.state = 'confirmed')::integer;
            turns := turns - (OLD.state = 'waitlisted')::integer;
        END IF;
        IF places <> 0 OR turns <> 0 THEN
            UPDATE activity SET taken = taken + places, waiting = waiting + turns WHERE id = its_activity;
        END IF;
        RETURN NULL;
    END $$
    """,
    """
    CREATE TRIGGER sign_up_count AFTER INSERT OR DELETE OR UPDATE OF state, activity_id, person_id ON sign_up
    FOR EACH ROW EXECUTE FUNCTION sign_up_count()
    """,
)
SQLITE = (
    """
    CREATE TRIGGER sign_up_count_insert AFTER INSERT ON sign_up BEGIN
        UPDATE activity SET taken = taken + (NEW.state = 'confirmed'), waiting = waiting + (NEW.state = 'waitlisted')
        WHERE id = NEW.activity_id;
    END
    """,
    """
    CREATE TRIGGER sign_up_count_update AFTER UPDATE OF state ON sign_up WHEN NEW.state <> OLD.state BEGIN
        UPDATE activity SET
            taken = taken + (NEW.state = 'confirmed') - (OLD.state = 'confirmed'),
            waiting = waiting + (NEW.state = 'waitlisted') - (OLD.state = 'waitlisted')
        WHERE id = NEW.activity_id;
    END
    """,
    """
    CREATE TRIGGER sign_up_count_delete AFTER DELETE ON sign_up BEGIN
        UPDATE activity SET taken = taken - (OLD.state = 'confirmed'), waiting = waiting - (OLD.state = 'waitlisted')
        WHERE id = OLD.activity_id;
    END
    """,
    """
    CREATE TRIGGER sign_up_keeps_owner BEFORE UPDATE OF activity_id, person_id ON sign_up
    WHEN NEW.activity_id <> OLD.activity_id OR NEW.person_id <> OLD.person_id BEGIN
        SELECT RAISE(ABORT, 'a sign-up keeps its activity and its person');
    END
    """,
)


def upgrade() -> None:
    op.create_table(
        "project",
        sa.Column("name", sa.String(length=40), nullable=False),
        sa.Column("summary", sa.String(length=2000), nullable=True),
        sa.Column("org_id", sa.Uuid(), nullable=False),
        sa.Column(
            "status",
            sa.Enum(
                "active",
                "archived",
                name="project_status",
                native_enum=False,
                create_constraint=True,
                length=32,
            ),
            nullable=False,
        ),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["org_id"], ["org.id"], name=op.f("fk_project_org_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_project")),
    )
    op.create_index("ix_project_org_id", "project", ["org_id"], unique=False)
    op.create_index("uq_project_name", "project", ["name"], unique=True)
    op.create_table(
        "activity",
        sa.Column("title", sa.String(length=60), nullable=False),
        sa.Column("summary", sa.String(length=4000), nullable=True),
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("org_id", sa.Uuid(), nullable=False),
        sa.Column("hub_id", sa.Uuid(), nullable=True),
        sa.Column("place_name", sa.String(length=80), nullable=True),
        sa.Column("address", sa.String(length=200), nullable=True),
        sa.Column("lat", sa.Double(), nullable=True),
        sa.Column("lng", sa.Double(), nullable=True),
        sa.Column("county_code", sa.String(length=12), nullable=False),
        sa.Column("starts_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ends_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("sign_up_opens_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("sign_up_closes_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("capacity", sa.Integer(), nullable=False),
        sa.Column("waitlist_capacity", sa.Integer(), nullable=False),
        sa.Column("taken", sa.Integer(), server_default="0", nullable=False),
        sa.Column("waiting", sa.Integer(), server_default="0", nullable=False),
        sa.Column("min_age", sa.Integer(), nullable=True),
        sa.Column("max_age", sa.Integer(), nullable=True),
        sa.Column("county_codes", sa.JSON(), nullable=False),
        sa.Column("members_only", sa.Boolean(), nullable=False),
        sa.Column("questions", sa.JSON(), nullable=False),
        sa.Column("service_minutes", sa.Integer(), nullable=False),
        sa.Column(
            "status",
            sa.Enum(
                "draft",
                "review",
                "rejected",
                "published",
                "cancelled",
                "summarised",
                name="activity_status",
                native_enum=False,
                create_constraint=True,
                length=32,
            ),
            nullable=False,
        ),
        sa.Column("status_reason", sa.String(length=500), nullable=True),
        sa.Column("closing_summary", sa.String(length=4000), nullable=True),
        sa.Column("created_by", sa.Uuid(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.CheckConstraint("(lat IS NULL) = (lng IS NULL)", name=op.f("ck_activity_point_is_whole")),
        sa.CheckConstraint("capacity >= 1", name=op.f("ck_activity_capacity_positive")),
        sa.CheckConstraint(
            "hub_id IS NOT NULL OR place_name IS NOT NULL", name=op.f("ck_activity_has_place")
        ),
        sa.CheckConstraint(
            "min_age IS NULL OR max_age IS NULL OR min_age <= max_age", name=op.f("ck_activity_ages_in_order")
        ),
        sa.CheckConstraint("service_minutes >= 0", name=op.f("ck_activity_service_minutes_not_negative")),
        sa.CheckConstraint("sign_up_closes_at <= ends_at", name=op.f("ck_activity_sign_up_closes_by_end")),
        sa.CheckConstraint(
            "sign_up_opens_at < sign_up_closes_at", name=op.f("ck_activity_opens_before_close")
        ),
        sa.CheckConstraint("starts_at < ends_at", name=op.f("ck_activity_starts_before_end")),
        sa.CheckConstraint("taken BETWEEN 0 AND capacity", name=op.f("ck_activity_taken_within_capacity")),
        sa.CheckConstraint(
            "waiting BETWEEN 0 AND waitlist_capacity", name=op.f("ck_activity_waiting_within_waitlist")
        ),
        sa.ForeignKeyConstraint(["county_code"], ["division.code"], name=op.f("fk_activity_county_code")),
        sa.ForeignKeyConstraint(["created_by"], ["person.id"], name=op.f("fk_activity_created_by")),
        sa.ForeignKeyConstraint(["hub_id"], ["hub.id"], name=op.f("fk_activity_hub_id")),
        sa.ForeignKeyConstraint(["org_id"], ["org.id"], name=op.f("fk_activity_org_id")),
        sa.ForeignKeyConstraint(["project_id"], ["project.id"], name=op.f("fk_activity_project_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_activity")),
        postgresql_with={"fillfactor": 40},
    )
    op.create_index("ix_activity_hub_id_starts_at", "activity", ["hub_id", "starts_at"], unique=False)
    op.create_index("ix_activity_org_id_starts_at", "activity", ["org_id", "starts_at"], unique=False)
    op.create_index("ix_activity_project_id_starts_at", "activity", ["project_id", "starts_at"], unique=False)
    op.create_index(
        "ix_activity_status_starts_at_id", "activity", ["status", "starts_at", "id"], unique=False
    )
    op.create_table(
        "feedback",
        sa.Column("activity_id", sa.Uuid(), nullable=False),
        sa.Column("person_id", sa.Uuid(), nullable=False),
        sa.Column("stars", sa.Integer(), nullable=False),
        sa.Column("text", sa.String(length=1000), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.CheckConstraint("stars BETWEEN 1 AND 5", name=op.f("ck_feedback_stars_one_to_five")),
        sa.ForeignKeyConstraint(["activity_id"], ["activity.id"], name=op.f("fk_feedback_activity_id")),
        sa.ForeignKeyConstraint(["person_id"], ["person.id"], name=op.f("fk_feedback_person_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_feedback")),
    )
    op.create_index("ix_feedback_activity_id_id", "feedback", ["activity_id", "id"], unique=False)
    op.create_index(
        "uq_feedback_activity_id_person_id", "feedback", ["activity_id", "person_id"], unique=True
    )
    op.create_table(
        "sign_up",
        sa.Column("seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("activity_id", sa.Uuid(), nullable=False),
        sa.Column("person_id", sa.Uuid(), nullable=False),
        sa.Column(
            "state",
            sa.Enum(
                "confirmed",
                "waitlisted",
                "cancelled",
                name="sign_up_state",
                native_enum=False,
                create_constraint=True,
                length=32,
            ),
            nullable=False,
        ),
        sa.Column("answers", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("added_by", sa.Uuid(), nullable=True),
        sa.Column("promoted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("cancelled_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("cancelled_by", sa.Uuid(), nullable=True),
        sa.Column("cancel_reason", sa.String(length=200), nullable=True),
        sa.Column("excused_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("excused_by", sa.Uuid(), nullable=True),
        sa.Column("excuse_reason", sa.String(length=200), nullable=True),
        sa.CheckConstraint(
            "(state = 'cancelled') = (cancelled_at IS NOT NULL)", name=op.f("ck_sign_up_cancelled_has_time")
        ),
        sa.CheckConstraint(
            "excused_at IS NULL OR state = 'confirmed'", name=op.f("ck_sign_up_excused_was_confirmed")
        ),
        sa.ForeignKeyConstraint(["activity_id"], ["activity.id"], name=op.f("fk_sign_up_activity_id")),
        sa.ForeignKeyConstraint(["added_by"], ["person.id"], name=op.f("fk_sign_up_added_by")),
        sa.ForeignKeyConstraint(["cancelled_by"], ["person.id"], name=op.f("fk_sign_up_cancelled_by")),
        sa.ForeignKeyConstraint(["excused_by"], ["person.id"], name=op.f("fk_sign_up_excused_by")),
        sa.ForeignKeyConstraint(["person_id"], ["person.id"], name=op.f("fk_sign_up_person_id")),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_sign_up")),
    )
    op.create_index("ix_sign_up_activity_id_seq", "sign_up", ["activity_id", "seq"], unique=False)
    op.create_index("ix_sign_up_person_id_seq", "sign_up", ["person_id", "seq"], unique=False)
    op.create_index(
        "ix_sign_up_queue",
        "sign_up",
        ["activity_id", "seq"],
        unique=False,
        postgresql_where=sa.text("state = 'waitlisted'"),
        sqlite_where=sa.text("state = 'waitlisted'"),
    )
    op.create_index("uq_sign_up_id", "sign_up", ["id"], unique=True)
    op.create_index(
        "uq_sign_up_live",
        "sign_up",
        ["activity_id", "person_id"],
        unique=True,
        postgresql_where=sa.text("state <> 'cancelled'"),
        sqlite_where=sa.text("state <> 'cancelled'"),
    )
    op.create_table(
        "check_in",
        sa.Column("activity_id", sa.Uuid(), nullable=False),
        sa.Column("person_id", sa.Uuid(), nullable=False),
        sa.Column("sign_up_id", sa.Uuid(), nullable=False),
        sa.Column(
            "method",
            sa.Enum(
                "code", "staff", name="check_in_method", native_enum=False, create_constraint=True, length=32
            ),
            nullable=False,
        ),
        sa.Column("checked_in_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("claimed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("checked_in_by", sa.Uuid(), nullable=True),
        sa.ForeignKeyConstraint(["activity_id"], ["activity.id"], name=op.f("fk_check_in_activity_id")),
        sa.ForeignKeyConstraint(["checked_in_by"], ["person.id"], name=op.f("fk_check_in_checked_in_by")),
        sa.ForeignKeyConstraint(["person_id"], ["person.id"], name=op.f("fk_check_in_person_id")),
        sa.ForeignKeyConstraint(["sign_up_id"], ["sign_up.id"], name=op.f("fk_check_in_sign_up_id")),
        sa.PrimaryKeyConstraint("activity_id", "person_id", name=op.f("pk_check_in")),
    )
    op.create_index("ix_check_in_person_id", "check_in", ["person_id"], unique=False)
    op.create_index("uq_check_in_sign_up_id", "check_in", ["sign_up_id"], unique=True)
    # ### end Alembic commands ###
    for statement in POSTGRESQL if op.get_bind().dialect.name == "postgresql" else SQLITE:
        op.execute(statement)


def downgrade() -> None:
    op.drop_index("uq_check_in_sign_up_id", table_name="check_in")
    op.drop_index("ix_check_in_person_id", table_name="check_in")
    op.drop_table("check_in")
    op.drop_index(
        "uq_sign_up_live",
        table_name="sign_up",
        postgresql_where=sa.text("state <> 'cancelled'"),
        sqlite_where=sa.text("state <> 'cancelled'"),
    )
    op.drop_index("uq_sign_up_id", table_name="sign_up")
    op.drop_index(
        "ix_sign_up_queue",
        table_name="sign_up",
        postgresql_where=sa.text("state = 'waitlisted'"),
        sqlite_where=sa.text("state = 'waitlisted'"),
    )
    op.drop_index("ix_sign_up_person_id_seq", table_name="sign_up")
    op.drop_index("ix_sign_up_activity_id_seq", table_name="sign_up")
    op.drop_table("sign_up")
    op.drop_index("uq_feedback_activity_id_person_id", table_name="feedback")
    op.drop_index("ix_feedback_activity_id_id", table_name="feedback")
    op.drop_table("feedback")
    op.drop_index("ix_activity_status_starts_at_id", table_name="activity")
    op.drop_index("ix_activity_project_id_starts_at", table_name="activity")
    op.drop_index("ix_activity_org_id_starts_at", table_name="activity")
    op.drop_index("ix_activity_hub_id_starts_at", table_name="activity")
    op.drop_table("activity")
    op.drop_index("uq_project_name", table_name="project")
    op.drop_index("ix_project_org_id", table_name="project")
    op.drop_table("project")
    # ### end Alembic commands ###
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION sign_up_count()")
