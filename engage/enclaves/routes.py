"""Operations of enclave branches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from engage.core.audit import listed
from engage.core.errors import NotAllowed
from engage.core.http import Api
from engage.core.replies import NO_STORE
from engage.core.schemas import PageQuery
from engage.enclaves import queries, service
from engage.enclaves.errors import (
    AlreadyDecided,
    AlreadyParticipating,
    ApplicationExists,
    EnclaveBranchDissolved,
    NoSuchEnclaveApplication,
    NoSuchEnclaveBranch,
    NotFromHomeCounty,
    OwnApplication,
)
from engage.enclaves.schemas import (
    EnclaveApplicationIn,
    EnclaveApplicationOut,
    EnclaveApplicationPage,
    EnclaveApplicationsQuery,
    EnclaveBranchDetailOut,
    EnclaveBranchEditIn,
    EnclaveBranchesQuery,
    EnclaveBranchIn,
    EnclaveBranchPage,
    EnclaveParticipantPage,
    EnclaveRejectionIn,
    MyEnclaveBranchPage,
)
from engage.identity.caller import guest, member
from engage.identity.errors import ProfileIncomplete
from engage.orgs.caller import staff
from engage.orgs.errors import NoSuchOrg, OrgNotActive, OrgTooDeep

if TYPE_CHECKING:
    from uuid import UUID

    from engage.core.db import Look, Work
    from engage.core.paging import Page

api: Final = Api("驻外团组织 · Enclave branches")


@api.operation(
    "GET", "/enclave-branches", access=guest, zh="查找驻外团组织", query=EnclaveBranchesQuery,
    returns=EnclaveBranchPage, cache=NO_STORE,
)  # fmt: skip
def list_enclave_branches(look: Look, query: dict[str, Any]) -> Page:
    """Find enclave branches by home county, by host city or near me."""
    return queries.list_branches(look, query)


@api.operation(
    "GET", "/enclave-branches/{branch_id}", access=guest, zh="查看一个驻外团组织",
    returns=EnclaveBranchDetailOut, refuses=[NoSuchEnclaveBranch], cache=NO_STORE,
)  # fmt: skip
def read_enclave_branch(look: Look, branch_id: UUID) -> dict[str, Any]:
    """Read an enclave branch, with the state of my application."""
    return queries.read_branch(look, branch_id)


@api.operation(
    "POST", "/enclave-branches", access=staff, zh="新建驻外团组织", body=EnclaveBranchIn,
    returns=EnclaveBranchDetailOut, status=201, refuses=[NoSuchOrg, OrgNotActive, OrgTooDeep, NotAllowed],
    idempotent=True, location="/enclave-branches/{id}",
)  # fmt: skip
def create_enclave_branch(work: Work, body: dict[str, Any]) -> dict[str, Any]:
    """Create an enclave branch below an organisation of its home county."""
    return service.create_branch(work, body)


@api.operation(
    "PUT", "/enclave-branches/{branch_id}", access=staff, zh="修改驻外团组织", body=EnclaveBranchEditIn,
    returns=EnclaveBranchDetailOut, refuses=[NoSuchEnclaveBranch, NotAllowed], if_match=True,
)  # fmt: skip
def edit_enclave_branch(
    work: Work, branch_id: UUID, body: dict[str, Any], version: int | None
) -> dict[str, Any]:
    """Replace what is said about an enclave branch.

    撤销（dissolved）时，未审核的申请一并答复为不通过，参与关系结束；团员的组织关系不受影响。

    Dissolving it rejects the open applications and ends participation; formal memberships are not touched.
    """
    return service.edit_branch(work, branch_id, body, version)


@api.operation(
    "POST", "/enclave-branches/{branch_id}/applications", access=member, zh="申请加入驻外团组织",
    body=EnclaveApplicationIn, returns=EnclaveApplicationOut, status=201,
    refuses=[
        NoSuchEnclaveBranch, EnclaveBranchDissolved, ProfileIncomplete, NotFromHomeCounty, ApplicationExists,
        AlreadyParticipating,
    ],
    idempotent=True, location="/enclave-applications/{id}",
)  # fmt: skip
def apply_to_enclave_branch(work: Work, branch_id: UUID, body: dict[str, Any]) -> dict[str, Any]:
    """Apply to join the branch of my home county; my formal membership stays where it is."""
    return service.apply(work, branch_id, body["note"])


@api.operation(
    "GET", "/enclave-branches/{branch_id}/applications", access=staff, zh="驻外团组织收到的申请",
    query=EnclaveApplicationsQuery, returns=EnclaveApplicationPage, refuses=[NoSuchEnclaveBranch, NotAllowed],
    people=listed(),
)  # fmt: skip
def list_enclave_applications(look: Look, branch_id: UUID, query: dict[str, Any]) -> Page:
    """List the applications to a branch, the oldest first."""
    return queries.list_applications(look, branch_id, query)


@api.operation(
    "GET", "/enclave-branches/{branch_id}/participants", access=staff, zh="驻外团组织的参与者",
    query=PageQuery, returns=EnclaveParticipantPage, refuses=[NoSuchEnclaveBranch, NotAllowed],
    people=listed(),
)  # fmt: skip
def list_enclave_participants(look: Look, branch_id: UUID, query: dict[str, Any]) -> Page:
    """List who takes part in a branch."""
    return queries.list_participants(look, branch_id, query)


@api.operation(
    "DELETE", "/enclave-branches/{branch_id}/participation", access=member, zh="退出驻外团组织",
    refuses=[NoSuchEnclaveBranch],
)  # fmt: skip
def leave_enclave_branch(work: Work, branch_id: UUID) -> None:
    """Leave an enclave branch; may be repeated."""
    service.leave(work, branch_id)


@api.operation(
    "GET", "/me/enclave-applications", access=member, zh="我的加入申请", query=PageQuery,
    returns=EnclaveApplicationPage,
)  # fmt: skip
def list_my_enclave_applications(look: Look, query: dict[str, Any]) -> Page:
    """List my applications, the newest first."""
    return queries.list_my_applications(look, query)


@api.operation(
    "GET", "/me/enclave-branches", access=member, zh="我加入的驻外团组织", query=PageQuery,
    returns=MyEnclaveBranchPage,
)  # fmt: skip
def list_my_enclave_branches(look: Look, query: dict[str, Any]) -> Page:
    """List the branches that I take part in, the newest first."""
    return queries.list_my_branches(look, query)


@api.operation(
    "GET", "/enclave-applications/{application_id}", access=member, zh="查看一份加入申请",
    returns=EnclaveApplicationOut, refuses=[NoSuchEnclaveApplication], tells=[NoSuchEnclaveApplication],
    people=lambda actor, application: int(application["applicant"]["id"] != actor.id),
)  # fmt: skip
def read_enclave_application(look: Look, application_id: UUID) -> dict[str, Any]:
    """Read an application of mine, or one that I decide."""
    return queries.read_application(look, application_id)


@api.operation(
    "POST", "/enclave-applications/{application_id}/withdrawal", access=member, zh="撤回加入申请",
    returns=EnclaveApplicationOut, refuses=[NoSuchEnclaveApplication, AlreadyDecided], tells=[NoSuchEnclaveApplication],
    idempotent=True,
)  # fmt: skip
def withdraw_enclave_application(work: Work, application_id: UUID) -> dict[str, Any]:
    """Withdraw my application while it is open."""
    return service.withdraw(work, application_id)


@api.operation(
    "POST", "/enclave-applications/{application_id}/approval", access=staff, zh="通过加入申请",
    returns=EnclaveApplicationOut,
    refuses=[NoSuchEnclaveApplication, OwnApplication, AlreadyDecided, EnclaveBranchDissolved], idempotent=True,
)  # fmt: skip
def approve_enclave_application(work: Work, application_id: UUID) -> dict[str, Any]:
    """Approve an application: the applicant takes part from now on."""
    return service.approve(work, application_id)


@api.operation(
    "POST", "/enclave-applications/{application_id}/rejection", access=staff, zh="不通过加入申请",
    body=EnclaveRejectionIn, returns=EnclaveApplicationOut,
    refuses=[NoSuchEnclaveApplication, OwnApplication, AlreadyDecided], idempotent=True,
)  # fmt: skip
def reject_enclave_application(work: Work, application_id: UUID, body: dict[str, Any]) -> dict[str, Any]:
    """Reject an application with a reason that the applicant is told."""
    return service.reject(work, application_id, body["reason"])
