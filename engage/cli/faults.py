"""How a command says that something is wrong."""

from __future__ import annotations

import click


class Fault(click.ClickException):
    """A sentence in Chinese and English for the operator; the command ends with a non-zero code."""

    def __init__(self, zh: str, en: str) -> None:
        super().__init__(f"{zh} {en}")
