"""The second factor: enrolling, showing a code, recovery codes, removing; and the privileged session that a code opens.

A wrong code is counted although the request is refused, so showing one is an errand: what it wrote stays, and the refusal is raised after it.
"""

from __future__ import annotations

import math
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, TypeVar

from sqlalchemy import delete, func, select, update

from engage.core import audit
from engage.core.db import upserting
from engage.core.errors import DomainError, raised
from engage.identity.errors import (
    NoSuchPerson,
    SecondFactorCodeUsed,
    SecondFactorCodeWrong,
    SecondFactorEnrolled,
    SecondFactorLocked,
    SecondFactorMissing,
    SecondFactorNotBegun,
    SessionEnded,
    WeChatProofRefused,
)
from engage.identity.gateway import prove_account
from engage.identity.models import (
    BEGUN_FOR,
    AuthSession,
    Person,
    RecoveryCode,
    SecondFactor,
    second_factor_purpose,
)
from engage.identity.queries import has_second_factor, openid_of
from engage.identity.service.notices import Notice, tell
from engage.identity.tokens.second_factor import (
    hash_of_recovery_code,
    new_recovery_codes,
    new_secret,
    otpauth_uri,
    step_of,
    totp_of,
)

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy import ColumnElement

    from engage.core.db import Errand, Work
    from engage.wechat.gateway import WeChatGateway

MAX_FAILURES: Final = 5
LOCK: Final = timedelta(minutes=15)
_MINUTE: Final = timedelta(minutes=1)

R = TypeVar("R")


def begin_second_factor(errand: Errand, gateway: WeChatGateway, wechat_code: str) -> dict[str, Any]:
    """Make a secret for the caller, shown this once; it counts when its first code is shown.

    Whoever asks must be using the person's own WeChat at this moment: a stolen access token alone enrols nothing. One begun earlier is void.

    Raises:
        SecondFactorEnrolled: the caller has one.
        WeChatProofRefused: the code of ``wx.login`` is not good, or is somebody else's.
        WeChatAccountBlocked: WeChat has restricted the account.
        WeChatUnavailable: WeChat cannot be reached or is busy.
        WeChatNotConfigured: WeChat refuses our credentials.

    """
    with errand.look() as look:
        if has_second_factor(look.db, look.actor.id):
            raise SecondFactorEnrolled
        openid = openid_of(look, look.actor.id)
    try:
        prove_account(gateway, wechat_code, openid)
    except WeChatProofRefused as refusal:
        with errand.work() as work:
            _record(work, "begin_second_factor", refusal)
        raise
    with errand.work() as work:
        return _begin(work)


def _begin(work: Work) -> dict[str, Any]:
    person_id, secret = work.actor.id, new_secret()
    fresh = {
        "secret_sealed": work.settings.keyring.seal(secret, second_factor_purpose(person_id)),
        "begun_at": work.now,
        "last_step": None,
        "failures": 0,
        "locked_until": None,
    }
    begun = work.session.scalar(
        upserting(work.session, SecondFactor)
        .values(person_id=person_id, **fresh)
        .on_conflict_do_update(
            index_elements=["person_id"], set_=fresh, where=SecondFactor.confirmed_at.is_(None)
        )
        .returning(SecondFactor.person_id)
    )
    if begun is None:
        raise SecondFactorEnrolled
    _record(work, "begin_second_factor")
    name = work.session.scalar(select(Person.name).where(Person.id == person_id))
    return {
        "secret": secret,
        "otpauth_uri": otpauth_uri(secret, name or str(person_id)),
        "expires_at": work.now + BEGUN_FOR,
    }


def confirm_second_factor(errand: Errand, code: str) -> dict[str, Any]:
    """Let a factor count whose first code is shown; return its recovery codes, the only time that they are.

    Raises:
        SecondFactorNotBegun: none waits for its first code.
        SecondFactorEnrolled: it counts already.
        SecondFactorCodeWrong, SecondFactorLocked: as ``open_privileged_session``.
        SessionEnded: the session has ended meanwhile.

    """
    with errand.work() as work:
        audit.watch(work.session)
        outcome = _recorded(work, "confirm_second_factor", _confirm(work, code))
    return raised(outcome)


