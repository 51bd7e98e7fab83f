"""The stand-in for WeChat in a thread of the test run, and what a phone does with it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import httpx

from engage.wechat.fake import FakeServer, create_fake, openid_of, unionid_of

APPID = "wx4f4bc4dec97d474b"
SECRET = "0123456789abcdef0123456789abcdef"


class FakeWeChat:
    """Mints codes for users (created when first named), moves WeChat's clock, orders faults, shows what was asked."""

    def __init__(self, base_url: str) -> None:
        self.base_url = base_url
        self._http = httpx.Client(base_url=f"{base_url}/__fake__", trust_env=False, timeout=20)

    def _post(self, address: str, /, **body: Any) -> dict[str, Any]:
        response = self._http.post(address, json=body)
        assert response.status_code == 200, response.text
        return response.json()

    def add_app(self, appid: str = APPID, secret: str = SECRET, **values: Any) -> None:
        """``unionBound``, ``classicQuota``."""
        self._post("/apps", appid=appid, secret=secret, **values)

    def add_user(self, key: str, **values: Any) -> dict[str, Any]:
        """``nickname``, ``phone``, ``countryCode``, ``blocked``; returns also ``openid`` and ``unionid``."""
        return self._post("/users", key=key, **values)

    def openid(self, user: str) -> str:
        return openid_of(APPID, user)

    def unionid(self, user: str) -> str:
        return unionid_of(user)

    def login_code(self, user: str = "youth", **values: Any) -> str:
        """What ``wx.login`` gives: good once, for 300 seconds."""
        return self._post(f"/users/{user}/login-code", **values)["code"]

    def phone_code(self, user: str = "youth", **values: Any) -> str:
        """What the phone button gives: good once, for 300 seconds."""
        return self._post(f"/users/{user}/phone-code", **values)["code"]

    def advance(self, seconds: float) -> None:
        """Put WeChat's clock ahead of ours."""
        self._post("/clock", advanceSeconds=seconds)

    def fault(self, path: str, **values: Any) -> None:
        """``times`` (None: always), ``errcode``, ``errmsg``, ``latencyMs``, ``httpStatus``, ``drop``, ``body``, ``truncate``."""
        self._post("/faults", path=path, **values)

    def requests(self, path: str | None = None) -> list[dict[str, Any]]:
        """What WeChat was asked, oldest first, secrets masked."""
        return self._http.get("/requests", params={"path": path} if path else {}).json()["requests"]

    def reset(self) -> None:
        self._post("/reset")

    def close(self) -> None:
        self._http.close()


@contextlib.contextmanager
def running() -> Iterator[FakeWeChat]:
    """A stand-in on a free port, with the mini program of the tests."""
    server = FakeServer(create_fake(appid=APPID, secret=SECRET, control=True))
    server.start()
    fake = FakeWeChat(server.base_url)
    try:
        yield fake
    finally:
        fake.close()
        server.stop()
