"""A home county with its committee, an enclave branch with its secretary, and young people from there."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from engage.enclaves.models import EnclaveBranch
from engage.orgs.models import Org, Role


@dataclass
class Home:
    county: Org
    branch: EnclaveBranch
    secretary: object
    officer: object

    @property
    def url(self) -> str:
        return f"/v1/enclave-branches/{self.branch.id}"


@pytest.fixture(autouse=True)
def _at_ten(frozen):
    """Everything happens at 10:00 on Thursday, 1 October 2026, in Shanghai, unless a test moves the clock."""


@pytest.fixture
def city(make):
    return make.org(name="团市委", division_code="140500")


@pytest.fixture
def home(make, city) -> Home:
    """陵川县, its branch in 太原市, the secretary of the branch and an officer of the county."""
    county = make.org(city, name="团陵川县委", division_code="140524")
    branch = make.enclave_branch(county)
    node = Org(id=branch.id)
    return Home(
        county, branch, make.staff(Role.BRANCH_SECRETARY, org=node), make.staff(Role.OFFICER, org=county)
    )


@pytest.fixture
def youth(make):
    """Somebody from 陵川县 who lives in 太原市."""
    return make.person(hometown_code="140524100", current_code="140100")


@pytest.fixture
def applied(as_user, home, youth):
    """The open application of the youth: its address."""
    answer = as_user(youth.id).post(f"{home.url}/applications", json={"note": "想参加家乡活动"})
    assert answer.status_code == 201
    return answer.headers["Location"]