def _confirm(work: Work, code: str) -> dict[str, Any] | DomainError:
    factor = _lock(work, work.actor.id)
    if factor is not None and factor.confirmed_at is not None:
        return SecondFactorEnrolled()
    if factor is None or factor.begun_at <= work.now - BEGUN_FOR:
        return SecondFactorNotBegun(minutes=BEGUN_FOR // _MINUTE)
    refusal = _take(work, factor, code)
    if refusal is not None:
        return refusal
    factor.confirmed_at = work.now
    work.session.flush()
    tell(work, factor.person_id, Notice.SECOND_FACTOR_ENROLLED, factor.person_id)
    return {"recovery_codes": _new_recovery_codes(work), "privileged_until": _privilege(work)}


def open_privileged_session(errand: Errand, code: str) -> dict[str, Any]:
    """Make the caller's session privileged for a while by a code of their factor, TOTP or recovery.

    Raises:
        SecondFactorMissing: the caller has no factor.
        SecondFactorCodeWrong: it is no code of now, nor a recovery code.
        SecondFactorCodeUsed: it was taken before, or a newer one was.
        SecondFactorLocked: five codes in a row were wrong; for a while none is looked at.
        SessionEnded: the session has ended meanwhile.

    """
    with errand.work() as work:
        audit.watch(work.session)
        outcome = _recorded(work, "open_privileged_session", _open(work, code))
    return raised(outcome)


def _open(work: Work, code: str) -> dict[str, Any] | DomainError:
    factor = _lock(work, work.actor.id)
    if factor is None or factor.confirmed_at is None:
        return SecondFactorMissing()
    refusal = _take(work, factor, code)
    return refusal or {"privileged_until": _privilege(work)}


def end_privileged_session(work: Work) -> None:
    """Let the caller's session be an ordinary one again; again changes nothing."""
    _let_be_privileged(work, None, AuthSession.id == work.actor.session_id)


def renew_recovery_codes(work: Work) -> dict[str, Any]:
    """Replace all recovery codes of the caller; return the new ones, the only time that they are.

    Raises:
        SecondFactorMissing: the caller has no factor.

    """
    factor = _lock(work, work.actor.id)
    if factor is None or factor.confirmed_at is None:
        raise SecondFactorMissing
    tell(work, factor.person_id, Notice.RECOVERY_CODES_RENEWED, factor.person_id)
    return {"recovery_codes": _new_recovery_codes(work)}


def remove_second_factor(work: Work) -> None:
    """Forget the caller's factor with its recovery codes; no session of theirs is privileged any more.

    Raises:
        SecondFactorMissing: the caller has none.

    """
    if not _forget(work, work.actor.id):
        raise SecondFactorMissing
    tell(work, work.actor.id, Notice.SECOND_FACTOR_REMOVED, work.actor.id)


def reset_second_factor(work: Work, person_id: UUID) -> bool:
    """Forget the factor of somebody who has lost phone and recovery codes; say whether there was one.

    Raises:
        NoSuchPerson: there is none.

    """
    if work.session.get(Person, person_id) is None:
        raise NoSuchPerson
    if not _forget(work, person_id):
        return False
    tell(work, person_id, Notice.SECOND_FACTOR_RESET, person_id)
    return True


def _forget(work: Work, person_id: UUID) -> bool:
    factor = _lock(work, person_id)
    if factor is None:
        return False
    work.session.delete(factor)  # its recovery codes go with it
    work.session.flush()
    _let_be_privileged(
        work, None, AuthSession.person_id == person_id, AuthSession.privileged_until.is_not(None)
    )
    return True


def _lock(work: Work, person_id: UUID) -> SecondFactor | None:
    """Return a person's factor, held until the end: of two requests with the same code one is late."""
    factor: SecondFactor | None = work.session.scalar(
        select(SecondFactor).where(SecondFactor.person_id == person_id).with_for_update()
    )
    return factor


def _take(work: Work, factor: SecondFactor, code: str) -> DomainError | None:
    """Use up a code; return why not, if so. Only what is wrong counts as a failure: a used code was not guessed."""
    if factor.locked_until is not None and factor.locked_until > work.now:
        return _locked(factor.locked_until - work.now)
    digits = totp_of(code)
    taken = _take_totp(work, factor, digits) if digits else _take_recovery_code(work, code)
    if taken is None:
        return _count_failure(work, factor)
    if not taken:
        return SecondFactorCodeUsed()
    factor.failures, factor.locked_until = 0, None
    return None


def _take_totp(work: Work, factor: SecondFactor, digits: str) -> bool | None:
    """Say whether a code could be used: False when it was before, None when it is none."""
    secret = work.settings.keyring.open(factor.secret_sealed, second_factor_purpose(factor.person_id))
    step = step_of(secret, digits, work.now)
    if step is None:
        return None
    if factor.last_step is not None and step <= factor.last_step:
        return False
    factor.last_step = step
    return True


def _take_recovery_code(work: Work, code: str) -> bool | None:
    """As ``_take_totp``."""
    mine = RecoveryCode.person_id == work.actor.id
    found = work.session.scalar(
        select(RecoveryCode).where(mine, RecoveryCode.code_hash == hash_of_recovery_code(code))
    )
    if found is None:
        return None
    if found.used_at is not None:
        return False
    found.used_at = work.now
    work.session.flush()
    left = work.session.scalar(select(func.count()).where(mine, RecoveryCode.used_at.is_(None))) or 0
    tell(work, work.actor.id, Notice.RECOVERY_CODE_USED, work.actor.id, left=str(left))
    return True


def _count_failure(work: Work, factor: SecondFactor) -> DomainError:
    factor.failures += 1
    if factor.failures < MAX_FAILURES:
        return SecondFactorCodeWrong(left=MAX_FAILURES - factor.failures)
    until = work.now + LOCK
    factor.failures, factor.locked_until = 0, until
    tell(work, factor.person_id, Notice.SECOND_FACTOR_LOCKED, factor.person_id, until_at=until.isoformat())
    return _locked(LOCK)


def _locked(rest: timedelta) -> SecondFactorLocked:
    seconds = math.ceil(rest.total_seconds())
    return SecondFactorLocked(retry_after=seconds, minutes=math.ceil(seconds / _MINUTE.total_seconds()))


def _privilege(work: Work) -> datetime:
    until: datetime = work.now + work.settings.privileged_life
    mine = (AuthSession.id == work.actor.session_id, AuthSession.ended_at.is_(None))
    if not _let_be_privileged(work, until, *mine):
        raise SessionEnded
    return until


def _let_be_privileged(work: Work, until: datetime | None, *which: ColumnElement[bool]) -> int:
    """Let sessions be privileged until then, or not any more; return how many there are."""
    found = work.session.execute(
        select(AuthSession.id, AuthSession.privileged_until)
        .where(*which)
        .order_by(AuthSession.id)
        .with_for_update(key_share=True)
    ).all()
    work.session.execute(
        update(AuthSession)
        .where(AuthSession.id.in_([session_id for session_id, _ in found]))
        .values(privileged_until=until)
        .execution_options(synchronize_session=False)
    )
    for session_id, before in found:
        values = [{"privileged_until": instant} for instant in (before, until)]
        audit.changed(work, AuthSession.__tablename__, session_id, before=values[0], after=values[1])
    return len(found)


def _new_recovery_codes(work: Work) -> list[str]:
    codes, person_id = new_recovery_codes(), work.actor.id
    work.session.execute(delete(RecoveryCode).where(RecoveryCode.person_id == person_id))
    work.session.add_all(
        RecoveryCode(person_id=person_id, code_hash=hash_of_recovery_code(code)) for code in codes
    )
    work.session.flush()
    return codes


def _record(work: Work, action: str, refusal: DomainError | None = None) -> None:
    result = refusal.code if refusal else audit.DONE
    audit.record(work.session, work.now, action, actor=work.actor, kind="second-factor", result=result)


def _recorded(work: Work, action: str, outcome: R | DomainError) -> R | DomainError:
    _record(work, action, outcome if isinstance(outcome, DomainError) else None)
    return outcome
