"""Fixtures: both engines, real commits, rows deleted after each test, a clock that can be set."""

from __future__ import annotations

import contextlib
import gc
import logging
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from pathlib import Path

import hypothesis
import pytest
from flask import Flask
from limits import RateLimitItemPerMinute
from sqlalchemy import URL, create_engine, exists, make_url, select

sys.path.insert(0, str(Path(__file__).parent))

import os

import fakes
import guards
import leaks
import postgres
from contract import ContractClient
from factories import Factory
from fakes import FakeWeChat
from reference import KEPT_TABLES, LOG_TABLES, seed_reference
from world import World, build

from engage.activities.models import LotteryDraw
from engage.app import create_app
from engage.core import clock, ids, migrations
from engage.core.config import Settings, SqliteSync
from engage.core.db import Base, Database

# The same examples in every run: a red run is about the change, not about luck.
hypothesis.settings.register_profile("repeatable", derandomize=True, deadline=None)
hypothesis.settings.load_profile("repeatable")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--calls", type=int, default=5, help="calls made up for each operation from the OpenAPI document"
    )


def pytest_collection_finish() -> None:
    """Leave what was collected alone from now on: to look through thousands of tests for garbage again and again is an eighth of the run."""
    gc.collect()
    gc.freeze()


# Limits are on and count, but nobody meets them: all tests call from one address, and the clock stands still.
WITHOUT_LIMITS = {
    field.name: RateLimitItemPerMinute(1_000_000)
    for field in fields(Settings)
    if field.name.startswith("limit_")
}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """Fail whatever test let a secret or a personal datum out: in the log, on standard output or on standard error."""
    report = yield
    leaks.judge(report)
    return report


NOW = datetime(2026, 10, 1, 2, 0, tzinfo=UTC)  # 10:00 in Shanghai


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """The address of an empty PostgreSQL database, of a server of our own.

    ``ENGAGE_TEST_DATABASE_URL`` names a database of another server; the tests make their own beside it, never touching it.
    """
    given = os.environ.get("ENGAGE_TEST_DATABASE_URL")
    if given:
        with _database_beside(make_url(given)) as url:
            yield url
        return
    with postgres.server() as url:
        yield url


@contextlib.contextmanager
def _database_beside(server: URL, like: URL | None = None) -> Iterator[str]:
    """Make a database on a server: empty, or a copy of another one that nobody is connected to."""
    name = f"engage_{ids.new_id().hex}"
    maintenance = create_engine(server.set(drivername="postgresql+psycopg"), isolation_level="AUTOCOMMIT")
    copied = f" TEMPLATE {like.database}" if like else ""
    try:
        with maintenance.connect() as connection:
            connection.exec_driver_sql(f"CREATE DATABASE {name}{copied}")
        yield server.set(drivername="postgresql", database=name).render_as_string(hide_password=False)
        with maintenance.connect() as connection:
            connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")
    finally:
        maintenance.dispose()


