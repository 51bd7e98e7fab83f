"""The draw as a function: repeatable, fair by weight, and deaf to the order of its input."""

from __future__ import annotations

import hashlib
from collections import Counter
from fractions import Fraction
from itertools import pairwise, permutations
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engage.activities.models import DrawOutcome
from engage.activities.service import draw
from engage.activities.service.draw import Entry, as_text, digest_of, in_order, read_text, share_out

SEED = bytes(range(32))
A, B, C = (UUID(f"0199f0c2-b7a0-7c3f-9f5d-00000000000{number}") for number in (1, 2, 3))
entries = st.lists(
    st.builds(Entry, st.uuids(), st.integers(1, 10), st.integers(0, 15)),
    max_size=12,
    unique_by=lambda entry: entry.id,
)
seeds = st.binary(min_size=32, max_size=32)
values = st.none() | st.text(min_size=1, max_size=8)


def test_it_is_the_documented_formula():
    """Worked out here step by step, so that the function cannot change without a new name for the algorithm."""

    def ticket(entry_id, number, value):
        return hashlib.sha256(SEED + b"\0" + value + b"\0" + entry_id.bytes + bytes([number])).digest()

    drawn = [Entry(A, 1, 0), Entry(B, 3, 0), Entry(C, 1, 0)]
    for value in (b"", b"3 1 7", "七".encode()):
        best = {
            A: ticket(A, 1, value),
            B: min(ticket(B, 1, value), ticket(B, 2, value), ticket(B, 3, value)),
            C: ticket(C, 1, value),
        }
        order = [entry.id for entry in in_order(SEED, value.decode() or None, drawn)]
        assert order == sorted((A, B, C), key=best.__getitem__)
    assert draw.commitment_of(SEED) == hashlib.sha256(SEED).hexdigest()
    assert as_text(drawn[::-1]) == f"{A} 1 0\n{B} 3 0\n{C} 1 0\n"
    assert [entry.id for entry in in_order(SEED, None, drawn)] == [B, C, A], "a known answer"


@given(seeds, values, entries, st.randoms())
def test_the_order_of_the_input_does_not_matter(seed, value, drawn, dice):
    shuffled = dice.sample(drawn, len(drawn))
    assert in_order(seed, value, drawn) == in_order(seed, value, shuffled)
    assert digest_of(as_text(drawn)) == digest_of(as_text(shuffled))
    assert read_text(as_text(shuffled)) == sorted(drawn, key=lambda entry: entry.id)


@given(seeds, values, entries.filter(bool), st.data())
def test_who_leaves_changes_nothing_among_the_others(seed, value, drawn, data):
    gone = data.draw(st.sampled_from(drawn))
    rest = [entry for entry in drawn if entry is not gone]
    assert in_order(seed, value, rest) == [entry for entry in in_order(seed, value, drawn) if entry != gone]


@given(seeds, values, entries.filter(bool), st.data())
def test_more_tickets_never_harm(seed, value, drawn, data):
    one = data.draw(st.sampled_from(drawn))
    heavier = Entry(one.id, data.draw(st.integers(one.weight, 10)), one.pools)
    before = [entry.id for entry in in_order(seed, value, drawn)].index(one.id)
    changed = [heavier if entry is one else entry for entry in drawn]
    assert [entry.id for entry in in_order(seed, value, changed)].index(one.id) <= before


def test_each_order_is_as_likely_as_the_weights_say(monkeypatch):
    """All orders of the tickets, each as likely as another: the first place by weight, and the next among those left."""
    drawn = [Entry(A, 1, 0), Entry(B, 2, 0), Entry(C, 3, 0)]
    tickets = [(entry.id, number) for entry in drawn for number in range(1, entry.weight + 1)]
    counts: Counter[tuple[UUID, ...]] = Counter()
    for shuffled in permutations(tickets):
        rank = {ticket: bytes([place]) for place, ticket in enumerate(shuffled)}

        class Hash:
            def __init__(self, data, rank=rank):
                self._digest = rank[UUID(bytes=data[-17:-1]), data[-1]]

            def digest(self):
                return self._digest

        monkeypatch.setattr(draw.hashlib, "sha256", Hash)
        counts[tuple(entry.id for entry in in_order(SEED, None, drawn))] += 1
    weight = {entry.id: entry.weight for entry in drawn}
    for order in permutations((A, B, C)):
        expected = Fraction(weight[order[0]], 6) * Fraction(weight[order[1]], 6 - weight[order[0]])
        assert Fraction(counts[order], counts.total()) == expected, order


def test_the_hash_is_as_good_as_chance():
    drawn = [Entry(A, 1, 0), Entry(B, 2, 0), Entry(C, 1, 0)]
    firsts = Counter(
        in_order(hashlib.sha256(bytes([*divmod(number, 256)])).digest(), None, drawn)[0].id
        for number in range(4000)
    )
    assert firsts[B] == pytest.approx(2000, abs=130)  # four standard deviations
    assert firsts[A] == pytest.approx(1000, abs=110)


def pool(position, capacity, overflow_rank=None):
    return {"position": position, "capacity": capacity, "overflow_rank": overflow_rank}


def test_places_go_to_the_first_pool_then_by_overflow():
    ids = iter(UUID(int=number) for number in range(1, 10))
    masks = [0b001, 0b101, 0b101, 0b111, 0b100, 0b010, 0b000]
    ordered = [Entry(next(ids), 1, mask) for mask in masks]
    places = {"capacity": 4, "pools": [pool(1, 1), pool(2, 1, 2), pool(3, 2, 1)]}
    place, wait = DrawOutcome.PLACE, DrawOutcome.WAITLIST
    # first pool; overflow to 3, twice; 3 is full and 2 is next by overflow; then 3, 2 are full; the last is for no pool
    assert share_out(ordered, (), places) == [*[place] * 4, *[wait] * 3]
    assert share_out(ordered, {ordered[1].id}, places) == [
        place,
        DrawOutcome.WITHDRAWN,
        place,
        place,
        wait,
        place,
        wait,
    ]
    assert share_out(ordered, (), {"capacity": 2, "pools": []}) == [*[place] * 2, *[wait] * 5]


@given(
    entries,
    st.lists(st.tuples(st.integers(0, 3), st.none() | st.integers(1, 4)), max_size=4),
    st.integers(0, 12),
)
def test_no_more_places_than_there_are_and_none_left_that_somebody_could_have(drawn, sizes, capacity):
    pools = [pool(number, size, rank) for number, (size, rank) in enumerate(sizes, 1)]
    outcomes = share_out(drawn, (), {"capacity": capacity, "pools": pools})
    given = outcomes.count(DrawOutcome.PLACE)
    if not pools:
        assert given == min(capacity, len(drawn))
        assert all(first <= second for first, second in pairwise(outcomes)), "places first"
        return
    assert given <= sum(size for size, _ in sizes)
    for number, (size, _) in enumerate(sizes, 1):
        could = [
            outcome for entry, outcome in zip(drawn, outcomes, strict=True) if entry.pools >> (number - 1) & 1
        ]
        if DrawOutcome.WAITLIST in could:
            assert could.count(DrawOutcome.PLACE) >= size
