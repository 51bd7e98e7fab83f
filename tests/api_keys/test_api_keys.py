"""API keys: made and shown once, good for reading figures only, from where they may be used, until they are replaced or revoked."""

from __future__ import annotations

import logging
import re
from datetime import timedelta
from types import SimpleNamespace

import pytest
from counting import count_statements
from sqlalchemy import select, update
from test_bad_input import asking_query

from engage.api_keys.models import MAX_KEYS, Scope
from engage.app import APIS, create_app
from engage.core import openapi
from engage.core.audit import AuditEntry
from engage.core.http import PREFIX
from engage.identity.models import ApiKey, Person, PersonStatus
from engage.identity.tokens.api_keys import new_key, public_id_of
from engage.orgs.access import Permission
from engage.orgs.models import Role, RoleGrant

FIGURES = "/v1/statistics/participation?from=2026-09-01&to=2026-10-01&by=county"
KEYS = "/v1/me/api-keys"
BODY = {"name": "月报脚本", "scopes": ["read_figures"]}
OPERATIONS = [operation for api in APIS for operation in api.operations]
# What a secret scanner is told to look for.
SCANNED = re.compile(r"\bengage_[0-9a-z]{16}_[0-9A-Za-z]{38}\b")


@pytest.fixture
def city(frozen, make):
    return make.org(name="晋城市团委", division_code="140500")


@pytest.fixture
def officer(make, city):
    return make.staff(Role.OFFICER, org=city)


@pytest.fixture
def person(as_user, officer):
    """The officer, logged in."""
    return as_user(officer.id)


@pytest.fixture
def ask(app):
    """Return a function that asks with a key and returns status and code."""

    def ask(key, address=FIGURES, method="GET", **request):
        sent = app.test_client().open(
            address, method=method, headers={"Authorization": f"Bearer {key}"}, **request
        )
        return sent.status_code, sent.json.get("code")

    return ask


def make_key(person, **values):
    answer = person.post(KEYS, json={**BODY, **values})
    assert answer.status_code == 201, answer.json
    assert answer.headers["Cache-Control"] == "no-store"
    return answer.json


def test_a_key_is_shown_once_and_kept_as_a_hash(person, ask, database, frozen):
    made = make_key(person)
    key = made["key"]
    assert SCANNED.fullmatch(key)
    assert key.startswith(made["starts_with"] + "_")
    assert (made["created_at"], made["expires_at"]) == (
        "2026-10-01T10:00:00+08:00",
        "2026-12-30T10:00:00+08:00",
    )
    (listed,) = person.get(KEYS).json["items"]
    assert listed == {name: value for name, value in made.items() if name != "key"}
    with database.reading() as connection:
        assert key[24:].encode() not in repr(connection.execute(select(ApiKey.__table__)).all()).encode()
    assert ask(key) == (200, None)


def test_lists_of_keys_are_paged_and_everybodys_own(person, as_user, make, city, frozen):
    mine = [make_key(person, name=f"脚本{number}")["id"] for number in range(3)]
    make_key(as_user(make.staff(Role.ANALYST, org=city).id))
    first = person.get(KEYS, query_string={"limit": 2}).json
    second = person.get(KEYS, query_string={"limit": 2, "cursor": first["next_cursor"]}).json
    assert [item["id"] for item in first["items"] + second["items"]] == mine[::-1]


def test_a_key_acts_for_its_owner_and_never_beyond_what_the_owner_holds_now(
    as_user, ask, make, database, frozen, city
):
    owner = make.person()
    make.grant(owner, Role.OFFICER, org=city, ends_at=frozen.now + timedelta(hours=1))
    key = make_key(as_user(owner.id))["key"]
    assert ask(key) == (200, None)
    frozen.move(hours=1)
    assert ask(key) == (403, "not_allowed")
    make.grant(owner, Role.HUB_MANAGER, hub=make.hub(city))
    assert ask(key) == (200, None)
    for status in (PersonStatus.SUSPENDED, PersonStatus.CLOSED):
        with database.transaction() as session:
            session.execute(update(Person).where(Person.id == owner.id).values(status=status))
        assert ask(key) == (403, f"account_{status}")


