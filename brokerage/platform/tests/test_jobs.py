"""Jobs go to our broker from every process that has Django, not only from the worker."""

from __future__ import annotations

import subprocess
import sys

from tests.conftest_engine import ROOT


def test_a_process_with_django_alone_sends_to_our_broker() -> None:
    code = (
        "import django; django.setup(); from celery import current_app; from django.conf import settings;"
        "assert current_app.conf.broker_url == settings.CELERY_BROKER_URL, current_app.conf.broker_url"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
