"""``engage audit``: whether the log of who did what is still what it was."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import click

from engage.audit.models import BEGINNING
from engage.audit.queries.chain import LATE, Wrong, verify
from engage.cli.installation import database_at_head
from engage.core import clock
from engage.core.config import Settings

if TYPE_CHECKING:
    from datetime import datetime

    from engage.audit.queries.chain import Finding

_ANCHOR: Final = re.compile(r"([1-9]\d{0,17}):([0-9a-f]{64})")
_IN_WORDS: Final = {
    Wrong.LINK_MISSING: ("链上缺少这一环", "this link of the chain is missing"),
    Wrong.ENTRY_MISSING: ("记录已被删除", "the entry was deleted"),
    Wrong.ALTERED: ("记录或其次序已被改动", "the entry, or its place, was altered"),
    Wrong.NOT_CHAINED: (
        "记录不在链上，也不在待封存之列",
        "the entry is neither in the chain nor waiting for it",
    ),
    Wrong.NOT_AS_EXPECTED: ("与 --expect 给出的不符", "not what --expect says"),
}


@click.group(short_help="核验审计日志 · Verify the audit log.")
def audit() -> None:
    """核验审计日志 · Verify the audit log: that nothing was changed, deleted, put in between or put in another order.

    `engage worker` chains every entry to those before it within seconds, and writes each new head of the chain to its log.
    """


def _anchors(
    _context: click.Context, _parameter: click.Parameter, values: tuple[str, ...]
) -> dict[int, bytes]:
    found = [(value, _ANCHOR.fullmatch(value)) for value in values]
    for value, match in found:
        if match is None:
            raise click.BadParameter(f"{value}: POSITION:HASH")
    return {int(match[1]): bytes.fromhex(match[2]) for _, match in found if match}


@audit.command("verify", short_help="重新计算整条链 · Recompute the whole chain.")
@click.option(
    "--expect",
    "anchors",
    multiple=True,
    metavar="POSITION:HASH",
    callback=_anchors,
    help="A head that was kept elsewhere: of an earlier run, or of the worker's log. May be repeated.",
)
@click.option(
    "--since",
    multiple=True,
    metavar="POSITION:HASH",
    callback=_anchors,
    help="Begin after this head: what stands up to it was verified before, and may have been archived.",
)
@click.pass_context
def verify_command(ctx: click.Context, *, anchors: dict[int, bytes], since: dict[int, bytes]) -> None:
    """重新计算整条链 · Recompute every hash from the first entry on, and say where the log is not what it was.

    Without --expect a chain that was cut short, or computed anew by somebody with the password of the database, looks whole: keep heads
    elsewhere. Ends with code 1 if anything is wrong. Changes nothing, and can run beside the service.

    What is not sealed yet is not protected yet. An entry that has waited for more than a minute is warned of, with code 0, for it is no sign that
    anything was altered; `engage doctor` fails on it.
    """
    with database_at_head(Settings.from_env()) as database, database.reading() as connection:
        verdict = verify(connection, anchors, max(since.items(), default=(0, BEGINNING)))
    for finding in verdict.findings:
        click.echo(_line(finding))
    if verdict.wrong > len(verdict.findings):
        click.echo(f"… {verdict.wrong - len(verdict.findings)}")
    click.echo(f"链头 head: {verdict.position}:{verdict.hash.hex()}")
    click.echo(
        f"已封存 sealed: {verdict.position}；待封存 not sealed yet: {verdict.unsealed}；异常 wrong: {verdict.wrong}"
    )
    if verdict.waiting_since:
        click.echo(_waiting(verdict.waiting_since))
    if verdict.wrong:
        ctx.exit(1)


def _waiting(since: datetime) -> str:
    """Say for how long the oldest entry has been waiting, and whether that is too long."""
    waited = max(clock.now() - since, timedelta())
    seconds = int(waited.total_seconds())
    line = f"最早的已等待 {seconds} 秒 the oldest has been waiting for: {seconds} s"
    if waited <= LATE:
        return line
    return f"注意 WARNING  {line}。engage worker 在运行吗？ Is `engage worker` running?"


def _line(finding: Finding) -> str:
    zh, en = _IN_WORDS[finding.wrong]
    where = f"#{finding.position or '?'}" + (f" {finding.entry_id}" if finding.entry_id else "")
    return f"异常 FAILED  {where}：{zh} {en}"
