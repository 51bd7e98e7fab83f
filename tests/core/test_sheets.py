"""Tables that spreadsheets open."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from engage.core.sheets import as_csv


def test_it_begins_with_the_mark_that_excel_needs_and_quotes_what_must_be():
    assert as_csv([("名称", 2), ('说"好",\n走', None)]) == '\ufeff名称,2\r\n"说""好"",\n走",\r\n'.encode()


@pytest.mark.parametrize("begin", ["=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠"])
def test_no_text_is_taken_for_a_formula(begin):
    text = f"{begin}cmd"
    written = as_csv([(text,)]).decode("utf-8-sig")
    assert written.strip("\r\n").strip('"') == f"'{text}"


def test_numbers_and_other_texts_stay_as_they_are():
    assert as_csv([(-3, 0.5, "1-2=3", None)]) == b"\xef\xbb\xbf-3,0.5,1-2=3,\r\n"


def test_instants_are_shanghai_time():
    at = datetime(2026, 10, 1, 16, 30, 5, 700, tzinfo=UTC)
    assert as_csv([(at,)]).decode("utf-8-sig") == "2026-10-02 00:30:05\r\n"
