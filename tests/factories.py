"""Objects for tests, each committed in a transaction of its own; every value can be overridden."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from typing import Any
from uuid import UUID

from flask import Flask
from sqlalchemy import select
from sqlalchemy.orm import Session

from engage.activities.models import (
    Activity,
    ActivityStatus,
    AdmissionMode,
    CheckIn,
    CheckInMethod,
    CreditEntry,
    CreditRule,
    Feedback,
    HoursAccount,
    HoursEntry,
    HoursKind,
    Project,
    SignUp,
    SignUpState,
)
from engage.core import clock, ids
from engage.core.db import Base, Database
from engage.enclaves.models import EnclaveBranch
from engage.evaluation.models import Finding, FindingKind
from engage.hubs.models import Hub
from engage.identity.caller import issue_access_token
from engage.identity.models import (
    ApiKey,
    AuthSession,
    Gender,
    Person,
    SecondFactor,
    second_factor_purpose,
)
from engage.identity.tokens.api_keys import NewKey, new_key
from engage.orgs.models import Membership, MembershipStatus, Org, OrgPath, Role, RoleGrant

_serial = itertools.count(1)
SECRET = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"


class OneTransaction:
    """Stands in for the database, so that a factory's objects are committed together."""

    def __init__(self, session: Session) -> None:
        self._session = session

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        yield self._session
        self._session.flush()


