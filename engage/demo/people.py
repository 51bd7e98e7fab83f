"""The invented people: profiles, WeChat accounts, memberships, and the few that the tour knows by name."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Final

from sqlalchemy import insert, select

from engage.core import clock, ids
from engage.core.crypto import keyed_hash
from engage.core.imports import data_rows
from engage.demo import draw
from engage.hubs.models import Hub
from engage.identity.models import (
    PHONE_PURPOSE,
    Gender,
    Person,
    SecondFactor,
    WeChatAccount,
    second_factor_purpose,
)
from engage.orgs.models import Membership, MembershipStatus, Org, Role
from engage.orgs.service import grant_role
from engage.regions.models import county_of
from engage.wechat.fake import openid_of, unionid_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

    from sqlalchemy.orm import Session

    from engage.core.config import Settings

CITY: Final = "140500"
MANAGED_HUB: Final = "hub:H0001"
_LEAGUE_MAX_AGE: Final = 28  # members leave the League when they turn 29
_DAYS_IN_EVERY_MONTH: Final = 28
_JOINED_DAYS_AGO: Final = 400

# Everybody can read it: the second factor of the demo's staff, who are invented, in a database that only `engage demo` makes.
SECOND_FACTOR_SECRET: Final = "DEMOONLYDEMOONLYDEMOONLYDEMOONLY"  # noqa: S105
_STAFF: Final = ("chief", "officer", "ops", "manager")
# Who stands behind the names under which the fake of WeChat lets the tour log in.
NAMED: Final[Mapping[str, str]] = {
    "youth": "P0000172",  # of 陵川县, lives in 城区
    "migrant": "P0000170",  # of 陵川县, lives in 太原市
    "manager": "P0000033",  # hub manager in 城区
    "officer": "P0000168",  # officer of 陵川县
    "chief": "P0000010",  # officer of the city
    "ops": "P0000009",  # analyst of the city
}


@dataclass(frozen=True, slots=True)
class Resident:
    """An invented person, as far as the activities need to know them; also the actor of what they do."""

    key: str
    id: UUID
    name: str
    birth_on: date
    hometown_code: str
    current_code: str
    is_member: bool

    @property
    def county_codes(self) -> set[str]:
        """The counties they are of and live in."""
        return {code for code in map(county_of, (self.hometown_code, self.current_code)) if code}


def add_people(session: Session, settings: Settings, now: datetime) -> dict[str, Resident]:
    """Create the people with their accounts and memberships; return them by the key the fake knows them by."""
    by_key = _rows_by_key()
    joined = now - timedelta(days=_JOINED_DAYS_AGO)
    people = {key: _resident(key, row, now) for key, row in by_key.items()}
    session.execute(
        insert(Person),
        [_person(resident, by_key[key], settings, joined) for key, resident in people.items()],
    )
    session.execute(
        insert(WeChatAccount),
        [
            {
                "appid": settings.wechat_appid,
                "openid": openid_of(settings.wechat_appid, key),
                "unionid": unionid_of(key),
                "person_id": resident.id,
                "linked_at": joined,
            }
            for key, resident in people.items()
        ],
    )
    _add_memberships(session, people, by_key, now)
    _grant_roles(session, people, joined)
    return people


def _rows_by_key() -> dict[str, dict[str, str]]:
    names = {person: key for key, person in NAMED.items()}
    rows = data_rows("demo/sample_people.csv")
    return {names.get(row["id"], row["id"].lower()): row for row in rows}


def _resident(key: str, row: Mapping[str, str], now: datetime) -> Resident:
    year, month = map(int, row["birth_month"].split("-"))
    birth_on = date(year, month, 1 + draw.below(_DAYS_IN_EVERY_MONTH, row["id"], "birthday"))
    age = clock.age_on(birth_on, clock.shanghai_day(now))
    return Resident(
        key=key,
        id=ids.new_id(),
        name=row["name"],
        birth_on=birth_on,
        hometown_code=row["hometown_village"],
        current_code=row["current_code"],
        is_member=row["league_status"] == "member" and age <= _LEAGUE_MAX_AGE,
    )


def _person(
    resident: Resident, row: Mapping[str, str], settings: Settings, joined: datetime
) -> dict[str, object]:
    phone = f"+86{row['phone']}"
    return {
        "id": resident.id,
        "name": resident.name,
        "gender": Gender.FEMALE if row["gender"] == "F" else Gender.MALE,
        "birth_on": resident.birth_on,
        "hometown_code": resident.hometown_code,
        "current_code": resident.current_code,
        "phone_sealed": settings.keyring.seal(phone, PHONE_PURPOSE),
        "phone_hash": keyed_hash(settings.key("phone-hash"), phone),
        "is_synthetic": True,
        "created_at": joined,
        "updated_at": joined,
    }


def _add_memberships(
    session: Session, people: Mapping[str, Resident], rows: Mapping[str, Mapping[str, str]], now: datetime
) -> None:
    """Mirror the League membership of members, in the committee of the township they come from."""
    committees = _orgs_by_ref(session)
    session.execute(
        insert(Membership),
        [
            {
                "person_id": resident.id,
                "org_id": committees[f"division:{rows[key]['hometown_township']}"],
                "status": MembershipStatus.MEMBER if resident.is_member else MembershipStatus.AGED_OUT,
                "recorded_at": now,
            }
            for key, resident in people.items()
            if rows[key]["league_status"] == "member"
        ],
    )


def _orgs_by_ref(session: Session) -> dict[str | None, UUID]:
    return dict(session.execute(select(Org.external_ref, Org.id)).all())


def _grant_roles(session: Session, people: Mapping[str, Resident], since: datetime) -> None:
    orgs = _orgs_by_ref(session)
    hub_id = session.scalars(select(Hub.id).where(Hub.external_ref == MANAGED_HUB)).one()
    city, county = orgs[f"division:{CITY}"], orgs["division:140524"]
    grants = (
        ("chief", Role.OFFICER, city, None),
        ("ops", Role.ANALYST, city, None),
        ("officer", Role.OFFICER, county, None),
        ("manager", Role.HUB_MANAGER, None, hub_id),
    )
    for key, role, org_id, hub in grants:
        grant_role(session, since, people[key].id, role, reason="演示数据", org_id=org_id, hub_id=hub)


def enrol_staff(session: Session, settings: Settings, now: datetime) -> None:
    """Give the staff of the demo a second factor whose secret is known; who has one keeps it.

    Raises:
        ValueError: this is no demo.

    """
    if settings.is_production:
        raise ValueError("a secret that everybody knows protects nobody")
    openids = [openid_of(settings.wechat_appid, key) for key in _STAFF]
    staff = session.scalars(
        select(WeChatAccount.person_id)
        .join(Person, Person.id == WeChatAccount.person_id)
        .outerjoin(SecondFactor, SecondFactor.person_id == Person.id)
        .where(WeChatAccount.openid.in_(openids), Person.is_synthetic, SecondFactor.person_id.is_(None))
    ).all()
    session.add_all(
        SecondFactor(
            person_id=person_id,
            secret_sealed=settings.keyring.seal(SECOND_FACTOR_SECRET, second_factor_purpose(person_id)),
            begun_at=now,
            confirmed_at=now,
            last_step=0,
        )
        for person_id in staff
    )


def read_people(session: Session, settings: Settings, now: datetime) -> dict[str, Resident]:
    """Return the people of a demo made earlier, as they were made."""
    openids = {key: openid_of(settings.wechat_appid, key) for key in _rows_by_key()}
    accounts = select(WeChatAccount.openid, WeChatAccount.person_id)
    found = session.execute(accounts.where(WeChatAccount.openid.in_(openids.values())))
    person_ids = dict(found.all())
    return {
        key: replace(_resident(key, row, now), id=person_ids[openids[key]])
        for key, row in _rows_by_key().items()
    }
