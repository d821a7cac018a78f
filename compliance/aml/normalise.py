"""Names made comparable: one alphabet, one case, no titles, no legal forms; and the sound skeleton that transliterations share. Pure."""

from __future__ import annotations

import json
import re
import unicodedata
from functools import lru_cache
from pathlib import Path
from typing import Any

from anyascii import anyascii

_DATA: dict[str, Any] = json.loads((Path(__file__).parents[1] / "data" / "name_words.json").read_text())
TITLES = frozenset(_DATA["titles"].split())
LEGAL = frozenset(_DATA["legal_forms"].split())
#: Parts that carry little: they come and go between spellings.
PARTICLES = frozenset(_DATA["particles"].split())
NICKNAMES: dict[str, str] = {
    nick: name for name, nicks in _DATA["nicknames"].items() for nick in (name, *nicks.split())
}
_WORDS = re.compile(r"[a-z0-9]+")
#: Spellings of one sound, longest first; then vowels go, so that what is left is what transliterations share.
_SOUNDS = tuple(
    (re.compile(pattern), to)
    for pattern, to in (
        (r"shch|sch|tsch|tch|sh|ch|cz|sz|zh|dj|dzh", "s"), (r"kh|gh|ck|q|x|ks", "k"), (r"ph", "f"), (r"th", "t"), (r"dh", "d"),
        (r"ts|tz|z|c(?=[eiy])", "s"), (r"c|g", "k"), (r"w|ff|v", "f"), (r"b|p", "p"), (r"d", "t"), (r"j", "s"), (r"(.)\1+", r"\1"),
        (r"(?<=.)[aeiouyh]", ""), (r"^[aeiouyh]+", "a"), (r"(.)\1+", r"\1"),
    )
)  # fmt: skip


def ascii_fold(text: str) -> str:
    """NFKC, then Latin letters, lower case; apostrophes join, every other sign parts."""
    latin = anyascii(unicodedata.normalize("NFKC", text)).casefold()
    return latin.replace("'", "").replace("`", "").replace("’", "")


@lru_cache(maxsize=100_000)
def tokens_of(text: str) -> tuple[str, ...]:
    """The words of a name that count, in the order given; a name of nothing but titles keeps them."""
    words = _WORDS.findall(ascii_fold(text))
    kept = tuple(word for word in words if word not in TITLES and word not in LEGAL)
    return kept or tuple(words)


@lru_cache(maxsize=200_000)
def skeleton(token: str) -> str:
    """What is left of a word when spelling habits are taken away."""
    for pattern, to in _SOUNDS:
        token = pattern.sub(to, token)
    return token
