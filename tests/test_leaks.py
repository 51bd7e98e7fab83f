"""That the search of everything the tests capture would find something."""

from __future__ import annotations

import fakes
import leaks
import pytest

from engage.core.crypto import keyed_hash, url_token
from engage.identity.tokens.api_keys import new_key
from engage.wechat.fake import identifiers, openid_of

# A line as the service writes them, and what else tests print.
HARMLESS = (
    '{"time":"2026-10-01T10:00:00+0800","level":"INFO","logger":"engage.request","message":"request","request_id":'
    '"01a20ee2dff7756eb19ef605064b4624","method":"GET","route":"/v1/activities/<activity_id>","caller":'
    '"0199f0c2-b7a0-7c3f-9f5d-2f7a1c3e5b7d","status":200,"ms":12.31,"sql":3,"at":["/x/engage/activities/queries/activities.py:3 f"]}\n'
    "青年之家 postgresql://engage:…@db/engage 1.31380013800 2026-10-01 https://engage.example.cn/v1/me"
)


def test_each_kind_of_secret_is_found_where_the_tests_make_it(make, settings):
    person = make.person(name="青年7")
    for secret in (
        f"Bearer {make.access_token(person.id)}",
        new_key().text,
        settings.secret_key,
        settings.wechat_secret,
        url_token(keyed_hash(b"k" * 32, "refresh")),
        openid_of(fakes.APPID, "youth"),
        identifiers.js_code("youth", 1),
        identifiers.access_token(70, "app"),
        f'{{"session_key": "{identifiers.session_key("youth")}"}}',
        "13800138000",
        "+8613800138000",
        identifiers.phone_of("youth"),
        person.name,
        str(person.birth_on),
        "postgresql://engage:hunter2@db/engage",
    ):
        told = leaks.found(f'{HARMLESS}{{"message":"{secret}"}}')
        assert told, secret
        assert secret not in told


def test_what_the_service_logs_is_taken_for_harmless():
    assert leaks.found(HARMLESS * 3) is None


@pytest.mark.parametrize("name", ["Captured stdout call", "Captured stderr call", "Captured log call"])
def test_a_test_that_lets_one_out_fails(name):
    class Report:
        when, outcome, longrepr = "call", "passed", None
        sections = [("Captured stderr setup", "13800138000"), (name, "sent to 13800138000")]

    report = Report()
    leaks.judge(report)
    assert report.outcome == "failed"
    assert "a phone number" in report.longrepr
    assert "13800138000" not in report.longrepr
    assert "setup" not in report.longrepr, "that was judged with its own phase"
