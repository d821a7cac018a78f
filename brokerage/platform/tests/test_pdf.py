"""Documents: text stays text, the same bytes each time, whole tables over pages, letters that are missing are seen to be."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from brokerage.platform.pdf import Document, Facts, Section, Table, Text, pdf_make, pdf_response, shown
from brokerage.platform.tests.pdf_reader import names_in, nothing_outside, reader_of, squeezed, text_of

MADE = datetime(2026, 11, 21, 12, 30, 5, tzinfo=UTC)
#: What would be read, were it followed.
FILE = "file:" + "//" + "/etc/passwd"
PAYLOADS = (
    f'<img src="{FILE}"/>', '<img src="http://127.0.0.1:1/x.png" width="9" height="9"/>', f'<a href="{FILE}">x</a>',
    '<a href="javascript:alert(1)" color="red">x</a>', '<font name="/etc/passwd" size="99">x</font>', "<para><onDraw name='x' label='y'/></para>",
    "&lt;b&gt; &#60;b&#62; &amp;", "<unclosed", "</para></b>", "(x) Tj ET Q /JS (app.alert\\(1\\)) \\", "%PDF-1.7 endstream endobj trailer",
    "{{ 7*7 }}", '<link destination="x"/>', "<seq template='%(__class__)s'/>", "\\u003cb\\u003e", "]]>", "=HYPERLINK(1)",
)  # fmt: skip


def made(*blocks: Text | Facts | Table, title: str = "Title", about: str = "About", **more: object) -> bytes:
    fields = {"made_for": "o@example.test", "made_at": MADE} | more
    return pdf_make(Document(title, about, sections=[Section("Part", list(blocks))], **fields)).content  # type: ignore[arg-type]


@pytest.mark.parametrize("payload", PAYLOADS)
def test_what_looks_like_markup_is_printed_and_nothing_is_fetched(payload: str) -> None:
    table = Table((payload, "b"), [(payload, "1"), ("x", payload)], (60, 40))
    parts = (Text(payload), Facts([(payload, payload)]), table)
    made(Text("x"))  # letters are read once, before the guard
    with nothing_outside():
        content = made(*parts, title=payload, about=payload, made_for=payload, label=payload)
    text = squeezed(text_of(content))
    assert text.count(squeezed(payload)) >= 8
    assert reader_of(content).metadata.title == payload  # type: ignore[union-attr]
    active = {
        "/URI",
        "/JavaScript",
        "/JS",
        "/Launch",
        "/GoToR",
        "/SubmitForm",
        "/EmbeddedFile",
        "/Annots",
        "/AA",
        "/OpenAction",
        "/XObject",
    }
    assert not names_in(content) & active - {"/OpenAction"}


def test_the_guard_of_these_tests_sees_what_it_should(tmp_path: Path) -> None:
    def opened() -> None:
        with contextlib.suppress(OSError):
            (tmp_path / "x").open("w")

    for act in (opened, lambda: socket.socket().connect(("127.0.0.1", 1)), lambda: os.listdir("/")):
        with pytest.raises((AssertionError, OSError)), nothing_outside():
            act()


@given(st.text(st.characters(codec="utf-8"), max_size=200))
@settings(max_examples=60, deadline=None)
def test_any_text_can_be_printed_and_read_again(text: str) -> None:
    content = made(Facts([("Name", text)]))
    assert squeezed(shown(text)) in squeezed(text_of(content))


@pytest.mark.parametrize(
    ("_case", "text", "wanted"),
    [
        ("Latin", "Łukasz Ğüneş Nguyễn", "Łukasz Ğüneş Nguyễn"),
        ("Cyrillic and Greek", "Иван Їжак Ωμέγα", "Иван Їжак Ωμέγα"),
        ("put together", "e\u0301", "é"),
        ("no letter of ours", "李", "[U+674E]"),
        ("beyond the first plane", "😀", "[U+1F600]"),
        ("direction turned", "a\u202egnp.exe", "a[U+202E]gnp.exe"),
        ("joined unseen", "a\u200db\ufeff", "a[U+200D]b[U+FEFF]"),
        ("a mark over nothing", "a\u0336", "a[U+0336]"),
        ("control", "a\x00b\x1b[31m\r", "a[U+0000]b[U+001B][31m[U+000D]"),
        ("kinds of blank", "a\u00a0b\u2003c\td", "a b c d"),
        ("lines", "a\r\nb\nc", "a\nb\nc"),
        ("lone surrogate", "a\ud800", "a[U+D800]"),
    ],
)  # fmt: skip
def test_what_has_no_letter_or_cannot_be_seen_is_shown_by_its_number(_case: str, text: str, wanted: str) -> None:
    assert shown(text) == wanted
    printed = text_of(made(Text(text)))
    assert squeezed(wanted) in squeezed(printed)
    assert ("its number in Unicode" in printed) == ("[U+" in wanted)


def test_the_same_input_gives_the_same_bytes_in_any_process() -> None:
    program = (
        "import sys; from brokerage.platform.tests.test_pdf import *;"
        "sys.stdout.write(pdf_make(Document('T', 'Ж <b>', 'me', MADE, [Section('S', [Table(('a',), [(str(n),) for n in range(99)], (1,))])])).digest)"
    )
    digests = set()
    for seed, zone in (("0", "UTC"), ("1", "Asia/Tokyo"), ("2", "America/New_York")):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "TZ": zone}
        done = subprocess.run(
            [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
        )
        digests.add(done.stdout)
    assert len(digests) == 1
    assert len(digests.pop()) == 64


def test_everything_that_differs_makes_another_number() -> None:
    def number(title: str = "T", for_: str = "a", at: datetime = MADE) -> str:
        return pdf_make(Document(title, "x", for_, at, [Section("S", [Text("y")])])).number

    assert len({number(), number(title="U"), number(for_="b"), number(at=MADE + timedelta(seconds=1))}) == 4
    assert number(at=MADE.astimezone(timezone(timedelta(hours=5)))) == number()


def test_pages_are_counted_and_headings_repeated() -> None:
    rows = [(f"row{n}", "text " * (n % 9), f"-{n}.50") for n in range(200)]
    content = made(Table(("Name", "Words", "Amount"), rows, (20, 60, 20), frozenset({2})), title="Long")
    pages = [page.extract_text() for page in reader_of(content).pages]
    assert len(pages) > 4
    for number, page in enumerate(pages, 1):
        assert f"Page {number} of {len(pages)}" in page
        assert "Made 2026-11-21 12:30:05 UTC for o@example.test" in page
        assert "Amount" in page
    words = " ".join(pages).split()
    assert [word for word in words if word.startswith("row")] == [row[0] for row in rows]
    assert [word for word in words if word.startswith("-") and word.endswith(".50")] == [row[2] for row in rows]


def test_a_row_longer_than_a_page_goes_on_on_the_next() -> None:
    long = " ".join(f"w{n}" for n in range(4_000))
    content = made(Table(("A", "B"), [("first", long), ("last", "x" * 5_000)], (20, 80)))
    text = text_of(content)
    assert len(reader_of(content).pages) >= 3
    assert [word for word in text.split() if word[0] == "w" and word[1:].isdigit()] == long.split()
    assert text.count("x") >= 5_000


def test_a_word_without_end_takes_time_in_proportion() -> None:
    """Each line once looked at all that was left, so the time grew with the square of the length."""
    content = made(Table(("A", "B"), [("x", "y" * 100_000), ("W" * 300, "z")], (1, 99)))
    text = text_of(content)
    assert text.count("y") >= 100_000
    assert text.count("W") == 300


def test_a_word_is_rather_cut_behind_a_mark() -> None:
    lines = text_of(made(Table(("A", "B"), [("kyc_decision.confirmed", "b")], (16, 84)))).splitlines()
    assert "kyc_decision." in lines
    assert "confirmed" in lines


def test_an_empty_table_says_so_and_no_section_is_needed() -> None:
    assert "No hits." in text_of(made(Table(("A",), [], (1,), nothing="No hits.")))
    assert len(reader_of(pdf_make(Document("T", "", "", MADE, [])).content).pages) == 1


def test_the_file_says_what_it_is() -> None:
    reader = reader_of(made(Text("x"), title="KYC file: Zoë", about="Case 7"))
    root = reader.trailer["/Root"]
    assert reader.metadata.title == "KYC file: Zoë"  # type: ignore[union-attr]
    assert reader.metadata.creation_date == MADE  # type: ignore[union-attr]
    assert root["/Lang"] == "en-GB"  # type: ignore[index]
    assert root["/ViewerPreferences"]["/DisplayDocTitle"]  # type: ignore[index]
    assert [entry.title for entry in reader.outline] == ["Part"]  # type: ignore[union-attr]
    fonts = {font["/BaseFont"] for font in (f.get_object() for f in reader.pages[0]["/Resources"]["/Font"].values())}  # type: ignore[index]
    assert all("SourceSans" in name for name in fonts if "Helvetica" not in name)


def test_a_download_is_an_attachment() -> None:
    answer = pdf_response("x.pdf", pdf_make(Document("T", "", "", MADE, [])))
    assert (answer["Content-Type"], answer["Content-Disposition"]) == (
        "application/pdf",
        'attachment; filename="x.pdf"',
    )
