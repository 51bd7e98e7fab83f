"""Operations of activities."""

from __future__ import annotations

from typing import Final

from engage.core.http import Api

projects: Final = Api("项目 · Projects")
apis: Final = (projects,)
