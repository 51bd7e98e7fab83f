"""A draw that was held by an older version stays what it was, and is guarded from then on; on either engine."""

from __future__ import annotations

import pytest
from activities.test_migration_0009 import HOUR, NOW, City
from sqlalchemy.exc import IntegrityError

DRAWN = {
    "commitment": "c" * 64, "sealed_seed": b"sealed", "draws_at": NOW, "public_source": "开奖号码", "public_value": "3 1 7",
    "closed_at": NOW - HOUR, "entries": "", "entries_digest": "d" * 64, "seed": "5" * 64, "places": "{}", "withdrawn": "[]",
    "drawn_at": NOW, "settled_at": NOW,
}  # fmt: skip
SEED = "UPDATE lottery_draw SET seed = 'another' RETURNING seed"
UNDRAWN = "UPDATE activity SET drawn = false RETURNING id"


@pytest.fixture
def city(empty_database):
    city = City(empty_database)
    city.migrate("0008")
    city.build()
    city.migrate("0019")
    city.rows("UPDATE activity SET admission_mode = 'lottery', drawn = true RETURNING id")
    city.add("lottery_draw", activity_id=city.activity, **DRAWN)
    return city


def test_a_draw_keeps_its_algorithm_and_its_number_and_is_guarded(city):
    before = (city.states(), city.counters())
    city.migrate("0020")
    assert city.rows("SELECT algorithm, public_value, seed FROM lottery_draw") == [
        ("engage-draw-1", "3 1 7", "5" * 64)
    ]
    assert (city.states(), city.counters()) == before
    for statement, said in ((SEED, "what was drawn stays"), (UNDRAWN, "drawn when its draw is settled")):
        with pytest.raises(IntegrityError, match=said):
            city.rows(statement)
    with pytest.raises(IntegrityError, match="a draw with entries stays"):
        city.rows("DELETE FROM lottery_draw RETURNING seed")


def test_nothing_guards_it_after_the_way_back(city):
    city.migrate("0020")
    city.migrate("0019")
    assert city.rows("SELECT public_value, seed FROM lottery_draw") == [("3 1 7", "5" * 64)]
    assert city.rows(SEED) == [("another",)]
    assert len(city.rows(UNDRAWN)) == 1
    city.migrate("0020")
    with pytest.raises(IntegrityError, match="what was drawn stays"):
        city.rows("UPDATE lottery_draw SET seed = '7' RETURNING seed")
