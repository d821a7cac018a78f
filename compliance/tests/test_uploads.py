"""What may be kept: pictures written anew, plain PDFs; everything else is refused, whatever it is called."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib

import pytest
from PIL import Image

from compliance.uploads import BYTES_MAX, FileRefused, file_clean


def short(value: object) -> str:
    """Cases are named by their text, not by megabytes."""
    return value if isinstance(value, str) else ""


def picture(form: str = "JPEG", size: tuple[int, int] = (800, 600), **options: object) -> bytes:
    out = io.BytesIO()
    image = Image.new("RGB", size)
    image.putdata([(x % 251, (x * 7) % 253, (x * 13) % 255) for x in range(size[0] * size[1])])
    image.save(out, form, **options)
    return out.getvalue()


def pdf(extra: bytes = b"", pages: int = 1, tail: bytes = b"") -> bytes:
    kids = b"".join(b"%d 0 obj <</Type /Page /Parent 2 0 R>> endobj\n" % (10 + n) for n in range(pages))
    return (
        b"%PDF-1.7\n1 0 obj <</Type /Catalog /Pages 2 0 R>> endobj\n2 0 obj <</Type /Pages>> endobj\n"
        + kids
        + extra
        + b"\n%%EOF\n"
        + tail
    )


def packed(body: bytes, head: bytes = b"/Type /ObjStm /Filter /FlateDecode") -> bytes:
    return b"5 0 obj <<" + head + b">> stream\n" + zlib.compress(body) + b"\nendstream endobj\n"


def flood(width: int, height: int) -> bytes:
    """A PNG whose head claims a huge picture."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(b"IEND", b"")
    )


def zipped() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as box:
        box.writestr("0.txt", b"\0" * 50_000_000)
    return out.getvalue()


def text_bomb() -> bytes:
    """A PNG with a compressed comment of 200 MB."""
    whole = picture("PNG")
    body = b"Comment\0\0" + zlib.compress(b"A" * 200_000_000, 9)
    chunk = struct.pack(">I", len(body)) + b"zTXt" + body + struct.pack(">I", zlib.crc32(b"zTXt" + body))
    return whole[:33] + chunk + whole[33:]


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
def test_a_picture_comes_out_as_a_fresh_jpeg_of_the_same_size(form: str) -> None:
    clean = file_clean(picture(form))
    assert clean.media_type == "image/jpeg"
    with Image.open(io.BytesIO(clean.data)) as image:
        assert (image.format, image.size) == ("JPEG", (800, 600))


def test_nothing_of_the_metadata_is_left() -> None:
    exif = Image.Exif()
    exif[0x010E] = "secret place"
    exif[0x8825] = {1: "N", 2: (51.0, 30.0, 0.0)}
    dirty = picture(exif=exif.tobytes(), comment=b"secret comment")
    assert b"secret place" in dirty
    clean = file_clean(dirty).data
    assert b"secret" not in clean
    with Image.open(io.BytesIO(clean)) as image:
        assert not image.getexif()


def test_a_turned_photo_is_set_upright_before_its_orientation_goes() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    with Image.open(io.BytesIO(file_clean(picture(exif=exif.tobytes())).data)) as image:
        assert image.size == (600, 800)


def test_a_large_photo_is_made_smaller() -> None:
    with Image.open(io.BytesIO(file_clean(picture(size=(4000, 400))).data)) as image:
        assert image.size == (3000, 300)


@pytest.mark.parametrize(
    ("_case", "hidden"),
    [("script", b"<script>alert(1)</script>"), ("archive", zipped()[:2000]), ("program", b"MZ\x90\0 #!/bin/sh")],
)
def test_a_polyglot_loses_its_second_nature(_case: str, hidden: bytes) -> None:
    assert hidden not in file_clean(picture() + hidden).data


@pytest.mark.parametrize(
    ("_case", "data"),
    [
        ("nothing", b""),
        ("svg", b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>"),
        ("html called a picture", b"<!doctype html><img src=x onerror=alert(1)>"),
        ("zip bomb", zipped()),
        ("gif", b"GIF89a" + b"\0" * 100),
        ("program", b"\x7fELF" + b"\0" * 100),
        ("jpeg cut off", picture()[:400]),
        ("only the first bytes of a jpeg", b"\xff\xd8\xff\xe0" + b"<script>" * 50),
        ("png that calls itself webp", b"RIFF\0\0\0\0WEBP" + picture("PNG")),
        ("too small", picture(size=(299, 900))),
        ("comment bomb", text_bomb()),
        ("pdf after something else", b"GIF89a" + pdf()),
        ("pdf with a script", pdf(b"<</S /JavaScript /JS (app.alert(1))>>")),
        ("pdf with a hidden name", pdf(b"<</S /J#61vaScript>>")),
        ("pdf that opens something", pdf(b"<</OpenAction 3 0 R>>")),
        ("pdf with an attachment", pdf(b"<</EmbeddedFiles 3 0 R>>")),
        ("pdf with an action packed away", pdf(packed(b"<</Launch (x)>>"))),
        ("pdf that is encrypted", pdf(b"trailer <</Encrypt 9 0 R>>")),
        ("pdf with a file behind it", pdf(tail=b"PK\x03\x04" + b"x" * 50)),
        ("pdf without an end", pdf()[:-8]),
        ("pdf without pages", pdf(pages=0)),
        ("pdf with a damaged part", pdf(b"5 0 obj <</Type /ObjStm /Filter /FlateDecode>> stream\nnot packed\nendstream")),
    ],
    ids=short,
)  # fmt: skip
def test_what_is_refused(_case: str, data: bytes) -> None:
    with pytest.raises(FileRefused) as error:
        file_clean(data)
    assert not error.value.limit


@pytest.mark.parametrize(
    ("_case", "data", "limit"),
    [
        ("too many bytes", b"\xff\xd8\xff" + b"\0" * BYTES_MAX, "8 MB"),
        ("pixel flood", flood(30_000, 30_000), "40 megapixels"),
        ("just above the pixels", flood(8_000, 5_001), "40 megapixels"),
        ("too many pages", pdf(pages=21), "20 pages"),
        ("pdf that unpacks to too much", pdf(packed(b"\0" * 5_000_000)), "4 MB"),
        ("pdf that unpacks to too much in all", pdf(packed(b"\0" * 4_000_000) * 9), "32 MB"),
    ],
    ids=short,
)
def test_what_is_too_large_names_the_limit(_case: str, data: bytes, limit: str) -> None:
    with pytest.raises(FileRefused) as error:
        file_clean(data)
    assert error.value.limit == limit


@pytest.mark.parametrize(
    ("_case", "data"),
    [
        ("plain", pdf()),
        ("as many pages as allowed", pdf(pages=20)),
        ("packed structure", pdf(packed(b"<</Type /Page>>"))),
        (
            "a picture whose bytes look like a name",
            pdf(b"7 0 obj <</Subtype /Image>> stream\n/JS /Launch\nendstream endobj"),
        ),
    ],
    ids=short,
)
def test_a_plain_pdf_is_kept_as_it_is(_case: str, data: bytes) -> None:
    clean = file_clean(data)
    assert (clean.media_type, clean.data) == ("application/pdf", data)
