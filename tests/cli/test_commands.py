"""Help, faults and the commands about database, document and roles."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import datetime

import click
import fakes
import pytest
import yaml
from cli.conftest import environment, taken_port
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from engage.cli.commands import engage
from engage.core import clock, ids, schema
from engage.core.config import Settings
from engage.core.db import Database
from engage.hubs.models import Hub
from engage.identity.models import LoginAttempt, Person
from engage.messages.models import Message, OutboxEntry
from engage.orgs.models import Org, Role, RoleGrant
from engage.regions.models import Division


def _commands(group: click.Group, path: tuple[str, ...] = ()):
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        yield (*path, name)
        if isinstance(command, click.Group):
            yield from _commands(command, (*path, name))


@pytest.mark.parametrize("path", [(), *_commands(engage)], ids=" ".join)
def test_every_command_explains_itself_in_both_languages(run, path):
    result = run(*path, "--help")
    assert result.exit_code == 0
    assert any("\u4e00" <= char <= "\u9fff" for char in result.output)
    assert " · " in result.output
    assert len(result.output) > 200


def test_the_list_of_commands_is_the_documented_one():
    assert engage.list_commands(click.Context(engage)) == [
        "demo", "serve", "worker", "db", "import", "openapi", "grant", "access", "person", "keys", "limits", "audit", "doctor",
        "fake-wechat",
    ]  # fmt: skip


def test_an_unknown_command_is_named(run):
    result = run("sevre")
    assert result.exit_code == 2
    assert "sevre" in result.stderr


@pytest.fixture
def sqlite(run, tmp_path):
    """A migrated SQLite database that the commands of this test use."""
    assert run("db", "upgrade", database_url=f"sqlite:///{tmp_path}/engage.db").exit_code == 0
    return tmp_path / "engage.db"


@pytest.fixture
def session(sqlite):
    """A session on it, for looking."""
    database = Database(Settings.from_env())
    with Session(database.reader) as session:
        yield session
    database.dispose()


def _is_sentence(result, *parts):
    assert result.exit_code == 1, result.output
    assert result.stderr.startswith("Error: ")
    assert "Traceback" not in result.output
    for part in parts:
        assert part in result.stderr, result.stderr


# Faults


def test_an_unknown_setting_is_named(run):
    _is_sentence(run("db", "check", databse_url="x"), "设置有误", "ENGAGE_DATABSE_URL")


def test_a_secret_is_not_repeated_in_a_fault(run):
    result = run("db", "check", data_keys="1:my-secret")
    _is_sentence(result, "ENGAGE_DATA_KEYS")
    assert "my-secret" not in result.output


def test_a_server_that_cannot_be_reached_is_a_sentence_without_its_password(run):
    with taken_port() as port:
        pass  # nobody listens there any more
    result = run("db", "check", database_url=f"postgresql://ops:hidden@127.0.0.1:{port}/engage")
    _is_sentence(result, "数据库无法使用", "Connection refused")
    assert "hidden" not in result.output


def test_a_folder_that_does_not_exist_is_a_sentence(run, tmp_path):
    _is_sentence(
        run("db", "upgrade", database_url=f"sqlite:///{tmp_path}/none/engage.db"),
        "数据库无法使用",
        "unable to open",
    )


def test_a_file_that_is_no_database_is_a_sentence(run, tmp_path):
    (tmp_path / "engage.db").write_text("once upon a time")
    _is_sentence(run("db", "check", database_url=f"sqlite:///{tmp_path}/engage.db"), "not a database")


@pytest.mark.parametrize(
    "command", [("serve",), ("worker", "--once"), ("import", "divisions"), ("db", "check")], ids=" ".join
)
def test_a_database_that_is_not_there_is_not_made_by_looking(run, tmp_path, command):
    _is_sentence(run(*command, database_url=f"sqlite:///{tmp_path}/engage.db"), "engage db upgrade")
    assert list(tmp_path.iterdir()) == []


def test_a_missing_package_is_named():
    code = "import sys; sys.modules['gunicorn'] = None; sys.argv = ['engage', 'serve']; from engage.cli import main; main()"
    result = subprocess.run(
        [sys.executable, "-c", code], env=environment(), capture_output=True, text=True, check=False
    )
    assert result.returncode == 1
    assert "缺少 Python 包 gunicorn" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_missing_click_is_named_too():
    code = "import sys; sys.modules['click'] = None; sys.argv = ['engage', 'serve']; from engage.cli import main; main()"
    result = subprocess.run(
        [sys.executable, "-c", code], env=environment(), capture_output=True, text=True, check=False
    )
    assert result.returncode == 1
    assert result.stderr.startswith("缺少 Python 包 click")


def test_a_terminal_without_chinese_gets_an_answer_all_the_same():
    result = subprocess.run(
        [sys.executable, "-m", "engage.cli", "db", "--help"], env=environment() | {"PYTHONIOENCODING": "ascii"}, capture_output=True, check=False
    )  # fmt: skip
    assert result.returncode == 0
    assert b"Migrate and check the database" in result.stdout


# engage db, on both engines


def test_a_database_goes_up_down_and_up_again(run, own_database):
    url = own_database.settings.database_url
    head = schema.head()
    assert run("db", "check", database_url=url).exit_code == 0
    assert run("db", "downgrade", "0001", "--yes").output == f"{head} -> 0001\n"
    _is_sentence(run("db", "check"), "0001", head, "engage db upgrade")
    assert run("db", "upgrade").output == f"0001 -> {head}\n"
    assert run("db", "upgrade").output == f"{head} -> {head}\n"
    assert run("db", "check").output == f"{head}: 一致 in order\n"


def test_a_table_that_differs_from_its_model_fails_the_check(run, own_database):
    with own_database.writer.begin() as connection:
        connection.execute(text("CREATE TABLE stray (id INTEGER PRIMARY KEY)"))
    try:
        _is_sentence(run("db", "check", database_url=own_database.settings.database_url), "不一致", "stray")
    finally:
        with own_database.writer.begin() as connection:
            connection.execute(text("DROP TABLE stray"))
    assert run("db", "check").exit_code == 0


def test_going_back_asks_first(run, sqlite):
    result = run("db", "downgrade", "base")
    assert result.exit_code == 1
    assert run("db", "check").exit_code == 0


def test_a_revision_that_does_not_exist_is_a_sentence(run, sqlite):
    _is_sentence(run("db", "downgrade", "7777", "--yes"), "无法迁移", "7777")
    assert run("db", "check").exit_code == 0


# engage serve, before it serves


def test_the_server_refuses_a_database_that_is_behind(run, sqlite):
    run("db", "downgrade", "0005", "--yes")
    _is_sentence(run("serve"), "0005", schema.head(), "engage db upgrade")


@pytest.mark.parametrize(
    ("bind", "part"),
    [
        ("nowhere.invalid:80", "不是本机地址"),
        ("127.0.0.1:port", "不是可用的地址"),
        ("192.0.2.1:8000", "不能监听"),
    ],
)
def test_the_server_refuses_an_address_that_is_not_its_own(run, sqlite, bind, part):
    _is_sentence(run("serve", "--bind", bind), part)


def test_the_server_refuses_a_taken_port_at_once(run, sqlite):
    with taken_port() as port:
        _is_sentence(run("serve", "--bind", f"127.0.0.1:{port}"), str(port), "已被占用")


# engage worker


def test_the_worker_delivers_what_is_due_and_deletes_what_is_old(run, sqlite, session):
    now = clock.now()
    database = Database(Settings.from_env())
    with database.transaction() as writing:
        person = Person(created_at=now, updated_at=now)
        writing.add(person)
        writing.flush()
        writing.add(
            OutboxEntry(
                person_id=person.id, kind="sign_up_promoted", params={}, created_at=now, available_at=now
            )
        )
        old = datetime(2020, 1, 1, tzinfo=clock.SHANGHAI)
        writing.add(LoginAttempt(code_hash=b"\0" * 32, started_at=old))
    database.dispose()
    result = run("worker", "--once")
    assert result.exit_code == 0
    events = [json.loads(line) for line in result.stderr.splitlines()]
    assert [(event["message"], event["count"]) for event in events] == [("delivered", 1), ("purged", 1)]
    assert session.scalars(select(Message.person_id)).all() == [person.id]
    assert session.scalars(select(LoginAttempt)).all() == []
    assert run("worker", "--once").stderr == ""


# engage import


def test_reference_data_is_imported_once(run, sqlite, session):
    assert run("import", "divisions").output.startswith("新增 7191，更新 0，未变 0。")
    assert run("import", "orgs").exit_code == 0
    assert run("import", "hubs").exit_code == 0
    assert session.get(Division, "140524").name == "陵川县"
    assert session.scalars(select(Org).where(Org.external_ref == "division:140524")).one()
    for kind in ("divisions", "orgs", "hubs"):
        assert run("import", kind).output.startswith("新增 0，更新 0，")


def test_organisations_wait_for_divisions(run, sqlite):
    result = run("import", "orgs")
    assert result.exit_code == 1
    assert "Traceback" not in result.output


def test_an_operators_list_of_hubs_is_taken_or_refused_as_a_whole(run, sqlite, session, tmp_path):
    run("import", "divisions")
    run("import", "orgs")
    header = (
        "external_ref,name,kind,org_ref,division_code,county_code,address,lat,lng,coord_type,opening_hours,services,"
        "contact_name,contact_phone,description"
    )
    run("import", "hubs")
    good = "JC-1,崇文青年之家,youth_home,division:140524100,140524100,,,,,,,,,,"
    bad = "JC-2,礼义青年之家,palace,division:140524100,140524100,,,,,,,,,,"
    file = tmp_path / "hubs.csv"
    file.write_text(f"{header}\n{good}\n{bad}\n", encoding="gb18030")
    _is_sentence(run("import", "hubs", file), "/3/kind")
    assert session.scalars(select(Hub)).all() == []
    session.rollback()
    file.write_text(f"{header}\n{good}\n", encoding="utf-8-sig")
    assert run("import", "hubs", file).exit_code == 0
    assert session.scalars(select(Hub.name)).all() == ["崇文青年之家"]


def test_a_long_list_of_faults_is_cut(run, sqlite, tmp_path):
    file = tmp_path / "hubs.csv"
    file.write_text(",".join(f"column{number}" for number in range(30)) + "\n", encoding="utf-8")
    result = run("import", "hubs", file)
    _is_sentence(result, "/1/external_ref")
    assert len(result.stderr.splitlines()) == 22


def test_a_file_that_is_not_there_is_named(run, sqlite):
    result = run("import", "orgs", "none.csv")
    assert result.exit_code == 2
    assert "none.csv" in result.stderr


# engage openapi


def test_the_document_is_written_and_compared(run, tmp_path):
    _is_sentence(run("openapi", "check"), "openapi.yaml", "engage openapi write")
    assert run("openapi", "write").exit_code == 0
    document = yaml.safe_load((tmp_path / "openapi.yaml").read_text(encoding="utf-8"))
    assert document["openapi"].startswith("3.1")
    assert run("openapi", "check").exit_code == 0


def test_the_first_difference_of_the_document_is_shown(run, tmp_path):
    file = tmp_path / "other.yaml"
    run("openapi", "write", file)
    lines = file.read_text(encoding="utf-8").splitlines()
    before = lines[5]
    lines[5] = "  something: else"
    file.write_text("\n".join(lines), encoding="utf-8")
    result = run("openapi", "check", file)
    assert result.exit_code == 1
    assert f"other.yaml:6\n-   something: else\n+ {before}\n" in result.stderr


def test_a_document_that_ends_early_is_a_difference(run, tmp_path):
    run("openapi", "write")
    file = tmp_path / "openapi.yaml"
    file.write_text("\n".join(file.read_text(encoding="utf-8").splitlines()[:-1]), encoding="utf-8")
    assert "文件结束" in run("openapi", "check").stderr


# engage grant


@pytest.fixture
def place(run, sqlite, session):
    """Somebody, and the committee of 陵川县."""
    run("import", "divisions")
    run("import", "orgs")
    database = Database(Settings.from_env())
    now = clock.now()
    with database.transaction() as writing:
        person = Person(created_at=now, updated_at=now)
        writing.add(person)
    database.dispose()
    return person.id, session.scalars(select(Org.id).where(Org.external_ref == "division:140524")).one()


def test_the_first_role_is_given_from_the_command_line(run, place, session):
    person_id, org_id = place
    result = run(
        "grant", person_id, "officer", "--org", org_id, "--ends-at", "2099-12-31", "--reason", "文件 12 号"
    )
    assert result.exit_code == 0, result.output
    grant = session.scalars(select(RoleGrant)).one()
    assert str(grant.id) in result.output
    assert (grant.person_id, grant.org_id, grant.role, grant.reason) == (
        person_id,
        org_id,
        Role.OFFICER,
        "文件 12 号",
    )
    assert grant.granted_by is None
    assert grant.ends_at == datetime(2099, 12, 31, tzinfo=clock.SHANGHAI)
    assert [(letter.kind, letter.person_id) for letter in session.scalars(select(OutboxEntry))] == [
        ("role_given", person_id)
    ]


@pytest.mark.parametrize(
    "arguments",
    [[], ["--hub", ids.new_id()], ["--org", ids.new_id()], ["--ends-at", "2000-01-01"]],
    ids=["nowhere", "hub", "no such", "over"],
)
def test_a_role_that_cannot_be_given_is_a_sentence(run, place, session, arguments):
    where = [] if "--hub" in arguments or "--org" in arguments or not arguments else ["--org", place[1]]
    _is_sentence(run("grant", place[0], "officer", "--reason", "文件", *where, *arguments))
    assert session.scalars(select(RoleGrant)).all() == []


@pytest.mark.parametrize("role", Role)
def test_who_will_not_read_the_audit_log_with_a_role_that_seems_to_is_told(run, place, session, role):
    person_id, below = place
    root = session.scalars(select(Org.id).where(Org.parent_id.is_(None))).first()
    said = {
        org_id: run("grant", person_id, role.value, "--org", org_id, "--reason", "文件").output
        for org_id in (root, below)
    }
    assert "提示" not in said[root]
    told = (
        "不能读审计日志。Note: below the root of the tree this role does not read the audit log."
        in said[below]
    )
    assert told == (role in {Role.AUDITOR, Role.PLATFORM_ADMIN})


def test_a_role_is_not_given_without_a_reason(run, place):
    assert run("grant", place[0], "officer", "--org", place[1]).exit_code == 2


# engage fake-wechat


def test_the_fake_of_wechat_stays_off_in_production(run):
    result = run(
        "fake-wechat", environment="production", secret_key="k7Jq2mWx9TfR4vBn8LzC3hYd6PsG1aEu", data_keys="1:" + "A" * 43 + "=",
        wechat_appid=fakes.APPID, wechat_secret=fakes.SECRET, public_url="https://engage.example.cn",
    )  # fmt: skip
    _is_sentence(result, "生产环境")


def test_the_fake_of_wechat_refuses_a_taken_port(run):
    with taken_port() as port:
        _is_sentence(run("fake-wechat", "--port", port), str(port), "已被占用")
