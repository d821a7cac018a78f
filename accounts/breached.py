"""Passwords known from breaches, checked without any network.

Built in: Django's list of about 20,000 common passwords, also found when a password only dresses one up (case, digits and signs around it,
letters written as digits). An operator can add any number more: ``manage.py build_breached_list`` turns word lists or lists of SHA-1 sums (as
haveibeenpwned.com offers them) into one sorted file of the first PREFIX bytes of each sum, 8 bytes a password, searched by halves on disk. A wrong
hit has a chance of about n / 2^64.
"""

from __future__ import annotations

import hashlib
import mmap
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.auth.password_validation import CommonPasswordValidator
from django.core.exceptions import ValidationError

PREFIX = 8
#: Digits and signs people write for letters.
LEET = str.maketrans("013457$@!", "oleastsai")
DRESSING = "0123456789!?.,-_#*+$%&@ "
#: What is left of a dressed-up password must be at least this long to be looked up.
CORE_MIN = 4


def prefix_of(password: str) -> bytes:
    """The entry of a password."""
    return hashlib.sha1(password.encode("utf-8", "surrogatepass"), usedforsecurity=False).digest()[:PREFIX]


@lru_cache(maxsize=1)
def _common() -> frozenset[str]:
    return frozenset(CommonPasswordValidator().passwords)


def _bare(password: str) -> Iterator[str]:
    """The words a password may be dressing up."""
    lower = password.lower()
    yield lower
    yield lower.translate(LEET)
    core = lower.strip(DRESSING)
    if len(core) >= CORE_MIN:
        yield core
        yield core.translate(LEET).strip(DRESSING)


def in_file(path: Path, password: str) -> bool:
    """True when the operator's file has the password; False when there is no such file."""
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return False
    with file:
        count = path.stat().st_size // PREFIX
        if not count:
            return False
        wanted = prefix_of(password)
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            low, high = 0, count
            while low < high:
                middle = (low + high) // 2
                entry = data[middle * PREFIX : (middle + 1) * PREFIX]
                if entry == wanted:
                    return True
                if entry < wanted:
                    low = middle + 1
                else:
                    high = middle
    return False


def is_breached(password: str) -> bool:
    """True for a password, or one dressed up, that is known from breaches."""
    return any(word in _common() for word in _bare(password)) or in_file(Path(settings.BREACHED_FILE), password)


def file_build(lines: Iterable[str], target: Path) -> int:
    """Write the file from lines that are passwords or ``SHA1[:count]``; returns how many it holds."""
    entries: set[bytes] = set()
    for line in lines:
        text = line.rstrip("\r\n")
        head = text.partition(":")[0]
        if len(head) == 40 and all(character in "0123456789abcdefABCDEF" for character in head):
            entries.add(bytes.fromhex(head)[:PREFIX])
        elif text:
            entries.add(prefix_of(text))
    target.parent.mkdir(parents=True, exist_ok=True)
    fresh = target.with_name(f"{target.name}.new")
    fresh.write_bytes(b"".join(sorted(entries)))
    fresh.replace(target)
    return len(entries)


class BreachedPasswordValidator:
    """Refuses passwords known from breaches."""

    def validate(self, password: str, user: Any = None) -> None:
        """ValidationError when it is one."""
        if is_breached(password):
            raise ValidationError(
                "This password, or one much like it, is on lists of stolen passwords.", code="password_breached"
            )

    def get_help_text(self) -> str:
        """What the rule is."""
        return "Your password must not be on lists of stolen passwords."
