"""What people say about themselves."""

from __future__ import annotations

from datetime import date

import pytest
from counting import count_statements
from sqlalchemy import insert, select

from engage.core import clock
from engage.core.crypto import keyed_hash
from engage.identity.models import Gender, Person, PersonStatus, WeChatAccount, mask_phone
from engage.regions.models import Division, DivisionLevel
from engage.wechat.errors import WeChatAccountBlocked, WeChatBusy, WeChatMisconfigured, WeChatUserActionNeeded

OPENID = "oGZUI0egBJY1zhBYw2KhdUfwVJJE"
PHONE_CODE = "e31968a7f94cc5ee25fafc2aef2773f0bb8c3937b22520eb8ee345274d00c144"
PROFILE = {
    "name": "李晓燕",
    "gender": "female",
    "birth_on": "2006-03-05",
    "hometown_code": "140524",
    "current_code": "140100",
}


@pytest.fixture
def person(make, settings, frozen):
    """Somebody who has just logged in through WeChat for the first time."""
    person = make.person(name=None, gender=None, birth_on=None, hometown_code=None, current_code=None)
    make.add(
        WeChatAccount(appid=settings.wechat_appid, openid=OPENID, person_id=person.id, linked_at=clock.now())
    )
    return person


@pytest.fixture
def put(as_user, person, gateway):
    """Send the profile of that person, with some values changed."""
    client = as_user(person.id)
    return lambda **values: client.put("/v1/me", json={**PROFILE, **values})


def stored(database, person, column):
    with database.reading() as connection:
        return connection.scalar(select(column).where(Person.id == person.id))


def faults(answer):
    assert (answer.status_code, answer.json["code"]) == (422, "invalid_input"), answer.json
    return {(error["pointer"], error["code"]) for error in answer.json["errors"]}


def test_a_profile_is_complete_when_everything_is_said(put, as_user, person):
    client = as_user(person.id)
    assert client.get("/v1/me").json["profile_complete"] is False
    answer = put()
    assert answer.status_code == 200
    assert answer.json == {
        "id": str(person.id),
        "name": "李晓燕",
        "gender": "female",
        "birth_on": "2006-03-05",
        "hometown": {"code": "140524", "name": "陵川县"},
        "current": {"code": "140100", "name": "太原市"},
        "phone_masked": None,
        "profile_complete": True,
        "created_at": "2026-10-01T10:00:00+08:00",
    }
    assert client.get("/v1/me").json == answer.json


@pytest.mark.parametrize("missing", ["name", "gender", "birth_on", "hometown_code", "current_code"])
def test_without_any_one_of_them_it_is_not_complete(as_user, make, frozen, missing):
    assert as_user(make.person().id).get("/v1/me").json["profile_complete"] is True
    assert as_user(make.person(**{missing: None}).id).get("/v1/me").json["profile_complete"] is False


def test_only_oneself_can_be_read_and_changed(client, frozen):
    assert client.get("/v1/me").json["code"] == "not_logged_in"
    assert client.put("/v1/me", json=PROFILE).json["code"] == "not_logged_in"


def test_my_profile_is_two_statements(app, as_user, make, frozen):
    client = as_user(make.person().id)
    with count_statements(app) as sent:
        client.get("/v1/me")
    assert len(sent) == 2


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("李晓燕", "李晓燕"),
        ("  李  晓燕 ", "李 晓燕"),
        ("李\t晓\u3000燕", "李 晓 燕"),
        ("阿卜杜拉•买买提", "阿卜杜拉·买买提"),
        ("阿卜杜拉・买买提", "阿卜杜拉·买买提"),
        ("O Brien", "O Brien"),
        ("Jose\u0301", "José"),
        ("𬭛", "𬭛"),
        ("ئابدۇللا", "ئابدۇللا"),
        ("名" * 40, "名" * 40),
    ],
)
def test_names_of_any_script_are_kept_in_one_form(put, given, kept):
    assert put(name=given).json["name"] == kept


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("", "too_short"),
        ("   ", "too_short"),
        ("名" * 41, "too_long"),
        ("李4", "bad_characters"),
        ("李😀", "bad_characters"),
        ("李\n晓", "bad_characters"),
        ("李\u0000", "bad_characters"),
        ("李\u202e晓", "bad_characters"),
        ("李\u200b晓", "bad_characters"),
        ("<b>", "bad_characters"),
        ("李,晓", "bad_characters"),
        ("·", "bad_characters"),
        ("\u3164", "bad_characters"),
        ("李\u3164", "bad_characters"),
        (None, "null"),
        (7, "not_text"),
    ],
)
def test_what_is_no_name_is_refused(put, database, person, name, code):
    assert faults(put(name=name)) == {("/name", code)}
    assert stored(database, person, Person.name) is None


