"""Divisions of nodes lie one within the other, and nobody takes one for themselves."""

from __future__ import annotations

import pytest

from engage.orgs.models import Org, Role

OUTSIDE = (422, "/division_code", "division_outside")


@pytest.fixture
def tree(make, frozen):
    """City > 城区 > a street, 陵川 > a town; officers of the city, of 城区 and of the street; a body of the city without a division."""

    class Tree:
        city = make.org(name="团市委", division_code="140500")
        county = make.org(city, name="城区", division_code="140502")
        other = make.org(city, name="陵川", division_code="140524")
        street = make.org(county, name="东街", division_code="140502001")
        town = make.org(other, name="崇文镇", division_code="140524100")
        body = make.org(city, name="市直机关", division_code=None)
        city_officer = make.staff(Role.OFFICER, org=city)
        officer = make.staff(Role.OFFICER, org=county)
        street_officer = make.staff(Role.OFFICER, org=street)

    return Tree


@pytest.fixture
def edit(as_user, client):
    """Send a node as it is but for some fields."""

    def send(person, org, **change):
        now = client.get(f"/v1/orgs/{org.id}").json
        names = ("name", "kind", "parent_id", "division_code", "status", "established_on")
        body = {name: now[name] for name in names}
        return as_user(person.id).put(f"/v1/orgs/{org.id}", json=body | change, headers={"If-Match": "*"})

    return send


@pytest.fixture
def create(as_user):
    def send(person, parent, code, kind="branch"):
        body = {"name": "团支部", "kind": kind, "parent_id": str(parent.id), "division_code": code}
        return as_user(person.id).post("/v1/orgs", json=body)

    return send


def refusal(answer):
    assert answer.status_code == 422, answer.json
    return (answer.status_code, answer.json["errors"][0]["pointer"], answer.json["errors"][0]["code"])


@pytest.mark.parametrize("code", ["140524", "140524100", "140500", "140000", "110000", "140502"])
def test_a_new_node_is_of_the_division_above_it_or_of_one_within(create, tree, code):
    assert refusal(create(tree.street_officer, tree.street, code)) == OUTSIDE
    # What kind it says it is makes no difference.
    assert refusal(create(tree.street_officer, tree.street, code, "enclave_branch")) == OUTSIDE


@pytest.mark.parametrize("code", ["140502001", "140502001001", None])
def test_a_division_within_may_be_given(create, tree, code):
    assert create(tree.street_officer, tree.street, code).status_code == 201


def test_the_refusal_says_what_is_wrong(as_user, tree):
    body = {"name": "团支部", "kind": "branch", "parent_id": str(tree.street.id), "division_code": "140524"}
    for language, words in (("zh", "行政区划必须在上级组织的行政区划之内"), ("en", "must lie within")):
        answer = as_user(tree.street_officer.id, language).post("/v1/orgs", json=body)
        assert words in answer.json["errors"][0]["detail"]


@pytest.mark.parametrize("code", ["140524", "140502", "140502001001", None])
def test_nobody_changes_the_division_of_the_node_that_they_hold_their_role_on(edit, tree, client, code):
    answer = edit(tree.street_officer, tree.street, division_code=code)
    assert (answer.status_code, answer.json["code"]) == (403, "not_allowed")
    assert client.get(f"/v1/orgs/{tree.street.id}").json["division_code"] == "140502001"


def test_the_level_above_changes_it_within_its_own(edit, tree):
    assert refusal(edit(tree.officer, tree.street, division_code="140524100")) == OUTSIDE
    assert refusal(edit(tree.officer, tree.street, division_code="140500")) == OUTSIDE
    assert edit(tree.officer, tree.street, division_code=None).status_code == 200
    assert edit(tree.officer, tree.street, division_code="140502").status_code == 200


def test_a_node_without_a_division_does_not_lend_that_of_the_city(create, edit, make, tree):
    officer = make.staff(Role.OFFICER, org=tree.body)
    below = make.org(tree.body, division_code=None)
    for answer in (create(officer, tree.body, "140524"), edit(officer, below, division_code="140524")):
        assert (answer.status_code, answer.json["code"]) == (403, "not_allowed")
    assert create(officer, tree.body, None).status_code == 201
    assert create(tree.city_officer, tree.body, "140524").status_code == 201


def test_a_change_puts_nothing_below_outside(edit, make, tree):
    make.org(make.org(tree.street, division_code=None), division_code="140502001001")
    assert refusal(edit(tree.city_officer, tree.county, division_code="140524")) == OUTSIDE
    assert refusal(edit(tree.city_officer, tree.city, division_code="140502")) == OUTSIDE
    # Without one of its own a node leaves what is below it to that above.
    assert edit(tree.city_officer, tree.county, division_code=None).status_code == 200
    assert refusal(edit(tree.city_officer, tree.county, division_code="140524")) == OUTSIDE
    assert edit(tree.city_officer, tree.county, division_code="140502").status_code == 200


def test_a_root_is_of_the_division_that_those_who_manage_it_say(edit, create, make, tree):
    assert edit(tree.city_officer, tree.city, division_code="140000").status_code == 200
    root = make.org(division_code=None)
    officer = make.staff(Role.OFFICER, org=root)
    assert create(officer, root, "140581").status_code == 201
    assert edit(officer, root, division_code="140500").status_code == 200


def test_a_move_keeps_the_rule(edit, make, tree):
    assert refusal(edit(tree.city_officer, tree.street, parent_id=str(tree.other.id))) == OUTSIDE
    plain = make.org(tree.county, division_code=None)
    make.org(make.org(plain, division_code=None), division_code="140502001")
    assert refusal(edit(tree.city_officer, plain, parent_id=str(tree.town.id))) == OUTSIDE
    assert edit(tree.city_officer, plain, parent_id=str(tree.street.id)).status_code == 200
    moved = edit(
        tree.city_officer, tree.street, parent_id=str(tree.other.id), division_code="140524100"
    )  # what is below is not of 陵川
    assert refusal(moved) == OUTSIDE
    assert edit(tree.city_officer, tree.street, parent_id=str(tree.body.id)).status_code == 200


def test_an_edit_that_leaves_the_division_is_not_held_up_by_it(edit, make, tree):
    """What was imported or written before the rule can be renamed, and mended."""
    old = make.org(tree.street, division_code="140524")
    officer = make.staff(Role.OFFICER, org=old)
    assert edit(officer, old, name="改了名的").status_code == 200
    assert edit(tree.street_officer, old, division_code="140502001").status_code == 200


def test_an_enclave_branch_stands_elsewhere_and_lends_nothing(edit, create, make, tree):
    branch = Org(id=make.enclave_branch(tree.county, host_city_code="140500").id)
    officer = make.staff(Role.OFFICER, org=branch)
    assert edit(officer, branch, name="驻太原").status_code == 200
    assert edit(tree.city_officer, tree.county, division_code=None).status_code == 200
    assert edit(tree.city_officer, tree.county, division_code="140502").status_code == 200
    # It would be bound as soon as it called itself something else.
    assert refusal(edit(officer, branch, kind="branch")) == OUTSIDE
    for code in ("140100", "140524", "140502001"):
        assert create(officer, branch, code).status_code == 403
    assert refusal(create(tree.officer, branch, "140100")) == OUTSIDE
    assert create(tree.officer, branch, "140502001").status_code == 201
    assert edit(tree.city_officer, branch, parent_id=str(tree.other.id)).status_code == 422
    assert edit(tree.city_officer, branch, parent_id=str(tree.body.id)).status_code == 200
