"""Identifiers: UUIDv7, so that keys sort by creation."""

from __future__ import annotations

from typing import TYPE_CHECKING

import uuid_utils
import uuid_utils.compat

if TYPE_CHECKING:
    from uuid import UUID


def new_id() -> UUID:
    """Return a fresh UUIDv7."""
    return uuid_utils.compat.uuid7()


def new_request_id() -> str:
    """Return the 32 hexadecimal digits of a fresh UUIDv7."""
    return uuid_utils.uuid7().hex
