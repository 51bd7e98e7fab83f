"""Going back to the release before: sessions of pages would live for months there, those of phones stay."""

from __future__ import annotations

from datetime import timedelta

from conftest import NOW
from sqlalchemy import insert, text

from engage.core import ids, migrations
from engage.identity.models import AuthSession, LoginMethod, LoginTicket, Person, RefreshToken, TicketState


def test_sessions_of_pages_end_and_those_of_phones_stay(empty_database):
    person, phone, page = ids.new_id(), ids.new_id(), ids.new_id()
    later = NOW + timedelta(hours=1)
    with empty_database.writer.connect() as connection:
        migrations.upgrade(connection)
        connection.commit()
    with empty_database.transaction() as session:
        session.add(Person(id=person, created_at=NOW, updated_at=NOW))
        session.flush()
        for key, method in ((phone, LoginMethod.WECHAT), (page, LoginMethod.QR)):
            session.execute(
                insert(AuthSession).values(
                    id=key, person_id=person, created_at=NOW, expires_at=later, method=method
                )
            )
            session.add(
                RefreshToken(token_hash=key.bytes * 2, session_id=key, issued_at=NOW, expires_at=later)
            )
        session.add(
            LoginTicket(
                secret_hash=b"x" * 32, created_at=NOW, expires_at=later, state=TicketState.USED, decided_at=NOW,
                person_id=person, phone_session_id=phone, used_at=NOW, session_id=page,
            )
        )  # fmt: skip
    with empty_database.writer.connect() as connection:
        migrations.downgrade(connection, "0014")
        left = connection.execute(text("SELECT id FROM auth_session")).all()
        assert [str(row.id).replace("-", "") for row in left] == [phone.hex]
        assert connection.execute(text("SELECT count(*) FROM refresh_token")).scalar() == 1
        migrations.upgrade(connection)
        assert connection.execute(text("SELECT method FROM auth_session")).scalar() == "wechat"
        connection.commit()
