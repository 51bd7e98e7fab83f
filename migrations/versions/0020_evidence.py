"""Nobody passes a draw or a review, and what a draw can be checked by stays: refused by the database itself."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

# Draws that are there are of the first algorithm, which took the public number as it was typed, and so are those of an older version.
ALGORITHM = (
    "algorithm VARCHAR(40) DEFAULT 'engage-draw-1' NOT NULL CONSTRAINT ck_lottery_draw_public_value_in_digits"
    " CHECK (algorithm = 'engage-draw-1' OR (public_value <> '' AND trim(public_value, '0123456789') = ''))"
)
COMMITTED = ("activity_id", "commitment", "algorithm", "public_source", "first_time_weight")
CLOSED = ("closed_at", "entries", "entries_digest")
DRAWN = ("sealed_seed", "draws_at", "public_value", "seed", "places", "withdrawn", "drawn_at", "drawn_by")
JSON = ("places", "withdrawn")  # PostgreSQL compares no json

IN_QUEUE = "('confirmed', 'offered', 'waitlisted')"
IS_LIVE = "SELECT 1 FROM sign_up WHERE activity_id = NEW.id AND state <> 'cancelled'"
IS_SETTLED = "EXISTS (SELECT 1 FROM lottery_draw WHERE activity_id = NEW.id AND settled_at IS NOT NULL)"
IS_DRAWN = "EXISTS (SELECT 1 FROM lottery_draw WHERE activity_id = NEW.activity_id AND drawn_at IS NOT NULL)"
HAS_ENTRIES = "EXISTS (SELECT 1 FROM activity WHERE id = OLD.activity_id AND applied > 0)"
# A place or a turn comes of the draw, of a decision or of staff; from an application it comes by way of the queue.
NOT_ADMITTED_ANEW = (
    "SELECT 1 FROM activity WHERE id = NEW.activity_id AND ("
    "admission_mode = 'lottery' AND NOT drawn OR admission_mode = 'review' AND NEW.added_by IS NULL)"
)
NOT_ADMITTED = (
    "SELECT 1 FROM activity WHERE id = NEW.activity_id AND admission_mode <> 'first_come' AND (NEW.state <> 'waitlisted'"
    f" OR admission_mode = 'lottery' AND NOT {IS_DRAWN} OR admission_mode = 'review' AND NEW.decided_at IS NULL)"
)
# The draw numbers each entry once; who was ranked is not ranked anew.
NOT_RANKED = (
    "SELECT 1 FROM activity WHERE id = NEW.activity_id AND admission_mode = 'lottery'"
    f" AND (OLD.rank <> 1000000 OR NOT {IS_DRAWN})"
)
MODE_STAYS = "how places are given stays while somebody is in"
DRAWN_BY_DRAW = "a lottery is drawn when its draw is settled"
BY_REVIEW_OR_DRAW = "a place is given by review or draw"
RANKED_BY_DRAW = "a rank is given by the draw, once"
BEGINS = "a draw begins with its commitment"
STAYS = "a draw with entries stays"
COMMITTED_STAYS = "what a draw was committed to stays"
CLOSED_STAYS = "entries that are closed stay"
DRAWN_STAYS = "what was drawn stays"


def _changes(columns: tuple[str, ...], unlike: str, cast: str = "") -> str:
    def compared(row: str, column: str) -> str:
        return f"{row}.{column}{cast if column in JSON else ''}"

    return " OR ".join(f"{compared('NEW', name)} {unlike} {compared('OLD', name)}" for name in columns)


def _postgresql() -> list[str]:
    def function(name: str, *refusals: tuple[str, str], returns: str) -> str:
        checks = "".join(
            f"IF {condition} THEN RAISE EXCEPTION '{said}' USING ERRCODE = 'check_violation'; END IF;\n"
            for condition, said in refusals
        )
        return f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN\n{checks}RETURN {returns};\nEND $$"

    def changes(columns: tuple[str, ...]) -> str:
        return f"({_changes(columns, 'IS DISTINCT FROM', '::text')})"

    return [
        function(
            "activity_keeps_admission",
            (f"NEW.admission_mode <> OLD.admission_mode AND EXISTS ({IS_LIVE})", MODE_STAYS),
            (f"NEW.drawn <> {IS_SETTLED}", DRAWN_BY_DRAW),
            returns="NEW",
        ),
        """
        CREATE TRIGGER activity_keeps_admission BEFORE UPDATE OF admission_mode, drawn ON activity FOR EACH ROW
        WHEN (NEW.admission_mode <> OLD.admission_mode OR NEW.drawn <> OLD.drawn) EXECUTE FUNCTION activity_keeps_admission()
        """,
        function("activity_begins_undrawn", ("true", DRAWN_BY_DRAW), returns="NEW"),
        """
        CREATE TRIGGER activity_begins_undrawn BEFORE INSERT ON activity FOR EACH ROW
        WHEN (NEW.drawn) EXECUTE FUNCTION activity_begins_undrawn()
        """,
        function("sign_up_arrives", (f"EXISTS ({NOT_ADMITTED_ANEW})", BY_REVIEW_OR_DRAW), returns="NULL"),
        f"""
        CREATE TRIGGER sign_up_arrives AFTER INSERT ON sign_up FOR EACH ROW
        WHEN (NEW.state IN {IN_QUEUE}) EXECUTE FUNCTION sign_up_arrives()
        """,
        function("sign_up_admitted", (f"EXISTS ({NOT_ADMITTED})", BY_REVIEW_OR_DRAW), returns="NULL"),
        f"""
        CREATE TRIGGER sign_up_admitted AFTER UPDATE OF state ON sign_up FOR EACH ROW
        WHEN (NEW.state IN {IN_QUEUE} AND OLD.state NOT IN {IN_QUEUE}) EXECUTE FUNCTION sign_up_admitted()
        """,
        function("sign_up_ranked", (f"EXISTS ({NOT_RANKED})", RANKED_BY_DRAW), returns="NULL"),
        """
        CREATE TRIGGER sign_up_ranked AFTER UPDATE OF rank ON sign_up FOR EACH ROW
        WHEN (NEW.rank <> OLD.rank) EXECUTE FUNCTION sign_up_ranked()
        """,
        function(
            "lottery_draw_begins",
            ("NEW.closed_at IS NOT NULL", BEGINS),
            returns="NEW",
        ),
        """
        CREATE TRIGGER lottery_draw_begins BEFORE INSERT ON lottery_draw FOR EACH ROW EXECUTE FUNCTION lottery_draw_begins()
        """,
        function(
            "lottery_draw_keeps",
            ("NEW.activity_id <> OLD.activity_id", COMMITTED_STAYS),
            (
                f"(OLD.closed_at IS NOT NULL OR {HAS_ENTRIES}) AND {changes(COMMITTED)}",
                COMMITTED_STAYS,
            ),
            (f"OLD.closed_at IS NOT NULL AND {changes(CLOSED)}", CLOSED_STAYS),
            (f"OLD.drawn_at IS NOT NULL AND {changes(DRAWN)}", DRAWN_STAYS),
            (f"OLD.settled_at IS NOT NULL AND {changes(('settled_at',))}", DRAWN_STAYS),
            returns="NEW",
        ),
        """
        CREATE TRIGGER lottery_draw_keeps BEFORE UPDATE ON lottery_draw FOR EACH ROW EXECUTE FUNCTION lottery_draw_keeps()
        """,
        function(
            "lottery_draw_stays",
            (f"OLD.closed_at IS NOT NULL OR {HAS_ENTRIES}", STAYS),
            returns="OLD",
        ),
        """
        CREATE TRIGGER lottery_draw_stays BEFORE DELETE ON lottery_draw FOR EACH ROW EXECUTE FUNCTION lottery_draw_stays()
        """,
        function("lottery_draw_not_emptied", ("true", STAYS), returns="NULL"),
        """
        CREATE TRIGGER lottery_draw_not_emptied BEFORE TRUNCATE ON lottery_draw
        FOR EACH STATEMENT EXECUTE FUNCTION lottery_draw_not_emptied()
        """,
    ]


def _sqlite() -> list[str]:
    def trigger(name: str, event: str, *refusals: tuple[str, str]) -> str:
        checks = " ".join(f"SELECT RAISE(ABORT, 'CHECK: {said}') WHERE {when};" for when, said in refusals)
        return f"CREATE TRIGGER {name} {event} BEGIN {checks} END"

    def changes(columns: tuple[str, ...]) -> str:
        return f"({_changes(columns, 'IS NOT')})"

    return [
        trigger(
            "activity_keeps_admission",
            "BEFORE UPDATE OF admission_mode, drawn ON activity",
            (f"NEW.admission_mode <> OLD.admission_mode AND EXISTS ({IS_LIVE})", MODE_STAYS),
            (f"NEW.drawn <> OLD.drawn AND NEW.drawn <> {IS_SETTLED}", DRAWN_BY_DRAW),
        ),
        trigger("activity_begins_undrawn", "BEFORE INSERT ON activity", ("NEW.drawn", DRAWN_BY_DRAW)),
        trigger(
            "sign_up_arrives",
            f"AFTER INSERT ON sign_up WHEN NEW.state IN {IN_QUEUE}",
            (f"EXISTS ({NOT_ADMITTED_ANEW})", BY_REVIEW_OR_DRAW),
        ),
        trigger(
            "sign_up_admitted",
            f"AFTER UPDATE OF state ON sign_up WHEN NEW.state IN {IN_QUEUE} AND OLD.state NOT IN {IN_QUEUE}",
            (f"EXISTS ({NOT_ADMITTED})", BY_REVIEW_OR_DRAW),
        ),
        trigger(
            "sign_up_ranked",
            "AFTER UPDATE OF rank ON sign_up WHEN NEW.rank <> OLD.rank",
            (f"EXISTS ({NOT_RANKED})", RANKED_BY_DRAW),
        ),
        # OR REPLACE deletes without a DELETE that a trigger would see.
        trigger(
            "lottery_draw_begins",
            "BEFORE INSERT ON lottery_draw",
            ("NEW.closed_at IS NOT NULL", BEGINS),
            ("EXISTS (SELECT 1 FROM lottery_draw WHERE activity_id = NEW.activity_id)", STAYS),
        ),
        trigger(
            "lottery_draw_keeps",
            "BEFORE UPDATE ON lottery_draw",
            ("NEW.activity_id <> OLD.activity_id", COMMITTED_STAYS),
            (f"(OLD.closed_at IS NOT NULL OR {HAS_ENTRIES}) AND {changes(COMMITTED)}", COMMITTED_STAYS),
            (f"OLD.closed_at IS NOT NULL AND {changes(CLOSED)}", CLOSED_STAYS),
            (f"OLD.drawn_at IS NOT NULL AND {changes(DRAWN)}", DRAWN_STAYS),
            (f"OLD.settled_at IS NOT NULL AND {changes(('settled_at',))}", DRAWN_STAYS),
        ),
        trigger(
            "lottery_draw_stays",
            "BEFORE DELETE ON lottery_draw",
            (f"OLD.closed_at IS NOT NULL OR {HAS_ENTRIES}", STAYS),
        ),
    ]


TRIGGERS = {
    "activity_keeps_admission": "activity",
    "activity_begins_undrawn": "activity",
    "sign_up_arrives": "sign_up",
    "sign_up_admitted": "sign_up",
    "sign_up_ranked": "sign_up",
    "lottery_draw_begins": "lottery_draw",
    "lottery_draw_keeps": "lottery_draw",
    "lottery_draw_stays": "lottery_draw",
    "lottery_draw_not_emptied": "lottery_draw",
}


def _is_postgresql() -> bool:
    return op.get_bind().dialect.name == "postgresql"


def upgrade() -> None:
    op.execute(f"ALTER TABLE lottery_draw ADD COLUMN {ALGORITHM}")
    applied = sa.text("state = 'applied'")
    op.create_index(
        "ix_sign_up_applied", "sign_up", ["activity_id"], postgresql_where=applied, sqlite_where=applied
    )
    for statement in _postgresql() if _is_postgresql() else _sqlite():
        op.execute(statement)


def downgrade() -> None:
    for trigger, table in TRIGGERS.items():
        if _is_postgresql():
            op.execute(f"DROP TRIGGER {trigger} ON {table}")
            op.execute(f"DROP FUNCTION {trigger}()")
        else:
            op.execute(f"DROP TRIGGER IF EXISTS {trigger}")
    op.drop_index("ix_sign_up_applied", table_name="sign_up")
    op.drop_column("lottery_draw", "algorithm")
