"""Operations of identity."""

from __future__ import annotations

from typing import Final

from engage.core.http import Api

api: Final = Api("登录与个人 · Identity")
