"""Operations of home."""

from __future__ import annotations

from typing import Final

from engage.core.http import Api

api: Final = Api("首页 · Home")
