"""Refusals about hubs."""

from __future__ import annotations

from engage.core.errors import Conflict, NotFound


class NoSuchHub(NotFound):
    code = "no_such_hub"
    zh, en = "没有这个站点，或它已停用。", "There is no such hub, or it is out of use."


class ImportOrder(Conflict):
    code = "import_order"
    zh, en = (
        "请先导入行政区划和组织：engage import divisions，engage import orgs。",
        "Import divisions and organisations first: engage import divisions, engage import orgs.",
    )
