"""Every operation × every role × where the role is held: what the table below says, and nothing else.

The object stands at a township. ``own`` is a role there, ``above`` at its county, ``root`` at the city, ``below`` at one of its branches, ``beside`` at the
township next to it, ``county`` in another county; ``expired`` and ``suspended`` are held there and do not count. ``ended`` and
``unprivileged`` are held there too, in a session that has ended and in one in which no second factor was shown; in all others one was.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from bodies import activity_body
from factories import Factory, OneTransaction
from sqlalchemy.orm import Session
from test_bad_input import asking_query

from engage.activities.models import ActivityStatus, CreditAppeal
from engage.app import APIS
from engage.core import clock, openapi
from engage.core.http import PREFIX, Operation
from engage.enclaves.models import EnclaveApplication
from engage.identity.models import LoginTicket, PersonStatus
from engage.orgs.models import Role, RoleInvitation

OPERATIONS = {operation.name: operation for api in APIS for operation in api.operations}
POSITIONS = (
    "own",
    "below",
    "beside",
    "above",
    "root",
    "county",
    "expired",
    "suspended",
    "ended",
    "unprivileged",
)
ABOVE = ("above", "root")
LETTERS = {
    "P": Role.PLATFORM_ADMIN, "O": Role.OFFICER, "A": Role.ANALYST, "S": Role.BRANCH_SECRETARY, "H": Role.HUB_MANAGER,
    "D": Role.DELEGATE, "I": Role.INSPECTOR, "L": Role.AUDITOR,
}  # fmt: skip

# Operations of staff: who may at their own node and above it, and what all other staff are told.
STAFF = """
    create_org                PO      refused
    change_org                PO      refused
    record_membership         PO      refused
    end_membership            PO      refused
    create_hub                PO      refused
    edit_hub                  POH     refused
    create_project            PO      refused
    edit_project              PO      refused
    read_evidence             POSHI   refused
    write_finding             POI     refused
    read_finding              POSHI   hidden
    answer_finding            POSH    hidden
    close_finding             POI     hidden
    create_activity           POSH    refused
    edit_activity             POSH    refused
    preview_change            POSH    refused
    publish_activity          POSH    refused
    reject_activity           PO      refused
    cancel_activity           POSH    refused
    reopen_activity           POSH    refused
    close_activity            POSH    refused
    hold_draw                 POSH    refused
    show_check_in_code        POSH    refused
    list_feedback             POSH    refused
    list_sign_ups             POSH    refused
    export_sign_ups           POSH    refused
    add_person                POSH    refused
    import_sign_ups           POSH    refused
    cancel_sign_up            POSH    refused
    excuse_sign_up            POSH    refused
    decide_applications       POSH    refused
    read_roster               POSH    refused
    upload_check_ins          POSH    refused
    list_activity_hours       POSH    refused
    make_up_hours             POSH    refused
    reverse_hours             POSH    hidden
    create_enclave_branch     PO      refused
    edit_enclave_branch       PO      refused
    list_enclave_applications POS     refused
    list_enclave_participants POS     refused
    approve_enclave_application POS   hidden
    reject_enclave_application  POS   hidden
    give_role                 PO      refused
    invite_to_role            PO      refused
    end_role                  PO      hidden
    withdraw_role_invitation  PO      hidden
    rotate_api_key            -       hidden
