"""The import of a customer's list, and of the invented hubs of the demo on the real divisions."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import delete, select, update

from engage.core.errors import InvalidInput
from engage.core.imports import ImportReport, read_rows
from engage.hubs import service
from engage.hubs.errors import ImportOrder
from engage.hubs.models import Hub, HubKind, HubStatus
from engage.hubs.schemas import HUB_COLUMNS, OpeningPeriodIn, read_hub_rows, without_overlap
from engage.orgs.models import Org, OrgStatus
from engage.orgs.service import import_demo_orgs, import_orgs
from engage.regions.geo import Point, distance_m
from engage.regions.models import Division
from engage.regions.service import import_divisions

NOW = datetime(2026, 10, 1, 2, 0, tzinfo=UTC)


def row_of(**values):
    return {
        "external_ref": "JC-0001",
        "name": "东街青年之家",
        "kind": "youth_home",
        "org_ref": "division:140502",
        "division_code": "140502001",
        "county_code": "",
        "address": "凤台东街",
        "lat": "35.50222",
        "lng": "112.83278",
        "coord_type": "wgs84",
        "opening_hours": "6 09:00-24:00；1-5 09:00-12:00; 1-5 14:00-18:00",
        "services": "自习阅览；政策咨询",
        "contact_name": "值班室",
        "contact_phone": "0356-0001234",
        "description": "",
        **values,
    }


def load(session, *rows, now=NOW):
    return service.import_hubs(session, now, read_hub_rows(enumerate(rows, 2)))


@pytest.fixture
def county(make):
    return make.org(external_ref="division:140502")


def hubs(database):
    with database.reading() as connection:
        return connection.execute(select(Hub.__table__).order_by(Hub.external_ref)).all()


def test_a_list_creates_hubs_and_a_second_run_changes_nothing(database, county):
    with database.transaction() as session:
        assert load(session, row_of()) == ImportReport(created=1)
    (hub,) = before = hubs(database)
    assert (hub.org_id, hub.county_code, hub.services) == (county.id, "140502", ["自习阅览", "政策咨询"])
    assert (hub.lat, hub.lng) == (pytest.approx(35.5018, abs=2e-4), pytest.approx(112.8389, abs=2e-4))
    assert len(hub.opening_hours) == 11
    assert hub.opening_hours[-1] == {"weekday": 6, "opens": "09:00", "closes": "24:00"}
    with database.transaction() as session:
        assert load(session, row_of(), now=NOW + timedelta(days=1)) == ImportReport(unchanged=1)
    assert hubs(database) == before


def test_a_changed_row_changes_its_hub_but_not_its_status(database, county):
    with database.transaction() as session:
        load(session, row_of(), row_of(external_ref="JC-0002"))
        session.execute(update(Hub).where(Hub.external_ref == "JC-0001").values(status=HubStatus.SUSPENDED))
    later = NOW + timedelta(days=1)
    with database.transaction() as session:
        changed = load(session, row_of(name="新名", lat="", lng="", coord_type=""), now=later)
    assert changed == ImportReport(updated=1)
    first, second = hubs(database)
    assert (first.name, first.lat, first.status, first.version, first.updated_at) == (
        "新名",
        None,
        HubStatus.SUSPENDED,
        2,
        later,
    )
    assert (second.name, second.version) == ("东街青年之家", 1)


@pytest.mark.parametrize(
    ("values", "pointer", "code"),
    [
        ({"external_ref": ""}, "/3/external_ref", "required"),
        ({"name": "长" * 81}, "/3/name", "too_long"),
        ({"kind": "castle"}, "/3/kind", "no_such_object"),
        ({"org_ref": "division:999999"}, "/3/org_ref", "no_such_object"),
        ({"org_ref": "gone"}, "/3/org_ref", "no_such_object"),
        ({"division_code": "140523"}, "/3/division_code", "no_such_division"),
        ({"division_code": "140100"}, "/3/county_code", "required"),
        ({"county_code": "999999"}, "/3/county_code", "no_such_division"),
        ({"county_code": "140524"}, "/3/county_code", "not_together"),
        ({"lat": "north"}, "/3/lat", "not_number"),
        ({"lat": "95"}, "/3/lat", "too_large"),
        ({"lat": ""}, "/3/lng", "depends_on"),
        ({"lng": ""}, "/3/lat", "depends_on"),
        ({"coord_type": "bd09"}, "/3/coord_type", "not_choice"),
        ({"opening_hours": "every day"}, "/3/opening_hours", "bad_format"),
        ({"opening_hours": "1 18:00-09:00"}, "/3/opening_hours/0/closes", "bad_order"),
        ({"opening_hours": "1-3 09:00-12:00; 2 11:00-13:00"}, "/3/opening_hours/3", "overlap"),
        ({"services": "读书;读书"}, "/3/services", "not_unique"),
        ({"contact_phone": "13800138000"}, "/3/contact_phone", "bad_format"),
        ({"external_ref": "JC-0000"}, "/3/external_ref", "not_unique"),
    ],
)
def test_faults_name_line_and_column_and_nothing_is_imported(database, make, county, values, pointer, code):
    make.org(external_ref="gone", status=OrgStatus.DISSOLVED)
    with pytest.raises(InvalidInput) as refused, database.transaction() as session:
        load(session, row_of(external_ref="JC-0000"), row_of(**values))
    assert (pointer, code) in [(issue.pointer, issue.code) for issue in refused.value.issues]
    assert hubs(database) == []


def test_a_hub_away_from_home_is_imported_under_its_county(database, county):
    with database.transaction() as session:
        load(session, row_of(division_code="140100", county_code="140502"))
    assert hubs(database)[0].county_code == "140502"


def test_a_file_is_read_by_its_columns(database, county, tmp_path):
    file = tmp_path / "hubs.csv"
    file.write_text(
        ",".join(HUB_COLUMNS) + "\n" + ",".join(row_of()[name] for name in HUB_COLUMNS) + "\n",
        encoding="utf-8-sig",
    )
    with database.transaction() as session:
        report = service.import_hubs(session, NOW, read_hub_rows(read_rows(file, HUB_COLUMNS)))
    assert report == ImportReport(created=1)


# The demo


@pytest.fixture(scope="module")
def country(own_database):
    """The real divisions and their committees, the bodies of the demo, the kinds."""
    with own_database.transaction() as session:
        import_divisions(session)
        import_orgs(session, NOW)
        import_demo_orgs(session, NOW)
        assert service.import_hub_kinds(session) == ImportReport(created=11)
        assert service.import_hub_kinds(session) == ImportReport(unchanged=11)
    return own_database


@pytest.fixture
def demo(country):
    with country.transaction() as session:
        session.execute(delete(Hub))
        assert service.import_demo_hubs(session, NOW) == ImportReport(created=345)
    return country


def test_the_demo_has_every_hub_of_its_list_and_a_second_run_changes_nothing(demo):
    before = hubs(demo)
    with demo.transaction() as session:
        assert service.import_demo_hubs(session, NOW + timedelta(days=1)) == ImportReport(unchanged=345)
    assert hubs(demo) == before


def test_the_demo_invents_the_same_hubs_every_time(demo):
    def invented():
        return [{**row._mapping, "id": None} for row in hubs(demo)]

    before = invented()
    with demo.transaction() as session:
        session.execute(delete(Hub))
        service.import_demo_hubs(session, NOW)
    assert invented() == before


def test_what_somebody_edited_in_the_demo_stays(demo):
    with demo.transaction() as session:
        session.execute(update(Hub).where(Hub.external_ref == "hub:H0001").values(name="改过的"))
        session.execute(delete(Hub).where(Hub.external_ref == "hub:H0002"))
    with demo.transaction() as session:
        assert service.import_demo_hubs(session, NOW) == ImportReport(created=1, unchanged=344)
    assert hubs(demo)[0].name == "改过的"


def test_demo_hubs_belong_to_the_nearest_committee_or_are_a_body_themselves(demo):
    with demo.reading() as connection:
        owners = dict(
            connection.execute(
                select(Hub.external_ref, Org.external_ref).join(Org, Org.id == Hub.org_id)
            ).all()
        )
    assert owners["hub:H0001"] == "division:140502001"
    assert owners["hub:H0309"] == "division:140524100"
    assert owners["hub:H0188"] == "hub:H0188"
    assert owners["hub:H0320"] == "hub:H0320"


def test_demo_hubs_stand_near_their_seat_with_plausible_data(demo):
    with demo.reading() as connection:
        seats = {
            code: Point(lat, lng)
            for code, lat, lng in connection.execute(
                select(Division.code, Division.lat, Division.lng).where(Division.lat.is_not(None))
            )
        }
        kinds = set(connection.scalars(select(HubKind.code)))
    found = hubs(demo)
    for hub in found:
        seat = seats.get(hub.division_code[:9]) or seats[hub.division_code[:6]]
        assert distance_m(seat, Point(hub.lat, hub.lng)) < 1510
        assert hub.contact_phone.startswith("0356-000")
        assert hub.kind_code in kinds
        assert hub.services
        assert (
            without_overlap([OpeningPeriodIn().load(period) for period in hub.opening_hours])
            == hub.opening_hours
        )
    assert len({(hub.lat, hub.lng) for hub in found}) > 300
    away = [hub for hub in found if hub.kind_code == "enclave_branch"]
    assert {hub.county_code for hub in away} == {"140524"}
    assert {hub.division_code for hub in away} == {
        "140100",
        "410100",
        "110000",
        "610100",
        "310000",
        "120000",
        "320500",
        "140400",
    }


def test_where_no_seat_is_known_a_demo_hub_has_no_position(country):
    with country.transaction() as session:
        session.execute(delete(Hub))
        session.execute(update(Division).values(lat=None, lng=None))
        service.import_demo_hubs(session, NOW)
        assert set(session.execute(select(Hub.lat, Hub.lng)).all()) == {(None, None)}
        session.rollback()


def test_the_demo_needs_divisions_and_organisations_first(country):
    with country.transaction() as session:
        session.execute(delete(Hub))
        session.execute(update(Org).values(external_ref=None))
        with pytest.raises(ImportOrder):
            service.import_demo_hubs(session, NOW)
        session.rollback()
