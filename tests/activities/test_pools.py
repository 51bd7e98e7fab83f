"""Pools inside one capacity: who gets a place in which, overflow, promotion, the time from which they are one."""

from __future__ import annotations

import threading
from datetime import datetime, timedelta

import pytest
from activities.proof import violations
from racing import at_once
from sqlalchemy import select

from engage.activities.models import Activity, Audience, Pool, SignUp, SignUpState
from engage.activities.service.due import advance_due
from engage.core.clock import SHANGHAI
from engage.enclaves.models import EnclaveParticipation
from engage.orgs.models import Role

HOUR = timedelta(hours=1)
START = datetime(2026, 10, 8, 14, tzinfo=SHANGHAI)  # the clock stands at 10:00 a week before
LINGCHUAN, URBAN = "140524", "140502"


def pool(name, capacity, audience="everybody", *, counties=(), overflow=None):
    return {
        "name": name,
        "audience": audience,
        "county_codes": list(counties),
        "capacity": capacity,
        "overflow_rank": overflow,
    }


@pytest.fixture
def org(frozen, make):
    return make.org()


@pytest.fixture
def officer(make, as_user, org):
    return as_user(make.staff(Role.OFFICER, org=org).id)


@pytest.fixture
def body(make, org, frozen):
    """The body of an activity with pools, whose places add up."""
    project = make.project(org)

    def write(*pools, **values):
        return {
            "title": "分池讲座",
            "project_id": str(project.id),
            "org_id": str(org.id),
            "place_name": "文化广场",
            "county_code": URBAN,
            "starts_at": START.isoformat(),
            "ends_at": (START + 2 * HOUR).isoformat(),
            "sign_up_opens_at": (frozen.now - HOUR).isoformat(),
            "sign_up_closes_at": START.isoformat(),
            "capacity": sum(pool["capacity"] for pool in pools),
            "waitlist_capacity": 10,
            "admission": {"pools": list(pools), "pools_merge_at": values.pop("merge_at", None)},
            **values,
        }

    return write


@pytest.fixture
def hold(officer, body):
    """Post and publish an activity with pools; return its address."""

    def hold(*pools, **values):
        made = officer.post("/v1/activities", json=body(*pools, **values))
        assert made.status_code == 201, made.json
        url = f"/v1/activities/{made.json['id']}"
        assert officer.post(f"{url}/publication").status_code == 200
        return url

    return hold


@pytest.fixture
def someone(make, as_user):
    """A person of a county, and their client."""

    def someone(county=URBAN, **values):
        person = make.person(hometown_code=county, current_code=county, **values)
        client = as_user(person.id)
        client.person = person
        return client

    return someone


@pytest.fixture
def places(database):
    """Who has a place in which pool: (person, pool) in order of arrival."""

    def places():
        with database.reading() as db:
            rows = db.execute(
                select(SignUp.person_id, SignUp.pool)
                .where(SignUp.state.in_((SignUpState.CONFIRMED, SignUpState.OFFERED)))
                .order_by(SignUp.seq)
            )
            return [tuple(row) for row in rows]

    return places


def join(client, url):
    answer = client.put(f"{url}/sign-up", json={})
    return answer.json.get("state") or answer.json["code"]


def state(client, url):
    return client.get(f"{url}/sign-up").json["state"]


COUNTY = pool("陵川", 1, "counties", counties=[LINGCHUAN])


def test_a_person_goes_to_the_first_pool_that_is_for_them(hold, someone, places):
    url = hold(COUNTY, pool("公开", 2, overflow=1))
    ours, other = someone(LINGCHUAN), someone()
    assert [join(ours, url), join(other, url)] == ["confirmed", "confirmed"]
    assert places() == [(ours.person.id, 1), (other.person.id, 2)]


def test_a_county_counts_by_home_and_by_where_one_lives(hold, make, as_user, places):
    url = hold(pool("陵川", 2, "counties", counties=[LINGCHUAN]), pool("公开", 1))
    away = make.person(hometown_code=LINGCHUAN, current_code=URBAN)
    here = make.person(hometown_code=URBAN, current_code=LINGCHUAN)
    assert [join(as_user(person.id), url) for person in (away, here)] == ["confirmed"] * 2
    assert [number for _, number in places()] == [1, 1]


def test_who_finds_the_first_pool_full_goes_to_others_by_their_order_of_overflow(hold, someone, places):
    url = hold(COUNTY, pool("后", 1, overflow=2), pool("先", 1, overflow=1))
    clients = [someone(LINGCHUAN) for _ in range(4)]
    assert [join(client, url) for client in clients] == ["confirmed"] * 3 + ["waitlisted"]
    assert [number for _, number in places()] == [1, 3, 2]


