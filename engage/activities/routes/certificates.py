"""Operations of certificates of service hours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from engage.activities.errors import (
    CertificateSuperseded,
    NoHoursToCertify,
    NoSuchCertificate,
    TooManyHoursToCertify,
)
from engage.activities.queries import certificates as queries
from engage.activities.schemas.hours import (
    CertificateCardOut,
    CertificateCheckOut,
    CertificateIn,
    CertificateOut,
    CertificatePage,
)
from engage.activities.service import certificates as service
from engage.core.http import Api, Binary, public
from engage.core.lockout import By, Gate
from engage.core.replies import NO_STORE
from engage.core.schemas import PageQuery
from engage.identity.caller import member
from engage.identity.errors import ProfileIncomplete

if TYPE_CHECKING:
    from uuid import UUID

    from engage.core.db import Look, Work
    from engage.core.paging import Page

api: Final = Api("时长证明 · Certificates")
_CHECK: Final = Gate("certificate", By.ADDRESS, (NoSuchCertificate,), lets_good_pass=True)


@api.operation(
    "POST", "/me/hours-certificates", access=member, zh="开具时长证明", body=CertificateIn, returns=CertificateCardOut, status=201,
    refuses=[ProfileIncomplete, NoHoursToCertify, TooManyHoursToCertify], idempotent=True, location="/me/hours-certificates/{id}",
)  # fmt: skip
def issue_certificate(work: Work, body: dict[str, Any]) -> dict[str, Any]:
    """Issue a certificate of the caller's hours, of all or of a period."""
    return service.issue(work, body["from_on"], body["until_on"])


@api.operation(
    "GET",
    "/me/hours-certificates",
    access=member,
    zh="我的时长证明",
    query=PageQuery,
    returns=CertificatePage,
)
def list_my_certificates(look: Look, query: dict[str, Any]) -> Page:
    """List the caller's certificates, the latest first."""
    return queries.list_my_certificates(look, query)


@api.operation(
    "GET", "/me/hours-certificates/{certificate_id}", access=member, zh="时长证明详情", returns=CertificateOut,
    refuses=[NoSuchCertificate],
)  # fmt: skip
def read_my_certificate(look: Look, certificate_id: UUID) -> dict[str, Any]:
    """Read one of the caller's certificates, with the code by which others check it."""
    return queries.my_certificate(look, certificate_id)


@api.operation(
    "GET", "/me/hours-certificates/{certificate_id}/document", access=member, zh="下载时长证明（PDF）",
    binary=Binary("application/pdf", "service-hours.pdf"), refuses=[NoSuchCertificate, CertificateSuperseded],
    cache=NO_STORE,
)  # fmt: skip
def download_certificate(look: Look, certificate_id: UUID) -> bytes:
    """Download a certificate as PDF, A4, with its fonts."""
    return service.draw(look, certificate_id)


@api.operation(
    "GET", "/certificates/{verification_code}", access=public, zh="核验时长证明", returns=CertificateCheckOut,
    refuses=[NoSuchCertificate], gate=_CHECK,
)  # fmt: skip
def check_certificate(look: Look, verification_code: str) -> dict[str, Any]:
    """Check a certificate by the code printed on it.

    任何人凭核验码可查，不显示个人信息；大小写、空格和连字符不影响。
    Open to anybody who holds the code, without personal data; case, blanks and hyphens do not matter.
    """
    return queries.check_certificate(look, verification_code)
