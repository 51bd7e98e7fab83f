"""An activity at its door, and one that was held."""

from __future__ import annotations

from datetime import timedelta

import pytest

from engage.orgs.models import Role


@pytest.fixture
def held(frozen, make, as_user):
    """Activities of one county that were held from 07:00 to 09:00 today (an hour ago), and the officer who closes them."""

    class Held:
        city = make.org()
        county = make.org(city, name="城区团委")
        officer = as_user(make.staff(Role.OFFICER, org=county).id)
        starts_at = frozen.now - timedelta(hours=3)
        ends_at = frozen.now - timedelta(hours=1)

        def activity(self, org=None, **values):
            values = {"starts_at": self.starts_at, "ends_at": self.ends_at, **values}
            opened = values["starts_at"] - timedelta(days=2)
            return make.activity(
                org or self.county, sign_up_opens_at=opened, sign_up_closes_at=values["starts_at"], **values
            )

        def person_there(self, activity, after=0, left_after=None, person=None):
            """Somebody who came ``after`` minutes, and left ``left_after`` minutes, from the start."""
            sign_up = make.sign_up(activity, person)
            left_at = left_after and activity.starts_at + timedelta(minutes=left_after)
            make.check_in(sign_up, arrived_at=activity.starts_at + timedelta(minutes=after), left_at=left_at)
            return sign_up.person_id

        def close(self, activity):
            answer = self.officer.post(f"/v1/activities/{activity.id}/closure", json={"summary": "圆满"})
            assert answer.status_code == 200, answer.json

        def of(self, activity, **query):
            """Return the staff's list by person."""
            answer = self.officer.get(f"/v1/activities/{activity.id}/hours", query_string=query)
            return {item["person"]["id"]: item for item in answer.json["items"]}

        def make_up(self, activity, person_id, minutes=90):
            body = {"person_id": str(person_id), "minutes": minutes, "reason": "设备故障，未能签到"}
            return self.officer.post(f"/v1/activities/{activity.id}/hours", json=body)

        def reverse(self, entry_id, reason="误记"):
            return self.officer.post(f"/v1/hours-entries/{entry_id}/reversal", json={"reason": reason})

    return Held()


@pytest.fixture
def door(frozen, make, as_user):
    """An activity that starts in half an hour, its officer, and somebody with a place."""

    class Door:
        org = make.org()
        activity = make.activity(org=org, starts_at=frozen.now + timedelta(minutes=30), ends_at=frozen.now + timedelta(hours=3), capacity=2, sign_up_closes_at=frozen.now + timedelta(hours=2))  # fmt: skip
        url = f"/v1/activities/{activity.id}"
        officer_id = make.staff(Role.OFFICER, org=org).id
        person = make.person()

        def as_user(self, person_id):
            return as_user(person_id)

        def officer(self):
            return as_user(self.officer_id)

        def youth(self):
            return as_user(self.person.id)

        def scan(self, code=None):
            return self.youth().post(f"{self.url}/check-in", json={"code": code or self.code()})

        def upload(self, items, **body):
            return self.officer().post(f"{self.url}/check-ins", json={"items": items, **body})

        def code(self):
            return self.officer().get(f"{self.url}/check-in-code").json["code"]

    door = Door()
    door.youth().put(f"{door.url}/sign-up", json={})
    return door
