"""Streaming CSV: UTF-8, UTC times, one row at a time, safe to open in a spreadsheet.

Owns quoting and the escaping of cells that a spreadsheet would run as a formula: a quote in front, whatever the column. A plain number
(``-1.50``) is data and stays a number, but in a column of free text nothing is taken for one. ``text_uncell`` gives back what was written.
Leaves the rows, their bounds and permission to the callers.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from django.http import StreamingHttpResponse
from rest_framework.renderers import BaseRenderer

CHUNK_ROWS = 500
#: Rows of one download; more is refused before it begins, so that no file is silently short.
CSV_ROWS_MAX = 100_000
#: What starts a formula in some spreadsheet: also after blanks, in its full-width form, or behind quotes we would add ourselves.
_FORMULA = re.compile(r"'*\s*[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")
_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?")
#: Cells with one of these are quoted: not only our own separator, but those of other spreadsheets and locales too.
_QUOTED = re.compile(r"[,;|\t\"'\r\n]")


class CsvRenderer(BaseRenderer):
    """Lets a client ask for text/csv; the body itself is streamed and never rendered here."""

    media_type = "text/csv"
    format = "csv"
    charset = "utf-8"

    def render(self, data: object, accepted_media_type: str | None = None, renderer_context: object = None) -> bytes:
        """Errors are problem documents of their own; nothing else comes here."""
        return str(data).encode("utf-8")


class PdfRenderer(CsvRenderer):
    """The same for application/pdf."""

    media_type = "application/pdf"
    format = "pdf"
    charset = None  # type: ignore[assignment]


def text_cell(value: str | None) -> str:
    """Text that no spreadsheet takes for a formula (OWASP: a quote in front)."""
    if not value:
        return ""
    return f"'{value}" if _FORMULA.match(value) else value


def text_uncell(cell: str) -> str:
    """The text behind a cell made by ``text_cell``."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell[1:]) else cell


def _cell(value: str | None, free_text: bool) -> str:
    if value is None:
        return ""
    text = str(value)
    safe = text if not free_text and _NUMBER.fullmatch(text) else text_cell(text)
    return '"' + safe.replace('"', '""') + '"' if _QUOTED.search(safe) else safe


def csv_lines(
    header: Sequence[str], rows: Iterable[Sequence[str | None]], text_columns: Sequence[str]
) -> Iterator[bytes]:
    """The file in pieces of CHUNK_ROWS rows. ``text_columns`` names the columns that hold free text."""
    free = [name in set(text_columns) for name in header]
    lines = [",".join(_cell(name, True) for name in header)]
    for count, row in enumerate(rows, 1):
        lines.append(",".join(_cell(cell, text) for cell, text in zip(row, free, strict=True)))
        if count % CHUNK_ROWS == 0:
            yield ("\r\n".join(lines) + "\r\n").encode("utf-8")
            lines = []
    if lines:
        yield ("\r\n".join(lines) + "\r\n").encode("utf-8")


def csv_response(
    filename: str, header: Sequence[str], rows: Iterable[Sequence[str | None]], text_columns: Sequence[str] = ()
) -> StreamingHttpResponse:
    """A download; rows are produced while it is sent."""
    response = StreamingHttpResponse(csv_lines(header, rows, text_columns), content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{filename}"'
    return response
