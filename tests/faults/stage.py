"""A service over a durable database, people with open sessions, and activities to rush at."""

from __future__ import annotations

import contextlib
import itertools
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import postgres
from factories import Factory
from flask import Flask
from reference import seed_reference
from sqlalchemy import NullPool, create_engine, text

import engage.tables  # noqa: F401 - every table
from engage.core import clock, migrations
from engage.core.config import Settings
from engage.core.db import Database
from engage.identity import caller
from engage.orgs.models import Org, Role
from faults import relay
from faults.disk import DATABASE, Disk
from faults.invariants import Held
from faults.relay import Relay
from faults.service import Service

PEOPLE = 56
_serial = itertools.count(1)


@dataclass
class Stage:
    """Everything a fault needs."""

    url: str
    service: Service
    folder: Path
    org: Org
    staff_token: str
    tokens: dict[UUID, str]
    database: Database
    make: Factory
    cluster: postgres.Cluster | None = None
    relay: Relay | None = None
    disk: Disk | None = None
    activities: list[UUID] = field(default_factory=list)

    @property
    def engine(self) -> str:
        return "SQLite" if self.url.startswith("sqlite") else "PostgreSQL"

    def open_activity(self, capacity: int, waitlist_capacity: int) -> UUID:
        """Publish one more activity, far from its start and at an hour of its own."""
        self.database.dispose()  # the fault before this one may have cut its connections
        now = clock.now()
        starts_at = now + timedelta(days=30, hours=3 * next(_serial))
        activity = self.make.activity(
            org=self.org, capacity=capacity, waitlist_capacity=waitlist_capacity, starts_at=starts_at,
            ends_at=starts_at + timedelta(hours=2), sign_up_closes_at=starts_at - timedelta(hours=1),
        )  # fmt: skip
        self.activities.append(activity.id)
        return activity.id

    def held(self, activity_id: UUID) -> Held:
        """Return what the database has of an activity, over a connection of its own."""
        engine = create_engine(self.url, poolclass=NullPool)
        with engine.connect() as connection:
            return Held.read(connection, activity_id)

    @contextlib.contextmanager
    def locked(self, activity_id: UUID) -> Iterator[None]:
        """Hold what a sign-up needs, as a stuck program of somebody else would."""
        engine = create_engine(self.url, poolclass=NullPool)
        with engine.connect() as connection:
            if self.engine == "PostgreSQL":
                connection.execute(
                    text("SELECT 1 FROM activity WHERE id = :id FOR UPDATE"), {"id": activity_id}
                )
            else:
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            yield

    def administer(self, statement: str) -> None:
        """Run a statement as the administrator of PostgreSQL."""
        engine = create_engine(self.url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(text(statement))


@contextlib.contextmanager
def on_postgres(*, with_relay: bool = False) -> Iterator[Stage]:
    """Serve from a PostgreSQL of our own that keeps what it acknowledges."""
    with contextlib.ExitStack() as stack:
        cluster = stack.enter_context(postgres.cluster(durable=True))
        wire = stack.enter_context(relay.before(cluster.folder)) if with_relay else None
        stage = stack.enter_context(_serving(cluster.url, wire.url if wire else cluster.url))
        stage.cluster, stage.relay = cluster, wire
        yield stage


@contextlib.contextmanager
def on_sqlite(disk: Disk | None = None) -> Iterator[Stage]:
    """Serve from a SQLite file, perhaps on a disk that can fill up."""
    with tempfile.TemporaryDirectory(prefix="engage-faults-") as folder:
        file = (disk.folder if disk else Path(folder)) / DATABASE
        with _serving(f"sqlite:///{file}", f"sqlite:///{file}") as stage:
            stage.disk = disk
            yield stage


@contextlib.contextmanager
def _serving(url: str, served_url: str) -> Iterator[Stage]:
    url = url.replace("postgresql://", "postgresql+psycopg://")
    settings = Settings(database_url=url)
    folder = Path(tempfile.mkdtemp(prefix="engage-serve-"))
    database = Database(settings)
    service = Service(folder, served_url)
    try:
        with database.writer.connect() as connection:
            migrations.upgrade(connection)
            connection.commit()
        with database.transaction() as session:
            seed_reference(session)
        app = Flask("tokens")  # nothing is served by it, and the log of the test run stays as it is
        caller.install(app, settings, database)
        make = Factory(database, app)
        org = make.org()
        staff = make.staff(Role.OFFICER, org=org)
        tokens = {
            person.id: make.access_token(person.id) for person in (make.person() for _ in range(PEOPLE))
        }
        service.start()
        yield Stage(url, service, folder, org, make.access_token(staff.id), tokens, database, make)
    finally:
        service.stop()
        database.dispose()
        shutil.rmtree(folder, ignore_errors=True)