def test_a_pool_without_overflow_waits_for_its_own(hold, someone, places, database):
    url = hold(COUNTY, pool("公开", 2))
    first, second, other = someone(LINGCHUAN), someone(LINGCHUAN), someone()
    assert [join(client, url) for client in (first, second, other)] == [
        "confirmed",
        "waitlisted",
        "confirmed",
    ]
    assert places() == [(first.person.id, 1), (other.person.id, 2)]
    assert violations(database) == {}, "one waits beside a free place that is for others"


def test_a_freed_place_goes_to_the_first_whom_its_pool_is_for(hold, someone, places, database):
    url = hold(COUNTY, pool("公开", 1))
    ours, other = someone(LINGCHUAN), someone()
    waiting_other, waiting_ours = someone(), someone(LINGCHUAN)
    for client in (ours, other, waiting_other, waiting_ours):
        join(client, url)
    assert waiting_ours.get(f"{url}/sign-up").json["position"] == 2
    ours.delete(f"{url}/sign-up")
    assert [state(client, url) for client in (waiting_other, waiting_ours)] == ["waitlisted", "confirmed"]
    assert (waiting_ours.person.id, 1) in places()
    assert violations(database) == {}


def test_a_freed_place_of_the_open_pool_goes_to_whoever_is_first_there(hold, someone, places):
    url = hold(COUNTY, pool("公开", 1, overflow=1))
    ours, other = someone(LINGCHUAN), someone()
    waiting_ours, waiting_other = someone(LINGCHUAN), someone()
    for client in (ours, other, waiting_ours, waiting_other):
        join(client, url)
    other.delete(f"{url}/sign-up")
    assert [state(client, url) for client in (waiting_ours, waiting_other)] == ["confirmed", "waitlisted"]
    assert (waiting_ours.person.id, 2) in places()


@pytest.fixture
def apart(hold, someone):
    """One waits for the county's pool beside a free place in the open one; pools are one two days before the start."""
    url = hold(COUNTY, pool("公开", 2), merge_at=(START - 48 * HOUR).isoformat())
    ours, other, waiting = someone(LINGCHUAN), someone(), someone(LINGCHUAN)
    assert [join(client, url) for client in (ours, other, waiting)] == [
        "confirmed",
        "confirmed",
        "waitlisted",
    ]
    return url, ours, other, waiting


def test_the_worker_makes_pools_one(apart, frozen, database):
    url, _, _, waiting = apart
    frozen.set(START - 48 * HOUR - timedelta(seconds=1))
    advance_due(database, threading.Event())
    assert state(waiting, url) == "waitlisted"
    frozen.set(START - 48 * HOUR)
    advance_due(database, threading.Event())
    assert state(waiting, url) == "confirmed"
    assert violations(database) == {}
    with database.reading() as db:
        assert db.scalars(select(Activity.pools_merged)).all() == [True]


def test_so_does_whoever_comes_next_before_the_worker(apart, frozen, database, someone):
    url, _, _, waiting = apart
    frozen.set(START - 48 * HOUR)
    assert join(someone(), url) == "waitlisted", "the free place is of who waited"
    assert state(waiting, url) == "confirmed"
    assert violations(database) == {}


def test_so_do_staff_who_add_somebody(hold, officer, someone, frozen, database):
    url = hold(COUNTY, pool("公开", 1), merge_at=(START - 48 * HOUR).isoformat())
    assert join(someone(LINGCHUAN), url) == "confirmed"
    frozen.set(START - 48 * HOUR)
    added = officer.post(f"{url}/sign-ups", json={"person_id": str(someone(LINGCHUAN).person.id)})
    assert (added.status_code, added.json.get("state")) == (201, "confirmed")
    assert violations(database) == {}


def test_so_does_who_leaves(apart, frozen):
    url, ours, other, waiting = apart
    frozen.set(START - 48 * HOUR)
    other.delete(f"{url}/sign-up")
    assert state(waiting, url) == "confirmed"
    assert state(ours, url) == "confirmed"


def test_when_pools_are_one_a_place_is_for_everybody(apart, frozen, database, someone):
    url, _, other, _ = apart
    frozen.set(START - 48 * HOUR)
    advance_due(database, threading.Event())
    late = someone()
    assert join(late, url) == "waitlisted"
    other.delete(f"{url}/sign-up")
    assert state(late, url) == "confirmed"
    assert violations(database) == {}


