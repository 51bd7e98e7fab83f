"""Enclave branches."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "enclave_branch",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("home_county_code", sa.String(length=12), nullable=False),
        sa.Column("host_city_code", sa.String(length=12), nullable=False),
        sa.Column("host_org", sa.String(length=80), nullable=True),
        sa.Column("address", sa.String(length=200), nullable=True),
        sa.Column("lat", sa.Double(), nullable=True),
        sa.Column("lng", sa.Double(), nullable=True),
        sa.Column("contact_phone", sa.String(length=20), nullable=True),
        sa.Column("description", sa.String(length=2000), nullable=True),
        sa.Column(
            "status",
            sa.Enum(
                "active",
                "dissolved",
                name="enclave_status",
                native_enum=False,
                create_constraint=True,
                length=32,
            ),
            nullable=False,
        ),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.CheckConstraint("(lat IS NULL) = (lng IS NULL)", name=op.f("ck_enclave_branch_point_is_whole")),
        sa.ForeignKeyConstraint(
            ["home_county_code"], ["division.code"], name=op.f("fk_enclave_branch_home_county_code")
        ),
        sa.ForeignKeyConstraint(
            ["host_city_code"], ["division.code"], name=op.f("fk_enclave_branch_host_city_code")
        ),
        sa.ForeignKeyConstraint(["id"], ["org.id"], name=op.f("fk_enclave_branch_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_enclave_branch")),
    )
    op.create_index(
        "ix_enclave_branch_home_county_code", "enclave_branch", ["home_county_code"], unique=False
    )
    op.create_index("ix_enclave_branch_host_city_code", "enclave_branch", ["host_city_code"], unique=False)
    op.create_table(
        "enclave_application",
        sa.Column("branch_id", sa.Uuid(), nullable=False),
        sa.Column("person_id", sa.Uuid(), nullable=False),
        sa.Column(
            "state",
            sa.Enum(
                "submitted",
                "approved",
                "rejected",
                "withdrawn",
                name="application_state",
                native_enum=False,
                create_constraint=True,
                length=32,
            ),
            nullable=False,
        ),
        sa.Column("note", sa.String(length=500), nullable=True),
        sa.Column("reason", sa.String(length=500), nullable=True),
        sa.Column("decided_by", sa.Uuid(), nullable=True),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.CheckConstraint(
            "(state = 'rejected') = (reason IS NOT NULL)",
            name=op.f("ck_enclave_application_rejection_has_reason"),
        ),
        sa.ForeignKeyConstraint(
            ["branch_id"], ["enclave_branch.id"], name=op.f("fk_enclave_application_branch_id")
        ),
        sa.ForeignKeyConstraint(
            ["decided_by"], ["person.id"], name=op.f("fk_enclave_application_decided_by")
        ),
        sa.ForeignKeyConstraint(["person_id"], ["person.id"], name=op.f("fk_enclave_application_person_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_enclave_application")),
    )
    op.create_index(
        "ix_enclave_application_branch_id_state_id",
        "enclave_application",
        ["branch_id", "state", "id"],
        unique=False,
    )
    op.create_index(
        "ix_enclave_application_person_id_id", "enclave_application", ["person_id", "id"], unique=False
    )
    op.create_index(
        "uq_enclave_application_open",
        "enclave_application",
        ["branch_id", "person_id"],
        unique=True,
        postgresql_where=sa.text("state = 'submitted'"),
        sqlite_where=sa.text("state = 'submitted'"),
    )
    op.create_table(
        "enclave_participation",
        sa.Column("branch_id", sa.Uuid(), nullable=False),
        sa.Column("person_id", sa.Uuid(), nullable=False),
        sa.Column("joined_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("left_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(
            ["branch_id"], ["enclave_branch.id"], name=op.f("fk_enclave_participation_branch_id")
        ),
        sa.ForeignKeyConstraint(
            ["person_id"], ["person.id"], name=op.f("fk_enclave_participation_person_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_enclave_participation")),
    )
    op.create_index(
        "ix_enclave_participation_person_id", "enclave_participation", ["person_id"], unique=False
    )
    op.create_index(
        "uq_enclave_participation_live",
        "enclave_participation",
        ["branch_id", "person_id"],
        unique=True,
        postgresql_where=sa.text("left_at IS NULL"),
        sqlite_where=sa.text("left_at IS NULL"),
    )
    # ### end Alembic commands ###


def downgrade() -> None:
    op.drop_index(
        "uq_enclave_participation_live",
        table_name="enclave_participation",
        postgresql_where=sa.text("left_at IS NULL"),
        sqlite_where=sa.text("left_at IS NULL"),
    )
    op.drop_index("ix_enclave_participation_person_id", table_name="enclave_participation")
    op.drop_table("enclave_participation")
    op.drop_index(
        "uq_enclave_application_open",
        table_name="enclave_application",
        postgresql_where=sa.text("state = 'submitted'"),
        sqlite_where=sa.text("state = 'submitted'"),
    )
    op.drop_index("ix_enclave_application_person_id_id", table_name="enclave_application")
    op.drop_index("ix_enclave_application_branch_id_state_id", table_name="enclave_application")
    op.drop_table("enclave_application")
    op.drop_index("ix_enclave_branch_host_city_code", table_name="enclave_branch")
    op.drop_index("ix_enclave_branch_home_county_code", table_name="enclave_branch")
    op.drop_table("enclave_branch")
    # ### end Alembic commands ###
