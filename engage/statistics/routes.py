"""Operations of statistics."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from engage.activities.queries.integrity import examine
from engage.core.errors import NotAllowed
from engage.core.http import Api, Binary
from engage.core.replies import language
from engage.orgs.caller import staff
from engage.statistics.access import require_county_totals, require_whole
from engage.statistics.queries import counties, participation
from engage.statistics.schemas import (
    CountyTotalsOut,
    CountyTotalsQuery,
    IntegrityOut,
    ParticipationExportQuery,
    ParticipationOut,
    ParticipationQuery,
)

if TYPE_CHECKING:
    from engage.activities.queries.integrity import Report
    from engage.core.db import Look

api: Final = Api("统计 · Figures")


@api.operation(
    "GET",
    "/statistics/participation",
    access=staff,
    zh="参与情况统计：报名、确认、人次、人数、到场率",
    query=ParticipationQuery,
    returns=ParticipationOut,
)
def read_participation(look: Look, query: dict[str, Any]) -> dict[str, Any]:
    """Read participation by county, hub, project or month, within the caller's scope.

    活动按开始时间所在的北京时间日期计入；只含已发布、未取消的活动。人次是签到次数，等于准时、迟到与现场加入之和；人数是签到的不同的人，
    跨行合计时同一人只计一次；到场率为已结束活动中有名额者的到场数除以确认名额。只统计您有权查看的组织及其下级、青年之家的活动。

    Activities count on the Shanghai day they start; only those published and not cancelled. `check_ins` are participations (on time, late and
    walk-ins), `people` different persons: one person in several rows is one in `totals`. `attendance_rate` is who came to their place over
    confirmed places of activities that have ended. Only activities of the organisations (with all below them) and hubs where the caller holds
    a role are counted. Rows and totals of a page are of one instant.
    """
    return participation.participation(look, query, language())


@api.operation(
    "GET",
    "/statistics/participation/export",
    access=staff,
    zh="导出参与情况统计（CSV）",
    query=ParticipationExportQuery,
    binary=Binary("text/csv", "participation.csv", "编号,名称,活动,报名次数,现占名额,人次,…"),
)
def export_participation(look: Look, query: dict[str, Any]) -> bytes:
    """Export participation by county, hub, project or month as CSV for a spreadsheet.

    与统计出自同一查询、同一范围，全部行，末行为合计；UTF-8，WPS 和 Excel 可直接打开。
    The figures by the same query within the same scope: all rows, then the totals; UTF-8 that WPS and Excel open.
    """
    return participation.export_participation(look, query, language())


@api.operation(
    "GET",
    "/statistics/counties",
    access=staff,
    zh="各县汇总：活动、人次、人数、到场率",
    query=CountyTotalsQuery,
    returns=CountyTotalsOut,
    refuses=[NotAllowed],
)
def read_county_totals(look: Look, query: dict[str, Any]) -> dict[str, Any]:
    """Read the totals of every county in a month.

    县由主办组织所属决定。数字涉及 1 至 4 个不归您负责的人时不公布（`withheld`）；为使合计减去其他各县也推不出，再不公布人数最少的另一个县；没有
    这样的县，就不公布合计。只按整月、在月份结束一周后给出。您自己范围内的数字照实给出，从不涉及个人信息。

    A county is that of the organisation that holds an activity. Numbers of 1 to 4 people whom the caller does not answer for are withheld;
    so that the totals less the other counties do not give them away, the smallest other county is withheld too, or the totals where there
    is none. Whole months only, a week after their end. What is the caller's own is shown as it is; nobody's person ever.
    """
    require_county_totals(look)
    return counties.county_totals(look, query["month"], language())


@api.operation(
    "GET",
    "/statistics/counties/export",
    access=staff,
    zh="导出各县汇总（CSV）",
    query=CountyTotalsQuery,
    binary=Binary("text/csv", "counties.csv", "编号,名称,活动,人次,人数,到场率,不公布,…"),
    refuses=[NotAllowed],
)
def export_county_totals(look: Look, query: dict[str, Any]) -> bytes:
    """Export the totals of every county in a month as CSV for a spreadsheet.

    与各县汇总出自同一查询，数字相同，末行为合计。
    The same numbers by the same query, the totals in the last row.
    """
    require_county_totals(look)
    return counties.export_county_totals(look, query["month"], language())


@api.operation(
    "GET",
    "/statistics/integrity",
    access=staff,
    zh="数据一致性：从记录重新计算全部计数",
    returns=IntegrityOut,
    refuses=[NotAllowed],
)
def read_integrity(look: Look) -> Report:
    """Recount all places and turns from the rows, and read what does not agree.

    应全部为零。限在组织树根节点上可查看统计的工作人员。`examples` 是活动编号，至多十个。

    Zero violations are expected. For staff who read figures at the root of a tree. `examples` are ids of
    activities, ten at most. The same as `engage doctor --invariants`.
    """
    require_whole(look)
    return examine(look.db, look.now)
