"""Inviting somebody to a role by a one-time link, and accepting it."""

from __future__ import annotations

import secrets
from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import select

from engage.core.crypto import sha256
from engage.core.errors import InvalidInput, NotAllowed
from engage.orgs.access import Permission, grant_node, may_give, permitted
from engage.orgs.errors import (
    InvitationExpired,
    InvitationUsed,
    InvitationWithdrawn,
    InviterLostRole,
    NoSuchInvitation,
    OwnInvitation,
)
from engage.orgs.models import RoleInvitation
from engage.orgs.queries.grants import read_invitation
from engage.orgs.service.roles import check_terms, grant_role, require_giver

if TYPE_CHECKING:
    from uuid import UUID

    from engage.core.db import Work

_TOKEN_BYTES: Final = 32
_PAGE: Final = "/pages/role-invitation/index?token="


def invite(work: Work, body: dict[str, Any]) -> dict[str, Any]:
    """Make an invitation to a role that the caller may give; the token in it is shown this once.

    Raises:
        NotAllowed: the caller may not give this role there.
        InvalidInput: not for so long.
        RoleNotHere, GrantEndsEarly, NoSuchGrantPlace, OrgNotActive: nobody could be given it.

    """
    role, org_id, hub_id = body["role"], body["org_id"], body["hub_id"]
    check_terms(
        work.now, role, reason=body["reason"], org_id=org_id, hub_id=hub_id, starts_at=work.now, ends_at=body["ends_at"]
    )  # fmt: skip
    require_giver(work, role, org_id, hub_id, body["ends_at"])
    token = secrets.token_urlsafe(_TOKEN_BYTES)
    invitation = RoleInvitation(
        token_hash=sha256(token),
        role=role,
        org_id=org_id,
        hub_id=hub_id,
        grant_ends_at=body["ends_at"],
        reason=body["reason"],
        invited_by=work.actor.id,
        created_at=work.now,
        expires_at=work.now + timedelta(days=body["days"]),
    )
    work.session.add(invitation)
    work.session.flush()
    return {**read_invitation(work, invitation.id), "token": token, "path": _PAGE + token}


def accept_invitation(work: Work, token: str) -> UUID:
    """Give the caller the role that a token stands for; return the grant's id.

    Raises:
        NoSuchInvitation: nothing has this token.
        InvitationUsed, InvitationWithdrawn, InvitationExpired: it is over.
        OwnInvitation: the caller has made it.
        InviterLostRole: whoever made it may not give this role any more, or not for so long, or may not use their account.
        OrgNotActive, RoleAlreadyHeld, GrantEndsEarly, DutiesNotSeparate: as ``grant_role``.

    """
    invitation = work.session.scalar(
        select(RoleInvitation).where(RoleInvitation.token_hash == sha256(token)).with_for_update()
    )
    if invitation is None:
        raise NoSuchInvitation
    _refuse_over(work, invitation)
    if invitation.invited_by == work.actor.id:
        raise OwnInvitation
    _refuse_lost(work, invitation)
    grant = grant_role(
        work.session,
        work.now,
        work.actor.id,
        invitation.role,
        reason=invitation.reason,
        org_id=invitation.org_id,
        hub_id=invitation.hub_id,
        ends_at=invitation.grant_ends_at,
        granted_by=invitation.invited_by,
    )
    invitation.accepted_at, invitation.grant_id = work.now, grant.id
    work.session.flush()
    return grant.id


def _refuse_lost(work: Work, invitation: RoleInvitation) -> None:
    inviter: Any = replace(work, actor=SimpleNamespace(id=invitation.invited_by))
    try:
        require_giver(
            inviter, invitation.role, invitation.org_id, invitation.hub_id, invitation.grant_ends_at
        )
    except (NotAllowed, InvalidInput):
        raise InviterLostRole from None


def _refuse_over(work: Work, invitation: RoleInvitation) -> None:
    if invitation.accepted_at is not None:
        raise InvitationUsed
    if invitation.withdrawn_at is not None:
        raise InvitationWithdrawn
    if invitation.expires_at <= work.now:
        raise InvitationExpired


def withdraw_invitation(work: Work, invitation_id: UUID) -> None:
    """Make an open invitation void: one of the caller's own, or to a role that they may give. Repeating it changes nothing.

    Raises:
        NoSuchInvitation: there is none that the caller may see.
        NotAllowed: the caller sees it but may not give this role.
        InvitationUsed, InvitationExpired: it is over.

    """
    node = grant_node(RoleInvitation)
    mine = RoleInvitation.invited_by == work.actor.id
    row = work.session.execute(
        select(RoleInvitation, may_give(work, RoleInvitation.role, node) | mine)
        .where(
            RoleInvitation.id == invitation_id,
            permitted(work, Permission.GRANT_ROLES, node) | mine,
        )
        .with_for_update(of=RoleInvitation)
    ).one_or_none()
    if row is None:
        raise NoSuchInvitation
    invitation, may = row
    if not may:
        raise NotAllowed
    if invitation.withdrawn_at is not None:
        return
    _refuse_over(work, invitation)
    invitation.withdrawn_at, invitation.withdrawn_by = work.now, work.actor.id
    work.session.flush()
