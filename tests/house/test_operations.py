"""Every operation is declared whole: caller, languages, shapes, bounds, and what it refuses."""

from __future__ import annotations

import inspect
import re

import pytest
from marshmallow import fields
from sqlalchemy import JSON, LargeBinary, String

import engage.tables  # noqa: F401 - every table
from engage.app import APIS
from engage.core import openapi
from engage.core.audit import MAX_VALUE_CHARS
from engage.core.db import Base
from engage.core.http import PREFIX, Mode, Operation
from engage.core.replies import NO_STORE
from engage.core.schemas import PAGE_LIMIT, In, PageQuery, Query
from engage.identity.models import Person

OPERATIONS = [operation for api in APIS for operation in api.operations]
CJK = re.compile(r"[\u4e00-\u9fff]")
STEP = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*|\{[a-z_]+\}")

# Addresses outside the API: for browsers, monitors and tools.
OTHER_ADDRESSES = {
    "/", "/healthz", "/readyz", "/openapi.json", "/openapi.yaml",
    "/console/login", "/console/login.js", "/console/login.css", "/console/scan",
}  # fmt: skip

# Staff PUTs that replace nothing another person may have changed meanwhile; each with its reason.
WITHOUT_IF_MATCH = {
    "record_membership": "one fact of the official register about one person; the last reading counts",
}

# POSTs that make something but are safe to repeat without a key; each with its reason.
WITHOUT_KEY = {
    "create_api_key": "the answer holds a secret, and what is repeated would have to be kept; the other key is revoked",
    "invite_to_role": "a kept answer would hold the secret; one made twice is withdrawn",
    "create_login_ticket": "nobody has logged in yet; one that nobody scans ends after two minutes",
}

# What is created without an address of its own; each with where it is read.
WITHOUT_LOCATION = {
    "invite_to_role": "in the list of open invitations",
    "add_person": "in the activity's list of sign-ups",
    "make_up_hours": "in the activity's list of hours",
    "create_api_key": "in the list of the caller's keys",
    "appeal_credit_entry": "with its entry, in the caller's list of entries",
}

# Files for staff that show people take the second factor; so do giving and ending roles, and making keys. Each with whom it lets in.
PRIVILEGED = {
    "give_role": "staff", "end_role": "staff", "invite_to_role": "staff",
    "create_api_key": "staff", "rotate_api_key": "staff",
    "export_sign_ups": "staff", "export_audit_entries": "staff",
    "renew_recovery_codes": "member", "remove_second_factor": "member",
}  # fmt: skip

# Whose answers say something about whoever asks.
KNOWS_WHO = {"member", "staff", "guest"}

# Parts of names of parameters that would say something about a person, or open something to whoever reads them.
NOT_IN_ADDRESSES = {
    "name", "names", "phone", "mobile", "tel", "birth", "birthday", "age", "gender", "sex", "openid", "unionid", "email", "address", "token",
    "secret", "password", "code", "key", "person", "applicant", "holder", "actor", "answer", "answers", "note", "reason", "signature", "otp",
}  # fmt: skip

# Which of them do all the same; each with its reason.
IN_ADDRESSES = {
    "list_regions": {"name"},  # of a division
    "read_region": {"code"},  # of a division
    "check_certificate": {"verification_code"},  # printed on paper as a link; it shows no person
    "list_audit_entries": {
        "address"
    },  # of a machine, not where somebody lives; the log of who attacks is searched by it
    "export_audit_entries": {"address"},
}

# What says something about one person.
OF_A_PERSON = {
    "person", "person_id", "person_name", "applicant", "holder_name", "actor_id", "phone", "birth_on", "age", "gender", "openid",
}  # fmt: skip

# Reads that show something like it, or are files for staff, and need no entry; each with its reason.
WITHOUT_PEOPLE = {
    "export_participation": "figures",
    "export_county_totals": "figures",
    "check_certificate": "whoever was given the code checks what its owner shows them",
}

# Tables whose rows staff do not write, or that follow from what is audited.
NOT_AUDITED = {
    "audit_entry", "audit_link", "audit_unsealed", "auth_session", "check_in", "cluster", "credit_settlement", "division",
    "failed_attempts", "feedback", "hours_account", "hours_certificate", "hours_certificate_entry", "hub_kind", "idempotent_answer", "login_attempt", "message",
    "org_kind", "org_path", "outbox", "recovery_code", "refresh_token", "wechat_account", "wechat_token",
}  # fmt: skip

each_operation = pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)


def _fields(schema, path=""):
    """Every field of a schema and of the schemas inside it, with its path."""
    for name, field in schema().fields.items():
        yield from _field(field, f"{path}/{name}")


def _field(field, path):
    yield path, field
    if isinstance(field, fields.List):
        yield from _field(field.inner, f"{path}/*")
    if isinstance(field, fields.Nested):
        yield from _fields(type(field.schema), path)


def _is_list(operation: Operation) -> bool:
    return operation.returns is not None and {"items", "next_cursor"} <= operation.returns().fields.keys()


