"""How a session began; tickets with which a web page is logged in by a phone."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

_ASKED = ("id", "secret_hash", "device", "created_at", "expires_at")
_DECIDED = ("person_id", "phone_session_id", "decided_at")


def _differ(columns: tuple[str, ...], operator: str) -> str:
    new, old = (", ".join(f"{row}.{column}" for column in columns) for row in ("NEW", "OLD"))
    return f"({new}) {operator} ({old})"


def _wrong(operator: str) -> str:
    """Say when a change is none of: a decision about a pending ticket, the use of a confirmed one."""
    return (
        f"{_differ(_ASKED, operator)} OR NOT (OLD.state = 'pending' AND NEW.state IN ('confirmed', 'rejected')"
        f" OR OLD.state = 'confirmed' AND NEW.state = 'used' AND NOT ({_differ(_DECIDED, operator)}))"
    )


POSTGRESQL = (
    f"""
    CREATE FUNCTION login_ticket_moves() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF {_wrong("IS DISTINCT FROM")} THEN
            RAISE EXCEPTION 'a ticket is decided once and used once' USING ERRCODE = 'check_violation';
        END IF;
        RETURN NEW;
    END $$
    """,
    "CREATE TRIGGER login_ticket_moves BEFORE UPDATE ON login_ticket FOR EACH ROW EXECUTE FUNCTION login_ticket_moves()",
)
SQLITE = (
    f"""
    CREATE TRIGGER login_ticket_moves BEFORE UPDATE ON login_ticket WHEN {_wrong("IS NOT")}
    BEGIN
        SELECT RAISE(ABORT, 'CHECK: a ticket is decided once and used once');
    END
    """,
)
CHECKS = {
    "expires_later": "expires_at > created_at",
    "decided_in_time": "decided_at IS NULL OR decided_at < expires_at",
    "decided_at_an_instant": "(state = 'pending') = (decided_at IS NULL)",
    "decided_by_somebody": (
        "(decided_at IS NULL) = (person_id IS NULL) AND (decided_at IS NULL) = (phone_session_id IS NULL)"
    ),
    "used_for_a_session": (
        "(state = 'used') = (session_id IS NOT NULL) AND (state = 'used') = (used_at IS NOT NULL)"
    ),
}


def _is_postgresql() -> bool:
    return op.get_bind().dialect.name == "postgresql"


def _instant(name: str, *, nullable: bool = False) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def _of_session(column: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        [column], ["auth_session.id"], name=op.f(f"fk_login_ticket_{column}"), ondelete="CASCADE"
    )


def upgrade() -> None:
    op.execute(
        "ALTER TABLE auth_session ADD COLUMN method VARCHAR(32) DEFAULT 'wechat' NOT NULL"
        " CONSTRAINT ck_auth_session_login_method CHECK (method IN ('wechat', 'qr'))"
    )
    op.create_table(
        "login_ticket",
        sa.Column("secret_hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("device", sa.String(length=40), nullable=True),
        sa.Column(
            "state",
            sa.Enum(
                "pending", "confirmed", "rejected", "used",
                name="ticket_state", native_enum=False, create_constraint=True, length=32,
            ),
            nullable=False,
        ),
        _instant("created_at"),
        _instant("expires_at"),
        _instant("decided_at", nullable=True),
        sa.Column("person_id", sa.Uuid(), nullable=True),
        sa.Column("phone_session_id", sa.Uuid(), nullable=True),
        _instant("used_at", nullable=True),
        sa.Column("session_id", sa.Uuid(), nullable=True),
        sa.Column("id", sa.Uuid(), nullable=False),
        *(sa.CheckConstraint(rule, name=op.f(f"ck_login_ticket_{name}")) for name, rule in CHECKS.items()),
        sa.ForeignKeyConstraint(["person_id"], ["person.id"], name=op.f("fk_login_ticket_person_id")),
        _of_session("phone_session_id"),
        _of_session("session_id"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_login_ticket")),
    )  # fmt: skip
    op.create_index("ix_login_ticket_expires_at", "login_ticket", ["expires_at"])
    op.create_index("ix_login_ticket_phone_session_id", "login_ticket", ["phone_session_id"])
    op.create_index("uq_login_ticket_session_id", "login_ticket", ["session_id"], unique=True)
    for statement in POSTGRESQL if _is_postgresql() else SQLITE:
        op.execute(statement)


def downgrade() -> None:
    op.drop_table("login_ticket")
    if _is_postgresql():
        op.execute("DROP FUNCTION login_ticket_moves()")
    # The release before would let a page that stays open on a shared machine live for months.
    op.execute(
        "DELETE FROM refresh_token WHERE session_id IN (SELECT id FROM auth_session WHERE method = 'qr')"
    )
    op.execute("DELETE FROM auth_session WHERE method = 'qr'")
    op.drop_column("auth_session", "method")
