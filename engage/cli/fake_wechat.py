"""``engage fake-wechat``: a stand-in for WeChat's server, for development."""

from __future__ import annotations

import signal
import sys

import click

from engage.cli.faults import Fault
from engage.core.config import Settings
from engage.wechat.fake import DEFAULT_APPID, DEFAULT_SECRET, FakeServer, create_fake


@click.command("fake-wechat", short_help="本地模拟微信（开发用） · A local stand-in for WeChat.")
@click.option("--port", type=click.IntRange(1, 65535), default=9001, show_default=True, help="On 127.0.0.1.")
@click.option("--appid", default=DEFAULT_APPID, show_default=True, help="The mini program it knows.")
@click.option("--secret", default=DEFAULT_SECRET, help="The mini program's AppSecret.")
def fake_wechat(port: int, appid: str, secret: str) -> None:
    """本地模拟微信服务器，仅供开发 · A local stand-in for WeChat's server; for development only.

    Set ENGAGE_WECHAT_API_BASE=http://127.0.0.1:9001, ENGAGE_WECHAT_APPID and ENGAGE_WECHAT_SECRET to the same
    values for `engage serve`. A code as wx.login gives it, for anybody you name:

    curl -X POST http://127.0.0.1:9001/__fake__/users/NAME/login-code
    """
    if Settings.from_env().is_production:
        raise Fault("生产环境不能使用模拟微信。", "ENGAGE_ENVIRONMENT is production: the stand-in stays off.")
    try:
        server = FakeServer(create_fake(appid=appid, secret=secret, control=True), port)
    except OSError as error:
        raise Fault(f"127.0.0.1:{port} 已被占用，请换一个端口。", f"{error.strerror}.") from error
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    click.echo(f"{server.base_url}  appid={appid}")
    try:
        server.serve()
    except KeyboardInterrupt:
        click.echo("")
