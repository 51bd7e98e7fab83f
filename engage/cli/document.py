"""``engage openapi``: the document in the repository."""

from __future__ import annotations

from importlib.metadata import version
from itertools import zip_longest
from pathlib import Path

import click

from engage.app import APIS
from engage.cli.faults import Fault
from engage.core.openapi import as_yaml, build

_file = click.argument("file", type=click.Path(dir_okay=False, path_type=Path), default="openapi.yaml")


@click.group(short_help="接口文档文件：生成、核对 · Write or check openapi.yaml.")
def openapi() -> None:
    """接口文档文件：生成、核对 · Write or check openapi.yaml, made from the declarations that serve.

    FILE is openapi.yaml in the current folder unless given. A running server shows its own at /docs.
    """


@openapi.command(short_help="生成文档文件 · Write the document.")
@_file
def write(file: Path) -> None:
    """生成接口文档文件 · Write the OpenAPI 3.1 document to FILE (openapi.yaml).

    To be done after every change of an operation, and committed with it; needs no database.
    """
    file.write_text(_document(), encoding="utf-8")
    click.echo(str(file))


@openapi.command(short_help="核对文档文件 · Compare the document with the code.")
@_file
def check(file: Path) -> None:
    """核对接口文档文件与程序是否一致 · Compare FILE (openapi.yaml) with the code.

    Prints the first line that differs and ends with code 1.
    """
    try:
        found = file.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        raise Fault(f"没有文件 {file}。", "Write it with `engage openapi write`.") from None
    expected = _document().splitlines()
    for number, (old, new) in enumerate(zip_longest(found, expected), 1):
        if old != new:
            click.echo(f"{file}:{number}\n- {_shown(old)}\n+ {_shown(new)}", err=True)
            raise Fault(
                f"{file} 与程序不一致，请运行 engage openapi write。",
                "The document is out of date: run `engage openapi write`.",
            )
    click.echo(f"{file}: 一致 in order")


def _document() -> str:
    return as_yaml(build([operation for api in APIS for operation in api.operations], version("engage")))


def _shown(line: str | None) -> str:
    return "(文件结束 end of file)" if line is None else line
