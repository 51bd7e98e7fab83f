"""The floor: bare WSGI, SQL through the driver, tokens verified as strongly, the same answers, as durable.

Everything a framework, an ORM or a schema could be blamed for is absent; so are limits and the log. The benchmark first compares its answers
with those of the service, header by header and field by field.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import pickle
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import orjson
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from engage.activities.service.codes import _STEPS_IN_SHIFT, shift_key
from engage.core import ids
from engage.core.config import Settings
from engage.core.headers import NO_PAGE, fixed
from tests.benchmarks import floor_db as sql

_PLAN = pickle.loads(Path(os.environ["BENCHMARK_PLAN"]).read_bytes())
_REFUSALS = {
    "activity_full": ("409 Conflict", "与当前状态冲突", "名额和候补都已满。"),
    "sign_up_closed": ("409 Conflict", "与当前状态冲突", "报名已截止。"),
}
_CODE_SECONDS = 30
_NO_STORE = ("Cache-Control", "no-store")
_PRIVATE = (("Content-Type", "application/json"), _NO_STORE)
_SHARED = (("Content-Type", "application/json"), ("Cache-Control", "private, no-cache"))
_PROBLEM = (("Content-Type", "application/problem+json"), _NO_STORE, ("Content-Language", "zh"))
_VARY = ("Vary", "Authorization, Accept-Encoding")
# Of about the length that the service's have: the floor counts nobody's requests.
_LIMIT = (("RateLimit-Policy", '"person";q=600;w=60'), ("RateLimit", '"person";r=599;t=60'))


class Unauthorised(Exception):
    pass


class Tokens:
    """EdDSA, each token verified in full once and then known, as in the service."""

    def __init__(self, settings: Settings) -> None:
        self._key = Ed25519PrivateKey.from_private_bytes(settings.key("access-token")).public_key()
        self._known: dict[str, tuple[UUID, UUID, int]] = {}

    def __call__(self, header: str) -> tuple[UUID, UUID]:
        known = self._known.get(header)
        if known is None:
            known = self._known[header] = self._verify(header)
        if known[2] <= time.time():
            raise Unauthorised
        return known[:2]

    def _verify(self, header: str) -> tuple[UUID, UUID, int]:
        signed, _, signature = header.removeprefix("Bearer ").rpartition(".")
        self._key.verify(base64.urlsafe_b64decode(signature + "=="), signed.encode())
        payload = signed.partition(".")[2]
        claims = orjson.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        if claims["iss"] != "engage" or claims["aud"] != "engage-api" or claims["type"] != "access":
            raise Unauthorised
        return UUID(claims["sub"]), UUID(claims["sid"]), claims["exp"]


def _headers_of(status: str, method: str, path: str, body: bytes) -> tuple[tuple[str, str], ...]:
    """Return what a client is told about a body."""
    if status[0] == "4":
        return _PROBLEM
    if method != "GET":
        return _PRIVATE
    is_list = path == "/v1/activities"
    tag = f'"{0 if is_list else 1}-{hashlib.blake2b(body, digest_size=8).hexdigest()}"'
    return (*(_SHARED if is_list else _PRIVATE), ("ETag", tag), _VARY)


class Floor:
    """List, detail, sign-up, cancellation and check-in."""

    def __init__(self) -> None:
        settings = Settings.from_env()
        self._tokens = Tokens(settings)
        self._db: sql.Postgres | sql.Sqlite = (
            sql.Sqlite(settings) if settings.is_sqlite else sql.Postgres(settings)
        )
        self._secret, self._settings = settings.key("cursor"), settings
        self._fixed = (NO_PAGE, *fixed(settings), *_LIMIT)
        self.extensions = {"engage.database": self}

    def dispose(self, *, close: bool = True) -> None:
        """Connections are opened after the fork."""

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        try:
            person, session = self._tokens(environ["HTTP_AUTHORIZATION"])
        except Exception:
            start_response("401 Unauthorized", [("Content-Length", "0")])
            return []
        path, method, request_id = environ["PATH_INFO"], environ["REQUEST_METHOD"], ids.new_id().hex
        if path == "/v1/activities":
            status, payload = "200 OK", self._list(person, session)
        else:
            values = self._db.values(person, session, UUID(path[15:51]))
            status, payload = self._about(method, environ, values)
        if payload is None:
            start_response(status, [_NO_STORE, ("X-Request-Id", request_id), *self._fixed])
            return []
        if status[0] == "4":
            payload["request_id"] = request_id
        body = orjson.dumps(payload, option=orjson.OPT_OMIT_MICROSECONDS)
        headers = [("Content-Length", str(len(body))), ("X-Request-Id", request_id)]
        start_response(status, [*headers, *_headers_of(status, method, path, body), *self._fixed])
        return [body]

    def _about(self, method: str, environ: dict[str, Any], values: dict[str, Any]) -> tuple[str, Any]:
        if method == "GET":
            return "200 OK", self._detail(values)
        if method == "PUT":
            orjson.loads(environ["wsgi.input"].read())
            return self._sign_up(values)
        if method == "DELETE":
            return self._leave(values)
        return self._check_in(orjson.loads(environ["wsgi.input"].read())["code"], values)

    def _known(self, values: dict[str, Any]) -> Any:
        """The caller, read fresh: an active account and a live session."""
        return self._live(self._db.run(sql.CALLER, values)[0])

    def _live(self, row: Any) -> Any:
        if row[4] != "active" or row[5] is not None or self._db.at(row[6]) <= datetime.now(UTC):
            raise Unauthorised
        return row

    def _list(self, person: UUID, session: UUID) -> dict[str, Any]:
        values = self._db.values(person, session, None)
        rows = [self._db.replay(statement, values) for statement in _PLAN["sql"]["list"]][-1]
        now = datetime.now(UTC)
        items = [self._card(row, now) for row in rows[:20]]
        return {"items": items, "next_cursor": self._cursor(rows[19][12], rows[19][0])}

    def _cursor(self, starts_at: Any, activity_id: Any) -> str:
        payload = base64.urlsafe_b64encode(orjson.dumps([["t", starts_at], ["u", activity_id]]))
        return (
            payload + b"." + base64.urlsafe_b64encode(hmac.digest(self._secret, payload, hashlib.sha256))
        ).decode()

    def _detail(self, values: dict[str, Any]) -> dict[str, Any]:
        row = [self._db.replay(statement, values) for statement in _PLAN["sql"]["detail"]][-1][0]
        (
            summary, org_id, org, county_codes, questions, service_minutes, status_reason, closing_summary, version, *terms,
            can_manage, _, sign_up_id, state, turn, created_at, held_until, _, offer_expires_at, decision_reason, checked_in_at, _,
        ) = row[25:]  # fmt: skip
        mine = None
        if sign_up_id is not None:
            mine = {
                "id": self._db.id(sign_up_id), "state": state, "position": turn, "created_at": self._db.at(created_at),
                "checked_in_at": self._db.at(checked_in_at), "attendance": None, "offer_expires_at": self._db.at(offer_expires_at),
                "held_until": self._db.at(held_until), "decision_reason": decision_reason,
            }  # fmt: skip
        return {
            **self._card(row[:25], datetime.now(UTC)),
            "summary": summary,
            "org": {"id": self._db.id(org_id), "name": org},
            "county_codes": self._db.json(county_codes),
            "questions": self._db.json(questions),
            "service_minutes": service_minutes,
            **self._terms(self._db.at(row[12]), terms),
            "status_reason": status_reason,
            "closing_summary": closing_summary,
            "version": version,
            "can_manage": bool(can_manage),
            "my_sign_up": mine,
        }

    def _terms(self, starts_at: Any, columns: list[Any]) -> dict[str, Any]:
        (
            mode, overlap, applied, merge_at, merged, offers_from, offer_minutes, queue_closes, quiet_from, quiet_until, excuse_until,
            late_minutes, presence, check_out,
        ) = columns  # fmt: skip
        at = self._db.at

        def before(instant: Any) -> int:
            return int((starts_at - at(instant)).total_seconds()) // 60

        return {
            "admission": {
                "mode": mode, "overlap": overlap, "applied": applied, "pools": [], "pools_merge_at": at(merge_at),
                "pools_merged": bool(merged), "lottery": None,
            },
            "waitlist": {
                "offer_window_minutes": before(offers_from), "offer_minutes": offer_minutes, "closes_minutes": before(queue_closes),
                "quiet_from": f"{quiet_from // 60:02}:{quiet_from % 60:02}", "quiet_until": f"{quiet_until // 60:02}:{quiet_until % 60:02}",
            },
            "attendance": {
                "excuse_minutes": before(excuse_until), "late_minutes": late_minutes, "presence_percent": presence,
                "requires_check_out": bool(check_out),
            },
        }  # fmt: skip

    def _card(self, row: Any, now: datetime) -> dict[str, Any]:
        (
            activity_id, title, status, project_id, project, hub_id, hub, place_name, address, lat, lng, county_code, starts_at,
            ends_at, opens_at, closes_at, capacity, taken, waitlist_capacity, waiting, min_age, max_age, members_only, queue_closes_at,
            walk_ins_present,
        ) = row  # fmt: skip
        id_, at = self._db.id, self._db.at
        opens_at, closes_at = at(opens_at), at(closes_at)
        return {
            "id": id_(activity_id), "title": title,
            "state": "registration_open" if status == "published" and opens_at <= now < closes_at else "published",
            "project": {"id": id_(project_id), "name": project}, "hub": {"id": id_(hub_id), "name": hub} if hub_id else None,
            "place": {"name": place_name or hub, "address": address, "position": None if lat is None else {"lat": lat, "lng": lng}},
            "county_code": county_code, "starts_at": at(starts_at), "ends_at": at(ends_at), "sign_up_opens_at": opens_at,
            "sign_up_closes_at": closes_at, "capacity": capacity, "places_left": max(0, capacity - taken - (walk_ins_present if now >= at(queue_closes_at) else 0)),
            "waitlist_capacity": waitlist_capacity, "waiting": waiting, "min_age": min_age, "max_age": max_age,
            "members_only": bool(members_only), "distance_m": None,
        }  # fmt: skip

    def _sign_up(self, values: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        *met, clash_id, clash = self._live(self._db.run(sql.MEETS, values)[0])[7:]
        if met[0] is None and met[1] is None:
            met = self._db.admit(values)
        why, sign_up_id, state, created_at, turn = met
        if why is not None:
            return self._refused(why)
        return "200 OK", {
            "id": self._db.id(sign_up_id), "state": state, "position": turn, "created_at": self._db.at(created_at),
            "checked_in_at": None, "attendance": None, "offer_expires_at": None, "held_until": None, "decision_reason": None, "answers": [],
            "warnings": [{"code": "overlap", "activity": {"id": self._db.id(clash_id), "name": clash}}] if clash_id else [],
        }  # fmt: skip

    @staticmethod
    def _refused(code: str) -> tuple[str, dict[str, Any]]:
        status, title, detail = _REFUSALS[code]
        return status, {
            "type": f"urn:engage:problem:{code}", "title": title, "status": int(status[:3]), "detail": detail, "code": code,
        }  # fmt: skip

    def _leave(self, values: dict[str, Any]) -> tuple[str, None]:
        self._known(values)
        with self._db.writing(values) as (about,):
            self._db.run(sql.CANCEL, values)
            for (promoted,) in self._db.run(sql.PROMOTE, values):
                params = {
                    "activity_id": str(values["activity"]), "title": about[0], "starts_at": self._db.at(about[1]).isoformat(),
                }  # fmt: skip
                self._db.run(sql.TELL, {**values, "promoted": promoted, "params": self._db.as_json(params)})
        return "204 No Content", None

    def _check_in(self, code: str, values: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        self._known(values)
        self._check_code(code, values["activity"], int(time.time()) // _CODE_SECONDS)
        with self._db.alone():
            rows = self._db.check_in(values)
        method, *times = (rows or self._db.run(sql.CHECKED_IN, values))[0]
        names = ("checked_in_at", "arrived_at", "left_at")
        return "200 OK", {"method": method, **dict(zip(names, map(self._db.at, times), strict=True))}

    def _check_code(self, code: str, activity_id: Any, step: int) -> None:
        about = activity_id if isinstance(activity_id, UUID) else UUID(activity_id)
        for at in (step, step - 1):
            key = shift_key(self._settings, about, at // _STEPS_IN_SHIFT)
            digest = hmac.digest(key, at.to_bytes(8), hashlib.sha256)
            if hmac.compare_digest(code.encode(), base64.b32encode(digest[:5])):
                return
        raise RuntimeError("a wrong code")


application = Floor()
