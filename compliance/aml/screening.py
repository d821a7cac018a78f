"""Does this name belong to a listed party? Candidates by index, then a score from 0 to 1 with the reason for every word. Pure: no model.

    tokens ─ index (word, sound, one letter missing) ─> candidates ─ word alignment ─> score ─ birth, country ─> hits

Each word of the name is paired with at most one of the listed name; a pair counts by how alike and how long it is. Words without a partner cost,
those of the query more than those of the list. When the index finds nothing, every name is looked at, so that a pure typo is still found.
Floats here are statistics, never money.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from rapidfuzz import fuzz, process
from rapidfuzz.distance import OSA, JaroWinkler

from compliance.aml.normalise import NICKNAMES, PARTICLES, skeleton, tokens_of

CANDIDATES_MAX = 250
SCAN_BEST = 60
#: Words more names than this share say little and pull in too much.
COMMON_MAX = 400
EXTRA_QUERY, EXTRA_LISTED = 0.75, 0.45
WEAK_ALIAS = 0.8
BIRTH_MISMATCH, COUNTRY_MISMATCH, BIRTH_SAME = 0.15, 0.05, 0.03
ONE_WORD_CAP = 0.6


@dataclass(frozen=True)
class Pair:
    """Two words that were taken for each other and why; one side is empty for a word left over."""

    query: str
    listed: str
    how: str
    score: float


@dataclass(frozen=True)
class Listed:
    """A name to screen against."""

    key: int
    name: str
    weak: bool = False
    births: tuple[str, ...] = ()
    countries: tuple[str, ...] = ()


@dataclass(frozen=True)
class Hit:
    """A listed name with its score and the reasons."""

    listed: Listed
    score: float
    pairs: tuple[Pair, ...]
    notes: tuple[str, ...] = ()


@lru_cache(maxsize=500_000)
def word_score(query: str, listed: str) -> tuple[float, str]:
    """How alike two words are, from 0 to 1, and the reason."""
    if query == listed:
        return 1.0, "same"
    short, long = sorted((query, listed), key=len)
    if len(short) == 1:
        return (0.75, "initial") if long.startswith(short) else (0.0, "")
    if NICKNAMES.get(query, query) == NICKNAMES.get(listed, listed):
        return 0.95, "nickname"
    edits = OSA.distance(query, listed, score_cutoff=3)
    if edits <= max(1, len(long) // 4) and len(short) >= 3:
        return 1 - edits / len(long) * 0.9, "spelling"
    if len(short) >= 4 and skeleton(query) == skeleton(listed) and len(skeleton(query)) >= 2:
        return 0.86, "sound"
    if len(short) >= 4 and long.startswith(short):
        return 0.7, "beginning"
    close = JaroWinkler.similarity(query, listed)
    return (close * 0.82, "alike") if close >= 0.9 else (0.0, "")


def _weight(token: str) -> float:
    if len(token) == 1:
        return 0.6
    return 0.25 if _is_particle(token) else min(1.6, 0.6 + len(token) / 8)


def _is_particle(token: str) -> bool:
    # A single letter is an initial, also where it is a word of some language.
    return len(token) > 1 and token in PARTICLES


def align(query: Sequence[str], listed: Sequence[str]) -> tuple[float, tuple[Pair, ...]]:
    """Pair the words of two names, the best pairs first; the score and the pairs."""
    found = [
        (score, -abs(i - j), i, j, how)
        for i, one in enumerate(query)
        for j, other in enumerate(listed)
        for score, how in (word_score(one, other),)
        if score > 0
    ]
    found.sort(reverse=True)
    used_query: set[int] = set()
    used_listed: set[int] = set()
    pairs: list[Pair] = []
    gained = total = 0.0
    strong = 0
    for score, _, i, j, how in found:
        if i in used_query or j in used_listed:
            continue
        used_query.add(i)
        used_listed.add(j)
        weight = (_weight(query[i]) + _weight(listed[j])) / 2
        gained += weight * score
        total += weight
        strong += not _is_particle(query[i])
        pairs.append(Pair(query[i], listed[j], how, round(score, 3)))
    for i, token in enumerate(query):
        if i not in used_query:
            total += _weight(token) * EXTRA_QUERY
            pairs.append(Pair(token, "", "only in the name", 0.0))
    for j, token in enumerate(listed):
        if j not in used_listed:
            total += _weight(token) * EXTRA_LISTED
            pairs.append(Pair("", token, "only on the list", 0.0))
    score = gained / total if total else 0.0
    if strong < 2 and min(sum(not _is_particle(token) for token in words) for words in (query, listed)) > 1:
        # One common word is not a person.
        score = min(score, ONE_WORD_CAP)
    return score, tuple(pairs)


def name_score(query: str, listed: str) -> tuple[float, tuple[Pair, ...]]:
    """The score of two names as written."""
    return _score(tokens_of(query), tokens_of(listed))


def _score(query: tuple[str, ...], listed: tuple[str, ...]) -> tuple[float, tuple[Pair, ...]]:
    score, pairs = align(query, listed)
    if len(query) != len(listed):
        # Words written together or apart: Abd al Rahman, Abdulrahman.
        one, other = "".join(query), "".join(listed)
        joined = max(fuzz.ratio(one, other), fuzz.ratio("".join(sorted(query)), "".join(sorted(listed)))) / 100
        if joined >= 0.88 and joined * 0.95 > score:
            return joined * 0.95, (*pairs, Pair(one, other, "written together", round(joined, 3)))
    return score, pairs


class NameIndex:
    """Names by what their words share. Built once per list version, then only read."""

    def __init__(self, names: Iterable[Listed]) -> None:
        self.names = tuple(names)
        self.tokens = tuple(tokens_of(row.name) for row in self.names)
        keys: dict[str, list[int]] = defaultdict(list)
        for place, tokens in enumerate(self.tokens):
            for key in {key for token in tokens for key in _keys(token)}:
                keys[key].append(place)
        self.keys = dict(keys)
        self.joined = [" ".join(sorted(tokens)) for tokens in self.tokens]

    def candidates(self, tokens: Sequence[str]) -> list[int]:
        """Places of names worth scoring, the most promising first."""
        count: Counter[int] = Counter()
        for token in tokens:
            mine: dict[int, float] = {}
            for key in _keys(token):
                places = self.keys.get(key, ())
                # A rare key says more; beyond the bound only names that share another key come in.
                worth = 1.0 if len(places) <= COMMON_MAX else 0.3
                if len(places) > COMMON_MAX * 8:
                    continue
                for place in places:
                    if mine.get(place, 0.0) < worth:
                        mine[place] = worth
            count.update(mine)
        if not count:
            query = " ".join(sorted(tokens))
            best = process.extract(query, self.joined, scorer=fuzz.token_set_ratio, limit=SCAN_BEST, score_cutoff=60)
            return [place for _, _, place in best]
        return [place for place, _ in count.most_common(CANDIDATES_MAX)]

    def screen(self, name: str, *, threshold: float, birth: str = "", country: str = "") -> list[Hit]:
        """Hits at or above the threshold, one per party, best first."""
        tokens = tokens_of(name)
        if not tokens:
            return []
        best: dict[int, Hit] = {}
        for place in self.candidates(tokens):
            listed = self.names[place]
            score, pairs = _score(tokens, self.tokens[place])
            if listed.weak:
                score *= WEAK_ALIAS
            if score < threshold - BIRTH_SAME:
                continue
            score, notes = qualify(score, listed, birth, country)
            if score >= threshold and (listed.key not in best or best[listed.key].score < score):
                weak = ("weak alias: × 0.8",) if listed.weak else ()
                best[listed.key] = Hit(listed, min(1.0, score), pairs, (*weak, *notes))
        return sorted(best.values(), key=lambda hit: (-hit.score, hit.listed.key))


def qualify(score: float, listed: Listed, birth: str, country: str) -> tuple[float, tuple[str, ...]]:
    """Move a score by what else is known; unknown moves nothing."""
    notes = []
    if birth and listed.births:
        if birth in listed.births:
            score += BIRTH_SAME
            notes.append(f"same birth date {birth}")
        elif not any(abs(int(born[:4]) - int(birth[:4])) <= 1 for born in listed.births):
            score -= BIRTH_MISMATCH
            notes.append(
                f"born {birth[:4]}, listed {', '.join(born[:4] for born in listed.births)}: − {BIRTH_MISMATCH}"
            )
    if country and listed.countries and country.casefold() not in {name.casefold() for name in listed.countries}:
        score -= COUNTRY_MISMATCH
        notes.append(f"{country}, listed {', '.join(listed.countries)}: − {COUNTRY_MISMATCH}")
    return score, tuple(notes)


@lru_cache(maxsize=200_000)
def _keys(token: str) -> tuple[str, ...]:
    """Under what a word is found: itself, its nickname's root, its sound, itself with one letter missing."""
    if token in PARTICLES or len(token) < 2:
        return ()
    keys = {token, "n:" + NICKNAMES.get(token, token), "s:" + skeleton(token)}
    if len(token) >= 4:
        keys |= {"d:" + token[:place] + token[place + 1 :] for place in range(len(token))} | {"d:" + token}
    return tuple(keys)
