"""Where a hub stands, and which county counts it."""

from __future__ import annotations

from typing import Any, Final

from engage.core.errors import Issue
from engage.regions.models import DivisionLevel, county_of

_PREFECTURE_CHARS: Final = 4


def misplaced(stands: str, home: str | None) -> Issue | None:
    """Return what is wrong with a pair of codes in use: where a hub stands, and the county given for it."""
    here = county_of(stands)
    if home is None:
        return None if here else Issue("/county_code", "required")
    if county_of(home) != home:
        return Issue("/county_code", "wrong_division_level", {"levels": DivisionLevel.COUNTY})
    # Only away from home may the figures of another county count a hub.
    if here != home and stands[:_PREFECTURE_CHARS] == home[:_PREFECTURE_CHARS]:
        return Issue("/county_code", "not_together", {"other": "division_code"})
    return None


def plain_columns(values: dict[str, Any]) -> dict[str, Any]:
    """Return the columns of a loaded body or row that refer to nothing but the kind and the division."""
    names = ("name", "division_code", "address", "opening_hours", "services", "contact_name", "contact_phone")
    position = values["position"]
    return {
        **{name: values[name] for name in (*names, "description")},
        "kind_code": values["kind"],
        "lat": position.lat if position else None,
        "lng": position.lng if position else None,
    }
