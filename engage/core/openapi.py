"""The OpenAPI 3.1 document, built from the same declarations that serve."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, Final

import orjson
import yaml
from apispec import APISpec
from apispec.ext.marshmallow import MarshmallowPlugin
from marshmallow import fields

from engage.core.arguments import MAX_PURPOSE_CHARS
from engage.core.errors import (
    BodyTooLarge,
    ConflictingChange,
    DatabaseBusy,
    DomainError,
    InternalError,
    InvalidInput,
    InvalidJson,
    KeyReused,
    Language,
    LockedOut,
    RateLimited,
    StillRunning,
    TooMany,
    UnsupportedMediaType,
    VersionConflict,
    VersionRequired,
)
from engage.core.http import PREFIX, Binary, IfMatch, Mode, Operation
from engage.core.replies import JSON, PROBLEM
from engage.core.schemas import Problem
from engage.core.wire import encode

if TYPE_CHECKING:
    from collections.abc import Iterable

    from marshmallow import Schema

_DESCRIPTION: Final = """\
面向共青团市级组织的青年服务后端：查找青年之家、报名活动、现场签到、加入驻外（飞地）团组织，以及参与数据统计。
请求按人、密钥或来源地址限流：每个回答带 `RateLimit`，超过时为 429 和 `Retry-After`。

