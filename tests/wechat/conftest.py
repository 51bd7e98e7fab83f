from __future__ import annotations

from collections.abc import Iterator

import pytest
from fakes import FakeWeChat

from engage.core.config import Settings
from engage.core.db import Database
from engage.wechat.gateway import WeChatGateway
from engage.wechat.tokens import DatabaseTokenStore


class Workers:
    """Gateways as the workers of one installation have them: each its own connections, one database."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._databases: list[Database] = []
        self.naps: list[float] = []

    def new(self, **values) -> WeChatGateway:
        database = Database(self._settings)
        self._databases.append(database)
        options = {
            "base_url": self._settings.wechat_api_base,
            "appid": self._settings.wechat_appid,
            "secret": self._settings.wechat_secret,
            "tokens": DatabaseTokenStore(database),
            "sleep": self.naps.append,
        }
        return WeChatGateway(**{**options, **values})

    def close(self) -> None:
        for database in self._databases:
            database.dispose()


@pytest.fixture
def workers(settings: Settings, database: Database, wechat: FakeWeChat) -> Iterator[Workers]:
    workers = Workers(settings)
    yield workers
    workers.close()


@pytest.fixture
def gateway(workers: Workers) -> WeChatGateway:
    return workers.new()
