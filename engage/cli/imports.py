"""``engage import``: reference data and an operator's own lists."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from engage.cli.installation import database_at_head
from engage.core import audit, clock
from engage.core.config import Settings
from engage.core.imports import ImportReport, read_rows
from engage.hubs.schemas import HUB_COLUMNS, read_hub_rows
from engage.hubs.service import import_hub_kinds, import_hubs
from engage.orgs.service import import_orgs
from engage.regions.service import import_divisions

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy.orm import Session

_file = click.argument(
    "file", required=False, type=click.Path(exists=True, dir_okay=False, readable=True, path_type=Path)
)


@click.group("import", short_help="导入区划、组织、站点 · Import divisions, organisations, hubs.")
def imports() -> None:
    """导入区划、组织、站点 · Import divisions, organisations and hubs, in this order.

    Each can be repeated: rows that are there already are updated or left alone, never doubled. All of a file or
    nothing; faults are named by line and column. Files are CSV in UTF-8 or GB 18030.
    """


@imports.command(short_help="行政区划 · Divisions, from the package's data.")
def divisions() -> None:
    """导入行政区划 · Import the country down to counties and Jincheng down to villages, with retired codes.

    From the data of the package, GB/T 2260 and the Bureau of Statistics. A newer release brings newer codes; divisions
    that are in the database and no longer in the data stay.
    """
    _report(import_divisions)


@imports.command(short_help="组织 · Committees, and a list of your own.")
@_file
def orgs(file: Path | None) -> None:
    """导入组织 · Import the kinds, the committees from province to townships, and the organisations of FILE.

    Columns of FILE: name, kind, parent_ref, external_ref, division_code, established_on. external_ref is your key of
    the row, parent_ref the key of the organisation above; division:140524100 is the committee of a township.
    """
    _report(lambda session: import_orgs(session, clock.now(), file))


@imports.command(short_help="站点 · Kinds of hubs, and a list of your own.")
@_file
def hubs(file: Path | None) -> None:
    """导入站点 · Import the kinds of hubs, and the hubs of FILE.

    Columns of FILE: external_ref, name, kind, org_ref, division_code, and if known county_code, address, lat, lng,
    coord_type, opening_hours, services, contact_name, contact_phone, description. The header names all of them.
    """

    def run(session: Session) -> ImportReport:
        report = import_hub_kinds(session)
        if file is not None:
            report += import_hubs(session, clock.now(), read_hub_rows(read_rows(file, HUB_COLUMNS)))
        return report

    _report(run)


def _report(run: Callable[[Session], ImportReport]) -> None:
    with database_at_head(Settings.from_env()) as database, database.transaction() as session:
        report = run(session)
        audit.record(session, clock.now(), f"command import {click.get_current_context().info_name}")
    click.echo(
        f"新增 {report.created}，更新 {report.updated}，未变 {report.unchanged}。"
        f" {report.created} created, {report.updated} updated, {report.unchanged} unchanged."
    )
