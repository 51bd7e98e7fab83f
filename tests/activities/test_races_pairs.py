"""Every path that gives or frees places against every other: threads that start together, on both engines. See paths.py."""

from __future__ import annotations

import itertools
import random
from typing import Any

import pytest
from activities.paths import ALL, AT_THE_DOOR, CLOSE, DRAW, HOUR, MERGE, PATHS, REVIEW, SLOTS, Stage
from activities.proof import violations
from racing import at_once
from sqlalchemy import select

from engage.activities.models import AdmissionMode, SignUp
from engage.activities.service import due
from engage.messages.models import OutboxEntry

PAIRS = list(itertools.combinations_with_replacement(PATHS, 2))
NOT_WHILE_DRAWN = (
    "cut",
    "import",
)  # the places stay as they are between the closing and the draw, and nobody is let in
OTHERS = [name for name in ALL if name not in (REVIEW, DRAW)]


@pytest.fixture
def stage(frozen, app, database, as_user):
    return lambda **shape: Stage(app, database, as_user, **shape)


def is_wrong(answer: Any) -> bool:
    """Say whether an answer is a fault, or what a caller gets when only the database kept a path from doing harm.

    Nor is any stage ever full: its queue has turns for all.
    """
    if isinstance(answer, int):
        return False
    code = (answer.json or {}).get("code")
    return answer.status_code >= 500 or code in ("conflicting_change", "activity_full")


def race(stage: Stage, *paths: str, each: int = 2) -> list[Any]:
    """Let the threads of some paths run at once; hold what was answered against what is.

    The last of one path and the first of the next are about the same person.
    """
    acts = [
        ALL[path](stage, (turn * (each - 1) + number) % SLOTS)
        for turn, path in enumerate(paths)
        for number in range(each)
    ]
    answers = at_once(acts)
    assert [answer.json for answer in answers if is_wrong(answer)] == []
    if (
        CLOSE in paths
    ):  # whoever lost a place after it had closed stands in a closed queue until the worker looks again
        due.close_queues(stage.database)
    assert violations(stage.database) == {}
    with stage.database.reading() as db:
        states = dict(
            db.execute(
                select(SignUp.person_id, SignUp.state)
                .where(SignUp.activity_id == stage.activity.id)
                .order_by(SignUp.seq)
            ).all()
        )
        told = [tuple(row) for row in db.execute(select(OutboxEntry.person_id, OutboxEntry.kind))]
    broken = {
        person: (states.get(person), kept)
        for person, kept in stage.kept.items()
        if states.get(person) not in kept
    }
    assert broken == {}, "what was acknowledged is so"
    given = [entry for entry in told if entry[1] in ("place_offered", "sign_up_promoted")]
    assert len(set(given)) == len(given), "each is told once of a place"
    return answers


@pytest.mark.parametrize("path", PATHS)
def test_many_take_one_path_at_the_last_place(stage, path):
    race(stage(start=240 * HOUR, free=1), path, each=SLOTS)


@pytest.mark.parametrize("pair", PAIRS, ids="-".join)
def test_two_paths_meet(stage, pair):
    """At the last place, or while a queue waits for offers."""
    at_the_last_place = PAIRS.index(pair) % 2
    race(stage(start=240 * HOUR, free=1) if at_the_last_place else stage(start=10 * HOUR), *pair)


@pytest.mark.parametrize("path", OTHERS)
def test_a_path_while_people_check_in(stage, path):
    race(stage(start=1.5 * HOUR), AT_THE_DOOR, path)


@pytest.mark.parametrize("path", [name for name in OTHERS if name != AT_THE_DOOR])
def test_a_path_while_pools_become_one(stage, path):
    race(stage(start=10 * HOUR, free=1, divided=True), MERGE, path)


@pytest.mark.parametrize("path", OTHERS)
def test_a_path_while_the_queue_closes(stage, path):
    race(stage(start=HOUR / 2), CLOSE, path)


@pytest.mark.parametrize("path", [REVIEW, *PATHS])
def test_a_path_while_applications_are_accepted(stage, path):
    race(stage(start=240 * HOUR, free=1, mode=AdmissionMode.REVIEW), REVIEW, path)


@pytest.mark.parametrize("path", [DRAW, *(name for name in PATHS if name not in NOT_WHILE_DRAWN)])
def test_a_path_while_a_draw_is_held(stage, path):
    race(stage(start=240 * HOUR, free=1, mode=AdmissionMode.LOTTERY), DRAW, path)


@pytest.mark.parametrize("path", [REVIEW, DRAW])
def test_many_decide_about_the_last_place(stage, path):
    mode = AdmissionMode.REVIEW if path == REVIEW else AdmissionMode.LOTTERY
    race(stage(start=240 * HOUR, free=1, mode=mode), path, each=SLOTS)


@pytest.mark.parametrize("start", [240, 10])
def test_promotion_races_cancellation_races_capacity_and_all_the_rest(stage, start):
    everything = stage(start=start * HOUR)
    dice = random.Random(start)
    acts = [path(everything, slot) for path in PATHS.values() for slot in range(2)]
    dice.shuffle(acts)
    answers = at_once(acts)
    assert [answer.json for answer in answers if is_wrong(answer)] == []
    assert violations(everything.database) == {}
