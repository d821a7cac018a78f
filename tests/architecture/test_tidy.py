"""The rules of the house that a machine can check: see the architecture notes in ``docs/index.md``."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("brokerage", "accounts", "marketdata", "risk", "trading", "compliance", "backoffice", "native")
#: Models of behaviour and statistics may use floats, and say so.
FLOAT_ALLOWED = ("trading/demo/", "marketdata/history/", "native/bench/")
MONEY = ("brokerage/kernel/", "accounts/", "trading/", "risk/", "marketdata/")
#: Long files there are. The list may only shrink; the number is the length it must not pass.
LONG_FILES_MAX = 400
LONG_FILES: dict[str, int] = {
    "brokerage/kernel/segment_log.py": 451,
    "brokerage/platform/sockets.py": 437,
    "marketdata/tests/test_stream.py": 414,
    "native/layout.py": 401,
    "native/src/snapshot.c": 403,
    "native/tests/streams.py": 415,
    "native/tests/test_reference_orders.py": 698,
    "trading/engine/runtime.py": 427,
    "trading/engine/tests/test_runtime.py": 421,
    "trading/engine/tests/test_server.py": 538,
    "trading/projection/market_runner.py": 433,
}


def tracked() -> list[str]:
    """Return the files git tracks, or every file where there is no git."""
    listing = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listing.returncode == 0 and listing.stdout:
        return [name for name in listing.stdout.splitlines() if (ROOT / name).is_file()]
    return [str(path.relative_to(ROOT)) for path in ROOT.rglob("*") if path.is_file()]


def modules() -> Iterator[tuple[str, ast.Module, str]]:
    """Yield (path, tree, source) of every Python module of the product, tests and migrations apart."""
    for name in tracked():
        if (
            name.endswith(".py")
            and name.split("/")[0] in PACKAGES
            and "/tests/" not in name
            and "/migrations/" not in name
        ):
            source = (ROOT / name).read_text()
            yield name, ast.parse(source), source


def lines_of(name: str) -> int:
    return len((ROOT / name).read_text(errors="replace").splitlines())


def test_every_module_says_what_it_is_for() -> None:
    missing = [name for name, tree, source in modules() if source.strip() and ast.get_docstring(tree) is None]
    assert missing == []


def test_package_roots_stay_empty() -> None:
    full = [f"{package}/__init__.py" for package in PACKAGES if (ROOT / package / "__init__.py").read_text().strip()]
    assert full == []


def test_no_float_near_money() -> None:
    found = []
    for name, tree, _ in modules():
        if not name.startswith(MONEY) or name.startswith(FLOAT_ALLOWED) or "/bench" in name:
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "float":
                found.append(f"{name}:{node.lineno}")
    assert found == []


def test_models_have_no_float_column() -> None:
    found = [name for name, _, source in modules() if "/models" in name and "FloatField" in source]
    assert found == []


def test_only_config_reads_the_environment() -> None:
    # native/ knows no one: its build asks for the compiler (CC) itself and, loading, for production (never build on the fly).
    allowed = ("brokerage/config.py", "brokerage/launch/", "native/build.py")
    found = []
    for name, tree, _ in modules():
        if name.startswith(allowed):
            continue
        for node in ast.walk(tree):
            if (
                isinstance(node, ast.Attribute)
                and node.attr in {"environ", "getenv"}
                and isinstance(node.value, ast.Name)
                and node.value.id == "os"
            ):
                parent = ast.get_source_segment((ROOT / name).read_text(), node) or ""
                line = (ROOT / name).read_text().splitlines()[node.lineno - 1]
                # Entry points must name the settings module before Django is imported; that writes, it does not read.
                if "DJANGO_SETTINGS_MODULE" not in line:
                    found.append(f"{name}:{node.lineno} {parent}")
    assert found == []


def test_only_the_clock_reads_the_time() -> None:
    clock = re.compile(r"\b(?:time\.time(?:_ns)?\(|datetime\.now\(|datetime\.utcnow\(|timezone\.now\(|date\.today\()")
    allowed = ("brokerage/kernel/clock.py", "brokerage/launch/")
    found = [
        f"{name}:{number}"
        for name, _, source in modules()
        if not name.startswith(allowed) and "/bench" not in name
        for number, line in enumerate(source.splitlines(), 1)
        if clock.search(line) and not line.lstrip().startswith(("#", '"'))
    ]
    assert found == []


def test_foreign_keys_point_down() -> None:
    rank = {
        app: number
        for number, app in enumerate(
            ("platform", "accounts", "marketdata", "risk", "trading", "compliance", "backoffice")
        )
    }
    found = []
    for name, tree, _ in modules():
        app = name.split("/")[1] if name.startswith("brokerage/platform/") else name.split("/")[0]
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call) or app not in rank:
                continue
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if called in {"ForeignKey", "OneToOneField", "ManyToManyField", "get_model"}:
                # The model may be given by position or by name (`to=`), as "app.Model" or as two texts.
                texts = [
                    word.value
                    for word in ast.walk(node)
                    if isinstance(word, ast.Constant) and isinstance(word.value, str)
                ]
                above = [
                    text
                    for text in texts
                    if rank.get(text.split(".")[0], -1) > rank[app] and (called == "get_model" or "." in text)
                ]
                found += [f"{name}:{node.lineno} {text}" for text in above]
    assert found == []


def test_no_django_signals() -> None:
    found = [
        name
        for name, _, source in modules()
        if re.search(
            r"from django\.(?:db\.models|dispatch|core)\S* import .*\b(?:receiver|post_save|pre_save|post_delete)\b",
            source,
        )
    ]
    assert found == []


def test_long_files_only_shrink() -> None:
    long = {}
    for name in tracked():
        if name.endswith((".py", ".c", ".h", ".js", ".css", ".html")) and "/migrations/" not in name:
            lines = lines_of(name)
            if lines > LONG_FILES.get(name, LONG_FILES_MAX):
                long[name] = lines
    assert long == {}
    loose = {name: bound for name, bound in LONG_FILES.items() if not (ROOT / name).exists() or bound > lines_of(name)}
    assert loose == {}, "these files have shrunk: lower their bounds, or take them off the list"


def test_layers_hold() -> None:
    result = subprocess.run(
        [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize(
    ("_case", "pattern"),
    [
        ("registry host", r"(?:pypi\.org|pythonhosted\.org|registry\.npmjs|deb\.debian\.org|files\.pythonhosted)"),
        ("address of this machine", r"(?:/opt/pypi|/opt/wheels|/root/|file:///)"),
    ],
)
def test_no_tracked_file_names(_case: str, pattern: str) -> None:
    found = []
    for name in tracked():
        if name == "tests/architecture/test_tidy.py":
            continue
        text = (ROOT / name).read_bytes().decode("utf-8", "replace")
        found += [f"{name}: {match.group()}" for match in re.finditer(pattern, text)]
    assert found == []
