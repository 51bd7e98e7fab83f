"""The chain: one, whoever seals; and whatever is done to the log past its guards is found and named."""

from __future__ import annotations

import logging
from datetime import timedelta

import pytest
from audit.conftest import unlocked
from click.testing import CliRunner
from racing import at_once
from sqlalchemy import delete, insert, select, update

from engage.audit import service
from engage.audit.models import AuditLink, AuditUnsealed
from engage.audit.queries import chain
from engage.audit.queries.chain import Wrong, verify
from engage.audit.service import seal_due
from engage.cli.commands import engage
from engage.core import audit, clock, ids
from engage.core.audit import AuditEntry

ENTRIES = AuditEntry.__table__


@pytest.fixture
def write(database, frozen):
    """Return a function that writes entries, each in a transaction of its own."""

    def write(count):
        for number in range(count):
            frozen.move(seconds=1)
            with database.transaction() as session:
                audit.watch(session)
                session.info["engage.audit"].add("activity", "x", "capacity", before="1", after=str(number))
                audit.record(session, frozen.now, f"command {number}", about=[ids.new_id()])

    return write


@pytest.fixture
def examine(database):
    def examine(anchors=None):
        with database.reading() as connection:
            return verify(connection, anchors or {})

    return examine


def found(verdict):
    return [(finding.wrong, finding.position) for finding in verdict.findings]


def links(database):
    with database.reading() as connection:
        return connection.execute(select(AuditLink.__table__).order_by(AuditLink.position)).all()


def test_what_is_committed_gets_its_place_and_the_head_is_logged(write, database, log, examine, caplog):
    caplog.set_level(logging.INFO, "engage.audit")
    write(3)
    assert (examine().position, examine().unsealed) == (0, 3)
    assert [seal_due(database), seal_due(database)] == [3, 0]
    assert [link.entry_id for link in links(database)] == [entry.id for entry in log()]
    head = links(database)[-1]
    record = [record for record in caplog.records if record.name == "engage.audit"][-1]
    assert record.fields == {"position": 3, "hash": head.hash.hex()}
    verdict = examine({3: head.hash})
    assert (verdict.position, verdict.hash, verdict.unsealed, verdict.wrong) == (3, head.hash, 0, 0)


def test_what_is_not_committed_waits_and_comes_later(write, database, log, examine):
    if database.is_sqlite:  # one transaction at a time: nobody seals beside another
        return
    with database.transaction() as session:
        audit.record(session, clock.now(), "command slow")
        write(1)
        assert seal_due(database) == 1
    assert seal_due(database) == 1
    slow, quick = log()
    assert [link.entry_id for link in links(database)] == [quick.id, slow.id]
    assert examine().wrong == 0


def test_several_who_seal_at_once_make_one_chain(write, database, examine, monkeypatch):
    monkeypatch.setattr(service, "BATCH", 4)
    monkeypatch.setattr(chain, "PAGE", 7)
    write(30)

    def seal():
        total = 0
        for _ in range(12):
            total += seal_due(database)
        return total

    assert sum(at_once([seal, seal])) <= 30
    while seal_due(database):
        pass
    assert [link.position for link in links(database)] == list(range(1, 31))
    assert (examine().wrong, examine().unsealed) == (0, 0)


def _swap(connection, first, second):
    """Exchange two entries of the chain, each with its hash."""
    link = AuditLink.__table__
    rows = {row.position: row for row in connection.execute(select(link))}
    connection.execute(delete(link).where(link.c.position.in_([first, second])))
    for position, other in ((first, rows[second]), (second, rows[first])):
        connection.execute(insert(link).values(position=position, entry_id=other.entry_id, hash=other.hash))


def _forge(connection, position, *, shift=False):
    """Put an entry that nobody made into the chain at a position, in front of what stands there."""
    link = AuditLink.__table__
    entry = dict(connection.execute(select(ENTRIES)).mappings().first()) | {"id": ids.new_id()}
    connection.execute(insert(ENTRIES).values(entry))
    if shift:
        last = connection.scalar(select(link.c.position).order_by(link.c.position.desc()).limit(1))
        for moved in range(last, position - 1, -1):
            connection.execute(update(link).where(link.c.position == moved).values(position=moved + 1))
        connection.execute(insert(link).values(position=position, entry_id=entry["id"], hash=b"f" * 32))


