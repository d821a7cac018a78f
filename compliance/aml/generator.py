"""Made-up names, seeded: a list in the exact form of the official files, and labelled pairs of names to measure screening with.

No name here is taken from a real list; words are put together from common given names and surnames of several scripts. Owns the seeds' meaning:
the same seed gives the same bytes. Leaves loading to ``lists.py`` and measuring to ``tests/bench/screening_bench.py``.
"""

from __future__ import annotations

import csv
import io
import json
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from compliance.aml.lists import MONTHS
from compliance.aml.normalise import NICKNAMES

SEED = 20261121
_WORDS: dict[str, Any] = json.loads((Path(__file__).parents[1] / "data" / "made_up_names.json").read_text())
#: By origin: each name with spellings that real transliterations of it take, parted by |.
GIVEN: dict[str, list[str]] = _WORDS["given"]
FAMILY: dict[str, list[str]] = _WORDS["family"]
FIRMS, TRADES, FORMS, LANDS = _WORDS["firms"], _WORDS["trades"], _WORDS["forms"], _WORDS["lands"]
CYRILLIC = str.maketrans("abvgdezijklmnoprstufyhwxqc", "абвгдезийклмнопрстуфйхвкск")


@dataclass(frozen=True)
class Person:
    """A made-up person: each part with its spellings."""

    origin: str
    given: tuple[str, ...]
    middle: tuple[str, ...]
    family: tuple[str, ...]

    def written(self, pick: random.Random, *, first: bool = False) -> list[str]:
        """Given, middle and family name in one spelling."""
        return [parts[0] if first else pick.choice(parts) for parts in (self.given, self.middle, self.family) if parts]


def person_make(pick: random.Random) -> Person:
    """A made-up person."""
    origin = pick.choice(("slavic", "arabic", "latin", "latin", "chinese"))
    given = tuple(pick.choice(GIVEN[origin]).split("|"))
    middle = (
        tuple(pick.choice(GIVEN[origin]).split("|"))
        if origin in {"arabic", "latin", "slavic"} and pick.random() < 0.45
        else ()
    )
    family = tuple(pick.choice(FAMILY[origin]).split("|"))
    # Enough different people: half the families get a made-up root of their own.
    if pick.random() < 0.6:
        root = "".join(
            pick.choice(("ba", "do", "ke", "li", "mor", "na", "ral", "sti", "ta", "ven", "zor", "pel"))
            for _ in range(pick.randint(2, 3))
        )
        ending = {"slavic": "ov", "arabic": "i", "latin": "ez", "chinese": ""}[origin]
        family = ((root + ending).capitalize(),)
    return Person(origin, given, middle if middle != given else (), family)


def list_write(folder: Path, *, entries: int = 7_000, seed: int = SEED) -> None:
    """Write sdn.csv, alt.csv, add.csv and sdn_comments.csv with made-up parties, in the official form to the last byte."""
    pick = random.Random(seed)  # noqa: S311 - a demo's list, not a secret
    sdn, alt, add, comments = [], [], [], []
    for number in range(entries):
        ent_num = 90_000 + number
        kind = pick.choices(("individual", "-0- ", "vessel", "aircraft"), (52, 41, 4, 3))[0]
        remarks = []
        if kind == "individual":
            person = person_make(pick)
            parts = person.written(pick, first=True)
            name = f"{parts[-1].upper()}, {' '.join(parts[:-1])}"
            for count in range(pick.choice((0, 1, 1, 2, 3))):
                other = person.written(pick)
                alt.append(
                    [ent_num, ent_num * 10 + count, "aka", f"{other[-1].upper()}, {' '.join(other[:-1])}", "-0- "]
                )
            day, month, year = pick.randint(1, 28), pick.choice(MONTHS), pick.randint(1940, 1995)
            remarks.append(pick.choice((f"DOB {day:02d} {month} {year}", f"DOB circa {year}", f"DOB {year}")))
            remarks.append(f"nationality {pick.choice(LANDS)}")
            if pick.random() < 0.15:
                remarks.append(f"weak a.k.a. '{pick.choice(FIRMS)}'")
        else:
            root = "".join(
                pick.choice(("ka", "ro", "mi", "tel", "dan", "ush", "var", "os")) for _ in range(3)
            ).capitalize()
            firm = f"{root} {pick.choice(FIRMS)}"
            if kind == "-0- ":
                firm += f" {pick.choice(TRADES)} {pick.choice(FORMS)}"
            name = firm.upper()
        add.append(
            [ent_num, ent_num * 10, f"{pick.randint(1, 200)} Made-up Street", "-0- ", pick.choice(LANDS), "-0- "]
        )
        text = "; ".join([*remarks, "Made-up entry for demonstration"]) + "."
        if len(text) > 90:
            comments.append([ent_num, text[80:]])
            text = text[:80]
        sdn.append([ent_num, name, kind, "DEMO] [MADE-UP", *["-0- "] * 7, text])
    folder.mkdir(parents=True, exist_ok=True)
    for file, rows in (("sdn.csv", sdn), ("alt.csv", alt), ("add.csv", add), ("sdn_comments.csv", comments)):
        out = io.StringIO()
        csv.writer(out, lineterminator="\r\n").writerows(rows)
        (folder / file).write_bytes(out.getvalue().encode("ascii", "replace") + b"\x1a\r\n")


