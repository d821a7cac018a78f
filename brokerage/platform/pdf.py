"""PDF documents of record: text, facts and tables on A4, the same bytes from the same input.

What goes in is text and stays text: nothing here reads markup, an address or a file name, so there is nothing to escape and nothing to fetch
(the layout engine of reportlab, which does read tags in paragraphs, is not used). Characters that the embedded letters do not have, and those
that one cannot see (control, direction, joining), appear as their number, ``[U+202E]``, and the document says so at its end.
Rows of tables may be longer than a page; their headings are repeated. The document is not tagged: the page it was made from is the accessible one.

Owns layout, letters and metadata. Leaves what is in a document, who may have it and the record of it to its maker.
"""

from __future__ import annotations

import hashlib
import io
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from importlib.resources import files
from typing import Any

from django.http import HttpResponse
from reportlab import rl_config
from reportlab.lib.pagesizes import A4
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen.canvas import Canvas

# Nothing here asks for a picture or a file by address; should anything ever do so, reportlab is to refuse it.
rl_config.trustedSchemes = []
rl_config.trustedHosts = []
# Streams as bytes, not as text of five letters for four bytes: a quarter smaller, and quicker made.
rl_config.useA85 = 0

#: Source Sans Pro, from the package of that name: Latin, Greek and Cyrillic letters.
_FONTS = files("font_source_sans_pro") / "files"
REGULAR, BOLD = "SourceSansPro-Regular", "SourceSansPro-Bold"
_WIDTH, _HEIGHT = A4
_LEFT, _RIGHT, _TOP, _BOTTOM = 48.0, _WIDTH - 48.0, _HEIGHT - 62.0, 62.0
_INK, _SOFT, _FAINT, _LINE = (0.06, 0.08, 0.11), (0.27, 0.31, 0.37), (0.36, 0.41, 0.47), (0.80, 0.83, 0.88)
_GAP = 8.0
_NOTE = "[U+0000] stands for a character that this document cannot show: its number in Unicode."


@dataclass(frozen=True)
class Text:
    """Lines of text; ``soft`` is smaller and grey."""

    text: str
    soft: bool = False