@pytest.mark.parametrize(
    ("field", "value", "code"),
    [
        ("gender", "other", "not_choice"),
        ("gender", None, "null"),
        ("birth_on", "2006-02-30", "not_date"),
        ("birth_on", "5.3.2006", "not_date"),
        ("birth_on", 2006, "not_date"),
        ("hometown_code", "14052", "too_short"),
        ("hometown_code", "1405240", "bad_format"),
        ("hometown_code", 140524, "not_text"),
        ("current_code", "", "too_short"),
        ("phone_code", "", "too_short"),
        ("phone_code", "a" * 129, "too_long"),
        ("phone_code", 5, "not_text"),
        ("id", "x", "unknown_field"),
        ("phone", "+8613800138000", "unknown_field"),
        ("status", "active", "unknown_field"),
    ],
)
def test_bad_values_are_refused(put, database, person, field, value, code):
    assert faults(put(**{field: value})) == {(f"/{field}", code)}
    assert stored(database, person, Person.name) is None


@pytest.mark.parametrize("field", sorted(PROFILE))
def test_everything_must_be_said(as_user, person, gateway, field):
    given = {name: value for name, value in PROFILE.items() if name != field}
    assert faults(as_user(person.id).put("/v1/me", json=given)) == {(f"/{field}", "required")}


@pytest.fixture
def more_divisions(database):
    """Divisions that have no counties below them, for one test."""
    rows = [
        ("441900", "东莞市", DivisionLevel.PREFECTURE, None),
        ("810000", "香港特别行政区", DivisionLevel.PROVINCE, None),
        ("110101", "东城区", DivisionLevel.COUNTY, "110000"),
    ]
    with database.transaction() as session:
        for code, name, level, parent in rows:
            session.execute(
                insert(Division),
                {
                    "code": code,
                    "name": name,
                    "level": level,
                    "parent_code": parent,
                    "point_is_placeholder": False,
                },
            )
    yield
    with database.transaction() as session:
        session.execute(Person.__table__.update().values(hometown_code=None, current_code=None))
        session.execute(Division.__table__.delete().where(Division.code.in_([row[0] for row in rows])))


@pytest.mark.parametrize(
    ("field", "code", "fault"),
    [
        ("hometown_code", "140524", None),
        ("hometown_code", "140524100", None),
        ("hometown_code", "140502001001", None),
        ("hometown_code", "110101", None),
        ("hometown_code", "441900", None),
        ("hometown_code", "810000", None),
        ("hometown_code", "140500", "wrong_division_level"),
        ("hometown_code", "140000", "wrong_division_level"),
        ("hometown_code", "110000", "wrong_division_level"),
        ("hometown_code", "140599", "no_such_division"),
        ("hometown_code", "140511", "division_retired"),
        ("current_code", "140100", None),
        ("current_code", "140524", None),
        ("current_code", "140502001001", None),
        ("current_code", "110000", None),
        ("current_code", "110101", None),
        ("current_code", "810000", None),
        ("current_code", "140000", "wrong_division_level"),
        ("current_code", "999999", "no_such_division"),
        ("current_code", "140511", "division_retired"),
    ],
)
def test_divisions_must_exist_and_say_enough(put, more_divisions, field, code, fault):
    answer = put(**{field: code})
    if fault:
        assert faults(answer) == {(f"/{field}", fault)}
    else:
        assert answer.json[field.removesuffix("_code")]["code"] == code


