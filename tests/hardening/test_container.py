"""What is built and started: the rules of hadolint and more for the image, the limits of every process, the same in systemd's units."""

from __future__ import annotations

import fnmatch
import json
import re
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from brokerage.config import load_config
from brokerage.launch.probe import PROBES
from brokerage.launch.processes import process_table
from tests.hardening.confine import PROFILE, allowed_names

ROOT = Path(__file__).resolve().parents[2]
CONTAINER = ROOT / "deploy" / "container"
UNIT = ROOT / "deploy" / "systemd" / "brokerage@.service"
PROCESSES = {process.name for process in process_table(replace(load_config({}), demo=False))}
SECRET = re.compile(r"SECRET|PASSWORD|TOKEN|PRIVATE|_KEY\b|DATABASE_URL|REDIS_URL", re.IGNORECASE)
#: Where a process may write in the image; all of it are volumes.
DATA = "/var/lib/brokerage"


@dataclass(frozen=True)
class Step:
    """One instruction of the Containerfile."""

    word: str
    rest: str
    stage: int


def steps_of(text: str) -> list[Step]:
    joined = re.sub(r"\\\n", " ", "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#")))
    found, stage = [], -1
    for line in joined.splitlines():
        if line.strip():
            word, rest = line.strip().split(None, 1)
            stage += word == "FROM"
            found.append(Step(word, " ".join(rest.split()), stage))
    return found


def faults_of(text: str) -> set[str]:
    """What is wrong with a Containerfile, by the name of the rule (DL…: hadolint's)."""
    steps = steps_of(text)
    last = max(step.stage for step in steps)
    final = [step for step in steps if step.stage == last]
    stages = [step.rest for step in steps if step.word == "FROM"]
    runs = [step.rest for step in steps if step.word == "RUN"]
    names = {match[1] for rest in stages if (match := re.search(r" AS (\S+)$", rest))}
    users = [step.rest for step in final if step.word == "USER"]
    checks = {
        "DL3006 base without version": any(not re.match(r"\S+/\S+:\d+\.\d+\.\d+\S*( AS \S+)?$", rest) for rest in stages),
        "DL3007 latest": any(":latest" in rest for rest in stages),
        "DL3002 root at the end": not users or not re.fullmatch(r"[1-9]\d*:[1-9]\d*", users[-1]),
        "DL3004 sudo": any(re.search(r"\bsudo\b", run) for run in runs),
        "DL3009 lists of apt stay": any("apt-get install" in run and "rm -rf /var/lib/apt/lists" not in run for run in runs),
        "DL3015 recommended packages": any("apt-get install" in run and "--no-install-recommends" not in run for run in runs),
        "DL3020 ADD": any(step.word == "ADD" for step in steps),
        "DL3022 copy from an unknown stage": any(
            match[1] not in names for step in steps if step.word == "COPY" and (match := re.search(r"--from=(\S+)", step.rest))
        ),
        "DL3025 shell form": any(step.word in {"CMD", "ENTRYPOINT"} and not step.rest.startswith("[") for step in steps)
        or any(step.word == "HEALTHCHECK" and not re.search(r"CMD \[", step.rest) for step in steps),
        "DL3042 cache of pip": any("pip install" in run and "--no-cache-dir" not in run for run in runs),
        "DL3045 relative copy without WORKDIR": any(
            step.word == "COPY" and step.rest.split()[-1].startswith(".") and not any(
                other.word == "WORKDIR" and other.stage == step.stage for other in steps[: steps.index(step)]
            )
            for step in steps
        ),
        "DL4006 pipe without pipefail": any(" | " in run for run in runs) and not any(step.word == "SHELL" for step in steps),
        "packages without hashes": any("pip install" in run and "--require-hashes" not in run for run in runs),
        "npm runs scripts": any("npm " in run and "--ignore-scripts" not in run for run in runs),
        "something fetched by itself": any(re.search(r"\b(curl|wget|git clone)\b", run) for run in runs),
        "secret in the image": any(
            step.word in {"ENV", "ARG", "LABEL"} and SECRET.search(step.rest.split("=")[0] if step.word == "ARG" else step.rest)
            for step in steps
        ),
        "secret written into a layer": any(
            re.search(r"(SECRET_KEY|PASSWORD|TOKEN)=(?!\"\$\()\S", run) for run in runs
        ),
        "no health check": not any(step.word == "HEALTHCHECK" for step in final),
        "compiler in the image": any(re.search(r"\b(gcc|make|apt-get)\b", step.rest) for step in final if step.word == "RUN"),
        "program belongs to the process": any(
            step.word == "COPY" and "--chown" in step.rest and "--chown=root" not in step.rest for step in final
        ),
        "everything is copied": any(step.word == "COPY" and step.rest.startswith(". ") for step in final),
        "writable for all": any(re.search(r"chmod\s+(-R\s+)?(0?777|a\+w|o\+w)", run) for run in runs),
        "setuid": any(re.search(r"chmod\s+\S*([ug]\+s|[246]\d{3}\b)", run) for run in runs),
    }  # fmt: skip
    return {name for name, wrong in checks.items() if wrong}