Backend for youth work of a city's League committee: find hubs, sign up for activities, check in, join enclave
branches, read participation figures. Errors are RFC 9457 problems; branch on `code`. Times carry an offset;
coordinates are GCJ-02 unless `coord_type=wgs84`. Lists are cursor-paged. A `PUT` may be repeated; a creating
`POST` may be repeated under one `Idempotency-Key`. Requests are limited by person, key or address: each answer says what
is left (`RateLimit`), and one too many is a 429 with `Retry-After`.
"""
_NEEDS_PRIVILEGE: Final = "需要二次验证：先 `POST /me/privileged-session`。Needs the second factor: `POST /me/privileged-session` first."
# Parameters of a path that are no ids.
_SAMPLES: Final = {"code": "140524", "verification_code": "K7QF-2M4X-AB3D-EFGH-JKLM-NPQR"}
# OpenAPI 3.1: names of what a scheme other than OAuth must bring along.
_PRIVILEGED: Final = "privileged_session"
_SERVER: Final = "https://engage.example.cn"
# What nearly every operation can answer stands once.
_SHARED_ANSWERS: Final[dict[frozenset[type[DomainError]], str]] = {
    frozenset({RateLimited}): "RateLimited",
    frozenset({RateLimited, LockedOut}): "LockedOut",
}
_RETRY_AFTER: Final = "Retry-After"
_HEADERS: Final[dict[str, dict[str, Any]]] = {
    "RateLimit-Policy": {
        "description": "对本次请求计数的限额：`q` 次，每 `w` 秒。The limits that this request counts for: `q` requests in `w` seconds.",
        "schema": {"type": "string"},
        "example": '"person";q=600;w=60',
    },
    "RateLimit": {
        "description": "剩余 `r` 次，`t` 秒后恢复。What is left of them, and in how many seconds there is more (draft-ietf-httpapi-ratelimit-headers).",
        "schema": {"type": "string"},
        "example": '"person";r=598;t=42',
    },
    _RETRY_AFTER: {
        "description": "请在这么多秒之后再试。Try again after so many seconds.",
        "schema": {"type": "integer", "minimum": 1},
        "example": 42,
    },
}


def build(operations: Iterable[Operation], version: str) -> dict[str, Any]:
    """Return the document as plain data."""
    marshmallow = MarshmallowPlugin(schema_name_resolver=_schema_name)
    spec = APISpec(
        title="engage · 青年服务接口",
        version=version,
        openapi_version="3.1.0",
        plugins=[marshmallow],
        info={
            "description": _DESCRIPTION,
            "contact": {"name": "engage maintainers", "url": f"{_SERVER}/docs"},
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        servers=[{"url": _SERVER}],
    )
    _converter(marshmallow).add_attribute_function(_declared_type)
    spec.components.security_scheme("bearer", {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"})
    spec.components.schema("Problem", schema=Problem)
    for name, header in _HEADERS.items():
        spec.components.header(name, header)
    for shared, name in _SHARED_ANSWERS.items():
        spec.components.response(name, _problem(list(shared)))
    ordered = sorted(operations, key=lambda operation: (operation.path, operation.method))
    for tag in dict.fromkeys(operation.tag for operation in ordered):
        spec.tag({"name": tag, "description": tag})
    for refusal in {
        refusal.code: refusal for operation in ordered for refusal in refusals(operation)
    }.values():
        spec.components.example(refusal.code, {"summary": refusal.code, "value": _problem_example(refusal)})
    for operation in ordered:
        spec.path(path=PREFIX + operation.path, operations={operation.method.lower(): _describe(operation)})
    # Through the service's own encoder: enums, dates and ids become what a caller sees, in JSON and in YAML.
    document: dict[str, Any] = orjson.loads(encode(spec.to_dict()))
    return document


def as_yaml(document: dict[str, Any]) -> str:
    """Return the document as YAML, in a stable order."""
    return yaml.safe_dump(document, allow_unicode=True, sort_keys=False, width=110)


def refusals(operation: Operation) -> list[type[DomainError]]:
    """Return every refusal an operation can give, its own and those that follow from its declaration."""
    found: list[type[DomainError]] = [*operation.access.refusals, *operation.refuses]
    if operation.path_parameters or operation.query or operation.body or operation.idempotent:
        found.append(InvalidInput)
    if operation.body:
        found += [InvalidJson, BodyTooLarge, UnsupportedMediaType]
    if operation.if_match:
        found += (
            [VersionConflict]
            if operation.if_match is IfMatch.OPTIONAL
            else [VersionRequired, VersionConflict]
        )
    if operation.idempotent:
        found += [StillRunning, KeyReused]
    if operation.mode is not Mode.READ:
        found.append(ConflictingChange)
    if operation.gate:
        found.append(LockedOut)
    found += [RateLimited, InternalError, DatabaseBusy]
    return list(dict.fromkeys(found))


def _schema_name(schema: type[Schema] | Schema) -> str:
    return schema.__name__ if isinstance(schema, type) else type(schema).__name__


def _converter(plugin: MarshmallowPlugin) -> Any:
    if plugin.converter is None:  # set by APISpec when it takes the plugin
        raise TypeError("the plugin is not attached")
    return plugin.converter


def _declared_type(_self: Any, field: fields.Field[Any], ret: dict[str, Any], **_: Any) -> dict[str, Any]:
    """Let a field of our own say its JSON type and bounds through its metadata."""
    names = (
        "type",
        "pattern",
        "enum",
        "minimum",
        "maximum",
        "minLength",
        "maxLength",
        "minItems",
        "maxItems",
        "uniqueItems",
    )
    declared = {name: field.metadata[name] for name in names if name in field.metadata}
    if field.allow_none and isinstance(declared.get("type", ret.get("type")), str):
        declared["type"] = [declared.get("type", ret.get("type")), "null"]
        if "enum" in declared:
            declared["enum"] = [*declared["enum"], None]
    return declared


def _describe(operation: Operation) -> dict[str, Any]:
    english, _, more = inspect.cleandoc(operation.view.__doc__ or "").partition("\n\n")
    described: dict[str, Any] = {
        "operationId": operation.name,
        "summary": f"{operation.zh} · {english.rstrip('.')}",
        "description": _description(operation, english, more),
        "tags": [operation.tag],
        "security": [] if operation.access.name == "public" else _security(operation),
        "parameters": _parameters(operation),
        "responses": _responses(operation),
    }
    if operation.body:
        content: dict[str, Any] = {"schema": operation.body, "example": example(operation.body)}
        described["requestBody"] = {"required": True, "content": {JSON: content}}
    return described


def _description(operation: Operation, english: str, more: str) -> str:
    text = more or f"{operation.zh}。\n\n{english}"
    return f"{text}\n\n{_NEEDS_PRIVILEGE}" if operation.access.needs_privilege else text


def _security(operation: Operation) -> list[dict[str, list[str]]]:
    optional = operation.access.name == "guest"
    needed = [_PRIVILEGED] if operation.access.needs_privilege else []
    return [{"bearer": needed}, {}] if optional else [{"bearer": needed}]


def _parameters(operation: Operation) -> list[Any]:
    found: list[Any] = []
    for name in operation.path_parameters:
        is_id = name.endswith("_id")
        schema = {"type": "string", "format": "uuid"} if is_id else {"type": "string", "maxLength": 64}
        sample = "0199f0c2-b7a0-7c3f-9f5d-2f7a1c3e5b7d" if is_id else _SAMPLES[name]
        found.append({"name": name, "in": "path", "required": True, "schema": schema, "example": sample})
    if operation.query:
        found.append({"in": "query", "schema": operation.query})
    if operation.idempotent:
        text = {"type": "string", "minLength": 1, "maxLength": 255}
        found.append({"name": "Idempotency-Key", "in": "header", "required": False, "schema": text,
                      "description": "同一个键重复提交只生效一次（24 小时）。The same key takes effect once within 24 hours."})  # fmt: skip
    if operation.people:
        text = {"type": "string", "maxLength": 2000}
        found.append({"name": "X-Purpose", "in": "header", "required": False, "schema": text,
                      "description": f"查看个人信息的用途，记入审计日志，至多 {MAX_PURPOSE_CHARS} 字，百分号编码（UTF-8），勿写姓名。What the personal data are read for; kept in the audit log, percent-encoded UTF-8, no names."})  # fmt: skip
    if operation.if_match:
        found.append({"name": "If-Match", "in": "header", "required": operation.if_match is not IfMatch.OPTIONAL, "schema": {"type": "string"},
                      "description": "读取时得到的 ETag，或 *。The ETag that was read, or *."})  # fmt: skip
    return found


def _responses(operation: Operation) -> dict[str, Any]:
    success: dict[str, Any] = {
        "description": "成功 · Success",
        "headers": _headers("RateLimit-Policy", "RateLimit"),
    }
    if operation.returns:
        success["content"] = {JSON: {"schema": operation.returns, "example": example(operation.returns)}}
    if operation.binary:
        success["content"] = {operation.binary.media_type: _file(operation.binary)}
    responses = {str(operation.status): success}
    if operation.cache:
        responses["304"] = {"description": "未改变 · Not modified"}
    by_status: dict[int, list[type[DomainError]]] = {}
    for refusal in refusals(operation):
        by_status.setdefault(refusal.status, []).append(refusal)
    for status, group in sorted(by_status.items()):
        shared = _SHARED_ANSWERS.get(frozenset(group))
        responses[str(status)] = {"$ref": f"#/components/responses/{shared}"} if shared else _problem(group)
    return responses


def _headers(*names: str) -> dict[str, Any]:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def _file(binary: Binary) -> dict[str, Any]:
    if binary.example is None:
        return {"schema": {"type": "string", "format": "binary"}}
    return {"schema": {"type": "string"}, "example": binary.example}


def _problem(group: list[type[DomainError]]) -> dict[str, Any]:
    codes = sorted({refusal.code: refusal for refusal in group}.items())
    lines = [f"- `{code}`: {refusal.zh} {refusal.en}" for code, refusal in codes]
    examples = {code: {"$ref": f"#/components/examples/{code}"} for code, _ in codes}
    problem: dict[str, Any] = {
        "description": "\n".join(lines),
        "content": {PROBLEM: {"schema": {"$ref": "#/components/schemas/Problem"}, "examples": examples}},
    }
    if group[0].status == TooMany.status:
        problem["headers"] = _headers(*_HEADERS)
    return problem


def _problem_example(refusal: type[DomainError]) -> dict[str, Any]:
    return DomainError.problem(_Sample(refusal), Language.ZH, "0199f0c2b7a07c3f9f5d2f7a1c3e5b7d")


class _Sample(DomainError):
    """A refusal whose placeholders are not filled, for the document."""

    def __init__(self, refusal: type[DomainError]) -> None:
        self.issues, self.params = (), {}
        for name in ("status", "code", "zh", "en"):
            setattr(self, name, getattr(refusal, name))

    def sentence(self, language: Language) -> str:
        return self.zh if language is Language.ZH else self.en


def example(schema: type[Schema]) -> dict[str, Any]:
    """Return an example object, put together from the examples of its fields."""
    return {
        field.data_key or name: _field_example(field)
        for name, field in schema().fields.items()
        if "example" in field.metadata or isinstance(field, fields.Nested | fields.List) or field.required
    }


def _field_example(field: fields.Field[Any]) -> Any:
    if "example" in field.metadata:
        return field.metadata["example"]
    if isinstance(field, fields.Nested):
        return example(type(field.schema))
    if isinstance(field, fields.List):
        inner = field.inner
        return (
            [_field_example(inner)] if isinstance(inner, fields.Nested) or "example" in inner.metadata else []
        )
    if field.allow_none:
        return None
    raise TypeError(
        f"{field.parent.__class__.__name__}.{field.name}: a required field needs metadata={{'example': …}}"
    )
