"""Imports of organisations, on the full real divisions and in a database of their own."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest
from sqlalchemy import delete, func, select, update

from engage.core.errors import InvalidInput
from engage.core.imports import ImportReport
from engage.orgs import service
from engage.orgs.errors import NoSuchOrg
from engage.orgs.models import Cluster, ClusterMember, Org, OrgKind, OrgPath
from engage.regions.errors import NoSuchDivision
from engage.regions.service import import_divisions

NOW = datetime(2026, 10, 1, 2, 0, tzinfo=UTC)
KINDS = 11
COMMITTEES = 1 + 1 + 6 + 77
BODIES = 31 + 24 + 42 + 12 + 1 + 8
HEADER = "name,kind,parent_ref,external_ref,division_code,established_on"


@pytest.fixture
def database(own_database):
    """The module's database with divisions only."""
    with own_database.transaction() as session:
        for table in (ClusterMember, Cluster, OrgPath):
            session.execute(delete(table))
        session.execute(update(Org).values(parent_id=None))
        session.execute(delete(Org))
        session.execute(delete(OrgKind))
        import_divisions(session)
    return own_database


@pytest.fixture
def run(database):
    """Import in a transaction of its own."""

    def importing(file=None, *, demo=False):
        with database.transaction() as session:
            return service.import_demo_orgs(session, NOW) if demo else service.import_orgs(session, NOW, file)

    return importing


@pytest.fixture
def read(database):
    """Return an organisation by its reference, with the names from the root down to it."""

    def reading(ref):
        with database.reading() as connection:
            org = connection.execute(select(Org.__table__).where(Org.external_ref == ref)).one()
            path = connection.scalars(
                select(Org.name)
                .join(OrgPath, OrgPath.ancestor_id == Org.id)
                .where(OrgPath.descendant_id == org.id)
                .order_by(OrgPath.depth.desc())
            ).all()
        return org, path

    return reading


@pytest.fixture
def csv_file(tmp_path):
    def write(*lines, header=HEADER, encoding="utf-8"):
        file = tmp_path / "orgs.csv"
        file.write_bytes("\r\n".join([header, *lines, ""]).encode(encoding))
        return file

    return write


def count(database, table=Org):
    with database.reading() as connection:
        return connection.scalar(select(func.count()).select_from(table))


def test_every_division_gets_its_committee(run, read, database):
    assert run() == ImportReport(created=KINDS + COMMITTEES)
    assert count(database) == COMMITTEES
    org, path = read("division:140524100")
    assert path == [
        "共青团山西省委员会",
        "共青团晋城市委员会",
        "共青团陵川县委员会",
        "共青团陵川县崇文镇委员会",
    ]
    assert (org.kind_code, org.division_code) == ("committee", "140524100")
    assert read("division:140502001")[1][-2:] == ["共青团晋城市城区委员会", "共青团晋城市城区东街街道委员会"]
    assert count(database, OrgPath) == 1 + 2 + 6 * 3 + 77 * 4


def test_a_second_import_changes_nothing_and_keeps_edits(run, read, database):
    run()
    with database.transaction() as session:
        session.execute(update(Org).where(Org.external_ref == "division:140524").values(name="陵川团县委"))
    assert run() == ImportReport(unchanged=KINDS + COMMITTEES)
    assert read("division:140524")[0].name == "陵川团县委"


def test_without_divisions_there_are_no_committees(run, database, monkeypatch):
    monkeypatch.setattr("engage.orgs.service.importer.CITY", "999999")
    with pytest.raises(NoSuchDivision):
        run()
    assert count(database, OrgKind) == 0


def test_the_demo_puts_bodies_below_their_county_or_township(run, read, database):
    run()
    assert run(demo=True) == ImportReport(created=BODIES + 5)
    assert read("hub:H0188")[1][-2:] == ["共青团晋城市城区委员会", "城区快递物流行业团工委"]
    assert read("hub:H0329")[1][-2:] == ["共青团沁水县龙港镇委员会", "沁水县龙港镇联合村级团工委"]
    enclave = read("hub:H0322")[0]
    assert (enclave.name, enclave.kind_code, enclave.division_code) == (
        "陵川县驻北京团工委",
        "enclave_branch",
        "110000",
    )
    with database.reading() as connection:
        kinds = connection.execute(select(Org.kind_code, func.count()).group_by(Org.kind_code)).all()
    assert {kind: number for kind, number in kinds if kind != "committee"} == {
        "work_committee": 31,
        "new_sector_committee": 24,
        "league_club": 42,
        "joint_village_committee": 12,
        "youth_college": 1,
        "enclave_branch": 8,
    }


