"""Choices fixed by their key: the same on every machine and in every run, whatever else is drawn."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

_SEED: Final = "engage-demo"
T = TypeVar("T")


def number(*key: object) -> int:
    """Return a 64-bit number for a key."""
    digest = hashlib.sha256("\x1f".join((_SEED, *map(str, key))).encode()).digest()
    return int.from_bytes(digest[:8])


def below(limit: int, *key: object) -> int:
    """Return a whole number from 0 up to, not including, a limit."""
    return number(*key) % limit


def chance(per_hundred: int, *key: object) -> bool:
    """Say yes in so many cases of a hundred."""
    return below(100, *key) < per_hundred


def pick(values: Sequence[T], *key: object) -> T:
    """Return one of several values."""
    return values[below(len(values), *key)]


def shuffled(values: Iterable[T], name: Callable[[T], object], *key: object) -> list[T]:
    """Return values in an order of chance that depends on the key and their names only."""
    return sorted(values, key=lambda value: number(*key, name(value)))
