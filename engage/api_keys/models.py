"""What API keys may be good for. The keys themselves are identity's: they prove who calls."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from engage.orgs.access import Permission

MAX_KEYS: Final = 20  # of one person, at the same time
MAX_ADDRESSES: Final = 20
MAX_DAYS: Final = 365
MAX_OVERLAP_HOURS: Final = 168


class Scope(StrEnum):
    """Permissions that a key may carry, by their own names.

    Reading figures, the totals of every county, the figures about the whole installation, and the evidence about an activity, which is figures too: what
    else staff read shows people, or says in somebody's own words what may name them, and that asks for a person who has logged in.
    """

    READ_FIGURES = Permission.READ_FIGURES.value
    READ_COUNTY_TOTALS = Permission.READ_COUNTY_TOTALS.value
    READ_INTEGRITY = Permission.READ_INTEGRITY.value
    READ_EVIDENCE = Permission.READ_EVIDENCE.value