def _migrate(url: str) -> None:
    database = Database(Settings(database_url=url))
    with database.writer.connect() as connection:
        migrations.upgrade(connection)
        connection.commit()
    database.dispose()


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file without rows, to be copied."""
    file = tmp_path_factory.mktemp("migrated") / "engage.db"
    _migrate(f"sqlite:///{file}")
    return file


@pytest.fixture(scope="session")
def migrated_url(postgres_url: str) -> Iterator[URL]:
    """A migrated PostgreSQL database without rows, to be copied."""
    with _database_beside(make_url(postgres_url)) as url:
        _migrate(url.replace("postgresql://", "postgresql+psycopg://"))
        yield make_url(url)


@contextlib.contextmanager
def _own_address(
    engine: str, request: pytest.FixtureRequest, folder: Path, *, migrated: bool
) -> Iterator[str]:
    """Make a database of its own, without tables or without rows."""
    if engine == "sqlite":
        if migrated:
            shutil.copy(request.getfixturevalue("migrated_file"), folder / "engage.db")
        yield f"sqlite:///{folder / 'engage.db'}"
        return
    server = make_url(request.getfixturevalue("postgres_url"))
    like = request.getfixturevalue("migrated_url") if migrated else None
    with _database_beside(server, like) as url:
        yield url.replace("postgresql://", "postgresql+psycopg://")


@pytest.fixture(scope="session")
def wechat_server() -> Iterator[FakeWeChat]:
    with fakes.running() as fake:
        yield fake


@pytest.fixture
def wechat(wechat_server: FakeWeChat) -> FakeWeChat:
    """The stand-in for WeChat that the application talks to, without users, codes, tokens or faults."""
    wechat_server.reset()
    return wechat_server


@pytest.fixture(scope="session", params=["sqlite", "postgresql"])
def settings(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, wechat_server: FakeWeChat
) -> Iterator[Settings]:
    """Settings of a migrated database with the reference data, on each engine in turn."""
    with _own_address(request.param, request, tmp_path_factory.mktemp("db"), migrated=True) as url:
        settings = Settings(
            database_url=url,
            database_pool_size=24,
            sqlite_synchronous=SqliteSync.NORMAL,
            secret_key="a secret for tests, long enough to be taken",
            public_url="https://engage.example.cn",
            wechat_appid=fakes.APPID,
            wechat_secret=fakes.SECRET,
            wechat_api_base=wechat_server.base_url,
            **WITHOUT_LIMITS,
        )
        database = Database(settings)
        with database.transaction() as session:
            seed_reference(session)
        database.dispose()
        yield settings


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """A database without tables, on each engine in turn: for migrations."""
    with _own_address(request.param, request, tmp_path, migrated=False) as url:
        database = Database(Settings(database_url=url))
        yield database
        database.dispose()


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def own_database(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Database]:
    """A migrated database without rows that the tests of one module share, on each engine in turn: for imports of real data."""
    with _own_address(request.param, request, tmp_path_factory.mktemp("own"), migrated=True) as url:
        database = Database(Settings(database_url=url))
        yield database
        database.dispose()


@pytest.fixture(scope="session")
def app(settings: Settings) -> Iterator[Flask]:
    app = create_app(settings)
    app.test_client_class = ContractClient
    yield app
    app.extensions["engage.database"].dispose()


@pytest.fixture(scope="session")
def database(app: Flask) -> Database:
    return app.extensions["engage.database"]


_DELETES = [
    f"DELETE FROM {table.name}"
    for table in reversed(Base.metadata.sorted_tables)
    if table.name not in KEPT_TABLES
]


@pytest.fixture(autouse=True)
def _clean(request: pytest.FixtureRequest) -> Iterator[None]:
    """Delete what a test wrote, whatever it committed."""
    used = {"database", "app"} & set(request.fixturenames)
    database: Database | None = request.getfixturevalue("database") if used else None
    yield
    clock.use(None)
    if database is None:
        return
    with database.writer.begin() as connection, contextlib.ExitStack() as stack:
        if connection.scalar(select(exists(LotteryDraw.activity_id))):
            stack.enter_context(guards.lifted(connection, "lottery_draw_stays"))
        for statement in _DELETES if database.is_sqlite else [";".join(_DELETES)]:
            connection.exec_driver_sql(statement)


class Clock:
    """The clock of the service, standing still until moved."""

    def __init__(self, start: datetime) -> None:
        self.now = start
        clock.use(lambda: self.now)

    def move(self, **by: float) -> None:
        self.now += timedelta(**by)

    def set(self, instant: datetime) -> None:
        self.now = instant


@pytest.fixture
def frozen() -> Clock:
    """A clock that stands at 10:00 on 1 October 2026 in Shanghai."""
    return Clock(NOW)


@pytest.fixture
def client(app: Flask) -> ContractClient:
    """A caller who has not logged in."""
    return app.test_client()


@pytest.fixture
def make(database: Database, app: Flask) -> Factory:
    """Makes objects in the database, each in a transaction of its own."""
    return Factory(database, app)


@pytest.fixture
def as_user(app: Flask, make: Factory) -> Callable[..., ContractClient]:
    """Return a client that is logged in as a person who, unless asked otherwise, has just shown their second factor."""

    def log_in(person_id, language: str = "zh", *, privileged: bool = True) -> ContractClient:
        client = app.test_client()
        token = make.access_token(person_id, privileged=privileged)
        client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {token}"
        client.environ_base["HTTP_ACCEPT_LANGUAGE"] = language
        return client

    return log_in


@pytest.fixture
def own_log() -> Iterator[None]:
    """For tests that run commands: these send the log to a standard error that ends with them."""
    log = logging.getLogger("engage")
    kept = log.handlers[:], log.level, log.propagate
    yield
    log.handlers[:], log.level, log.propagate = kept


@pytest.fixture
def world(frozen: Clock, database: Database, app: Flask) -> World:
    """Something of every kind, and callers of every kind."""
    return build(database, app)


@pytest.fixture
def unchanged(database: Database, world: World) -> Iterator[None]:
    """Fails when the test changed a row of any table, but for the entries that tell of what was refused."""
    before = _contents(database)
    yield
    assert _contents(database) == before


def _contents(database: Database) -> dict[str, list[str]]:
    with database.reading() as connection:
        return {
            table.name: sorted(map(repr, connection.execute(select(table))))
            for table in Base.metadata.sorted_tables
            if table.name not in LOG_TABLES
        }
