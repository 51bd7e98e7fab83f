"""A county with a township, a hub, an activity that was held, and those who inspect it, answer for it, and look on from elsewhere."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace

import pytest
from sqlalchemy import select

from engage.messages.models import OutboxEntry
from engage.orgs.models import Role


@pytest.fixture
def land(frozen, make):
    city = make.org(name="市")
    county, other = make.org(city, name="县"), make.org(city, name="邻县")
    town = make.org(county, name="镇")
    hub = make.hub(town, name="青年之家")
    starts_at = frozen.now - timedelta(hours=3)
    times = {
        "starts_at": starts_at,
        "ends_at": starts_at + timedelta(hours=2),
        "sign_up_opens_at": starts_at - timedelta(days=2),
        "sign_up_closes_at": starts_at,
    }
    return SimpleNamespace(
        city=city,
        county=county,
        town=town,
        other=other,
        hub=hub,
        times=times,
        activity=make.activity(town, hub, title="青年夜校", **times),
        inspector=make.staff(Role.INSPECTOR, org=county),
        officer=make.staff(Role.OFFICER, org=county),
        clerk=make.staff(Role.OFFICER, org=town),
        secretary=make.staff(Role.BRANCH_SECRETARY, org=town),
        manager=make.staff(Role.HUB_MANAGER, hub=hub),
        analyst=make.staff(Role.ANALYST, org=county),
        stranger=make.staff(Role.OFFICER, org=other),
        elsewhere=make.staff(Role.INSPECTOR, org=other),
    )


@pytest.fixture
def at(as_user):
    """Return a function that acts on findings for somebody."""

    class Desk:
        def __init__(self, person):
            self.client = as_user(person.id)

        def write(self, kind="problem", text="签到记录不全。", **body):
            return self.client.post("/v1/findings", json={"kind": kind, "text": text, **body})

        def read(self, finding):
            return self.client.get(f"/v1/findings/{finding['id']}")

        def answer(self, finding, text="已补记。", version="*"):
            url = f"/v1/findings/{finding['id']}/answer"
            return self.client.put(url, json={"answer": text}, headers={"If-Match": version})

        def close(self, finding, outcome="settled", version="*"):
            url = f"/v1/findings/{finding['id']}/close"
            return self.client.post(url, json={"outcome": outcome}, headers={"If-Match": version})

        def ids(self, **query):
            answer = self.client.get("/v1/findings", query_string=query)
            assert answer.status_code == 200, answer.json
            return [item["id"] for item in answer.json["items"]]

    return Desk


@pytest.fixture
def told(database):
    """Return a function that returns what waits in the outbox, the first first: (person, kind, params)."""

    def entries():
        with database.reading() as db:
            told = select(OutboxEntry.person_id, OutboxEntry.kind, OutboxEntry.params)
            rows = db.execute(told.order_by(OutboxEntry.seq)).all()
        return [(person_id, kind, params) for person_id, kind, params in rows]

    return entries
