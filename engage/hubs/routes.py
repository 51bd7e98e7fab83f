"""Operations of hubs."""

from __future__ import annotations

from typing import Final

from engage.core.http import Api

api: Final = Api("站点 · Hubs")
