"""``make audit`` finds nothing unexplained, lists every locked package with a hash and a licence, and would notice what should fail it."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path
from types import ModuleType

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from tests.live_platform import ROOT


@pytest.fixture(scope="module")
def audit(tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    spec = importlib.util.spec_from_file_location("audit", ROOT / "deploy" / "audit.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.OUT = tmp_path_factory.mktemp("audit")  # type: ignore[attr-defined]
    return module


@pytest.mark.slow
def test_bandit_finds_nothing_unexplained(audit: ModuleType) -> None:
    assert audit.bandit() == []


def test_an_explanation_that_explains_nothing_and_a_new_finding_are_told(
    audit: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "PACKAGES", ("trading/demo",))
    monkeypatch.setattr(audit, "JUSTIFIED", {("trading/demo/none.py", "B999"): "for the test"})
    complaints = audit.bandit()
    assert "trading/demo/none.py B999: explained, but not found" in complaints
    assert any(line.startswith("trading/demo/model.py:") and "B311" in line for line in complaints)


def test_the_bills_list_every_locked_package_with_its_hash_and_are_valid(audit: ModuleType) -> None:
    python, npm = audit.materials()
    pinned = re.findall(r"^([a-z0-9._-]+)(?:\[[^\]]*\])?==", (ROOT / "requirements.txt").read_text(), re.M | re.I)
    assert [row["name"] for row in python] == sorted(name.lower() for name in pinned)
    assert len(npm) == len(json.loads((ROOT / "package-lock.json").read_text())["packages"]) - 1
    assert audit.unhashed([*python, *npm]) == []
    audit.write(python, npm)
    validator = JsonStrictValidator(SchemaVersion.V1_6)
    for name in ("python", "npm"):
        text = Path(audit.OUT / f"sbom-{name}.json").read_text()
        assert validator.validate_str(text) is None
    lines = Path(audit.OUT / "licences.csv").read_text().splitlines()
    assert len(lines) == 1 + len(python) + len(npm)


def test_no_licence_reaches_our_code(audit: ModuleType) -> None:
    python, npm = audit.materials()
    assert audit.licence_complaints([*python, *npm]) == []
    for licence, refused in (
        ("GPL-3.0-only", True), ("GNU Affero General Public License v3", True), ("AGPL-3.0", True), ("LGPL-3.0-only", False),
        ("GNU Lesser General Public License v2 or later (LGPLv2+)", False), ("MPL-2.0", False), ("MIT", False), ("BUSL-1.1", True),
    ):  # fmt: skip
        row = audit.component("x", "1", "pypi", licence, [])
        assert bool(audit.licence_complaints([row])) is refused, licence


def test_a_package_without_a_hash_is_told(audit: ModuleType) -> None:
    assert audit.unhashed([audit.component("x", "1", "pypi", "MIT", [])]) == ["x 1 is locked without a hash"]


def test_pages_load_nothing_from_elsewhere() -> None:
    foreign = re.compile(r"""(?:src|href)=["'](?:https?:)?//|@import\s+url|url\(["']?https?:""")
    files = [*ROOT.glob("templates/**/*.html"), *ROOT.glob("static/**/*.css"), *ROOT.glob("static/**/*.js")]
    assert len(files) > 40
    loads = [
        f"{path.relative_to(ROOT)}: {line.strip()[:80]}"
        for path in files
        for line in path.read_text().splitlines()
        if foreign.search(line) and "<a " not in line
    ]
    assert loads == []
