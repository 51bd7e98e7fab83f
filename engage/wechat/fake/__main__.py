"""``python -m engage.wechat.fake --port 9001 --control``: the stand-in as a process of its own."""

from __future__ import annotations

import json
import sys
from typing import IO, Any

import click

from engage.wechat.fake.identifiers import DEFAULT_SEED
from engage.wechat.fake.server import FakeServer, create_fake
from engage.wechat.fake.world import DEFAULT_APPID, DEFAULT_SECRET


@click.command()
@click.option(
    "--port", type=click.IntRange(0, 65535), required=True, help="On 127.0.0.1; 0 takes a free one."
)
@click.option("--seed", default=DEFAULT_SEED, help="Identities follow from it.")
@click.option("--appid", default=DEFAULT_APPID, help="The mini program.")
@click.option("--secret", default=DEFAULT_SECRET, help="Its AppSecret.")
@click.option(
    "--users", type=click.File(encoding="utf-8"), help="A JSON list of users who exist from the start."
)
@click.option(
    "--control/--no-control", default=False, help="Answer /__fake__/, which mints codes for anybody."
)
def main(port: int, seed: str, appid: str, secret: str, users: IO[str] | None, *, control: bool) -> None:
    """Answer as WeChat's server does, on loopback, until interrupted."""
    known: list[dict[str, Any]] = json.load(users) if users else []
    app = create_fake(seed=seed, appid=appid, secret=secret, users=known, control=control)
    try:
        server = FakeServer(app, port)
    except OSError as error:
        sys.exit(f"127.0.0.1:{port}: {error.strerror}")
    click.echo(server.base_url)
    server.serve()


if __name__ == "__main__":
    main()
