"""CSV: quoting, formulas, pieces."""

import csv
import io

import pytest

from brokerage.platform.reporting import CHUNK_ROWS, csv_lines, text_cell


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@x", "\t=1", "\r=1", "\n=1"])
def test_text_that_would_run_is_quoted(text: str) -> None:
    assert text_cell(text) == f"'{text}"


@pytest.mark.parametrize(("given", "wanted"), [("abc", "abc"), ("a=1", "a=1"), ("", ""), (None, "")])
def test_other_text_stays(given: str | None, wanted: str) -> None:
    assert text_cell(given) == wanted


def test_numbers_are_never_quoted_and_none_is_empty() -> None:
    raw = b"".join(csv_lines(("amount", "note"), [("-1.50", "-x"), (None, 'a,"b"')], ("note",)))
    assert raw == b'amount,note\r\n-1.50,\'-x\r\n,"a,""b"""\r\n'


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
