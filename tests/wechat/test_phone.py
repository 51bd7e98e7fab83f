"""The gateway's phone number against the stand-in."""

from __future__ import annotations

import json

import pytest
from fakes import APPID

from engage.wechat.errors import (
    WeChatMisconfigured,
    WeChatRateLimited,
    WeChatRequestBug,
    WeChatTransport,
    WeChatUserActionNeeded,
)

PHONE = "/wxa/business/getuserphonenumber"
TOKEN = "/cgi-bin/stable_token"


def answer(**info) -> str:
    whole = {
        "countryCode": "86",
        "purePhoneNumber": "13580006666",
        "watermark": {"timestamp": 1, "appid": APPID},
        **info,
    }
    return json.dumps({"errcode": 0, "errmsg": "ok", "phone_info": whole})


def test_a_code_gives_the_number_in_e164(gateway, wechat):
    wechat.add_user("youth", phone="12066600001")
    assert gateway.phone_number(wechat.phone_code("youth"), wechat.openid("youth")) == "+8612066600001"


def test_a_foreign_number_has_its_country_code_once(gateway, wechat):
    wechat.add_user("guest", phone="2025550123", countryCode="1")
    assert gateway.phone_number(wechat.phone_code("guest"), wechat.openid("guest")) == "+12025550123"


def test_the_country_code_may_come_as_a_number(gateway, wechat):
    wechat.fault(PHONE, body=answer(countryCode=86))
    assert gateway.phone_number("x", "o") == "+8613580006666"


def test_a_used_code_asks_the_user_to_act_again(gateway, wechat):
    code, openid = wechat.phone_code("youth"), wechat.openid("youth")
    gateway.phone_number(code, openid)
    with pytest.raises(WeChatUserActionNeeded) as refused:
        gateway.phone_number(code, openid)
    assert refused.value.errcode == 40029
    assert refused.value.rid == wechat.requests()[-1]["rid"]


def test_an_expired_code_asks_the_user_to_act_again(gateway, wechat):
    code = wechat.phone_code("youth")
    wechat.advance(301)
    with pytest.raises(WeChatUserActionNeeded):
        gateway.phone_number(code, wechat.openid("youth"))


def test_a_log_in_code_is_no_phone_code_and_stays_unused(gateway, wechat):
    code = wechat.login_code("youth")
    with pytest.raises(WeChatUserActionNeeded):
        gateway.phone_number(code, wechat.openid("youth"))
    assert gateway.code_to_session(code).openid == wechat.openid("youth")


def test_somebody_elses_code_is_refused_and_still_works_for_its_owner(gateway, wechat):
    code = wechat.phone_code("youth")
    with pytest.raises(WeChatUserActionNeeded):
        gateway.phone_number(code, wechat.openid("thief"))
    assert gateway.phone_number(code, wechat.openid("youth")).startswith("+86")


def test_the_body_is_raw_utf8_with_its_length_and_everything_but_the_token_is_in_it(gateway, wechat):
    with pytest.raises(WeChatUserActionNeeded):
        gateway.phone_number("不是验证码", wechat.openid("youth"))
    sent = wechat.requests(PHONE)[0]
    assert sent["contentLength"] == sent["bytes"] > 0
    assert not sent["hasUnicodeEscapes"]
    assert sent["contentType"] == "application/json"
    assert list(sent["query"]) == ["access_token"]
    assert set(sent["body"]) == {"code", "openid"}
    token = wechat.requests(TOKEN)[0]
    assert (token["query"], token["contentLength"]) == ({}, token["bytes"])
    assert token["body"]["force_refresh"] is False


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ({"errcode": 40013}, WeChatMisconfigured),
        ({"errcode": 48001}, WeChatMisconfigured),
        ({"errcode": 45009}, WeChatRateLimited),
        ({"errcode": 47001}, WeChatRequestBug),
        ({"errcode": 40003}, WeChatUserActionNeeded),
        ({"errcode": 43104}, WeChatUserActionNeeded),
        ({"errcode": 99999}, WeChatUserActionNeeded),
        ({"httpStatus": 412}, WeChatRequestBug),
        ({"body": '{"errcode":0}'}, WeChatTransport),
        ({"body": '{"phone_info":7}'}, WeChatTransport),
        ({"body": answer(watermark=7)}, WeChatTransport),
        ({"body": answer(watermark={"appid": "wx0000000000000000"})}, WeChatMisconfigured),
        ({"body": answer(purePhoneNumber="")}, WeChatTransport),
        ({"body": answer(purePhoneNumber="135 8000")}, WeChatTransport),
        ({"body": answer(countryCode="+86")}, WeChatTransport),
        ({"body": answer(purePhoneNumber="١٣٥٨٠٠٠٦٦٦٦")}, WeChatTransport),
        ({"body": answer(purePhoneNumber="1" * 20)}, WeChatTransport),
    ],
)
def test_an_answer_has_one_meaning_and_is_not_asked_again(gateway, wechat, fault, kind):
    wechat.fault(PHONE, **fault)
    with pytest.raises(kind) as refused:
        gateway.phone_number(wechat.phone_code(), wechat.openid("youth"))
    assert type(refused.value) is kind
    assert len(wechat.requests(PHONE)) == 1


def test_a_lost_answer_is_never_asked_for_again(gateway, wechat):
    wechat.fault(PHONE, drop="after")
    with pytest.raises(WeChatTransport) as lost:
        gateway.phone_number(wechat.phone_code(), wechat.openid("youth"))
    assert not lost.value.is_unsent
    assert len(wechat.requests(PHONE)) == 1


def test_busy_answers_share_one_budget_over_token_and_number(gateway, wechat):
    wechat.fault(TOKEN, errcode=-1, times=1)
    wechat.fault(PHONE, errcode=-1, times=1)
    assert gateway.phone_number(wechat.phone_code(), wechat.openid("youth"))
    assert (len(wechat.requests(TOKEN)), len(wechat.requests(PHONE))) == (2, 2)


def test_a_limit_closes_the_way_of_this_operation_only(gateway, wechat):
    wechat.fault(PHONE, errcode=45011)
    for _ in range(2):
        with pytest.raises(WeChatRateLimited):
            gateway.phone_number(wechat.phone_code(), wechat.openid("youth"))
    assert len(wechat.requests(PHONE)) == 1
    assert gateway.code_to_session(wechat.login_code()).openid
