"""What the phone, the owner of a mini program, and a test do: mint codes, move the clock, order faults."""

from __future__ import annotations

import ipaddress
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from flask import Blueprint, Response, jsonify, request
from werkzeug.exceptions import BadRequest, Forbidden

from engage.wechat.fake import identifiers
from engage.wechat.fake.faults import fault_from

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from engage.wechat.fake.faults import Faults
    from engage.wechat.fake.record import Record
    from engage.wechat.fake.world import User, World

    View = tuple[str, str, Callable[..., Response]]

PREFIX: Final = "/__fake__"
USER_FIELDS: Final = ("key", "nickname", "phone", "countryCode", "blocked")


def control_plane(world: World, faults: Faults, record: Record, restart: Callable[[], None]) -> Blueprint:
    """Return the addresses under ``/__fake__/``; only this machine may use them."""
    plane = Blueprint("control", __name__, url_prefix=PREFIX)
    plane.before_request(_only_from_here)
    plane.register_error_handler(BadRequest, _malformed)
    for part in (_Phones(world), _Stage(world, faults, record, restart)):
        for method, path, view in part.views():
            plane.add_url_rule(path, view.__name__, view, methods=[method])
    return plane


def _only_from_here() -> None:
    if not ipaddress.ip_address(request.remote_addr or "0.0.0.0").is_loopback:  # noqa: S104 - nobody's address
        raise Forbidden


def _malformed(error: BadRequest) -> tuple[Response, int]:
    return jsonify(error=error.description), 400


class _Phones:
    """Users, and what they do on their phones."""

    def __init__(self, world: World) -> None:
        self._world = world

    def views(self) -> Iterable[View]:
        yield "GET", "/users", self.list_users
        yield "POST", "/users", self.put_user
        yield "POST", "/users/<name>/login-code", self.login_code
        yield "POST", "/users/<name>/phone-code", self.phone_code

    def list_users(self) -> Response:
        return jsonify(users=[self._shown(user) for user in self._world.users.values()])

    def put_user(self) -> Response:
        return jsonify(self._shown(add_user(self._world, _given(*USER_FIELDS))))

    def login_code(self, name: str) -> Response:
        given = _given("appid", "keepSessionKey")
        code = self._world.mint_login_code(
            given.get("appid", self._world.appid),
            self._world.user(name),
            keep_session_key=given.get("keepSessionKey", False),
        )
        return jsonify(code=code)

    def phone_code(self, name: str) -> Response:
        appid = _given("appid").get("appid", self._world.appid)
        return jsonify(code=self._world.mint_phone_code(appid, self._world.user(name)))

    def _shown(self, user: User) -> dict[str, object]:
        return {
            "id": user.id,
            "key": user.key,
            "nickname": user.nickname,
            "blocked": user.blocked,
            "openid": self._world.openid(self._world.appid, user),
            "unionid": identifiers.unionid_of(user.key, self._world.seed),
        }


class _Stage:
    """Mini programs, time, faults and the record."""

    def __init__(self, world: World, faults: Faults, record: Record, restart: Callable[[], None]) -> None:
        self._world, self._faults, self._record, self._restart = world, faults, record, restart

    def views(self) -> Iterable[View]:
        yield "POST", "/apps", self.put_app
        yield "POST", "/clock", self.move_clock
        yield "POST", "/faults", self.order_fault
        yield "GET", "/requests", self.list_requests
        yield "POST", "/reset", self.reset
        yield "GET", "/health", self.health

    def put_app(self) -> Response:
        given = _given("appid", "secret", "unionBound", "classicQuota")
        app = self._world.add_app(
            _text(given, "appid"),
            _text(given, "secret"),
            union_bound=given.get("unionBound", True),
            classic_quota=given.get("classicQuota", False),
        )
        return jsonify(appid=app.appid, unionBound=app.union_bound, classicQuota=app.classic_quota)

    def move_clock(self) -> Response:
        seconds = _given("advanceSeconds").get("advanceSeconds")
        if not isinstance(seconds, int | float):
            raise BadRequest("advanceSeconds is required")
        self._world.ahead += timedelta(seconds=seconds)
        return self.health()

    def order_fault(self) -> Response:
        try:
            self._faults.add(fault_from(_object()))
        except ValueError as error:
            raise BadRequest(str(error)) from error
        return jsonify({})

    def list_requests(self) -> Response:
        return jsonify(requests=self._record.entries(request.args.get("path")))

    def reset(self) -> Response:
        self._restart()
        return jsonify({})

    def health(self) -> Response:
        return jsonify(now=self._world.now.isoformat(), appid=self._world.appid)


def add_user(world: World, given: Mapping[str, Any]) -> User:
    """Create or change a user from the fields of ``USER_FIELDS``; only ``key`` is required."""
    return world.put_user(
        _text(given, "key"),
        given.get("nickname"),
        given.get("phone"),
        str(given.get("countryCode", "86")),
        blocked=bool(given.get("blocked", False)),
    )


def _text(given: Mapping[str, Any], name: str) -> str:
    value = given.get(name)
    if not isinstance(value, str) or not value:
        raise BadRequest(f"{name} is required")
    return value


def _object() -> dict[str, Any]:
    given = request.get_json(silent=True) if request.get_data() else {}
    if not isinstance(given, dict):
        raise BadRequest("the body must be a JSON object")
    return given


def _given(*known: str) -> dict[str, Any]:
    given = _object()
    unknown = set(given) - set(known)
    if unknown:
        raise BadRequest(f"there is no {sorted(unknown)}; known are {list(known)}")
    return given