def test_the_demo_regroups_townships_with_trade_bodies(run, database):
    run()
    run(demo=True)
    with database.reading() as connection:
        rows = connection.execute(
            select(Cluster.name, Org.external_ref)
            .join(ClusterMember, ClusterMember.cluster_id == Cluster.id)
            .join(Org, Org.id == ClusterMember.org_id)
        ).all()
    members = {}
    for name, ref in rows:
        members.setdefault(name, set()).add(ref)
    assert len(members) == 5
    assert {"division:140521100", "hub:H0329"} < members["沁水县龙港镇“大团建”联合团委"]
    assert all(len(refs) >= 3 for refs in members.values())


def test_a_second_demo_import_changes_nothing(run, database):
    run()
    run(demo=True)
    before = count(database, OrgPath), count(database, ClusterMember)
    assert run(demo=True) == ImportReport(unchanged=BODIES + 5)
    assert (count(database, OrgPath), count(database, ClusterMember)) == before


def test_the_demo_needs_the_committees(run, database):
    with pytest.raises(NoSuchOrg):
        run(demo=True)
    assert count(database) == 0


def test_an_operators_list_is_imported_in_any_order(run, read, csv_file):
    file = csv_file(
        "石字岭村团支部,团支部,ops:2,ops:1,140524100,2021-05-04",
        ",,,,,",
        "崇文镇团总支,general_branch,division:140524100,ops:2,,",
    )
    assert run(file) == ImportReport(created=KINDS + COMMITTEES + 2)
    org, path = read("ops:1")
    assert path[-3:] == ["共青团陵川县崇文镇委员会", "崇文镇团总支", "石字岭村团支部"]
    assert (org.kind_code, org.division_code, org.established_on) == ("branch", "140524100", date(2021, 5, 4))
    assert run(file) == ImportReport(unchanged=KINDS + COMMITTEES + 2)


def test_a_changed_list_edits_and_moves(run, read, csv_file):
    run(csv_file("甲团支部,branch,division:140524100,ops:1,,", "乙团支部,branch,ops:1,ops:2,,"))
    report = run(
        csv_file("甲团总支,general_branch,ops:2,ops:1,140523,", "乙团支部,branch,division:140581,ops:2,,")
    )
    assert report == ImportReport(updated=2, unchanged=KINDS + COMMITTEES)
    org, path = read("ops:1")
    assert path[-3:] == ["共青团高平市委员会", "乙团支部", "甲团总支"]
    assert (org.division_code, org.kind_code, org.version) == ("140581", "general_branch", 2)


def test_a_changed_name_is_taken_over_in_its_place(run, read, csv_file):
    run(csv_file("甲团支部,branch,division:140524100,ops:1,,"))
    assert run(csv_file("甲村团支部,branch,division:140524100,ops:1,,")).updated == 1
    assert read("ops:1")[1][-2:] == ["共青团陵川县崇文镇委员会", "甲村团支部"]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "gb18030"])
def test_lists_from_spreadsheets_are_read(run, read, csv_file, encoding):
    run(csv_file("甲团支部,团支部,division:140524,ops:1,,", encoding=encoding))
    assert read("ops:1")[0].name == "甲团支部"


def test_every_wrong_value_is_named_by_line_and_column(run, csv_file, database):
    file = csv_file(
        "好团支部,branch,division:140524,ops:1,,",
        ",branch,division:140524,ops:1,,",
        "团,branch,division:140524,,,",
        f"{'长' * 81},branch,division:140524,{'r' * 65},,",
        "某团支部,社团联合会,ops:none,ops:5,,",
        "某团支部,branch,,ops:6,999999,2021-13-01",
        "某团支部,branch,division:140524,ops:7,370825,20210101",
        '"某\n团支部",branch,division:140524,ops:8,,',
    )
    with pytest.raises(InvalidInput) as refusal:
        run(file)
    assert [(issue.pointer, issue.code) for issue in refusal.value.issues] == [
        ("/3/name", "required"),
        ("/3/external_ref", "not_unique"),
        ("/4/name", "too_short"),
        ("/4/external_ref", "required"),
        ("/5/name", "too_long"),
        ("/5/external_ref", "too_long"),
        ("/6/kind", "no_such_object"),
        ("/6/parent_ref", "no_such_object"),
        ("/7/parent_ref", "required"),
        ("/7/division_code", "no_such_division"),
        ("/7/established_on", "not_date"),
        ("/8/division_code", "division_retired"),
        ("/8/established_on", "not_date"),
        ("/10/name", "bad_characters"),
    ]
    assert count(database) == 0


