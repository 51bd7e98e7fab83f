"""Operations of the audit log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from engage.audit.queries import entries as queries
from engage.audit.schemas import AuditEntriesQuery, AuditEntryPage, AuditExportQuery
from engage.core.audit import listed, rows
from engage.core.errors import NotAllowed
from engage.core.http import Api, Binary
from engage.orgs.caller import staff, staff_privileged

if TYPE_CHECKING:
    from engage.core.db import Look
    from engage.core.paging import Page

api: Final = Api("审计日志 · Audit log")


@api.operation(
    "GET", "/audit/entries", access=staff, zh="审计日志", query=AuditEntriesQuery, returns=AuditEntryPage, refuses=[NotAllowed],
    people=listed(),
)  # fmt: skip
def list_audit_entries(look: Look, query: dict[str, Any]) -> Page:
    """List entries of the audit log, the newest first.

    限在组织树根节点上的审计员和平台管理员。可按操作人、对象、操作、结果、时间、请求编号、来源地址、登录、密钥查找，可组合。`object_id` 同时查对象及对象之内（如活动下的报名）。个人信息和自由文字只注明已变更。刚写入的几秒内 `sealed` 为 false。
    读日志本身也记一条。

    For auditors and platform administrators at the root of the tree, by any of the parameters together. `object_id` finds the object and what is inside one, such as a sign-up of an activity. Of personal
    data and free texts it only says that they changed. For seconds after it was written an entry has `sealed` false. Reading the log is an
    entry too.
    """
    return queries.list_entries(look, query)


@api.operation(
    "GET", "/audit/entries/export", access=staff_privileged, zh="导出审计日志（CSV）", query=AuditExportQuery,
    binary=Binary("text/csv", "audit.csv", "编号,时间,操作人,代其操作的密钥,会话,操作,…"), refuses=[NotAllowed], people=rows,
)  # fmt: skip
def export_audit_entries(look: Look, query: dict[str, Any]) -> bytes:
    """Export entries of the audit log as CSV for a spreadsheet.

    与列表同一查询，最新的 50,000 条。The rows of the list, the newest 50,000.
    """
    return queries.export_entries(look, query)
