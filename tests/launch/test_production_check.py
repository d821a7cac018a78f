"""``manage.py check --deploy`` has nothing to say about the settings of production."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.live_platform import ROOT


def test_the_deployment_check_is_clean(tmp_path: Path) -> None:
    environment = {
        "PATH": os.environ["PATH"],
        "BROKERAGE_ENV": "production",
        "ENGINE_KEYS": str(tmp_path / "engine"),
        "BROKERAGE_VAR": str(tmp_path),
        "SECRET_KEY": "k9" + "Qz7!" * 16,
        "JWT_KEY": "j4" + "Wx8!" * 16,
        "KEYRING_FILE": str(tmp_path / "keyring.json"),
        "DATABASE_URL": "postgresql://web@/brokerage?host=/nonexistent",
        "REDIS_URL": "unix:///nonexistent/valkey.sock",
        "ALLOWED_HOSTS": "broker.example",
        "BASE_URL": "https://broker.example",
    }
    result = subprocess.run(
        [sys.executable, "manage.py", "check", "--deploy", "--fail-level", "WARNING"],
        cwd=ROOT, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert "no issues (0 silenced)" in result.stdout
