"""By what figures are grouped; the facts themselves are the tables of activities."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

MAX_SCOPE: Final = 100  # organisations and hubs named beside figures


class Dimension(StrEnum):
    COUNTY = "county"
    HUB = "hub"
    PROJECT = "project"
    MONTH = "month"


class ScopeKind(StrEnum):
    ORG = "org"
    HUB = "hub"
