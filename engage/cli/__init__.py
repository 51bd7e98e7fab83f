"""The command line: ``engage --help``."""

from __future__ import annotations

import sys
from importlib import import_module


def main() -> None:
    """Run ``engage``. Nothing but the standard library is needed to say that an installation is incomplete."""
    try:
        commands = import_module("engage.cli.commands")
    except ModuleNotFoundError as error:
        sys.exit(
            f"缺少 Python 包 {error.name}，请重新安装 engage。 Missing package {error.name}: install engage again."
        )
    commands.engage()
