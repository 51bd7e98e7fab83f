"""Operations of orgs."""

from __future__ import annotations

from typing import Final

from engage.core.http import Api

api: Final = Api("组织 · Organisations")
