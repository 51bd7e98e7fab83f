"""The access token: fetched by one worker, used by all."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Final, Protocol

from sqlalchemy import CursorResult, or_, select, update
from sqlalchemy.exc import IntegrityError

from engage.core import clock
from engage.core.crypto import SealBrokenError
from engage.wechat.models import WeChatToken

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from sqlalchemy import ColumnElement

    from engage.core.db import Database

_MARGIN: Final = timedelta(seconds=200)
_CLAIM: Final = timedelta(seconds=12)  # longer than one request to WeChat may take
_POLL_SECONDS: Final = 0.1
_POLLS: Final = 80
_FORCED_GAP: Final = timedelta(minutes=75)  # WeChat allows 20 forced refreshes a day, at least 30 s apart


@dataclass(frozen=True, slots=True)
class FetchedToken:
    """What WeChat gave."""

    value: str = field(repr=False)
    life: timedelta


class Fetch(Protocol):
    """Asks WeChat for its token; ``force`` makes it issue another one and end the old one."""

    def __call__(self, *, force: bool) -> FetchedToken: ...


class TokenStore(Protocol):
    """Where the token is kept between calls. Both methods raise whatever ``fetch`` raises."""

    def get(self, fetch: Fetch) -> str:
        """Return a token that is good for a while, fetched if need be."""

    def replace_if(self, failed: str, fetch: Fetch) -> str:
        """Return a token other than the one that WeChat has refused, fetched if that is still the kept one."""


class DatabaseTokenStore:
    """The token in a row, sealed. No transaction is open while WeChat is asked.

    Whoever is to fetch marks the row as claimed for a few seconds; the others take the old token while it lives, or
    wait. A claim that outlives its holder runs out, and a second fetch would do no harm: WeChat gives everybody the
    same token. Never call it inside a transaction: on SQLite the store would wait for its own caller.
    """

    def __init__(self, database: Database, sleep: Callable[[float], None] = time.sleep) -> None:
        self._database, self._sleep = database, sleep
        self._appid = database.settings.wechat_appid
        self._purpose = f"wechat-token:{self._appid}"

    def get(self, fetch: Fetch) -> str:
        """Return a token that is good for 200 seconds or more, fetched if need be."""
        with self._database.reading() as connection:
            row = connection.execute(
                select(WeChatToken.token_sealed, WeChatToken.expires_at).where(
                    WeChatToken.appid == self._appid
                )
            ).one_or_none()
        token = self._opened(row.token_sealed) if row else None
        if row and token and row.expires_at - clock.now() > _MARGIN:
            return token
        return self._renewed(None, fetch)

    def replace_if(self, failed: str, fetch: Fetch) -> str:
        """Return a token other than ``failed``, fetched if that is still the kept one."""
        return self._renewed(failed, fetch)

    def _renewed(self, failed: str | None, fetch: Fetch) -> str:
        for _ in range(_POLLS):
            token, is_claimed = self._token_or_claim(failed)
            if token:
                return token
            if is_claimed:
                break
            self._sleep(_POLL_SECONDS)
        return self._fetched(failed, fetch)

    def _token_or_claim(self, failed: str | None) -> tuple[str | None, bool]:
        """Return a usable token, or whether the caller is now the one who fetches."""
        try:
            with self._database.transaction() as session:
                row = session.get(WeChatToken, self._appid, with_for_update=True)
                if row is None:
                    row = WeChatToken(appid=self._appid)
                    session.add(row)
                    session.flush()
                return self._decide(row, failed)
        except IntegrityError:
            return None, False  # another worker has just made the row: it fetches

    def _decide(self, row: WeChatToken, failed: str | None) -> tuple[str | None, bool]:
        now = clock.now()
        token = self._opened(row.token_sealed)
        if token is None or token == failed or row.expires_at is None:
            token = row.token_sealed = None
        left = row.expires_at - now if token and row.expires_at else timedelta()
        is_claimed = row.claimed_until is not None and row.claimed_until > now
        if left > _MARGIN or (is_claimed and left > timedelta()):
            return token, False
        if not is_claimed:
            row.claimed_until = now + _CLAIM
        return None, not is_claimed

    def _fetched(self, failed: str | None, fetch: Fetch) -> str:
        try:
            token = fetch(force=False)
            if token.value == failed and self._may_force():
                token = fetch(force=True)
        except BaseException:
            self._update(claimed_until=None)
            raise
        self._update(
            claimed_until=None,
            token_sealed=self._database.settings.keyring.seal(token.value, self._purpose),
            expires_at=clock.now() + token.life,
        )
        return token.value

    def _may_force(self) -> bool:
        now = clock.now()
        is_due = or_(WeChatToken.forced_at.is_(None), WeChatToken.forced_at < now - _FORCED_GAP)
        return self._update(is_due, forced_at=now)

    def _update(self, *conditions: ColumnElement[bool], **values: datetime | bytes | None) -> bool:
        with self._database.transaction() as session:
            result = session.execute(
                update(WeChatToken).where(WeChatToken.appid == self._appid, *conditions).values(values)
            )
            return isinstance(result, CursorResult) and result.rowcount == 1

    def _opened(self, sealed: bytes | None) -> str | None:
        try:
            return self._database.settings.keyring.open(sealed, self._purpose) if sealed else None
        except SealBrokenError:
            return None  # its key has left the ring; WeChat gives the token again