def test_whoever_finds_no_place_that_is_for_them_is_told_so_although_others_are_free(
    hold, someone, database, make, as_user
):
    url = hold(COUNTY, pool("公开", 1), waitlist_capacity=0)
    assert join(someone(), url) == "confirmed"
    late = make.person()
    refused = as_user(late.id).put(f"{url}/sign-up", json={})
    assert (refused.status_code, refused.json["code"]) == (409, "pool_full")
    assert refused.json["detail"] == "面向您的名额和候补都已满。"
    assert as_user(late.id).get(url).json["places_left"] > 0
    assert join(someone(LINGCHUAN), url) == "confirmed"


def test_a_walk_in_uses_up_a_place_of_pools_that_are_not_one_yet(
    hold, someone, officer, frozen, make, database
):
    url = hold(COUNTY, pool("公开", 1), merge_at=START.isoformat())
    assert join(someone(), url) == "confirmed"
    frozen.set(START - HOUR / 2)
    walk_in = {"person_id": str(make.person().id), "scanned_at": frozen.now.isoformat(), "walk_in": True}
    officer.post(f"{url}/check-ins", json={"items": [walk_in]})
    assert join(someone(LINGCHUAN), url) == "queue_closed"
    assert officer.get(url).json["places_left"] == 0
    officer.post(f"{url}/check-ins", json={"items": [{**walk_in, "kind": "out"}]})
    assert join(someone(LINGCHUAN), url) == "confirmed"
    assert violations(database) == {}


def test_near_the_start_a_pools_place_is_offered_to_whom_it_is_for(hold, someone, frozen, database):
    url = hold(COUNTY, pool("公开", 1))
    ours, other, waiting_other, waiting_ours = (
        someone(LINGCHUAN), someone(), someone(), someone(LINGCHUAN),
    )  # fmt: skip
    for client in (ours, other, waiting_other, waiting_ours):
        join(client, url)
    frozen.set(START - 4 * HOUR)
    ours.delete(f"{url}/sign-up")
    assert [state(client, url) for client in (waiting_other, waiting_ours)] == ["waitlisted", "offered"]
    assert join(someone(LINGCHUAN), url) == "waitlisted", "an offer holds the place"
    accepted = waiting_ours.post(f"{url}/sign-up/acceptance")
    assert accepted.json["state"] == "confirmed"
    assert violations(database) == {}


def test_an_offer_that_passes_stays_in_its_pool(hold, someone, frozen, database):
    url = hold(COUNTY, pool("公开", 1))
    ours, other, waiting_ours, waiting_other, last_ours = (
        someone(LINGCHUAN), someone(), someone(LINGCHUAN), someone(), someone(LINGCHUAN),
    )  # fmt: skip
    for client in (ours, other, waiting_ours, waiting_other, last_ours):
        join(client, url)
    frozen.set(START - 6 * HOUR)
    ours.delete(f"{url}/sign-up")
    frozen.move(hours=2)
    advance_due(database, threading.Event())
    assert [state(client, url) for client in (waiting_other, last_ours)] == ["waitlisted", "offered"]
    assert violations(database) == {}


def test_members_and_enclave_members_have_pools_of_their_own(hold, someone, make, org, frozen, places):
    url = hold(pool("团员", 1, "members"), pool("驻外", 1, "enclave_members"), pool("公开", 1))
    member, away, anybody = someone(), someone(), someone()
    make.membership(member.person, make.org(org))
    branch = make.enclave_branch(make.org(org, division_code=LINGCHUAN))
    make.add(EnclaveParticipation(branch_id=branch.id, person_id=away.person.id, joined_at=frozen.now))
    assert [join(client, url) for client in (anybody, member, away)] == ["confirmed"] * 3
    assert places() == [(anybody.person.id, 3), (member.person.id, 1), (away.person.id, 2)]


def test_who_left_the_branch_is_no_enclave_member(hold, someone, make, org, frozen):
    url = hold(pool("驻外", 1, "enclave_members"))
    gone = someone()
    branch = make.enclave_branch(make.org(org, division_code=LINGCHUAN))
    make.add(
        EnclaveParticipation(
            branch_id=branch.id, person_id=gone.person.id, joined_at=frozen.now - HOUR, left_at=frozen.now
        )
    )
    assert join(gone, url) == "no_pool_for_you"


