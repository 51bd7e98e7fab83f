"""What an officer of one county is told of the others: totals, never of 1 to 4 people, and never a person."""

from __future__ import annotations

import csv
import io
from datetime import datetime, timedelta
from types import SimpleNamespace

import pytest
from counting import count_statements
from hypothesis import given
from hypothesis import strategies as st

from engage.activities.models import ActivityStatus, SignUpState
from engage.core.clock import SHANGHAI
from engage.orgs.models import Role
from engage.statistics.queries.counties import _Cell, _withheld

URL = "/v1/statistics/counties"
CODES = {"urban": "140502", "qinshui": "140521", "yangcheng": "140522", "lingchuan": "140524"}
AUGUST = datetime(2026, 8, 10, 9, tzinfo=SHANGHAI)


@pytest.fixture
def tree(make, frozen):
    """The city above four counties; one of them has a township and a hub."""
    city = make.org(name="团市委", division_code="140500")
    counties = {name: make.org(city, division_code=code) for name, code in CODES.items()}
    town = make.org(counties["urban"], division_code="140502001")
    return SimpleNamespace(city=city, town=town, hub=make.hub(counties["urban"]), **counties)


@pytest.fixture
def hold(make):
    """Return a function that lets an activity of August happen: ``came`` people were there, ``absent`` were not."""

    def hold(org, came, absent=0, walk_ins=0, start=AUGUST, **values):
        people = came if isinstance(came, list) else [make.person() for _ in range(came)]
        activity = make.activity(
            org, starts_at=start, ends_at=start + timedelta(hours=2), sign_up_opens_at=start - timedelta(days=9),
            sign_up_closes_at=start, capacity=100, **values,
        )  # fmt: skip
        for person in people:
            make.check_in(make.sign_up(activity, person), arrived_at=start)
        for _ in range(absent):
            make.sign_up(activity)
        for _ in range(walk_ins):
            make.check_in(make.sign_up(activity, state=SignUpState.WALK_IN), arrived_at=start)
        return people

    return hold


def read(client, month="2026-08"):
    answer = client.get(URL, query_string={"month": month})
    assert answer.status_code == 200, answer.json
    return answer.json


def people(found):
    """Return the people of each row by its key, and of the totals under ``all``; None where they are withheld."""
    return {row["key"]["id"]: row["people"] for row in found["counties"]} | {"all": found["totals"]["people"]}


def test_a_county_sees_the_totals_of_another_but_no_small_cell(as_user, make, tree, hold):
    for name, came in {"urban": 6, "qinshui": 3, "yangcheng": 7, "lingchuan": 9}.items():
        hold(getattr(tree, name), came)
    urban, qinshui, yangcheng, lingchuan = CODES.values()
    exact = {urban: 6, qinshui: 3, yangcheng: 7, lingchuan: 9, "all": 25}
    # Withheld: the small one, and the smallest of five or more that the reader does not answer for.
    expected = {
        "urban": exact | {qinshui: None, yangcheng: None},
        "qinshui": exact,  # what is small is their own
        "yangcheng": exact | {qinshui: None, urban: None},
        "lingchuan": exact | {qinshui: None, urban: None},
        "city": exact,
    }
    for place, seen in expected.items():
        for role in (Role.OFFICER, Role.ANALYST):
            found = read(as_user(make.staff(role, org=getattr(tree, place)).id))
            assert people(found) == seen, place
            for row in [*found["counties"], found["totals"]]:
                assert row["withheld"] == (row["people"] is None)
                assert (row["check_ins"] is None) == row["withheld"]
                assert row["activities"] == (4 if row is found["totals"] else 1)
    found = read(as_user(make.staff(Role.OFFICER, org=tree.urban).id))
    assert found["counties"][0] == {
        "key": {"id": "140502", "name": "城区"},
        "activities": 1,
        "check_ins": 6,
        "people": 6,
        "attendance_rate": 1,
        "withheld": False,
    }
    assert found["totals"] == {
        "activities": 4,
        "check_ins": 25,
        "people": 25,
        "attendance_rate": None,
        "withheld": False,
    }