GOOD = (CONTAINER / "Containerfile").read_text()


def test_the_image_has_no_fault() -> None:
    assert faults_of(GOOD) == set()


@pytest.mark.parametrize(
    ("fault", "old", "new"),
    [
        ("DL3006", "python:3.11.14-slim-bookworm\nRUN groupadd", "python\nRUN groupadd"),
        ("DL3007", "node:22.20.0-bookworm-slim", "node:latest"),
        ("DL3002", "USER 10001:10001", "USER root"),
        ("DL3002", "USER 10001:10001\n", ""),
        ("DL3004", "RUN groupadd", "RUN sudo groupadd"),
        ("DL3009", " \\\n    && rm -rf /var/lib/apt/lists/*", ""),
        ("DL3015", "--no-install-recommends ", ""),
        ("DL3020", "COPY requirements.txt ./", "ADD requirements.txt ./"),
        ("DL3022", "COPY --from=build /opt/venv", "COPY --from=other /opt/venv"),
        ("DL3025", 'CMD ["web"]', "CMD web"),
        ("DL3025", 'CMD ["python", "-m", "brokerage.launch", "probe", "web"]', "CMD python -m brokerage.launch probe web"),
        ("DL3042", "--no-cache-dir ", ""),
        ("DL3045", "WORKDIR /build\n", ""),
        ("without hashes", "--require-hashes ", ""),
        ("npm runs", "--ignore-scripts ", ""),
        ("fetched by itself", "RUN groupadd", "RUN curl -s https://example.org | sh && groupadd"),
        ("DL4006", 'SHELL ["/bin/bash", "-o", "pipefail", "-c"]', "RUN cat x | sh"),
        ("secret in the image", "BROKERAGE_ENV=production \\\n    BROKERAGE_VAR", "SECRET_KEY=x \\\n    BROKERAGE_VAR"),
        ("secret in the image", "WORKDIR /srv/brokerage\nUSER", "ARG DB_PASSWORD\nUSER"),
        ("secret written", 'SECRET_KEY="$(/opt/venv', 'SECRET_KEY=abcdefgh X="$(/opt/venv'),
        ("no health check", "HEALTHCHECK --interval", "# HEALTHCHECK --interval"),
        ("compiler in the image", "RUN groupadd", "RUN apt-get install gcc && groupadd"),
        ("belongs to the process", "COPY --from=build /opt/venv", "COPY --chown=10001 --from=build /opt/venv"),
        ("everything is copied", "COPY --from=build /opt/venv /opt/venv", "COPY . ."),
        ("writable for all", "RUN groupadd", "RUN chmod -R 777 /srv && groupadd"),
        ("setuid", "RUN groupadd", "RUN chmod u+s /bin/x && groupadd"),
    ],
)  # fmt: skip
def test_each_rule_finds_its_fault(fault: str, old: str, new: str) -> None:
    worse = GOOD.replace(old, new)
    assert worse != GOOD
    assert any(fault in found for found in faults_of(worse)), faults_of(worse)


def ignored(path: str, rules: list[str]) -> bool:
    """As a build tool reads the ignore file: the last rule that fits decides."""
    result = False
    for rule in rules:
        keep, pattern = rule.startswith("!"), rule.lstrip("!")
        parts = path.split("/")
        heads = ["/".join(parts[: count + 1]) for count in range(len(parts))]
        fits = any(fnmatch.fnmatchcase(head, pattern.removeprefix("**/")) for head in heads) or (
            pattern.startswith("**/") and any(fnmatch.fnmatchcase(part, pattern[3:]) for part in parts)
        )
        if fits:
            result = not keep
    return result


def test_only_the_program_gets_into_the_build() -> None:
    rules = [line for line in (ROOT / ".containerignore").read_text().splitlines() if line and not line.startswith("#")]
    assert rules[0] == "*"
    assert (ROOT / ".dockerignore").read_text() == (ROOT / ".containerignore").read_text()
    for path in (".git/config", "var/keys/keyring.json", "var/journal/0.seg", ".env", ".venv/bin/python", "brokerage/.env.local",
                 "accounts/tests/test_sessions.py", "tests/conftest_engine.py", "docs/security.md", "secret_key", "brokerage/x.pem"):  # fmt: skip
        assert ignored(path, rules), path
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    needed = [
        path
        for path in tracked
        if path.split("/")[0] in {"accounts", "brokerage", "native", "static", "templates", "trading", "compliance"}
        and "/tests/" not in path
    ]
    assert [path for path in needed if ignored(path, rules)] == []
    assert not any(ignored(path, rules) for path in ("manage.py", "requirements.txt", "package-lock.json"))


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    return dict(yaml.safe_load((CONTAINER / "compose.yaml").read_text())["services"])


def test_every_process_is_started_and_asked_whether_it_works(services: dict[str, Any]) -> None:
    assert set(services) == PROCESSES == set(PROBES)
    for name, service in services.items():
        assert service["command"] == [name]
        assert service["healthcheck"]["test"] == ["CMD", "python", "-m", "brokerage.launch", "probe", name]
        assert service["healthcheck"]["retries"]


