"""What is attacked: an address, people who have logged in there, ids of others, and the document of the interface."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import httpx

from engage.core.config import Settings

METHODS = ("get", "put", "post", "delete")
SECURE = ("x-content-type-options", "content-security-policy", "x-frame-options", "referrer-policy")


@dataclass(frozen=True)
class Operation:
    """One operation as the document describes it."""

    name: str
    method: str
    path: str
    parameters: list[dict[str, Any]]
    body: dict[str, Any] | None
    properties: dict[str, Any]
    codes: frozenset[str]

    @property
    def is_of_staff(self) -> bool:
        return "not_allowed" in self.codes

    @property
    def needs_log_in(self) -> bool:
        return "not_logged_in" in self.codes

    @property
    def ids(self) -> list[str]:
        return [each["name"] for each in self.parameters if each["in"] == "path"]

    def query(self) -> dict[str, Any]:
        """Return the parameters that it cannot do without."""
        needed = (each for each in self.parameters if each["in"] == "query" and each["required"])
        return {each["name"]: each["schema"].get("example", "2026-10-01") for each in needed}


@dataclass
class Target:
    """A service under attack. ``tokens`` are access tokens by who holds them, ``ids`` those of others by the name of the parameter."""

    client: httpx.Client
    settings: Settings
    tokens: dict[str, str]
    ids: dict[str, list[str]]
    sign_in: Callable[[str], dict[str, Any]] | None = None
    address: tuple[str, int] | None = None
    sent: int = 0
    broken: list[str] = field(default_factory=list)  # answers of 500 and more
    bare: list[str] = field(default_factory=list)  # answers without the headers that every answer has

    def send(self, method: str, path: str, who: str | None = None, **request: Any) -> httpx.Response:
        """Send a request, as somebody or as nobody."""
        headers = dict(request.pop("headers", {}))
        if who is not None:
            headers.setdefault("Authorization", f"Bearer {self.tokens[who]}")
        answer = self._send(method, path, headers, request)
        while (
            code_of(answer) == "rate_limited"
        ):  # a patient attacker: what is refused shall be refused for what it is
            time.sleep(float(answer.headers["Retry-After"]))
            answer = self._send(method, path, headers, request)
        self.sent += 1
        if answer.status_code >= 500:
            self.broken.append(f"{method} {path[:80]} → {answer.status_code}")
        # What Gunicorn refuses by itself never reaches the service, and has no request id either.
        if "x-request-id" in answer.headers and any(name not in answer.headers for name in SECURE):
            self.bare.append(f"{method} {path[:80]} → {answer.status_code}")
        return answer

    def _send(
        self, method: str, path: str, headers: dict[str, str], request: dict[str, Any]
    ) -> httpx.Response:
        try:
            return self.client.request(method, path, headers=headers, **request)
        except httpx.TransportError:  # the connection that was kept had been closed after an earlier refusal
            return self.client.request(method, path, headers=headers, **request)

    @cached_property
    def operations(self) -> list[Operation]:
        """Everything that the service says it can do."""
        document = self.send("GET", "/openapi.json").json()
        return list(_operations(document))

    def operation(self, name: str) -> Operation:
        """Return one of them."""
        return next(each for each in self.operations if each.name == name)

    def path_of(self, operation: Operation, **ids: str) -> str:
        """Return the address of an operation on what belongs to others, made up where nothing is known."""
        path = operation.path
        for name in operation.ids:
            known = self.ids.get(name, [])
            value = ids.get(name) or (
                known[0] if known else "140502" if name == "code" else str(uuid.uuid4())
            )
            path = path.replace(f"{{{name}}}", value)
        return path

    def call(self, operation: Operation, who: str | None, **request: Any) -> httpx.Response:
        """Send what the document gives as an example."""
        headers = {"If-Match": "*", **request.pop("headers", {})}
        if operation.body is not None:
            request.setdefault("json", operation.body)
        path = request.pop("path", None) or self.path_of(operation)
        request.setdefault("params", operation.query())
        return self.send(operation.method, path, who, headers=headers, **request)


def _operations(document: dict[str, Any]) -> Iterator[Operation]:
    for path, methods in document["paths"].items():
        for method in METHODS:
            if method not in methods:
                continue
            described = methods[method]
            content = described.get("requestBody", {}).get("content", {}).get("application/json", {})
            codes = {
                code
                for answer in described["responses"].values()
                for code in answer.get("content", {}).get("application/problem+json", {}).get("examples", {})
            }
            schema = content.get("schema", {})
            named = schema.get("$ref", "").rsplit("/", 1)[-1]
            schema = document["components"]["schemas"].get(named, schema)
            yield Operation(
                described["operationId"], method.upper(), path, described["parameters"], content.get("example"),
                schema.get("properties", {}), frozenset(codes),
            )  # fmt: skip


def code_of(answer: httpx.Response) -> str:
    """Return what an answer says, in a word."""
    try:
        said = answer.json()
    except ValueError:
        return ""
    return str(said.get("code", "")) if isinstance(said, dict) and answer.status_code >= 400 else ""


def is_refused(answer: httpx.Response) -> bool:
    """Say whether a request was refused, and not by a fault."""
    return 400 <= answer.status_code < 500


def demo(url: str, wechat: str) -> Target:
    """Return the demo as a target: its people, logged in through the stand-in for WeChat, and what belongs to them."""
    client = httpx.Client(base_url=url, trust_env=False, timeout=30)
    phone = httpx.Client(base_url=f"{wechat}/__fake__", trust_env=False, timeout=30)

    def sign_in(user: str) -> dict[str, Any]:
        while True:
            code = phone.post(f"/users/{user}/login-code").json()["code"]
            answer = client.post("/v1/auth/wechat/login", json={"code": code})
            if answer.status_code != 429:
                return answer.raise_for_status().json()
            time.sleep(float(answer.headers["Retry-After"]))

    tokens = {
        user: sign_in(user)["access_token"] for user in ("youth", "manager", "ops", "officer", "migrant")
    }
    parts = httpx.URL(url)
    target = Target(client, Settings(), tokens, {}, sign_in, (parts.host, parts.port or 80))
    _find(target)
    return target


def _find(target: Target) -> None:
    """Collect ids that belong to others, as their owners see them."""

    def items(path: str, who: str) -> list[dict[str, Any]]:
        answer = target.send("GET", path, who)
        return answer.json().get("items", []) if answer.status_code == 200 else []

    hubs = items("/v1/hubs?managed=true", "manager")
    activities = items("/v1/activities?managed=true", "manager")
    target.ids.update(hub_id=[each["id"] for each in hubs], activity_id=[each["id"] for each in activities])
    for activity in activities[:8]:
        for sign_up in items(f"/v1/activities/{activity['id']}/sign-ups", "manager"):
            target.ids.setdefault("sign_up_id", []).append(sign_up["id"])
            target.ids.setdefault("person_id", []).append(sign_up["person"]["id"])
    detail = target.send("GET", f"/v1/activities/{activities[0]['id']}").json() if activities else {}
    for name in ("org", "project"):
        if isinstance(detail.get(name), dict):
            target.ids[f"{name}_id"] = [detail[name]["id"]]
    for name, path in (
        ("session_id", "/v1/me/sessions"), ("message_id", "/v1/me/messages"), ("entry_id", "/v1/me/hours"),
        ("certificate_id", "/v1/me/hours-certificates"), ("credit_entry_id", "/v1/me/credit-entries"),
        ("application_id", "/v1/me/enclave-applications"),
    ):  # fmt: skip
        target.ids[name] = [each["id"] for each in items(path, "youth") if "id" in each]
    branches = items("/v1/enclave-branches?limit=20&home_county=140521", "youth")  # the officer is of 140524
    target.ids["branch_id"] = [each["id"] for each in branches]