def test_where_nothing_covers_a_small_cell_the_totals_go(as_user, make, tree, hold):
    hold(tree.urban, 6)
    hold(tree.qinshui, 3)
    hold(tree.yangcheng, 0)  # nobody came: that is no small cell
    officer = as_user(make.staff(Role.OFFICER, org=tree.urban).id)
    found = read(officer)
    assert people(found) == {"140502": 6, "140521": None, "140522": 0, "all": None}
    assert found["totals"] == {
        "activities": 3,
        "check_ins": None,
        "people": None,
        "attendance_rate": None,
        "withheld": True,
    }
    hold(tree.lingchuan, 4)  # two small ones may be the same four people: still nothing to cover them
    assert people(read(officer))["all"] is None
    hold(tree.city, 5)  # what belongs to no county stands last
    assert people(read(officer)) == {
        "140502": 6, "140521": None, "140522": 0, "140524": None, None: None, "all": 18,
    }  # fmt: skip
    assert read(officer)["counties"][-1]["key"] == {"id": None, "name": "市级及其他"}


def test_what_counts_is_whom_the_reader_does_not_know_already(as_user, make, tree, hold):
    """A county with nine people of whom the reader counts six in figures of their own is a county of three."""
    hold(make.org(tree.lingchuan, division_code=CODES["urban"]), 3)  # theirs, wherever it sits
    hold(tree.lingchuan, 6, hub_id=tree.hub.id, place_name=None)
    hold(tree.yangcheng, 8)
    officer = make.staff(Role.OFFICER, org=tree.urban)
    assert people(read(as_user(officer.id))) == {"140522": 8, "140524": 9, "all": 17}
    make.grant(officer, Role.HUB_MANAGER, hub=tree.hub)
    assert people(read(as_user(officer.id))) == {"140522": None, "140524": None, "all": 17}
    hold(tree.town, 5)
    hold(tree.urban, 4)
    township = as_user(make.staff(Role.OFFICER, org=tree.town).id)
    assert people(read(township)) == {"140502": None, "140522": None, "140524": 9, "all": 26}


def test_how_many_were_counted_twice_may_be_few_too(as_user, make, tree, hold):
    both = hold(tree.yangcheng, 7)[:2]
    hold(tree.lingchuan, [*both, *[make.person() for _ in range(6)]])
    reader = as_user(make.staff(Role.OFFICER, org=tree.urban).id)
    found = read(reader)
    assert people(found) == {"140522": 7, "140524": 8, "all": None}
    assert (found["totals"]["check_ins"], found["totals"]["withheld"]) == (15, False)
    assert people(read(as_user(make.staff(Role.ANALYST, org=tree.city).id)))["all"] == 13


def test_a_rate_does_not_tell_of_a_few_either(as_user, make, tree, hold):
    hold(tree.qinshui, 8, absent=2)
    hold(tree.yangcheng, 15, absent=5)
    hold(tree.lingchuan, 3, absent=9, walk_ins=4)
    hold(tree.urban, 1, absent=1)
    reader = as_user(make.staff(Role.OFFICER, org=tree.urban).id)
    rates = {row["key"]["id"]: row["attendance_rate"] for row in read(reader)["counties"]}
    assert rates == {"140502": 0.5, "140521": None, "140522": 0.75, "140524": None}
    assert read(reader)["totals"]["attendance_rate"] is None
    all_of_it = read(as_user(make.staff(Role.ANALYST, org=tree.city).id))
    assert [row["attendance_rate"] for row in all_of_it["counties"]] == [0.5, 0.8, 0.75, 0.25]
    assert all_of_it["totals"]["attendance_rate"] == 0.6136  # 27 of 44


@given(st.lists(st.tuples(st.integers(0, 9), st.booleans()), max_size=7))
def test_what_the_totals_less_the_rows_give_is_never_of_a_few(sizes):
    cells = [
        _Cell(str(index), None, 1, size, size, size, size, 0 if own else size, 0, 0)
        for index, (size, own) in enumerate(sizes)
    ]
    withheld, whole = _withheld(cells)
    hidden = [cell for cell in cells if cell.key in withheld]
    assert all(cell.new_people for cell in hidden)  # what is one's own is never withheld, nor what is nought
    assert {cell.key for cell in cells if 1 <= cell.new_people <= 4} <= withheld
    if hidden and not whole:
        assert len(hidden) >= 2
        assert max(cell.new_people for cell in hidden) >= 5
    if not any(1 <= cell.new_people <= 4 for cell in cells):
        assert (withheld, whole) == (set(), False)