def test_whatever_is_done_to_the_log_is_found(write, database, examine, monkeypatch, subtests):
    """Each in a transaction of its own, undone afterwards by putting the rows back."""
    monkeypatch.setattr(chain, "PAGE", 3)
    write(8)
    seal_due(database)
    link = AuditLink.__table__
    with database.reading() as connection:
        kept = {table: connection.execute(select(table)).mappings().all() for table in (ENTRIES, link)}
    at = {row["position"]: row["entry_id"] for row in kept[link]}
    head = kept[link][-1]["hash"]

    def entry(position):
        return ENTRIES.c.id == at[position]

    by_changing = {
        "actor_id": ids.new_id(), "result": "not_allowed", "address": "10.9.9.9", "people": 1, "purpose": "x",
        "occurred_at": kept[ENTRIES][0]["occurred_at"] - timedelta(microseconds=1), "changes": {"items": [], "omitted": 0},
    }  # fmt: skip
    attacks = [
        *(
            (f"changed {name}", update(ENTRIES).where(entry(4)).values({name: value}), [(Wrong.ALTERED, 4)], 1)
            for name, value in by_changing.items()
        ),
        ("deleted entry", delete(ENTRIES).where(entry(5)), [(Wrong.ENTRY_MISSING, 5)], 1),
        ("deleted entry and link", [delete(ENTRIES).where(entry(5)), delete(link).where(link.c.position == 5)],
         [(Wrong.LINK_MISSING, 5), (Wrong.ALTERED, 6)], 1),
        ("deleted link", delete(link).where(link.c.position == 3),
         [(Wrong.LINK_MISSING, 3), (Wrong.ALTERED, 4), (Wrong.NOT_CHAINED, None)], 1),
        ("deleted last link", delete(link).where(link.c.position == 8), [(Wrong.NOT_CHAINED, None)], 1),
        ("swapped", lambda connection: _swap(connection, 2, 6), [(Wrong.ALTERED, place) for place in (2, 3, 6, 7)], 1),
        ("forged entry", lambda connection: _forge(connection, 4), [(Wrong.NOT_CHAINED, None)], 1),
        ("forged in between", lambda connection: _forge(connection, 4, shift=True), [(Wrong.ALTERED, 4), (Wrong.ALTERED, 5)], 1),
        ("altered hash", update(link).where(link.c.position == 8).values(hash=b"h" * 32), [(Wrong.ALTERED, 8)], 1),
        ("cut short", [delete(ENTRIES).where(entry(8)), delete(link).where(link.c.position == 8)],
         [(Wrong.NOT_AS_EXPECTED, 8)], 0),
    ]  # fmt: skip
    for name, attack, expected, wrong_without_anchor in attacks:
        with subtests.test(name):
            with unlocked(database) as connection:
                for step in attack if isinstance(attack, list) else [attack]:
                    step(connection) if callable(step) else connection.execute(step)
            assert bool(examine().wrong) == bool(wrong_without_anchor)
            verdict = examine({8: head})
            assert [item for item in found(verdict) if item in expected] == expected
            assert verdict.wrong <= len(expected) + 1  # the anchor, where the head is another
        with unlocked(database) as connection:
            for table, rows in kept.items():
                connection.execute(delete(table))
                connection.execute(insert(table), [dict(row) for row in rows])
        assert examine({8: head}).wrong == 0


def test_an_entry_that_was_deleted_before_it_was_sealed_is_found_for_ever(
    write, database, examine, log, monkeypatch
):
    monkeypatch.setattr(chain, "PAGE", 1)
    write(4)
    gone = [entry.id for entry in log()[1:3]]
    with unlocked(database) as connection:
        connection.execute(delete(ENTRIES).where(ENTRIES.c.id.in_(gone)))
    for sealed in (0, 2):
        assert seal_due(database) == 2 - sealed
        verdict = examine()
        assert found(verdict) == [(Wrong.ENTRY_MISSING, None)] * 2
        assert [finding.entry_id for finding in verdict.findings] == gone
        assert (verdict.position, verdict.unsealed, verdict.waiting_since) == (2, 0, None)


def test_it_says_for_how_long_the_oldest_has_waited_and_warns_after_a_minute(
    write, database, frozen, monkeypatch, own_log
):
    monkeypatch.setenv("ENGAGE_DATABASE_URL", database.settings.database_url)

    def run():
        result = CliRunner().invoke(engage, ["audit", "verify"])
        assert result.exit_code == 0, result.output
        return result.output

    assert "has been waiting" not in run()
    write(2)
    frozen.move(seconds=59)
    assert "has been waiting for: 60 s" in run()
    assert "WARNING" not in run()
    frozen.move(seconds=1)
    assert "注意 WARNING  最早的已等待 61 秒 the oldest has been waiting for: 61 s" in run()
    assert "Is `engage worker` running?" in run()
    seal_due(database)
    assert "has been waiting" not in run()


def test_a_chain_that_was_computed_anew_is_found_by_a_head_kept_elsewhere(write, database, examine):
    write(5)
    seal_due(database)
    head = links(database)[-1].hash
    with unlocked(database) as connection:
        connection.execute(update(ENTRIES).values(address="10.9.9.9"))
        connection.execute(delete(AuditLink))
        connection.execute(
            insert(AuditUnsealed), [{"entry_id": row.id} for row in connection.execute(select(ENTRIES))]
        )
    seal_due(database)
    assert examine().wrong == 0
    assert found(examine({5: head})) == [(Wrong.NOT_AS_EXPECTED, 5)]


def test_the_command_says_where_and_ends_with_one_and_can_begin_after_an_archive(
    write, database, monkeypatch, own_log
):
    monkeypatch.setenv("ENGAGE_DATABASE_URL", database.settings.database_url)

    def run(*words):
        return CliRunner().invoke(engage, ["audit", "verify", *words])

    write(3)
    seal_due(database)
    write(1)
    head = links(database)[-1]
    anchor = f"3:{head.hash.hex()}"
    good = run("--expect", anchor)
    assert good.exit_code == 0, good.output
    assert anchor in good.output
    assert "not sealed yet: 1" in good.output
    assert run("--expect", "4:" + head.hash.hex()).exit_code == 1
    assert run("--expect", "3:abc").exit_code == 2
    with unlocked(database) as connection:
        connection.execute(update(ENTRIES).where(ENTRIES.c.id == head.entry_id).values(result="not_allowed"))
    bad = run()
    assert bad.exit_code == 1
    assert f"3 {head.entry_id}" in bad.output
    first = links(database)[0]
    with unlocked(database) as connection:
        connection.execute(update(ENTRIES).where(ENTRIES.c.id == head.entry_id).values(result="done"))
        connection.execute(delete(ENTRIES).where(ENTRIES.c.id == first.entry_id))
        connection.execute(delete(AuditLink).where(AuditLink.position == 1))
    archived = f"1:{first.hash.hex()}"
    assert run().exit_code == 1
    assert run("--since", archived, "--expect", anchor).exit_code == 0
    assert run("--since", "1:" + head.hash.hex()).exit_code == 1
