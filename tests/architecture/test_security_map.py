"""The map of docs/security.md is complete and names only what there is."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs" / "security.md").read_text()


def test_all_rows_of_the_plan_are_there() -> None:
    assert [int(number) for number in re.findall(r"^\| (\d+) \|", TEXT, re.M)] == list(range(1, 26))


def test_every_row_names_a_test_or_says_open() -> None:
    rows = [line for line in TEXT.splitlines() if re.match(r"\| (\d+|V\d)", line)]
    assert len(rows) >= 55
    assert [line for line in rows if "`" not in line.rpartition("|")[0].rpartition("|")[2] and "open" not in line] == []


def test_every_file_named_exists() -> None:
    folder, missing = "", []
    for name in re.findall(r"`([\w@/.-]+\.(?:py|c|sql|service|md))`", TEXT):
        folder = str(Path(name).parent) if "/" in name else folder
        places = [ROOT / name, ROOT / folder / name, ROOT / "brokerage" / "platform" / name]
        if not any(place.exists() for place in places):
            missing.append(name)
    assert missing == []
