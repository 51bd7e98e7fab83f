"""The enclave branches of the demo, at the nodes and hubs that the demo's other imports made."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import insert, select

from engage.core.imports import ImportReport, data_rows
from engage.enclaves.models import EnclaveBranch
from engage.hubs.errors import ImportOrder
from engage.hubs.models import Hub
from engage.orgs.models import Org

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy.orm import Session

_KIND: Final = "飞地团组织"
_DESCRIPTION: Final = "演示数据：虚构的驻外团组织，为在外的家乡青年提供联络、活动和服务。"


def import_demo_branches(session: Session, now: datetime) -> ImportReport:
    """Create the branches of the demo that are missing; those that are there stay as somebody edited them.

    Raises:
        ImportOrder: their nodes or hubs have not been imported yet.

    """
    rows = {f"hub:{row['id']}": row for row in data_rows("demo/hubs.csv") if row["kind"] == _KIND}
    found = session.execute(
        select(Org.external_ref, Org.id, Hub.address, Hub.lat, Hub.lng, Hub.contact_phone)
        .join(Hub, Hub.external_ref == Org.external_ref)
        .where(Org.external_ref.in_(rows))
    ).all()
    if len(found) < len(rows):
        raise ImportOrder
    present = set(session.scalars(select(EnclaveBranch.id)))
    missing = [
        {
            "id": org_id,
            "home_county_code": rows[ref]["county_code"],
            "host_city_code": rows[ref]["host_city_code"],
            "address": address,
            "lat": lat,
            "lng": lng,
            "contact_phone": contact_phone,
            "description": _DESCRIPTION,
            "created_at": now,
            "updated_at": now,
        }
        for ref, org_id, address, lat, lng, contact_phone in found
        if ref is not None and org_id not in present
    ]
    if missing:
        session.execute(insert(EnclaveBranch), missing)
    return ImportReport(created=len(missing), unchanged=len(found) - len(missing))
