"""Nobody appoints somebody who may do more than they themselves: else an officer would only have to find a friend."""

from __future__ import annotations

import pytest

from engage.orgs.access import GRANTABLE, PERMISSIONS, Permission, Reach
from engage.orgs.models import Role

# What a reach opens besides itself. A role is given at a giver's node or below it, so that what is below a node, or one hub of it, is within
# the node; of what is opened at a root alone, so that who gives it at a root holds theirs at that root.
WITHIN: dict[Reach, set[Reach]] = {
    Reach.WHOLE: {Reach.ROOT},
    Reach.ROOT: set(),
    Reach.TREE: {Reach.ABOVE, Reach.HUB, Reach.HUB_IN_TIME},
    Reach.ABOVE: set(),
    Reach.HUB: {Reach.HUB_IN_TIME},
    Reach.HUB_IN_TIME: set(),
}
# (giver, given, permission): why it may be.
EXCEPTIONS: dict[tuple[Role, Role, Permission], str] = {}


def reaches(role: Role, permission: Permission) -> set[Reach]:
    return {holds.reach for holds in PERMISSIONS[permission] if role in holds.roles}


def beyond(giver: Role) -> set[tuple[Role, Role, Permission]]:
    """Return what roles that somebody gives may do and they may not."""
    found = set()
    for given in GRANTABLE[giver]:
        for permission in Permission:
            own = reaches(giver, permission)
            covered = own.union(*(WITHIN[reach] for reach in own))
            if not reaches(given, permission) <= covered:
                found.add((giver, given, permission))
    return found


def test_every_reach_is_compared():
    assert set(WITHIN) == set(Reach)


@pytest.mark.parametrize("giver", GRANTABLE)
def test_what_a_role_may_do_its_givers_may(giver):
    assert beyond(giver) == {exception for exception in EXCEPTIONS if exception[0] is giver}


def test_what_is_about_the_whole_installation_is_held_at_its_root():
    """But for the totals of counties, in which small numbers are withheld."""
    whole = {
        permission
        for permission, rules in PERMISSIONS.items()
        for holds in rules
        if holds.reach is Reach.WHOLE
    }
    assert whole == {Permission.READ_COUNTY_TOTALS}


@pytest.mark.parametrize("giver", GRANTABLE)
def test_whom_somebody_appoints_appoints_nobody_whom_they_would_not(giver):
    for given in GRANTABLE[giver] & GRANTABLE.keys():
        assert GRANTABLE[given] <= GRANTABLE[giver]
