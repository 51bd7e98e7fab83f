"""JSON that has one meaning only, and is no deeper than anything here."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as some

from engage.core.errors import InvalidJson
from engage.core.strict_json import MAX_DEPTH, parse

VALUES = some.recursive(
    some.none() | some.booleans() | some.integers(-(2**53), 2**53) | some.text(),
    lambda inner: some.lists(inner, max_size=3) | some.dictionaries(some.text(), inner, max_size=3),
    max_leaves=12,
)


@pytest.mark.parametrize(
    "document",
    [
        '{"a": 1, "a": 1}',
        '{"a": 1, "b": {"c": 1, "c": 2}}',
        '[{"a": ":"}, {"b": 1, "b": ":"}]',
        r'{"a\"": 1, "a\"": 2}',
        r'{"a\\": 1, "a\\": 2}',
        '{"a" \n\t: "x", "a":2}',
        r'{"a": 1, "\u0061": 2}',
        '{"": 1, "": 2}',
        "[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1),
        "[" * 1000 + "]" * 1000,
        "[" * 100_000,
        '{"a":' * (MAX_DEPTH + 1) + "1" + "}" * (MAX_DEPTH + 1),
        "1e400",
        "-1e400",
        "1" * 5000,
        "NaN",
        "Infinity",
        "-Infinity",
        "01",
        "+1",
        ".5",
        "0x10",
        '"\\ud800"',
        '"a\tb"',
        "{} {}",
        "{}//",
        "{'a': 1}",
        '{"a": 1,}',
        "",
        "\ufeff{}",
    ],
)
def test_what_has_no_or_two_meanings_is_refused(document):
    with pytest.raises(InvalidJson):
        parse(document.encode())


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "gb18030"])
def test_there_is_one_encoding(encoding):
    with pytest.raises(InvalidJson) as refused:
        parse('{"名": "长"}'.encode(encoding))
    assert [issue.code for issue in refused.value.issues] == ["not_utf8"]


@pytest.mark.parametrize(
    ("document", "code"),
    [
        ("[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1), "nested_too_deep"),
        ('{"a":' * (MAX_DEPTH + 1) + "1" + "}" * (MAX_DEPTH + 1), "nested_too_deep"),
        ("[" * 100_000 + "]" * 100_000, "nested_too_deep"),
        ('{"a": 1, "b": {"c": 1, "c": 2}}', "name_twice"),
        (r'{"a": ":", "\u0061": 2}', "name_twice"),
        ('{"a": 1e400}', "number_out_of_range"),
        ('{"a": -' + "9" * 5000 + "}", "number_out_of_range"),
        ("\ufeff{}", "byte_order_mark"),
        (r'"\ud800"', "half_surrogate"),
        (r'"\udc00"', "half_surrogate"),
        (r'"\ud800\u0041"', "half_surrogate"),
        ("", "not_json"),
        ('{"a": NaN}', "not_json"),
        ('{"a": 1,}', "not_json"),
        ('{"limit": infinity}', "not_json"),
    ],
)
def test_each_fault_is_called_what_it_is(document, code):
    with pytest.raises(InvalidJson) as refused:
        parse(document.encode())
    assert [(issue.pointer, issue.code) for issue in refused.value.issues] == [("", code)]


@pytest.mark.parametrize(
    "document",
    [
        r'{"a": "\"b\": 1, \"b\": 2", "c": "\\", "d": ":"}',
        '{"a": {"b": ":"}, "b": {"a": ":"}}',
        "[" * MAX_DEPTH + "]" * MAX_DEPTH,
        "[" * (MAX_DEPTH - 1) + "1" + "]" * (MAX_DEPTH - 1),
        '{"instants": ["2026-10-01T15:01:00+08:00"]}',
    ],
)
def test_what_only_looks_like_it_is_taken(document):
    assert parse(document.encode()) == json.loads(document)


@given(VALUES)
def test_every_document_is_read_as_the_standard_library_reads_it(value):
    for separators in ((",", ":"), (" , ", " : ")):
        document = json.dumps(value, separators=separators)
        assert parse(document.encode()) == json.loads(document)


@given(some.text(), some.text(min_size=1))
def test_a_name_that_comes_twice_is_always_found(name, value):
    again = f"{{{json.dumps(name)}: {json.dumps(value)}, {json.dumps(name)}: 1}}"
    with pytest.raises(InvalidJson):
        parse(again.encode())
