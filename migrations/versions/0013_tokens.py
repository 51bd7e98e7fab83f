"""Devices of sessions, signing keys, API keys."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def _instant(name: str, *, nullable: bool = False) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def upgrade() -> None:
    op.add_column("auth_session", _instant("refreshed_at", nullable=True))
    op.add_column("auth_session", sa.Column("device", sa.String(length=40), nullable=True))
    op.create_table(
        "signing_key",
        sa.Column("kid", sa.String(length=32), nullable=False),
        sa.Column(
            "algorithm",
            sa.Enum(
                "HS256", "ES256", "EdDSA", name="token_algorithm", native_enum=False, create_constraint=True, length=32
            ),
            nullable=False,
        ),
        sa.Column("seed_sealed", sa.LargeBinary(), nullable=True),
        _instant("created_at"),
        _instant("signs_from"),
        _instant("verifies_until", nullable=True),
        sa.PrimaryKeyConstraint("kid", name=op.f("pk_signing_key")),
    )  # fmt: skip
    op.create_table(
        "api_key",
        sa.Column("person_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(length=60), nullable=False),
        sa.Column("public_id", sa.String(length=16), nullable=False),
        sa.Column("secret_hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("previous_hash", sa.LargeBinary(length=32), nullable=True),
        _instant("previous_until", nullable=True),
        sa.Column("scopes", sa.JSON(), nullable=False),
        sa.Column("addresses", sa.JSON(), nullable=False),
        _instant("created_at"),
        _instant("expires_at"),
        _instant("last_used_at", nullable=True),
        _instant("revoked_at", nullable=True),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.CheckConstraint("expires_at > created_at", name=op.f("ck_api_key_expires_later")),
        sa.CheckConstraint(
            "(previous_hash IS NULL) = (previous_until IS NULL)", name=op.f("ck_api_key_previous_whole")
        ),
        sa.ForeignKeyConstraint(["person_id"], ["person.id"], name=op.f("fk_api_key_person_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_key")),
    )
    op.create_index("ix_api_key_person_id_id", "api_key", ["person_id", "id"])
    op.create_index("uq_api_key_public_id", "api_key", ["public_id"], unique=True)


def downgrade() -> None:
    op.drop_table("api_key")
    op.drop_table("signing_key")
    op.drop_column("auth_session", "device")
    op.drop_column("auth_session", "refreshed_at")
