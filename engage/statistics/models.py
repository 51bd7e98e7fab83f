"""By what figures are grouped; the facts themselves are the tables of activities."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from typing import Final

MAX_SCOPE: Final = 100  # organisations and hubs named beside figures
MAX_COUNTIES: Final = 4000  # all there are
SMALL_CELL: Final = 5  # fewer people than this are not told to whoever does not answer for them
# Check-ins made without signal come in for a week. What is shown to others does not move any more: else two looks would tell who came between.
SETTLED_AFTER: Final = timedelta(days=7)


class Dimension(StrEnum):
    COUNTY = "county"
    HUB = "hub"
    PROJECT = "project"
    MONTH = "month"


class ScopeKind(StrEnum):
    ORG = "org"
    HUB = "hub"
