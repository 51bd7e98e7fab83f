"""Answer against close, and two who close: one of them wins, and the other is told."""

from __future__ import annotations

from functools import partial

import pytest
from racing import at_once

from engage.orgs.models import Role

ROUNDS = 8


@pytest.fixture
def write(land, at):
    def write():
        answer = at(land.inspector).write(activity_id=str(land.activity.id))
        return answer.json, at(land.inspector).read(answer.json).headers["ETag"]

    return write


def count(letters):
    return sum(kind == "finding_answered" for _, kind, _ in letters)


def test_an_answer_races_the_close(land, at, write, told):
    """Read at the same version one is refused; whoever takes any version meets either an open finding or a closed one."""
    clerk, inspector = at(land.clerk), at(land.inspector)
    for number in range(ROUNDS):
        finding, tag = write()
        version = tag if number % 2 else "*"
        before = count(told())
        answered, closed = at_once(
            [partial(clerk.answer, finding, version=version), partial(inspector.close, finding, version=version)]
        )  # fmt: skip
        codes = (answered.status_code, closed.status_code)
        assert codes in ({(200, 412), (412, 200)} if number % 2 else {(200, 200), (409, 200)})
        after = inspector.read(finding).json
        assert (after["answer"] is not None) == (answered.status_code == 200)
        assert (after["state"] == "closed") == (closed.status_code == 200)
        assert count(told()) - before == (answered.status_code == 200)


def test_whoever_answers_and_settles_at_once_does_one_of_both(land, at, write):
    for _ in range(ROUNDS):
        finding, _ = write()
        one, other = at(land.officer), at(land.officer)
        answered, closed = at_once([partial(one.answer, finding), partial(other.close, finding)])
        codes = (answered.status_code, closed.status_code)
        assert codes in {(200, 403), (409, 200)}


def test_of_many_who_close_one_does(land, at, write, make):
    above = make.staff(Role.INSPECTOR, org=land.city)
    for _ in range(ROUNDS):
        finding, _ = write()
        answers = at_once(
            [
                partial(at(land.inspector).close, finding, "withdrawn"),
                partial(at(land.officer).close, finding),
                partial(at(above).close, finding),
            ]
        )
        assert sorted(answer.status_code for answer in answers) == [200, 409, 409]