def test_a_month_is_shown_when_it_does_not_move_any_more(as_user, make, tree, hold, frozen):
    hold(tree.qinshui, 6, start=datetime(2026, 9, 30, 23, 59, tzinfo=SHANGHAI))
    hold(tree.qinshui, 5, start=datetime(2026, 9, 1, tzinfo=SHANGHAI))
    hold(tree.qinshui, 7, start=datetime(2026, 8, 31, 23, 59, tzinfo=SHANGHAI))
    hold(tree.qinshui, 9, start=AUGUST, status=ActivityStatus.CANCELLED)
    reader = as_user(make.staff(Role.OFFICER, org=tree.urban).id)
    assert people(read(reader)) == {"140521": 7, "all": 7}
    for month in ("2026-09", "2026-10", "2099-12"):
        early = reader.get(URL, query_string={"month": month})
        assert (early.status_code, early.json["errors"][0]["code"]) == (422, "month_not_settled")
        assert "2026-08" in early.json["errors"][0]["detail"]
    frozen.set(datetime(2026, 10, 7, 23, 59, 59, tzinfo=SHANGHAI))
    assert reader.get(URL, query_string={"month": "2026-09"}).status_code == 422
    frozen.set(datetime(2026, 10, 8, tzinfo=SHANGHAI))
    assert people(read(reader, "2026-09")) == {"140521": 11, "all": 11}
    for month in ("2026-13", "2026-00", "1999-01", "2026-8", "2026-08-01", "二零二六年八"):
        assert reader.get(URL, query_string={"month": month}).status_code == 422
    assert read(reader, "2025-01")["totals"] == {
        "activities": 0, "check_ins": 0, "people": 0, "attendance_rate": None, "withheld": False,
    }  # fmt: skip


def test_the_table_has_the_same_numbers_and_neither_has_a_person(as_user, make, tree, hold):
    named = [make.person(name="陈独一") for _ in range(8)]
    hold(tree.lingchuan, named)
    hold(tree.qinshui, 2, absent=3)
    hold(tree.yangcheng, 30, absent=6)
    for place in ("urban", "qinshui", "city"):
        reader = as_user(make.staff(Role.OFFICER, org=getattr(tree, place)).id)
        shown = reader.get(URL, query_string={"month": "2026-08"})
        table = reader.get(f"{URL}/export", query_string={"month": "2026-08"})
        assert table.headers["Content-Type"] == "text/csv; charset=utf-8"
        rows = list(csv.DictReader(io.StringIO(table.get_data().decode("utf-8-sig"))))
        assert [row["名称"] for row in rows] == ["沁水县", "阳城县", "陵川县", "合计"]
        for row, figures in zip(rows, [*shown.json["counties"], shown.json["totals"]], strict=True):
            assert row["不公布"] == ("是" if figures["withheld"] else "")
            for heading, name in {
                "活动": "activities", "人次": "check_ins", "人数": "people", "到场率": "attendance_rate",
            }.items():  # fmt: skip
                assert row[heading] == ("" if figures[name] is None else str(figures[name])), heading
        for text in (shown.text, table.get_data().decode("utf-8-sig")):
            assert "陈独一" not in text
            assert not any(str(person.id) in text for person in named)


def test_officers_and_analysts_read_it_and_nobody_else(as_user, client, make, tree, app):
    for role in Role:
        place = {"hub": tree.hub} if role is Role.HUB_MANAGER else {"org": tree.urban}
        answer = as_user(make.staff(role, **place).id).get(URL, query_string={"month": "2026-08"})
        may = role in (Role.PLATFORM_ADMIN, Role.OFFICER, Role.ANALYST)
        assert answer.status_code == (200 if may else 403), role
    assert client.get(URL, query_string={"month": "2026-08"}).status_code == 401
    assert as_user(make.person().id).get(URL, query_string={"month": "2026-08"}).status_code == 403


def test_the_people_of_another_county_stay_hidden_and_reading_takes_one_statement(
    app, as_user, make, tree, hold
):
    hold(tree.lingchuan, 8)
    reader = as_user(make.staff(Role.OFFICER, org=tree.urban).id)
    activity = make.activity(tree.lingchuan)
    make.sign_up(activity)
    for path in ("sign-ups", "sign-ups/export", "roster"):
        assert reader.get(f"/v1/activities/{activity.id}/{path}").status_code == 403
    counts = []
    for _ in range(2):
        with count_statements(app) as sent:
            read(reader)
        counts.append(len(sent))
        for name in CODES:
            hold(getattr(tree, name), 5)
    assert counts == [3, 3]  # who they are and that they hold a role, the permission, the totals
