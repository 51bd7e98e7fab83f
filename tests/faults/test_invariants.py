"""The checks themselves: each sees what it is there to see."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

import pytest

from faults.invariants import Held, Row, truth, violations
from faults.journal import Answer


def _id(number):
    return UUID(int=number)


def _row(seq, state, person=None):
    return Row(seq, _id(seq), _id(100 + (person or seq)), state)


def _held(*rows, capacity=2, taken=None, waiting=None):
    confirmed = sum(row.state == "confirmed" for row in rows)
    waitlisted = sum(row.state == "waitlisted" for row in rows)
    return Held(
        capacity, confirmed if taken is None else taken, 2, waitlisted if waiting is None else waiting, rows
    )


def _answer(verb, person, seq=None, state="confirmed", at=None, status=200, **body):
    """An answer; by default everybody asks at the same moment, so that nobody stands before anybody."""
    if seq is not None:
        body |= {"id": str(_id(seq)), "state": state}
    asked_at, answered_at = at or (0.0, 10.0 + person)
    return Answer(_id(100 + person), verb, status, body, asked_at, answered_at)


def _full(person, tries=1):
    return replace(_answer("join", person, status=409, code="activity_full"), tries=tries)


WELL = (
    _held(_row(1, "confirmed"), _row(2, "cancelled"), _row(3, "confirmed"), _row(4, "waitlisted")),
    [
        _answer("join", 1, 1),
        _answer("join", 2, 2),
        _answer("leave", 2, at=(20.0, 21.0), status=204),
        _answer("added", 3, 3, "waitlisted", status=201),
        _answer("join", 4, 4, "waitlisted"),
        _full(5),
    ],
)
ONE = _held(_row(1, "confirmed"))


def test_what_is_well_is_not_complained_about():
    assert violations(*WELL) == []


@pytest.mark.parametrize(
    ("held", "answers", "complaint"),
    [
        (_held(_row(1, "confirmed")), [], "nobody was told of"),
        (_held(), [_answer("join", 1, 1)], "the database has []"),
        (ONE, [_full(1)], "never told of"),
        (_held(_row(1, "cancelled")), [_answer("join", 1, 1)], "live should be"),
        (
            ONE,
            [_answer("join", 1, 1), _answer("leave", 1, at=(20.0, 21.0), status=204)],
            "live should be None",
        ),
        (
            _held(_row(1, "waitlisted"), capacity=0),
            [_answer("join", 1, 1)],
            "told confirmed, the database says",
        ),
        (
            _held(_row(1, "confirmed", 1), _row(2, "confirmed", 1)),
            [_answer("join", 1, 1)],
            "has 2 live sign-ups",
        ),
        (
            _held(_row(1, "cancelled", 1), _row(2, "confirmed", 1)),
            [_answer("join", 1, 2)],
            "never told of",
        ),
        (ONE, [_answer("join", 1, 1), _answer("join", 1, 7, at=(20.0, 21.0))], "was live"),
        (
            ONE,
            [_answer("join", 1, 1), _answer("join", 1, 1, "waitlisted", at=(20.0, 21.0))],
            "after confirmed",
        ),
        (
            ONE,
            [
                _answer("join", 1, 1),
                _answer("join", 1, at=(20.0, 21.0), status=409, code="activity_full"),
            ],
            "refused (activity_full)",
        ),
        (
            ONE,
            [
                _answer("join", 1, 1),
                _answer("leave", 1, at=(20.0, 21.0), status=204),
                _answer("join", 1, 1, at=(30.0, 31.0)),
            ],
            "came back after it was given up",
        ),
        (_held(_row(1, "confirmed"), capacity=0), [_answer("join", 1, 1)], "1 confirmed in 0 places"),
        (_held(*(_row(seq, "waitlisted") for seq in (1, 2, 3)), capacity=0), [], "3 waiting where 2 may"),
        (_held(_row(1, "confirmed"), taken=2), [_answer("join", 1, 1)], "counters say 2+0"),
        (_held(_row(1, "waitlisted"), waiting=0), [], "counters say 0+0"),
        (
            _held(_row(1, "waitlisted")),
            [_answer("join", 1, 1, "waitlisted")],
            "2 places are free while 1 wait",
        ),
        (
            _held(_row(1, "waitlisted"), _row(2, "confirmed"), capacity=1),
            [_answer("join", 1, 1, "waitlisted"), _answer("join", 2, 2)],
            "came earlier and waits",
        ),
        (
            _held(_row(1, "confirmed"), _row(2, "confirmed")),
            [_answer("join", 2, 2, at=(0.0, 1.0)), _answer("join", 1, 1, at=(2.0, 3.0))],
            "and stands before it",
        ),
    ],
)
def test_what_is_wrong_is_named(held, answers, complaint):
    assert [sentence for sentence in violations(held, answers) if complaint in sentence]


def test_a_try_that_was_given_up_may_still_get_a_place_after_its_repetition_was_refused():
    refused = replace(_full(1, tries=2), asked_at=1.0, answered_at=2.0)
    later = _answer("join", 1, 1, at=(5.0, 6.0))
    other = _answer("join", 2, 2, at=(3.0, 4.0))
    held = _held(_row(1, "confirmed"), _row(2, "confirmed"))
    assert violations(held, [refused, other]) == []
    assert violations(held, [refused, other, later]) == []
    assert violations(held, [replace(refused, tries=1), other]) != []
    assert violations(held, [replace(refused, tries=1), other, later]) != []


def test_who_asks_again_is_told_what_the_database_has():
    held = _held(_row(1, "confirmed"), _row(2, "waitlisted"), _row(3, "waitlisted"), capacity=1)
    right = [
        _answer("again", 1, 1, position=None),
        _answer("again", 3, 3, "waitlisted", position=2),
        _answer("look", 4, status=404),
    ]
    assert truth(held, right) == []
    wrong = [
        _answer("again", 1, 7),
        _answer("again", 2, 2, position=1),
        _answer("again", 3, 3, "waitlisted", position=1),
        _answer("look", 2, status=404),
        _answer("look", 4, 4),
    ]
    assert len(truth(held, wrong)) == len(wrong)
