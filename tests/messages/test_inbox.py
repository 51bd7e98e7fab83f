"""The inbox over HTTP."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from counting import count_statements
from sqlalchemy import select, update

from engage.core import clock, ids
from engage.core.errors import Language
from engage.messages import service
from engage.messages.models import _SENTENCES, Message, MessageKind, OutboxEntry, sentence
from engage.orgs.models import Role

ACTIVITY_ID = "0199f0c2-c1d4-7e21-8f0a-6b1c2d3e4f50"


@pytest.fixture
def tell(database):
    """Leave a message for a person and deliver it."""

    def tell(person, kind=MessageKind.SIGN_UP_CONFIRMED, **params):
        params = params or {
            "activity_id": ACTIVITY_ID,
            "title": "青年夜校",
            "starts_at": "2026-10-02T11:30:00+00:00",
        }
        with database.transaction() as session:
            service.enqueue(session, clock.now(), person.id, kind, **params)
        assert service.deliver_due(database) == 1

    return tell


def test_a_message_says_what_happened_in_the_language_asked_for(as_user, make, frozen, tell):
    person = make.person()
    tell(person)
    message = as_user(person.id).get("/v1/me/messages").json["items"][0]
    assert message["text"] == "您已成功报名“青年夜校”，10月2日19:30开始，请准时参加。"
    assert {
        "kind": "sign_up_confirmed",
        "subject_kind": "activity",
        "subject_id": ACTIVITY_ID,
        "read_at": None,
    }.items() <= message.items()
    assert message["created_at"] == "2026-10-01T10:00:00+08:00"
    english = as_user(person.id, language="en").get("/v1/me/messages").json["items"][0]
    assert english["text"] == "You have a place in “青年夜校”. It starts at 19:30 on 2 Oct."


def test_messages_come_newest_first_and_pages_join(as_user, make, frozen, tell):
    person = make.person()
    for number in range(5):
        tell(person, MessageKind.SIGN_UP_WAITLISTED, activity_id=ACTIVITY_ID, title=f"活动{number}")
        frozen.move(minutes=1)
    client = as_user(person.id)
    first = client.get("/v1/me/messages?limit=3").json
    second = client.get("/v1/me/messages", query_string={"limit": 3, "cursor": first["next_cursor"]}).json
    texts = [item["text"] for item in first["items"] + second["items"]]
    assert [text[text.index("活动") + 2] for text in texts] == ["4", "3", "2", "1", "0"]
    assert second["next_cursor"] is None


def test_nobody_sees_the_messages_of_others(as_user, client, make, frozen, tell):
    tell(make.person())
    assert as_user(make.person().id).get("/v1/me/messages").json == {"items": [], "next_cursor": None}
    assert client.get("/v1/me/messages").json["code"] == "not_logged_in"


def test_a_list_takes_two_statements_whatever_its_length(app, as_user, make, frozen, tell):
    person = make.person()
    client = as_user(person.id)
    with count_statements(app) as none:
        client.get("/v1/me/messages")
    for _ in range(4):
        tell(person)
    with count_statements(app) as four:
        client.get("/v1/me/messages")
    assert len(none) == len(four) == 2


def test_reading_again_keeps_the_first_time(as_user, make, frozen, tell):
    person = make.person()
    tell(person)
    client = as_user(person.id)
    message_id = client.get("/v1/me/messages").json["items"][0]["id"]
    for _ in range(2):
        assert client.post(f"/v1/me/messages/{message_id}/read").status_code == 204
        frozen.move(minutes=5)
    assert client.get("/v1/me/messages").json["items"][0]["read_at"] == "2026-10-01T10:00:00+08:00"


def test_the_message_of_another_person_is_not_found_and_stays_unread(
    as_user, client, database, make, frozen, tell
):
    tell(make.person())
    with database.reading() as connection:
        message_id = connection.scalar(select(Message.id))
    stranger = as_user(make.person().id)
    answer = stranger.post(f"/v1/me/messages/{message_id}/read")
    assert (answer.status_code, answer.json["code"]) == (404, "no_such_message")
    assert stranger.post(f"/v1/me/messages/{ids.new_id()}/read").status_code == 404
    assert stranger.post("/v1/me/messages/17/read").json["errors"][0]["code"] == "not_id"
    assert client.post(f"/v1/me/messages/{message_id}/read").status_code == 401
    with database.reading() as connection:
        assert connection.scalar(select(Message.read_at)) is None


def test_bad_queries_are_refused(as_user, make, frozen):
    client = as_user(make.person().id)
    for query, code in [
        ("limit=0", "too_small"),
        ("cursor=x", "bad_cursor"),
        ("unread=true", "unknown_field"),
    ]:
        assert client.get(f"/v1/me/messages?{query}").json["errors"][0]["code"] == code


def test_a_kind_of_a_newer_version_is_left_out(as_user, database, make, frozen, tell):
    person = make.person()
    tell(person)
    with database.transaction() as session:
        session.execute(update(Message).values(kind="invented_later"))
    assert as_user(person.id).get("/v1/me/messages").json["items"] == []


@pytest.mark.parametrize("kind", MessageKind)
def test_every_kind_can_be_told_in_both_languages_from_the_same_parameters(kind):
    zh, en = ({part.split("}")[0] for part in text.split("{")[1:]} for text in _SENTENCES[kind])
    assert zh == en
    params = {
        name: "2026-10-02T11:30:00+00:00" if name.endswith("_at") else "{x}" for name in kind.parameters
    }
    for language in Language:
        assert "{x}" in sentence(kind, params, language) or all(name.endswith("_at") for name in zh)
        assert "_at" not in sentence(kind, params, language)


@pytest.mark.parametrize("role", Role)
def test_every_role_has_a_word_in_both_languages(role):
    params = {"role": role.value, "place": "镇", "reason": "换届"}
    zh, en = (sentence(MessageKind.ROLE_ENDED, params, language) for language in Language)
    assert role.value not in zh
    assert "_" not in en
    assert re.fullmatch("您在“镇”的[一-龥]+角色已被收回。理由：换届", zh)


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"activity_id": "x"},
        {"activity_id": "x", "title": "x", "more": "x"},
        {"activity_id": "x", "title": 3},
    ],
)
def test_wrong_parameters_are_a_fault_of_the_program(database, make, frozen, params):
    person = make.person()
    with database.transaction() as session, pytest.raises(ValueError, match="takes the texts"):
        service.enqueue(session, clock.now(), person.id, MessageKind.SIGN_UP_WAITLISTED, **params)


def test_nobody_to_tell_sends_no_statement(app, database, frozen):
    with database.transaction() as session, count_statements(app) as sent:
        service.enqueue_all(
            session, clock.now(), [], MessageKind.SIGN_UP_WAITLISTED, activity_id="x", title="x"
        )
    assert sent == []


def test_many_people_are_told_in_one_statement(app, database, make, frozen):
    people = [make.person() for _ in range(3)]
    with database.transaction() as session, count_statements(app) as sent:
        service.enqueue_all(
            session,
            clock.now(),
            [person.id for person in people],
            MessageKind.SIGN_UP_WAITLISTED,
            activity_id="x",
            title="x",
        )
    assert len(sent) == 1
    with database.reading() as connection:
        assert set(connection.scalars(select(OutboxEntry.person_id))) == {person.id for person in people}


def test_the_outbox_is_emptied_after_thirty_days_but_for_its_newest_entry(database, make, frozen, tell):
    person = make.person()
    tell(person)
    tell(person)
    with database.transaction() as session:
        assert service.purge(session, clock.now() + timedelta(days=29)) == 0
        assert service.purge(session, clock.now() + timedelta(days=30)) == 1
    tell(person)  # its number was never used before
    with database.reading() as connection:
        assert len(connection.scalars(select(Message.id)).all()) == 3
