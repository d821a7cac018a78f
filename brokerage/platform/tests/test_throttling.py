"""Budgets: counted in Valkey, refused beyond, and what happens when Valkey is away."""

import uuid

import pytest
import redis

from brokerage.platform import throttling
from brokerage.platform.problems import ApiProblem
from brokerage.platform.throttling import Budget, throttle_demand, throttle_hit


@pytest.fixture
def budgets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(throttling.BUDGETS, "small", Budget(3, 3600))
    monkeypatch.setitem(throttling.BUDGETS, "closed", Budget(3, 3600, fail_closed=True))


@pytest.fixture
def valkey_away(monkeypatch: pytest.MonkeyPatch):
    class Away:
        def pipeline(self, **_: object):
            raise redis.ConnectionError("away")

    monkeypatch.setattr(throttling, "get_valkey", lambda: Away())
    monkeypatch.setattr(throttling, "_pause_until_ns", 0)
    yield
    throttling._pause_until_ns = 0


@pytest.mark.usefixtures("budgets")
def test_the_budget_lasts_exactly() -> None:
    who = uuid.uuid4().hex
    assert [throttle_hit("small", who).allowed for _ in range(4)] == [True, True, True, False]
    assert throttle_hit("small", uuid.uuid4().hex).allowed, "another caller has a budget of their own"


@pytest.mark.usefixtures("budgets")
@pytest.mark.parametrize("limit", [99, 100, 120, 149, 150, 1000])
def test_a_budget_taken_in_lots_lasts_exactly_too(monkeypatch: pytest.MonkeyPatch, limit: int) -> None:
    monkeypatch.setitem(throttling.BUDGETS, "large", Budget(limit, 3600))
    who = uuid.uuid4().hex
    standings = [throttle_hit("large", who) for _ in range(limit + 5)]
    assert [standing.used for standing in standings[:limit]] == list(range(1, limit + 1))
    assert [standing.allowed for standing in standings[limit:]] == [False] * 5


@pytest.mark.usefixtures("budgets")
def test_two_processes_share_a_budget_and_never_pass_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(throttling.BUDGETS, "large", Budget(100, 3600))
    who = uuid.uuid4().hex
    lots: list[dict[str, list[int]]] = [{}, {}]
    served = 0
    for turn in range(300):
        monkeypatch.setattr(throttling, "_lots", lots[turn % 2])
        served += throttle_hit("large", who).allowed
    assert served == 100


@pytest.mark.usefixtures("budgets")
def test_beyond_it_says_when_to_come_back() -> None:
    who = uuid.uuid4().hex
    for _ in range(3):
        throttle_demand("small", who)
    with pytest.raises(ApiProblem) as refused:
        throttle_demand("small", who)
    assert refused.value.code == 2013
    assert 1 <= (refused.value.retry_after or 0) <= 3600


@pytest.mark.usefixtures("budgets", "valkey_away")
def test_without_valkey_orders_go_on_with_a_local_budget() -> None:
    who = uuid.uuid4().hex
    assert [throttle_hit("small", who).allowed for _ in range(4)] == [True, True, True, False]


@pytest.mark.usefixtures("budgets", "valkey_away")
def test_without_valkey_sign_in_is_refused() -> None:
    with pytest.raises(ApiProblem) as refused:
        throttle_hit("closed", "x")
    assert refused.value.code == 9013


def test_cancels_have_more_room_than_orders() -> None:
    orders, cancels = throttling.BUDGETS["orders"], throttling.BUDGETS["cancel"]
    assert cancels.limit * orders.window_s >= 2 * orders.limit * cancels.window_s
