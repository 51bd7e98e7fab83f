"""A gateway whose answers the test decides; the real one is tested with its fake in tests/wechat."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Lock
from types import SimpleNamespace

import pytest
from flask import Flask

from engage.core.db import Errand
from engage.core.http import Nobody
from engage.core.logging import JsonLines
from engage.wechat.errors import WeChatUserActionNeeded


class ScriptedGateway:
    """WeChat as the service sees it: codes are good once; any answer can be an error or a function."""

    def __init__(self, database) -> None:
        self._database = database
        self._lock = Lock()
        self.openids: dict[str, object] = {}
        self.phones: dict[tuple[str, str], object] = {}
        self.asked: list[str] = []
        self.held: list[int] = []

    def _take(self, answers: dict, key: object) -> object:
        with self._lock:
            self.asked.append(str(key))
            self.held.append(
                self._database.writer.pool.checkedout()
                + self._database.reader.pool.checkedout()
                - len(self._database.ready)
            )
            answer = answers.pop(key, None)
        if answer is None:
            raise WeChatUserActionNeeded(40163, None, "/sns/jscode2session")
        if isinstance(answer, Exception):
            raise answer
        return answer() if callable(answer) else answer

    def code_to_session(self, js_code: str) -> SimpleNamespace:
        openid, _, unionid = str(self._take(self.openids, js_code)).partition("/")
        return SimpleNamespace(openid=openid, unionid=unionid or None)

    def phone_number(self, code: str, openid: str) -> str:
        return str(self._take(self.phones, (code, openid)))


@pytest.fixture
def gateway(app: Flask, database, monkeypatch) -> ScriptedGateway:
    scripted = ScriptedGateway(database)
    monkeypatch.setitem(app.extensions, "engage.wechat", scripted)
    return scripted


@pytest.fixture
def errand(database) -> Errand:
    return Errand(database, Nobody(), database.settings)


@pytest.fixture
def meanwhile() -> Iterator[Callable[..., Future]]:
    """Start a call in another thread; its future gives the result."""
    with ThreadPoolExecutor(16) as pool:
        yield pool.submit


@pytest.fixture
def lines():
    """Everything that any logger writes, as it would be written."""
    written: list[str] = []

    class Collect(logging.Handler):
        def emit(self, record):
            written.append(JsonLines().format(record))

    handler, loggers = Collect(), [logging.getLogger(), logging.getLogger("engage")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.addHandler(handler)
        logger.setLevel(logging.DEBUG)
    yield written
    for logger, level in zip(loggers, levels, strict=True):
        logger.removeHandler(handler)
        logger.setLevel(level)
