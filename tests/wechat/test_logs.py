"""Nothing secret or personal gets into a log line or the text of an error, whatever happens."""

from __future__ import annotations

import contextlib
import logging
import traceback
from collections.abc import Iterator

import pytest
from fakes import APPID, SECRET

from engage.core.logging import JsonLines
from engage.wechat.errors import WeChatError
from engage.wechat.fake import identifiers

LOGIN = "/sns/jscode2session"
PHONE = "/wxa/business/getuserphonenumber"
TOKEN = "/cgi-bin/stable_token"
NUMBER = "12066600004"
OTHER_SECRET = "c0ffee00c0ffee00c0ffee00c0ffee00"


class Lines(logging.Handler):
    """Everything that any logger says, in the service's own format and raw."""

    def __init__(self) -> None:
        super().__init__(logging.NOTSET)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(JsonLines().format(record))
        self.lines.append(logging.Formatter().format(record))
        self.lines.append(repr(vars(record)))


@pytest.fixture
def lines(app) -> Iterator[Lines]:
    handler = Lines()
    root, ours = logging.getLogger(), logging.getLogger("engage")
    levels = root.level, ours.level
    for logger in (root, ours):
        logger.addHandler(handler)
        logger.setLevel(logging.DEBUG)
    yield handler
    for logger, level in zip((root, ours), levels, strict=True):
        logger.removeHandler(handler)
        logger.setLevel(level)


def _texts(error: BaseException) -> str:
    """What a traceback shows of an error, also of what it hides as its context."""
    texts = []
    seen: BaseException | None = error
    while seen is not None:
        texts += [*traceback.format_exception(seen), repr(vars(seen))]
        seen = seen.__context__
    return "\n".join(texts)


FAULTS = [
    None,
    {"errcode": -1, "times": 3},
    {"errcode": 40001, "times": None},
    {"errcode": 40029, "errmsg": f"invalid code {NUMBER} {SECRET}"},
    {"errcode": 45011},
    {"drop": "after"},
    {"truncate": True},
    {"httpStatus": 502},
    {"body": f"<html>{SECRET} {NUMBER}</html>"},
    {
        "body": f'{{"openid":"{SECRET} {NUMBER}\\n","phone_info":"{NUMBER}","access_token":7,"session_key":"{SECRET}"}}'
    },
]


@pytest.mark.parametrize("path", [LOGIN, TOKEN, PHONE])
@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_no_secret_code_token_key_or_number_is_logged(workers, wechat, lines, caplog, path, fault):
    wechat.add_user("youth", phone=NUMBER)
    codes = [wechat.login_code("youth"), wechat.login_code("youth"), wechat.phone_code("youth")]
    session_keys = [
        identifiers.session_key(identifiers.DEFAULT_SEED, APPID, "youth", serial) for serial in (1, 2)
    ]
    tokens, errors = [], []
    gateway = workers.new()
    kept = gateway._tokens.get

    def get(fetch) -> str:
        tokens.append(kept(fetch))
        return tokens[-1]

    gateway._tokens.get = get
    if fault:
        wechat.fault(path, **fault)
    calls = [
        lambda: gateway.code_to_session(codes[0]),
        lambda: gateway.code_to_session(codes[0]),
        lambda: gateway.phone_number(codes[2], wechat.openid("youth")),
        lambda: gateway.phone_number(codes[2], wechat.openid("youth")),
        lambda: workers.new(secret=OTHER_SECRET).code_to_session(codes[1]),
        gateway.check,
    ]
    for call in calls:
        with contextlib.suppress(WeChatError):
            try:
                call()
            except WeChatError as error:
                errors.append(_texts(error))
                raise
    said = "\n".join([*lines.lines, *errors])
    assert "40163" in said or fault
    for secret in (SECRET, OTHER_SECRET, NUMBER, *codes, *tokens, *session_keys):
        assert secret not in said
    assert "session_key" not in said


def test_a_refusal_is_logged_with_number_request_id_and_path(gateway, wechat, lines):
    with contextlib.suppress(WeChatError):
        gateway.code_to_session("unknown")
    rid = wechat.requests(LOGIN)[0]["rid"]
    line = next(line for line in lines.lines if '"logger":"engage.wechat"' in line)
    assert '"level":"WARNING"' in line
    assert '"errcode":40029' in line
    assert f'"rid":"{rid}"' in line
    assert f'"path":"{LOGIN}"' in line


def test_the_stand_ins_own_record_masks_secrets(gateway, wechat):
    wechat.add_user("youth", phone=NUMBER)
    code = wechat.login_code("youth")
    gateway.code_to_session(code)
    phone_code = wechat.phone_code("youth")
    gateway.phone_number(phone_code, wechat.openid("youth"))
    shown = str(wechat.requests())
    for secret in (SECRET, NUMBER, code, phone_code):
        assert secret not in shown
