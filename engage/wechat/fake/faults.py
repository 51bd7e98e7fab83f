"""Faults on order: slow, broken, refused and lost answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

_FIELDS: Final = frozenset(
    {"path", "times", "errcode", "errmsg", "latencyMs", "httpStatus", "drop", "body", "truncate"}
)


@dataclass
class Fault:
    """What goes wrong at one path the next ``times`` times; None: every time.

    ``drop``: the connection is closed ``"before"`` or ``"after"`` the work, without an answer.
    """

    path: str
    times: int | None = 1
    errcode: int | None = None
    errmsg: str = "system error"
    latency_ms: int = 0
    http_status: int | None = None
    drop: str | None = None
    body: str | None = None
    truncate: bool = False

    @property
    def replaces_work(self) -> bool:
        return self.errcode is not None or self.http_status is not None or self.body is not None


def fault_from(given: Mapping[str, Any]) -> Fault:
    """Read a fault from the control plane.

    Raises:
        ValueError: an unknown or impossible field; the text says which.

    """
    unknown = set(given) - _FIELDS
    if unknown or not isinstance(given.get("path"), str):
        raise ValueError(f"path is required, and there is no {sorted(unknown)}")
    if given.get("drop") not in (None, "before", "after"):
        raise ValueError("drop must be before or after")
    return Fault(
        path=given["path"],
        times=given.get("times", 1),
        errcode=given.get("errcode"),
        errmsg=given.get("errmsg", "system error"),
        latency_ms=given.get("latencyMs", 0),
        http_status=given.get("httpStatus"),
        drop=given.get("drop"),
        body=given.get("body"),
        truncate=bool(given.get("truncate", False)),
    )


class Faults:
    """The orders that are open, oldest first."""

    def __init__(self) -> None:
        self._open: list[Fault] = []

    def add(self, fault: Fault) -> None:
        self._open.append(fault)

    def clear(self) -> None:
        self._open.clear()

    def take(self, path: str) -> Fault | None:
        """Return the fault that meets the next request to a path, and count it."""
        for fault in self._open:
            if fault.path == path and (fault.times is None or fault.times > 0):
                if fault.times is not None:
                    fault.times -= 1
                return fault
        return None
