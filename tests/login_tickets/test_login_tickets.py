"""Log-in on a web page: the page shows a code and a number, a phone that is logged in scans the one and is told the other."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from threading import Barrier
from types import SimpleNamespace
from uuid import UUID, uuid4

import pytest
from counting import count_statements
from sqlalchemy import delete, func, select, text, update
from sqlalchemy.exc import IntegrityError

from engage.core import clock
from engage.core.audit import AuditEntry
from engage.core.db import Nobody, Work
from engage.identity import service as identity
from engage.identity.models import (
    AuthSession,
    LoginMethod,
    LoginTicket,
    PersonStatus,
    RefreshToken,
    TicketState,
)
from engage.messages.service import deliver_due
from engage.orgs.models import Role, RoleGrant

EDGE = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) Chrome/120.0 Safari/537.36 Edg/120.0"
TICKETS = "/v1/login-tickets"


class Page:
    """A web page on an office machine: it keeps the secret, and asks."""

    def __init__(self, app):
        self._client = app.test_client()
        made = self._client.post(TICKETS, headers={"User-Agent": EDGE})
        assert (made.status_code, made.headers["Cache-Control"]) == (201, "no-store"), made.json
        self.shown = made.json
        self.id, self.number = made.json["id"], made.json["number"]
        self.address = f"{TICKETS}/{self.id}"

    def ask(self, secret=None):
        return self._client.post(f"{self.address}/tokens", json={"secret": secret or self.shown["secret"]})

    def status(self):
        answer = self.ask()
        assert answer.status_code == 200, answer.json
        return answer.json["status"]

    def get(self, address):
        return self._client.get(address, headers={"Authorization": f"Bearer {self.tokens['access_token']}"})

    def log_in(self):
        answer = self.ask()
        assert (answer.json["status"], answer.headers["Cache-Control"]) == ("used", "no-store"), answer.json
        self.tokens = answer.json["tokens"]
        return self.tokens


def accept(phone, page, number=None):
    return phone.put(f"{page.address}/decision", json={"accept": True, "number": number or page.number})


def reject(phone, page):
    return phone.put(f"{page.address}/decision", json={"accept": False})


def code(answer):
    return answer.status_code, answer.json.get("code")


@pytest.fixture
def page(app, frozen):
    return Page(app)


@pytest.fixture
def officer(make, frozen):
    return make.staff(Role.OFFICER, org=make.org())


@pytest.fixture
def phone(as_user, officer):
    return as_user(officer.id)


def rows(database, *columns, **where):
    with database.reading() as connection:
        return connection.execute(select(*columns).filter_by(**where)).all()


def test_a_page_is_logged_in_and_its_session_is_seen_and_ended_on_the_phone(
    app, page, phone, officer, database, frozen
):
    assert (len(page.shown["secret"]), page.shown["expires_in"]) == (43, 120)
    assert page.shown["text"] == f"https://engage.example.cn/console/scan?ticket={page.id}"
    assert page.shown["image"].startswith("data:image/svg+xml;")
    assert page.status() == "pending"
    frozen.move(seconds=30)
    seen = phone.get(page.address)  # with no number: that is read on the page and nowhere else
    assert seen.json == {
        "id": page.id, "device": "Windows · Edge", "status": "pending",
        "created_at": "2026-10-01T10:00:00+08:00", "expires_at": "2026-10-01T10:02:00+08:00",
    }  # fmt: skip
    assert accept(phone, page).json["status"] == "confirmed"
    tokens = page.log_in()
    assert page.get("/v1/me").json["id"] == str(officer.id)
    of_page, of_phone = phone.get("/v1/me/sessions").json["items"]
    assert (of_page["method"], of_page["device"], of_page["is_current"]) == ("qr", "Windows · Edge", False)
    assert (of_phone["method"], of_phone["is_current"]) == ("wechat", True)
    assert phone.delete(f"/v1/me/sessions/{of_page['id']}").status_code == 204
    assert code(page.get("/v1/me")) == (401, "session_ended")
    refresh = app.test_client().post("/v1/auth/refresh", json={"refresh_token": tokens["refresh_token"]})
    assert code(refresh) == (401, "session_ended")
    assert page.ask().json == {"status": "used", "tokens": None}
    assert phone.get("/v1/me").status_code == 200


def test_the_person_is_told_and_the_log_tells(page, phone, officer, database, frozen):
    accept(phone, page)
    page.log_in()
    assert deliver_due(database) == 1
    (message,) = phone.get("/v1/me/messages").json["items"]
    assert (message["kind"], message["subject_kind"]) == ("web_log_in", "session")
    assert message["text"].startswith("您的账号于10月1日10:00通过扫码在网页登录，设备：Windows · Edge。")
    english = phone.get("/v1/me/messages", headers={"Accept-Language": "en"}).json["items"][0]["text"]
    assert english.startswith("Your account was logged in on a web page by QR code at 10:00 on 1 Oct")
    entries = rows(
        database, AuditEntry.action, AuditEntry.actor_id, AuditEntry.result, AuditEntry.changes, actor_id=officer.id
    )  # fmt: skip
    assert [(entry.action, entry.result) for entry in entries] == [
        ("decide_login_ticket", "done"),
        ("log_in_by_qr", "done"),
    ]
    assert {"field": "state", "before": "pending", "after": "confirmed"}.items() <= next(
        item for item in entries[0].changes["items"] if item["field"] == "state"
    ).items()


def test_nothing_that_opens_anything_is_kept_in_clear(page, phone, database):
    accept(phone, page)
    tokens = page.log_in()
    (row,) = rows(database, *LoginTicket.__table__.columns)
    assert row.secret_hash == hashlib.sha256(page.shown["secret"].encode()).digest()
    kept = repr([*row, *rows(database, *RefreshToken.__table__.columns)])
    for secret in (page.shown["secret"], tokens["refresh_token"], f"'{page.number}'"):
        assert secret not in kept
    others = {Page(phone.application).id for _ in range(20)}
    assert all(ticket_id[14] == "4" for ticket_id in others)  # random as a whole, not by the clock


def test_a_wrong_number_is_the_only_try(page, phone, database):
    wrong = "10" if page.number != "10" else "11"
    assert accept(phone, page, wrong).json["status"] == "rejected"
    assert accept(phone, page, wrong).json["status"] == "rejected"  # the answer was lost, say
    assert code(accept(phone, page)) == (409, "login_ticket_decided")
    assert page.ask().json == {"status": "rejected", "tokens": None}
    assert rows(database, AuthSession.id, method=LoginMethod.QR) == []
    without = phone.put(f"{page.address}/decision", json={"accept": True})
    assert (without.status_code, without.json["errors"][0]["code"]) == (422, "depends_on")


def test_a_ticket_is_decided_once(app, make, as_user, officer, phone, frozen):
    rejected, accepted, taken = Page(app), Page(app), Page(app)
    colleague = as_user(make.staff(Role.ANALYST, org=make.org()).id)
    assert reject(phone, rejected).json["status"] == "rejected"
    assert reject(phone, rejected).json["status"] == "rejected"
    assert code(accept(phone, rejected)) == (409, "login_ticket_decided")
    assert rejected.status() == "rejected"
    for _ in range(2):
        assert accept(phone, accepted).json["status"] == "confirmed"
    assert code(reject(phone, accepted)) == (409, "login_ticket_decided")
    for other in (accepted, rejected):  # what somebody else has decided about is not there
        assert code(colleague.get(other.address)) == (404, "no_such_login_ticket")
        assert code(accept(colleague, other)) == (404, "no_such_login_ticket")
        assert code(reject(colleague, other)) == (404, "no_such_login_ticket")
    accept(phone, taken)
    taken.log_in()
    assert accept(as_user(officer.id), taken).json["status"] == "used"  # their other phone, the same decision
    assert phone.get(taken.address).json["status"] == "used"


def test_everything_has_its_time(app, page, phone, frozen):
    late, left = Page(app), Page(app)
    frozen.move(seconds=119)
    assert page.status() == "pending"
    assert accept(phone, left).json["status"] == "confirmed"
    frozen.move(seconds=1)
    assert page.status() == "expired"
    assert phone.get(page.address).json["status"] == "expired"
    assert code(accept(phone, late)) == (409, "login_ticket_expired")
    assert code(reject(phone, late)) == (409, "login_ticket_expired")
    frozen.move(seconds=58)  # a yes at the last second is fetched after the end
    assert left.ask().json["tokens"] is not None
    unfetched = Page(app)
    accept(phone, unfetched)
    frozen.move(seconds=60)
    assert unfetched.ask().json == {"status": "expired", "tokens": None}
    assert phone.get(unfetched.address).json["status"] == "expired"


def test_a_lost_answer_is_given_again_for_half_a_minute(app, page, phone, database, frozen):
    accept(phone, page)
    first = page.log_in()
    frozen.move(seconds=30)
    again = page.log_in()
    assert again["refresh_token"] == first["refresh_token"]
    assert page.get("/v1/me").status_code == 200
    assert len(rows(database, AuthSession.id, method=LoginMethod.QR)) == 1
    frozen.move(seconds=1)
    assert page.ask().json == {"status": "used", "tokens": None}
    soon = Page(app)
    accept(phone, soon)
    refresh = {"refresh_token": soon.log_in()["refresh_token"]}
    assert app.test_client().post("/v1/auth/refresh", json=refresh).status_code == 200
    assert soon.ask().json["tokens"] is None  # whoever refreshes has had the answer


def test_a_wrong_secret_or_id_is_told_nothing(app, page, phone, client):
    accept(phone, page)
    other = Page(app)
    unknown = client.post(f"{TICKETS}/{uuid4()}/tokens", json={"secret": "A" * 43})
    answers = [page.ask("A" * 43), page.ask(other.shown["secret"]), unknown]
    assert [code(answer) for answer in answers] == [(404, "no_such_login_ticket")] * 3
    assert len({answer.json["detail"] for answer in answers}) == 1
    assert code(phone.get(f"{TICKETS}/{uuid4()}")) == (404, "no_such_login_ticket")
    huge = "x" * 100_000
    for answer in (
        phone.get(f"{TICKETS}/{huge}"),
        phone.put(f"{TICKETS}/{huge}/decision", json={"accept": False}),
        client.post(f"{TICKETS}/{huge}/tokens", json={"secret": "A" * 43}),
        page.ask(huge),
        page.ask("长" * 43),
        page.ask("A" * 42 + "."),
        accept(phone, page, "4" * 100_000),
        accept(phone, page, "４７"),
    ):
        assert answer.status_code == 422
    assert page.log_in()


def test_only_staff_with_a_phone_of_their_own_say_yes(
    app, page, phone, officer, as_user, make, client, database, frozen
):
    def refused(caller, expected):
        assert code(caller.get(page.address)) == expected
        assert code(accept(caller, page)) == expected
        assert code(reject(caller, page)) == expected

    expired = make.person()
    make.grant(expired, Role.OFFICER, org=make.org(), ends_at=clock.now())
    refused(client, (401, "not_logged_in"))
    refused(as_user(make.person().id), (403, "not_staff"))
    refused(as_user(expired.id), (403, "not_staff"))
    suspended = make.person(status=PersonStatus.SUSPENDED)
    refused(as_user(suspended.id), (403, "account_suspended"))
    made = identity_key(make, officer)
    script = app.test_client()
    script.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {made}"
    refused(script, (403, "api_key_not_taken"))
    first = Page(app)
    accept(phone, first)
    web = app.test_client()
    web.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {first.log_in()['access_token']}"
    refused(web, (403, "phone_needed"))  # else a page left open lets the next one in, for ever
    assert page.status() == "pending"
    tried = rows(database, AuditEntry.result, action="decide_login_ticket", object_id=UUID(page.id))
    assert {entry.result for entry in tried} >= {"not_staff", "phone_needed", "account_suspended"}


def identity_key(make, person):
    from engage.identity.tokens.api_keys import new_key

    made = new_key()
    make.api_key(person, made)
    return made.text


def test_whoever_loses_their_account_role_or_phone_meanwhile_is_not_let_in(
    app, make, as_user, database, frozen
):
    def waiting():
        person = make.staff(Role.OFFICER, org=make.org())
        phone, page = as_user(person.id), Page(app)
        assert accept(phone, page).json["status"] == "confirmed"
        return person, phone, page

    def stand(status):
        with database.transaction() as session:
            work = Work(session, Nobody(), clock.now(), database.settings)
            identity.set_standing(work, person.id, status, "核实身份")

    def told(person):
        entries = rows(database, AuditEntry.result, action="log_in_by_qr", actor_id=person.id)
        return [entry.result for entry in entries]

    person, _, page = waiting()
    stand(PersonStatus.SUSPENDED)
    for _ in range(2):  # it goes on asking
        assert code(page.ask()) == (403, "account_suspended")
    assert told(person) == ["account_suspended"]
    person, _, page = waiting()
    with database.transaction() as session:
        session.execute(
            update(RoleGrant)
            .where(RoleGrant.person_id == person.id)
            .values(ended_at=clock.now(), end_reason="调离")
        )
    assert code(page.ask()) == (403, "not_staff")
    assert told(person) == ["not_staff"]
    _, phone, page = waiting()
    assert phone.post("/v1/auth/logout").status_code == 204
    assert page.status() == "expired"
    person, phone, page = waiting()
    page.log_in()
    stand(PersonStatus.CLOSED)
    assert code(page.ask()) == (403, "account_closed")
    assert code(page.get("/v1/me")) == (403, "account_closed")
    assert len(rows(database, AuthSession.id, method=LoginMethod.QR)) == 1
    assert told(person) == ["done", "account_closed"]


def test_a_ticket_that_is_purged_while_its_page_asks_is_none(page, phone, database, monkeypatch):
    accept(phone, page)
    page.log_in()
    begin = database.transaction

    @contextmanager
    def once_purged():
        with begin() as session:
            session.execute(delete(LoginTicket))
        with begin() as session:
            yield session

    monkeypatch.setattr(database, "transaction", once_purged)
    assert code(page.ask()) == (404, "no_such_login_ticket")


def test_the_session_of_a_page_is_short_and_ends_when_it_is_not_used(app, page, phone, frozen, client):
    accept(phone, page)
    tokens = page.log_in()

    def refresh():
        return client.post("/v1/auth/refresh", json={"refresh_token": tokens["refresh_token"]})

    def ends():
        return phone.get("/v1/me/sessions").json["items"][0]["expires_at"]

    assert ends() == "2026-10-01T11:00:00+08:00"
    for _ in range(14):
        frozen.move(minutes=50)
        tokens = refresh().json
    assert ends() == "2026-10-01T22:00:00+08:00"  # 12 hours after the log-in, used or not
    frozen.move(minutes=20)
    assert code(refresh()) == (401, "refresh_token_invalid")
    idle = Page(app)
    accept(phone, idle)
    tokens = idle.log_in()
    frozen.move(minutes=60)
    assert code(refresh()) == (401, "refresh_token_invalid")
    assert phone.get("/v1/me").status_code == 200


def together(*calls):
    start = Barrier(len(calls))

    def run(call):
        start.wait()
        return call()

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(run, calls))


def test_of_two_phones_one_says_yes_and_a_page_that_asks_eight_times_has_one_session(
    app, make, as_user, database, frozen
):
    people = [make.staff(Role.OFFICER, org=make.org()) for _ in range(2)]
    for _ in range(3):
        page = Page(app)
        phones = [as_user(person.id) for person in people for _ in range(2)]
        answers = together(*(lambda phone=phone, page=page: accept(phone, page) for phone in phones))
        (row,) = rows(database, LoginTicket.person_id, LoginTicket.state, id=UUID(page.id))
        expected = [
            200 if person.id == row.person_id else 404 for person in people for _ in range(2)
        ]  # two phones of the one who was first mean the same
        assert [answer.status_code for answer in answers] == expected
        given = together(*[page.ask] * 8)
        assert {answer.json["status"] for answer in given} == {"used"}
        assert len({answer.json["tokens"]["refresh_token"] for answer in given}) == 1
        sessions = rows(database, AuthSession.id, method=LoginMethod.QR, person_id=row.person_id)
        assert len(sessions) == 1
        assert len(rows(database, RefreshToken.session_id, session_id=sessions[0].id)) == 1
        with database.transaction() as session:
            session.execute(text("DELETE FROM login_ticket"))
            session.execute(text("DELETE FROM auth_session WHERE method = 'qr'"))


def test_yes_and_no_together_end_in_one_of_them(app, as_user, officer, page, frozen):
    one, other = as_user(officer.id), as_user(officer.id)
    answers = together(lambda: accept(one, page), lambda: reject(other, page))
    assert sorted(answer.status_code for answer in answers) == [200, 409]
    won = next(answer.json["status"] for answer in answers if answer.status_code == 200)
    assert page.status() == ("used" if won == "confirmed" else "rejected")


def test_the_database_refuses_what_the_service_would_not_do(make, database, officer, frozen):
    now = clock.now()
    phone, session = make.session(officer.id), make.session(officer.id, method=LoginMethod.QR)
    decided = {"person_id": officer.id, "phone_session_id": phone.id, "decided_at": now}
    used = {"session_id": session.id, "used_at": now}

    def ticket(**values):
        return make.add(
            LoginTicket(
                id=uuid4(), secret_hash=b"x" * 32, created_at=now, **{"expires_at": now + timedelta(minutes=2), **values}
            )
        )  # fmt: skip

    def refused(ticket, **values):
        with pytest.raises(IntegrityError), database.transaction() as session:
            session.execute(update(LoginTicket).where(LoginTicket.id == ticket.id).values(**values))

    def moved(ticket, **values):
        with database.transaction() as session:
            session.execute(update(LoginTicket).where(LoginTicket.id == ticket.id).values(**values))

    pending = ticket()
    refused(pending, state=TicketState.CONFIRMED)
    refused(pending, state=TicketState.CONFIRMED, **{**decided, "person_id": None})
    refused(pending, state=TicketState.CONFIRMED, **{**decided, "decided_at": now + timedelta(minutes=2)})
    refused(pending, state=TicketState.USED, **decided, **used)
    refused(pending, expires_at=now + timedelta(days=1))
    refused(pending, secret_hash=b"y" * 32)
    moved(pending, state=TicketState.CONFIRMED, **decided)
    refused(pending, state=TicketState.PENDING, person_id=None, phone_session_id=None, decided_at=None)
    refused(pending, state=TicketState.REJECTED)
    refused(pending, state=TicketState.USED)
    refused(pending, state=TicketState.USED, **used, person_id=make.person().id)
    moved(pending, state=TicketState.USED, **used)
    refused(pending, state=TicketState.CONFIRMED, session_id=None, used_at=None)
    second = ticket()
    moved(second, state=TicketState.CONFIRMED, **decided)
    refused(second, state=TicketState.USED, **used)  # one session is of one ticket
    third = ticket()
    moved(third, state=TicketState.REJECTED, **decided)
    refused(third, state=TicketState.CONFIRMED)
    with pytest.raises(IntegrityError):
        ticket(expires_at=now)


def test_waiting_takes_one_statement_and_old_tickets_go(app, page, phone, database, frozen):
    with count_statements(app) as sent:
        page.ask()
    assert len(sent) == 1
    accept(phone, page)
    page.log_in()
    Page(app)
    with database.transaction() as session:
        assert identity.purge(session, clock.now() + timedelta(hours=24)) == 1  # the page's refresh token
        assert identity.purge(session, clock.now() + timedelta(hours=24, minutes=2)) == 2
        assert session.scalar(select(func.count()).select_from(AuthSession)) == 2


def test_without_a_public_address_the_code_says_what_the_scanner_knows(app, monkeypatch, frozen):
    settings = app.extensions["engage.settings"].replace(public_url="")
    monkeypatch.setattr(app.extensions["engage.database"], "settings", settings)
    page = Page(app)
    assert page.shown["text"] == f"engage-login:{page.id}"


def test_the_number_is_of_the_ticket_and_of_this_installation(app, frozen):
    from engage.login_tickets.service import _number

    settings = app.extensions["engage.settings"]
    pages = [SimpleNamespace(id=uuid4()) for _ in range(300)]
    numbers = [_number(settings, page.id) for page in pages]
    assert all(len(number) == 2 and number[0] != "0" for number in numbers)
    assert len(set(numbers)) > 75
    other = settings.replace(secret_key="another secret for tests, long enough")
    assert [_number(other, page.id) for page in pages] != numbers