def test_a_retired_division_is_kept_as_what_it_became(put, database, person):
    answer = put(hometown_code="140523", current_code="140523")
    assert answer.json["hometown"] == answer.json["current"] == {"code": "140581", "name": "高平市"}
    assert stored(database, person, Person.hometown_code) == "140581"


def test_all_faults_are_told_at_once(put):
    answer = put(hometown_code="140000", current_code="999999", birth_on="2026-10-02")
    assert faults(answer) == {
        ("/hometown_code", "wrong_division_level"),
        ("/current_code", "no_such_division"),
        ("/birth_on", "invalid"),
    }


@pytest.mark.parametrize(
    ("birth_on", "code"),
    [
        ("2012-10-01", None),  # 14 today
        ("2012-10-02", "too_young"),  # 14 tomorrow
        ("2026-10-01", "too_young"),
        ("1990-10-02", None),  # 36 tomorrow
        ("1990-10-01", "too_old"),  # 36 today
        ("1900-01-01", "too_old"),
    ],
)
def test_ages_are_full_years_on_the_day_in_shanghai(put, database, person, frozen, birth_on, code):
    frozen.set(clock.day_start(date(2026, 10, 1)))  # still 30 September in Greenwich
    answer = put(birth_on=birth_on)
    if code is None:
        assert answer.json["birth_on"] == birth_on
    else:
        assert (answer.status_code, answer.json["code"]) == (403, code)
        assert stored(database, person, Person.name) is None


def test_the_sentence_names_the_limit(put, settings):
    assert "14" in put(birth_on="2020-01-01").json["detail"]
    assert str(settings.max_age) in put(birth_on="1980-01-01").json["detail"]


def test_a_birth_date_may_be_corrected_within_the_limits(put):
    assert put(birth_on="2006-03-05").status_code == 200
    assert put(birth_on="2006-05-03").json["birth_on"] == "2006-05-03"
    assert put(birth_on="2016-05-03").json["code"] == "too_young"


def test_who_has_grown_out_of_the_limit_can_correct_the_rest(put, frozen):
    assert put(birth_on="1990-12-01").status_code == 200
    frozen.set(clock.day_start(date(2026, 10, 20)))
    frozen.move(days=9)
    answer = put(birth_on="1990-10-05", name="李燕")
    assert answer.json["code"] == "too_old"
    assert put(birth_on="1990-12-01", name="李燕").json["name"] == "李燕"


def test_who_turned_too_old_keeps_the_right_to_correct(as_user, make, gateway, frozen):
    client = as_user(make.person(birth_on=date(1985, 1, 1)).id)
    assert client.put("/v1/me", json={**PROFILE, "birth_on": "1985-01-01"}).status_code == 200
    assert client.put("/v1/me", json={**PROFILE, "birth_on": "1985-01-02"}).json["code"] == "too_old"


def test_a_phone_number_is_sealed_found_by_hash_and_shown_masked(
    put, as_user, gateway, database, settings, person
):
    gateway.phones[PHONE_CODE, OPENID] = "+8613800138000"
    assert put(phone_code=PHONE_CODE).json["phone_masked"] == "138****8000"
    assert as_user(person.id).get("/v1/me").json["phone_masked"] == "138****8000"
    sealed = stored(database, person, Person.phone_sealed)
    assert b"13800138000" not in sealed
    assert settings.keyring.open(sealed, "person.phone") == "+8613800138000"
    expected = keyed_hash(settings.key("phone-hash"), "+8613800138000")
    assert stored(database, person, Person.phone_hash) == expected


def test_without_a_code_the_number_stays(put, gateway):
    gateway.phones[PHONE_CODE, OPENID] = "+8613800138000"
    put(phone_code=PHONE_CODE)
    assert put(name="李燕").json["phone_masked"] == "138****8000"
    assert put(phone_code=None).json["phone_masked"] == "138****8000"


