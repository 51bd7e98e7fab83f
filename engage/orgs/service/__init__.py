"""Use cases of the organisation tree, formal membership, roles and their imports."""

from engage.orgs.service.importer import import_demo_orgs, import_orgs
from engage.orgs.service.membership import end_membership, record_membership
from engage.orgs.service.roles import grant_role
from engage.orgs.service.tree import change_org, create_org, place

__all__ = [
    "change_org",
    "create_org",
    "end_membership",
    "grant_role",
    "import_demo_orgs",
    "import_orgs",
    "place",
    "record_membership",
]
