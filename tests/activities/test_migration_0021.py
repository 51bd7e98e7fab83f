"""Walk-ins who were at a door when the new version came are counted."""

from __future__ import annotations

from datetime import timedelta

from factories import Factory
from reference import seed_reference
from sqlalchemy import text

from engage.activities.models import SignUpState
from engage.core import migrations


def test_walk_ins_who_are_there_are_counted(empty_database, frozen):
    with empty_database.writer.connect() as connection:
        migrations.upgrade(connection)
        connection.commit()
    with empty_database.transaction() as session:
        seed_reference(session)
    make = Factory(empty_database, None)
    activity, other = make.activity(), make.activity()
    for state, left_at in (
        (SignUpState.WALK_IN, None),
        (SignUpState.WALK_IN, frozen.now + timedelta(minutes=1)),
        (SignUpState.CONFIRMED, None),
    ):
        make.check_in(make.sign_up(activity, state=state), left_at=left_at)
    with empty_database.writer.connect() as connection:
        migrations.downgrade(connection, "0020")
        migrations.upgrade(connection)
        present = connection.execute(text("SELECT id, walk_ins_present FROM activity"))
        counted = {str(row.id).replace("-", ""): row.walk_ins_present for row in present}
        connection.commit()
    assert counted == {activity.id.hex: 1, other.id.hex: 0}
