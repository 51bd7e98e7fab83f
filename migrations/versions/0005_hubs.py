"""Hubs, and roles on nodes and hubs."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "hub_kind",
        sa.Column("code", sa.String(length=40), nullable=False),
        sa.Column("name_zh", sa.String(length=40), nullable=False),
        sa.Column("name_en", sa.String(length=80), nullable=False),
        sa.PrimaryKeyConstraint("code", name=op.f("pk_hub_kind")),
    )
    op.create_table(
        "hub",
        sa.Column("name", sa.String(length=80), nullable=False),
        sa.Column("kind_code", sa.String(length=40), nullable=False),
        sa.Column("org_id", sa.Uuid(), nullable=False),
        sa.Column("division_code", sa.String(length=12), nullable=False),
        sa.Column("county_code", sa.String(length=12), nullable=False),
        sa.Column("address", sa.String(length=200), nullable=True),
        sa.Column("lat", sa.Double(), nullable=True),
        sa.Column("lng", sa.Double(), nullable=True),
        sa.Column("contact_name", sa.String(length=40), nullable=True),
        sa.Column("contact_phone", sa.String(length=20), nullable=True),
        sa.Column("description", sa.String(length=2000), nullable=True),
        sa.Column("opening_hours", sa.JSON(), nullable=False),
        sa.Column("services", sa.JSON(), nullable=False),
        sa.Column(
            "status",
            sa.Enum(
                "active",
                "suspended",
                "closed",
                name="hub_status",
                native_enum=False,
                create_constraint=True,
                length=32,
            ),
            nullable=False,
        ),
        sa.Column("external_ref", sa.String(length=64), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.CheckConstraint("(lat IS NULL) = (lng IS NULL)", name=op.f("ck_hub_point_is_whole")),
        sa.CheckConstraint(
            "lat BETWEEN -90 AND 90 AND lng BETWEEN -180 AND 180", name=op.f("ck_hub_point_on_earth")
        ),
        sa.ForeignKeyConstraint(["county_code"], ["division.code"], name=op.f("fk_hub_county_code")),
        sa.ForeignKeyConstraint(["division_code"], ["division.code"], name=op.f("fk_hub_division_code")),
        sa.ForeignKeyConstraint(["kind_code"], ["hub_kind.code"], name=op.f("fk_hub_kind_code")),
        sa.ForeignKeyConstraint(["org_id"], ["org.id"], name=op.f("fk_hub_org_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_hub")),
    )
    op.create_index("ix_hub_county_code_name", "hub", ["county_code", "name"], unique=False)
    op.create_index("ix_hub_lat_lng", "hub", ["lat", "lng"], unique=False)
    op.create_index("ix_hub_org_id", "hub", ["org_id"], unique=False)
    op.create_index("uq_hub_external_ref", "hub", ["external_ref"], unique=True)
    op.create_table(
        "role_grant",
        sa.Column("person_id", sa.Uuid(), nullable=False),
        sa.Column(
            "role",
            sa.Enum(
                "platform_admin",
                "officer",
                "analyst",
                "branch_secretary",
                "hub_manager",
                name="role",
                native_enum=False,
                create_constraint=True,
                length=32,
            ),
            nullable=False,
        ),
        sa.Column("org_id", sa.Uuid(), nullable=True),
        sa.Column("hub_id", sa.Uuid(), nullable=True),
        sa.Column("starts_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ends_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("granted_by", sa.Uuid(), nullable=True),
        sa.Column("reason", sa.String(length=200), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.CheckConstraint(
            "(role = 'hub_manager') = (hub_id IS NOT NULL)", name=op.f("ck_role_grant_hub_managers_on_hubs")
        ),
        sa.CheckConstraint("(org_id IS NULL) <> (hub_id IS NULL)", name=op.f("ck_role_grant_one_place")),
        sa.CheckConstraint(
            "ends_at IS NULL OR ends_at > starts_at", name=op.f("ck_role_grant_ends_after_start")
        ),
        sa.ForeignKeyConstraint(["granted_by"], ["person.id"], name=op.f("fk_role_grant_granted_by")),
        sa.ForeignKeyConstraint(["hub_id"], ["hub.id"], name=op.f("fk_role_grant_hub_id")),
        sa.ForeignKeyConstraint(["org_id"], ["org.id"], name=op.f("fk_role_grant_org_id")),
        sa.ForeignKeyConstraint(["person_id"], ["person.id"], name=op.f("fk_role_grant_person_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_role_grant")),
    )
    op.create_index("ix_role_grant_hub_id", "role_grant", ["hub_id"], unique=False)
    op.create_index("ix_role_grant_org_id", "role_grant", ["org_id"], unique=False)
    op.create_index("ix_role_grant_person_id", "role_grant", ["person_id"], unique=False)
    # ### end Alembic commands ###


def downgrade() -> None:
    op.drop_index("ix_role_grant_person_id", table_name="role_grant")
    op.drop_index("ix_role_grant_org_id", table_name="role_grant")
    op.drop_index("ix_role_grant_hub_id", table_name="role_grant")
    op.drop_table("role_grant")
    op.drop_index("uq_hub_external_ref", table_name="hub")
    op.drop_index("ix_hub_org_id", table_name="hub")
    op.drop_index("ix_hub_lat_lng", table_name="hub")
    op.drop_index("ix_hub_county_code_name", table_name="hub")
    op.drop_table("hub")
    op.drop_table("hub_kind")
    # ### end Alembic commands ###
