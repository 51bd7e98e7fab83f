"""People and their sessions."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Final
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, LargeBinary, String, text
from sqlalchemy.orm import Mapped, mapped_column

from engage.core.columns import enum_column
from engage.core.config import TokenAlgorithm
from engage.core.db import Base, Entity

PHONE_PURPOSE: Final = "person.phone"
MAX_DEVICE_CHARS: Final = 40
MAX_KEY_NAME_CHARS: Final = 60
BEGUN_FOR: Final = timedelta(minutes=30)  # so long a second factor waits for its first code
_CHINA: Final = "+86"
_LONG_NUMBER: Final = 8


class Gender(StrEnum):
    MALE = "male"
    FEMALE = "female"


class PersonStatus(StrEnum):
    ACTIVE = "active"
    SUSPENDED = "suspended"
    CLOSED = "closed"


class SessionEnd(StrEnum):
    LOGGED_OUT = "logged_out"
    REFRESH_REUSED = "refresh_reused"


class SecondFactorState(StrEnum):
    NONE = "none"
    BEGUN = "begun"  # waits for its first code
    ENROLLED = "enrolled"


class LoginMethod(StrEnum):
    """How a session began: in the mini program, or on a web page that showed a QR code to a phone."""

    WECHAT = "wechat"
    QR = "qr"


class TicketState(StrEnum):
    """What became of a QR code: decided once, by a phone, then used once, by the page that shows it."""

    PENDING = "pending"
    CONFIRMED = "confirmed"
    REJECTED = "rejected"
    USED = "used"


class Person(Entity):
    """Somebody known to the service. The phone number is sealed; its keyed hash finds equal numbers."""

    __tablename__ = "person"
    audited = ("status",)
    __table_args__ = (
        Index("ix_person_phone_hash", "phone_hash"),
        Index(
            "ix_person_inactive",
            "id",
            postgresql_where=text("status <> 'active'"),
            sqlite_where=text("status <> 'active'"),
        ),
    )
    name: Mapped[str | None] = mapped_column(String(40))
    gender: Mapped[Gender | None] = mapped_column(enum_column(Gender, "gender"))
    birth_on: Mapped[date | None]
    hometown_code: Mapped[str | None] = mapped_column(ForeignKey("division.code"))
    current_code: Mapped[str | None] = mapped_column(ForeignKey("division.code"))
    phone_sealed: Mapped[bytes | None]
    phone_hash: Mapped[bytes | None] = mapped_column(LargeBinary(32))
    status: Mapped[PersonStatus] = mapped_column(
        enum_column(PersonStatus, "person_status"), default=PersonStatus.ACTIVE
    )
    is_synthetic: Mapped[bool] = mapped_column(default=False)
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


class WeChatAccount(Base):
    """The WeChat user of one mini program who is this person. Both ids are opaque and case-sensitive."""

    __tablename__ = "wechat_account"
    __table_args__ = (Index("ix_wechat_account_person_id", "person_id"),)
    appid: Mapped[str] = mapped_column(String(64), primary_key=True)
    openid: Mapped[str] = mapped_column(String(64), primary_key=True)
    unionid: Mapped[str | None] = mapped_column(String(64))
    person_id: Mapped[UUID] = mapped_column(ForeignKey("person.id"))
    linked_at: Mapped[datetime]


class AuthSession(Entity):
    """One log-in and all refresh tokens that descend from it. It ends without a reason of its own when the account is stopped.

    Of the device only what a person needs to know it again is kept: words of a closed list (``device_of``), no address.
    """

    __tablename__ = "auth_session"
    __table_args__ = (
        Index("ix_auth_session_person_id", "person_id"),
        Index("ix_auth_session_expires_at", "expires_at"),
    )
    person_id: Mapped[UUID] = mapped_column(ForeignKey("person.id"))
    created_at: Mapped[datetime]
    refreshed_at: Mapped[datetime | None]
    expires_at: Mapped[datetime]
    device: Mapped[str | None] = mapped_column(String(MAX_DEVICE_CHARS))
    method: Mapped[LoginMethod] = mapped_column(
        enum_column(LoginMethod, "login_method"),
        default=LoginMethod.WECHAT,
        server_default=LoginMethod.WECHAT.value,
    )
    ended_at: Mapped[datetime | None]
    end_reason: Mapped[SessionEnd | None] = mapped_column(enum_column(SessionEnd, "session_end"))
    privileged_until: Mapped[datetime | None]  # the second factor was shown in this session


class RefreshToken(Base):
    """A refresh token by its SHA-256; ``replaced_at`` is set when it is rotated."""

    __tablename__ = "refresh_token"
    __table_args__ = (Index("ix_refresh_token_session_id", "session_id"),)
    token_hash: Mapped[bytes] = mapped_column(LargeBinary(32), primary_key=True)
    session_id: Mapped[UUID] = mapped_column(ForeignKey("auth_session.id", ondelete="CASCADE"))
    issued_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    replaced_at: Mapped[datetime | None]


class SigningKey(Base):
    """A key that signs access tokens from an instant on; its 32 bytes are sealed under ``signing_key_purpose``.

    Without bytes it is the one derived from ``ENGAGE_SECRET_KEY``, which has a row only once another one has taken over.
    """

    __tablename__ = "signing_key"
    audited = ("kid", "algorithm", "signs_from", "verifies_until")
    kid: Mapped[str] = mapped_column(String(32), primary_key=True)
    algorithm: Mapped[TokenAlgorithm] = mapped_column(enum_column(TokenAlgorithm, "token_algorithm"))
    seed_sealed: Mapped[bytes | None]
    created_at: Mapped[datetime]
    signs_from: Mapped[datetime]
    verifies_until: Mapped[datetime | None]


class ApiKey(Entity):
    """A key with which a script acts for a person who holds a role: by SHA-256, limited to scopes and addresses.

    ``public_id`` is the part of the key that may be shown. While it is rotated the secret before is good until ``previous_until``.
    """

    __tablename__ = "api_key"
    audited = ("public_id", "expires_at", "revoked_at", "previous_until")
    __table_args__ = (
        Index("ix_api_key_person_id_id", "person_id", "id"),
        Index("uq_api_key_public_id", "public_id", unique=True),
        CheckConstraint("expires_at > created_at", name="expires_later"),
        CheckConstraint("(previous_hash IS NULL) = (previous_until IS NULL)", name="previous_whole"),
    )
    person_id: Mapped[UUID] = mapped_column(ForeignKey("person.id"))
    name: Mapped[str] = mapped_column(String(MAX_KEY_NAME_CHARS))
    public_id: Mapped[str] = mapped_column(String(16))
    secret_hash: Mapped[bytes] = mapped_column(LargeBinary(32))
    previous_hash: Mapped[bytes | None] = mapped_column(LargeBinary(32))
    previous_until: Mapped[datetime | None]
    scopes: Mapped[list[str]]
    addresses: Mapped[list[str]]  # networks in CIDR; empty: from anywhere
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    last_used_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]


class SecondFactor(Base):
    """What a person shows beside their log-in: a TOTP secret, sealed under ``second_factor_purpose``. It counts once its first code was shown.

    ``last_step`` is the time step of the newest code that was taken; no code of it or before it is taken again (RFC 6238, 5.2).
    """

    __tablename__ = "second_factor"
    audited = ("confirmed_at", "locked_until")
    __table_args__ = (
        CheckConstraint("confirmed_at IS NULL OR last_step IS NOT NULL", name="confirmed_by_a_code"),
    )
    person_id: Mapped[UUID] = mapped_column(ForeignKey("person.id"), primary_key=True)
    secret_sealed: Mapped[bytes]
    begun_at: Mapped[datetime]
    confirmed_at: Mapped[datetime | None]
    last_step: Mapped[int | None] = mapped_column(BigInteger)
    failures: Mapped[int] = mapped_column(default=0, server_default="0")  # wrong codes one after another
    locked_until: Mapped[datetime | None]


class RecoveryCode(Base):
    """A code for somebody whose phone is lost, by its SHA-256; good once, and only beside the factor."""

    __tablename__ = "recovery_code"
    person_id: Mapped[UUID] = mapped_column(
        ForeignKey("second_factor.person_id", ondelete="CASCADE"), primary_key=True
    )
    code_hash: Mapped[bytes] = mapped_column(LargeBinary(32), primary_key=True)
    used_at: Mapped[datetime | None]


class LoginAttempt(Base):
    """A WeChat code by its hash, so that a repeated log-in within a minute has the same outcome."""

    __tablename__ = "login_attempt"
    __table_args__ = (Index("ix_login_attempt_started_at", "started_at"),)
    code_hash: Mapped[bytes] = mapped_column(LargeBinary(32), primary_key=True)
    started_at: Mapped[datetime]
    session_id: Mapped[UUID | None] = mapped_column(ForeignKey("auth_session.id", ondelete="CASCADE"))
    is_new: Mapped[bool] = mapped_column(default=False)


class LoginTicket(Entity):
    """A QR code on a web page that waits for a phone. Its id is drawn at random: it stands in the code and must not be guessed.

    The page keeps a secret, of which this is the hash; only with it the session that a phone has confirmed is given out. A trigger lets
    tickets be decided once and used once.
    """

    __tablename__ = "login_ticket"
    audited = ("state", "person_id", "session_id")
    __table_args__ = (
        Index("ix_login_ticket_expires_at", "expires_at"),
        Index("ix_login_ticket_phone_session_id", "phone_session_id"),
        Index("uq_login_ticket_session_id", "session_id", unique=True),
        CheckConstraint("expires_at > created_at", name="expires_later"),
        CheckConstraint("decided_at IS NULL OR decided_at < expires_at", name="decided_in_time"),
        CheckConstraint("(state = 'pending') = (decided_at IS NULL)", name="decided_at_an_instant"),
        CheckConstraint(
            "(decided_at IS NULL) = (person_id IS NULL) AND (decided_at IS NULL) = (phone_session_id IS NULL)",
            name="decided_by_somebody",
        ),
        CheckConstraint(
            "(state = 'used') = (session_id IS NOT NULL) AND (state = 'used') = (used_at IS NOT NULL)",
            name="used_for_a_session",
        ),
    )
    secret_hash: Mapped[bytes] = mapped_column(LargeBinary(32))
    device: Mapped[str | None] = mapped_column(String(MAX_DEVICE_CHARS))
    state: Mapped[TicketState] = mapped_column(
        enum_column(TicketState, "ticket_state"), default=TicketState.PENDING
    )
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    decided_at: Mapped[datetime | None]
    person_id: Mapped[UUID | None] = mapped_column(ForeignKey("person.id"))
    phone_session_id: Mapped[UUID | None] = mapped_column(ForeignKey("auth_session.id", ondelete="CASCADE"))
    used_at: Mapped[datetime | None]
    session_id: Mapped[UUID | None] = mapped_column(ForeignKey("auth_session.id", ondelete="CASCADE"))


def mask_phone(e164: str) -> str:
    """Return a phone number with its middle hidden: 138****8000, abroad +852****4567."""
    number = e164.removeprefix(_CHINA)
    if len(number) < _LONG_NUMBER:
        return "****" + number[-2:]
    head = 4 if number.startswith("+") else 3
    return f"{number[:head]}****{number[-4:]}"


def signing_key_purpose(kid: str) -> str:
    """Return the purpose under which the bytes of a signing key are sealed."""
    return f"signing-key:{kid}"


def second_factor_purpose(person_id: UUID) -> str:
    """Return the purpose under which the secret of a person's second factor is sealed: it opens in nobody else's row."""
    return f"second-factor:{person_id}"


# The first word that a User-Agent contains names the device. Tablets before phones, Android before the Linux it names too.
_MACHINES: Final = (
    ("iPad", "iPad"),
    ("iPhone", "iPhone"),
    ("OpenHarmony", "HarmonyOS"),
    ("HarmonyOS", "HarmonyOS"),
    ("Android", "Android"),
    ("Windows", "Windows"),
    ("Macintosh", "Mac"),
    ("Linux", "Linux"),
)
_PROGRAMS: Final = (
    ("wechatdevtools", "WeChat DevTools"),
    ("MicroMessenger", "WeChat"),
    ("Edg/", "Edge"),
    ("Firefox/", "Firefox"),
    ("Chrome/", "Chrome"),
    ("Safari/", "Safari"),
)
_AGENT_CHARS: Final = 1000


def device_of(user_agent: str) -> str | None:
    """Return what a person knows a device by, such as ``iPhone · WeChat``: known words only, so nothing a client wrote is kept."""
    sent = user_agent[:_AGENT_CHARS]
    words = [next((word for sign, word in known if sign in sent), None) for known in (_MACHINES, _PROGRAMS)]
    return " · ".join(word for word in words if word) or None
