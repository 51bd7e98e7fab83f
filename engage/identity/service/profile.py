"""What people say about themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from engage.core import clock
from engage.core.crypto import keyed_hash
from engage.core.errors import InvalidInput, Issue
from engage.identity.access import refuse_inactive
from engage.identity.errors import TooOld, TooYoung
from engage.identity.gateway import phone_number
from engage.identity.models import PHONE_PURPOSE, Person
from engage.identity.queries import openid_of, read_me
from engage.regions.models import DivisionLevel
from engage.regions.queries import current_codes

if TYPE_CHECKING:
    from engage.core.config import Settings
    from engage.core.db import Errand, Look
    from engage.wechat.gateway import WeChatGateway

MIN_AGE: Final = 14  # below it the law asks for a guardian's consent (PIPL article 31)

_COUNTY_OR_BELOW: Final = (DivisionLevel.COUNTY, DivisionLevel.TOWNSHIP, DivisionLevel.VILLAGE)
_PREFECTURE_OR_BELOW: Final = (DivisionLevel.PREFECTURE, *_COUNTY_OR_BELOW)
# Not divided into counties: 台湾省 (in the data), 香港, 澳门, and the cities 东莞, 中山, 儋州, 嘉峪关.
_WITHOUT_COUNTIES: Final = frozenset({"710000", "810000", "820000", "441900", "442000", "460400", "620200"})
# Not divided into prefectures: the four municipalities 北京, 天津, 上海, 重庆 beside the above.
_WITHOUT_PREFECTURES: Final = _WITHOUT_COUNTIES | {"110000", "120000", "310000", "500000"}


def replace_profile(errand: Errand, gateway: WeChatGateway, body: dict[str, Any]) -> dict[str, Any]:
    """Replace the caller's profile, and with a ``phone_code`` the phone number; return what they see then.

    A birth date may be corrected. Its limits are checked when it is new or changed, so that someone who has grown
    out of them can still correct the rest.

    Raises:
        InvalidInput: a division that is unknown, retired or of the wrong level; a birth date to come.
        TooYoung: under 14.
        TooOld: over the limit of the settings.
        WeChatPhoneCodeRefused: WeChat does not know the code, or it is not the caller's.
        WeChatAccountBlocked: WeChat has restricted the account.
        WeChatUnavailable: WeChat cannot be reached or is busy.
        WeChatNotConfigured: WeChat refuses our credentials.
        AccountSuspended: stopped by staff meanwhile.
        AccountClosed: closed by its owner meanwhile.

    """
    phone_code = body["phone_code"]
    with errand.look() as look:
        divisions = _check_profile(look, body)
        openid = openid_of(look, look.actor.id) if phone_code else None
    phone = phone_number(gateway, phone_code, openid) if phone_code else None
    with errand.work() as work:
        person = work.session.get_one(Person, work.actor.id)
        refuse_inactive(person.status)
        person.name, person.gender, person.birth_on = body["name"], body["gender"], body["birth_on"]
        person.hometown_code, person.current_code = divisions
        if phone is not None:
            person.phone_sealed = work.settings.keyring.seal(phone, PHONE_PURPOSE)
            person.phone_hash = keyed_hash(work.settings.key("phone-hash"), phone)
        person.updated_at = work.now
        work.session.flush()
        return read_me(work, work.actor.id)


def _check_profile(look: Look, body: dict[str, Any]) -> tuple[str, str]:
    """Return the codes of hometown and present division as they are today."""
    today = clock.shanghai_day(look.now)
    known = current_codes(look, {body["hometown_code"], body["current_code"]})
    wanted = {
        "hometown_code": (_COUNTY_OR_BELOW, _WITHOUT_COUNTIES),
        "current_code": (_PREFECTURE_OR_BELOW, _WITHOUT_PREFECTURES),
    }
    codes: list[str] = []
    issues: list[Issue] = []
    for field, (levels, also) in wanted.items():
        found = _division(known, body[field], levels, also)
        if isinstance(found, str):
            codes.append(found)
        else:
            issues.append(Issue(f"/{field}", *found))
    if body["birth_on"] > today:
        issues.append(Issue("/birth_on", "invalid"))
    if issues:
        raise InvalidInput(*issues)
    if body["birth_on"] != look.actor.birth_on:
        _check_age(look.settings, clock.age_on(body["birth_on"], today))
    return codes[0], codes[1]


def _division(
    known: dict[str, tuple[str, DivisionLevel] | None],
    given: str,
    levels: tuple[DivisionLevel, ...],
    also: frozenset[str],
) -> str | tuple[str, dict[str, object]]:
    """Return today's code of a division, or what is wrong with it."""
    if given not in known:
        return "no_such_division", {}
    today = known[given]
    if today is None:
        return "division_retired", {}
    code, level = today
    if level not in levels and code not in also:
        return "wrong_division_level", {"levels": ", ".join(levels)}
    return code


def _check_age(settings: Settings, age: int) -> None:
    if age < MIN_AGE:
        raise TooYoung(min_age=MIN_AGE)
    if age > settings.max_age:
        raise TooOld(max_age=settings.max_age)
