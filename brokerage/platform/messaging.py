"""Text messages (SMS) and push messages: one door for each, the adapter behind it chosen by the configuration.

``SMS_BACKEND`` and ``PUSH_BACKEND`` name a row of the tables below. ``console`` is a sandbox: it reaches nobody, writes one line without the
text and with number and token masked to the log, and in a demo puts the message where its mails are read (``/demo/mail``). A provider is a
class with ``send`` and a row; what cannot be delivered now it tells as an OSError, which the jobs try again.
Owns lengths, letters and masks. Leaves mails to Django, numbers and devices of people to ``accounts``.
"""

from __future__ import annotations

import logging
import os
import re
import unicodedata
from collections.abc import Callable
from email.message import EmailMessage
from email.utils import format_datetime
from pathlib import Path
from typing import Protocol

from django.conf import settings

from brokerage.config import get_config
from brokerage.kernel.clock import utc_now
from brokerage.kernel.identifiers import ulid_new

log = logging.getLogger(__name__)

#: The back end of mails that leaves them as files, which a demo shows.
FILE_BACKEND = "django.core.mail.backends.filebased.EmailBackend"
#: One part of a text message in the alphabet of GSM 03.38, and each of several, in letters.
PART, PART_OF_MANY = 160, 153
PARTS_MAX = 3
TEXT_MAX = PARTS_MAX * PART_OF_MANY
PUSH_TITLE_MAX = 80
PUSH_TEXT_MAX = 400
#: What every telephone shows and every network counts as one letter.
_NOT_GSM = re.compile(r"[^A-Za-z0-9 \n@_!\"#%&'()*+,\-./:;<=>?$]")


class TokenGoneError(Exception):
    """The push service knows this device no more: the token is of no use again."""


class SmsChannel(Protocol):
    """Carries text messages."""

    def send(self, to: str, text: str) -> None:
        """Hand over one message of at most three parts to a number in E.164; OSError when it should be tried again."""


class PushChannel(Protocol):
    """Carries push messages."""

    def send(self, token: str, title: str, text: str) -> None:
        """Hand over one message; OSError when it should be tried again, TokenGoneError when it never should."""


class ConsoleSms:
    """The sandbox of text messages."""

    def send(self, to: str, text: str) -> None:
        """Note it, and show it in the demo."""
        log.info("SMS to %s: %d letters, parts: %d", number_masked(to), len(text), sms_parts(text))
        _caught(to, "Text message", text)


class ConsolePush:
    """The sandbox of push messages."""

    def send(self, token: str, title: str, text: str) -> None:
        """Note it, and show it in the demo."""
        log.info("Push to %s: %d letters", token_masked(token), len(title) + len(text))
        _caught(f"device {token_masked(token)}", f"Push message: {title}", text)


SMS: dict[str, Callable[[], SmsChannel]] = {"console": ConsoleSms}
PUSH: dict[str, Callable[[], PushChannel]] = {"console": ConsolePush}


def sms_on() -> bool:
    """Whether this installation sends text messages."""
    return bool(get_config().sms_backend)


def push_on() -> bool:
    """Whether this installation sends push messages."""
    return bool(get_config().push_backend)


def sms_send(to: str, text: str) -> None:
    """Send a text, put into plain letters and cut to three parts; nothing where text messages are off. OSError: try again."""
    if sms_on():
        SMS[get_config().sms_backend]().send(to, sms_plain(text))


def push_send(token: str, title: str, text: str) -> None:
    """Send a push message, cut; nothing where they are off. OSError: try again; TokenGoneError: forget the token."""
    if push_on():
        PUSH[get_config().push_backend]().send(token, title[:PUSH_TITLE_MAX], text[:PUSH_TEXT_MAX])


def sms_plain(text: str) -> str:
    """A text in letters of one place each, three parts at most: one letter outside them would more than halve what fits a part."""
    plain = text.replace("•", "*").replace("…", "...").replace("’", "'").replace("–", "-")
    bare = "".join(char for char in unicodedata.normalize("NFKD", plain) if not unicodedata.combining(char))
    clean = _NOT_GSM.sub("?", bare)
    return clean if len(clean) <= TEXT_MAX else f"{clean[: TEXT_MAX - 3]}..."


def sms_parts(text: str) -> int:
    """How many messages a plain text is sent as."""
    return 1 if len(text) <= PART else -(-len(text) // PART_OF_MANY)


def number_masked(number: str) -> str:
    """Enough of a number for its owner to know it."""
    return f"{number[:3]}{'*' * max(0, len(number) - 5)}{number[-2:]}"


def token_masked(token: str) -> str:
    """Enough of a push token to tell two apart."""
    return f"****{token[-4:]}"


def _caught(to: str, subject: str, text: str) -> None:
    """Leave a message as a file beside the demo's mails."""
    if not get_config().demo or settings.EMAIL_BACKEND != FILE_BACKEND:
        return
    message = EmailMessage()
    message["Subject"] = subject
    message["To"] = to
    message["Date"] = format_datetime(utc_now())
    message.set_content(text)
    folder = Path(settings.EMAIL_FILE_PATH)
    folder.mkdir(parents=True, exist_ok=True)
    whole = folder / f"message-{ulid_new()}.log"
    part = whole.with_suffix(".part")
    part.write_bytes(message.as_bytes())
    # Whoever reads the folder finds the whole file or none.
    os.replace(part, whole)
