"""Prepared statements: what SQLAlchemy would have said, on both engines."""

from __future__ import annotations

from datetime import date
from typing import NamedTuple
from uuid import UUID

import pytest
from counting import count_statements
from sqlalchemy import Uuid, bindparam, insert, literal, select, text, update
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError
from sqlalchemy.orm import Session
from test_bad_input import required_query
from world import World

from engage.activities.models import Activity, ActivityStatus, Project, SignUp, SignUpState
from engage.app import APIS
from engage.core import clock, ids
from engage.core.http import PREFIX
from engage.core.prepared import Prepared
from engage.identity.models import Gender, Person

READS = [operation for api in APIS for operation in api.operations if operation.method == "GET"]


def test_every_reading_answer_comes_out_as_through_sqlalchemy(client, world: World, monkeypatch, subtests):
    compared = []
    prepared_all = Prepared.all

    def both(self, db, values):
        rows = prepared_all(self, db, values)
        plain = [tuple(row) for row in db.execute(self.statement(db.dialect.name), dict(values))]
        assert [tuple(row) for row in rows] == plain
        assert [[type(value) for value in row] for row in rows] == [
            [type(value) for value in row] for row in plain
        ]
        compared.append(self)
        return rows

    monkeypatch.setattr(Prepared, "all", both)
    for operation in READS:
        path = PREFIX + operation.path.format_map(
            {name: str(world.id_for(name) or "140502") for name in operation.path_parameters}
        )
        for caller in ("admin", "member", None):
            headers = {"Authorization": world.callers[caller]} if caller else {}
            with subtests.test(operation.name, caller=caller):
                answer = client.get(path, query_string=required_query(operation), headers=headers)
                assert answer.status_code < 500
    assert len({id(each) for each in compared}) > 10


def test_values_of_every_type_go_in_and_come_out_unchanged(database, make):
    person = make.person(name="张三", gender=Gender.FEMALE, birth_on=date(2004, 2, 29))
    activity = make.activity(county_codes=["140502"], members_only=True)
    statement = Prepared(
        select(
            Person.id, Person.gender, Person.birth_on, Person.phone_sealed, Activity.starts_at, Activity.members_only,
            Activity.county_codes, Activity.questions, Activity.status, Activity.capacity, Activity.lat,
        ).where(
            Person.id == bindparam("person"), Person.gender == bindparam("gender"),
            Person.birth_on == bindparam("birth_on"), Activity.starts_at == bindparam("starts_at"),
            Activity.members_only == bindparam("members_only"), Activity.status.in_([*ActivityStatus]),
        )
    )  # fmt: skip
    with database.reading() as connection:
        starts_at = connection.scalar(select(Activity.starts_at).where(Activity.id == activity.id))
        row = statement.one_or_none(
            connection,
            {"person": person.id, "gender": Gender.FEMALE, "birth_on": date(2004, 2, 29), "starts_at": starts_at, "members_only": True},
        )  # fmt: skip
    assert row == (
        person.id, Gender.FEMALE, date(2004, 2, 29), None, starts_at, True, ["140502"], activity.questions,
        ActivityStatus.PUBLISHED, activity.capacity, None,
    )  # fmt: skip
    assert isinstance(row[0], UUID)
    assert isinstance(row[1], Gender)
    assert row[5] is True
    assert row[4].utcoffset() is not None


def test_rows_can_have_names(database):
    class Pair(NamedTuple):
        word: str
        flag: bool

    with database.reading() as connection:
        row = Prepared(select(literal("text"), literal(value=True)), Pair).one_or_none(connection, {})
    assert row == Pair("text", True)
    assert (row.word, row.flag) == ("text", True)


def test_each_dialect_may_have_its_own_words(database):
    texts = {
        name: text(f"SELECT '{name}' WHERE :yes = 1").columns(literal("").label("name"))
        for name in ("postgresql", "sqlite")
    }
    with database.reading() as connection:
        row = Prepared(texts).one_or_none(connection, {"yes": 1})
    assert row == (connection.dialect.name,)


def test_on_a_session_it_sees_what_was_not_yet_flushed(database):
    person_id, now = ids.new_id(), clock.now()
    with database.transaction() as session:
        session.add(Person(id=person_id, name="新来的", created_at=now, updated_at=now))
        found = Prepared(select(Person.name).where(Person.id == bindparam("id"))).all(
            session, {"id": person_id}
        )
    assert found == [("新来的",)]


def test_on_a_session_it_is_rolled_back_with_it_even_as_its_first_statement(database, make):
    person = make.person(name="原来的")
    rename = Prepared(update(Person).where(Person.id == bindparam("who")).values(name="改过的"))
    for _ in range(2):  # prepared anew, and prepared already
        with Session(database.writer) as session:
            rename.all(session, {"who": person.id})
            session.rollback()
    with database.reading() as connection:
        assert connection.scalar(select(Person.name).where(Person.id == person.id)) == "原来的"


