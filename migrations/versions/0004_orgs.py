"""Organisation tree, clusters, membership."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "org_kind",
        sa.Column("code", sa.String(length=40), nullable=False),
        sa.Column("name_zh", sa.String(length=40), nullable=False),
        sa.Column("name_en", sa.String(length=80), nullable=False),
        sa.PrimaryKeyConstraint("code", name=op.f("pk_org_kind")),
    )
    op.create_table(
        "cluster",
        sa.Column("name", sa.String(length=80), nullable=False),
        sa.Column(
            "kind",
            sa.Enum(
                "area", "trade", name="cluster_kind", native_enum=False, create_constraint=True, length=32
            ),
            nullable=False,
        ),
        sa.Column("division_code", sa.String(length=12), nullable=True),
        sa.Column("external_ref", sa.String(length=64), nullable=True),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(["division_code"], ["division.code"], name=op.f("fk_cluster_division_code")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_cluster")),
    )
    op.create_index("uq_cluster_external_ref", "cluster", ["external_ref"], unique=True)
    op.create_table(
        "org",
        sa.Column("name", sa.String(length=80), nullable=False),
        sa.Column("kind_code", sa.String(length=40), nullable=False),
        sa.Column("parent_id", sa.Uuid(), nullable=True),
        sa.Column("division_code", sa.String(length=12), nullable=True),
        sa.Column(
            "status",
            sa.Enum(
                "active",
                "merged",
                "dissolved",
                name="org_status",
                native_enum=False,
                create_constraint=True,
                length=32,
            ),
            nullable=False,
        ),
        sa.Column("established_on", sa.Date(), nullable=True),
        sa.Column("external_ref", sa.String(length=64), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["division_code"], ["division.code"], name=op.f("fk_org_division_code")),
        sa.ForeignKeyConstraint(["kind_code"], ["org_kind.code"], name=op.f("fk_org_kind_code")),
        sa.ForeignKeyConstraint(["parent_id"], ["org.id"], name=op.f("fk_org_parent_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_org")),
    )
    op.create_index("ix_org_division_code", "org", ["division_code"], unique=False)
    op.create_index("ix_org_parent_id_name", "org", ["parent_id", "name"], unique=False)
    op.create_index("uq_org_external_ref", "org", ["external_ref"], unique=True)
    op.create_table(
        "cluster_member",
        sa.Column("cluster_id", sa.Uuid(), nullable=False),
        sa.Column("org_id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(["cluster_id"], ["cluster.id"], name=op.f("fk_cluster_member_cluster_id")),
        sa.ForeignKeyConstraint(["org_id"], ["org.id"], name=op.f("fk_cluster_member_org_id")),
        sa.PrimaryKeyConstraint("cluster_id", "org_id", name=op.f("pk_cluster_member")),
    )
    op.create_index("ix_cluster_member_org_id", "cluster_member", ["org_id"], unique=False)
    op.create_table(
        "membership",
        sa.Column("person_id", sa.Uuid(), nullable=False),
        sa.Column("org_id", sa.Uuid(), nullable=False),
        sa.Column(
            "status",
            sa.Enum(
                "member",
                "aged_out",
                name="membership_status",
                native_enum=False,
                create_constraint=True,
                length=32,
            ),
            nullable=False,
        ),
        sa.Column("external_ref", sa.String(length=64), nullable=True),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["org_id"], ["org.id"], name=op.f("fk_membership_org_id")),
        sa.ForeignKeyConstraint(["person_id"], ["person.id"], name=op.f("fk_membership_person_id")),
        sa.PrimaryKeyConstraint("person_id", name=op.f("pk_membership")),
    )
    op.create_index("ix_membership_org_id", "membership", ["org_id"], unique=False)
    op.create_table(
        "org_path",
        sa.Column("ancestor_id", sa.Uuid(), nullable=False),
        sa.Column("descendant_id", sa.Uuid(), nullable=False),
        sa.Column("depth", sa.Integer(), nullable=False),
        sa.CheckConstraint(
            "(depth = 0) = (ancestor_id = descendant_id)", name=op.f("ck_org_path_self_is_depth_zero")
        ),
        sa.CheckConstraint("depth >= 0", name=op.f("ck_org_path_depth_not_negative")),
        sa.ForeignKeyConstraint(["ancestor_id"], ["org.id"], name=op.f("fk_org_path_ancestor_id")),
        sa.ForeignKeyConstraint(["descendant_id"], ["org.id"], name=op.f("fk_org_path_descendant_id")),
        sa.PrimaryKeyConstraint("ancestor_id", "descendant_id", name=op.f("pk_org_path")),
    )
    op.create_index("ix_org_path_descendant_id", "org_path", ["descendant_id", "depth"], unique=False)
    # ### end Alembic commands ###


def downgrade() -> None:
    op.drop_index("ix_org_path_descendant_id", table_name="org_path")
    op.drop_table("org_path")
    op.drop_index("ix_membership_org_id", table_name="membership")
    op.drop_table("membership")
    op.drop_index("ix_cluster_member_org_id", table_name="cluster_member")
    op.drop_table("cluster_member")
    op.drop_index("uq_org_external_ref", table_name="org")
    op.drop_index("ix_org_parent_id_name", table_name="org")
    op.drop_index("ix_org_division_code", table_name="org")
    op.drop_table("org")
    op.drop_index("uq_cluster_external_ref", table_name="cluster")
    op.drop_table("cluster")
    op.drop_table("org_kind")
    # ### end Alembic commands ###
