"""``engage serve``: the API under Gunicorn."""

from __future__ import annotations

import errno
import socket
from typing import TYPE_CHECKING, Any

import click
from gunicorn import util
from gunicorn.app.base import Application

from engage.app import create_app
from engage.cli.faults import Fault
from engage.cli.installation import database_at_head
from engage.core.config import Settings

if TYPE_CHECKING:
    from flask import Flask


@click.command(short_help="启动接口服务 · Run the API under Gunicorn.")
@click.option(
    "--bind", metavar="HOST:PORT", help="Address to listen on [default: ENGAGE_BIND, 127.0.0.1:8000]."
)
@click.option("--workers", type=click.IntRange(1, 64), help="Processes [default: ENGAGE_WORKERS, 2].")
@click.option(
    "--threads", type=click.IntRange(1, 64), help="Threads of each process [default: ENGAGE_THREADS, 4]."
)
def serve(bind: str | None, workers: int | None, threads: int | None) -> None:
    r"""启动接口服务（Gunicorn） · Run the API under Gunicorn until it is told to stop.

    Refuses to start on a database that is not at the newest revision, on a taken address and on unsafe
    settings. SIGTERM stops it after the requests in hand, Ctrl-C at once; SIGHUP restarts the workers.

    \b
    engage serve --bind 127.0.0.1:9000
    engage serve --workers 4 --threads 8
    """
    given = {"bind": bind, "workers": workers, "threads": threads}
    settings = Settings.from_env().replace(
        **{name: value for name, value in given.items() if value is not None}
    )
    with database_at_head(settings):
        refuse_taken(settings.bind)
    Server(settings).run()


class Server(Application):  # type: ignore[misc]
    """Gunicorn in this process, with the package's own configuration: no second start of the interpreter."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        super().__init__(prog="engage serve")

    def load_config(self) -> None:
        self.load_config_from_module_name_or_filename("python:engage.gunicorn_config")
        self.cfg.set("bind", [self._settings.bind])
        self.cfg.set("workers", self._settings.workers)
        self.cfg.set("threads", self._settings.threads)

    def load(self) -> Flask:
        return create_app(self._settings)


def refuse_taken(bind: str) -> None:
    """Try an address before Gunicorn does, which would retry for five seconds and then give no reason.

    Raises:
        Fault: it is not an address, not of this machine, or in use.

    """
    try:
        address: Any = util.parse_address(bind, default_port="8000")
    except (RuntimeError, ValueError) as error:
        raise Fault(f"{bind} 不是可用的地址。", "Use HOST:PORT, [IPV6]:PORT or unix:/path.") from error
    if not isinstance(address, tuple):
        return  # a socket file is taken over
    family = socket.AF_INET6 if util.is_ipv6(address[0]) else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
        except socket.gaierror as error:
            raise Fault(f"{bind} 不是本机地址。", "This is no address of this machine.") from error
        except OSError as error:
            raise _refused(bind, error) from error


def _refused(bind: str, error: OSError) -> Fault:
    if error.errno == errno.EADDRINUSE:
        return Fault(
            f"{bind} 已被占用，请换一个端口。",
            "This address is taken by another program; choose another port.",
        )
    if error.errno == errno.EACCES:
        return Fault(f"没有权限监听 {bind}。", "Ports below 1024 need more rights; choose a higher one.")
    return Fault(f"不能监听 {bind}。", f"Cannot listen there: {error.strerror}.")
