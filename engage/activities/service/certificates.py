"""Certificates of service hours: issuing one, and drawing it as PDF."""

from __future__ import annotations

import base64
import json
import os
from datetime import timedelta
from functools import partial
from importlib import resources
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import segno
import typst
from sqlalchemy import case, func, insert, select

from engage.activities.errors import CertificateSuperseded, NoHoursToCertify, TooManyHoursToCertify
from engage.activities.models import (
    Activity,
    CertificateStatus,
    HoursCertificate,
    HoursCertificateEntry,
    HoursEntry,
)
from engage.activities.models.hours import CODE_PURPOSE, hash_of_code
from engage.activities.queries.certificates import my_certificate, read_card
from engage.activities.queries.hours import is_in_force
from engage.activities.service.hours import hold_accounts
from engage.activities.service.typeface import fonts, legible
from engage.core import ids
from engage.core.clock import day_start, shanghai_day
from engage.identity.errors import ProfileIncomplete
from engage.orgs.models import Org, OrgPath

if TYPE_CHECKING:
    from datetime import date, datetime

    from engage.core.db import Look, Work

MAX_ACTIVITIES: Final = 500  # on one certificate
_CODE_BYTES: Final = 15  # 120 random bits: 24 characters of Base32
_GROUP: Final = 4
_TEMPLATE: Final = resources.files("engage.activities.service").joinpath("certificate.typ").read_bytes()
_FOR_ARCHIVES: Final = "a-2a"  # PDF/A, tagged, so that it can be read aloud


def issue(work: Work, from_on: date | None, until_on: date | None) -> dict[str, Any]:
    """Certify the caller's hours of a period; without its first or last day, from the earliest or up to the latest.

    Raises:
        ProfileIncomplete: the caller has no name.
        NoHoursToCertify: there are none in force.
        TooManyHoursToCertify: more than fit a certificate.

    """
    if work.actor.name is None:
        raise ProfileIncomplete
    hold_accounts(work, [work.actor.id])
    entries = _to_certify(work, from_on, until_on)
    code = _new_code()
    certificate = HoursCertificate(
        id=ids.new_id(),
        person_id=work.actor.id,
        holder_name=work.actor.name,
        issuer_name=_issuer(work, [row.activity_id for row in entries]),
        from_on=from_on or shanghai_day(entries[0].from_at),
        until_on=until_on or shanghai_day(entries[-1].from_at),
        code_hash=hash_of_code(code),
        code_sealed=work.settings.keyring.seal(code, CODE_PURPOSE),
        issued_at=work.now,
    )
    work.session.add(certificate)
    work.session.flush()
    work.session.execute(
        insert(HoursCertificateEntry),
        [
            {"certificate_id": certificate.id, "entry_id": row.id, "person_id": work.actor.id}
            for row in entries
        ],
    )
    return read_card(work, certificate.id)


def _to_certify(work: Work, from_on: date | None, until_on: date | None) -> list[Any]:
    statement = select(HoursEntry.id, HoursEntry.activity_id, HoursEntry.from_at)
    statement = statement.where(HoursEntry.person_id == work.actor.id, is_in_force())
    if from_on:
        statement = statement.where(HoursEntry.from_at >= day_start(from_on))
    if until_on:
        statement = statement.where(HoursEntry.from_at < day_start(until_on + timedelta(days=1)))
    entries = list(work.session.execute(statement.order_by(HoursEntry.from_at).limit(MAX_ACTIVITIES + 1)))
    if not entries:
        raise NoHoursToCertify
    if len(entries) > MAX_ACTIVITIES:
        raise TooManyHoursToCertify(max=MAX_ACTIVITIES)
    return entries


def _new_code() -> str:
    text = base64.b32encode(os.urandom(_CODE_BYTES)).decode()
    return "-".join(text[start : start + _GROUP] for start in range(0, len(text), _GROUP))


def _issuer(work: Work, activity_ids: list[UUID]) -> str:
    """Return the name of the committee nearest above the organisations of all these activities."""
    of_activities = select(Activity.org_id).where(Activity.id.in_(activity_ids))
    name = work.session.scalar(
        select(Org.name)
        .join(OrgPath, OrgPath.ancestor_id == Org.id)
        .where(OrgPath.descendant_id.in_(of_activities))
        .group_by(Org.id, Org.name, Org.kind_code)
        .order_by(
            func.count().desc(), case((Org.kind_code == "committee", 0), else_=1), func.sum(OrgPath.depth)
        )
        .limit(1)
    )
    return str(name)


def draw(look: Look, certificate_id: UUID) -> bytes:
    """Return one of the caller's certificates as PDF: the same bytes every time, with 〓 for characters that the font lacks.

    Raises:
        NoSuchCertificate: there is none, or it is somebody else's.
        CertificateSuperseded: hours on it were reversed.

    """
    certificate = my_certificate(look, certificate_id)
    if certificate["status"] is CertificateStatus.SUPERSEDED:
        raise CertificateSuperseded
    return _typeset(legible(json.dumps(_printed(certificate), ensure_ascii=False)), certificate["issued_at"])


def _typeset(values: str, issued_at: datetime) -> bytes:
    make: Any = partial(
        typst.compile,
        _TEMPLATE,
        font_paths=fonts(),
        format="pdf",
        sys_inputs={"certificate": values},
        timestamp=int(issued_at.timestamp()),
    )
    try:
        return bytes(make(pdf_standards=_FOR_ARCHIVES))
    except typst.TypstError:
        # Something that only the archive forbids: who needs their hours needs them printed all the same.
        return bytes(make())


def _printed(certificate: dict[str, Any]) -> dict[str, Any]:
    """Return the values of the template, as people read them."""
    hours, minutes = divmod(certificate["total_minutes"], 60)
    url = certificate["verification_url"] or certificate["verification_code"]
    return {
        "number": certificate["number"],
        "holder_name": certificate["holder_name"],
        "issuer_name": certificate["issuer_name"],
        "code": certificate["verification_code"],
        "address": certificate["verification_url"] or "",
        "qr": segno.make(url, error="m", micro=False).svg_inline(),
        "total_zh": f"{hours} 小时 {minutes} 分钟" if minutes else f"{hours} 小时",
        "total_en": f"{hours} h {minutes} min" if minutes else f"{hours} h",
        "total_short": _clock(certificate["total_minutes"]),
        **{name: certificate[name].isoformat() for name in ("from_on", "until_on", "issued_on")},
        "from_zh": _chinese_day(certificate["from_on"]),
        "until_zh": _chinese_day(certificate["until_on"]),
        "issued_zh": _chinese_day(certificate["issued_on"]),
        "items": [
            {
                "title": activity["title"],
                "date": activity["held_on"].isoformat(),
                "time": _clock(activity["minutes"]),
                "made_up": activity["made_up"],
            }
            for activity in certificate["activities"]
        ],
    }


def _clock(minutes: int) -> str:
    return f"{minutes // 60}:{minutes % 60:02}"


def _chinese_day(day: date) -> str:
    return f"{day.year}年{day.month}月{day.day}日"
