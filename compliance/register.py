"""The register of rules: each rule a broker meets, what answers it here, the test that shows it, the report that goes with it. Pure.

The rows are data (``data/register.json``), read once; a test holds them to the files, tests and routes there are and to the jurisdictions
and reports of the trading policy. Leaves showing them to ``views/register.py`` and ``api/register.py``.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from accounts.trading_policy import trading_policy

PATH = Path(__file__).parent / "data" / "register.json"
#: In the order they are shown in filters: what stands, what stands in part, what is not there.
STATES = {"in_force": "In force", "partly": "Partly", "not_yet": "Not yet"}
COLUMNS = (
    "code", "rule", "source", "jurisdictions", "state", "control", "routes", "files", "tests", "report", "report_route", "left",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Report:
    """What goes to an authority or an auditor; without a route it is not built, and the name says so."""

    name: str
    route: str


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule. ``left`` says what is missing, for everything that is not wholly in force."""

    code: str
    rule: str
    source: str
    jurisdictions: tuple[str, ...]
    control: str
    #: Names of routes (``brokerage/platform/policy.py``): pages and REST.
    routes: tuple[str, ...]
    files: tuple[str, ...]
    #: A file of tests, or one test of it: ``file::test``.
    tests: tuple[str, ...]
    report: Report
    #: Codes of the trading policy's reports this row answers for.
    policy_reports: tuple[str, ...]
    state: str
    left: str

    @property
    def state_name(self) -> str:
        """The state in words."""
        return STATES[self.state]


@lru_cache(maxsize=1)
def _read() -> tuple[str, tuple[Rule, ...]]:
    data = json.loads(PATH.read_text())
    return str(data["version"]), tuple(_rule(row) for row in data["rules"])


def _rule(row: dict[str, Any]) -> Rule:
    lists = ("jurisdictions", "routes", "files", "tests", "policy_reports")
    return Rule(**{**row, **{name: tuple(row[name]) for name in lists}, "report": Report(**row["report"])})


def register_version() -> str:
    """The day of the rows."""
    return _read()[0]


def jurisdictions() -> dict[str, str]:
    """Code -> name of the profiles clients can have."""
    return {code: row.name for code, row in trading_policy().jurisdictions.items()}


def rules_for(jurisdiction: str = "", state: str = "") -> list[Rule]:
    """The rows that hold in a jurisdiction and have a state; an empty text asks nothing."""
    return [
        row
        for row in _read()[1]
        if (not jurisdiction or jurisdiction in row.jurisdictions) and (not state or row.state == state)
    ]


def rule_row(rule: Rule) -> dict[str, Any]:
    """A row as REST and the file show it."""
    return {
        "code": rule.code,
        "rule": rule.rule,
        "source": rule.source,
        "jurisdictions": list(rule.jurisdictions),
        "state": rule.state,
        "control": rule.control,
        "routes": list(rule.routes),
        "files": list(rule.files),
        "tests": list(rule.tests),
        "report": rule.report.name,
        "report_route": rule.report.route or None,
        "left": rule.left,
    }