def test_no_process_can_do_more_than_it_must(services: dict[str, Any]) -> None:
    for name, service in services.items():
        assert service["user"] == "10001:10001", name
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert set(service["security_opt"]) == {"no-new-privileges:true", "seccomp=./seccomp.json"}, name
        assert not {"privileged", "cap_add", "devices", "pid", "ipc", "network_mode", "userns_mode", "build"} & set(
            service
        ), name
        for mount in service["tmpfs"]:
            assert {"noexec", "nosuid", "nodev"} < set(mount.split(":")[1].split(",")), name
            assert "size=" in mount, name
        for volume in service["volumes"]:
            source, target, *mode = volume.split(":")
            assert not source.startswith(("/", ".")), f"{name} sees a folder of the host: {volume}"
            assert target.startswith(DATA + "/") or mode == ["ro"], f"{name} may write to {target}"
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", [])), name
        for key, value in service["environment"].items():
            assert not SECRET.search(key) or (
                key.endswith("_FILE") and str(value).startswith(("/run/secrets/", "/etc/brokerage/keys/"))
            ), key


def test_only_what_speaks_to_the_outside_can_reach_it(services: dict[str, Any]) -> None:
    networks = yaml.safe_load((CONTAINER / "compose.yaml").read_text())["networks"]
    assert networks["inside"]["internal"] is True
    front = {name for name, service in services.items() if "front" in service["networks"]}
    assert front == {"web", "web-fallback", "worker", "fix"}
    assert {name for name, service in services.items() if service.get("ports")} == {"web", "web-fallback", "fix"}
    assert {
        name for name, service in services.items() if any("journal" in volume for volume in service["volumes"])
    } == {"engine"}


def unit_fields() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in UNIT.read_text().splitlines():
        if "=" in line and not line.startswith("#"):
            name, value = line.split("=", 1)
            found.setdefault(name, []).append(value)
    return found


def test_the_units_have_the_same_limits(services: dict[str, Any]) -> None:
    unit, service = {name: values[-1] for name, values in unit_fields().items()}, services["engine"]
    assert (unit["MemoryMax"].lower(), unit["MemorySwapMax"]) == (service["mem_limit"], "0")
    assert service["memswap_limit"] == service["mem_limit"]
    assert int(unit["TasksMax"]) == service["pids_limit"]
    assert int(unit["LimitNOFILE"]) == service["ulimits"]["nofile"]
    assert int(unit["LimitCORE"]) == service["ulimits"]["core"] == 0
    assert f"{unit['TimeoutStopSec']}s" == service["stop_grace_period"]
    assert service["restart"] == f"{unit['Restart']}:{unit['StartLimitBurst']}"
    assert unit["User"] != "root"
    assert (unit["NoNewPrivileges"], unit["CapabilityBoundingSet"], unit["ProtectSystem"], unit["PrivateTmp"]) == (
        "yes",
        "",
        "strict",
        "yes",
    )
    assert unit["StateDirectory"] == "brokerage"
    for name, service in services.items():
        assert {key: service[key] for key in ("mem_limit", "pids_limit", "ulimits", "restart")} == {
            key: services["engine"][key] for key in ("mem_limit", "pids_limit", "ulimits", "restart")
        }, name


def test_the_units_allow_the_same_calls() -> None:
    profile, unit = json.loads(PROFILE.read_text()), unit_fields()
    named = {name for rule in profile["syscalls"] for name in rule["names"]}
    words = [word for line in unit["SystemCallFilter"] for word in line.split()]
    assert len(words) == len(set(words))
    assert set(words) == named
    assert unit["SystemCallErrorNumber"] == ["EPERM"]
    assert unit["SystemCallArchitectures"] == ["native"]
    # What the profile says by conditions, systemd says in words of its own.
    families = {rule["args"][0]["value"] for rule in profile["syscalls"] if rule["names"] == ["socket"]}
    words = unit["RestrictAddressFamilies"][0].split()
    assert {{"AF_UNIX": 1, "AF_INET": 2, "AF_INET6": 10}[word] for word in words} == families
    assert unit["RestrictNamespaces"] == ["yes"]
    assert unit["LockPersonality"] == ["yes"]
    assert "personality" not in named


def test_the_profile_refuses_by_default_and_every_rule_says_why() -> None:
    profile = json.loads(PROFILE.read_text())
    assert (profile["defaultAction"], profile["defaultErrnoRet"]) == ("SCMP_ACT_ERRNO", 1)
    assert all(row["subArchitectures"] == [] for row in profile["archMap"])
    for rule in profile["syscalls"]:
        assert len(rule["comment"]) > 10
        assert rule["names"] == sorted(set(rule["names"]))
        if rule["action"] != "SCMP_ACT_ALLOW":
            assert (rule["names"], rule["action"], rule["errnoRet"]) == (["clone3"], "SCMP_ACT_ERRNO", 38)
    unconditional = {name for rule in profile["syscalls"] if not rule.get("args") for name in rule["names"]}
    assert not unconditional & {"socket", "clone", "ioctl", "prctl", "personality"}
    assert {"execve", "openat", "fdatasync"} <= allowed_names(profile)
