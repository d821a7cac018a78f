"""What stands in a PDF file, read by another library than the one that writes them, and a guard: nothing is fetched while one is made."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pypdf import PdfReader

#: Doors to the outside; "open" is every file, by whatever way Python has.
_DOORS = (
    "open",
    "os.listdir",
    "os.scandir",
    "socket.",
    "subprocess.",
    "os.exec",
    "os.posix_spawn",
    "os.system",
    "urllib.",
    "http.client.",
)
_guarding = False
_seen: list[tuple[str, str]] = []
_hooked: list[bool] = []


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if _guarding and event.startswith(_DOORS):
        _seen.append((event, repr(arguments)[:200]))
        raise PermissionError(f"{event} while a document is made: {arguments!r}")


@contextmanager
def nothing_outside() -> Iterator[None]:
    """Inside, files, connections and programs are refused; leaving it fails when any was tried, also when that was swallowed."""
    global _guarding
    if not _hooked:
        # A hook stays for the life of the process; it looks at the switch.
        sys.addaudithook(_hook)
        _hooked.append(True)
    _seen.clear()
    _guarding = True
    try:
        yield
    finally:
        _guarding = False
    assert _seen == []


def reader_of(content: bytes) -> PdfReader:
    """The file, opened strictly."""
    return PdfReader(io.BytesIO(content), strict=True)


def text_of(content: bytes) -> str:
    """The text of all pages."""
    return "\n".join(page.extract_text() for page in reader_of(content).pages)


def squeezed(text: str) -> str:
    """Without white space: where a line ends is the layout's business."""
    return "".join(text.split())


def names_in(content: bytes) -> set[str]:
    """Every name and key of every object of the file, as /URI or /JavaScript."""
    reader, found = reader_of(content), set()

    def walk(value: Any) -> None:
        if isinstance(value, dict):
            for key, item in value.items():
                found.add(str(key))
                walk(item)
        elif isinstance(value, list):
            for item in value:
                walk(item)
        elif isinstance(value, str) and value.startswith("/"):
            found.add(str(value))

    for number in range(1, int(reader.trailer["/Size"])):  # type: ignore[call-overload]
        walk(reader.get_object(number))
    return found
