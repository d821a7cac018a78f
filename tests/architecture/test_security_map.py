"""The map of docs/security.md is complete and names only what there is."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs" / "security.md").read_text()
ASVS = (ROOT / "docs" / "asvs.md").read_text()
#: Sections of ASVS 5.0.0 and the last of their items of levels 1 and 2; level 3 comes after those.
SECTIONS = (
    "1.1:2 1.2:9 1.3:11 1.4:3 1.5:2 2.1:3 2.2:3 2.3:4 2.4:1 3.2:2 3.3:4 3.4:6 3.5:5 3.7:2 4.1:3 4.2:1 4.3:2 4.4:4 5.1:1 5.2:3 5.3:2 5.4:3 "
    "6.1:3 6.2:12 6.3:4 6.4:4 6.5:5 6.6:3 6.8:4 7.1:3 7.2:4 7.3:2 7.4:5 7.5:2 7.6:2 8.1:2 8.2:3 8.3:1 8.4:1 9.1:3 9.2:4 "
    "10.1:2 10.2:2 10.3:4 10.4:11 10.5:5 10.6:2 10.7:3 11.1:2 11.2:3 11.3:3 11.4:4 11.5:1 11.6:1 12.1:3 12.2:2 12.3:4 "
    "13.1:1 13.2:5 13.3:2 13.4:5 14.1:2 14.2:4 14.3:3 15.1:3 15.2:3 15.3:7 16.1:1 16.2:5 16.3:4 16.4:3 16.5:3 17.1:1 17.2:4 17.3:2"
)


def test_all_rows_of_the_plan_are_there() -> None:
    assert [int(number) for number in re.findall(r"^\| (\d+) \|", TEXT, re.M)] == list(range(1, 26))


def test_every_row_names_a_test_or_says_open() -> None:
    rows = [line for line in TEXT.splitlines() if re.match(r"\| (\d+|V\d)", line)]
    assert len(rows) >= 55
    assert [line for line in rows if "`" not in line.rpartition("|")[0].rpartition("|")[2] and "open" not in line] == []


def test_every_file_named_exists() -> None:
    folder, missing = "", []
    for name in re.findall(r"`([\w@/.-]+\.(?:py|c|sql|service|md))`", TEXT + ASVS):
        folder = str(Path(name).parent) if "/" in name else folder
        places = [ROOT / name, ROOT / folder / name, ROOT / "brokerage" / "platform" / name]
        if not any(place.exists() for place in places):
            missing.append(name)
    assert missing == []


def test_every_item_of_asvs_levels_1_and_2_is_there_once() -> None:
    wanted = [
        f"V{section}.{number}"
        for section, last in (part.split(":") for part in SECTIONS.split())
        for number in range(1, int(last) + 1)
    ]
    assert len(wanted) == 253
    rows = [line.split("|") for line in ASVS.splitlines() if line.startswith("| V")]
    found = [item for row in rows for item in re.findall(r"V\d+\.\d+\.\d+", row[1])]
    assert sorted(found) == sorted(wanted)
    assert {row[2].strip() for row in rows} <= {"yes", "n/a", "operator", "open"}
    assert [row[1] for row in rows if row[2].strip() == "yes" and "`" not in row[3]] == []
