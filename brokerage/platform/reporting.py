"""Streaming CSV: UTF-8, UTC times, one row at a time, safe to open in a spreadsheet.

Owns quoting and the escaping of text cells that a spreadsheet would run as a formula. Leaves the rows, their bounds
and permission to the callers. Numbers are never escaped: a negative amount stays a number.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence

from django.http import StreamingHttpResponse
from rest_framework.renderers import BaseRenderer

CHUNK_ROWS = 500
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


class CsvRenderer(BaseRenderer):
    """Lets a client ask for text/csv; the body itself is streamed and never rendered here."""

    media_type = "text/csv"
    format = "csv"
    charset = "utf-8"

    def render(self, data: object, accepted_media_type: str | None = None, renderer_context: object = None) -> bytes:
        """Errors are problem documents of their own; nothing else comes here."""
        return str(data).encode("utf-8")


def text_cell(value: str | None) -> str:
    """Text that no spreadsheet takes for a formula (OWASP: a quote in front)."""
    if not value:
        return ""
    return f"'{value}" if value.startswith(_FORMULA) else value


def csv_lines(
    header: Sequence[str], rows: Iterable[Sequence[str | None]], text_columns: Sequence[str]
) -> Iterator[bytes]:
    """The file in pieces of CHUNK_ROWS rows. ``text_columns`` names the columns that hold free text."""
    escape = {index for index, name in enumerate(header) if name in set(text_columns)}
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\r\n")
    writer.writerow(header)
    for count, row in enumerate(rows, 1):
        writer.writerow(
            [
                text_cell(cell) if index in escape else (cell if cell is not None else "")
                for index, cell in enumerate(row)
            ]
        )
        if count % CHUNK_ROWS == 0:
            yield buffer.getvalue().encode("utf-8")
            buffer.seek(0)
            buffer.truncate()
    yield buffer.getvalue().encode("utf-8")


def csv_response(
    filename: str, header: Sequence[str], rows: Iterable[Sequence[str | None]], text_columns: Sequence[str] = ()
) -> StreamingHttpResponse:
    """A download; rows are produced while it is sent."""
    response = StreamingHttpResponse(csv_lines(header, rows, text_columns), content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{filename}"'
    return response
