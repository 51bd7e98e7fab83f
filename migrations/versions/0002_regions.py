"""Administrative divisions."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "division",
        sa.Column("code", sa.String(length=12), nullable=False),
        sa.Column("name", sa.String(length=60), nullable=False),
        sa.Column(
            "level",
            sa.Enum(
                "province",
                "prefecture",
                "county",
                "township",
                "village",
                name="division_level",
                native_enum=False,
                create_constraint=True,
                length=32,
            ),
            nullable=False,
        ),
        sa.Column("parent_code", sa.String(length=12), nullable=True),
        sa.Column("kind", sa.String(length=10), nullable=True),
        sa.Column("mca_code", sa.String(length=12), nullable=True),
        sa.Column("lat", sa.Double(), nullable=True),
        sa.Column("lng", sa.Double(), nullable=True),
        sa.Column("point_is_placeholder", sa.Boolean(), nullable=False),
        sa.Column("retired_after", sa.Integer(), nullable=True),
        sa.Column("successor_code", sa.String(length=12), nullable=True),
        sa.Column(
            "successor_basis",
            sa.Enum(
                "same_name",
                "same_stem",
                "curated",
                name="successor_basis",
                native_enum=False,
                create_constraint=True,
                length=32,
            ),
            nullable=True,
        ),
        sa.CheckConstraint("(lat IS NULL) = (lng IS NULL)", name=op.f("ck_division_point_is_whole")),
        sa.CheckConstraint(
            "successor_code IS NULL OR retired_after IS NOT NULL",
            name=op.f("ck_division_successor_of_retired"),
        ),
        sa.ForeignKeyConstraint(["parent_code"], ["division.code"], name=op.f("fk_division_parent_code")),
        sa.ForeignKeyConstraint(
            ["successor_code"], ["division.code"], name=op.f("fk_division_successor_code")
        ),
        sa.PrimaryKeyConstraint("code", name=op.f("pk_division")),
    )
    op.create_index("ix_division_name", "division", ["name"], unique=False)
    op.create_index("ix_division_parent_code_code", "division", ["parent_code", "code"], unique=False)
    # ### end Alembic commands ###


def downgrade() -> None:
    op.drop_index("ix_division_parent_code_code", table_name="division")
    op.drop_index("ix_division_name", table_name="division")
    op.drop_table("division")
    # ### end Alembic commands ###
