"""Operations of divisions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from engage.core.http import Api, public
from engage.regions import queries
from engage.regions.errors import NoCountyNear, NoSuchDivision
from engage.regions.schemas import (
    NearestCountyOut,
    NearestCountyQuery,
    RegionDetailOut,
    RegionPage,
    RegionsQuery,
)

if TYPE_CHECKING:
    from engage.core.db import Look
    from engage.core.paging import Page

api: Final = Api("行政区划 · Regions")
_HARDLY_CHANGES: Final = "public, max-age=86400"


@api.operation(
    "GET",
    "/regions",
    access=public,
    zh="下级或按名称查行政区划",
    query=RegionsQuery,
    returns=RegionPage,
    cache=_HARDLY_CHANGES,
)
def list_regions(look: Look, query: dict[str, Any]) -> Page:
    """List divisions below a parent or by the beginning of their name."""
    return queries.list_regions(look, query)


@api.operation(
    "GET", "/regions/nearest-county", access=public, zh="离某点最近的县（市、区）", query=NearestCountyQuery,
    returns=NearestCountyOut, refuses=[NoCountyNear], cache=_HARDLY_CHANGES,
)  # fmt: skip
def nearest_county(look: Look, query: dict[str, Any]) -> dict[str, Any]:
    """Find the county whose seat is nearest to a point."""
    return queries.nearest_county(look, query["near"])


@api.operation(
    "GET", "/regions/{code}", access=public, zh="查一个行政区划及其上级", returns=RegionDetailOut,
    refuses=[NoSuchDivision], cache=_HARDLY_CHANGES,
)  # fmt: skip
def read_region(look: Look, code: str) -> dict[str, Any]:
    """Read a division with its ancestors; a retired code says what it became."""
    return queries.read_region(look, code)
