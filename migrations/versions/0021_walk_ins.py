"""How many walk-ins are there: from the close of the queue on they use up free places."""

from __future__ import annotations

from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # As text: SQLite takes a CHECK with a new column only so, and Alembic would build the table anew without its triggers.
    op.execute(
        "ALTER TABLE activity ADD COLUMN walk_ins_present INTEGER DEFAULT 0 NOT NULL"
        " CONSTRAINT ck_activity_walk_ins_present_not_negative CHECK (walk_ins_present >= 0)"
    )
    op.execute(
        """
        UPDATE activity SET walk_ins_present = (
            SELECT count(*) FROM check_in JOIN sign_up ON sign_up.id = check_in.sign_up_id
            WHERE check_in.activity_id = activity.id AND check_in.left_at IS NULL AND sign_up.state = 'walk_in'
        )
        WHERE EXISTS (SELECT 1 FROM sign_up WHERE sign_up.activity_id = activity.id AND sign_up.state = 'walk_in')
        """
    )


def downgrade() -> None:
    op.drop_column("activity", "walk_ins_present")