class Factory:
    def __init__(self, database: Database, app: Flask) -> None:
        self._database, self._app = database, app

    def add(self, row: Base) -> Any:
        with self._database.transaction() as session:
            session.add(row)
        return row

    def person(self, **values: Any) -> Person:
        """A person of 20 from 城区 who lives there."""
        now = clock.now()
        return self.add(
            Person(
                **{
                    "name": f"青年{next(_serial)}",
                    "gender": Gender.FEMALE,
                    "birth_on": date(2006, 3, 5),
                    "hometown_code": "140502",
                    "current_code": "140502",
                    "created_at": now,
                    "updated_at": now,
                    **values,
                }
            )
        )

    def session(self, person_id: UUID, **values: Any) -> AuthSession:
        """A log-in in which the second factor was shown, good for longer than any test; ``privileged_until=None`` for one without."""
        now = clock.now()
        return self.add(
            AuthSession(
                **{
                    "person_id": person_id,
                    "created_at": now,
                    "expires_at": now + timedelta(days=30),
                    "privileged_until": now + timedelta(days=365),
                    **values,
                }
            )
        )

    def access_token(self, person_id: UUID, *, privileged: bool = True, **values: Any) -> str:
        session = self.session(person_id, **({} if privileged else {"privileged_until": None}), **values)
        with self._app.app_context():
            return issue_access_token(person_id, session.id, timedelta(days=365))

    def second_factor(self, person: Person, **values: Any) -> SecondFactor:
        """A factor that counts; its secret is ``SECRET``."""
        now = clock.now()
        keyring = self._app.extensions["engage.settings"].keyring
        return self.add(
            SecondFactor(
                **{
                    "person_id": person.id,
                    "secret_sealed": keyring.seal(SECRET, second_factor_purpose(person.id)),
                    "begun_at": now,
                    "confirmed_at": now,
                    "last_step": 0,
                    **values,
                }
            )
        )

    def api_key(self, person: Person, made: NewKey | None = None, **values: Any) -> ApiKey:
        """A key for figures, good from anywhere for 90 days."""
        made, now = made or new_key(), clock.now()
        return self.add(
            ApiKey(
                **{
                    "person_id": person.id,
                    "name": "月报",
                    "public_id": made.public_id,
                    "secret_hash": made.digest,
                    "scopes": ["read_figures"],
                    "addresses": [],
                    "created_at": now,
                    "expires_at": now + timedelta(days=90),
                    **values,
                }
            )
        )

    def org(self, parent: Org | None = None, **values: Any) -> Org:
        """A node of the tree with its rows of the closure."""
        org = Org(
            **{
                "id": ids.new_id(),
                "name": f"团组织{next(_serial)}",
                "kind_code": "committee",
                "parent_id": parent.id if parent else None,
                "division_code": "140502",
                "created_at": clock.now(),
                **values,
            }
        )
        with self._database.transaction() as session:
            session.add(org)
            session.flush()
            session.add(OrgPath(ancestor_id=org.id, descendant_id=org.id, depth=0))
            if parent:
                for path in session.scalars(select(OrgPath).where(OrgPath.descendant_id == parent.id)).all():
                    session.add(
                        OrgPath(ancestor_id=path.ancestor_id, descendant_id=org.id, depth=path.depth + 1)
                    )
        return org

    def grant(
        self, person: Person, role: Role, *, org: Org | None = None, hub: Hub | None = None, **values: Any
    ) -> RoleGrant:
        now = clock.now()
        return self.add(
            RoleGrant(
                **{
                    "person_id": person.id,
                    "role": role,
                    "org_id": org.id if org else None,
                    "hub_id": hub.id if hub else None,
                    "starts_at": now - timedelta(days=1),
                    "ends_at": None,
                    "reason": "测试",
                    "created_at": now,
                    **values,
                }
            )
        )

    def staff(self, role: Role, *, org: Org | None = None, hub: Hub | None = None) -> Person:
        """A person who holds a role."""
        person = self.person()
        self.grant(person, role, org=org, hub=hub)
        return person

    def membership(self, person: Person, org: Org, **values: Any) -> Membership:
        return self.add(
            Membership(
                **{
                    "person_id": person.id,
                    "org_id": org.id,
                    "status": MembershipStatus.MEMBER,
                    "recorded_at": clock.now(),
                    **values,
                }
            )
        )

    def hub(self, org: Org | None = None, **values: Any) -> Hub:
        """A youth home in 城区."""
        now = clock.now()
        return self.add(
            Hub(
                **{
                    "name": f"青年之家{next(_serial)}",
                    "kind_code": "youth_home",
                    "org_id": (org or self.org()).id,
                    "division_code": "140502",
                    "county_code": "140502",
                    "lat": 35.50,
                    "lng": 112.83,
                    "opening_hours": [],
                    "services": [],
                    "created_at": now,
                    "updated_at": now,
                    **values,
                }
            )
        )

    def project(self, org: Org | None = None, **values: Any) -> Project:
        return self.add(
            Project(
                **{
                    "name": f"项目{next(_serial)}",
                    "org_id": (org or self.org()).id,
                    "created_at": clock.now(),
                    **values,
                }
            )
        )

    def activity(self, org: Org | None = None, hub: Hub | None = None, **values: Any) -> Activity:
        """A published activity tomorrow, open for sign-up now, ten places, ten turns in the queue.

        Freed places promote at once until it starts; name ``offers_from_at`` and ``queue_closes_at`` for anything else.
        """
        now = clock.now()
        starts_at = values.setdefault("starts_at", now + timedelta(days=1))
        org_id = org.id if org else (hub.org_id if hub else self.org().id)
        project_id = values.pop("project_id", None) or self.project(org=org).id
        return self.add(
            Activity(
                **{
                    "title": f"活动{next(_serial)}",
                    "project_id": project_id,
                    "org_id": org_id,
                    "hub_id": hub.id if hub else None,
                    "place_name": None if hub else "文化广场",
                    "county_code": "140502",
                    "ends_at": now + timedelta(days=1, hours=2),
                    "offers_from_at": values.get("queue_closes_at", starts_at),
                    "queue_closes_at": starts_at,
                    "excuse_until_at": starts_at,
                    "sign_up_opens_at": now - timedelta(days=1),
                    "sign_up_closes_at": now + timedelta(hours=23),
                    "capacity": 10,
                    "waitlist_capacity": 10,
                    "county_codes": [],
                    "members_only": False,
                    "questions": [],
                    "service_minutes": 120,
                    "status": ActivityStatus.PUBLISHED,
                    "created_at": now,
                    "updated_at": now,
                    **values,
                }
            )
        )

    def sign_up(self, activity: Activity, person: Person | None = None, **values: Any) -> SignUp:
        """A confirmed sign-up, past all rules; triggers keep the activity's counters. Where staff review, staff added it."""
        now = clock.now()
        person = person or self.person()
        state = values.get("state", SignUpState.CONFIRMED)
        # Nobody joins a queue that has closed.
        joined_at = min(now, activity.queue_closes_at - timedelta(seconds=1))
        return self.add(
            SignUp(
                **{
                    "activity_id": activity.id,
                    "person_id": person.id,
                    "added_by": person.id if activity.admission_mode == AdmissionMode.REVIEW else None,
                    "state": state,
                    "answers": {},
                    "starts_at": activity.starts_at,
                    "ends_at": activity.ends_at,
                    "created_at": joined_at if state == SignUpState.WAITLISTED else now,
                    "updated_at": now,
                    "cancelled_at": now if state is SignUpState.CANCELLED else None,
                    **values,
                }
            )
        )

    def check_in(self, sign_up: SignUp, **values: Any) -> CheckIn:
        """The presence of somebody who signed up."""
        return self.add(
            CheckIn(
                **{
                    "activity_id": sign_up.activity_id,
                    "person_id": sign_up.person_id,
                    "sign_up_id": sign_up.id,
                    "method": CheckInMethod.STAFF,
                    "checked_in_at": clock.now(),
                    "arrived_at": values.get("claimed_at") or values.get("checked_in_at") or clock.now(),
                    "updated_at": clock.now(),
                    **values,
                }
            )
        )

    def credit_entry(self, sign_up: SignUp, **values: Any) -> CreditEntry:
        """The loss of ten points for not being there."""
        now = clock.now()
        return self.add(
            CreditEntry(
                **{
                    "person_id": sign_up.person_id,
                    "activity_id": sign_up.activity_id,
                    "sign_up_id": sign_up.id,
                    "rule": CreditRule.ABSENT,
                    "points": -10,
                    "created_at": now,
                    "fades_at": now + timedelta(days=180),
                    **values,
                }
            )
        )

    def feedback(self, activity: Activity, person: Person, **values: Any) -> Feedback:
        now = clock.now()
        return self.add(
            Feedback(
                **{
                    "activity_id": activity.id,
                    "person_id": person.id,
                    "stars": 5,
                    "created_at": now,
                    "updated_at": now,
                    **values,
                }
            )
        )

    def hours(self, activity: Activity, person: Person, **values: Any) -> HoursEntry:
        """Hours of an activity on a person's account, as its closure gives them."""
        accounts = [
            self._account(HoursAccount.activity_id, activity.id),
            self._account(HoursAccount.person_id, person.id),
        ]
        return self.add(
            HoursEntry(
                **{
                    "debit_account_id": accounts[0],
                    "credit_account_id": accounts[1],
                    "minutes": 120,
                    "kind": HoursKind.AWARD,
                    "activity_id": activity.id,
                    "person_id": person.id,
                    "from_at": activity.starts_at,
                    "until_at": activity.ends_at,
                    "created_at": clock.now(),
                    **values,
                }
            )
        )

    def _account(self, owner: Any, owner_id: UUID) -> UUID:
        with self._database.transaction() as session:
            found = session.scalar(select(HoursAccount.id).where(owner == owner_id))
        return found or self.add(HoursAccount(id=ids.new_id(), **{owner.key: owner_id})).id

    def finding(self, activity: Activity | None = None, org: Org | None = None, **values: Any) -> Finding:
        """A problem found at an activity, or in an organisation, by somebody who holds no role any more."""
        return self.add(
            Finding(
                **{
                    "org_id": activity.org_id if activity else (org or self.org()).id,
                    "hub_id": activity.hub_id if activity else None,
                    "activity_id": activity.id if activity else None,
                    "about": activity.title if activity else "一处",
                    "kind": FindingKind.PROBLEM,
                    "text": "签到记录不全。",
                    "written_by": values.get("written_by") or self.person().id,
                    "created_at": clock.now(),
                    **values,
                }
            )
        )

    def enclave_branch(self, parent: Org, **values: Any) -> EnclaveBranch:
        """A branch of 陵川县 in 太原市, below a node of the tree."""
        org = self.org(
            parent,
            kind_code="enclave_branch",
            name=f"陵川驻太原团支部{next(_serial)}",
            division_code="140100",
        )
        now = clock.now()
        return self.add(
            EnclaveBranch(
                **{
                    "id": org.id,
                    "home_county_code": "140524",
                    "host_city_code": "140100",
                    "created_at": now,
                    "updated_at": now,
                    **values,
                }
            )
        )
