"""Refusals about hubs."""

from __future__ import annotations

from engage.core.errors import Conflict, NotFound


class NoSuchHub(NotFound):
    code = "no_such_hub"
    zh, en = "没有这个站点，或它已停用。", "There is no such hub, or it is out of use."


class ImportOrder(Conflict):
    code = "import_order"
    zh, en = (
        "请按次序导入：行政区划、组织、站点。",
        "Import in this order: divisions, organisations, hubs.",
    )