def test_where_every_pool_is_for_others_nobody_waits_in_vain(hold, officer, someone):
    url = hold(pool("陵川", 1, "counties", counties=[LINGCHUAN]), pool("团员", 1, "members"))
    other = someone()
    refused = other.put(f"{url}/sign-up", json={})
    assert (refused.status_code, refused.json["code"]) == (403, "no_pool_for_you")
    added = officer.post(f"{url}/sign-ups", json={"person_id": str(other.person.id)})
    assert (added.status_code, added.json["code"]) == (403, "no_pool_for_you")


def test_staff_add_into_the_pool_that_is_for_the_person(hold, officer, someone, places):
    url = hold(COUNTY, pool("公开", 1, overflow=1))
    people = [someone(LINGCHUAN).person for _ in range(3)]
    answers = [officer.post(f"{url}/sign-ups", json={"person_id": str(person.id)}) for person in people]
    assert [answer.json["state"] for answer in answers] == ["confirmed", "confirmed", "waitlisted"]
    assert [number for _, number in places()] == [1, 2]


@pytest.mark.parametrize(
    ("capacity", "sizes"), [(3, (1, 1)), (1, (1, 1)), (3, (4,))], ids=["too few", "too many", "one"]
)
def test_pools_add_up_to_the_capacity(officer, body, capacity, sizes):
    pools = [pool(f"池{size}{number}", size) for number, size in enumerate(sizes)]
    answer = officer.post("/v1/activities", json=body(*pools, capacity=capacity))
    assert answer.status_code == 422
    assert [(issue["pointer"], issue["code"]) for issue in answer.json["errors"]] == [
        ("/admission/pools", "pools_unequal_capacity")
    ]


def edit(officer, url, body, *pools, **values):
    return officer.put(url, json=body(*pools, **values), headers={"If-Match": "*"})


def test_more_places_in_a_pool_promote_whom_it_is_for(hold, officer, body, someone, places):
    url = hold(COUNTY, pool("公开", 1))
    ours, other, waiting_other, waiting_ours = (
        someone(LINGCHUAN), someone(), someone(), someone(LINGCHUAN),
    )  # fmt: skip
    for client in (ours, other, waiting_other, waiting_ours):
        join(client, url)
    assert edit(officer, url, body, {**COUNTY, "capacity": 2}, pool("公开", 1)).status_code == 200
    assert [state(client, url) for client in (waiting_other, waiting_ours)] == ["waitlisted", "confirmed"]


def test_a_pool_keeps_the_places_taken_in_it(hold, officer, body, someone, database):
    url = hold(pool("陵川", 2, "counties", counties=[LINGCHUAN]), pool("公开", 2))
    for client in (someone(LINGCHUAN), someone(LINGCHUAN)):
        join(client, url)
    answer = edit(officer, url, body, COUNTY, pool("公开", 3))
    assert (answer.status_code, answer.json["code"]) == (409, "capacity_below_taken")
    with database.reading() as db:
        assert db.scalars(select(Pool.capacity).order_by(Pool.position)).all() == [2, 2]


def test_whom_pools_are_for_stays_while_somebody_is_in(hold, officer, body, someone, database):
    url = hold(COUNTY, pool("公开", 1))
    inside = someone()
    join(inside, url)
    for pools in (
        [{**COUNTY, "county_codes": ["140521"]}, pool("公开", 1)],
        [{**COUNTY, "audience": "members", "county_codes": []}, pool("公开", 1)],
        [pool("公开", 2)],
        [COUNTY, pool("公开", 1), pool("再来", 1)],
    ):
        answer = edit(officer, url, body, *pools)
        assert (answer.status_code, answer.json["code"]) == (409, "admission_frozen"), pools
    assert edit(officer, url, body, {**COUNTY, "name": "陵川县"}, pool("公开", 1)).status_code == 200
    inside.delete(f"{url}/sign-up")
    assert edit(officer, url, body, pool("公开", 2)).status_code == 200
    with database.reading() as db:
        assert db.execute(select(Pool.audience, Pool.capacity)).all() == [(Audience.EVERYBODY, 2)]


def test_two_of_a_county_press_for_its_last_place_and_the_other_overflows(hold, someone, places, database):
    url = hold(pool("陵川", 1, "counties", counties=[LINGCHUAN]), pool("公开", 1, overflow=1))
    clients = [someone(LINGCHUAN) for _ in range(6)]
    answers = at_once([lambda client=client: join(client, url) for client in clients])
    assert sorted(answers) == ["confirmed"] * 2 + ["waitlisted"] * 4
    assert sorted(number for _, number in places()) == [1, 2]
    assert violations(database) == {}