def test_circles_and_too_deep_trees_are_refused(run, csv_file, database):
    with pytest.raises(InvalidInput) as refusal:
        run(
            csv_file(
                "甲支部,branch,ops:2,ops:1,,",
                "乙支部,branch,ops:1,ops:2,,",
                "丙支部,branch,division:140500,ops:3,,",
            )
        )
    assert [(issue.pointer, issue.code) for issue in refusal.value.issues] == [
        ("/2/parent_ref", "circular"),
        ("/3/parent_ref", "circular"),
    ]
    run()
    with pytest.raises(InvalidInput) as refusal:  # through a node that the list does not name
        run(csv_file("陵川团县委,committee,division:140524100,division:140524,140524,"))
    assert [(issue.pointer, issue.code) for issue in refusal.value.issues] == [("/2/parent_ref", "circular")]
    chain = [f"第{number}级,branch,ops:{number - 1},ops:{number},," for number in range(1, 30)]
    with pytest.raises(InvalidInput) as refusal:
        run(csv_file("第零级,branch,division:140500,ops:0,,", *chain))
    assert refusal.value.issues[0].code == "too_deep"
    assert count(database) == COMMITTEES


@pytest.mark.parametrize(
    ("header", "line", "pointer", "code"),
    [
        ("name,kind,parent_ref,external_ref,division_code", "", "/1/established_on", "required"),
        (HEADER + ",remarks", "", "/1/remarks", "unknown_field"),
        (HEADER, "a,b,c,d,e,f,g", "/2", "bad_format"),
        (HEADER, "a" * 200_000, "/1", "bad_format"),
        (HEADER, "\x00", "", "bad_characters"),
    ],
)
def test_a_file_that_is_no_such_list_is_refused(run, csv_file, database, header, line, pointer, code):
    with pytest.raises(InvalidInput) as refusal:
        run(csv_file(line, header=header))
    assert (refusal.value.issues[0].pointer, refusal.value.issues[0].code) == (pointer, code)
    assert count(database) == 0


def test_a_file_that_is_too_large_or_missing_is_refused(run, csv_file, tmp_path, monkeypatch):
    monkeypatch.setattr("engage.core.imports._MAX_BYTES", 10)
    with pytest.raises(InvalidInput) as refusal:
        run(csv_file())
    assert refusal.value.issues[0].code == "too_long"
    with pytest.raises(FileNotFoundError):
        run(tmp_path / "nowhere.csv")


def test_bytes_of_no_known_encoding_are_refused(run, tmp_path):
    file = tmp_path / "orgs.csv"
    file.write_bytes(b"\xff\xff\xff\n")
    with pytest.raises(InvalidInput) as refusal:
        run(file)
    assert refusal.value.issues[0].code == "bad_characters"


def test_a_division_outside_the_one_above_is_a_wrong_line(run, read, database, csv_file):
    file = csv_file(
        "石字岭村团支部,团支部,ops:2,ops:1,140581203,",
        "崇文镇团总支,general_branch,division:140524100,ops:2,,",
        "陵川驻太原团支部,飞地团组织,division:140524,ops:3,140100,",
        "城区团总支,general_branch,division:140502,ops:4,140524,",
    )
    with pytest.raises(InvalidInput) as refused:
        run(file)
    assert [(issue.pointer, issue.code) for issue in refused.value.issues] == [
        ("/2/division_code", "division_outside"),
        ("/5/division_code", "division_outside"),
    ]
    assert count(database) == 0


def test_divisions_are_compared_when_all_lines_are_written(run, read, csv_file):
    """A file may move a node with all below it from one county to another, whatever stands first."""
    lines = ("片区团总支,general_branch,division:{0},ops:1,{0},", "团支部,团支部,ops:1,ops:2,{0},")
    run(csv_file(*(line.format("140524100") for line in lines)))
    assert run(csv_file(*(line.format("140581203") for line in lines))).updated == 2
    assert read("ops:2")[0].division_code == "140581203"
    with pytest.raises(InvalidInput):
        run(csv_file(lines[0].format("140524100")))
    assert read("ops:1")[0].division_code == "140581203"
