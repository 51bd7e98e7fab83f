"""Use cases of the organisation tree, formal membership, roles and their imports."""

from engage.orgs.service.importer import import_demo_orgs, import_orgs
from engage.orgs.service.invitations import accept_invitation, invite, withdraw_invitation
from engage.orgs.service.membership import end_membership, record_membership
from engage.orgs.service.roles import (
    end_grant,
    give,
    grant_role,
    refuse_last_administrator,
    tell_of_role,
)
from engage.orgs.service.tree import change_org, create_org, place

__all__ = [
    "accept_invitation",
    "change_org",
    "create_org",
    "end_grant",
    "end_membership",
    "give",
    "grant_role",
    "import_demo_orgs",
    "import_orgs",
    "invite",
    "place",
    "record_membership",
    "refuse_last_administrator",
    "tell_of_role",
    "withdraw_invitation",
]
