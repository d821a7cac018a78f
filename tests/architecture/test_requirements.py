"""docs/requirements.md maps every requirement of the issues that are done, and names only what there is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TABLE, _, LEFT = (ROOT / "docs" / "requirements.md").read_text().partition("## Left")
ROWS = [line.split("|")[1:-1] for line in TABLE.splitlines() if line.startswith("| ") and not line.startswith("| id ")]
#: By issue.
WANTED = {
    "main job": (
        "R4-03 R4-01 R4-11 R4-12 R4-14 R4-15 R4-17 R4-86 R4-87 R4-88 R4-89 R4-102 R4-103 R4-104 R4-110 R4-111 R4-113 R4-114 R4-115 R4-116 "
        "R4-117 R4-118 R4-124 R4-129 R4-132 R4-81 R4-83 R4-84 R4-85 R4-90 R4-98 R1-01 R3-30 R3-31 R0-11 R0-17 G8 G9"
    ),
    "identity": (
        "R4-65 R4-66 R4-67 R4-69 R4-74 R4-108 R4-138 R1-28 G2 G24 R4-01 R4-02 R4-03 R4-77 R4-78 R4-79 R4-80 R4-95 R4-96 R4-97 R4-100 R4-101 "
        "R3-27 R3-45 R3-51 R3-34 R3-37 R1-16 R1-17 R1-29 R1-34 R2-17 R2-18 R2-19 R0-09 R0-16"
    ),
}
ID = re.compile(r"\b(?:R\d-\d{2,3}|G\d{1,2})\b")
#: What between backticks is a file or a folder.
NAME = re.compile(r"`([\w@./{},*-]*(?:/|\.(?:py|c|h|js|sql|md|json|toml|yaml|service)|Containerfile))`")
#: Not begun: they stand under Left and in no row.
NOT_BEGUN: set[str] = set()


def spelled(name: str) -> list[str]:
    """The names a name with braces stands for."""
    found = re.fullmatch(r"(.*)\{(.*)\}(.*)", name)
    return [found[1] + part + found[3] for part in found[2].split(",")] if found else [name]


def missing(cell: str) -> list[str]:
    """Names of a cell that are nowhere. One without its folder is in that of the name before it, or in one above that."""
    here, gone = ROOT, []
    for name in (each for found in NAME.findall(cell) for each in spelled(found)):
        above = [here, *(place for place in here.parents if ROOT in place.parents or place == ROOT)]
        hits = [hit for place in (ROOT, *above) for hit in place.glob(name.rstrip("/"))]
        if hits:
            here = hits[0].parent
        else:
            gone.append(name)
    return gone


@pytest.mark.parametrize("issue", WANTED)
def test_every_requirement_has_a_row_or_is_left(issue: str) -> None:
    mapped = {found for row in ROWS for found in ID.findall(row[0])}
    wanted = set(WANTED[issue].split())
    assert wanted - mapped == wanted & NOT_BEGUN
    assert set(ID.findall(LEFT)) >= NOT_BEGUN


def test_every_row_names_its_file_and_its_test() -> None:
    assert len(ROWS) >= 76
    bad = [
        row
        for row in ROWS
        if len(row) != 4 or (ID.search(row[0]) and not (NAME.search(row[2]) and NAME.search(row[3])))
    ]
    assert bad == []


def test_what_is_named_exists() -> None:
    assert [name for row in ROWS if len(row) == 4 for cell in row[2:] for name in missing(cell)] == []


def test_a_name_of_nothing_is_told() -> None:
    cell = "`accounts/services/{members,nobody}.py`, `access.py`, `tests/nowhere/`, `test_nothing*.py`"
    assert missing(cell) == ["accounts/services/nobody.py", "access.py", "tests/nowhere/", "test_nothing*.py"]
