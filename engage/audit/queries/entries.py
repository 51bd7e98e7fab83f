"""The log as auditors read it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import literal_column, or_, select

from engage.audit.models import AuditLink
from engage.core.audit import DONE, AuditEntry
from engage.core.paging import Pager, beyond
from engage.core.sheets import as_csv
from engage.orgs.access import Permission, require_everywhere

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sqlalchemy import ColumnElement

    from engage.core.db import Context
    from engage.core.paging import Page

MAX_EXPORTED: Final = 50_000
_NEWEST_FIRST: Final = (AuditEntry.occurred_at, AuditEntry.id)
_EXACT: Final = ("actor_id", "action", "request_id", "address", "session_id", "api_key_id")
_TITLES: Final = {
    "id": "编号",
    "occurred_at": "时间",
    "actor_id": "操作人",
    "api_key_id": "代其操作的密钥",
    "session_id": "会话",
    "action": "操作",
    "object_kind": "对象种类",
    "object_id": "对象",
    "part_id": "对象之内",
    "result": "结果",
    "people": "涉及人数",
    "request_id": "请求编号",
    "address": "来源地址",
    "purpose": "用途",
    "position": "链上位置",
}


def list_entries(look: Context, query: dict[str, Any]) -> Page:
    """Return entries, the newest first.

    Raises:
        NotAllowed: the caller does not read the log.
        InvalidInput: the cursor was altered or belongs to other filters.

    """
    require_everywhere(look, Permission.READ_AUDIT)
    pager = Pager(look.settings, "audit-entries", query)
    rows = _rows(look, query, query["limit"] + 1, pager.after())
    return pager.page(rows, lambda row: [row["occurred_at"], row["id"]])


def export_entries(look: Context, query: dict[str, Any]) -> bytes:
    """Return what ``list_entries`` lists as CSV, the newest ``MAX_EXPORTED``, a column for the changes.

    Raises:
        NotAllowed: the caller does not read the log.

    """
    require_everywhere(look, Permission.READ_AUDIT)
    rows = _rows(look, query, MAX_EXPORTED, None)
    return as_csv(
        [
            (*_TITLES.values(), "变更", "未列出的变更"),
            *((*(row[name] for name in _TITLES), _in_words(row), row["changes_omitted"]) for row in rows),
        ]
    )  # fmt: skip


def _rows(
    look: Context, query: Mapping[str, Any], limit: int, after: list[Any] | None
) -> list[dict[str, Any]]:
    statement = (
        select(*AuditEntry.__table__.c, AuditLink.position)
        .outerjoin(AuditLink, AuditLink.entry_id == AuditEntry.id)
        .where(*_filters(query))
        .order_by(*(column.desc() for column in _NEWEST_FIRST))
        .limit(limit)
    )
    if after:
        statement = statement.where(beyond(_NEWEST_FIRST, after, descending=True))
    return [_entry(row) for row in look.db.execute(statement).mappings()]


def _filters(query: Mapping[str, Any]) -> Iterator[ColumnElement[bool]]:
    for name in _EXACT:
        if query[name]:
            yield getattr(AuditEntry, name) == query[name]
    if query["object_id"]:
        yield or_(AuditEntry.object_id == query["object_id"], AuditEntry.part_id == query["object_id"])
    if query["result"]:
        yield AuditEntry.result == query["result"]
        if query["result"] != DONE:  # said again as it stands in the index of refusals
            yield AuditEntry.result != literal_column(f"'{DONE}'")
    if query["from_at"]:
        yield AuditEntry.occurred_at >= query["from_at"]
    if query["until_at"]:
        yield AuditEntry.occurred_at < query["until_at"]


def _entry(row: Mapping[Any, Any]) -> dict[str, Any]:
    changes = row["changes"] or {"items": [], "omitted": 0}
    return {
        **row,
        "changes": [{"before": None, "after": None, **item, "shown": "after" in item} for item in changes["items"]],
        "changes_omitted": changes["omitted"],
        "sealed": row["position"] is not None,
    }  # fmt: skip


def _in_words(entry: Mapping[str, Any]) -> str:
    return "；".join(
        f"{item['object']} {item['id']} {item['field']}"
        + (f": {item['before'] or '—'} → {item['after'] or '—'}" if item["shown"] else "")
        for item in entry["changes"]
    )
