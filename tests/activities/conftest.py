"""What the tests of the door share."""

from __future__ import annotations

from datetime import timedelta

import pytest

from engage.orgs.models import Role


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