@dataclass(frozen=True)
class Labelled:
    """Two names and whether they are one person's; ``how`` says what was done to make the second."""

    left: str
    right: str
    same: bool
    how: str


def pairs_make(count: int, *, seed: int = SEED) -> list[Labelled]:
    """Labelled pairs, half of them near misses."""
    pick = random.Random(seed + 1)  # noqa: S311 - statistics
    changes = (_spelled, _typo, _reordered, _initial, _extra, _nickname, _joined, _script, _dropped, _two_changes)
    misses = (_other_given, _other_family, _sibling, _close_family, _shared_words, _swapped_initial)
    pairs = []
    while len(pairs) < count:
        person = person_make(pick)
        same = len(pairs) % 2 == 0
        change = pick.choice(changes if same else misses)
        right = change(person, pick)
        left = " ".join(person.written(pick, first=True))
        if right is not None and right != left:
            pairs.append(Labelled(left, right, same, change.__name__.strip("_")))
    return pairs


def _spelled(person: Person, pick: random.Random) -> str | None:
    return " ".join(person.written(pick))


def _edit(word: str, pick: random.Random) -> str:
    place = pick.randrange(1, max(2, len(word) - 1))
    kind = pick.randrange(4)
    if kind == 0:
        return word[:place] + word[place + 1 :]
    if kind == 1:
        return word[:place] + pick.choice("aeionrst") + word[place:]
    if kind == 2 and place + 1 < len(word):
        return word[:place] + word[place + 1] + word[place] + word[place + 2 :]
    return word[:place] + pick.choice("aeionrst") + word[place + 1 :]


def _typo(person: Person, pick: random.Random) -> str | None:
    words = person.written(pick, first=True)
    place = pick.randrange(len(words))
    return None if len(words[place]) < 4 else " ".join([*words[:place], _edit(words[place], pick), *words[place + 1 :]])


def _reordered(person: Person, pick: random.Random) -> str | None:
    words = person.written(pick)
    return f"{words[-1].upper()}, {' '.join(words[:-1])}"


def _initial(person: Person, pick: random.Random) -> str | None:
    words = person.written(pick, first=True)
    return f"{words[0][0]}. {' '.join(words[1:])}" if len(words) > 2 else None


def _extra(person: Person, pick: random.Random) -> str | None:
    words = person.written(pick)
    more = pick.choice(GIVEN[person.origin]).split("|")[0]
    return " ".join([words[0], more, *words[1:]])


def _nickname(person: Person, pick: random.Random) -> str | None:
    words = person.written(pick, first=True)
    nicks = [nick for nick, name in NICKNAMES.items() if name == words[0].lower() and nick != name]
    return " ".join([pick.choice(nicks).capitalize(), *words[1:]]) if nicks else None


def _joined(person: Person, pick: random.Random) -> str | None:
    words = " ".join(person.written(pick, first=True)).replace("-", " ").split()
    if len(words) < 3:
        return None
    place = pick.randrange(len(words) - 1)
    return " ".join([*words[:place], words[place] + words[place + 1].lower(), *words[place + 2 :]])


def _script(person: Person, pick: random.Random) -> str | None:
    return (
        " ".join(person.written(pick, first=True)).lower().translate(CYRILLIC).title()
        if person.origin == "slavic"
        else None
    )


def _dropped(person: Person, pick: random.Random) -> str | None:
    return f"{pick.choice(person.given)} {pick.choice(person.family)}" if person.middle else None


def _two_changes(person: Person, pick: random.Random) -> str | None:
    words = person.written(pick)
    place = max(range(len(words)), key=lambda n: len(words[n]))
    words[place] = _edit(words[place], pick)
    return f"Mr {words[-1]}, {' '.join(words[:-1])}"


def _another(person: Person, pick: random.Random, part: str) -> tuple[str, ...] | None:
    table = GIVEN if part == "given" else FAMILY
    other = tuple(pick.choice(table[person.origin]).split("|"))
    return None if other == getattr(person, part) or other == person.middle else other


def _other_given(person: Person, pick: random.Random) -> str | None:
    other = _another(person, pick, "given")
    return " ".join([other[0], *person.written(pick)[1:]]) if other and not person.middle else None


def _other_family(person: Person, pick: random.Random) -> str | None:
    other = _another(person, pick, "family")
    return " ".join([*person.written(pick)[:-1], other[0]]) if other else None


def _sibling(person: Person, pick: random.Random) -> str | None:
    other = _another(person, pick, "given")
    words = person.written(pick)
    return f"{words[-1].upper()}, {' '.join([other[0], *words[1:-1]])}" if other and not person.middle else None


def _close_family(person: Person, pick: random.Random) -> str | None:
    other = _another(person, pick, "given")
    if other is None or person.middle or len(person.family[0]) < 4:
        return None
    return f"{other[0]} {_edit(person.family[0], pick)}"


def _shared_words(person: Person, pick: random.Random) -> str | None:
    """The same two given names, another family."""
    other = _another(person, pick, "family")
    return f"{person.middle[0]} {person.given[0]} {other[0]}" if other and person.middle else None


def _swapped_initial(person: Person, pick: random.Random) -> str | None:
    """The family with another's initial."""
    letter = pick.choice("BDFGHKLMNPRSTVZ")
    return None if person.middle or letter == person.given[0][0] else f"{letter}. {person.family[0]}"
