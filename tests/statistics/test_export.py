"""The figures as a table: the same numbers as the JSON, for the same callers."""

from __future__ import annotations

import csv
import io
from datetime import timedelta

import pytest
from counting import count_statements

from engage.activities.models import SignUpState
from engage.orgs.models import Role
from engage.statistics.models import Dimension

URL = "/v1/statistics/participation"
OF_JSON = {
    "活动": "activities", "报名次数": "sign_ups", "现占名额": "confirmed", "人次": "check_ins", "准时": "attended", "迟到": "late", "缺席": "absent",
    "请假": "excused", "现场加入": "walk_ins", "人数": "people", "到场率": "attendance_rate",
}  # fmt: skip


def table(answer):
    assert answer.status_code == 200, answer.json
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    return list(csv.DictReader(io.StringIO(answer.get_data().decode("utf-8-sig"))))


@pytest.fixture
def season(frozen, make, as_user):
    """Activities of two counties that are over, one at a hub, and whoever reads figures."""

    class Season:
        city = make.org(division_code="140500")
        county = make.org(city)
        neighbour = make.org(city, division_code="140524")
        analyst = as_user(make.staff(Role.ANALYST, org=city).id)

    season = Season()
    for number, (org, code) in enumerate(((season.county, "140502"), (season.neighbour, "140524")) * 2):
        starts_at = frozen.now - timedelta(days=number + 1)
        activity = make.activity(
            None if number == 0 else org, make.hub(org, name="=青年之家") if number == 0 else None, county_code=code,
            starts_at=starts_at, ends_at=starts_at + timedelta(hours=2), sign_up_closes_at=starts_at,
            sign_up_opens_at=starts_at - timedelta(days=1),
        )  # fmt: skip
        person = make.person()
        make.check_in(make.sign_up(activity, person), arrived_at=starts_at)
        make.check_in(make.sign_up(activity), arrived_at=starts_at + timedelta(hours=1))
        make.check_in(make.sign_up(activity, state=SignUpState.WALK_IN), arrived_at=starts_at)
        make.sign_up(activity)
        make.sign_up(activity, excused_at=starts_at)
    return season


def query(by="county"):
    return {"from": "2026-09-01", "to": "2026-10-31", "by": by}


@pytest.mark.parametrize("by", Dimension)
def test_it_has_the_numbers_of_the_json_and_their_totals(season, by):
    shown = season.analyst.get(URL, query_string=query(by)).json
    *rows, total = table(season.analyst.get(f"{URL}/export", query_string=query(by)))
    expected = [(item["key"]["id"] or "", item["key"]["name"]) for item in shown["items"]]
    assert [(row["编号"], row["名称"].removeprefix("'")) for row in rows] == expected
    assert (total["编号"], total["名称"]) == ("", "合计")
    for row, figures in zip([*rows, total], [*shown["items"], shown["totals"]], strict=True):
        for heading, name in OF_JSON.items():
            assert row[heading] == ("" if figures[name] is None else str(figures[name])), heading
        assert row["截至"] == "2026-10-01 10:00:00"
    assert len(rows) >= 1


def test_all_rows_are_in_it_where_the_json_has_pages(season):
    first = season.analyst.get(URL, query_string={**query(), "limit": 1}).json
    assert first["next_cursor"] is not None
    assert len(table(season.analyst.get(f"{URL}/export", query_string=query()))) == 3
    assert season.analyst.get(f"{URL}/export", query_string={**query(), "limit": 1}).status_code == 422
    assert season.analyst.get(f"{URL}/export", query_string={"by": "county"}).status_code == 422


def test_a_name_is_never_a_formula(season):
    rows = table(season.analyst.get(f"{URL}/export", query_string=query("hub")))
    assert "'=青年之家" in {row["名称"] for row in rows}


def test_everybody_reads_their_own_part_only(season, make, as_user, client):
    officer = as_user(make.staff(Role.OFFICER, org=season.county).id)
    rows = table(officer.get(f"{URL}/export", query_string=query()))
    assert [row["编号"] for row in rows] == ["140502", ""]
    stranger = as_user(make.staff(Role.ANALYST, org=make.org()).id)
    assert [row["活动"] for row in table(stranger.get(f"{URL}/export", query_string=query()))] == ["0"]
    refused = as_user(make.person().id).get(f"{URL}/export", query_string=query())
    assert (refused.status_code, refused.json["code"]) == (403, "not_allowed")
    assert client.get(f"{URL}/export", query_string=query()).status_code == 401


def test_it_takes_as_many_statements_as_the_json(season, app):
    counts = []
    for path in (URL, f"{URL}/export"):
        with count_statements(app) as sent:
            season.analyst.get(path, query_string=query())
        counts.append(len(sent))
    assert counts[0] == counts[1]
