"""Making an uploaded file safe to keep: type by its own bytes, pictures decoded and written anew, PDFs taken only when plain. Pure.

What comes out of ``file_clean`` holds nothing of a picture but its pixels: no metadata, no trailing bytes, no second file inside. A PDF is never
rendered here; it is refused when it is long, encrypted or holds anything that acts. Names given by the sender are not used for anything.
"""

from __future__ import annotations

import io
import re
import struct
import warnings
import zlib
from dataclasses import dataclass

from PIL import Image, ImageOps

BYTES_MAX = 8 * 1024 * 1024
PIXELS_MAX = 40_000_000
SIDE_MIN = 300
SIDE_MAX = 3_000
QUALITY = 88
PDF_PAGES_MAX = 20
PDF_STREAM_MAX = 4 * 1024 * 1024
PDF_STREAMS_MAX = 32 * 1024 * 1024
#: First bytes -> what Pillow may take it for.
PICTURES = {b"\xff\xd8\xff": "JPEG", b"\x89PNG\r\n\x1a\n": "PNG", b"RIFF": "WEBP"}
ACTIVE = re.compile(
    rb"/(?:JavaScript|JS|Launch|EmbeddedFiles?|OpenAction|AA|RichMedia|XFA|SubmitForm|ImportData|GoToR|GoToE|Movie|Sound|3D|Rendition)\b"
)
PAGE = re.compile(rb"/Type\s*/Page\b(?!s)")
STREAM = re.compile(rb"<<(?P<head>[^\x00]{0,2000}?)>>\s*stream\r?\n(?P<body>.*?)endstream", re.DOTALL)


class FileRefused(Exception):
    """The file is not taken; the text says why. ``limit`` is the number that was passed, for a file that is too large."""

    def __init__(self, text: str, limit: str = "") -> None:
        super().__init__(text)
        self.limit = limit


@dataclass(frozen=True)
class CleanFile:
    """What is kept."""

    media_type: str
    data: bytes


def file_clean(data: bytes) -> CleanFile:
    """The safe form of an upload; FileRefused otherwise."""
    if not data:
        raise FileRefused("The file is empty.")
    if len(data) > BYTES_MAX:
        raise FileRefused("The file is too large.", f"{BYTES_MAX // 1024 // 1024} MB")
    if data.startswith(b"%PDF-"):
        return CleanFile("application/pdf", _pdf(data))
    for magic, form in PICTURES.items():
        if data.startswith(magic) and (form != "WEBP" or data[8:12] == b"WEBP"):
            return CleanFile("image/jpeg", _picture(data, form))
    raise FileRefused(
        "Only photos (JPEG, PNG, WebP) and PDF files are taken; this is something else, whatever its name says."
    )


def _picture(data: bytes, form: str) -> bytes:
    try:
        with warnings.catch_warnings():
            # Our own limit is below Pillow's; its warning would only repeat it.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(data), formats=(form,)) as source:
                width, height = source.size
                # Known from the head, before a pixel is decoded.
                if width * height > PIXELS_MAX:
                    raise FileRefused("The picture has too many pixels.", f"{PIXELS_MAX // 1_000_000} megapixels")
                if min(width, height) < SIDE_MIN:
                    raise FileRefused(f"The picture is too small to read: at least {SIDE_MIN} pixels each way.")
                source.load()
                upright = ImageOps.exif_transpose(source).convert("RGB")
    except FileRefused:
        raise
    except Image.DecompressionBombError:
        raise FileRefused("The picture has too many pixels.", f"{PIXELS_MAX // 1_000_000} megapixels") from None
    except (
        OSError,
        ValueError,
        SyntaxError,
        EOFError,
        struct.error,
        zlib.error,
        MemoryError,
    ):
        raise FileRefused("The picture cannot be read: it is damaged or not what it says it is.") from None
    upright.thumbnail((SIDE_MAX, SIDE_MAX))
    fresh = Image.new("RGB", upright.size)
    fresh.paste(upright)
    out = io.BytesIO()
    fresh.save(out, "JPEG", quality=QUALITY)
    return out.getvalue()


def _pdf(data: bytes) -> bytes:
    if b"%%EOF" not in data[-1024:] or data[data.rindex(b"%%EOF") + 5 :].strip(b"\r\n \x00"):
        raise FileRefused("The PDF is cut off, or something is attached to its end.")
    bare, inner, budget = STREAM.sub(rb"<<\g<head>>>", data), [], PDF_STREAMS_MAX
    for found in STREAM.finditer(data):
        # Object streams hold parts of the document's structure; other streams are content, which nobody here draws.
        if b"/ObjStm" not in found["head"]:
            continue
        body = _inflate(found["body"]) if b"/FlateDecode" in found["head"] else found["body"]
        budget -= len(body)
        if budget < 0:
            raise FileRefused("The PDF unpacks to too much.", f"{PDF_STREAMS_MAX // 1024 // 1024} MB")
        inner.append(body)
    text = _names_plain(b"\n".join([bare, *inner]))
    if b"/Encrypt" in text:
        raise FileRefused("The PDF is encrypted: print it to a plain PDF and upload that.")
    if ACTIVE.search(text):
        raise FileRefused("The PDF holds scripts, attachments or actions: print it to a plain PDF and upload that.")
    pages = len(PAGE.findall(text))
    if pages == 0:
        raise FileRefused("The PDF has no pages that can be found.")
    if pages > PDF_PAGES_MAX:
        raise FileRefused("The PDF has too many pages.", f"{PDF_PAGES_MAX} pages")
    return data


def _names_plain(text: bytes) -> bytes:
    """Names may hide a letter as #xx."""
    return re.sub(rb"#([0-9A-Fa-f]{2})", lambda found: bytes([int(found[1], 16)]), text)


def _inflate(body: bytes) -> bytes:
    worker = zlib.decompressobj()
    try:
        out = worker.decompress(body.strip(b"\r\n"), PDF_STREAM_MAX)
    except zlib.error:
        raise FileRefused("The PDF is damaged.") from None
    if worker.unconsumed_tail:
        raise FileRefused("The PDF unpacks to too much.", f"{PDF_STREAM_MAX // 1024 // 1024} MB")
    return out
