"""A manager of a hub cannot choose for how long they see who signed up."""

from __future__ import annotations

from datetime import datetime, timedelta
from types import SimpleNamespace

import pytest
from bodies import activity_body
from previews import as_sent, edit, look
from sqlalchemy import select

from engage.activities.models import Activity, SignUpState
from engage.core import clock
from engage.orgs.models import Role


@pytest.fixture
def hub(make, frozen):
    """A hub at a county, its manager, a secretary and an officer of the county."""
    city = make.org(division_code="140500")
    county = make.org(city, division_code="140502")
    hub = make.hub(county)
    people = {
        "manager": make.staff(Role.HUB_MANAGER, hub=hub),
        "secretary": make.staff(Role.BRANCH_SECRETARY, org=county),
        "officer": make.staff(Role.OFFICER, org=city),
    }
    return SimpleNamespace(county=county, hub=hub, **people)


@pytest.fixture
def planned(make, hub):
    """Return the address of an activity of the hub that starts in some days; somebody has signed up unless told otherwise."""

    def plan(days, *states):
        starts_at = clock.now() + timedelta(days=days)
        activity = make.activity(
            hub.county,
            hub.hub,
            starts_at=starts_at,
            ends_at=starts_at + timedelta(hours=2),
            sign_up_opens_at=clock.now() - timedelta(days=1),
            sign_up_closes_at=starts_at - timedelta(hours=1),
        )
        for state in states:
            make.sign_up(activity, state=state)
        return f"/v1/activities/{activity.id}"

    return plan


def moved(client, url, days=0, *, longer=0):
    """Return the body that moves an activity by some days, and its end by some more."""
    now = client.get(url).json

    def later(name, more):
        return (datetime.fromisoformat(now[name]) + timedelta(days=more)).isoformat()

    return as_sent(
        client,
        url,
        starts_at=later("starts_at", days),
        ends_at=later("ends_at", days + longer),
        sign_up_closes_at=later("sign_up_closes_at", days),
    )


def code_of(answer):
    return (answer.status_code, answer.json.get("code"))


HELD = (403, "activity_times_held")


@pytest.mark.parametrize("state", [SignUpState.CONFIRMED, SignUpState.CANCELLED])
def test_times_are_not_changed_from_before_people_are_seen(as_user, hub, planned, state):
    manager, url = as_user(hub.manager.id), planned(60, state)
    for days in (-59, -10, 5):
        assert code_of(look(manager, url, moved(manager, url, days))) == HELD
        change = manager.put(url, json=moved(manager, url, days), headers={"If-Match": "*"})
        assert code_of(change) == HELD
    assert manager.get(f"{url}/sign-ups").status_code == 403
    # What else there is to say may be said.
    assert edit(manager, url, as_sent(manager, url, title="改了名")).status_code == 200


def test_while_nobody_has_signed_up_times_are_free(as_user, hub, planned):
    manager, url = as_user(hub.manager.id), planned(60)
    for days in (-55, 100):
        assert edit(manager, url, moved(manager, url, days)).status_code == 200


def test_a_manager_who_sees_people_moves_the_end_within_the_time_in_which_they_do(
    as_user, hub, planned, frozen
):
    manager, url = as_user(hub.manager.id), planned(20, SignUpState.CONFIRMED)
    assert edit(manager, url, moved(manager, url, 9)).status_code == 200
    frozen.move(days=20)
    assert edit(manager, url, moved(manager, url, 0, longer=20)).status_code == 200
    # In however many steps: 9 days, 20 days and one and a bit are more than 30.
    assert code_of(look(manager, url, moved(manager, url, 0, longer=1.1))) == HELD
    assert edit(manager, url, moved(manager, url, 0, longer=1)).status_code == 200
    assert code_of(look(manager, url, moved(manager, url, 0.01))) == HELD
    assert edit(manager, url, moved(manager, url, 0, longer=-1)).status_code == 200
    assert code_of(look(manager, url, moved(manager, url, 2))) == HELD


@pytest.mark.parametrize("who", ["secretary", "officer"])
def test_staff_of_the_organisation_move_it_as_they_like_and_the_time_runs_anew(
    as_user, hub, planned, database, who
):
    manager, staff = as_user(hub.manager.id), as_user(getattr(hub, who).id)
    url = planned(20, SignUpState.CONFIRMED)
    assert edit(manager, url, moved(manager, url, 5)).status_code == 200
    assert edit(staff, url, moved(staff, url, 60)).status_code == 200
    with database.reading() as connection:
        assert connection.scalar(select(Activity.first_ends_at)) is None
    assert code_of(look(manager, url, moved(manager, url, 1))) == HELD
    assert edit(staff, url, moved(staff, url, -60)).status_code == 200
    assert edit(manager, url, moved(manager, url, 30)).status_code == 200


def test_a_manager_takes_no_activity_with_them_to_where_they_see_people_at_any_time(
    as_user, hub, planned, make
):
    elsewhere = make.org(division_code="140524")
    make.grant(hub.manager, Role.BRANCH_SECRETARY, org=elsewhere)
    manager, url = as_user(hub.manager.id), planned(60, SignUpState.CONFIRMED)
    taken = as_sent(manager, url, org_id=str(elsewhere.id), county_code="140524")
    assert code_of(manager.put(url, json=taken, headers={"If-Match": "*"})) == (403, "not_allowed")
    empty = planned(60)
    taken = as_sent(manager, empty, org_id=str(elsewhere.id), county_code="140524")
    assert edit(manager, empty, taken).status_code == 200


def test_a_preview_keeps_nothing(as_user, hub, planned, database):
    manager, url = as_user(hub.manager.id), planned(20, SignUpState.CONFIRMED)
    assert look(manager, url, moved(manager, url, 5)).status_code == 200
    with database.reading() as connection:
        assert connection.scalar(select(Activity.first_ends_at)) is None


def test_an_activity_lasts_a_month_at_most(as_user, hub, make):
    manager = as_user(hub.manager.id)
    body = activity_body(make.project(hub.county), clock.now(), org_id=None, hub_id=str(hub.hub.id))
    starts_at = datetime.fromisoformat(body["starts_at"])
    month = {**body, "ends_at": (starts_at + timedelta(days=31)).isoformat()}
    longer = {**body, "ends_at": (starts_at + timedelta(days=31, seconds=1)).isoformat()}
    refused = manager.post("/v1/activities", json=longer)
    assert refused.status_code == 422
    assert refused.json["errors"][0] == {
        "pointer": "/ends_at",
        "code": "range_too_wide",
        "detail": "范围太大：最多 31 天。",
    }
    made = manager.post("/v1/activities", json=month)
    assert made.status_code == 201
    url = f"/v1/activities/{made.json['id']}"
    assert manager.put(url, json=longer, headers={"If-Match": "*"}).status_code == 422