@dataclass(frozen=True)
class Facts:
    """Names and their values, one under the other."""

    rows: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Table:
    """Rows under headings. ``widths`` are shares of the page's width; columns of ``right`` are numbers; ``nothing`` is said of an empty one."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    widths: Sequence[float]
    right: frozenset[int] = frozenset()
    nothing: str = "None."


@dataclass(frozen=True)
class Section:
    """A heading, also in the outline of the file, and what stands under it."""

    title: str
    blocks: Sequence[Text | Facts | Table]


@dataclass(frozen=True)
class Document:
    """One document: for whom and when it was made is on every page."""

    title: str
    about: str
    made_for: str
    made_at: datetime
    sections: Sequence[Section]
    label: str = "Confidential"


@dataclass(frozen=True)
class Pdf:
    """A finished document. ``number`` is printed on its pages, so that paper finds its record; it depends on everything in it."""

    content: bytes
    number: str

    @property
    def digest(self) -> str:
        """SHA-256 of the file, hexadecimal."""
        return hashlib.sha256(self.content).hexdigest()

    def named(self) -> dict[str, str]:
        """What the record of a download says of the file."""
        return {"form": "pdf", "document": self.number, "sha256": self.digest}


@lru_cache(maxsize=1)
def _letters() -> dict[str, dict[int, float]]:
    """Font -> character -> width in thousandths; the fonts are known to reportlab after this."""
    found = {}
    for name in (REGULAR, BOLD):
        font = TTFont(name, str(_FONTS / f"{name}.ttf"))
        pdfmetrics.registerFont(font)
        found[name] = dict(font.face.charWidths)
    return found


def shown(text: object) -> str:
    """Text as it can be printed: what has no letter or cannot be seen becomes its number; lines stay lines."""
    known, result = _letters()[REGULAR], []
    for letter in unicodedata.normalize("NFC", str(text).replace("\r\n", "\n")):
        kind = unicodedata.category(letter)
        if letter == "\n":
            result.append(letter)
        elif kind == "Zs" or letter == "\t":
            result.append(" ")
        # Marks without their letter are drawn over the letter before: two texts could look alike.
        elif kind[0] == "C" or kind in {"Mn", "Me", "Zl", "Zp"} or ord(letter) not in known:
            result.append(f"[U+{ord(letter):04X}]")
        else:
            result.append(letter)
    return "".join(result)


def _measure(text: str, font: str, size: float) -> float:
    widths = _letters()[font]
    return sum(widths.get(ord(letter), 500.0) for letter in text) * size / 1000


def _fitting(word: str, font: str, size: float, width: float) -> int:
    """How many letters of a word longer than the column go on one line; one at least. Rather up to a mark than into a word, where one is near."""
    widths, room, cut = _letters()[font], width * 1000 / size, 0
    for letter in word:
        room -= widths.get(ord(letter), 500.0)
        if room < 0:
            break
        cut += 1
    mark = max(word.rfind(sign, cut // 2, cut) for sign in "._-/@:")
    return mark + 1 if mark > 0 else max(cut, 1)


def _wrapped(text: object, font: str, size: float, width: float) -> list[str]:
    """The lines of a text in a column; a word longer than the column is cut. The time grows with the text and no faster."""
    lines: list[str] = []
    blank = _measure(" ", font, size)
    for line in shown(text).split("\n"):
        held: list[str] = []
        used = 0.0
        for word in line.split(" "):
            long = _measure(word, font, size)
            if held and used + blank + long > width:
                lines.append(" ".join(held))
                held, used = [], 0.0
            start = 0
            # The last letter goes on a line also where it is wider than the column.
            while long > width and start < len(word) - 1:
                cut = _fitting(word[start : start + 1_000], font, size, width)
                lines.append(word[start : start + cut])
                long -= _measure(word[start : start + cut], font, size)
                start += cut
            used += long + (blank if held else 0)
            held.append(word[start:])
        lines.append(" ".join(held))
    return lines


@dataclass
class _Page:
    #: (font, size, colour, x, y, text) and (x1, y, x2) of rules, in the order in which they are read.
    words: list[tuple[str, float, tuple[float, float, float], float, float, str]] = field(default_factory=list)
    rules: list[tuple[float, float, float]] = field(default_factory=list)


class _Layout:
    """Places everything on pages before anything is drawn: only then is it known how many there are."""

    def __init__(self) -> None:
        self.pages = [_Page()]
        self.y = _TOP
        self.outline: list[tuple[str, int, float]] = []

    def turn(self) -> None:
        self.pages.append(_Page())
        self.y = _TOP

    def need(self, height: float) -> None:
        if self.y - height < _BOTTOM:
            self.turn()

    def write(self, x: float, text: str, font: str, size: float, colour: tuple[float, float, float] = _INK) -> None:
        if text:
            self.pages[-1].words.append((font, size, colour, x, self.y, text))

    def rule(self) -> None:
        self.pages[-1].rules.append((_LEFT, self.y, _RIGHT))

    def lines(self, text: object, font: str, size: float, colour: tuple[float, float, float] = _INK) -> None:
        for line in _wrapped(text, font, size, _RIGHT - _LEFT):
            self.need(size * 1.4)
            self.y -= size * 1.4
            self.write(_LEFT, line, font, size, colour)

    def section(self, section: Section) -> None:
        # A heading is not left alone at the foot of a page.
        self.need(110)
        self.y -= 18
        self.outline.append((section.title, len(self.pages) - 1, self.y + 16))
        self.lines(section.title, BOLD, 11.5)
        self.y -= 4
        self.rule()
        self.y -= 3
        for block in section.blocks:
            if isinstance(block, Table):
                self.table(block)
            elif isinstance(block, Facts):
                self.facts(block)
            else:
                self.lines(block.text, REGULAR, 8.5 if block.soft else 9.5, _FAINT if block.soft else _INK)
            self.y -= 4

    def facts(self, facts: Facts) -> None:
        for name, value in facts.rows:
            self.row([name, value], [0.28, 0.72], frozenset(), 9.5, (_FAINT, _INK))

    def table(self, table: Table) -> None:
        if not table.rows:
            self.lines(table.nothing, REGULAR, 9.5, _FAINT)
            return
        self.need(52)
        self.head(table)
        for row in table.rows:
            self.row([str(cell) for cell in row], table.widths, table.right, 8.5, (_INK,), table)

    def head(self, table: Table) -> None:
        self.row(list(table.header), table.widths, table.right, 8.0, (_SOFT,), font=BOLD)
        self.rule()
        self.y -= 1

    def row(
        self,
        cells: Sequence[str],
        widths: Sequence[float],
        right: frozenset[int],
        size: float,
        colours: Sequence[tuple[float, float, float]],
        table: Table | None = None,
        font: str = REGULAR,
    ) -> None:
        """A row, whole on one page where it fits on one; the headings of ``table`` come again where the page turns."""
        whole, step = (_RIGHT - _LEFT) / sum(widths), size * 1.35
        places: list[tuple[float, float, list[str]]] = []
        x = _LEFT
        for cell, share in zip(cells, widths, strict=True):
            width = whole * share - (_GAP if len(places) < len(cells) - 1 else 0)
            places.append((x, width, _wrapped(cell, font, size, width)))
            x += whole * share
        most = max(len(lines) for _, _, lines in places)
        height = step * most + 4
        if self.y - height < _BOTTOM and height < (_TOP - _BOTTOM) / 2:
            self._turn_under(table)
        self.y -= 2
        first = 0
        while first < most:
            if self.y - step < _BOTTOM:
                self._turn_under(table)
            top, fits = self.y, max(1, int((self.y - _BOTTOM) / step))
            # Cell by cell, so that what is copied or read aloud comes in the order of reading.
            for column, (left, width, lines) in enumerate(places):
                for number, text in enumerate(lines[first : first + fits], 1):
                    self.y = top - number * step
                    shift = width - _measure(text, font, size) if column in right else 0
                    self.write(left + shift, text, font, size, colours[min(column, len(colours) - 1)])
            self.y = top - min(fits, most - first) * step
            first += fits
        self.y -= 2

    def _turn_under(self, table: Table | None) -> None:
        self.turn()
        if table is not None:
            self.head(table)


def _laid_out(document: Document) -> _Layout:
    layout = _Layout()
    layout.lines(document.title, BOLD, 18)
    layout.y -= 2
    layout.lines(document.about, REGULAR, 10.5, _SOFT)
    for section in document.sections:
        layout.section(section)
    if any("[U+" in word[5] for page in layout.pages for word in page.words):
        layout.y -= 12
        layout.lines(_NOTE, REGULAR, 8, _FAINT)
    return layout


def pdf_make(document: Document) -> Pdf:
    """The document as a file; ``made_at`` must know its time zone. The same input gives the same bytes."""
    layout = _laid_out(document)
    made = document.made_at.astimezone(UTC)
    number = hashlib.sha256(repr([document.made_for, made, layout.pages]).encode()).hexdigest()[:16]
    buffer = io.BytesIO()
    canvas = Canvas(buffer, pagesize=A4, invariant=1, pageCompression=1, lang="en-GB")
    canvas.setTitle(shown(document.title))
    canvas.setSubject(shown(document.about))
    canvas.setAuthor("Brokerage")
    canvas.setCreator("Brokerage")
    canvas.setViewerPreference("DisplayDocTitle", "true")
    canvas.showOutline()
    _stamp(canvas, made)
    for index, page in enumerate(layout.pages):
        for title, at, y in layout.outline:
            if at == index:
                key = hashlib.sha256(f"{title}{at}{y}".encode()).hexdigest()[:12]
                canvas.bookmarkHorizontal(key, 0, y)
                canvas.addOutlineEntry(shown(title), key)
        _draw(canvas, page)
        _frame(canvas, document, made, number, index + 1, len(layout.pages))
        canvas.showPage()
    canvas.save()
    return Pdf(buffer.getvalue(), number)


def _stamp(canvas: Any, made: datetime) -> None:
    """Give the file its own time; reportlab knows only that of its process."""
    stamp = canvas._doc._timeStamp
    stamp.t, stamp.lt, stamp.YMDhms, stamp.tzname = made.timestamp(), made.timetuple(), made.timetuple()[:6], "UTC"
    stamp.dhh = stamp.dmm = 0


def _draw(canvas: Any, page: _Page) -> None:
    canvas.setStrokeColorRGB(*_LINE)
    canvas.setLineWidth(0.6)
    for left, y, right in page.rules:
        canvas.line(left, y, right, y)
    # One text object a page, letters and colour said only where they change: half the work of a string at a time.
    words, last = canvas.beginText(), (None, None)
    for font, size, colour, x, y, text in page.words:
        if last[0] != (font, size):
            words.setFont(font, size)
        if last[1] != colour:
            words.setFillColorRGB(*colour)
        last = ((font, size), colour)
        words.setTextOrigin(x, y)
        words.textOut(text)
    canvas.drawText(words)


def _frame(canvas: Any, document: Document, made: datetime, number: str, page: int, pages: int) -> None:
    """What stands at the head and the foot of every page."""
    page_is = f"Page {page} of {pages}"
    texts: Iterator[tuple[float, float, str, bool]] = iter(
        (
            (_LEFT, _HEIGHT - 38, _cut(document.title if page > 1 else "Brokerage", 330), False),
            (_RIGHT, _HEIGHT - 38, shown(document.label), True),
            (_LEFT, 36, _cut(f"Made {made:%Y-%m-%d %H:%M:%S} UTC for {document.made_for}", 300), False),
            (_LEFT, 25, f"Document {number}", False),
            (_RIGHT, 36, page_is, True),
        )
    )
    canvas.setFont(REGULAR, 8)
    canvas.setFillColorRGB(*_FAINT)
    for x, y, text, right in texts:
        canvas.drawString(x - (_measure(text, REGULAR, 8) if right else 0), y, text)


def _cut(text: str, width: float) -> str:
    """One line of at most ``width`` points."""
    line = shown(text).replace("\n", " ")
    if _measure(line, REGULAR, 8) <= width:
        return line
    while line and _measure(line + "…", REGULAR, 8) > width:
        line = line[:-1]
    return line + "…"


def pdf_response(filename: str, pdf: Pdf) -> HttpResponse:
    """A download."""
    answer = HttpResponse(pdf.content, content_type="application/pdf")
    answer["Content-Disposition"] = f'attachment; filename="{filename}"'
    return answer
