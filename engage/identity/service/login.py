"""Log-in with WeChat."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import and_, delete, or_, select, update

from engage.core import audit
from engage.core.crypto import sha256
from engage.core.db import upserting
from engage.core.errors import raised
from engage.identity.access import inactive
from engage.identity.errors import LoginInProgress, WeChatCodeRefused
from engage.identity.gateway import exchange_code
from engage.identity.models import (
    AuthSession,
    LoginAttempt,
    Person,
    PersonStatus,
    RefreshToken,
    WeChatAccount,
)
from engage.identity.queries import read_me
from engage.identity.service.sessions import OpenSession, first_token, lives_until, stored

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from engage.core.db import Errand, Work
    from engage.core.errors import DomainError
    from engage.wechat.gateway import WeChatGateway, WeChatSession

REPEAT_WITHIN: Final = timedelta(seconds=60)
CLAIM_LIFE: Final = timedelta(seconds=30)
_ACTION: Final = "log_in_with_wechat"


@dataclass(frozen=True, slots=True)
class LogIn:
    """The outcome of a log-in; ``user`` is the profile as ``queries.read_me`` returns it."""

    session: OpenSession
    is_new: bool
    user: dict[str, Any]


def log_in(errand: Errand, gateway: WeChatGateway, code: str, device: str | None = None) -> LogIn:
    """Exchange the code of ``wx.login`` for a session; the first log-in creates the person.

    A code can be exchanged once, and a weak network repeats requests: whoever claims the code asks WeChat, and who
    comes with the same code within a minute gets the same session. ``device`` is what the person will know the session by. No transaction is open while WeChat is asked.

    Raises:
        LoginInProgress: another request is exchanging this code.
        WeChatCodeRefused: WeChat does not know the code, or its session has moved on.
        WeChatAccountBlocked: WeChat has restricted the account.
        WeChatUnavailable: WeChat cannot be reached or is busy; the code may be tried again.
        WeChatNotConfigured: WeChat refuses our credentials.
        AccountSuspended: stopped by staff.
        AccountClosed: closed by its owner.

    """
    with errand.work() as work:
        earlier = _claim(work, code)
        outcome = earlier and _repeat(work, code, earlier)
    return raised(outcome or _exchange(errand, gateway, code, device, claimed_at=work.now))


def _exchange(
    errand: Errand, gateway: WeChatGateway, code: str, device: str | None, *, claimed_at: datetime
) -> LogIn:
    try:
        account = exchange_code(gateway, code)
        with errand.work() as work:
            outcome = _open_session(work, code, account, device)
        return raised(outcome)
    except BaseException:
        with errand.work() as undo:
            _release(undo, code, claimed_at)
        raise


def _claim(work: Work, code: str) -> tuple[UUID, bool] | None:
    """Reserve the exchange of a code for this request; return session and ``is_new`` if it has been done already."""
    abandoned = and_(LoginAttempt.session_id.is_(None), LoginAttempt.started_at <= work.now - CLAIM_LIFE)
    forgotten = and_(
        LoginAttempt.session_id.is_not(None), LoginAttempt.started_at <= work.now - REPEAT_WITHIN
    )
    fresh = {"started_at": work.now, "session_id": None, "is_new": False}
    claimed = work.session.scalar(
        upserting(work.session, LoginAttempt)
        .values(code_hash=sha256(code), **fresh)
        .on_conflict_do_update(index_elements=["code_hash"], set_=fresh, where=or_(abandoned, forgotten))
        .returning(LoginAttempt.code_hash)
    )
    if claimed is not None:
        return None
    earlier = work.session.execute(
        select(LoginAttempt.session_id, LoginAttempt.is_new).where(LoginAttempt.code_hash == sha256(code))
    ).one_or_none()
    if earlier is None or earlier.session_id is None:
        raise LoginInProgress
    return earlier.session_id, earlier.is_new


def _repeat(work: Work, code: str, earlier: tuple[UUID, bool]) -> LogIn | DomainError:
    session_id, is_new = earlier
    token = first_token(work.settings, code, session_id)
    person_id, status, ended_at, replaced_at = work.session.execute(
        select(AuthSession.person_id, Person.status, AuthSession.ended_at, RefreshToken.replaced_at)
        .join(Person, Person.id == AuthSession.person_id)
        .join(RefreshToken, RefreshToken.token_hash == sha256(token))
        .where(AuthSession.id == session_id)
    ).one()
    refusal = inactive(status)
    if refusal is not None:
        return _refused(work, person_id, refusal)
    if ended_at is not None or replaced_at is not None:  # a client that is past this point does not repeat
        raise WeChatCodeRefused
    return LogIn(OpenSession(person_id, session_id, token), is_new, read_me(work, person_id))


def _refused(work: Work, person_id: UUID, refusal: DomainError) -> DomainError:
    audit.record_refusal(work.session, work.now, _ACTION, person_id, refusal)
    return refusal


def _release(work: Work, code: str, started_at: datetime) -> None:
    """Give up this request's own claim, so that the next try does not wait for its end."""
    work.session.execute(
        delete(LoginAttempt).where(
            LoginAttempt.code_hash == sha256(code),
            LoginAttempt.started_at == started_at,
            LoginAttempt.session_id.is_(None),
        )
    )