def test_figures_by_key_are_those_of_its_owner(app, person, make, city, as_user, frozen):
    county = make.org(city)
    make.sign_up(make.activity(county, starts_at=frozen.now, sign_up_closes_at=frozen.now))
    make.sign_up(make.activity(make.org(name="外市"), starts_at=frozen.now, sign_up_closes_at=frozen.now))
    own = person.get(FIGURES)
    by_key = app.test_client().get(FIGURES, headers={"Authorization": f"Bearer {make_key(person)['key']}"})
    assert by_key.json == own.json
    assert by_key.json["totals"]["sign_ups"] == 1


def test_a_key_opens_nothing_but_figures_of_the_whole_interface(world, make, client, subtests, database):
    """Every operation, by a key of somebody who may do everything: a new one that forgets the scope fails here."""
    with database.reading() as connection:
        admin = connection.scalar(select(RoleGrant.person_id).where(RoleGrant.role == Role.PLATFORM_ADMIN))
    made = new_key()
    make.api_key(SimpleNamespace(id=admin), made, scopes=[scope.value for scope in Scope])
    opened = set()
    for operation in OPERATIONS:
        ids = {name: str(world.id_for(name) or "140502") for name in operation.path_parameters}
        answer = client.open(
            PREFIX + operation.path.format_map(ids), method=operation.method, query_string=asking_query(operation),
            json=openapi.example(operation.body) if operation.body else None,
            headers={"If-Match": "*", "Authorization": f"Bearer {made.text}"},
        )  # fmt: skip
        with subtests.test(operation.name):
            if operation.access.name == "public":
                continue
            taken = operation.access.name == "staff" and "api_key_invalid" in {
                refusal.code for refusal in operation.access.refusals
            }
            if not taken:
                assert (answer.status_code, answer.json["code"]) == (403, "api_key_not_taken")
            elif operation.method != "GET":
                assert (answer.status_code, answer.json["code"]) == (403, "api_key_reads_only")
            elif answer.status_code == 200:
                opened.add(operation.name)
            else:
                assert answer.status_code == 403, (answer.status_code, answer.json)
    assert opened == {
        "read_participation",
        "export_participation",
        "read_integrity",
        "read_county_totals",
        "export_county_totals",
        "read_evidence",
    }


def test_without_the_scope_even_figures_stay_closed(app, ask, make, officer, frozen):
    for scopes in (
        [],
        ["manage_activity"],
        [p.value for p in Permission if p.value not in list(Scope)],
    ):
        made = new_key()
        make.api_key(officer, made, scopes=scopes)
        answer = app.test_client().get(FIGURES, headers={"Authorization": f"Bearer {made.text}"})
        assert (answer.status_code, answer.json["totals"]["activities"], answer.json["scope"]) == (200, 0, [])
        assert ask(made.text, "/v1/statistics/integrity") == (403, "not_allowed")
        assert ask(made.text, "/v1/statistics/counties?month=2026-08") == (403, "not_allowed")


