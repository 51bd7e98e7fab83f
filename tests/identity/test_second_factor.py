"""The second factor: enrolled only by who uses the person's WeChat, each code good once, and what it opens for a quarter of an hour."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from urllib.parse import parse_qs, urlsplit

import pyotp
import pytest
from factories import SECRET
from racing import at_once
from sqlalchemy import select, update

from engage.core.audit import AuditEntry
from engage.identity import service
from engage.identity.models import AuthSession, RecoveryCode, SecondFactor, WeChatAccount
from engage.identity.tokens.second_factor import hash_of_recovery_code, new_recovery_codes, step_of
from engage.messages.service import deliver_due
from engage.orgs.models import Role

FACTOR = "/v1/me/second-factor"
SESSION = "/v1/me/privileged-session"


@pytest.fixture
def officer(frozen, make, settings, as_user):
    """An officer who came through WeChat, has no factor and has shown none."""
    org = make.org()
    person = make.staff(Role.OFFICER, org=org)
    make.add(
        WeChatAccount(appid=settings.wechat_appid, openid="mine", person_id=person.id, linked_at=frozen.now)
    )
    return SimpleNamespace(id=person.id, person=person, org=org, client=as_user(person.id, privileged=False))


@pytest.fixture
def enrolled(officer, make):
    make.second_factor(officer.person)
    return officer


@pytest.fixture
def inbox(database, as_user):
    """Return a function that returns the messages of a person, the oldest first."""

    def inbox(person_id):
        deliver_due(database)
        items = as_user(person_id).get("/v1/me/messages").json["items"][::-1]
        assert {(item["subject_kind"], item["subject_id"]) for item in items} <= {("account", str(person_id))}
        return [(item["kind"], item["text"]) for item in items]

    return inbox


@pytest.fixture
def entries(database):
    """Return a function that returns what the audit log says of a person."""

    def entries(person_id):
        asked = select(AuditEntry.action, AuditEntry.result).where(AuditEntry.actor_id == person_id)
        with database.reading() as connection:
            return [tuple(row) for row in connection.execute(asked.order_by(AuditEntry.id))]

    return entries


def code_at(now, secret=SECRET):
    return pyotp.TOTP(secret).at(now)


def wrong_at(now):
    """A code that is none of these minutes."""
    near = {code_at(now + timedelta(seconds=30 * step)) for step in range(-3, 4)}
    return next(code for code in ("000000", *map(str, range(100000, 100008))) if code not in near)


def show(client, code):
    answer = client.post(SESSION, json={"code": code})
    return answer.status_code, answer.json.get("code", "open")


def may_invite(person):
    """What happens when they use a right that needs the second factor."""
    body = {"role": "analyst", "org_id": str(person.org.id), "reason": "新任"}
    answer = person.client.post("/v1/role-invitations", json=body)
    return answer.status_code, answer.json.get("code")


def test_codes_are_those_of_rfc_6238():
    secret = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"  # 12345678901234567890
    for second, code in (
        (59, "287082"),
        (1111111109, "081804"),
        (1111111111, "050471"),
        (1234567890, "005924"),
        (2000000000, "279037"),
        (20000000000, "353130"),
    ):
        now = datetime.fromtimestamp(second, UTC)
        assert step_of(secret, code, now) == second // 30
        assert step_of(secret, code, now + timedelta(seconds=30)) == second // 30
        assert step_of(secret, code, now + timedelta(seconds=61)) is None


def test_recovery_codes_are_taken_as_people_type_them():
    codes = new_recovery_codes()
    assert len({*codes}) == 10
    assert all(re.fullmatch(r"([A-Z2-7]{4}-){3}[A-Z2-7]{4}", code) for code in codes)
    code = "OIB2-AAAA-BBBB-7777"
    for typed in ("oib2 aaaa bbbb 7777", "O1B2AAAABBBB7777", "0ib2-aaaa-8888-7777"):
        assert hash_of_recovery_code(typed) == hash_of_recovery_code(code)
    assert hash_of_recovery_code("OIB2-AAAA-BBBB-7776") != hash_of_recovery_code(code)


def test_enrolling_takes_the_wechat_of_the_person_and_a_code(
    officer, gateway, frozen, database, inbox, entries, lines
):
    assert may_invite(officer) == (403, "second_factor_missing")
    assert show(officer.client, "123456") == (403, "second_factor_missing")
    assert officer.client.get(FACTOR).json == {
        "state": "none",
        "enrolled_at": None,
        "recovery_codes_left": 0,
        "locked_until": None,
        "privileged_until": None,
    }
    gateway.openids["wx"] = "mine"
    begun = officer.client.post(FACTOR, json={"wechat_code": "wx"})
    assert begun.status_code == 200, begun.json
    assert begun.headers["Cache-Control"] == "no-store"
    secret = begun.json["secret"]
    uri = urlsplit(begun.json["otpauth_uri"])
    assert (uri.scheme, uri.netloc, parse_qs(uri.query)["secret"]) == ("otpauth", "totp", [secret])
    assert begun.json["expires_at"] == "2026-10-01T10:30:00+08:00"
    assert officer.client.get(FACTOR).json["state"] == "begun"
    assert may_invite(officer) == (403, "second_factor_missing")  # not before its first code
    confirmed = officer.client.post(f"{FACTOR}/confirmation", json={"code": code_at(frozen.now, secret)})
    assert confirmed.status_code == 200, confirmed.json
    codes = confirmed.json["recovery_codes"]
    assert len({*codes}) == 10
    assert confirmed.json["privileged_until"] == "2026-10-01T10:15:00+08:00"
    assert officer.client.get(FACTOR).json == {
        "state": "enrolled",
        "enrolled_at": "2026-10-01T10:00:00+08:00",
        "recovery_codes_left": 10,
        "locked_until": None,
        "privileged_until": "2026-10-01T10:15:00+08:00",
    }
    assert may_invite(officer) == (201, None)
    assert [kind for kind, _ in inbox(officer.id)] == ["second_factor_enrolled"]
    told = [entry for entry in entries(officer.id) if "second_factor" in entry[0]]
    assert told == [("begin_second_factor", "done"), ("confirm_second_factor", "done")]
    # Kept: the secret sealed, the codes as hashes, neither in the log.
    with database.reading() as connection:
        kept = repr(
            [connection.execute(select(table.__table__)).all() for table in (SecondFactor, RecoveryCode)]
        )
    logged = "\n".join(lines)
    assert "/v1/me/second-factor/confirmation" in logged
    assert not [word for word in (secret, *codes, codes[0].replace("-", "")) if word in kept + logged]
    again = officer.client.post(FACTOR, json={"wechat_code": "wx"})
    assert (again.status_code, again.json["code"]) == (409, "second_factor_enrolled")
    once_more = officer.client.post(f"{FACTOR}/confirmation", json={"code": code_at(frozen.now, secret)})
    assert once_more.json["code"] == "second_factor_enrolled"


def test_who_has_stolen_a_token_enrols_nothing(officer, gateway, make, as_user, database, entries):
    gateway.openids["theirs"] = "somebody else"
    for code in ("unknown", "theirs"):
        answer = officer.client.post(FACTOR, json={"wechat_code": code})
        assert (answer.status_code, answer.json["code"]) == (422, "wechat_proof_refused")
    never_came = as_user(make.staff(Role.OFFICER, org=officer.org).id, privileged=False)
    assert never_came.post(FACTOR, json={"wechat_code": "theirs"}).json["code"] == "wechat_proof_refused"
    with database.reading() as connection:
        assert connection.execute(select(SecondFactor.person_id)).all() == []
    assert entries(officer.id) == [("begin_second_factor", "wechat_proof_refused")] * 2


def test_what_was_begun_waits_half_an_hour_and_the_last_one_counts(officer, gateway, frozen, make, database):
    def begin():
        gateway.openids["wx"] = "mine"
        return officer.client.post(FACTOR, json={"wechat_code": "wx"}).json["secret"]

    def confirm(secret):
        answer = officer.client.post(f"{FACTOR}/confirmation", json={"code": code_at(frozen.now, secret)})
        return answer.status_code, answer.json.get("code")

    assert confirm(SECRET) == (409, "second_factor_not_begun")
    first, second = begin(), begin()
    assert confirm(first) == (403, "second_factor_code_wrong")
    frozen.move(minutes=30)
    assert confirm(second) == (409, "second_factor_not_begun")
    assert officer.client.get(FACTOR).json["state"] == "none"
    third = begin()
    with (
        database.transaction() as session
    ):  # those left alone for a day go, with those that count nothing happens
        assert service.purge(session, frozen.now + timedelta(hours=23)) == 0
    frozen.move(minutes=29, seconds=59)
    assert confirm(third) == (200, None)
    make.second_factor(make.person(), confirmed_at=None)
    with database.transaction() as session:
        assert service.purge(session, frozen.now + timedelta(days=1)) == 1
    assert officer.client.get(FACTOR).json["state"] == "enrolled"


def test_a_factor_that_is_confirmed_while_another_is_begun_stays(officer, gateway, frozen, make, database):
    def confirmed_meanwhile():
        make.second_factor(officer.person)
        return "mine"

    gateway.openids["wx"] = confirmed_meanwhile
    answer = officer.client.post(FACTOR, json={"wechat_code": "wx"})
    assert (answer.status_code, answer.json["code"]) == (409, "second_factor_enrolled")
    assert show(officer.client, code_at(frozen.now)) == (200, "open"), "with the secret that it had"


def test_a_code_is_good_for_its_own_moment_and_once(enrolled, frozen, make):
    later = frozen.now + timedelta(minutes=5)
    frozen.set(later)
    for seconds, expected in (
        (-61, (403, "second_factor_code_wrong")),
        (-30, (200, "open")),
        (-30, (409, "second_factor_code_used")),
        (30, (200, "open")),
        (0, (409, "second_factor_code_used")),  # nobody may use what was seen before a newer one
        (30, (409, "second_factor_code_used")),
        (61, (403, "second_factor_code_wrong")),
    ):
        assert show(enrolled.client, code_at(later + timedelta(seconds=seconds))) == expected, seconds
    frozen.move(seconds=60)
    spaced = code_at(frozen.now)
    assert show(enrolled.client, f"{spaced[:3]} {spaced[3:]}") == (200, "open")


def test_of_two_who_show_the_same_code_at_once_one_is_late(enrolled, frozen, as_user):
    other = as_user(enrolled.id, privileged=False)
    code = code_at(frozen.now)
    answers = at_once([lambda client=client: show(client, code) for client in (enrolled.client, other)])
    assert sorted(answers) == [(200, "open"), (409, "second_factor_code_used")]


def test_five_wrong_codes_lock_for_a_quarter_of_an_hour(enrolled, frozen, inbox, entries, make):
    recovery = new_recovery_codes()[0]
    make.add(RecoveryCode(person_id=enrolled.id, code_hash=hash_of_recovery_code(recovery)))
    for left in (4, 3, 2):
        answer = enrolled.client.post(SESSION, json={"code": wrong_at(frozen.now)})
        assert (answer.status_code, answer.json["code"]) == (403, "second_factor_code_wrong")
        assert f" {left} " in answer.json["detail"]
    assert show(enrolled.client, code_at(frozen.now)) == (200, "open")  # begins the count anew
    for wrong in (wrong_at(frozen.now), "AAAA-BBBB-CCCC-DDDD") * 2:
        assert show(enrolled.client, wrong)[1] == "second_factor_code_wrong"
    answer = enrolled.client.post(SESSION, json={"code": wrong_at(frozen.now)})
    assert (answer.status_code, answer.json["code"]) == (429, "second_factor_locked")
    assert answer.headers["Retry-After"] == "900"
    frozen.move(minutes=14, seconds=59)
    for right in (code_at(frozen.now), recovery):
        answer = enrolled.client.post(SESSION, json={"code": right})
        assert (answer.status_code, answer.headers["Retry-After"]) == (429, "1")
    assert enrolled.client.get(FACTOR).json["locked_until"] == "2026-10-01T10:15:00+08:00"
    frozen.move(seconds=1)
    assert enrolled.client.get(FACTOR).json["locked_until"] is None
    assert show(enrolled.client, recovery) == (200, "open")
    kinds = dict(inbox(enrolled.id))
    assert kinds.keys() == {"second_factor_locked", "recovery_code_used"}
    assert "10月1日10:15" in kinds["second_factor_locked"]
    refused = [result for action, result in entries(enrolled.id) if action == "open_privileged_session"]
    assert refused.count("second_factor_code_wrong") == 7
    assert refused.count("second_factor_locked") == 3


def test_a_recovery_code_is_good_once_and_new_ones_void_the_old(enrolled, frozen, inbox, make):
    assert show(enrolled.client, code_at(frozen.now)) == (200, "open")
    codes = enrolled.client.post(f"{FACTOR}/recovery-codes").json["recovery_codes"]
    enrolled.client.delete(SESSION)
    assert enrolled.client.post(f"{FACTOR}/recovery-codes").json["code"] == "second_factor_required"
    assert may_invite(enrolled) == (403, "second_factor_required")
    assert show(enrolled.client, codes[0].lower().replace("-", " ")) == (200, "open")
    assert may_invite(enrolled) == (201, None)
    assert show(enrolled.client, codes[0]) == (409, "second_factor_code_used")
    assert enrolled.client.get(FACTOR).json["recovery_codes_left"] == 9
    fresh = enrolled.client.post(f"{FACTOR}/recovery-codes").json["recovery_codes"]
    assert show(enrolled.client, codes[1])[1] == "second_factor_code_wrong"
    assert show(enrolled.client, fresh[1]) == (200, "open")
    told = inbox(enrolled.id)
    assert [kind for kind, _ in told] == [
        "recovery_codes_renewed", "recovery_code_used", "recovery_codes_renewed", "recovery_code_used",
    ]  # fmt: skip
    assert "还剩 9 个" in told[1][1]
    # A code of somebody else is none.
    other = make.person()
    make.second_factor(other)
    make.add(RecoveryCode(person_id=other.id, code_hash=hash_of_recovery_code(codes[2])))
    assert show(enrolled.client, codes[2])[1] == "second_factor_code_wrong"


def test_privilege_is_of_one_session_for_a_quarter_of_an_hour(
    enrolled, frozen, as_user, database, monkeypatch, app
):
    other = SimpleNamespace(client=as_user(enrolled.id, privileged=False), org=enrolled.org)
    assert show(enrolled.client, code_at(frozen.now)) == (200, "open")
    assert may_invite(enrolled) == (201, None)
    assert may_invite(other) == (403, "second_factor_required")
    frozen.move(minutes=14, seconds=59)
    assert may_invite(enrolled) == (201, None)
    frozen.move(seconds=1)
    assert may_invite(enrolled) == (403, "second_factor_required")
    # Removing it ends the privilege of every session; what is gone cannot be shown.
    assert show(enrolled.client, code_at(frozen.now)) == (200, "open")
    frozen.move(seconds=30)
    assert show(other.client, code_at(frozen.now)) == (200, "open")
    assert enrolled.client.delete(FACTOR).status_code == 204
    assert may_invite(enrolled) == may_invite(other) == (403, "second_factor_missing")
    assert enrolled.client.delete(FACTOR).json["code"] == "second_factor_missing"
    # Where an installation of developers does without, nobody is asked.
    off = app.extensions["engage.settings"].replace(second_factor=False)
    monkeypatch.setitem(app.extensions, "engage.settings", off)
    assert may_invite(other) == (201, None)
    assert enrolled.client.post(f"{FACTOR}/recovery-codes").json["code"] == "second_factor_missing"
    assert enrolled.client.delete(FACTOR).json["code"] == "second_factor_missing"


def test_a_session_that_ends_while_its_code_is_looked_at_uses_up_nothing(
    enrolled, frozen, database, monkeypatch
):
    """The code stays good: what was done is undone."""
    code = code_at(frozen.now)
    from engage.identity.service import second_factor

    take = second_factor._take

    def take_and_end(work, factor, given):
        work.session.execute(update(AuthSession).values(ended_at=work.now))
        return take(work, factor, given)

    monkeypatch.setattr(second_factor, "_take", take_and_end)
    assert show(enrolled.client, code) == (401, "session_ended")
    monkeypatch.undo()
    assert show(enrolled.client, code) == (200, "open")


def test_what_only_closes_a_door_takes_no_second_factor(enrolled, frozen, make, as_user):
    """A key or a link that leaked is revoked at once, by whoever has the session at hand."""
    key = make.api_key(enrolled.person)
    privileged = SimpleNamespace(client=as_user(enrolled.id), org=enrolled.org)
    body = {"role": "analyst", "org_id": str(enrolled.org.id), "reason": "新任"}
    invitation = privileged.client.post("/v1/role-invitations", json=body).json
    assert enrolled.client.delete(f"/v1/me/api-keys/{key.id}").status_code == 204
    assert enrolled.client.post(f"/v1/role-invitations/{invitation['id']}/withdrawal").status_code == 204
