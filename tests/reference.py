"""Reference data that every test may rely on: a few real divisions, and the kinds."""

from __future__ import annotations

from sqlalchemy import insert
from sqlalchemy.orm import Session

from engage.hubs.models import HubKind
from engage.orgs.models import OrgKind
from engage.regions.models import Division, DivisionLevel, SuccessorBasis

# The audit log only grows, in tests too: those that read it empty it as its owner (tests/audit/conftest.py).
LOG_TABLES = {"audit_entry", "audit_link", "audit_unsealed"}
KEPT_TABLES = {"division", "org_kind", "hub_kind"} | LOG_TABLES

_DIVISIONS = [
    # code, name, level, parent, lat, lng (GCJ-02)
    ("110000", "北京市", DivisionLevel.PROVINCE, None, 39.90890, 116.40362),
    ("140000", "山西省", DivisionLevel.PROVINCE, None, None, None),
    ("140100", "太原市", DivisionLevel.PREFECTURE, "140000", 37.86990, 112.56650),
    ("140500", "晋城市", DivisionLevel.PREFECTURE, "140000", 35.50185, 112.83893),
    ("140502", "城区", DivisionLevel.COUNTY, "140500", 35.50185, 112.83893),
    ("140521", "沁水县", DivisionLevel.COUNTY, "140500", 35.67990, 112.18633),
    ("140522", "阳城县", DivisionLevel.COUNTY, "140500", 35.47988, 112.42641),
    ("140524", "陵川县", DivisionLevel.COUNTY, "140500", 35.77989, 113.27644),
    ("140525", "泽州县", DivisionLevel.COUNTY, "140500", 35.46316, 112.80221),
    ("140581", "高平市", DivisionLevel.COUNTY, "140500", 35.79971, 112.92612),
    ("140502001", "东街街道", DivisionLevel.TOWNSHIP, "140502", None, None),
    ("140524100", "崇文镇", DivisionLevel.TOWNSHIP, "140524", 35.77479, 113.25722),
    ("140502001001", "建设路社区居委会", DivisionLevel.VILLAGE, "140502001", None, None),
]


def seed_reference(session: Session) -> None:
    """Insert the reference rows."""
    session.execute(
        insert(Division),
        [
            {
                "code": code,
                "name": name,
                "level": level,
                "parent_code": parent,
                "lat": lat,
                "lng": lng,
                "point_is_placeholder": False,
            }
            for code, name, level, parent, lat, lng in _DIVISIONS
        ],
    )
    retired = {"level": DivisionLevel.COUNTY, "parent_code": "140500", "point_is_placeholder": False}
    session.execute(
        insert(Division),
        [
            {
                **retired,
                "code": "140523",
                "name": "高平县",
                "retired_after": 1992,
                "successor_code": "140581",
                "successor_basis": SuccessorBasis.SAME_STEM,
            },
            {
                **retired,
                "code": "140511",
                "name": "旧县",
                "retired_after": 1991,
                "successor_code": None,
                "successor_basis": None,
            },
        ],
    )
    session.execute(
        insert(OrgKind),
        [
            {"code": "committee", "name_zh": "团委", "name_en": "League committee"},
            {"code": "branch", "name_zh": "团支部", "name_en": "Branch"},
            {"code": "enclave_branch", "name_zh": "飞地团组织", "name_en": "Enclave branch"},
        ],
    )
    session.execute(
        insert(HubKind),
        [
            {"code": "youth_home", "name_zh": "青年之家", "name_en": "Youth home"},
            {"code": "hub_stay", "name_zh": "青年驿站", "name_en": "Youth station"},
        ],
    )