"""
# Who reads the object all the same, and is refused: who inspects does not answer, and who answers does not close.
OF_A_FINDING = {"answer_finding": "I", "close_finding": "POSHI"}
# Lists of what is the caller's: open to all staff, empty for most.
OWN_LISTS = ("read_participation", "export_participation", "list_credit_appeals", "list_findings", "list_role_grants", "list_role_invitations")  # fmt: skip
# About the whole installation, wherever the role is held.
WHOLE = {
    "read_county_totals": "POA",
    "export_county_totals": "POA",
    "create_api_key": "POASHI",
}
# The same, and only where it is held at the root of the tree.
ROOT = {"read_integrity": "POAS", "list_audit_entries": "PL", "export_audit_entries": "PL"}
# Not for staff: the same answer whatever the role. The object is somebody else's where it is hidden.
HIDDEN = {
    "read_my_sign_up", "accept_offer", "excuse_myself", "read_my_feedback", "read_my_certificate", "download_certificate",
    "check_certificate", "appeal_credit_entry", "withdraw_enclave_application", "mark_message_read", "accept_role_invitation",
    "read_cluster", "end_my_session", "revoke_api_key", "log_in_by_qr",
}  # fmt: skip

# The callers have no second factor to show, renew codes of or remove.
OF_A_FACTOR = {"open_privileged_session", "renew_recovery_codes", "remove_second_factor"}
# For whoever holds some role, about themselves.
HOLDERS = {"read_login_ticket", "decide_login_ticket"}

# Read by whom it is about, and by these staff at their own node and above it; the object is somebody else's.
OF_SOMEBODY = {"read_enclave_application": "POS", "read_role_grant": "PO"}

# What is shown in place of a token is no good here.
LOGGED_OUT = {"log_in_with_wechat", "refresh"}


def _staff_table() -> dict[str, tuple[str, str]]:
    rows = (line.split() for line in STAFF.strip().splitlines())
    return {name: (letters, others) for name, letters, others in rows}


TABLE = _staff_table()


def expected(operation: Operation, letter: str, position: str) -> str:
    """Return ``told``, that whoever has not shown the second factor is told so where it is needed, and that a session has ended.

    Only what is the same for all is told to the token of an ended session too.
    """
    if position == "ended":
        return told(operation, letter, "own") if operation.access.name == "public" else "ended"
    if position != "unprivileged":
        return told(operation, letter, position)
    return "unprivileged" if operation.access.needs_privilege else told(operation, letter, "own")


def _told_for_themselves(operation: Operation, letter: str, position: str) -> str:
    name = operation.name
    if position == "suspended" and operation.access.name in ("member", "guest"):
        return "refused"
    if name in HOLDERS:
        return "refused" if position in ("none", "expired") else "yes"
    if name in OF_SOMEBODY:
        return "yes" if letter in OF_SOMEBODY[name] and position in ("own", *ABOVE) else "hidden"
    if name in OF_A_FACTOR:
        return "unprivileged"
    return "nobody" if name in LOGGED_OUT else "hidden" if name in HIDDEN else "yes"


def told(operation: Operation, letter: str, position: str) -> str:  # noqa: PLR0911 - a line for each table
    """Return what the tables say: yes, refused (403), unprivileged (403: show your second factor, or enrol one), ended (401: the session) or hidden (404)."""
    name = operation.name
    if operation.access.name != "staff":
        return _told_for_themselves(operation, letter, position)
    if position in ("none", "expired", "suspended"):
        return "refused"
    if name in OWN_LISTS:
        return "yes"
    if name in ROOT:
        return "yes" if letter in ROOT[name] and position == "root" else "refused"
    if name in WHOLE:
        return "yes" if letter in WHOLE[name] else "refused"
    if (
        name == "decide_credit_appeal"
    ):  # the level above decides; whoever meets the people there sees the appeal
        if letter in "PO" and position in ABOVE:
            return "yes"
        return (
            "refused"
            if position in ("own", *ABOVE) and (letter in "POS" or letter + position == "Hown")
            else "hidden"
        )
    letters, others = TABLE[name]
    reaches = ("own",) if letter == "H" else ("own", *ABOVE)
    if name in OF_A_FINDING and letter in OF_A_FINDING[name] and position in reaches:
        others = "refused"
    if name == "close_finding" and position == "own":  # somebody else's, about their own township
        letters = ""
    return "yes" if letter in letters and position in reaches else others


@pytest.fixture
def city(frozen, database, app) -> Any:
    """Everything in one transaction: the object of each kind, and a caller for each cell."""
    with database.transaction() as session, app.app_context():
        return _build(Factory(OneTransaction(session), app))


def _build(make: Factory) -> tuple[dict[str, Any], dict[tuple[str, str], str]]:
    now = clock.now()
    root = make.org(division_code="140500")
    county, other = make.org(root), make.org(root)
    town, beside = make.org(county), make.org(county)
    nodes = {
        "own": town,
        "below": make.org(town),
        "beside": beside,
        "above": county,
        "root": root,
        "county": other,
    }
    hubs = {position: make.hub(node) for position, node in nodes.items()}
    hub, project = hubs["own"], make.project(town)
    activity = make.activity(town, hub, project_id=project.id)
    person = make.person()
    sign_up = make.sign_up(activity, person)
    served = make.hours(
        make.activity(town, hub, status=ActivityStatus.SUMMARISED, closing_summary="好"), person
    )
    entry = make.credit_entry(sign_up)
    appeal = make.add(CreditAppeal(entry_id=entry.id, text="我到场了", created_at=now))
    enclave = make.enclave_branch(town)
    application = make.add(EnclaveApplication(branch_id=enclave.id, person_id=person.id, created_at=now))
    grant = make.grant(make.person(), Role.ANALYST, org=town)
    invitation = make.add(
        RoleInvitation(
            token_hash=b"x" * 32, role=Role.ANALYST, org_id=town.id, reason="新任", invited_by=person.id, created_at=now,
            expires_at=now + timedelta(days=7),
        )
    )  # fmt: skip
    finding = make.finding(activity)
    ticket = make.add(
        LoginTicket(secret_hash=b"x" * 32, created_at=now, expires_at=now + timedelta(minutes=2))
    )
    ids = {
        "org_id": town.id, "parent_id": town.id, "parent_org_id": town.id, "above": county.id, "code": "140502", "hub_id": hub.id, "project_id": project.id, "activity_id": activity.id,
        "sign_up_id": sign_up.id, "person_id": person.id, "entry_id": served.id, "appeal_id": appeal.id, "credit_entry_id": entry.id,
        "branch_id": enclave.id, "application_id": application.id, "grant_id": grant.id, "invitation_id": invitation.id,
        "ticket_id": ticket.id, "finding_id": finding.id,
    }  # fmt: skip

    ids["activity_body"] = activity_body(project, now, hub_id=str(hub.id), place_name=None)

    def caller(letter: str, position: str) -> str:
        status = PersonStatus.SUSPENDED if position == "suspended" else PersonStatus.ACTIVE
        who = make.person(status=status, hometown_code="140524")
        if position != "none":
            at = position if position in nodes else "own"
            place = {"hub": hubs[at]} if letter == "H" else {"org": nodes[at]}
            ends = {"ends_at": now} if position == "expired" else {}
            make.grant(who, LETTERS[letter], **place, **ends)
        token = make.access_token(
            who.id, privileged=position != "unprivileged", ended_at=now if position == "ended" else None
        )
        return f"Bearer {token}"

    callers = {(letter, position): caller(letter, position) for letter in LETTERS for position in POSITIONS}
    return ids, callers | {("-", "none"): caller("-", "none")}


@pytest.fixture
def send(city, app, database, monkeypatch) -> Callable[[Operation, str], str]:
    """Return a function that makes a call whose effect is undone, and says how it ended."""
    ids = city[0]

    @contextmanager
    def undone():
        with Session(database.writer, expire_on_commit=False) as session:
            yield session
            session.flush()
            session.rollback()

    monkeypatch.setattr(database, "transaction", undone)
    client = app.test_client()
    requests = {name: _request(operation, ids) for name, operation in OPERATIONS.items()}

    def send(operation: Operation, token: str) -> str:
        answer = client.open(**requests[operation.name], headers={"If-Match": "*", "Authorization": token})
        assert answer.status_code < 500, (operation.name, answer.text)
        if answer.status_code == 404 and answer.json["code"] == "no_draw":
            return "yes"  # the activity was reached
        if answer.status_code == 403 and answer.json["code"] == "second_factor_missing":
            return "unprivileged"
        if answer.status_code == 401 and answer.json["code"] == "session_ended":
            return "ended"
        return {401: "nobody", 403: "refused", 404: "hidden"}.get(answer.status_code, "yes")

    return send


def _request(operation: Operation, ids: dict[str, Any]) -> dict[str, Any]:
    path = {
        name: str(ids.get(name, "0199f0c2-b7a0-7c3f-9f5d-2f7a1c3e5b7d")) for name in operation.path_parameters
    }
    body = openapi.example(operation.body) if operation.body else None
    if isinstance(body, dict):
        body |= {
            name: str(ids[name]) for name in body if name in ids and name != "code" and body[name] is not None
        }
        if {"role", "hub_id"} <= body.keys():
            body["hub_id"] = None
    if operation.name == "change_org":
        # As they are: moving it takes a role there too, and so does another division.
        body |= {"parent_id": str(ids["above"]), "division_code": ids["code"]}
    if operation.name in ("create_activity", "edit_activity"):
        body = ids["activity_body"]
    if operation.name == "preview_change":
        body = {"change": ids["activity_body"]}
    return {
        "path": PREFIX + operation.path.format_map(path),
        "method": operation.method,
        "query_string": asking_query(operation),
        "json": body,
    }


# What an inspector meets beside what is open to all staff: no person, no name, no word that somebody wrote about an activity.
OF_INSPECTORS = {"read_evidence", "write_finding", "read_finding", "close_finding", "create_api_key"}


def test_an_inspector_reads_evidence_and_writes_findings_and_nothing_else():
    """And what they read shows nobody: no such operation is an entry for the people in it."""
    opened = {
        name
        for name, operation in OPERATIONS.items()
        if operation.access.name == "staff"
        and name not in OWN_LISTS
        and any(told(operation, "I", position) == "yes" for position in POSITIONS)
    }
    assert opened == OF_INSPECTORS
    assert not any(OPERATIONS[name].people for name in opened)


def test_every_operation_of_staff_is_in_the_table():
    staff = {name for name, operation in OPERATIONS.items() if operation.access.name == "staff"}
    assert staff == {*TABLE, *OWN_LISTS, *WHOLE, *ROOT, "decide_credit_appeal"}
    assert set(OPERATIONS) >= HIDDEN | OF_A_FACTOR


def test_each_cell_of_the_matrix(city, send, settings, capsys):
    """All of them on SQLite; on PostgreSQL, where a call takes twice as long, every fifth: the conditions are the same statements."""
    _, callers = city
    differences = {}
    every = 1 if settings.is_sqlite else 5
    cells = 0
    wanted = [(name, cell) for name in OPERATIONS for cell in callers]
    for name, (letter, position) in wanted[::every]:
        if name == "log_out" and position not in ("suspended", "ended"):
            continue  # ends the session that the next cell needs
        cells += 1
        operation, token = OPERATIONS[name], callers[letter, position]
        should, does = expected(operation, letter, position), send(operation, token)
        if should != does:
            differences[f"{name} {letter} {position}"] = f"{does}, not {should}"
    with capsys.disabled():
        print(f"\naccess matrix: {cells} cells")  # noqa: T201 - the number is asked for
    assert differences == {}
