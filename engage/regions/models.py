"""Administrative divisions (GB/T 2260 down to counties, statistical codes below)."""

from __future__ import annotations

from enum import StrEnum

from sqlalchemy import CheckConstraint, ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from engage.core.columns import enum_column
from engage.core.db import Base


class DivisionLevel(StrEnum):
    PROVINCE = "province"
    PREFECTURE = "prefecture"
    COUNTY = "county"
    TOWNSHIP = "township"
    VILLAGE = "village"


class SuccessorBasis(StrEnum):
    """Why a retired code is said to continue in another one."""

    SAME_NAME = "same_name"  # the same name lives on under one new code
    SAME_STEM = "same_stem"  # the same name but for its suffix (县 became 区 or 市)
    CURATED = "curated"  # entered by hand


COUNTY_CODE_CHARS = 6


def county_of(code: str) -> str | None:
    """Return the county part of a county, township or village code; None above the county."""
    county = code[:COUNTY_CODE_CHARS]
    return None if county.endswith("00") else county


def digits_of(code: str) -> str:
    """Return what every code in a division begins with: a national code has two digits a level, and zeros below."""
    return code.removesuffix("00").removesuffix("00") if len(code) == COUNTY_CODE_CHARS else code


def is_within(code: str, division_code: str) -> bool:
    """Say whether a code is that of a division or of one below it."""
    return code.startswith(digits_of(division_code))


class Division(Base):
    """One division. A retired one keeps its row, the last year of its code and, where known, what it became."""

    __tablename__ = "division"
    __table_args__ = (
        Index("ix_division_parent_code_code", "parent_code", "code"),
        Index("ix_division_name", "name"),
        CheckConstraint("(lat IS NULL) = (lng IS NULL)", name="point_is_whole"),
        CheckConstraint("successor_code IS NULL OR retired_after IS NOT NULL", name="successor_of_retired"),
    )
    code: Mapped[str] = mapped_column(String(12), primary_key=True)
    name: Mapped[str] = mapped_column(String(60))
    level: Mapped[DivisionLevel] = mapped_column(enum_column(DivisionLevel, "division_level"))
    parent_code: Mapped[str | None] = mapped_column(ForeignKey("division.code"))
    kind: Mapped[str | None] = mapped_column(String(10))  # 街道, 镇, 乡, 村, 社区, 其他
    mca_code: Mapped[str | None] = mapped_column(String(12))  # civil-affairs code where it differs in system
    lat: Mapped[float | None]  # seat, GCJ-02
    lng: Mapped[float | None]
    point_is_placeholder: Mapped[bool] = mapped_column(default=False)
    retired_after: Mapped[int | None]  # last year in which the code was in use
    successor_code: Mapped[str | None] = mapped_column(ForeignKey("division.code"))
    successor_basis: Mapped[SuccessorBasis | None] = mapped_column(
        enum_column(SuccessorBasis, "successor_basis")
    )
