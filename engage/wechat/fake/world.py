"""What the stand-in knows: mini programs, users, codes, and the rules of codes and tokens."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from engage.core import clock
from engage.wechat.fake import identifiers

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import date

DEFAULT_APPID: Final = "wxfa4e00000000e9a9"
DEFAULT_SECRET: Final = "fa4efa4efa4efa4efa4efa4efa4efa4e"  # noqa: S105 - opens nothing but the stand-in
_CODE_LIFE: Final = timedelta(minutes=5)
_TOKEN_LIFE: Final = timedelta(seconds=7200)
_SUPERSEDED_LIFE: Final = timedelta(minutes=5)
_RENEWED_BEFORE_END: Final = timedelta(minutes=5)
_FORCED_GAP: Final = timedelta(seconds=30)
_FORCED_PER_DAY: Final = 20
_CLASSIC_PER_DAY: Final = 2000
_LOGINS_PER_MINUTE: Final = 100


class Refusal(Exception):
    """An answer with an errcode."""

    def __init__(self, errcode: int, errmsg: str) -> None:
        super().__init__(errcode)
        self.errcode, self.errmsg = errcode, errmsg


@dataclass
class Token:
    """An access token; ``dies_at`` is set when a newer one supersedes it."""

    value: str
    appid: str
    expires_at: datetime
    dies_at: datetime | None = None


@dataclass
class App:
    """A mini program."""

    appid: str
    secret: str
    union_bound: bool = True
    classic_quota: bool = False
    classic: list[Token] = field(default_factory=list)
    stable: list[Token] = field(default_factory=list)
    classic_calls: dict[date, int] = field(default_factory=dict)
    forced_at: list[datetime] = field(default_factory=list)


@dataclass
class User:
    """Somebody who uses WeChat."""

    id: str
    key: str
    nickname: str
    phone: str
    country_code: str = "86"
    blocked: bool = False
    session_serial: int = 0
    logins: list[datetime] = field(default_factory=list)


@dataclass
class Code:
    """A code of one user in one mini program, good once and for five minutes."""

    appid: str
    user: User
    minted_at: datetime
    used: bool = False


class World:
    """The state, in memory. Its caller sees to it that requests come one at a time."""

    def __init__(self, seed: str, source: Callable[[], datetime], appid: str, secret: str) -> None:
        self.seed, self.appid, self._secret = seed, appid, secret
        self._source = source
        self._serial = 0  # never reset: a code or token must not come twice
        self.clear()

    def clear(self) -> None:
        """Go back to one mini program, no users and the true time."""
        self.ahead = timedelta()
        self.users: dict[str, User] = {}
        self.login_codes: dict[str, Code] = {}
        self.phone_codes: dict[str, Code] = {}
        self.tokens: dict[str, Token] = {}
        self.apps: dict[str, App] = {self.appid: App(self.appid, self._secret)}

    @property
    def now(self) -> datetime:
        return self._source() + self.ahead

    def fresh(self) -> tuple[str, int, datetime]:
        """Return what makes the next identifier differ from all others, also from those before a restart."""
        self._serial += 1
        return self.seed, self._serial, self.now

    # Mini programs and users

    def add_app(self, appid: str, secret: str, *, union_bound: bool, classic_quota: bool) -> App:
        app = App(appid, secret, union_bound, classic_quota)
        self.apps[appid] = app
        return app

    def app(self, appid: str, secret: str) -> App:
        """Return the mini program of these credentials."""
        app = self.apps.get(appid)
        if app is None:
            raise Refusal(40013, "invalid appid")
        if app.secret != secret:
            raise Refusal(40125, "invalid appsecret")
        return app

    def put_user(
        self, key: str, nickname: str | None, phone: str | None, country_code: str, *, blocked: bool
    ) -> User:
        """Create a user, or change the one with this key."""
        known = self.users.get(key)
        user = User(
            known.id if known else str(len(self.users) + 1),
            key,
            nickname or key,
            phone or identifiers.phone_of(key, self.seed),
            country_code,
            blocked,
        )
        self.users[key] = user
        return user

    def user(self, name: str) -> User:
        """Return the user with this key or id; a new name is a new user."""
        for user in self.users.values():
            if name in (user.key, user.id):
                return user
        return self.put_user(name, None, None, "86", blocked=False)

    def openid(self, appid: str, user: User) -> str:
        return identifiers.openid_of(appid, user.key, self.seed)

    # Codes

    def mint_login_code(self, appid: str, user: User, *, keep_session_key: bool) -> str:
        """Do what ``wx.login`` does on the phone."""
        if not keep_session_key or user.session_serial == 0:
            user.session_serial += 1
        value = identifiers.js_code(user.key, *self.fresh())
        self.login_codes[value] = Code(appid, user, self.now)
        return value

    def mint_phone_code(self, appid: str, user: User) -> str:
        """Do what the phone button does."""
        value = identifiers.phone_code(user.key, *self.fresh())
        self.phone_codes[value] = Code(appid, user, self.now)
        return value

    def log_in(self, app: App, js_code: str) -> dict[str, object]:
        """Exchange a login code."""
        code = self.login_codes.get(js_code)
        if code is not None and code.used:
            raise Refusal(40163, "code been used")
        if code is None or code.appid != app.appid or self.now - code.minted_at > _CODE_LIFE:
            raise Refusal(40029, "invalid code")
        if code.user.blocked:
            raise Refusal(40226, "code blocked")
        self._count_login(code.user)
        code.used = True
        answer: dict[str, object] = {
            "session_key": identifiers.session_key(
                self.seed, app.appid, code.user.key, code.user.session_serial
            ),
            "openid": self.openid(app.appid, code.user),
        }
        if app.union_bound:
            answer["unionid"] = identifiers.unionid_of(code.user.key, self.seed)
        return answer

    def _count_login(self, user: User) -> None:
        minute_ago = self.now - timedelta(minutes=1)
        user.logins = [instant for instant in user.logins if instant > minute_ago]
        if len(user.logins) >= _LOGINS_PER_MINUTE:
            raise Refusal(45011, "api minute-quota reach limit  mustslower  retry next minute")
        user.logins.append(self.now)

    def reveal_phone(self, appid: str, code_value: object, openid: object) -> dict[str, object]:
        """Exchange a phone code; a login code, a used one or another user's openid are all just invalid."""
        code = self.phone_codes.get(code_value) if isinstance(code_value, str) else None
        if code is None or code.used or self.now - code.minted_at > _CODE_LIFE:
            raise Refusal(40029, "invalid code")
        if code.appid != appid:
            raise Refusal(40013, "invalid appid")
        user = code.user
        if openid is not None and openid != self.openid(appid, user):
            raise Refusal(40029, "invalid code")
        code.used = True
        return {
            "phoneNumber": user.phone if user.country_code == "86" else f"{user.country_code}{user.phone}",
            "purePhoneNumber": user.phone,
            "countryCode": user.country_code,
            "watermark": {"timestamp": int(self.now.timestamp()), "appid": appid},
        }

    # Tokens

    def check_token(self, value: str | None) -> str:
        """Return the appid of a live token."""
        if not value:
            raise Refusal(41001, "access_token missing")
        token = self.tokens.get(value)
        if token is None or (token.dies_at is not None and token.dies_at <= self.now):
            raise Refusal(
                40001,
                "invalid credential, access_token is invalid or not latest, could get access_token by"
                " getStableAccessToken, more details at https://mmbizurl.cn/s/JtxxFh33r",
            )
        if token.expires_at <= self.now:
            raise Refusal(42001, "access_token expired")
        return token.appid

    def _issue(self, app: App) -> Token:
        seed, serial, now = self.fresh()
        token = Token(
            identifiers.access_token(serial, seed, now, app.appid), app.appid, self.now + _TOKEN_LIFE
        )
        self.tokens[token.value] = token
        return token

    def classic_token(self, app: App) -> Token:
        """Issue a token; the one before lives five more minutes."""
        today = clock.shanghai_day(self.now)
        calls = app.classic_calls.get(today, 0)
        if app.classic_quota and calls >= _CLASSIC_PER_DAY:
            raise Refusal(45009, "reach max api daily quota limit")
        app.classic_calls[today] = calls + 1
        for token in app.classic[-1:]:
            token.dies_at = self.now + _SUPERSEDED_LIFE
        app.classic.append(self._issue(app))
        return app.classic[-1]

    def stable_token(self, app: App, *, force: bool) -> Token:
        """Return the token that every caller gets; ``force`` kills it and issues another."""
        current = app.stable[-1] if app.stable else None
        if force:
            return self._forced_token(app, current)
        if current is None or current.expires_at - self.now <= _RENEWED_BEFORE_END:
            app.stable.append(self._issue(app))
        return app.stable[-1]

    def _forced_token(self, app: App, current: Token | None) -> Token:
        if current and app.forced_at and self.now - app.forced_at[-1] < _FORCED_GAP:
            return current
        today = clock.shanghai_day(self.now)
        if sum(clock.shanghai_day(instant) == today for instant in app.forced_at) >= _FORCED_PER_DAY:
            raise Refusal(45009, "reach max api daily quota limit")
        app.forced_at.append(self.now)
        for token in app.stable:
            token.dies_at = self.now
        app.stable.append(self._issue(app))
        return app.stable[-1]

    def seconds_left(self, token: Token) -> int:
        return int((token.expires_at - self.now).total_seconds())