def test_a_key_without_the_scope_is_told_which_one_it_lacks(app, make, city, officer, frozen):
    """And nothing of scopes where it is the owner who may not."""

    def told(owner, scopes, address, language="zh"):
        made = new_key()
        make.api_key(owner, made, scopes=scopes)
        headers = {"Authorization": f"Bearer {made.text}", "Accept-Language": language}
        answer = app.test_client().get(address, headers=headers)
        assert (answer.status_code, answer.json["code"]) == (403, "not_allowed")
        issues = answer.json.get("errors", [])
        assert {(issue["pointer"], issue["code"]) for issue in issues} <= {
            ("/Authorization", "scope_missing")
        }
        return [issue["detail"] for issue in issues]

    activity, branch = make.activity(city), make.enclave_branch(city)
    for address, scope in (
        ("/v1/statistics/integrity", "read_integrity"),
        ("/v1/statistics/counties?month=2026-08", "read_county_totals"),
        ("/v1/audit/entries", "read_audit"),
        (f"/v1/activities/{activity.id}/evidence", "read_evidence"),
        (f"/v1/activities/{activity.id}/sign-ups", "read_people"),
        (f"/v1/activities/{activity.id}/feedback-entries", "read_people"),
        (f"/v1/enclave-branches/{branch.id}/applications", "decide_enclave"),
    ):
        assert told(officer, ["read_figures"], address) == [f"这个 API 密钥没有权限范围 {scope}。"]
        assert told(officer, ["read_figures"], address, "en") == [f"This API key has no scope {scope}."]
    elsewhere = make.staff(Role.OFFICER, org=make.org(city))
    assert told(elsewhere, ["read_integrity"], "/v1/statistics/integrity") == []
    assert told(elsewhere, ["read_people"], f"/v1/activities/{activity.id}/feedback-entries") == []


def test_only_who_holds_a_role_makes_keys_and_none_beyond_it(as_user, make, city, frozen):
    answer = as_user(make.person().id).post(KEYS, json=BODY)
    assert (answer.status_code, answer.json["code"]) == (403, "not_allowed")
    for body, pointer in (
        ({**BODY, "scopes": []}, "/scopes"),
        ({**BODY, "scopes": ["manage_org"]}, "/scopes/0"),
        ({**BODY, "valid_days": 366}, "/valid_days"),
        ({**BODY, "addresses": ["10.0.0.1/8"]}, "/addresses/0"),
        ({**BODY, "addresses": ["example.cn"]}, "/addresses/0"),
    ):
        answer = as_user(make.staff(Role.OFFICER, org=city).id).post(KEYS, json=body)
        assert (answer.status_code, answer.json["errors"][0]["pointer"]) == (422, pointer)


def test_a_scope_that_the_owner_does_not_hold_is_refused(as_user, make, city, frozen, monkeypatch):
    """No role of today is without figures; one that is must not get them through a key."""
    from engage.orgs import access

    monkeypatch.setitem(access.PERMISSIONS, Permission.READ_FIGURES, ())
    answer = as_user(make.staff(Role.OFFICER, org=city).id).post(KEYS, json=BODY)
    assert (answer.status_code, answer.json["code"]) == (403, "scope_not_yours")


def test_keys_are_few(person, frozen):
    kept = [make_key(person)["id"] for _ in range(MAX_KEYS)]
    answer = person.post(KEYS, json=BODY)
    assert (answer.status_code, answer.json["code"]) == (409, "too_many_api_keys")
    assert person.delete(f"{KEYS}/{kept[0]}").status_code == 204
    make_key(person)
    frozen.move(days=91)


def test_a_key_that_is_none_or_over_is_refused_with_its_reason(person, ask, database, frozen, make, officer):
    made = make_key(person, valid_days=1)
    key = made["key"]
    public, secret = key[:23], key[24:]
    stranger = new_key().text
    twin = new_key(public_id_of(key)).text  # the right public part, another secret
    wrong = [
        stranger,
        twin,
        key[:-1],
        key + "x",
        "engage_",
        f"{public}_{secret[::-1]}",
        key[:-1] + ("A" if key[-1] != "A" else "B"),
    ]
    for text in (*wrong, "engage_" + "x" * 100_000):
        assert ask(text) == (401, "api_key_invalid")
    assert ask(f"engag_{secret}") == (401, "token_invalid")
    frozen.move(days=1, seconds=-1)
    assert ask(key) == (200, None)
    frozen.move(seconds=1)
    assert ask(key) == (401, "api_key_expired")
    assert ask(twin) == (401, "api_key_invalid"), "who does not know the secret learns nothing"


def test_a_typing_error_costs_no_statement(app, ask, make, officer, frozen):
    made = new_key()
    make.api_key(officer, made)
    with count_statements(app) as sent:
        ask(made.text[:-1] + ("A" if made.text[-1] != "A" else "B"))
    assert sent == []


