"""Operations of enclaves."""

from __future__ import annotations

from typing import Final

from engage.core.http import Api

api: Final = Api("驻外团组织 · Enclave branches")