def _open_session(work: Work, code: str, account: WeChatSession, device: str | None) -> LogIn | DomainError:
    person_id, status, is_new = _person_of(work, account)
    refusal = inactive(status)
    if refusal is not None:
        return _refused(work, person_id, refusal)
    expires_at = lives_until(work, work.now)
    session = AuthSession(person_id=person_id, created_at=work.now, expires_at=expires_at, device=device)
    work.session.add(session)
    work.session.flush()
    token = first_token(work.settings, code, session.id)
    work.session.add(stored(work, token, session.id, expires_at))
    work.session.flush()
    outcome = {"session_id": session.id, "is_new": is_new}
    completed = work.session.scalar(
        upserting(work.session, LoginAttempt)
        .values(code_hash=sha256(code), started_at=work.now, **outcome)
        .on_conflict_do_update(
            index_elements=["code_hash"], set_=outcome, where=LoginAttempt.session_id.is_(None)
        )
        .returning(LoginAttempt.code_hash)
    )
    if completed is None:  # we were so slow that another request took over, and it was quicker
        raise LoginInProgress
    opened = OpenSession(person_id, session.id, token)
    audit.record(work.session, work.now, _ACTION, actor=opened)
    return LogIn(opened, is_new, read_me(work, person_id))


def _person_of(work: Work, account: WeChatSession) -> tuple[UUID, PersonStatus, bool]:
    """Return the person of a WeChat account, created if need be, whether they may use it, and whether they were created now."""
    key = (WeChatAccount.appid == work.settings.wechat_appid, WeChatAccount.openid == account.openid)
    known = (
        select(WeChatAccount.person_id, WeChatAccount.unionid, Person.status)
        .join(Person, Person.id == WeChatAccount.person_id)
        .where(*key)
    )
    row = work.session.execute(known).one_or_none()
    if row is None:
        person_id = _create_person(work, account)
        if person_id is not None:
            return person_id, PersonStatus.ACTIVE, True
        row = work.session.execute(known).one()  # created by a parallel log-in, which has committed by now
    if account.unionid and account.unionid != row.unionid:
        work.session.execute(update(WeChatAccount).where(*key).values(unionid=account.unionid))
    return row.person_id, row.status, False


def _create_person(work: Work, account: WeChatSession) -> UUID | None:
    person = Person(created_at=work.now, updated_at=work.now)
    work.session.add(person)
    work.session.flush()
    linked = work.session.scalar(
        upserting(work.session, WeChatAccount)
        .values(
            appid=work.settings.wechat_appid,
            openid=account.openid,
            unionid=account.unionid,
            person_id=person.id,
            linked_at=work.now,
        )
        .on_conflict_do_nothing()
        .returning(WeChatAccount.person_id)
    )
    if linked is None:
        work.session.delete(person)
        work.session.flush()
        return None
    return person.id
