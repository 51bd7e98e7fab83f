"""Use cases of enclave branches: staff look after them, people join and leave, the demo invents some."""

from engage.enclaves.service.branches import create_branch, edit_branch
from engage.enclaves.service.demo import import_demo_branches
from engage.enclaves.service.joining import apply, approve, leave, reject, withdraw

__all__ = [
    "apply",
    "approve",
    "create_branch",
    "edit_branch",
    "import_demo_branches",
    "leave",
    "reject",
    "withdraw",
]
