"""``make audit``: what the code and its packages may hide. Offline; with ``--online`` the advisory data of both registries is asked as well.

1. bandit over the product: every finding is explained in JUSTIFIED, else the audit fails; an explanation that explains nothing fails too.
2. A bill of materials (CycloneDX) of the locked Python and npm packages, ``var/audit/sbom-{python,npm}.json``.
3. The licence of each, ``var/audit/licences.csv``; copyleft that would reach our own code fails.
4. Online: pip-audit and npm audit. Without, it says that they were not asked: nothing is claimed.
"""

from __future__ import annotations

import argparse
import base64
import csv
import json
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "var" / "audit"
PACKAGES = ("brokerage", "accounts", "marketdata", "risk", "trading", "compliance", "backoffice", "native")
#: Asked by ruff already (S101, S404, S603, S607) or not a fault by itself: an assert, importing subprocess, starting a process without a shell.
SKIPPED = "B101,B404,B603,B606,B607"
#: (file, finding) → why it is none.
JUSTIFIED: dict[tuple[str, str], str] = {
    ("brokerage/config.py", "B104"): "compares HOST with the word for all interfaces; binds nothing",
    ("brokerage/launch/probe.py", "B104"): "the same comparison",
    ("brokerage/platform/templatetags/portal.py", "B308"): "fixed texts and our own SVG paths",
    ("brokerage/platform/templatetags/portal.py", "B703"): "the same",
    ("brokerage/platform/blind.py", "B608"): "names of our own tables and columns, a list in the code",
    ("brokerage/platform/crypto.py", "B608"): "the name of our own table",
    ("compliance/aml/generator.py", "B311"): "made-up names, seeded so that a measurement can be repeated",
    ("compliance/audit/verify.py", "B608"): "the columns' names, a constant of ours",
    (
        "compliance/providers/sandbox_server.py",
        "B106",
    ): "the sandbox signs a forged message with a wrong secret on purpose",
    ("compliance/providers/sandbox_server.py", "B107"): "an empty default that means the configured secret",
    ("trading/demo/model.py", "B311"): "the demo's participants, seeded so that a day can be repeated",
    (
        "trading/management/commands/seed_reference.py",
        "B105",
    ): "the demo's password, printed at every start; no demo, no such users",
    ("trading/projection/bench.py", "B311"): "random rows to measure with",
    ("trading/projection/rebuild.py", "B608"): "table names of our own models",
    ("trading/projection/writer.py", "B608"): "table and column names of our own models",
}
#: Licences that would reach our own code; the weaker ones (LGPL, MPL) do not by importing.
REFUSED = re.compile(r"(?<![L])\b(?:AGPL|GPL|SSPL|BUSL|Commons Clause|Proprietary|UNLICENSED)\b|Affero", re.IGNORECASE)


def bandit() -> list[str]:
    """Unexplained findings and explanations without one."""
    command = [sys.executable, "-m", "bandit", "-q", "-r", *PACKAGES, "-s", SKIPPED, "-f", "json"]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    document = json.loads(found.stdout)
    complaints = [f"bandit could not read {error['filename']}: {error['reason']}" for error in document["errors"]]
    used = set()
    for row in document["results"]:
        name = row["filename"].removeprefix("./")
        if "/tests/" in name or name.startswith("native/bench/"):
            continue
        key = (name, row["test_id"])
        used.add(key)
        if key not in JUSTIFIED:
            complaints.append(f"{name}:{row['line_number']} {row['test_id']} {row['issue_text']}")
    return complaints + [f"{name} {rule}: explained, but not found" for name, rule in sorted(set(JUSTIFIED) - used)]


def locked_python() -> list[tuple[str, str, list[str]]]:
    """(package, version, hashes) of requirements.txt; one that differs by interpreter is there more than once."""
    text = (ROOT / "requirements.txt").read_text().replace("\\\n", " ")
    found = []
    for line in text.splitlines():
        match = re.match(r"([A-Za-z0-9._-]+)(?:\[[^\]]*\])?==(\S+)", line)
        if match:
            found.append((match[1].lower(), match[2], re.findall(r"sha256:([0-9a-f]{64})", line)))
    return sorted(found)


def locked_npm() -> dict[str, dict[str, Any]]:
    """Package → its entry of package-lock.json."""
    lock = json.loads((ROOT / "package-lock.json").read_text())
    return {path.rpartition("node_modules/")[2]: entry for path, entry in lock["packages"].items() if path}