def test_every_address_is_a_declared_operation(app):
    served = {
        (rule.rule, method)
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
        if rule.rule not in OTHER_ADDRESSES and not rule.rule.startswith("/docs")
    }
    assert served == {(operation.rule, operation.method) for operation in OPERATIONS}
    assert all(rule.startswith(f"{PREFIX}/") for rule, _ in served)


def test_names_are_used_once():
    names = [operation.name for operation in OPERATIONS]
    assert sorted(names) == sorted(set(names))
    addresses = [(operation.method, re.sub(r"\{\w+\}", "{}", operation.path)) for operation in OPERATIONS]
    assert sorted(addresses) == sorted(set(addresses))


@each_operation
def test_paths_are_kebab_nouns_and_parameters(operation):
    assert operation.path.startswith("/")
    for step in operation.path.removeprefix("/").split("/"):
        assert STEP.fullmatch(step), step
    assert operation.path_parameters == [
        name for name in inspect.signature(operation.view).parameters if name in operation.path_parameters
    ], "parameters of the view are in the order of the path"


@each_operation
def test_it_has_a_summary_in_both_languages(operation):
    assert CJK.search(operation.zh)
    assert not operation.zh.endswith("。")
    first = (operation.view.__doc__ or "").strip().partition("\n")[0]
    assert first.endswith(".")
    assert not CJK.search(first)
    assert CJK.search(operation.tag)
    assert re.search("[A-Za-z]", operation.tag)


@each_operation
def test_input_is_made_of_our_bounded_fields(operation):
    for schema, base in ((operation.body, In), (operation.query, Query)):
        if schema is None:
            continue
        assert issubclass(schema, base)
        for path, field in _fields(schema):
            assert type(field).__module__.startswith("engage."), (
                f"{path}: {type(field).__name__} has no bounds"
            )
            if isinstance(field, fields.Nested):
                assert issubclass(type(field.schema), base), path
                assert not field.many, f"{path}: use Listed"


@each_operation
def test_output_fields_are_always_present_and_of_our_kinds(operation):
    if operation.returns is None:
        return
    for path, field in _fields(operation.returns):
        assert type(field).__module__.startswith("engage."), path
        assert field.required or path.endswith("/*"), f"{path}: use allow_none for absence"


@each_operation
def test_required_fields_have_examples(operation):
    for schema in (operation.body, operation.returns):
        for path, field in _fields(schema) if schema else ():
            composite = isinstance(field, fields.Nested | fields.List)
            assert composite or not field.required or field.allow_none or "example" in field.metadata, path


@each_operation
def test_lists_are_bounded_and_paged(operation):
    if not _is_list(operation):
        return
    assert operation.method == "GET"
    assert operation.query is not None
    assert issubclass(operation.query, PageQuery)
    limit = operation.query().fields["limit"]
    assert limit.high <= PAGE_LIMIT
    assert limit.load_default <= limit.high
    assert operation.returns().fields["items"].high <= PAGE_LIMIT


@each_operation
def test_a_bare_collection_is_a_list(operation):
    """``GET /hubs`` pages; nobody answers a collection without bounds."""
    last = operation.path.rsplit("/", 1)[-1]
    is_collection = operation.method == "GET" and last.endswith("s") and not last.startswith("{")
    if is_collection and operation.query is not None and "limit" in operation.query().fields:
        assert _is_list(operation)


@each_operation
def test_what_creates_can_be_repeated_and_says_where_it_is(operation):
    if operation.status != 201:
        return
    assert operation.method == "POST"
    assert operation.idempotent or operation.name in WITHOUT_KEY
    if operation.name in WITHOUT_LOCATION:
        return
    assert operation.location is not None
    names = re.findall(r"\{(\w+)\}", operation.location)
    assert set(names) <= operation.returns().fields.keys()
    shape = re.sub(r"\{\w+\}", "{}", operation.location)
    assert shape in {re.sub(r"\{\w+\}", "{}", other.path) for other in OPERATIONS if other.method == "GET"}


@each_operation
def test_idempotent_operations_know_their_caller(operation):
    if operation.idempotent:
        assert operation.method == "POST"
        assert operation.mode is Mode.WRITE
        assert operation.access.name in ("member", "staff")


@each_operation
def test_staff_replace_only_what_they_have_read(operation):
    if (
        operation.method == "PUT"
        and operation.access.name == "staff"
        and operation.name not in WITHOUT_IF_MATCH
    ):
        assert operation.if_match
    if operation.if_match:
        # What is replaced, or whose part: an answer is read with its finding.
        acted_on = [operation.path] * (operation.method == "PUT") + [operation.path.rpartition("/")[0]]
        readers = [
            other for path in acted_on for other in OPERATIONS if (other.method, other.path) == ("GET", path)
        ]
        assert readers, "what carries a version can be read at the address of what is acted on"
        assert "version" in readers[0].returns().fields


@each_operation
def test_versions_are_sent_as_entity_tags(operation):
    if (
        operation.method == "GET"
        and operation.returns
        and not _is_list(operation)
        and "version" in operation.returns().fields
    ):
        assert operation.cache is not None


