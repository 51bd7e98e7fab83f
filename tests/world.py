"""A small city with something of every kind in it, made in one transaction: for calls against the whole interface."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from factories import Factory, OneTransaction
from flask import Flask

from engage.activities.models import (
    ActivityStatus,
    AdmissionMode,
    CreditAppeal,
    CreditRule,
    HoursCertificate,
    HoursCertificateEntry,
    LotteryDraw,
    SignUpState,
)
from engage.activities.models.hours import CODE_PURPOSE, hash_of_code
from engage.activities.schemas.activity import QuestionIn
from engage.activities.service.draw import commitment_of, new_seed
from engage.core import clock
from engage.core.config import Settings
from engage.core.crypto import sha256
from engage.core.db import Database
from engage.enclaves.models import EnclaveApplication, EnclaveParticipation
from engage.identity.models import PHONE_PURPOSE, LoginTicket
from engage.messages.models import Message, MessageKind
from engage.orgs.models import Cluster, ClusterKind, ClusterMember, Role, RoleInvitation


@dataclass(frozen=True)
class World:
    """Callers by name (their ``Authorization``, None for nobody), and ids by the name of the parameter that takes them."""

    callers: dict[str, str | None]
    ids: dict[str, list[Any]]

    def id_for(self, name: str, pick: int = 0) -> Any:
        """Return an id that a parameter or field of this name can mean."""
        known = self.ids.get(name, [])
        return known[pick % len(known)] if known else None


def build(database: Database, app: Flask) -> World:
    """Return a world in a database that holds the reference rows only."""
    with database.transaction() as session, app.app_context():
        return _build(Factory(OneTransaction(session), app), database.settings)


def _build(make: Factory, settings: Settings) -> World:
    now = clock.now()
    city = make.org(name="晋城市团委", division_code="140500")
    county, other_county = (
        make.org(city, name="城区团委"),
        make.org(city, name="陵川县团委", division_code="140524"),
    )
    branch = make.org(county, kind_code="branch", name="建设路社区团支部", division_code="140502001001")
    hub, other_hub = make.hub(county), make.hub(other_county, county_code="140524", division_code="140524")
    project = make.project(city, name="团青有约")

    member, other = (
        make.person(phone_sealed=settings.keyring.seal("+8613800000000", PHONE_PURPOSE)),
        make.person(),
    )
    admin = make.staff(Role.PLATFORM_ADMIN, org=city)
    officer = make.staff(Role.OFFICER, org=county)
    manager = make.staff(Role.HUB_MANAGER, hub=hub)
    make.membership(member, branch)

    def activity(**values: Any) -> Any:
        return make.activity(county, hub, project_id=project.id, **values)

    over = {
        "starts_at": now - timedelta(days=2),
        "ends_at": now - timedelta(days=2, hours=-2),
        "sign_up_opens_at": now - timedelta(days=9),
        "sign_up_closes_at": now - timedelta(days=2),
    }
    asked = [{**QuestionIn().load({"kind": "number", "label": "带几位朋友？"}), "id": "q1"}]
    opened, full = activity(questions=asked), activity(capacity=1)
    past, summarised = (
        activity(**over),
        activity(**over, status=ActivityStatus.SUMMARISED, closing_summary="圆满。"),
    )
    draft = activity(status=ActivityStatus.DRAFT)
    review = activity(status=ActivityStatus.REVIEW)
    cancelled = activity(status=ActivityStatus.CANCELLED, status_reason="下雨")

    lottery = activity(admission_mode=AdmissionMode.LOTTERY)
    seed = new_seed()
    make.add(
        LotteryDraw(
            activity_id=lottery.id,
            commitment=commitment_of(seed),
            sealed_seed=settings.keyring.seal(seed.hex(), f"lottery-seed:{lottery.id}"),
            draws_at=lottery.sign_up_closes_at,
        )
    )
    reviewed = activity(admission_mode=AdmissionMode.REVIEW)
    applied = make.sign_up(reviewed, other, state=SignUpState.APPLIED)

    taken = make.sign_up(full, other)
    waiting = make.sign_up(full, member, state=SignUpState.WAITLISTED)
    attended, missed = make.sign_up(past, member), make.sign_up(past, other)
    make.check_in(attended)
    make.feedback(past, member)

    served = make.hours(summarised, member)
    code = "K7QF-2M4X-AB3D-EFGH-JKLM-NPQR"
    certificate = make.add(
        HoursCertificate(
            person_id=member.id,
            holder_name=member.name,
            issuer_name=county.name,
            from_on=clock.shanghai_day(now),
            until_on=clock.shanghai_day(now),
            code_hash=hash_of_code(code),
            code_sealed=settings.keyring.seal(code, CODE_PURPOSE),
            issued_at=now,
        )
    )
    make.add(HoursCertificateEntry(certificate_id=certificate.id, entry_id=served.id, person_id=member.id))
    entries = [
        make.credit_entry(missed),
        make.credit_entry(attended, rule=CreditRule.ATTENDED, points=3),
        make.credit_entry(attended, rule=CreditRule.LATE, points=-2),
    ]
    appeal = make.add(CreditAppeal(entry_id=entries[0].id, text="我到场了", created_at=now))

    enclave = make.enclave_branch(other_county)
    application = make.add(EnclaveApplication(branch_id=enclave.id, person_id=other.id, created_at=now))
    make.add(EnclaveParticipation(branch_id=enclave.id, person_id=member.id, joined_at=now))
    cluster = make.add(Cluster(name="城区片区", kind=ClusterKind.AREA, division_code="140502"))
    make.add(ClusterMember(cluster_id=cluster.id, org_id=branch.id))
    message = make.add(
        Message(
            person_id=member.id,
            outbox_seq=1,
            kind=MessageKind.SIGN_UP_WAITLISTED.value,
            params={"activity_id": str(full.id), "title": full.title},
            created_at=now,
        )
    )

    grant = make.grant(make.person(), Role.ANALYST, org=county, granted_by=officer.id)
    invitation = make.add(
        RoleInvitation(
            token_hash=b"x" * 32,
            role=Role.ANALYST,
            org_id=county.id,
            reason="新任",
            invited_by=officer.id,
            created_at=now,
            expires_at=now + timedelta(days=7),
        )
    )

    inspector = make.staff(Role.INSPECTOR, org=county)
    findings = [
        make.finding(past, written_by=inspector.id),
        make.finding(org=county, answer="已整改", answered_by=officer.id, answered_at=now),
    ]

    ticket = make.add(
        LoginTicket(
            secret_hash=sha256("x" * 43),
            device="Windows · Edge",
            created_at=now,
            expires_at=now + timedelta(minutes=2),
        )
    )

    people = {
        "member": member,
        "officer": officer,
        "hub manager": manager,
        "admin": admin,
        "inspector": inspector,
    }
    orgs = [county.id, branch.id, other_county.id, city.id]
    return World(
        callers={
            "nobody": None,
            **{name: f"Bearer {make.access_token(person.id)}" for name, person in people.items()},
        },
        ids={
            "org_id": orgs,
            "parent_id": orgs,
            "hub_id": [hub.id, other_hub.id],
            "project_id": [project.id],
            "activity_id": [
                row.id
                for row in (opened, full, past, summarised, draft, review, cancelled, lottery, reviewed)
            ],
            "sign_up_id": [row.id for row in (waiting, taken, attended, missed, applied)],
            "person_id": [member.id, other.id, officer.id],
            "branch_id": [enclave.id],
            "application_id": [application.id],
            "cluster_id": [cluster.id],
            "message_id": [message.id],
            "session_id": [make.session(row.id).id for row in (member, admin)],
            "key_id": [make.api_key(row).id for row in (admin, member)],
            "entry_id": [served.id],
            "certificate_id": [certificate.id],
            "verification_code": [code],
            "credit_entry_id": [entry.id for entry in entries],
            "appeal_id": [appeal.id],
            "grant_id": [grant.id],
            "invitation_id": [invitation.id],
            "ticket_id": [ticket.id],
            "finding_id": [finding.id for finding in findings],
        },
    )
