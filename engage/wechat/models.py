"""The access token that all workers share."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from engage.core.db import Base


class WeChatToken(Base):
    """WeChat's stable access token of one mini program, sealed, and who is renewing it."""

    __tablename__ = "wechat_token"
    appid: Mapped[str] = mapped_column(String(64), primary_key=True)
    token_sealed: Mapped[bytes | None]
    expires_at: Mapped[datetime | None]
    claimed_until: Mapped[datetime | None]
    forced_at: Mapped[datetime | None]