def test_more_than_one_row_is_not_none_or_one(database):
    two = select(literal(1)).union_all(select(literal(2)))
    with database.reading() as connection, pytest.raises(ValueError, match="too many values"):
        Prepared(two).one_or_none(connection, {})


def test_a_connection_keeps_few_statements_and_those_prepared_last(database):
    statements = [Prepared(select(literal(f"{number}").label(f"n{number}"))) for number in range(60)]
    with database.reading() as connection:
        for _ in range(2):
            for number, statement in enumerate(statements):
                assert statement.all(connection, {}) == [(str(number),)]
        kept = connection.connection.info["engage.statements"]
        assert [sql.split("n")[-1] for sql in kept] == [str(number) for number in range(12, 60)]
        if not database.is_sqlite:
            at_the_server = "SELECT count(*) FROM pg_prepared_statements WHERE name LIKE 'engage%%'"
            assert connection.exec_driver_sql(at_the_server).scalar() == 48
            connection.exec_driver_sql("DEALLOCATE ALL")
            assert statements[0].all(connection, {}) == [("0",)]


def test_a_connection_that_forgot_its_statements_learns_them_again(database):
    if database.is_sqlite:
        return
    with database.reading() as connection:
        one = Prepared(select(literal("1").label("one")))
        one.all(connection, {})
        connection.exec_driver_sql("DEALLOCATE ALL")
        assert one.all(connection, {}) == [("1",)]


def test_it_is_counted_as_any_statement(app, database):
    with count_statements(app) as sent, database.reading() as connection:
        Prepared(select(literal(1))).all(connection, {})
    assert len(sent) == 1


@pytest.mark.parametrize(
    "statement",
    [
        insert(Project).values(name=bindparam("given")).returning(Project.id),
        select(Person.id).where(Person.id.in_(bindparam("ids", expanding=True))),
    ],
    ids=["defaults of columns", "a list of values"],
)
def test_what_it_cannot_do_is_refused(database, statement):
    with database.reading() as connection, pytest.raises(TypeError):
        Prepared(statement).all(connection, {"given": "x", "ids": []})


def test_a_violated_constraint_is_named_as_sqlalchemy_names_it(database, make):
    person = make.person()
    again = Prepared(
        text("INSERT INTO person (id) VALUES (:id) RETURNING id")
        .bindparams(bindparam("id", type_=Uuid()))
        .columns(Person.id)
    )
    with database.reading() as connection, pytest.raises(IntegrityError):
        again.all(connection, {"id": person.id})
    with database.reading() as connection:
        assert Prepared(select(literal(1))).all(connection, {}) == [(1,)]


def test_wrong_sql_is_named_as_sqlalchemy_names_it(database):
    with database.reading() as connection, pytest.raises(DBAPIError):
        Prepared(text("SELECT nothing_such").columns(Person.id)).all(connection, {})


def test_connections_that_were_cut_are_replaced(client, database, make):
    make.activity()
    assert client.get("/v1/activities").status_code == 200
    if database.is_sqlite:  # a file has no server to lose
        return
    cut = text(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    with database.writer.connect() as connection:
        connection.execute(cut)
    answers = [client.get("/v1/activities").status_code for _ in range(3)]
    database.writer.dispose()
    assert answers == [503, 200, 200]


def test_a_statement_that_took_too_long_does_not_spoil_its_connection(database):
    if database.is_sqlite:  # it has no statement time-out
        return
    slow = Prepared(text("SELECT pg_sleep(2)").columns(Person.name))
    with database.reading() as connection:
        connection.execute(text("SET statement_timeout = 50"))
        with pytest.raises(OperationalError):
            slow.all(connection, {})
        assert Prepared(select(literal(1))).all(connection, {}) == [(1,)]
        connection.execute(text("RESET statement_timeout"))


def test_what_is_fixed_is_written_into_the_statement(database, app):
    """A partial index serves ``state <> 'cancelled'``, never ``state <> $1``."""
    quoted = literal("it's 100 % \\ “so”")
    statement = Prepared(
        select(quoted, SignUp.id).where(
            SignUp.state != SignUpState.CANCELLED, SignUp.person_id == bindparam("me")
        )
    )
    with count_statements(app) as sent, database.reading() as connection:
        assert statement.all(connection, {"me": ids.new_id()}) == []
        assert Prepared(select(quoted)).all(connection, {}) == [("it's 100 % \\ “so”",)]
    assert "state != 'cancelled'" in sent[0]
