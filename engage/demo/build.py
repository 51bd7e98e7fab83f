"""Filling an empty database with the demo, step by step, and keeping it usable."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from sqlalchemy import func, select

import engage.tables  # noqa: F401 - every table, before the first is written
from engage.activities.models import Activity, ActivityStatus, Project, SignUp
from engage.demo.history import act_out, add_activities, add_participants, add_projects
from engage.demo.people import add_people, enrol_staff, read_people
from engage.demo.programme import OPEN_HOUSE, programme
from engage.demo.stage import Stage
from engage.enclaves.service import import_demo_branches
from engage.hubs.service import import_demo_hubs, import_hub_kinds
from engage.orgs.service import import_demo_orgs, import_orgs
from engage.regions.service import import_divisions

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy.orm import Session

    from engage.core.db import Database

    Say = Callable[[str, str], None]

_STILL_FRESH: Final = 10  # activities ahead; with fewer the demo is worth making anew


def fill(database: Database, now: datetime, say: Say) -> None:
    """Fill a migrated, empty database; ``say`` is told in Chinese and English what has been done."""
    with database.transaction() as session:
        report = import_divisions(session)
        say(f"行政区划 {report.created}", "divisions")
    with database.transaction() as session:
        orgs = import_orgs(session, now) + import_demo_orgs(session, now)
        hubs = import_hub_kinds(session) + import_demo_hubs(session, now)
        branches = import_demo_branches(session, now)
        made = orgs.created + hubs.created + branches.created
        say(f"组织、站点、驻外团组织 {made}", "organisations, hubs, enclave branches and their kinds")
    with database.transaction() as session:
        people = add_people(session, database.settings, now)
        say(f"人员 {len(people)}（虚构）", "invented people")
    with database.transaction() as session:
        stage = Stage(database, session, people, now)
        project_ids = add_projects(stage)
        count = add_activities(stage, project_ids)
        sign_ups = session.scalar(select(func.count()).select_from(SignUp))
        add_participants(stage)
        say(f"项目 {len(project_ids)}、活动 {count}、报名 {sign_ups}", "projects, activities, sign-ups")


def renew_second_factors(database: Database, now: datetime) -> None:
    """Let the staff of the demo have the second factor that the tour shows codes of, also where an earlier run lost it."""
    with database.transaction() as session:
        enrol_staff(session, database.settings, now)


def open_house(database: Database, now: datetime) -> UUID:
    """Return the activity that runs now at the manager's hub, which the tour needs; hold another if it is over."""
    event = next(event for event in programme(now) if event.title == OPEN_HOUSE)
    with database.transaction() as session:
        running: UUID | None = session.scalars(
            select(Activity.id)
            .where(
                Activity.title == OPEN_HOUSE,
                Activity.status == ActivityStatus.PUBLISHED,
                Activity.taken < Activity.capacity,
                Activity.starts_at <= now,
                Activity.sign_up_closes_at > now + (event.ends_at - event.starts_at) / 10,
            )
            .order_by(Activity.starts_at.desc())
            .limit(1)
        ).one_or_none()
        if running is not None:
            return running
        stage = Stage(database, session, read_people(session, database.settings, now), now)
        return act_out(stage, replace(event, sign_ups=0), _project(session, event.project))


def _project(session: Session, name: str) -> UUID:
    return session.scalars(select(Project.id).where(Project.name == name)).one()


def is_fresh(database: Database, now: datetime) -> bool:
    """Say whether enough is still ahead for the demo to be worth a look."""
    with database.reading() as connection:
        ahead = connection.scalar(
            select(func.count())
            .select_from(Activity)
            .where(Activity.status == ActivityStatus.PUBLISHED, Activity.starts_at > now)
        )
    return (ahead or 0) >= _STILL_FRESH
