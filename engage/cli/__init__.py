"""The command line: ``engage --help``."""

from __future__ import annotations

import io
import sys
from importlib import import_module


def main() -> None:
    """Run ``engage``. Nothing but the standard library is needed to say that an installation is incomplete."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(
                errors="replace"
            )  # a terminal without Chinese shows question marks, not a traceback
    try:
        commands = import_module("engage.cli.commands")
    except ModuleNotFoundError as error:
        sys.exit(
            f"缺少 Python 包 {error.name}，请重新安装 engage。 Missing package {error.name}: install engage again."
        )
    commands.engage()