def python_licence(name: str) -> str:
    """What a package says about its licence."""
    try:
        facts = metadata.metadata(name)
    except metadata.PackageNotFoundError:
        return "not installed here"
    classifiers = [
        text.rpartition(" :: ")[2] for text in facts.get_all("Classifier") or [] if text.startswith("License ::")
    ]
    said = (
        facts.get("License-Expression")
        or "; ".join(classifiers)
        or (facts.get("License") or "").strip().partition("\n")[0]
    )
    return said[:120] or "not stated"


def component(name: str, version: str, kind: str, licence: str, hashes: list[dict[str, str]]) -> dict[str, Any]:
    """One package of a bill of materials."""
    purl_name = name.replace("@", "%40") if kind == "npm" else name
    return {
        "type": "library", "name": name, "version": version, "purl": f"pkg:{kind}/{purl_name}@{version}",
        "bom-ref": f"pkg:{kind}/{purl_name}@{version}", "licenses": [{"license": {"name": licence}}], "hashes": hashes,
    }  # fmt: skip


def npm_hash(integrity: str) -> list[dict[str, str]]:
    """The lock's integrity as CycloneDX writes it."""
    kind, _, value = integrity.partition("-")
    return [{"alg": f"SHA-{kind.removeprefix('sha')}", "content": base64.b64decode(value).hex()}] if value else []


def materials() -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The components of both ecosystems."""
    python = [
        component(name, version, "pypi", python_licence(name), [{"alg": "SHA-256", "content": one} for one in hashes])
        for name, version, hashes in locked_python()
    ]
    npm = [
        component(
            name, entry["version"], "npm", str(entry.get("license", "not stated")), npm_hash(entry.get("integrity", ""))
        )
        for name, entry in sorted(locked_npm().items())
    ]
    return python, npm


def write(python: list[dict[str, Any]], npm: list[dict[str, Any]]) -> None:
    """Write the bills and the licences."""
    OUT.mkdir(parents=True, exist_ok=True)
    for name, components in (("python", python), ("npm", npm)):
        document = {"bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1, "components": components}
        (OUT / f"sbom-{name}.json").write_text(json.dumps(document, indent=1) + "\n")
    with (OUT / "licences.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("package", "version", "licence", "from"))
        for kind, components in (("python", python), ("npm", npm)):
            writer.writerows((row["name"], row["version"], licence_of(row), kind) for row in components)


def licence_of(row: dict[str, Any]) -> str:
    """The licence of a component."""
    return str(row["licenses"][0]["license"]["name"])


def licence_complaints(components: list[dict[str, Any]]) -> list[str]:
    """Packages whose licence would reach our code."""
    return [
        f"{row['name']} {row['version']}: {licence_of(row)}" for row in components if REFUSED.search(licence_of(row))
    ]


def unhashed(components: list[dict[str, Any]]) -> list[str]:
    """Packages locked without a hash."""
    return [f"{row['name']} {row['version']} is locked without a hash" for row in components if not row["hashes"]]


def advisories() -> list[str]:
    """Ask both registries for known vulnerabilities."""
    complaints = []
    for command in (
        [sys.executable, "-m", "pip_audit", "-r", "requirements.txt", "--require-hashes", "--disable-pip"],
        ["npm", "audit", "--package-lock-only"],
    ):
        try:
            done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            complaints.append(f"{command[-1]}: could not be asked ({error})")
            continue
        if done.returncode != 0:
            complaints.append((done.stdout + done.stderr).strip()[-3000:])
    return complaints


def main() -> int:
    """Run all of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--online", action="store_true", help="ask the registries' advisory data too")
    online = parser.parse_args().online
    python, npm = materials()
    write(python, npm)
    complaints = [*bandit(), *licence_complaints([*python, *npm]), *unhashed([*python, *npm])]
    print(
        f"bandit: {len(JUSTIFIED)} kinds of findings explained; {len(python)} Python and {len(npm)} npm packages in {OUT}"
    )
    if online:
        complaints += advisories()
    else:
        print(
            "Known vulnerabilities were not asked for: run with --online where the registries' advisory data can be reached."
        )
    for line in complaints:
        print(line, file=sys.stderr)
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
