"""A ticket is made by a page, decided by a phone, and exchanged by the page for a session of its own."""

from __future__ import annotations

import hmac
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID, uuid4

import segno
from sqlalchemy import select

from engage.core import audit
from engage.core.crypto import keyed_hash, sha256
from engage.core.errors import DomainError, raised
from engage.identity.access import inactive
from engage.identity.models import AuthSession, LoginMethod, LoginTicket, Person, RefreshToken, TicketState
from engage.identity.service.sessions import REFRESH_GRACE, OpenSession, first_token, lives_until, stored
from engage.login_tickets.access import require_phone_of_staff
from engage.login_tickets.errors import LoginTicketDecided, LoginTicketExpired, NoSuchLoginTicket, NotStaff
from engage.login_tickets.models import GOOD_FOR, NUMBER_DIGITS, TicketStatus, status_of
from engage.login_tickets.queries import shown
from engage.messages.models import MessageKind
from engage.messages.service import enqueue
from engage.orgs.access import holds_a_role

if TYPE_CHECKING:
    from engage.core.config import Settings
    from engage.core.db import Errand, Work

_SECRET_BYTES: Final = 32
_FIRST_NUMBER: Final = 10 ** (NUMBER_DIGITS - 1)
_NUMBERS: Final = 10**NUMBER_DIGITS - _FIRST_NUMBER
_QR_SCALE: Final = 6
_UNKNOWN_DEVICE: Final = "?"
_ACTION: Final = "log_in_by_qr"
_KIND: Final = "login-tickets"


@dataclass(frozen=True, slots=True)
class Fetched:
    """What a page is told: the status of its ticket, and its session once that is there."""

    status: TicketStatus
    session: OpenSession | None = None


def open_ticket(work: Work, device: str | None) -> dict[str, Any]:
    """Make a ticket for a page; its secret is shown this once."""
    secret = secrets.token_urlsafe(_SECRET_BYTES)
    ticket = LoginTicket(
        id=uuid4(),  # all of it random, unlike other ids: it stands in the code
        secret_hash=sha256(secret),
        device=device,
        created_at=work.now,
        expires_at=work.now + GOOD_FOR,
    )
    work.session.add(ticket)
    work.session.flush()
    text = _text(work.settings, ticket.id)
    return {
        "id": ticket.id,
        "secret": secret,
        "number": _number(work.settings, ticket.id),
        "text": text,
        "image": segno.make(text, error="m", micro=False).svg_data_uri(scale=_QR_SCALE),
        "expires_in": int(GOOD_FOR.total_seconds()),
    }


def _text(settings: Settings, ticket_id: UUID) -> str:
    """Return what the code says: an address that opens the mini program, or, where none is set, words that its scanner knows."""
    if settings.public_url:
        return f"{settings.public_url}/console/scan?ticket={ticket_id}"
    return f"engage-login:{ticket_id}"


def _number(settings: Settings, ticket_id: UUID) -> str:
    """Return the number that the page shows: derived, so that it is kept nowhere."""
    digest = keyed_hash(settings.key("login-ticket-number"), str(ticket_id))
    return str(_FIRST_NUMBER + int.from_bytes(digest[:8]) % _NUMBERS)


def decide(work: Work, ticket_id: UUID, *, accept: bool, number: str | None) -> dict[str, Any]:
    """Let the page of a ticket in, or not; return the ticket. Repeating it changes nothing.

    A wrong number rejects the ticket, so there is one try: whoever was sent a picture of somebody else's page cannot go on guessing.

    Raises:
        PhoneNeeded, NotStaff: as ``require_phone_of_staff``.
        NoSuchLoginTicket: there is none, or somebody else has decided about it.
        LoginTicketExpired: its two minutes are over.
        LoginTicketDecided: the caller has decided otherwise before.

    """
    require_phone_of_staff(work)
    ticket = work.session.scalar(select(LoginTicket).where(LoginTicket.id == ticket_id).with_for_update())
    if ticket is None or ticket.person_id not in (None, work.actor.id):
        raise NoSuchLoginTicket
    is_right = accept and hmac.compare_digest(number or "", _number(work.settings, ticket_id))
    if ticket.state is TicketState.PENDING:
        if ticket.expires_at <= work.now:
            raise LoginTicketExpired
        ticket.state = TicketState.CONFIRMED if is_right else TicketState.REJECTED
        ticket.decided_at, ticket.person_id = work.now, work.actor.id
        ticket.phone_session_id = work.actor.session_id
        work.session.flush()
    elif is_right == (ticket.state is TicketState.REJECTED):
        raise LoginTicketDecided
    return shown(ticket, work.now)


