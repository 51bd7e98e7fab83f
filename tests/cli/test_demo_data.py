"""What ``engage demo`` fills a database with, on both engines."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import func, select

from engage.activities.models import Activity, ActivityStatus, CheckIn, Feedback, Project, SignUp, SignUpState
from engage.core import clock, migrations
from engage.core.config import Environment, Settings
from engage.core.db import Database
from engage.demo import build
from engage.demo.people import NAMED, SECOND_FACTOR_SECRET, enrol_staff
from engage.demo.programme import Story, programme
from engage.enclaves.models import ApplicationState, EnclaveApplication, EnclaveParticipation
from engage.hubs.models import Hub
from engage.identity.models import Person, SecondFactor, WeChatAccount, second_factor_purpose
from engage.orgs.models import Membership, MembershipStatus, Org, Role, RoleGrant

MIDDAY = datetime(2026, 10, 1, 4, 0, tzinfo=UTC)
INSTANTS = [
    MIDDAY,
    datetime(2026, 9, 30, 16, 0, tzinfo=UTC),  # midnight in Shanghai
    datetime(2026, 9, 30, 15, 59, 59, tzinfo=UTC),
    datetime(2027, 12, 31, 22, 30, tzinfo=UTC),
    datetime(2028, 2, 29, 1, 0, tzinfo=UTC),
    datetime(2031, 3, 1, 14, 0, 0, 123456, tzinfo=UTC),
]


@pytest.fixture(scope="module")
def filled(own_database):
    said = []
    build.fill(own_database, MIDDAY, lambda zh, en: said.append((zh, en)))
    assert len(said) == 4
    return own_database


@pytest.fixture
def session(filled):
    with filled.transaction() as session:
        yield session


def _count(session, *conditions):
    return session.scalar(select(func.count()).where(*conditions))


def test_everything_that_was_promised_is_there(session):
    assert _count(session, Hub.id.is_not(None)) == 345
    assert _count(session, Project.id.is_not(None)) == 22
    assert _count(session, Person.is_synthetic) == 300
    assert _count(session, WeChatAccount.person_id.is_not(None)) == 300
    assert _count(session, Org.kind_code == "committee", Org.division_code.is_not(None)) >= 1 + 1 + 6 + 77
    assert {"团青有约", "青年讲师", "青年画社", "青年话剧社"} <= set(session.scalars(select(Project.name)))


def test_every_story_has_become_what_it_says(session):
    by_title = {activity.title: activity for activity in session.scalars(select(Activity))}
    events = programme(MIDDAY)
    assert len(by_title) == len(events) == 68
    for event in events:
        activity = by_title[event.title]
        if event.story is Story.FULL:
            assert activity.taken == activity.capacity
            assert activity.waiting > 0
        if event.story in (Story.PAST, Story.ENDED):
            assert _count(session, CheckIn.activity_id == activity.id) > 0
            assert _count(session, Feedback.activity_id == activity.id) > 0
        expected = {
            Story.PAST: ActivityStatus.SUMMARISED,
            Story.DRAFT: ActivityStatus.DRAFT,
            Story.CANCELLED: ActivityStatus.CANCELLED,
        }
        assert activity.status is expected.get(event.story, ActivityStatus.PUBLISHED)
        assert activity.taken <= activity.capacity


def test_the_youth_of_the_tour_has_a_history_and_a_turn(session):
    def state(*conditions):
        return session.scalar(
            select(func.count())
            .select_from(SignUp)
            .outerjoin(CheckIn, CheckIn.sign_up_id == SignUp.id)
            .where(SignUp.person_id == _named(session)["youth"], *conditions)
        )

    assert state(CheckIn.sign_up_id.is_not(None)) == 4
    assert state(SignUp.state == SignUpState.WAITLISTED) == 1
    assert state(SignUp.state == SignUpState.CONFIRMED, CheckIn.sign_up_id.is_(None)) >= 2


def _named(session):
    from engage.wechat.fake import openid_of

    accounts = dict(session.execute(select(WeChatAccount.openid, WeChatAccount.person_id)).all())
    return {key: accounts[openid_of("", key)] for key in NAMED}


def test_the_staff_of_the_tour_hold_their_roles(session):
    people = _named(session)
    held = {grant.person_id: grant for grant in session.scalars(select(RoleGrant))}
    assert {key: held[people[key]].role for key in ("manager", "officer", "chief", "ops")} == {
        "manager": Role.HUB_MANAGER,
        "officer": Role.OFFICER,
        "chief": Role.OFFICER,
        "ops": Role.ANALYST,
    }
    assert session.get(Org, held[people["officer"]].org_id).division_code == "140524"
    assert session.get(Hub, held[people["manager"]].hub_id).county_code == "140502"


def test_the_staff_of_the_tour_alone_have_the_second_factor_that_everybody_knows(filled, session):
    settings = filled.settings
    for now in (MIDDAY, MIDDAY + timedelta(days=1)):
        enrol_staff(session, settings, now)
        session.flush()
    people = _named(session)
    factors = {factor.person_id: factor for factor in session.scalars(select(SecondFactor))}
    assert factors.keys() == {people[key] for key in ("manager", "officer", "chief", "ops")}
    for person_id, factor in factors.items():
        opened = settings.keyring.open(factor.secret_sealed, second_factor_purpose(person_id))
        assert (opened, factor.confirmed_at) == (SECOND_FACTOR_SECRET, MIDDAY)
    with pytest.raises(ValueError, match="protects nobody"):
        enrol_staff(session, settings.replace(environment=Environment.PRODUCTION), MIDDAY)


def test_members_are_mirrored_in_the_committee_of_their_township(session):
    rows = session.execute(
        select(Person.birth_on, Person.hometown_code, Org.division_code, Membership.status)
        .join(Membership, Membership.person_id == Person.id)
        .join(Org, Org.id == Membership.org_id)
    ).all()
    assert len(rows) == 48
    for birth_on, hometown, township, status in rows:
        assert hometown.startswith(township)
        is_young = clock.age_on(birth_on, clock.shanghai_day(MIDDAY)) <= 28
        assert status is (MembershipStatus.MEMBER if is_young else MembershipStatus.AGED_OUT)


def test_some_who_live_away_take_part_in_a_branch_of_their_county(session):
    assert _count(session, EnclaveParticipation.left_at.is_(None)) >= 3
    assert _count(session, EnclaveApplication.state == ApplicationState.SUBMITTED) >= 1
    assert _count(session, EnclaveApplication.person_id == _named(session)["migrant"]) == 0


def test_nobody_signs_up_before_it_opens_or_after_it_is_over(session):
    wrong = (
        select(func.count())
        .select_from(SignUp)
        .join(Activity, Activity.id == SignUp.activity_id)
        .where(
            (SignUp.created_at < Activity.sign_up_opens_at)
            | (SignUp.created_at > Activity.sign_up_closes_at)
            | (SignUp.created_at > MIDDAY)
        )
    )
    assert session.scalar(wrong) == 0


def _story(database):
    """What happened, without the ids, which are drawn."""
    with database.reading() as connection:
        return connection.execute(
            select(Activity.title, Person.name, SignUp.state, SignUp.created_at, CheckIn.checked_in_at)
            .join(SignUp, SignUp.activity_id == Activity.id)
            .join(Person, Person.id == SignUp.person_id)
            .outerjoin(CheckIn, CheckIn.sign_up_id == SignUp.id)
            .order_by(Activity.title, SignUp.seq)
        ).all()


def test_the_same_happens_on_every_machine_and_engine(filled, tmp_path):
    other = Database(Settings(database_url=f"sqlite:///{tmp_path}/other.db"))
    with other.writer.connect() as connection:
        migrations.upgrade(connection)
        connection.commit()
    build.fill(other, MIDDAY, lambda *_: None)
    story = _story(other)
    other.dispose()
    assert len(story) > 900
    assert story == _story(filled)


def test_the_open_house_is_held_again_only_when_it_is_over(filled):
    assert build.open_house(filled, MIDDAY) == build.open_house(filled, MIDDAY + timedelta(hours=3))
    later = MIDDAY + timedelta(days=3)
    assert build.open_house(filled, later) != build.open_house(filled, MIDDAY)
    assert build.open_house(filled, later) == build.open_house(filled, later + timedelta(hours=1))


def test_a_demo_of_long_ago_is_not_fresh(filled):
    assert build.is_fresh(filled, MIDDAY)
    assert not build.is_fresh(filled, MIDDAY + timedelta(days=30))


@pytest.mark.parametrize("now", INSTANTS, ids=str)
def test_the_programme_fits_any_moment(now):
    for event in programme(now):
        assert event.opens_at < event.closes_at <= event.ends_at
        assert event.starts_at < event.ends_at
        holds = {
            Story.PAST: event.ends_at + timedelta(days=1) < now,
            Story.ENDED: event.ends_at < now,
            Story.NOW: event.starts_at <= now - timedelta(minutes=25) and now < event.closes_at,
            Story.OPEN: event.opens_at < now < event.closes_at,
            Story.FULL: event.opens_at < now < event.closes_at,
            Story.LATER: now < event.opens_at,
            Story.DRAFT: now < event.starts_at,
            Story.CANCELLED: now < event.starts_at,
        }
        assert holds[event.story], event