def test_a_revoked_key_stops_at_once_and_stays_in_the_list(person, as_user, ask, make, city, frozen):
    made = make_key(person)
    address = f"{KEYS}/{made['id']}"
    other = as_user(make.staff(Role.OFFICER, org=city).id)
    assert other.delete(address).json["code"] == "no_such_api_key"
    assert ask(made["key"]) == (200, None)
    assert person.delete(address).status_code == 204
    assert ask(made["key"]) == (401, "api_key_invalid")
    frozen.move(minutes=1)
    assert person.delete(address).status_code == 204
    assert person.get(KEYS).json["items"][0]["revoked_at"] == "2026-10-01T10:00:00+08:00"
    assert person.post(f"{address}/rotation", json={}).json["code"] == "api_key_revoked"
    assert other.post(f"{address}/rotation", json={}).json["code"] == "no_such_api_key"


def test_who_has_lost_their_role_can_still_revoke_but_not_rotate(as_user, make, city, frozen):
    owner = make.person()
    make.grant(owner, Role.ANALYST, org=city, ends_at=frozen.now + timedelta(hours=1))
    person = as_user(owner.id)
    made = make_key(person)
    frozen.move(hours=1)
    assert person.get(KEYS).json["items"][0]["id"] == made["id"]
    assert person.post(f"{KEYS}/{made['id']}/rotation", json={}).json["code"] == "not_allowed"
    assert person.delete(f"{KEYS}/{made['id']}").status_code == 204


def test_rotation_overlaps_and_a_lost_answer_does_not_stop_the_script(person, ask, frozen, as_user, officer):
    made = make_key(person, valid_days=30)
    address = f"{KEYS}/{made['id']}/rotation"
    lost = person.post(address, json={"overlap_hours": 2}).json
    frozen.move(minutes=1)
    second = person.post(address, json={"overlap_hours": 2, "valid_days": 365}).json
    assert second["starts_with"] == made["starts_with"]
    assert second["previous_until"] == "2026-10-01T12:00:00+08:00"
    assert second["expires_at"] == "2027-10-01T10:01:00+08:00"
    assert ask(made["key"]) == ask(second["key"]) == (200, None)
    assert ask(lost["key"]) == (401, "api_key_invalid")
    frozen.move(hours=2)
    assert ask(made["key"]) == (401, "api_key_invalid")
    assert ask(second["key"]) == (200, None)
    at_once = person.post(address, json={"overlap_hours": 0}).json
    assert ask(second["key"]) == (401, "api_key_invalid")
    assert ask(at_once["key"]) == (200, None)
    frozen.move(days=91)
    assert ask(at_once["key"]) == (401, "api_key_expired")
    renewed = as_user(officer.id).post(address, json={}).json
    assert ask(renewed["key"]) == (200, None)
    assert ask(at_once["key"]) == (401, "api_key_invalid"), "what had expired does not come back"


def test_a_key_is_good_from_its_addresses_only(app, settings, person, ask, frozen):
    key = make_key(person, addresses=["203.0.113.0/24", "2001:db8::/32"])["key"]
    for address, expected in {
        "203.0.113.7": (200, None),
        "2001:db8::1": (200, None),
        "::ffff:203.0.113.7": (200, None),
        "203.0.114.7": (403, "api_key_wrong_address"),
        "2001:db9::1": (403, "api_key_wrong_address"),
        "": (403, "api_key_wrong_address"),
    }.items():
        assert ask(key, environ_base={"REMOTE_ADDR": address}) == expected, address
    # Nobody chooses their address by a header, unless so many proxies of ours stand in front.
    said = {"REMOTE_ADDR": "10.0.0.1", "HTTP_X_FORWARDED_FOR": "203.0.113.7"}
    assert ask(key, environ_base=said) == (403, "api_key_wrong_address")
    behind = create_app(settings.replace(trusted_proxies=1))
    for forwarded, status in {
        "203.0.113.7": 200,
        "198.51.100.9, 203.0.113.7": 200,
        "203.0.113.7, 198.51.100.9": 403,  # what the client itself said comes first
        "": 403,
    }.items():
        answer = behind.test_client().get(
            FIGURES,
            headers={"Authorization": f"Bearer {key}", "X-Forwarded-For": forwarded},
            environ_base={"REMOTE_ADDR": "10.0.0.1"},
        )
        assert answer.status_code == status, forwarded
    behind.extensions["engage.database"].dispose()