def fetch(errand: Errand, ticket_id: UUID, secret: str) -> Fetched:
    """Return what became of a ticket, to the page that has its secret; the first time after the yes of a phone, open its session.

    For half a minute the same tokens are given again, since the answer may have been lost. Waiting takes one statement and no transaction.

    Raises:
        NoSuchLoginTicket: there is none, or its secret is another one.
        AccountSuspended, AccountClosed: whoever said yes may not use their account any more.
        NotStaff: they hold no role any more.

    """
    with errand.look() as look:
        found = look.db.execute(
            select(
                LoginTicket.secret_hash, LoginTicket.state, LoginTicket.expires_at, LoginTicket.decided_at
            ).where(LoginTicket.id == ticket_id)
        ).one_or_none()
        digest = sha256(secret)
        if found is None or not hmac.compare_digest(found.secret_hash, digest):
            raise NoSuchLoginTicket
        status = status_of(found.state, found.expires_at, found.decided_at, look.now)
    if status not in (TicketStatus.CONFIRMED, TicketStatus.USED):
        return Fetched(status)
    with errand.work() as work:
        outcome = _exchange(work, ticket_id, secret)
    return raised(outcome)


def _exchange(work: Work, ticket_id: UUID, secret: str) -> Fetched | DomainError:
    ticket = work.session.scalar(select(LoginTicket).where(LoginTicket.id == ticket_id).with_for_update())
    if ticket is None:
        raise NoSuchLoginTicket
    status = status_of(ticket.state, ticket.expires_at, ticket.decided_at, work.now)
    if status is TicketStatus.USED:
        return _repeat(work, ticket, secret)
    said_yes = _who_says_yes(work, ticket) if status is TicketStatus.CONFIRMED else None
    if said_yes is None:
        return Fetched(TicketStatus.EXPIRED)
    if isinstance(said_yes, DomainError):
        return said_yes
    return Fetched(TicketStatus.USED, _open_session(work, ticket, said_yes, secret))


def _who_says_yes(work: Work, ticket: LoginTicket) -> UUID | DomainError | None:
    """Return who said yes, or why they may not any more; None when the session that did has ended: whoever logs it out meanwhile takes the yes back."""
    row = work.session.execute(
        select(Person.id, Person.status, AuthSession.ended_at, AuthSession.expires_at)
        .add_columns(holds_a_role(Person.id, work.now).label("is_staff"))
        .join(AuthSession, AuthSession.person_id == Person.id)
        .where(AuthSession.id == ticket.phone_session_id)
    ).one()
    refusal = inactive(row.status) or (None if row.is_staff else NotStaff())
    if refusal is not None:
        return _refused(work, ticket, row.id, refusal)
    return row.id if row.ended_at is None and row.expires_at > work.now else None


def _refused(work: Work, ticket: LoginTicket, person_id: UUID, refusal: DomainError) -> DomainError:
    about = [ticket.id]
    audit.record_refusal(work.session, work.now, _ACTION, person_id, refusal, kind=_KIND, about=about)
    return refusal


def _open_session(work: Work, ticket: LoginTicket, person_id: UUID, secret: str) -> OpenSession:
    expires_at = lives_until(work, work.now, LoginMethod.QR)
    session = AuthSession(
        person_id=person_id,
        created_at=work.now,
        expires_at=expires_at,
        device=ticket.device,
        method=LoginMethod.QR,
    )
    work.session.add(session)
    work.session.flush()
    token = first_token(work.settings, secret, session.id)
    work.session.add(stored(work, token, session.id, expires_at))
    ticket.state, ticket.session_id, ticket.used_at = TicketState.USED, session.id, work.now
    work.session.flush()
    enqueue(
        work.session,
        work.now,
        person_id,
        MessageKind.WEB_LOG_IN,
        session_id=str(session.id),
        logged_in_at=work.now.isoformat(),
        device=ticket.device or _UNKNOWN_DEVICE,
    )
    opened = OpenSession(person_id, session.id, token)
    audit.record(work.session, work.now, _ACTION, actor=opened, kind=_KIND, about=[ticket.id])
    return opened


def _repeat(work: Work, ticket: LoginTicket, secret: str) -> Fetched | DomainError:
    """Give the same tokens again for a short while, unless the session has moved on or has ended."""
    if ticket.used_at is None or ticket.session_id is None or work.now - ticket.used_at > REFRESH_GRACE:
        return Fetched(TicketStatus.USED)
    token = first_token(work.settings, secret, ticket.session_id)
    row = work.session.execute(
        select(AuthSession.person_id, Person.status, AuthSession.ended_at, RefreshToken.replaced_at)
        .join(Person, Person.id == AuthSession.person_id)
        .join(RefreshToken, RefreshToken.token_hash == sha256(token))
        .where(AuthSession.id == ticket.session_id)
    ).one()
    refusal = inactive(row.status)
    if refusal is not None:
        return _refused(work, ticket, row.person_id, refusal)
    if row.ended_at is not None or row.replaced_at is not None:
        return Fetched(TicketStatus.USED)
    return Fetched(TicketStatus.USED, OpenSession(row.person_id, ticket.session_id, token))
