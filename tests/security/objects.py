"""Reaching for what belongs to others: their objects, their rights, fields that are not offered, and whether they exist."""

from __future__ import annotations

import uuid
from typing import Any

from .report import Report
from .target import Operation, Target, code_of, is_refused

OTHERS, RIGHTS, FIELDS, PEOPLE = (
    "Objects of others", "Rights: taking more than one has", "Fields that are not offered", "People: do they exist",
)  # fmt: skip
# Not given to anybody by a request; together in one, so that one refusal is about all of them.
UNOFFERED = {
    "id": "0199f0c2-b7a0-7c3f-9f5d-2f7a1c3e5b7d", "person_id": "0199f0c2-b7a0-7c3f-9f5d-2f7a1c3e5b7d", "role": "platform_admin",
    "roles": ["platform_admin"], "status": "active", "state": "confirmed", "is_admin": True, "is_synthetic": True, "rank": 1,
    "version": 99, "created_at": "2020-01-01T00:00:00Z", "points": 1000, "minutes": 100_000, "__proto__": {"admin": True},
}  # fmt: skip


def attempts(target: Target, report: Report) -> None:
    """Try them all."""
    _objects(target, report)
    _rights(target, report)
    _fields(target, report)
    _people(target, report)


def _objects(target: Target, report: Report) -> None:
    """Every operation: by nobody, by a person without a role, by the officer of another county."""
    for operation in target.operations:
        if operation.needs_log_in:
            answer = target.call(operation, None)
            report.add(OTHERS, f"{operation.name} by nobody", answer, answer.status_code == 401)
        if operation.is_of_staff:
            answer = target.call(operation, "youth")
            report.add(
                OTHERS,
                f"{operation.name} by a person without a role",
                answer,
                answer.status_code in (403, 404),
            )
        if operation.is_of_staff and operation.ids:
            answers = [target.call(operation, "officer", path=path) for path in _each(target, operation)]
            in_vain = all(answer.status_code in (403, 404) for answer in answers)
            report.add_many(OTHERS, f"{operation.name} by the officer of another county", answers, in_vain)
        elif operation.ids and _is_of_one_person(operation):
            answers = [target.call(operation, "migrant", path=path) for path in _each(target, operation)]
            in_vain = all(answer.status_code in (403, 404) for answer in answers)
            report.add_many(OTHERS, f"{operation.name} of somebody else", answers, in_vain)


def _is_of_one_person(operation: Operation) -> bool:
    return operation.path.startswith("/v1/me/") or "/enclave-applications/" in operation.path


def _each(target: Target, operation: Operation) -> list[str]:
    """Return the addresses of several objects."""
    last = operation.ids[-1]
    return [target.path_of(operation, **{last: value}) for value in target.ids.get(last, [])[:3]] or [
        target.path_of(operation)
    ]


def _rights(target: Target, report: Report) -> None:
    roots = target.send("GET", "/v1/orgs").json()["items"]
    top = roots[0]["id"]
    for who in ("youth", "manager", "ops", "officer"):
        me = target.send("GET", "/v1/me", who).json()["id"]
        before = target.send("GET", "/v1/me/roles", who).json()
        for role in ("platform_admin", "officer", "auditor"):
            given = {"person_id": me, "role": role, "org_id": top, "reason": "…"}
            answer = target.send("POST", "/v1/role-grants", who, json=given)
            report.add(RIGHTS, f"{who} makes themselves {role} of everything", answer, is_refused(answer))
        invited = {"role": "platform_admin", "org_id": top, "reason": "…"}
        answer = target.send("POST", "/v1/role-invitations", who, json=invited)
        report.add(RIGHTS, f"{who} invites somebody as platform_admin", answer, is_refused(answer))
        asked = {"name": "x", "scopes": ["read_people", "manage_roles"], "expires_in_days": 30}
        answer = target.send("POST", "/v1/me/api-keys", who, json=asked)
        report.add(RIGHTS, f"{who} makes a key that may do more than keys may", answer, is_refused(answer))
        after = target.send("GET", "/v1/me/roles", who).json()
        report.add(
            RIGHTS,
            f"… and what {who} holds afterwards",
            "the same" if after == before else "more",
            after == before,
        )
    answers = [
        target.send(
            "POST",
            "/v1/role-invitations/acceptance",
            "youth",
            json={"token": uuid.uuid4().hex + uuid.uuid4().hex[:11]},
        )
        for _ in range(20)
    ]
    report.add_many(RIGHTS, "invitations guessed", answers, all(map(is_refused, answers)))
    for name in (
        "X-User-Id",
        "X-Role",
        "X-Forwarded-User",
        "X-Remote-User",
        "X-Original-URL",
        "X-Rewrite-URL",
    ):
        value = "/v1/hub-kinds" if name.endswith("URL") else "platform_admin"
        answer = target.send("GET", "/v1/audit/entries", "youth", headers={name: value})
        report.add(RIGHTS, f"youth reads the audit log with {name}", answer, answer.status_code == 403)


def _fields(target: Target, report: Report) -> None:
    for operation in target.operations:
        if operation.body is None:
            continue
        more = {name: value for name, value in UNOFFERED.items() if name not in operation.properties}
        who = "manager" if operation.needs_log_in else None
        answer = target.call(operation, who, json={**operation.body, **more})
        in_vain = (answer.status_code == 422 and _unknown(answer) >= set(more)) or answer.status_code in (
            401,
            403,
            404,
        )
        report.add(FIELDS, f"{operation.name} with {len(more)} fields that it does not have", answer, in_vain)
    mine = target.send("GET", "/v1/me", "youth").json()
    answer = target.send("PUT", "/v1/me", "youth", json={**mine, "status": "active"})
    report.add(FIELDS, "one's own profile, as it was read, sent back", answer, is_refused(answer))


def _unknown(answer: Any) -> set[str]:
    return {
        error["pointer"][1:] for error in answer.json().get("errors", []) if error["code"] == "unknown_field"
    }


def _people(target: Target, report: Report) -> None:
    for path in (
        "people",
        "users",
        "persons",
        "people?phone=13800138000",
        "me/../people",
        "person/1",
        "admin",
        "debug",
    ):
        answer = target.send("GET", f"/v1/{path}", "youth")
        report.add(PEOPLE, f"GET /v1/{path}", answer, answer.status_code == 404)
    me = uuid.UUID(target.send("GET", "/v1/me", "youth").json()["id"])
    near = [str(uuid.UUID(int=me.int + step)) for step in range(-10, 11) if step]
    org = target.path_of(target.operation("end_membership")).rsplit("/", 1)[0]
    answers = [target.send("DELETE", f"{org}/{person}", "manager") for person in near]
    report.add_many(PEOPLE, "ids next to one's own", answers, all(map(is_refused, answers)))
    known, unknown = (
        target.send("PUT", f"{org}/{person}", "manager", json={"status": "member"})
        for person in (me, uuid.uuid4())
    )
    same = (known.status_code, code_of(known)) == (unknown.status_code, code_of(unknown))
    report.add(
        PEOPLE,
        "is somebody with this id registered? (there, not there)",
        f"{code_of(known)}, {code_of(unknown)}",
        same,
    )
    answers = [
        target.send(
            "POST", "/v1/auth/refresh", json={"refresh_token": uuid.uuid4().hex + uuid.uuid4().hex[:11]}
        )
        for _ in range(20)
    ]
    report.add_many(PEOPLE, "refresh tokens guessed", answers, all(map(is_refused, answers)))
