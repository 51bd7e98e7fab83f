"""The log of requests, with everything secret masked."""

from __future__ import annotations

import json
from collections import deque
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from werkzeug.wrappers import Request

MASK: Final = "***"
_SECRET: Final = frozenset(
    {"secret", "access_token", "js_code", "code", "session_key", "phoneNumber", "purePhoneNumber"}
)
_KEPT: Final = 1000


class Record:
    """The latest requests, oldest first."""

    def __init__(self) -> None:
        self._entries: deque[dict[str, Any]] = deque(maxlen=_KEPT)

    def entries(self, path: str | None = None) -> list[dict[str, Any]]:
        return [entry for entry in self._entries if path in (None, entry["path"])]

    def clear(self) -> None:
        self._entries.clear()

    def begin(self, request: Request, at: str) -> dict[str, Any]:
        """Note a request; its answer is filled in when there is one."""
        raw = request.get_data()
        entry: dict[str, Any] = {
            "at": at,
            "method": request.method,
            "path": request.path,
            "query": masked(request.args.to_dict()),
            "contentType": request.content_type,
            "contentLength": request.content_length,
            "bytes": len(raw),
            "hasUnicodeEscapes": b"\\u" in raw,
            "body": _readable(raw),
            "status": None,
            "answer": None,
            "rid": None,
        }
        self._entries.append(entry)
        return entry

    @staticmethod
    def finish(entry: dict[str, Any], status: int, body: bytes, rid: str | None) -> None:
        entry.update(status=status, answer=_readable(body), rid=rid)


def masked(value: Any) -> Any:
    """Return a copy with the secret fields replaced, at any depth."""
    if isinstance(value, dict):
        return {name: MASK if name in _SECRET else masked(inner) for name, inner in value.items()}
    return [masked(inner) for inner in value] if isinstance(value, list) else value


def _readable(raw: bytes) -> Mapping[str, Any] | str | None:
    """Return a body as masked JSON; anything else is only named, it may hold a secret."""
    if not raw:
        return None
    try:
        value = json.loads(raw)
    except ValueError:
        return "(not JSON)"
    return masked(value) if isinstance(value, dict) else "(not an object)"
