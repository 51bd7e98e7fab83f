"""The import of divisions, on the full real data and in a database of its own."""

from __future__ import annotations

import time

import pytest
from sqlalchemy import func, select, update
from sqlalchemy.orm import aliased

from engage.core.imports import ImportReport, data_rows
from engage.regions import service
from engage.regions.models import Division, DivisionLevel, SuccessorBasis

ALL_ROWS = 34 + 333 + 2845 + 77 + 1729 + 2173


@pytest.fixture(scope="module")
def imported(own_database):
    with own_database.transaction() as session:
        report = service.import_divisions(session)
    assert report == ImportReport(created=ALL_ROWS)
    return own_database


@pytest.fixture
def region(imported):
    def read(code):
        with imported.reading() as connection:
            return connection.execute(select(Division.__table__).where(Division.code == code)).one()

    return read


def test_every_level_has_as_many_divisions_as_the_country(imported):
    with imported.reading() as connection:
        counts = connection.execute(
            select(Division.level, func.count())
            .where(Division.retired_after.is_(None))
            .group_by(Division.level)
        ).all()
    assert dict(tuple(row) for row in counts) == {
        DivisionLevel.PROVINCE: 34,
        DivisionLevel.PREFECTURE: 333,
        DivisionLevel.COUNTY: 2845,
        DivisionLevel.TOWNSHIP: 77,
        DivisionLevel.VILLAGE: 1729,
    }


def test_the_six_counties_of_jincheng_hang_on_the_city(imported):
    with imported.reading() as connection:
        rows = connection.execute(
            select(Division.code, Division.name)
            .where(Division.parent_code == "140500", Division.retired_after.is_(None))
            .order_by(Division.code)
        ).all()
    assert [tuple(row) for row in rows] == [
        ("140502", "城区"),
        ("140521", "沁水县"),
        ("140522", "阳城县"),
        ("140524", "陵川县"),
        ("140525", "泽州县"),
        ("140581", "高平市"),
    ]


def test_townships_and_villages_keep_kind_and_both_codes(region):
    assert (region("140522110").name, region("140522110").mca_code != "140522110") == ("演礼镇", True)
    assert (region("140502001").kind, region("140502001").parent_code) == ("街道", "140502")
    assert region("140502001001").kind == "社区"


def test_the_unit_that_is_no_village_keeps_its_kind(imported):
    with imported.reading() as connection:
        kinds = connection.execute(
            select(Division.kind, func.count())
            .where(Division.level == DivisionLevel.VILLAGE)
            .group_by(Division.kind)
        ).all()
    assert dict(tuple(row) for row in kinds) == {"村": 1548, "社区": 180, "其他": 1}


def test_a_second_import_changes_nothing(imported):
    with imported.transaction() as session:
        assert service.import_divisions(session) == ImportReport(unchanged=ALL_ROWS)


def test_the_import_takes_less_than_three_seconds(imported):
    with imported.transaction() as session:
        session.execute(update(Division).values(successor_code=None, successor_basis=None, mca_code="0"))
        started = time.perf_counter()
        report = service.import_divisions(session)
        assert time.perf_counter() - started < 3
        assert report == ImportReport(updated=ALL_ROWS)


def test_what_was_changed_by_hand_is_put_right(imported, region):
    with imported.transaction() as session:
        session.execute(
            update(Division).where(Division.code == "140524").values(name="凌川县", lat=None, lng=None)
        )
    with imported.transaction() as session:
        assert service.import_divisions(session) == ImportReport(updated=1, unchanged=ALL_ROWS - 1)
    assert (region("140524").name, region("140524").lat) == ("陵川县", 35.77989)


@pytest.mark.parametrize(
    ("code", "successor", "basis"),
    [
        ("149002", "140581", SuccessorBasis.SAME_NAME),  # 高平市 under the code of its first years
        ("140523", "140581", SuccessorBasis.SAME_STEM),  # 高平县 became 高平市
        ("140503", "140525", SuccessorBasis.CURATED),  # 郊区 of 晋城 became 泽州县
        ("652100", "650400", SuccessorBasis.SAME_STEM),  # 吐鲁番地区 became 吐鲁番市
        ("210621", "210682", SuccessorBasis.SAME_STEM),  # 凤城满族自治县 became 凤城市
        ("110221", "110114", SuccessorBasis.SAME_STEM),  # 昌平县 became a district of the municipality
        ("510221", "500115", SuccessorBasis.SAME_STEM),  # 长寿县 went from 四川 to 重庆
        ("362401", None, None),  # 吉安市 became 吉州区: 吉安县 beside it is another place
        ("140203", None, None),  # 矿区 of 大同: the 矿区 of 阳泉 is none of it
        ("130421", None, None),  # 邯郸县 was merged away: 邯郸市 is of another level
        ("370825", None, None),  # 邹县: one character is too little to tell
    ],
)
def test_a_retired_code_becomes_what_its_name_or_the_list_says(region, code, successor, basis):
    row = region(code)
    assert (row.successor_code, row.successor_basis) == (successor, basis)


def test_every_successor_is_in_use_and_none_is_itself(imported):
    successor = aliased(Division)
    with imported.reading() as connection:
        rows = connection.execute(
            select(Division.code, successor.code, successor.retired_after).join(
                successor, successor.code == Division.successor_code
            )
        ).all()
    assert len(rows) > 1700
    assert all(later is None and new != old for old, new, later in rows)


def test_every_code_of_the_hand_made_list_was_in_use_once(region):
    for row in data_rows("division_successors.csv"):
        assert region(row["code"]).successor_basis is SuccessorBasis.CURATED


def test_a_hand_made_successor_that_is_not_in_use_stops_the_import(imported, monkeypatch):
    real = service.data_rows
    wrong = [{"code": "140503", "successor_code": "140523"}]
    monkeypatch.setattr(
        service, "data_rows", lambda name: wrong if name == "division_successors.csv" else real(name)
    )
    with pytest.raises(ValueError, match="140523"), imported.transaction() as session:
        service.import_divisions(session)


def test_retired_codes_hang_on_their_prefecture_or_province(region):
    assert region("140523").parent_code == "140500"
    assert region("142133").parent_code == "142100"  # a prefecture that is retired too
    assert region("110221").parent_code == "110000"
    assert region("142100").parent_code == "140000"
    assert region("140523").retired_after == 1992


def test_positions_are_gcj02_and_placeholders_are_marked(imported, region):
    assert (region("140500").lat, region("140500").lng) == (35.50185, 112.83893)
    assert (region("140100").lat, region("140100").lng) == pytest.approx((37.8699, 112.5665), abs=1e-4)
    assert (region("140502100").point_is_placeholder, region("140502001").point_is_placeholder) == (
        False,
        True,
    )
    assert region("140502001").lng == pytest.approx(112.857 + 0.0061, abs=2e-4)
    with imported.reading() as connection:
        placeholders = connection.scalar(select(func.count()).where(Division.point_is_placeholder))
    assert placeholders == 71