def test_a_number_can_be_replaced(put, gateway):
    gateway.phones |= {("a", OPENID): "+8613800138000", ("b", OPENID): "+85261234567"}
    put(phone_code="a")
    assert put(phone_code="b").json["phone_masked"] == "+852****4567"


@pytest.mark.parametrize(
    ("number", "masked"),
    [
        ("+8613800138000", "138****8000"),
        ("+85261234567", "+852****4567"),
        ("+8612066600001", "120****0001"),
        ("+861234", "****34"),
    ],
)
def test_a_masked_number_hides_its_middle(number, masked):
    assert mask_phone(number) == masked


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (
            WeChatUserActionNeeded(40029, None, "/wxa/business/getuserphonenumber"),
            422,
            "wechat_phone_code_refused",
        ),
        (
            WeChatAccountBlocked(40226, None, "/wxa/business/getuserphonenumber"),
            403,
            "wechat_account_blocked",
        ),
        (WeChatBusy(-1, None, "/wxa/business/getuserphonenumber"), 503, "wechat_unavailable"),
    ],
)
def test_when_wechat_refuses_the_phone_code_nothing_is_changed(
    put, gateway, database, person, error, status, code
):
    gateway.phones[PHONE_CODE, OPENID] = error
    answer = put(phone_code=PHONE_CODE)
    assert (answer.status_code, answer.json["code"]) == (status, code)
    assert stored(database, person, Person.name) is None


def test_other_faults_of_wechat_are_ours(put, gateway):
    gateway.phones[PHONE_CODE, OPENID] = WeChatMisconfigured(40013, None, "/wxa/business/getuserphonenumber")
    assert put(phone_code=PHONE_CODE).status_code == 502


def test_the_phone_code_is_not_spent_on_a_profile_that_is_refused(put, gateway):
    gateway.phones[PHONE_CODE, OPENID] = "+8613800138000"
    assert put(phone_code=PHONE_CODE, hometown_code="999999").status_code == 422
    assert put(phone_code=PHONE_CODE, birth_on="2020-01-01").status_code == 403
    assert gateway.asked == []
    assert put(phone_code=PHONE_CODE).status_code == 200


def test_somebody_who_never_came_through_wechat_has_no_phone_code(as_user, make, gateway, frozen):
    make.add(
        WeChatAccount(
            appid="wx0", openid=OPENID, person_id=(other := make.person()).id, linked_at=clock.now()
        )
    )
    for person in (make.person(), other):
        answer = as_user(person.id).put("/v1/me", json={**PROFILE, "phone_code": PHONE_CODE})
        assert (answer.status_code, answer.json["code"]) == (422, "wechat_phone_code_refused")
    assert gateway.asked == []


def test_no_connection_is_held_while_wechat_is_asked(put, gateway):
    gateway.phones[PHONE_CODE, OPENID] = "+8613800138000"
    put(phone_code=PHONE_CODE)
    assert gateway.held == [0]


def test_an_account_suspended_while_wechat_was_asked_is_refused(put, gateway, database, person):
    def suspend():
        with database.transaction() as session:
            session.get(Person, person.id).status = PersonStatus.SUSPENDED
        return "+8613800138000"

    gateway.phones[PHONE_CODE, OPENID] = suspend
    answer = put(phone_code=PHONE_CODE)
    assert (answer.status_code, answer.json["code"]) == (403, "account_suspended")
    assert stored(database, person, Person.phone_sealed) is None


def test_the_change_is_dated(put, database, person, frozen):
    frozen.move(hours=1)
    put()
    assert stored(database, person, Person.updated_at) == clock.now()
    assert stored(database, person, Person.gender) is Gender.FEMALE


def test_writing_a_profile_takes_a_constant_number_of_statements(app, put):
    with count_statements(app) as sent:
        put()
    assert len(sent) == 5  # caller, divisions; then person, update, answer
