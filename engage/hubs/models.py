"""Hubs: places and bodies of the League that young people can find."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from engage.core.columns import enum_column
from engage.core.db import Base, Entity, Versioned


class HubStatus(StrEnum):
    ACTIVE = "active"
    SUSPENDED = "suspended"
    CLOSED = "closed"


class HubKind(Base):
    """A kind of hub: data, so that a new kind needs no release."""

    __tablename__ = "hub_kind"
    code: Mapped[str] = mapped_column(String(40), primary_key=True)
    name_zh: Mapped[str] = mapped_column(String(40))
    name_en: Mapped[str] = mapped_column(String(80))


class Hub(Entity, Versioned):
    """A hub. Position in GCJ-02; ``opening_hours`` is a list of {weekday 1-7, opens, closes}."""

    __tablename__ = "hub"
    audited = ("name", "kind_code", "org_id", "division_code", "county_code", "status")
    __table_args__ = (
        CheckConstraint("(lat IS NULL) = (lng IS NULL)", name="point_is_whole"),
        CheckConstraint("lat BETWEEN -90 AND 90 AND lng BETWEEN -180 AND 180", name="point_on_earth"),
        Index("ix_hub_lat_lng", "lat", "lng"),
        Index("ix_hub_county_code_name", "county_code", "name"),
        Index("ix_hub_org_id", "org_id"),
        Index("uq_hub_external_ref", "external_ref", unique=True),
    )
    name: Mapped[str] = mapped_column(String(80))
    kind_code: Mapped[str] = mapped_column(ForeignKey("hub_kind.code"))
    org_id: Mapped[UUID] = mapped_column(ForeignKey("org.id"))
    division_code: Mapped[str] = mapped_column(
        ForeignKey("division.code")
    )  # where it stands, as fine as known
    county_code: Mapped[str] = mapped_column(
        ForeignKey("division.code")
    )  # the county whose figures it counts in
    address: Mapped[str | None] = mapped_column(String(200))
    lat: Mapped[float | None]
    lng: Mapped[float | None]
    contact_name: Mapped[str | None] = mapped_column(String(40))
    contact_phone: Mapped[str | None] = mapped_column(String(20))  # the hub's office line, public
    description: Mapped[str | None] = mapped_column(String(2000))
    opening_hours: Mapped[list[dict[str, Any]]]
    services: Mapped[list[str]]
    status: Mapped[HubStatus] = mapped_column(enum_column(HubStatus, "hub_status"), default=HubStatus.ACTIVE)
    external_ref: Mapped[str | None] = mapped_column(String(64))
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
