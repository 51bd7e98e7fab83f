"""The enclave branches of the demo, on the real divisions and in a database of its own."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from sqlalchemy import delete, select, update

from engage.core.imports import ImportReport
from engage.enclaves.models import EnclaveBranch
from engage.enclaves.service import import_demo_branches
from engage.hubs.errors import ImportOrder
from engage.hubs.service import import_demo_hubs, import_hub_kinds
from engage.orgs.models import Org
from engage.orgs.service import import_demo_orgs, import_orgs
from engage.regions.service import import_divisions

NOW = datetime(2026, 10, 1, 2, 0, tzinfo=UTC)


@pytest.fixture(scope="module")
def country(own_database):
    with own_database.transaction() as session:
        import_divisions(session)
        import_orgs(session, NOW)
        import_demo_orgs(session, NOW)
        import_hub_kinds(session)
    return own_database


def test_the_demo_has_eight_branches_and_keeps_what_was_edited(country):
    with pytest.raises(ImportOrder), country.transaction() as session:
        import_demo_branches(session, NOW)
    with country.transaction() as session:
        import_demo_hubs(session, NOW)
        assert import_demo_branches(session, NOW) == ImportReport(created=8)
    with country.transaction() as session:
        session.execute(
            update(EnclaveBranch).where(EnclaveBranch.host_city_code == "110000").values(host_org="商会")
        )
        session.execute(delete(EnclaveBranch).where(EnclaveBranch.host_city_code == "140100"))
        assert import_demo_branches(session, NOW) == ImportReport(created=1, unchanged=7)
    with country.transaction() as session:
        assert import_demo_branches(session, NOW) == ImportReport(unchanged=8)
    with country.reading() as connection:
        rows = connection.execute(
            select(EnclaveBranch.__table__, Org.name, Org.kind_code).join(Org, Org.id == EnclaveBranch.id)
        ).all()
    by_city = {row.host_city_code: row for row in rows}
    assert (by_city["140100"].name, by_city["140100"].kind_code) == ("陵川县驻太原团工委", "enclave_branch")
    assert by_city["110000"].host_org == "商会"
    assert {row.home_county_code for row in rows} == {"140524"}
    assert all(row.lat and row.lng and row.address and row.contact_phone for row in rows)