@each_operation
def test_every_refusal_of_its_kind_is_documented(operation):
    refused = openapi.refusals(operation)
    statuses = {refusal.status for refusal in refused}
    if operation.access.name in ("member", "staff"):
        assert 401 in statuses
        assert 403 in statuses
    if operation.access.name == "staff":
        assert "not_allowed" in {refusal.code for refusal in refused}
    if any(name.endswith("_id") for name in operation.path_parameters):
        assert 404 in statuses, "an unknown id is refused with its own code"
        assert 422 in statuses
    if operation.body:
        assert {400, 413, 415, 422} <= statuses
    assert {500, 503} <= statuses


def test_answers_about_a_person_are_not_stored_anywhere(subtests):
    """An ETag may stand beside: it serves a client that holds the answer in its memory.

    What asks who is asking only where a parameter is given is the same for all without it: what it shows decides.
    """
    for operation in OPERATIONS:
        with subtests.test(operation.name):
            shown = (
                {path.rsplit("/", 1)[-1] for path, _ in _fields(operation.returns)}
                if operation.returns
                else set()
            )
            asks = operation.access.name in KNOWS_WHO and not getattr(operation.access, "parameter", None)
            if asks or shown & OF_A_PERSON:
                assert operation.cache in (None, NO_STORE)
            elif operation.access.name != "public":
                assert (operation.cache or NO_STORE).startswith(("private", NO_STORE)), (
                    "not for shared caches"
                )


def test_nothing_about_a_person_stands_in_an_address(subtests):
    """Addresses stay in the logs of every proxy on the way; ids that mean nothing elsewhere may."""
    for operation in OPERATIONS:
        with subtests.test(operation.name):
            fields_of_query = operation.query().fields.items() if operation.query else ()
            names = {field.data_key or name for name, field in fields_of_query} | set(
                operation.path_parameters
            )
            told = {
                name for name in names if set(name.split("_")) & NOT_IN_ADDRESSES and not name.endswith("_id")
            }
            assert told <= IN_ADDRESSES.get(operation.name, set())


def test_who_shows_staff_people_declares_it(subtests):
    """So that it is an entry of the audit log."""
    for operation in OPERATIONS:
        if operation.method != "GET" or operation.path.startswith("/me"):
            continue
        with subtests.test(operation.name):
            paths = [path for path, _ in _fields(operation.returns)] if operation.returns else []
            shows = [path for path in paths if path.rsplit("/", 1)[-1] in OF_A_PERSON]
            if shows or (operation.binary and operation.is_of_staff):
                assert operation.people or operation.name in WITHOUT_PEOPLE, shows
            if operation.people:
                assert operation.is_of_staff or operation.tells, "who reaches for what is another's"
                assert operation.mode is Mode.READ
                assert operation.cache is None


def test_what_takes_the_second_factor_is_known_and_every_file_with_people_does():
    asking = {
        operation.name: operation.access.name for operation in OPERATIONS if operation.access.needs_privilege
    }
    assert asking == PRIVILEGED
    files = {operation.name for operation in OPERATIONS if operation.binary and operation.people}
    assert files <= asking.keys()


def test_what_is_audited_has_its_entry_in_its_own_transaction(subtests):
    for operation in OPERATIONS:
        with subtests.test(operation.name):
            assert operation.audited or operation.method == "GET" or not operation.is_of_staff
            assert not operation.audited or operation.mode is Mode.WRITE
            assert set(operation.tells) <= set(operation.refuses)
            assert not operation.tells or operation.access.name == "member", (
                "all others tell of everything, or know nobody"
            )


def test_every_table_is_audited_or_has_its_reason():
    tables = {mapper.class_.__tablename__: mapper.class_ for mapper in Base.registry.mappers}
    silent = {name for name, model in tables.items() if not hasattr(model, "audited")}
    assert silent == NOT_AUDITED
    for name, model in tables.items():
        columns = model.__table__.columns
        for shown in getattr(model, "audited", ()):
            assert shown not in OF_A_PERSON - {"person_id"}, (name, shown)
            assert not isinstance(columns[shown].type, JSON | LargeBinary), (name, shown)
            assert (
                not isinstance(columns[shown].type, String)
                or (columns[shown].type.length or 0) <= MAX_VALUE_CHARS
            )
    assert Person.audited == ("status",)


def test_exceptions_are_still_needed():
    names = {operation.name for operation in OPERATIONS}
    assert (
        WITHOUT_PEOPLE.keys() | WITHOUT_IF_MATCH.keys() | WITHOUT_KEY.keys() | WITHOUT_LOCATION.keys()
        <= names
    )
    assert IN_ADDRESSES.keys() <= names


def test_no_hook_waits_for_requests_of_operations(app):
    """They would never be called: ``Service`` leaves them out."""
    hooks = (
        "before_request_funcs",
        "after_request_funcs",
        "teardown_request_funcs",
        "url_value_preprocessors",
    )
    assert [name for name in hooks if getattr(app, name).get(None)] == []
    assert not any(app.teardown_request_funcs.values()), "pages have none either"
    assert not app.teardown_appcontext_funcs
    assert [operation.name for operation in OPERATIONS if "." in operation.name] == []
