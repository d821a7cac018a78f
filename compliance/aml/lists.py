"""Reading the official OFAC files: ``sdn.csv`` with ``add.csv``, ``alt.csv``, ``sdn_comments.csv``, or ``sdn_advanced.xml``. Pure: no model.

The traps of the CSV form: no header, CRLF, null is ``-0-`` with blanks around it, the file ends with a line of the byte 0x1A, remarks go on in
``sdn_comments.csv``, weak aliases stand in quotes in the remarks. XML is streamed, so that its size does not matter.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from lxml import etree

MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
_BIRTH = re.compile(r"(?:circa )?(?:(\d{1,2}) )?(?:([A-Z][a-z]{2}) )?(\d{4})")
_WEAK = re.compile(r"weak a\.?k\.?a\.? ['\"]([^'\"]+)['\"]|a\.k\.a\. ['\"]([^'\"]+)['\"]", re.IGNORECASE)
FILES = ("sdn.csv", "add.csv", "alt.csv", "sdn_comments.csv")
XML = "sdn_advanced.xml"


class ListError(Exception):
    """A list that cannot be read; the text says where."""


@dataclass
class Party:
    """A listed party as read."""

    ent_num: int
    kind: str
    programs: str = ""
    names: list[tuple[str, bool]] = field(default_factory=list)
    births: list[str] = field(default_factory=list)
    countries: list[str] = field(default_factory=list)
    remarks: str = ""

    def digest(self) -> str:
        """Equal for parties about which the same is known."""
        body = [self.kind, self.programs, sorted(self.names), sorted(self.births), sorted(self.countries), self.remarks]
        return hashlib.sha256(json.dumps(body).encode()).hexdigest()


def folder_read(folder: Path) -> tuple[list[Party], str]:
    """The parties of a folder and the hash of its files: CSV where there is one, else XML."""
    if (folder / "sdn.csv").is_file():
        files = [folder / name for name in FILES if (folder / name).is_file()]
        parties = list(csv_read(folder))
    elif (folder / XML).is_file():
        files = [folder / XML]
        parties = list(xml_read(folder / XML))
    else:
        raise ListError(f"{folder} has neither sdn.csv nor {XML}.")
    if not parties:
        raise ListError(f"{folder} lists nobody: that cannot be right.")
    digest = hashlib.sha256()
    for path in files:
        with path.open("rb") as source:
            digest.update(hashlib.file_digest(source, "sha256").digest())
    return parties, digest.hexdigest()


def _rows(path: Path, width: int) -> Iterator[list[str]]:
    if not path.is_file():
        return
    text = path.read_bytes().rstrip(b"\x1a\r\n").decode("utf-8", "replace")
    for number, row in enumerate(csv.reader(io.StringIO(text, newline="")), 1):
        if not row or row == ["\x1a"]:
            continue
        if len(row) < width:
            raise ListError(f"{path.name} line {number} has {len(row)} columns, not {width}.")
        yield ["" if cell.strip() == "-0-" else cell.strip() for cell in row]


def csv_read(folder: Path) -> Iterator[Party]:
    """Parties of the four CSV files."""
    more: dict[str, list[str]] = {}
    for row in _rows(folder / "sdn_comments.csv", 2):
        more.setdefault(row[0], []).append(row[1])
    parties: dict[str, Party] = {}
    for row in _rows(folder / "sdn.csv", 12):
        try:
            ent_num = int(row[0])
        except ValueError:
            raise ListError(f"sdn.csv has {row[0][:20]!r} where a number belongs.") from None
        remarks = " ".join([row[11], *more.get(row[0], ())]).strip()
        party = Party(
            ent_num,
            row[2] or "entity",
            row[3].replace("] [", "; ").strip("[]")[:300],
            [(row[1], False)],
            remarks=remarks,
        )
        party.births = births_of(remarks)
        party.countries = sorted(set(re.findall(r"(?:nationality|citizen) ([^;.]+)", remarks)))
        # Weak aliases are marked in the remarks.
        party.names += [(one or other, True) for one, other in _WEAK.findall(remarks)]
        parties[row[0]] = party
    for row in _rows(folder / "alt.csv", 5):
        if row[0] in parties and row[3]:
            parties[row[0]].names.append((row[3], "weak" in row[4].lower()))
    for row in _rows(folder / "add.csv", 6):
        if row[0] in parties and row[4] and row[4] not in parties[row[0]].countries:
            parties[row[0]].countries.append(row[4])
    yield from parties.values()


def births_of(remarks: str) -> list[str]:
    """Birth dates in remarks, as ISO dates or years: ``DOB 12 Aug 1974``, ``DOB circa 1960``, ``DOB 1955 to 1957``."""
    found = []
    for part in re.split(r"[;.]", remarks):
        part = part.strip()
        if not part.startswith(("DOB ", "alt. DOB ")):
            continue
        years = re.findall(r"\d{4}", part)
        if len(years) == 2 and " to " in part:
            found += [str(year) for year in range(int(years[0]), min(int(years[1]), int(years[0]) + 20) + 1)]
            continue
        match = _BIRTH.search(part.split("DOB ", 1)[1])
        if match:
            day, month, year = match.groups()
            exact = day and month in MONTHS
            found.append(datetime.strptime(f"{day} {month} {year}", "%d %b %Y").date().isoformat() if exact else year)  # noqa: DTZ007
    return found


def _tag(element: Any) -> str:
    return str(etree.QName(element).localname)


def _children(element: Any, name: str) -> Iterator[Any]:
    return (child for child in element.iter() if isinstance(child.tag, str) and _tag(child) == name)


def xml_read(path: Path) -> Iterator[Party]:
    """Parties of the advanced XML; original scripts come as names of their own. No entity is resolved, no network asked."""
    kinds: dict[str, str] = {}
    birth_types: set[str] = set()
    options: dict[str, Any] = {
        "events": ("end",),
        "resolve_entities": False,
        "no_network": True,
        "huge_tree": False,
        "load_dtd": False,
    }
    try:
        for _, element in etree.iterparse(str(path), **options):
            name = _tag(element)
            if name == "PartySubType":
                kinds[element.get("ID")] = (element.text or "").strip().lower()
            elif name == "FeatureType" and (element.text or "").strip() == "Birthdate":
                birth_types.add(element.get("ID"))
            elif name == "DistinctParty":
                yield _party(element, kinds, birth_types)
                element.clear()
                while element.getprevious() is not None:
                    del element.getparent()[0]
    except etree.XMLSyntaxError as error:
        raise ListError(f"{path.name} is not well-formed: {error}.") from error


def _party(element: Any, kinds: dict[str, str], birth_types: set[str]) -> Party:
    profile = next(_children(element, "Profile"))
    party = Party(int(element.get("FixedRef")), kinds.get(profile.get("PartySubTypeID"), "") or "entity")
    for alias in _children(profile, "Alias"):
        weak = alias.get("LowQuality") == "true"
        for documented in _children(alias, "DocumentedName"):
            words = [(part.text or "").strip() for part in _children(documented, "NamePartValue")]
            text = " ".join(word for word in words if word)
            if text:
                entry = (text, weak)
                party.names.insert(0, entry) if alias.get("Primary") == "true" else party.names.append(entry)
    for feature in _children(profile, "Feature"):
        if feature.get("FeatureTypeID") in birth_types:
            for start in _children(feature, "From"):
                values = {_tag(child): (child.text or "").strip() for child in start}
                if values.get("Year"):
                    month, day = values.get("Month", ""), values.get("Day", "")
                    exact = month and day
                    party.births.append(
                        f"{values['Year']}-{int(month):02d}-{int(day):02d}" if exact else values["Year"]
                    )
    if not party.names:
        raise ListError(f"party {party.ent_num} has no name.")
    return party
