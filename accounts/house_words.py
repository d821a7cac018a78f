"""Words of the house that passwords must not lean on: its name, products, parts, roles and what is traded.

The list is data (``data/password_words.txt``), read once; the labels of the portal's host name belong to it. Not composition rules: a password
may hold any of them, as long as what is left without them is a password by itself.
"""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from django.core.exceptions import ValidationError

from accounts.breached import LEET
from brokerage.config import get_config

PATH = Path(__file__).parent / "data" / "password_words.txt"
#: Characters a password must have besides the words.
LEFT_MIN = 8
#: Shorter words count only where no letter stands beside them: "sol" is not in "absolute".
INSIDE_MIN = 5


def _listed() -> set[str]:
    lines = (line.strip() for line in PATH.read_text("utf-8").splitlines())
    return {line for line in lines if line and not line.startswith("#")}


def house_words() -> frozenset[str]:
    """Every word, in small letters; those of several words also written as one."""
    labels = re.split(r"[^a-z]+", (urlsplit(get_config().base_url).hostname or "").lower())
    words = _listed() | {label for label in labels if len(label) >= 3}
    return frozenset(words | {word.replace(" ", "") for word in words})


@lru_cache(maxsize=1)
def _pattern() -> re.Pattern[str]:
    # The longest first: what holds another word is taken out whole.
    words = sorted(house_words(), key=lambda word: (-len(word), word))
    parts = [re.escape(word) if len(word) >= INSIDE_MIN else rf"(?<![a-z]){re.escape(word)}(?![a-z])" for word in words]
    return re.compile("|".join(parts))


def leans_on_house(password: str) -> bool:
    """True for a password that is one of the words and little else, also with digits and signs written for letters."""
    lower = password.lower()
    for text in (lower, lower.translate(LEET)):
        left, found = _pattern().subn("", text)
        if found and len(left) < LEFT_MIN:
            return True
    return False


class HouseWordsValidator:
    """Refuses passwords that are words of the house and little else."""

    def validate(self, password: str, user: Any = None) -> None:
        """ValidationError when it is one."""
        if leans_on_house(password):
            raise ValidationError(
                "This password is made of words anybody would try here. Add some that have nothing to do with us.",
                code="password_house_words",
            )

    def get_help_text(self) -> str:
        """What the rule is."""
        return "Your password must not be made of words like brokerage, trading or bitcoin."
