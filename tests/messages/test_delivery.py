"""From the outbox to the inboxes: exactly once, by several workers, whatever fails."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from threading import Barrier, Thread

import pytest
from counting import count_statements
from sqlalchemy import select, update

from engage.core import clock
from engage.messages import service
from engage.messages.models import Message, MessageKind, OutboxEntry


def leave(database, people, title="青年夜校"):
    with database.transaction() as session:
        service.enqueue_all(
            session,
            clock.now(),
            [person.id for person in people],
            MessageKind.SIGN_UP_WAITLISTED,
            activity_id="x",
            title=title,
        )


def delivered(database):
    with database.reading() as connection:
        return Counter(connection.scalars(select(Message.person_id)))


def test_what_was_rolled_back_is_told_to_nobody(database, make, frozen):
    person = make.person()
    with database.transaction() as session:
        service.enqueue(
            session, clock.now(), person.id, MessageKind.SIGN_UP_WAITLISTED, activity_id="x", title="x"
        )
        session.rollback()
    assert service.deliver_due(database) == 0
    assert delivered(database) == {}


def test_entries_are_delivered_in_order_and_once(database, make, frozen):
    person = make.person()
    for title in "甲乙丙":
        leave(database, [person], title)
    assert service.deliver_due(database, limit=2) == 2
    assert service.deliver_due(database, limit=2) == 1
    assert service.deliver_due(database, limit=2) == 0
    with database.reading() as connection:
        params = connection.scalars(select(Message.params).order_by(Message.id)).all()
    assert [each["title"] for each in params] == ["甲", "乙", "丙"]


def test_an_idle_round_is_one_read(app, database, frozen):
    with count_statements(app) as sent:
        assert service.deliver_due(database) == 0
    assert len(sent) == 1


def test_an_entry_delivered_again_after_a_crash_makes_no_second_message(database, make, frozen):
    leave(database, [make.person()])
    service.deliver_due(database)
    with database.transaction() as session:
        session.execute(update(OutboxEntry).values(delivered_at=None))
    assert service.deliver_due(database) == 1
    assert list(delivered(database).values()) == [1]


def test_an_entry_that_fails_stops_no_other_and_is_tried_again_later(database, make, frozen, monkeypatch):
    unlucky, lucky = make.person(), make.person()
    leave(database, [unlucky, lucky])
    original = service._deliver

    def fail(session, entry, params):
        original(session, entry, params)
        if entry.person_id == unlucky.id:
            raise RuntimeError("no")

    monkeypatch.setattr(service, "_deliver", fail)
    assert service.deliver_due(database) == 1
    assert delivered(database) == {lucky.id: 1}
    monkeypatch.undo()
    assert service.deliver_due(database) == 0
    frozen.move(seconds=20)
    assert service.deliver_due(database) == 1
    assert delivered(database) == {lucky.id: 1, unlucky.id: 1}


def test_pauses_grow_to_an_hour(database, make, frozen, monkeypatch):
    leave(database, [make.person()])

    def fail(_session, _entry):
        raise RuntimeError

    monkeypatch.setattr(service, "_deliver", fail)
    pauses = []
    for _ in range(20):
        assert service.deliver_due(database) == 0
        with database.reading() as connection:
            attempts, due = connection.execute(select(OutboxEntry.attempts, OutboxEntry.available_at)).one()
        pauses.append((due - clock.now()).total_seconds())
        frozen.set(due)
    assert attempts == 20
    assert pauses[:3] == [20, 40, 80]
    assert pauses[-1] == timedelta(hours=1).total_seconds()


def test_several_workers_deliver_everything_once(database, make, frozen):
    people = [make.person() for _ in range(5)]
    for _ in range(20):
        leave(database, people)
    start, counts = Barrier(4), []

    def work():
        start.wait()
        while count := service.deliver_due(database, limit=7):
            counts.append(count)

    workers = [Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    # A worker that found everything locked may have left early; what is left is for the next round.
    while count := service.deliver_due(database):
        counts.append(count)
    assert sum(counts) == 100
    assert delivered(database) == {person.id: 20 for person in people}


@pytest.mark.parametrize(
    "settings", ["postgresql"], indirect=True
)  # SQLite has one writer: nothing to pass over
def test_on_postgresql_a_worker_passes_over_what_another_holds(database, make, frozen):
    leave(database, [make.person(), make.person()])
    with database.transaction() as other:
        other.execute(select(OutboxEntry.seq).order_by(OutboxEntry.seq).limit(1).with_for_update())
        assert service.deliver_due(database) == 1
    assert service.deliver_due(database) == 1
