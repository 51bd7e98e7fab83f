"""JSON shapes of enclave branches, applications and participants."""

from __future__ import annotations

from typing import Final

from engage.core.schemas import (
    Choice,
    Flag,
    Id,
    In,
    Inner,
    Instant,
    Out,
    PageQuery,
    Text,
    Whole,
    page_of,
)
from engage.enclaves.models import ApplicationState, EnclaveStatus
from engage.hubs.schemas import OFFICE_LINE
from engage.orgs.schemas import OrgRefOut
from engage.regions.schemas import DivisionCode, NearPageQuery, PositionIn, PositionOut, RegionRefOut

_AN_ID: Final = "0199f0c2-b7a0-7c3f-9f5d-2f7a1c3e5b7d"
_NAME: Final = "陵川县驻太原团工委"
_COUNTY: Final = {"code": "140524", "name": "陵川县"}
_CITY: Final = {"code": "140100", "name": "太原市"}
_NOON: Final = "2026-10-01T12:00:00+08:00"


class EnclaveBranchesQuery(NearPageQuery):
    home_county = DivisionCode(
        load_default=None, metadata={"description": "家乡县（市、区） · county people come from"}
    )
    host_city = DivisionCode(
        load_default=None,
        metadata={"example": "140100", "description": "所在城市 · city where it works"},
    )


class _BranchIn(In):
    name = Text(80, 2, required=True, metadata={"example": _NAME})
    host_city_code = DivisionCode(
        required=True,
        metadata={
            "example": "140100",
            "description": "地级市、直辖市或省直辖县级市 · a prefecture, a municipality, or a county-level city under a province",
        },
    )
    host_org = Text(
        80,
        load_default=None,
        allow_none=True,
        metadata={
            "example": "太原市晋城商会",
            "description": "依托的企业、商会或园区 · company, chamber or park",
        },
    )
    address = Text(200, load_default=None, allow_none=True, metadata={"example": "小店区学府街 1 号"})
    position = Inner(PositionIn, load_default=None, allow_none=True)
    contact_phone = Text(
        20,
        pattern=OFFICE_LINE,
        load_default=None,
        allow_none=True,
        metadata={"example": "0351-0001234", "description": "公开的办公电话 · public office line"},
    )
    description = Text(
        2000, lines=True, load_default=None, allow_none=True, metadata={"example": "为在并陵川青年服务。"}
    )


class EnclaveBranchIn(_BranchIn):
    """A branch to create below an organisation of the home county."""

    parent_org_id = Id(required=True, metadata={"example": _AN_ID})
    home_county_code = DivisionCode(required=True, metadata={"example": "140524"})


class EnclaveBranchEditIn(_BranchIn):
    """A branch as it shall be; what is left out becomes empty. Home county and parent stay."""

    status = Choice(EnclaveStatus, required=True, metadata={"example": "active"})


class EnclaveBranchOut(Out):
    id = Id(required=True, metadata={"example": _AN_ID})
    name = Text(80, required=True, metadata={"example": _NAME})
    home_county = Inner(RegionRefOut, required=True, metadata={"example": _COUNTY})
    host_city = Inner(RegionRefOut, required=True, metadata={"example": _CITY})
    host_org = Text(80, required=True, allow_none=True, metadata={"example": "太原市晋城商会"})
    address = Text(200, required=True, allow_none=True, metadata={"example": "小店区学府街 1 号"})
    position = Inner(PositionOut, required=True, allow_none=True)
    status = Choice(EnclaveStatus, required=True, metadata={"example": "active"})
    distance_m = Whole(
        required=True,
        allow_none=True,
        metadata={"example": None, "description": "未给 near 时为 null · null without near"},
    )


EnclaveBranchPage = page_of(EnclaveBranchOut, "EnclaveBranchPage")


class MyEnclaveApplicationOut(Out):
    id = Id(required=True, metadata={"example": _AN_ID})
    state = Choice(ApplicationState, required=True, metadata={"example": "submitted"})
    reason = Text(500, required=True, allow_none=True, metadata={"example": None})
    created_at = Instant(required=True, metadata={"example": _NOON})


class MyEnclaveOut(Out):
    application = Inner(
        MyEnclaveApplicationOut,
        required=True,
        allow_none=True,
        metadata={"description": "最近一次申请 · the newest application"},
    )
    is_participant = Flag(required=True, metadata={"example": False})


class EnclaveBranchDetailOut(EnclaveBranchOut):
    description = Text(2000, required=True, allow_none=True, metadata={"example": "为在并陵川青年服务。"})
    contact_phone = Text(20, required=True, allow_none=True, metadata={"example": "0351-0001234"})
    participants_count = Whole(required=True, metadata={"example": 36})
    my = Inner(
        MyEnclaveOut,
        required=True,
        allow_none=True,
        metadata={"description": "未登录时为 null · null without a token"},
    )
    can_decide = Flag(
        required=True,
        metadata={"example": False, "description": "您可以审核申请 · you decide on applications"},
    )
    updated_at = Instant(required=True, metadata={"example": _NOON})
    version = Whole(1, required=True, metadata={"example": 3})


class EnclaveApplicationIn(In):
    note = Text(
        500,
        lines=True,
        load_default=None,
        allow_none=True,
        metadata={"example": "我在太原读书，想参加家乡的活动。"},
    )


class EnclaveRejectionIn(In):
    reason = Text(
        500, lines=True, required=True, metadata={"example": "家乡信息与户籍不一致，请核对后再申请。"}
    )


class EnclavePersonOut(Out):
    """What deciders need to know of a person; never contact data."""

    id = Id(required=True, metadata={"example": _AN_ID})
    name = Text(40, required=True, allow_none=True, metadata={"example": "李康宇"})
    age = Whole(0, 150, required=True, allow_none=True, metadata={"example": 24})
    hometown = Inner(RegionRefOut, required=True, allow_none=True, metadata={"example": _COUNTY})


class EnclaveApplicationOut(Out):
    id = Id(required=True, metadata={"example": _AN_ID})
    branch = Inner(OrgRefOut, required=True, metadata={"example": {"id": _AN_ID, "name": _NAME}})
    applicant = Inner(EnclavePersonOut, required=True)
    state = Choice(ApplicationState, required=True, metadata={"example": "submitted"})
    note = Text(500, required=True, allow_none=True, metadata={"example": "我在太原读书，想参加家乡的活动。"})
    reason = Text(500, required=True, allow_none=True, metadata={"example": None})
    created_at = Instant(required=True, metadata={"example": _NOON})
    decided_at = Instant(required=True, allow_none=True, metadata={"example": None})


EnclaveApplicationPage = page_of(EnclaveApplicationOut, "EnclaveApplicationPage")


class EnclaveApplicationsQuery(PageQuery):
    state = Choice(ApplicationState, load_default=None)


class EnclaveParticipantOut(Out):
    person = Inner(EnclavePersonOut, required=True)
    joined_at = Instant(required=True, metadata={"example": _NOON})


EnclaveParticipantPage = page_of(EnclaveParticipantOut, "EnclaveParticipantPage")


class MyEnclaveBranchOut(Out):
    branch = Inner(EnclaveBranchOut, required=True)
    joined_at = Instant(required=True, metadata={"example": _NOON})


MyEnclaveBranchPage = page_of(MyEnclaveBranchOut, "MyEnclaveBranchPage")
