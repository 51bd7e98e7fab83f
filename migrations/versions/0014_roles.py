"""Roles of delegates, inspectors and auditors; grants that are ended early; invitations."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

OLD = ("platform_admin", "officer", "analyst", "branch_secretary", "hub_manager")
NEW = ("delegate", "inspector", "auditor")
ENDED = ("ended_at", "ended_by", "end_reason")
CHECKS = {
    "nobody_grants_to_themselves": "granted_by IS NULL OR granted_by <> person_id",
    "ended_with_reason": "(ended_at IS NULL) = (end_reason IS NULL)",
    "ended_by_at_an_end": "ended_by IS NULL OR ended_at IS NOT NULL",
}
INDEXES = ("person_id", "org_id", "hub_id")
_KEPT = (
    "id", "person_id", "role", "org_id", "hub_id", "starts_at", "ends_at", "granted_by", "reason", "created_at",
)  # fmt: skip
_NEW_ROW = ", ".join(f"NEW.{name}" for name in _KEPT)
_OLD_ROW = ", ".join(f"OLD.{name}" for name in _KEPT)
# A grant is only ended, once: nobody extends one, moves it or brings it back.
POSTGRESQL = (
    f"""
    CREATE FUNCTION role_grant_keeps() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF ({_NEW_ROW}) IS DISTINCT FROM ({_OLD_ROW}) OR OLD.ended_at IS NOT NULL THEN
            RAISE EXCEPTION 'a grant is only ended, once' USING ERRCODE = 'check_violation';
        END IF;
        RETURN NEW;
    END $$
    """,
    "CREATE TRIGGER role_grant_keeps BEFORE UPDATE ON role_grant FOR EACH ROW EXECUTE FUNCTION role_grant_keeps()",
)
SQLITE = (
    f"""
    CREATE TRIGGER role_grant_keeps BEFORE UPDATE ON role_grant
    WHEN ({_NEW_ROW}) IS NOT ({_OLD_ROW}) OR OLD.ended_at IS NOT NULL
    BEGIN
        SELECT RAISE(ABORT, 'CHECK: a grant is only ended, once');
    END
    """,
)


def _is_postgresql() -> bool:
    return op.get_bind().dialect.name == "postgresql"


def _role(*values: str) -> sa.Enum:
    return sa.Enum(*values, name="role", native_enum=False, create_constraint=True, length=32)


def _instant(name: str, *, nullable: bool = False) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def _id(name: str, *, nullable: bool = True) -> sa.Column[object]:
    return sa.Column(name, sa.Uuid(), nullable=nullable)


def _place(table: str) -> list[sa.CheckConstraint]:
    return [
        sa.CheckConstraint("(role = 'hub_manager') = (hub_id IS NOT NULL)", name=op.f(f"ck_{table}_hub_managers_on_hubs")),
        sa.CheckConstraint("(org_id IS NULL) <> (hub_id IS NULL)", name=op.f(f"ck_{table}_one_place")),
    ]  # fmt: skip


def _reference(table: str, column: str, target: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint([column], [f"{target}.id"], name=op.f(f"fk_{table}_{column}"))


def _rebuild(roles: tuple[str, ...], *, ended: bool) -> None:
    """SQLite changes no CHECK: the rows move to a table that has the new ones."""
    columns = [*_KEPT]
    new: list[sa.SchemaItem] = []
    if ended:
        new += [_instant("ended_at", nullable=True), _id("ended_by"), sa.Column("end_reason", sa.String(200))]
        new += [_reference("role_grant", "ended_by", "person")]
        new += [sa.CheckConstraint(rule, name=op.f(f"ck_role_grant_{name}")) for name, rule in CHECKS.items()]
    op.execute("ALTER TABLE role_grant RENAME TO role_grant_before")
    for column in INDEXES:
        op.drop_index(f"ix_role_grant_{column}", table_name="role_grant_before")
    op.create_table(
        "role_grant",
        _id("person_id", nullable=False),
        sa.Column("role", _role(*roles), nullable=False),
        _id("org_id"),
        _id("hub_id"),
        _instant("starts_at"),
        _instant("ends_at", nullable=True),
        _id("granted_by"),
        sa.Column("reason", sa.String(length=200), nullable=False),
        _instant("created_at"),
        _id("id", nullable=False),
        *new,
        *_place("role_grant"),
        sa.CheckConstraint(
            "ends_at IS NULL OR ends_at > starts_at", name=op.f("ck_role_grant_ends_after_start")
        ),
        _reference("role_grant", "granted_by", "person"),
        _reference("role_grant", "hub_id", "hub"),
        _reference("role_grant", "org_id", "org"),
        _reference("role_grant", "person_id", "person"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_role_grant")),
    )
    names = ", ".join(columns)
    op.execute(f"INSERT INTO role_grant ({names}) SELECT {names} FROM role_grant_before")
    op.drop_table("role_grant_before")
    for column in INDEXES:
        op.create_index(f"ix_role_grant_{column}", "role_grant", [column])


def _renew_role_check(roles: tuple[str, ...]) -> None:
    op.drop_constraint(op.f("ck_role_grant_role"), "role_grant", type_="check")
    listed = ", ".join(f"'{role}'" for role in roles)
    op.create_check_constraint(op.f("ck_role_grant_role"), "role_grant", f"role IN ({listed})")


def upgrade() -> None:
    # Grants that somebody gave to themselves were never possible in the service; what came in otherwise is the machine's.
    op.execute("UPDATE role_grant SET granted_by = NULL WHERE granted_by = person_id")
    if _is_postgresql():
        _renew_role_check((*OLD, *NEW))
        op.add_column("role_grant", _instant("ended_at", nullable=True))
        op.add_column("role_grant", _id("ended_by"))
        op.add_column("role_grant", sa.Column("end_reason", sa.String(200)))
        op.create_foreign_key(op.f("fk_role_grant_ended_by"), "role_grant", "person", ["ended_by"], ["id"])
        for name, rule in CHECKS.items():
            op.create_check_constraint(op.f(f"ck_role_grant_{name}"), "role_grant", rule)
    else:
        _rebuild((*OLD, *NEW), ended=True)
    op.create_index("ix_role_grant_ends_at", "role_grant", ["ends_at"])
    for statement in POSTGRESQL if _is_postgresql() else SQLITE:
        op.execute(statement)
    op.create_table(
        "role_invitation",
        sa.Column("token_hash", sa.LargeBinary(), nullable=False),
        sa.Column("role", _role(*OLD, *NEW), nullable=False),
        _id("org_id"),
        _id("hub_id"),
        _instant("grant_ends_at", nullable=True),
        sa.Column("reason", sa.String(length=200), nullable=False),
        _id("invited_by", nullable=False),
        _instant("created_at"),
        _instant("expires_at"),
        _instant("accepted_at", nullable=True),
        _id("grant_id"),
        _instant("withdrawn_at", nullable=True),
        _id("withdrawn_by"),
        _id("id", nullable=False),
        *_place("role_invitation"),
        sa.CheckConstraint("expires_at > created_at", name=op.f("ck_role_invitation_expires_later")),
        sa.CheckConstraint(
            "(accepted_at IS NULL) = (grant_id IS NULL)", name=op.f("ck_role_invitation_accepted_with_grant")
        ),
        sa.CheckConstraint(
            "accepted_at IS NULL OR withdrawn_at IS NULL", name=op.f("ck_role_invitation_one_end")
        ),
        sa.CheckConstraint(
            "(withdrawn_at IS NULL) = (withdrawn_by IS NULL)",
            name=op.f("ck_role_invitation_withdrawn_by_somebody"),
        ),
        _reference("role_invitation", "grant_id", "role_grant"),
        _reference("role_invitation", "hub_id", "hub"),
        _reference("role_invitation", "invited_by", "person"),
        _reference("role_invitation", "org_id", "org"),
        _reference("role_invitation", "withdrawn_by", "person"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_role_invitation")),
    )
    op.create_index("uq_role_invitation_token_hash", "role_invitation", ["token_hash"], unique=True)
    op.create_index("uq_role_invitation_grant_id", "role_invitation", ["grant_id"], unique=True)
    op.create_index("ix_role_invitation_org_id", "role_invitation", ["org_id"])
    op.create_index("ix_role_invitation_hub_id", "role_invitation", ["hub_id"])


def downgrade() -> None:
    op.drop_table("role_invitation")
    if _is_postgresql():
        op.execute("DROP TRIGGER role_grant_keeps ON role_grant")
        op.execute("DROP FUNCTION role_grant_keeps()")
    else:
        op.execute("DROP TRIGGER role_grant_keeps")
    op.drop_index("ix_role_grant_ends_at", table_name="role_grant")
    # The release before knows neither the new roles nor an early end; what has ended shall stay ended.
    listed = ", ".join(f"'{role}'" for role in NEW)
    op.execute(f"DELETE FROM role_grant WHERE role IN ({listed}) OR ended_at <= starts_at")
    op.execute("UPDATE role_grant SET ends_at = ended_at WHERE ended_at IS NOT NULL")
    if _is_postgresql():
        for name in CHECKS:
            op.drop_constraint(op.f(f"ck_role_grant_{name}"), "role_grant", type_="check")
        for column in ENDED:
            op.drop_column("role_grant", column)
        _renew_role_check(OLD)
    else:
        _rebuild(OLD, ended=False)
