"""Reads of people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import and_, bindparam, exists, func, select
from sqlalchemy.orm import aliased

from engage.core.paging import Page, Pager, beyond
from engage.identity.models import (
    BEGUN_FOR,
    PHONE_PURPOSE,
    AuthSession,
    Person,
    RecoveryCode,
    SecondFactor,
    SecondFactorState,
    WeChatAccount,
    mask_phone,
)
from engage.regions.models import Division

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy import ColumnElement, Connection
    from sqlalchemy.orm import Session

    from engage.core.db import Context

_hometown, _current = aliased(Division), aliased(Division)
_COMPLETE: Final = and_(
    *(
        column.is_not(None)
        for column in (Person.name, Person.gender, Person.birth_on, Person.hometown_code, Person.current_code)
    )
).label("is_complete")
_PROFILE: Final = (
    select(
        Person.id,
        Person.name,
        Person.gender,
        Person.birth_on,
        Person.phone_sealed,
        Person.created_at,
        _hometown.code.label("hometown_code"),
        _hometown.name.label("hometown_name"),
        _current.code.label("current_code"),
        _current.name.label("current_name"),
        _COMPLETE,
    )
    .outerjoin(_hometown, _hometown.code == Person.hometown_code)
    .outerjoin(_current, _current.code == Person.current_code)
    .where(Person.id == bindparam("person_id"))
)


def read_me(look: Context, person_id: UUID) -> dict[str, Any]:
    """Return what a person sees of themselves; the phone number only masked."""
    row = look.db.execute(_PROFILE, {"person_id": person_id}).one()
    phone = look.settings.keyring.open(row.phone_sealed, PHONE_PURPOSE) if row.phone_sealed else None
    return {
        "id": row.id,
        "name": row.name,
        "gender": row.gender,
        "birth_on": row.birth_on,
        "hometown": _reference(row.hometown_code, row.hometown_name),
        "current": _reference(row.current_code, row.current_name),
        "phone_masked": mask_phone(phone) if phone else None,
        "profile_complete": row.is_complete,
        "created_at": row.created_at,
    }


def read_greeting(look: Context, person_id: UUID) -> dict[str, Any]:
    """Return a person's name and whether their profile is complete. One statement."""
    name, is_complete = look.db.execute(select(Person.name, _COMPLETE).where(Person.id == person_id)).one()
    return {"name": name, "profile_complete": is_complete}


def _reference(code: str | None, name: str | None) -> dict[str, str | None] | None:
    return {"code": code, "name": name} if code else None


def openid_of(look: Context, person_id: UUID) -> str | None:
    """Return the person's openid in this mini program, None for someone who never came through WeChat."""
    return look.db.scalar(
        select(WeChatAccount.openid)
        .where(WeChatAccount.person_id == person_id, WeChatAccount.appid == look.settings.wechat_appid)
        .order_by(WeChatAccount.linked_at.desc())
        .limit(1)
    )


def has_second_factor(db: Connection | Session, person_id: UUID) -> bool:
    """Say whether a person has a second factor that counts."""
    enrolled = exists().where(SecondFactor.person_id == person_id, SecondFactor.confirmed_at.is_not(None))
    return bool(db.scalar(select(enrolled)))


def read_second_factor(look: Context) -> dict[str, Any]:
    """Return how it stands with the caller's second factor, and until when this session is privileged. One statement."""
    left = select(func.count()).where(
        RecoveryCode.person_id == SecondFactor.person_id, RecoveryCode.used_at.is_(None)
    )
    row = look.db.execute(
        select(
            SecondFactor.begun_at,
            SecondFactor.confirmed_at,
            SecondFactor.locked_until,
            left.scalar_subquery().label("left"),
        ).where(SecondFactor.person_id == look.actor.id)
    ).one_or_none()
    return {
        "state": _state(look, row),
        "enrolled_at": row.confirmed_at if row else None,
        "recovery_codes_left": row.left if row else 0,
        "locked_until": _ahead(look, row.locked_until if row else None),
        "privileged_until": _ahead(look, look.actor.privileged_until),
    }


def _state(look: Context, row: Any) -> SecondFactorState:
    if row is not None and row.confirmed_at is not None:
        return SecondFactorState.ENROLLED
    waits = row is not None and row.begun_at > look.now - BEGUN_FOR
    return SecondFactorState.BEGUN if waits else SecondFactorState.NONE


def _ahead(look: Context, instant: datetime | None) -> datetime | None:
    return instant if instant is not None and instant > look.now else None


def live_sessions(look: Context) -> tuple[ColumnElement[bool], ...]:
    """Return the conditions that a session is the caller's and goes on."""
    return (
        AuthSession.person_id == look.actor.id,
        AuthSession.ended_at.is_(None),
        AuthSession.expires_at > look.now,
    )


def list_my_sessions(look: Context, query: dict[str, Any]) -> Page:
    """Return the caller's live sessions, the newest log-in first. One statement."""
    pager = Pager(look.settings, "sessions", query)
    statement = select(
        AuthSession.id,
        AuthSession.created_at,
        func.coalesce(AuthSession.refreshed_at, AuthSession.created_at).label("last_used_at"),
        AuthSession.expires_at,
        AuthSession.device,
        AuthSession.method,
        (AuthSession.id == look.actor.session_id).label("is_current"),
    ).where(*live_sessions(look))
    after = pager.after()
    if after:
        statement = statement.where(beyond([AuthSession.id], after, descending=True))
    rows = look.db.execute(statement.order_by(AuthSession.id.desc()).limit(query["limit"] + 1)).all()
    return pager.page(rows, lambda row: [row.id])
