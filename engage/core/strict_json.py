"""JSON as a client may send it: one meaning only (I-JSON, RFC 7493), and no deeper than anything here is.

orjson refuses what is not JSON at all: NaN, numbers beyond a double, lone surrogates, other encodings than UTF-8, a byte order
mark, anything after the document. It lets pass a name that appears twice, of which one parser takes the first and another the
last, and nesting up to 1024.
"""

from __future__ import annotations

import re
from typing import Any, Final

import orjson

from engage.core.errors import InvalidJson, Issue

MAX_DEPTH: Final = 16
# Words of orjson's messages, in the order in which to look for them; whatever else it says is that this is no JSON.
_FAULTS: Final = (
    ("byte order mark", "byte_order_mark"),
    ("not valid UTF-8", "not_utf8"),
    ("limit", "nested_too_deep"),
    ("infinity", "number_out_of_range"),
    ("surrogate", "half_surrogate"),
)
# Whole texts, so that what looks like a name inside one is not taken for it.
_TEXTS: Final = re.compile(rb'"(?:[^"\\]|\\.)*+"(\s*+:)?', re.DOTALL)


def parse(given: bytes) -> Any:
    """Return what a JSON document says.

    Raises:
        InvalidJson: it is none, is nested too deeply, or says something twice; its issue says which.

    """
    try:
        data = orjson.loads(given)
    except orjson.JSONDecodeError as error:
        raise _refusal(next((code for words, code in _FAULTS if words in error.msg), "not_json")) from None
    kept = _count_names(data)
    # Each name written has its colon; only where texts hold colons too is it worth telling them apart.
    if given.count(b":") != kept and sum(map(bool, _TEXTS.findall(given))) != kept:
        raise _refusal("name_twice")
    return data


def _count_names(data: Any) -> int:
    names, level = 0, [data]
    for _ in range(MAX_DEPTH):
        inner: list[Any] = []
        for value in level:
            if type(value) is dict:
                names += len(value)
                inner.extend(value.values())
            elif type(value) is list:
                inner.extend(value)
        if not inner:
            return names
        level = inner
    if any(type(value) in (dict, list) for value in level):
        raise _refusal("nested_too_deep")
    return names


def _refusal(code: str) -> InvalidJson:
    return InvalidJson(Issue("", code, {"max": MAX_DEPTH}))
