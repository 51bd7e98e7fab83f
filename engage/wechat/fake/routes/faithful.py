"""WeChat's own addresses."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from flask import Blueprint, Response, request

from engage.wechat.fake import identifiers
from engage.wechat.fake.world import Refusal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from engage.wechat.fake.world import App, World

PHONE_PATH: Final = "/wxa/business/getuserphonenumber"
_METHODS: Final = ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"]
_FORM_TYPES: Final = ("application/x-www-form-urlencoded", "multipart/form-data")


def answer(path: str, body: Mapping[str, Any], status: int = 200, rid: str | None = None) -> Response:
    """Return JSON under the content type that WeChat gives it at this path."""
    content_type = "text/plain" if path.startswith("/sns/") else "application/json; encoding=utf-8"
    response = Response(json.dumps(body, ensure_ascii=False), status, content_type=content_type)
    if rid:
        response.headers["X-Fake-Rid"] = rid
    return response


def refuse(world: World, path: str, refusal: Refusal) -> Response:
    """Return an errcode, with the request id in the form of the path's family."""
    serial = world.fresh()
    rid = identifiers.request_id(int(world.now.timestamp()), *serial)
    if path.startswith("/sns/"):
        suffix = f", rid: {rid}"
    elif path == PHONE_PATH:
        suffix = f" hint: [{identifiers.hint(*serial)}] rid: {rid}"
    else:
        suffix = f" rid: {rid}"
    return answer(path, {"errcode": refusal.errcode, "errmsg": refusal.errmsg + suffix}, rid=rid)


def faithful_plane(world: World) -> Blueprint:
    """Return the addresses that the gateway calls; all others answer 40066, as WeChat does."""
    plane = Blueprint("wechat", __name__)

    @plane.errorhandler(Refusal)
    def refused(refusal: Refusal) -> Response:
        return refuse(world, request.path, refusal)

    @plane.route("/sns/jscode2session", methods=_METHODS)
    def jscode2session() -> Response:
        _require_method("GET")
        query = request.args
        app = _app(world, query, "authorization_code", "js_code")
        return answer(request.path, world.log_in(app, query["js_code"]))

    @plane.route("/cgi-bin/token", methods=_METHODS)
    def token() -> Response:
        _require_method("GET")
        issued = world.classic_token(_app(world, request.args, "client_credential"))
        return answer(request.path, {"access_token": issued.value, "expires_in": world.seconds_left(issued)})

    @plane.route("/cgi-bin/stable_token", methods=_METHODS)
    def stable_token() -> Response:
        _require_method("POST")
        body = _json_body()
        force = body.get("force_refresh", False)
        if not isinstance(force, bool):
            raise Refusal(47001, "data format error")
        issued = world.stable_token(_app(world, body, "client_credential"), force=force)
        return answer(request.path, {"access_token": issued.value, "expires_in": world.seconds_left(issued)})

    @plane.route(PHONE_PATH, methods=_METHODS)
    def phone_number() -> Response:
        appid = world.check_token(request.args.get("access_token"))
        _require_method("POST")
        body = _json_body()
        revealed = world.reveal_phone(appid, body.get("code"), body.get("openid"))
        return answer(request.path, {"errcode": 0, "errmsg": "ok", "phone_info": revealed})

    @plane.route("/", defaults={"path": ""}, methods=_METHODS)
    @plane.route("/<path:path>", methods=_METHODS)
    def unknown(path: str) -> Response:  # noqa: ARG001 - whatever it is
        raise Refusal(40066, "invalid url")

    return plane


def _require_method(method: str) -> None:
    if request.method != method:
        code = 43001 if method == "GET" else 43002
        raise Refusal(code, f"require {method} method")


def _json_body() -> dict[str, Any]:
    raw = request.get_data()
    if not raw:
        raise Refusal(44002, "empty post data")
    try:
        body = json.loads(raw)
    except ValueError:
        body = None
    if not isinstance(body, dict) or request.mimetype in _FORM_TYPES:
        raise Refusal(47001, "data format error")
    return body


def _app(world: World, given: Mapping[str, Any], grant_type: str, code_field: str | None = None) -> App:
    """Check what log-in and both tokens have in common, in WeChat's order."""
    required = [("appid", 41002, "appid missing"), ("secret", 41004, "appsecret missing")]
    if code_field:
        required.append((code_field, 41008, "missing code"))
    for name, errcode, errmsg in required:
        if not isinstance(given.get(name), str) or not given[name]:
            raise Refusal(errcode, errmsg)
    if given.get("grant_type") != grant_type:
        raise Refusal(40002, "invalid grant_type")
    return world.app(given["appid"], given["secret"])
