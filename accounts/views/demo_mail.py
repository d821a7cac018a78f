"""The demo's mailbox: every mail the demo sent, read from the files of the file back end, and text and push messages beside them.

Outside a demo there is no such page.
"""

from __future__ import annotations

from dataclasses import dataclass
from email import message_from_bytes, policy
from pathlib import Path

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET

from brokerage.config import get_config
from brokerage.platform.messaging import FILE_BACKEND

SEPARATOR = b"\n" + b"-" * 79 + b"\n"
FILES_MAX = 60
MAILS_MAX = 60
FILE_BYTES_MAX = 1_000_000


@dataclass(frozen=True)
class Mail:
    """One mail as it was sent."""

    to: str
    subject: str
    date: str
    body: str


def mails(folder: Path) -> list[Mail]:
    """The newest mails in a folder of the file back end, newest first."""
    files = sorted(folder.glob("*.log"), key=lambda file: file.stat().st_mtime_ns, reverse=True)[:FILES_MAX]
    found: list[Mail] = []
    for file in files:
        # The mails of one connection stand in one file, oldest first.
        parts = [part for part in file.read_bytes()[-FILE_BYTES_MAX:].split(SEPARATOR) if part.strip()]
        for part in reversed(parts):
            message = message_from_bytes(part.lstrip(b"\n"), policy=policy.default)
            body = message.get_body(("plain",))
            text = body.get_content() if body is not None else ""
            found.append(Mail(str(message["To"]), str(message["Subject"]), str(message["Date"]), text))
        if len(found) >= MAILS_MAX:
            break
    return found[:MAILS_MAX]


@never_cache
@require_GET
def demo_mail(request: HttpRequest) -> HttpResponse:
    """List the mails, links and all."""
    if not get_config().demo or settings.EMAIL_BACKEND != FILE_BACKEND:
        raise Http404
    folder = Path(settings.EMAIL_FILE_PATH)
    rows = mails(folder) if folder.is_dir() else []
    wanted = request.GET.get("to", "").strip().lower()[:254]
    rows = [row for row in rows if not wanted or wanted in row.to.lower()]
    return render(request, "accounts/demo_mail.html", {"mails": rows, "wanted": wanted})
