"""Findings come with their table and go with it; what they are about stays, on both engines."""

from __future__ import annotations

from factories import Factory
from reference import seed_reference
from sqlalchemy import inspect, text

from engage.core import migrations


def test_findings_go_with_their_table_and_what_they_are_about_stays(empty_database, frozen):
    with empty_database.writer.connect() as connection:
        migrations.upgrade(connection)
        connection.commit()
    with empty_database.transaction() as session:
        seed_reference(session)
    make = Factory(empty_database, None)
    activity = make.activity()
    make.finding(activity)
    make.finding(org=make.org(), answer="好", answered_by=make.person().id, answered_at=frozen.now)
    with empty_database.writer.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM finding")) == 2
        migrations.downgrade(connection, "0021")
        assert "finding" not in inspect(connection).get_table_names()
        connection.commit()
    with empty_database.writer.connect() as connection:
        migrations.upgrade(connection)
        assert migrations.drift(connection) == []
        assert connection.scalar(text("SELECT count(*) FROM finding")) == 0
        assert connection.scalar(text("SELECT count(*) FROM activity")) == 1
        connection.commit()
    make.finding(activity)
