"""Somebody guesses passwords or floods: nobody gets in, the owner goes on cancelling, others trade on. In small, on a whole platform.

The figures at full size, with the bound on p99: ``python -m tests.bench --only flood,bruteforce``. Here the median beside a flood is bounded. How
much guessing slows others is printed and not bounded yet: it does not hold its bound (docs/performance.md).
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.bench import neighbours
from tests.live_platform import LivePlatform

TRIES = 240
SECONDS = 5.0
BEFORE = 100
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def platform() -> Iterator[LivePlatform]:
    with LivePlatform(demo_rate=20, rate_scale=1) as platform:
        yield platform


def test_one_who_floods_does_not_slow_the_others(platform: LivePlatform) -> None:
    result = neighbours.flood(platform.base, SECONDS, BEFORE)
    print(json.dumps(result))
    assert result["others_refused"] == {}
    assert result["flood"]["cut"] > 0, "the one who floods is cut"
    assert result["others_during"]["place_p50_ms"] <= neighbours.BOUND * result["others_before"]["place_p50_ms"]


def test_passwords_are_guessed_in_vain_and_the_owner_goes_on(platform: LivePlatform) -> None:
    result = neighbours.bruteforce(platform.base, TRIES, BEFORE)
    print(json.dumps(result))
    assert result["tries"] == TRIES
    assert result["succeeded"] == 0
    assert result["right_password_tried"] > 0, "the right one was among them"
    assert result["owner_refused"] == {}, "the owner, signed in before, places and cancels throughout"
    assert result["owner_during"]["orders"] > 0
    assert result["others_refused"] == {}
