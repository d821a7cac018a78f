"""Screening measured: F1 on labelled pairs (threshold from one half, figure from the other), baselines on the same pairs, time per name.

``python -m tests.bench.screening_bench [--json PATH]``. The pairs are the project's own (``compliance/aml/generator.py``, seeded); no database.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rapidfuzz import fuzz
from rapidfuzz.distance import JaroWinkler

from compliance.aml.generator import Labelled, list_write, pairs_make
from compliance.aml.lists import csv_read
from compliance.aml.normalise import tokens_of
from compliance.aml.screening import Listed, NameIndex, name_score

PAIRS = 4_000
Score = Callable[[str, str], float]


def plain(text: str) -> str:
    """A name as the baselines see it: normalised the same way."""
    return " ".join(tokens_of(text))


METHODS: dict[str, Score] = {
    "ours": lambda one, other: name_score(one, other)[0],
    "jaro_winkler": lambda one, other: JaroWinkler.similarity(plain(one), plain(other)),
    "token_sort": lambda one, other: fuzz.token_sort_ratio(plain(one), plain(other)) / 100,
    "token_set": lambda one, other: fuzz.token_set_ratio(plain(one), plain(other)) / 100,
    "wratio": lambda one, other: fuzz.WRatio(plain(one), plain(other)) / 100,
}


def f1_of(rows: list[tuple[float, bool]], threshold: float) -> tuple[float, float, float]:
    """F1, precision, recall at a threshold."""
    hit = sum(same for score, same in rows if score >= threshold)
    said = sum(score >= threshold for score, _ in rows)
    true = sum(same for _, same in rows)
    precision, recall = hit / said if said else 0.0, hit / true if true else 0.0
    return (2 * precision * recall / (precision + recall) if hit else 0.0), precision, recall


def measure(score: Score, pairs: list[Labelled]) -> dict[str, float]:
    """The threshold that is best on the even pairs' half, and how it does on the other."""
    rows = [(score(pair.left, pair.right), pair.same) for pair in pairs]
    half = len(rows) // 2
    chosen = max((step / 100 for step in range(30, 100)), key=lambda threshold: f1_of(rows[:half], threshold)[0])
    f1, precision, recall = f1_of(rows[half:], chosen)
    return {"f1": round(f1, 3), "threshold": chosen, "precision": round(precision, 3), "recall": round(recall, 3)}


def by_kind(pairs: list[Labelled], threshold: float) -> dict[str, float]:
    """Share of right answers for each way a pair was made, second half."""
    found: dict[str, list[bool]] = {}
    for pair in pairs[len(pairs) // 2 :]:
        found.setdefault(pair.how, []).append((name_score(pair.left, pair.right)[0] >= threshold) == pair.same)
    return {how: round(sum(right) / len(right), 3) for how, right in sorted(found.items())}


def latency(names: int) -> dict[str, float]:
    """Time per name against a list of the official size, positives and strangers mixed; index and list in memory."""
    with tempfile.TemporaryDirectory() as folder:
        list_write(Path(folder))
        begun = time.perf_counter()
        listed = [
            Listed(party.ent_num, name, weak, tuple(party.births))
            for party in csv_read(Path(folder))
            for name, weak in party.names
        ]
        parsed = time.perf_counter()
        index = NameIndex(listed)
        built = time.perf_counter()
    queries = [pair.right for pair in pairs_make(names, seed=7)]
    took = []
    for query in queries:
        start = time.perf_counter()
        index.screen(query, threshold=0.65)
        took.append((time.perf_counter() - start) * 1000)
    took.sort()
    return {
        "listed_names": len(listed), "parse_s": round(parsed - begun, 2), "index_s": round(built - parsed, 2),
        "p50_ms": round(statistics.median(took), 2), "p95_ms": round(took[int(len(took) * 0.95)], 2), "max_ms": round(took[-1], 2),
    }  # fmt: skip


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    pairs = pairs_make(PAIRS)
    result: dict[str, Any] = {name: measure(score, pairs) for name, score in METHODS.items()}
    result["by_kind"] = by_kind(pairs, result["ours"]["threshold"])
    result["latency"] = latency(1_000)
    text = json.dumps(result, indent=1)
    print(text)
    if arguments.json:
        arguments.json.write_text(text)


if __name__ == "__main__":
    main()
