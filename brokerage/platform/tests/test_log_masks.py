"""Tokens that come into a log line by an address or an error are cut; ids people search for are not."""

from __future__ import annotations

import logging
import secrets
import sys
import uuid

import pytest
from django.core.signing import Signer

from brokerage.platform.middleware import LineFormatter


def line(message: str, error: BaseException | None = None) -> str:
    info = None
    if error is not None:
        try:
            raise error
        except BaseException:
            info = sys.exc_info()
    record = logging.LogRecord("django.request", logging.ERROR, "x.py", 1, "Fault: %s", (message,), info)
    return LineFormatter("%(levelname)s %(message)s").format(record)


@pytest.mark.parametrize("number", range(20))
def test_tokens_are_cut(number: int) -> None:
    secret = secrets.token_urlsafe(32)
    signed = Signer(salt=f"mail-token:{number}").sign(secret)
    for text in (f"/recover/{signed}", f"Bearer {secret}.{secret}.{secret}", f"bk secret={secret}"):
        assert secret not in line(text)
        assert secret not in line("x", ValueError(text))
        assert secret[:4] in line(text), "enough to know it again"


@pytest.mark.parametrize(
    "text",
    [
        str(uuid.UUID(int=2**120 + 17)), "/compliance/kyc/8b8c1e9c-2c3b-4d55-9c3e-0a1b2c3d4e5f/decide", "9c70353892f1ae22fe18",
        "a" * 64, "command 18446744073709551615 of journal 5f3759df5f3759df5f3759df5f3759df", "A000123", "EUR-USD",
        "test_nothing_acknowledged_is_lost_or_doubled_by_anybody", "brokerage/platform/management/commands/rotate_keys.py",
    ],
)  # fmt: skip
def test_what_people_search_for_stays(text: str) -> None:
    assert text in line(text)