def test_a_right_secret_that_is_refused_is_an_entry_and_a_wrong_one_is_none(
    ask, make, database, frozen, city, officer
):
    def entries():
        told = select(AuditEntry.actor_id, AuditEntry.api_key_id, AuditEntry.address, AuditEntry.result)
        by_key = AuditEntry.api_key_id.is_not(None), AuditEntry.actor_id.in_((officer.id, suspended.id))
        with database.reading() as connection:
            return [tuple(row) for row in connection.execute(told.where(*by_key).order_by(AuditEntry.id))]

    def shown(owner=officer, **values):
        made = new_key()
        return made, make.api_key(owner, made, **values).id

    suspended = make.staff(Role.OFFICER, org=city)
    elsewhere, from_elsewhere = shown(addresses=["203.0.113.0/24"])
    over, of_over = shown(created_at=frozen.now - timedelta(days=9), expires_at=frozen.now)
    revoked, of_revoked = shown(revoked_at=frozen.now)
    stopped, of_stopped = shown(suspended)
    with database.transaction() as session:
        session.execute(update(Person).where(Person.id == suspended.id).values(status=PersonStatus.SUSPENDED))
    expected = []
    for made, key_id, owner, code in (
        (elsewhere, from_elsewhere, officer, "api_key_wrong_address"),
        (over, of_over, officer, "api_key_expired"),
        (revoked, of_revoked, officer, "api_key_invalid"),
        (stopped, of_stopped, suspended, "account_suspended"),
    ):
        assert ask(made.text)[1] == code
        expected.append((owner.id, key_id, "127.0.0.1", code))
        assert ask(new_key(made.public_id).text) == (401, "api_key_invalid"), "the same key, another secret"
        assert entries() == expected
    with database.reading() as connection:
        kept = repr(connection.execute(select(AuditEntry.__table__)).all())
    assert not [made for made in (elsewhere, over, revoked, stopped) if made.text[24:] in kept]


def test_the_last_use_is_noted_now_and_then(app, person, ask, frozen):
    key = make_key(person)["key"]

    def used_at():
        return person.get(KEYS).json["items"][0]["last_used_at"]

    assert used_at() is None
    ask(key)
    assert used_at() == "2026-10-01T10:00:00+08:00"
    frozen.move(minutes=9)
    with count_statements(app) as sent:
        ask(key, "/v1/statistics/integrity")
    assert not [statement for statement in sent if "UPDATE" in statement]
    frozen.move(minutes=1)
    ask(key)
    assert used_at() == "2026-10-01T10:10:00+08:00"


def test_a_key_costs_as_many_statements_as_a_token(app, person, ask, frozen):
    key = make_key(person)["key"]
    ask(key)
    with count_statements(app) as with_key:
        ask(key)
    with count_statements(app) as with_token:
        person.get(FIGURES)
    assert len(with_key) == len(with_token)


def test_no_key_stands_in_the_log(person, ask, caplog, frozen):
    caplog.set_level(logging.DEBUG)
    logging.getLogger("engage").propagate = True
    made = make_key(person)
    ask(made["key"])
    ask(made["key"][:-1] + "x")
    person.delete(f"{KEYS}/{made['id']}")
    logging.getLogger("engage").propagate = False
    text = "".join(record.getMessage() + str(getattr(record, "fields", "")) for record in caplog.records)
    assert made["id"] in text
    assert made["key"][24:] not in text
