"""``engage doctor``."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import fakes
import pytest
from cli.conftest import taken_port
from sqlalchemy import select, text

from engage.core import audit, clock
from engage.core.config import Settings
from engage.core.db import Database
from engage.identity.models import Person, PersonStatus
from engage.orgs.models import Org, Role
from engage.orgs.service import grant_role

SECRET = "k7Jq2mWx9TfR4vBn8LzC3hYd6PsG1aEu"
KEYS = "1:" + "A" * 43 + "="


@pytest.fixture
def examine(run, wechat):
    """Run the doctor; return what each check says, and the exit code."""

    def doctor(**settings):
        result = run(
            "doctor", "--json",
            **{
                "secret_key": SECRET, "data_keys": KEYS, "wechat_api_base": wechat.base_url,
                "wechat_appid": fakes.APPID, "wechat_secret": fakes.SECRET, **settings,
            },
        )  # fmt: skip
        checks = {check["check"]: check for check in json.loads(result.stdout)}
        assert result.exit_code == (0 if all(check["ok"] for check in checks.values()) else 1)
        return {name for name, check in checks.items() if not check["ok"]}, checks

    return doctor


@pytest.fixture
def installed(run, own_database):
    """A database with data and somebody in charge, on each engine."""
    url = own_database.settings.database_url
    run("import", "divisions", database_url=url)
    run("import", "orgs")
    now = clock.now()
    with own_database.transaction() as session:
        person = Person(created_at=now, updated_at=now)
        session.add(person)
        session.flush()
        org_id = session.scalars(select(Org.id).where(Org.external_ref == "division:140500")).one()
        grant_role(session, now, person.id, Role.OFFICER, reason="文件", org_id=org_id)
    return url


def test_a_sound_installation_passes(examine, installed):
    failed, checks = examine(database_url=installed)
    assert failed == set()
    assert {
        "settings",
        "secret_key",
        "data_keys",
        "database",
        "revision",
        "drift",
        "reference_data",
        "staff",
    } <= checks.keys()
    assert {"database_clock", "wechat", "clock", "time_zone"} <= checks.keys()


def test_lines_are_for_people(run, installed):
    result = run("doctor", database_url=installed)
    assert result.exit_code == 1
    assert "异常 FAILED  ENGAGE_SECRET_KEY 是默认值或太短。" in result.output
    assert "正常 ok      数据库可连接。 The database answers." in result.output


def test_settings_that_stop_the_start_are_the_first_answer(run):
    result = run("doctor", "--json", workers="many")
    assert result.exit_code == 1
    (check,) = json.loads(result.stdout)
    assert not check["ok"]
    assert "ENGAGE_WORKERS" in check["en"]


def test_weak_secrets_are_named(run, examine):
    failed, _ = examine(secret_key="short", database_url="sqlite:///none.db")
    assert "secret_key" in failed
    failed, _ = examine(secret_key=SECRET)
    assert "secret_key" not in failed


def test_a_proxy_that_hides_everybody_and_a_redis_that_is_away_are_named(examine):
    behind = {
        "environment": "production",
        "wechat_api_base": "https://127.0.0.1:1",
        "database_url": "sqlite:///none.db",
        "redis_url": "redis://127.0.0.1:1/0",
    }
    failed, _ = examine(**behind)
    assert {"trusted_proxies", "redis"} <= failed
    failed, _ = examine(**behind, trusted_proxies="1")
    assert "trusted_proxies" not in failed


def test_missing_data_keys_are_named(run, monkeypatch, examine):
    result = run("doctor", "--json")
    assert "data_keys" in {check["check"] for check in json.loads(result.stdout) if not check["ok"]}


def test_a_database_that_is_not_there_is_not_made(examine, tmp_path):
    failed, _ = examine(database_url=f"sqlite:///{tmp_path}/engage.db")
    assert failed == {"database"}
    assert list(tmp_path.iterdir()) == []


def test_a_database_that_cannot_be_reached_is_named(examine):
    with taken_port() as port:
        pass
    failed, checks = examine(database_url=f"postgresql://ops:hidden@127.0.0.1:{port}/engage")
    assert failed == {"database"}
    assert "hidden" not in checks["database"]["en"]


def test_a_folder_that_does_not_exist_is_named(examine, tmp_path):
    failed, _ = examine(database_url=f"sqlite:///{tmp_path}/none/engage.db")
    assert "database_folder" in failed


def test_a_database_that_is_behind_is_named(run, examine, tmp_path):
    run("db", "upgrade", database_url=f"sqlite:///{tmp_path}/engage.db")
    run("db", "downgrade", "0004", "--yes")
    failed, checks = examine()
    assert failed == {"revision"}
    assert "0004" in checks["revision"]["zh"]


def test_an_empty_database_needs_data_and_somebody_in_charge(run, examine, tmp_path):
    run("db", "upgrade", database_url=f"sqlite:///{tmp_path}/engage.db")
    failed, _ = examine()
    assert failed == {"reference_data", "staff"}


def test_nobody_to_read_the_audit_log_is_worth_a_note_and_no_failure(examine, run, installed, own_database):
    def is_noted():
        failed, checks = examine(database_url=installed)
        assert failed == set()
        return "audit_readers" in checks and checks["audit_readers"]["note"]

    with own_database.transaction() as session:
        reader = Person(created_at=clock.now(), updated_at=clock.now())
        session.add(reader)
        session.flush()
        city = session.scalars(select(Org).where(Org.external_ref == "division:140500")).one()
        root = city.parent_id
        grant_role(session, clock.now(), reader.id, Role.AUDITOR, reason="文件", org_id=city.id)
    assert is_noted(), "the auditor is below the root"
    assert "提示 note    没有人能读审计日志" in run("doctor", database_url=installed).output
    with own_database.transaction() as session:
        grant_role(session, clock.now(), reader.id, Role.AUDITOR, reason="文件", org_id=root)
    assert not is_noted()
    with own_database.transaction() as session:
        session.get(Person, reader.id).status = PersonStatus.SUSPENDED
    assert is_noted(), "whoever is suspended reads nothing"


def test_a_worker_that_does_not_seal_the_audit_log_is_missed(run, examine, installed, own_database):
    with own_database.transaction() as session:
        audit.record(session, clock.now() - timedelta(seconds=30), "command one")
    assert examine(database_url=installed)[0] == set()
    with own_database.transaction() as session:
        audit.record(session, clock.now() - timedelta(seconds=90), "command two")
    failed, checks = examine(database_url=installed)
    assert failed == {"audit_sealing"}
    assert "engage worker 在运行吗？" in checks["audit_sealing"]["zh"]
    assert "is `engage worker` running?" in checks["audit_sealing"]["en"]
    run("worker", "--once")
    assert examine(database_url=installed)[0] == set()


def test_tables_that_differ_are_named(run, examine, tmp_path):
    run("db", "upgrade", database_url=f"sqlite:///{tmp_path}/engage.db")
    database = Database(Settings.from_env())
    with database.transaction() as session:
        session.execute(text("CREATE TABLE stray (id INTEGER PRIMARY KEY)"))
    database.dispose()
    failed, _ = examine()
    assert "drift" in failed


def test_wechat_that_cannot_be_reached_is_named(examine, installed):
    with taken_port() as port:
        pass
    failed, _ = examine(database_url=installed, wechat_api_base=f"http://127.0.0.1:{port}")
    assert failed == {"wechat", "clock"}


def test_wechat_that_refuses_our_credentials_is_named(examine, installed):
    failed, checks = examine(database_url=installed, wechat_secret="f" * 32)
    assert failed == {"wechat"}
    assert "f" * 32 not in checks["wechat"]["en"]


def test_a_clock_that_is_off_is_named(examine, installed):
    clock.use(lambda: datetime.now(UTC) + timedelta(minutes=10))
    failed, checks = examine(database_url=installed)
    assert "clock" in failed
    assert ("database_clock" in failed) == installed.startswith("postgresql")
    assert "600" in checks["clock"]["zh"] or "599" in checks["clock"]["zh"] or "601" in checks["clock"]["zh"]
