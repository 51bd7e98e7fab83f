"""The draw: a pure function of a seed, a public value and the entries. docs/draw.md explains it, docs/check_draw.py checks it.

Bytes and whole numbers only, so that every language on every machine gets the same.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from engage.activities.models import DrawOutcome

ALGORITHM: Final = "engage-draw-2"  # as 1, but of the public number the digits alone
SEED_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class Entry:
    """Somebody in a draw, by the id of their sign-up; ``pools`` is the mask of pools open to them."""

    id: UUID
    weight: int
    pools: int


def new_seed() -> bytes:
    """Return a seed that nobody can guess."""
    return secrets.token_bytes(SEED_BYTES)


def commitment_of(seed: bytes) -> str:
    """Return what is shown of a seed beforehand."""
    return hashlib.sha256(seed).hexdigest()


def as_text(entries: Iterable[Entry]) -> str:
    """Return entries as the text whose digest fixes them: a line each, by id."""
    return "".join(
        f"{entry.id} {entry.weight} {entry.pools}\n" for entry in sorted(entries, key=lambda entry: entry.id)
    )


def read_text(text: str) -> list[Entry]:
    """Return the entries of a text that ``as_text`` made."""
    lines = (line.split(" ") for line in text.splitlines())
    return [Entry(UUID(entry_id), int(weight), int(pools)) for entry_id, weight, pools in lines]


def digest_of(text: str) -> str:
    """Return the digest of the text of entries."""
    return hashlib.sha256(text.encode()).hexdigest()


def in_order(seed: bytes, public_value: str | None, entries: Iterable[Entry]) -> list[Entry]:
    """Return the entries in the order of the draw, whatever the order they come in.

    Each has as many tickets as its weight, each ticket is as good as a random number, and the smallest of its tickets counts. Of all tickets each
    is equally likely to be the smallest, so the first place goes to an entry with the probability weight / sum of weights, and
    the same holds for the next place among those that are left.
    """
    start = seed + b"\x00" + (public_value or "").encode() + b"\x00"

    def best_ticket(entry: Entry) -> bytes:
        return min(
            hashlib.sha256(start + entry.id.bytes + bytes([ticket])).digest()
            for ticket in range(1, entry.weight + 1)
        )

    return sorted(entries, key=lambda entry: (best_ticket(entry), entry.id))


def share_out(
    ordered: Sequence[Entry], withdrawn: Collection[UUID], places: dict[str, Any]
) -> list[DrawOutcome]:
    """Return what each entry of an order gets of the places that are free.

    ``places`` is {capacity, pools: [{position, capacity, overflow_rank}]}; without pools all places are one. Each goes to the first pool
    that is for them, when it is full to another that is, by overflow rank and position.
    """
    pools = sorted(
        places["pools"],
        key=lambda pool: (pool["overflow_rank"] is not None, pool["overflow_rank"], pool["position"]),
    )
    free = {pool["position"]: pool["capacity"] for pool in pools} or {0: places["capacity"]}
    outcomes = []
    for entry in ordered:
        if entry.id in withdrawn:
            outcomes.append(DrawOutcome.WITHDRAWN)
            continue
        pool = next((pool for pool in _pools_of(entry, free) if free[pool] > 0), None)
        if pool is None:
            outcomes.append(DrawOutcome.WAITLIST)
        else:
            free[pool] -= 1
            outcomes.append(DrawOutcome.PLACE)
    return outcomes


def _pools_of(entry: Entry, free: dict[int, int]) -> list[int]:
    """Return the pools open to an entry in the order they are tried; 0 stands for places that are not divided."""
    if 0 in free:
        return [0]
    first = (entry.pools & -entry.pools).bit_length()
    return [first] * (first in free) + [
        pool for pool in free if pool != first and entry.pools >> (pool - 1) & 1
    ]
