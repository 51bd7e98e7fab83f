"""Reads of certificates: their owner's, and the public check by verification code."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from sqlalchemy import Select, exists, func, select
from sqlalchemy.orm import aliased

from engage.activities.errors import NoSuchCertificate
from engage.activities.models import (
    Activity,
    CertificateStatus,
    HoursCertificate,
    HoursCertificateEntry,
    HoursEntry,
    HoursKind,
)
from engage.activities.models.hours import CODE_PURPOSE, hash_of_code
from engage.core.clock import shanghai_day
from engage.core.paging import Page, Pager

if TYPE_CHECKING:
    from engage.core.db import Context

_Back: Final = aliased(HoursEntry)


def _certificates() -> Select[Any]:
    of_it = HoursCertificateEntry.certificate_id == HoursCertificate.id
    listed = (
        select(func.sum(HoursEntry.minutes))
        .join(HoursCertificateEntry, HoursCertificateEntry.entry_id == HoursEntry.id)
        .where(of_it)
        .correlate(HoursCertificate)
    )
    return select(
        HoursCertificate.id,
        HoursCertificate.holder_name,
        HoursCertificate.issuer_name,
        HoursCertificate.from_on,
        HoursCertificate.until_on,
        HoursCertificate.issued_at,
        HoursCertificate.code_sealed,
        listed.scalar_subquery().label("total_minutes"),
        listed.with_only_columns(func.count()).scalar_subquery().label("activity_count"),
        exists()
        .where(of_it, _Back.reverses_id == HoursCertificateEntry.entry_id)
        .correlate(HoursCertificate)
        .label("superseded"),
    )


def _card(row: Any) -> dict[str, Any]:
    issued_on = shanghai_day(row.issued_at)
    return {
        "id": row.id,
        # The last digits of a UUIDv7 are random: the number tells nothing of how many certificates there are.
        "number": f"{issued_on.year}-{row.id.hex[-10:].upper()}",
        "status": CertificateStatus.SUPERSEDED if row.superseded else CertificateStatus.VALID,
        "holder_name": row.holder_name,
        "issuer_name": row.issuer_name,
        "issued_on": issued_on,
        "from_on": row.from_on,
        "until_on": row.until_on,
        "total_minutes": row.total_minutes,
        "activity_count": row.activity_count,
    }


def list_my_certificates(look: Context, query: dict[str, Any]) -> Page:
    """Return the caller's certificates, the latest first."""
    pager = Pager(look.settings, "my-certificates", query)
    statement = _certificates().where(HoursCertificate.person_id == look.actor.id)
    after = pager.after()
    if after:
        statement = statement.where(HoursCertificate.id < after[0])
    rows = look.db.execute(statement.order_by(HoursCertificate.id.desc()).limit(query["limit"] + 1)).all()
    return pager.page([_card(row) for row in rows], lambda item: [item["id"]])


def read_card(look: Context, certificate_id: UUID) -> dict[str, Any]:
    """Return a certificate as lists show it; the caller has been checked before."""
    return _card(look.db.execute(_certificates().where(HoursCertificate.id == certificate_id)).one())


def my_certificate(look: Context, certificate_id: UUID) -> dict[str, Any]:
    """Return one of the caller's certificates with its activities, its code and where to check it.

    Raises:
        NoSuchCertificate: there is none, or it is somebody else's.

    """
    row = look.db.execute(
        _certificates().where(
            HoursCertificate.id == certificate_id, HoursCertificate.person_id == look.actor.id
        )
    ).one_or_none()
    if row is None:
        raise NoSuchCertificate
    code = look.settings.keyring.open(row.code_sealed, CODE_PURPOSE)
    base = look.settings.public_url
    return {
        **_card(row),
        "issued_at": row.issued_at,
        "verification_code": code,
        "verification_url": f"{base}/v1/certificates/{code}" if base else None,
        "activities": _activities_on(look, certificate_id),
    }


def _activities_on(look: Context, certificate_id: UUID) -> list[dict[str, Any]]:
    rows = look.db.execute(
        select(Activity.id, Activity.title, HoursEntry.from_at, HoursEntry.minutes, HoursEntry.kind)
        .join(HoursEntry, HoursEntry.activity_id == Activity.id)
        .join(HoursCertificateEntry, HoursCertificateEntry.entry_id == HoursEntry.id)
        .where(HoursCertificateEntry.certificate_id == certificate_id)
        .order_by(HoursEntry.from_at, HoursEntry.id)
    )
    return [
        {
            "activity_id": row.id,
            "title": row.title,
            "held_on": shanghai_day(row.from_at),
            "minutes": row.minutes,
            "made_up": row.kind is HoursKind.CORRECTION,
        }
        for row in rows
    ]


def check_certificate(look: Context, code: str) -> dict[str, Any]:
    """Return what anybody who holds a verification code may know; nothing about the person.

    Every code, whatever it looks like, is hashed and looked up, and refused in the same words.

    Raises:
        NoSuchCertificate: no certificate has this code.

    """
    row = look.db.execute(
        _certificates().where(HoursCertificate.code_hash == hash_of_code(code))
    ).one_or_none()
    if row is None:
        raise NoSuchCertificate
    return _card(row)
