"""Only the committee of a county, and what stands below it, collects the people of that county."""

from __future__ import annotations

import pytest

from engage.orgs.models import Role


def body_of(parent_id):
    return {
        "name": "陵川县驻太原团工委",
        "parent_org_id": str(parent_id),
        "home_county_code": "140524",
        "host_city_code": "140100",
    }


@pytest.fixture
def street(make, city):
    return make.org(make.org(city, name="城区", division_code="140502"), division_code="140502001")


def test_a_division_of_another_county_written_below_ones_own_opens_nothing(as_user, make, street):
    """As it may stand in a database from before divisions had to lie one within the other."""
    taken = make.org(street, division_code="140524")
    answer = as_user(make.staff(Role.OFFICER, org=street).id).post(
        "/v1/enclave-branches", json=body_of(taken.id)
    )
    assert (answer.status_code, answer.json["errors"][0]["pointer"]) == (422, "/home_county_code")


def test_nobody_writes_one_there(as_user, make, street):
    officer = as_user(make.staff(Role.OFFICER, org=street).id)
    child = {
        "name": "某团支部",
        "kind": "branch",
        "parent_id": str(street.id),
        "division_code": "140524",
        "established_on": None,
    }
    assert officer.post("/v1/orgs", json=child).status_code == 422
    own = {**child, "kind": "committee", "parent_id": str(street.parent_id), "status": "active"}
    assert officer.put(f"/v1/orgs/{street.id}", json=own, headers={"If-Match": "*"}).status_code == 403
    assert officer.post("/v1/enclave-branches", json=body_of(street.id)).status_code == 422


def test_the_place_of_an_enclave_branch_is_no_home(as_user, make, home):
    """A branch in a city that is a county by its code does not make the officers of the branch those of that county."""
    branch = make.org(home.county, kind_code="enclave_branch", division_code="140502")
    answer = as_user(home.officer.id).post(
        "/v1/enclave-branches", json=body_of(branch.id) | {"home_county_code": "140502"}
    )
    assert answer.json["errors"][0]["pointer"] == "/home_county_code"
    assert as_user(home.officer.id).post("/v1/enclave-branches", json=body_of(branch.id)).status_code == 201
