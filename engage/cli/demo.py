"""``engage demo``: the whole service with invented data, on this machine only."""

from __future__ import annotations

import os
import signal
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Final

import click

from engage.cli.children import Children
from engage.cli.database import bring_to_head
from engage.cli.faults import Fault
from engage.cli.folder import DemoFolder
from engage.cli.serve import refuse_taken
from engage.cli.tour import tour
from engage.core import clock
from engage.core.config import Settings
from engage.core.db import Database
from engage.demo import build
from engage.wechat.fake import DEFAULT_APPID, DEFAULT_SECRET

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_HOST: Final = "127.0.0.1"
_MAX_PORT: Final = 65_535
_UP_SECONDS: Final = 20.0
_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@click.command(short_help="演示：一条命令体验全部功能 · The whole service with invented data.")
@click.option(
    "--dir", "folder", type=click.Path(path_type=Path), default="engage-demo", show_default=True,
    help="Where database and logs are kept.",
)  # fmt: skip
@click.option(
    "--port", type=click.IntRange(1, _MAX_PORT), default=8000, show_default=True, help="Of the API."
)
@click.option(
    "--wechat-port", type=click.IntRange(1, _MAX_PORT), help="Of the fake of WeChat [default: the next]."
)
@click.option("--reset", is_flag=True, help="Throw the data of an earlier run away and start over.")
def demo(folder: Path, port: int, wechat_port: int | None, *, reset: bool) -> None:
    """演示：一条命令体验全部功能 · The whole service with invented data, on this machine only.

    Makes a SQLite database with the real divisions and organisations, invented hubs and people and activities around
    today; starts a fake of WeChat, the API and the worker on 127.0.0.1; prints what to try. Ctrl-C ends everything.
    A second run reuses the data. ENGAGE_* variables are not looked at.
    """
    ports = port, wechat_port or port + 1
    if ports[0] == ports[1] or ports[1] > _MAX_PORT:
        raise Fault(
            "两个端口必须不同，且不大于 65535。", "The two ports must differ, up to 65535: see --wechat-port."
        )
    for number in ports:
        refuse_taken(f"{_HOST}:{number}")
    place = DemoFolder(folder)
    place.hold()
    if reset:
        place.clear()
    place.refuse_unfinished()
    children = Children(_environment(place, *ports))
    try:
        with _signals_interrupt() as asked:
            _run(place, children, asked, *ports)
    except KeyboardInterrupt:
        click.echo("\n正在停止…… Stopping …")
    finally:
        children.stop()
        if not place.is_finished():
            place.clear()  # interrupted half-way: the next run starts from nothing
    click.echo("已停止。 Stopped.")


@contextmanager
def _signals_interrupt() -> Iterator[Event]:
    """Let every signal that asks for an end arrive like Ctrl-C, and yield what tells that one came; further ones are ignored while we end."""
    asked = Event()

    def interrupt(*_: object) -> None:
        asked.set()
        raise KeyboardInterrupt

    for number in _SIGNALS:
        signal.signal(number, interrupt)
    try:
        yield asked
    finally:
        for number in _SIGNALS:
            signal.signal(number, signal.SIG_IGN)


def _environment(place: DemoFolder, port: int, wechat_port: int) -> dict[str, str]:
    """Return the environment of the children: the caller's, but with our settings and no others."""
    if "?" in str(place.path):
        raise Fault(
            f"文件夹名不能含问号：{place.path}。", "The folder's name must not contain a question mark."
        )
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("ENGAGE_")}
    return {
        **inherited,
        "NO_PROXY": _HOST,
        "no_proxy": _HOST,
        "ENGAGE_DATABASE_URL": f"sqlite:///{place.database}",
        "ENGAGE_WECHAT_API_BASE": f"http://{_HOST}:{wechat_port}",
        "ENGAGE_WECHAT_APPID": DEFAULT_APPID,
        "ENGAGE_WECHAT_SECRET": DEFAULT_SECRET,
        "ENGAGE_BIND": f"{_HOST}:{port}",
        "ENGAGE_WORKERS": "2",
    }


def _run(place: DemoFolder, children: Children, asked: Event, port: int, wechat_port: int) -> None:
    say = _progress(asked)
    settings = Settings.from_env(_environment(place, port, wechat_port))
    children.start("fake-wechat", place.log("wechat"), "fake-wechat", "--port", str(wechat_port))
    bring_to_head(settings)
    say("数据库就绪", f"database {place.database}")
    database = Database(settings)
    try:
        _fill(place, database, say)
        build.renew_second_factors(database, clock.now())
        open_house = build.open_house(database, clock.now())
    finally:
        database.dispose()
    children.start("serve", place.log("api"), "serve")
    children.start("worker", place.log("worker"), "worker")
    children.wait_for(wechat_port, "/__fake__/health", _UP_SECONDS)
    children.wait_for(port, "/readyz", _UP_SECONDS)
    say("服务已启动", f"the API answers; logs are in {place.path}")
    api = f"http://{_HOST}:{port}"
    click.echo(f"\n接口 API {api}/v1   文档 docs {api}/docs/\n")
    click.echo("以下命令可直接粘贴到另一个终端。 Paste these lines into another terminal:\n")
    click.echo(tour(api, f"http://{_HOST}:{wechat_port}", open_house, clock.now()))
    click.echo("按 Ctrl-C 停止。 Press Ctrl-C to stop.")
    children.watch()


def _fill(place: DemoFolder, database: Database, say: Callable[[str, str], None]) -> None:
    if not place.is_finished():
        build.fill(database, clock.now(), say)
        place.finish(clock.now().isoformat())
    elif build.is_fresh(database, clock.now()):
        say("沿用上次的数据", "reusing the data of the earlier run; --reset starts over")
    else:
        say(
            "沿用上次的数据，但活动大多已过期，建议 --reset",
            "most activities are over by now: --reset makes new ones",
        )


def _progress(asked: Event) -> Callable[[str, str], None]:
    started = time.monotonic()

    def say(zh: str, en: str) -> None:
        if asked.is_set():  # and the exception was lost: it fell into a destructor
            raise KeyboardInterrupt
        click.echo(f"[{time.monotonic() - started:5.1f} s] {zh} · {en}")
        sys.stdout.flush()

    return say
