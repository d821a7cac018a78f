"""What a client's tier and jurisdiction let them enter: refused before the engine is asked, for every way an order can come.

Products (bans, leverage caps, warnings, appropriateness) are read off the account (``AccountRef.rules``). The value of a day's orders is counted
in Valkey for the owner of the account (an entity for itself), sub-accounts together, by one script that checks and adds in one step: of two
orders that race for the last of a limit one wins. What the engine then refuses, does not fill or has cancelled is given back. A counter that is
not there (first order of the day, Valkey lost) is made anew from the stored orders; while these cannot be asked it begins at nothing where
Valkey is known to have every other (``day_counters_announce``). The value of one order and the number of open ones are the
engine's own limits (``account_control.py``). Limits are in dollars: what is quoted in anything else is refused, not converted.
Reduce-only orders, which the engine lets only reduce, are never refused here.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import redis
from django.db.models import F, Q, Sum

from accounts.models import TradingAccount
from accounts.selectors.access import AccountRef
from accounts.services.rules import SCALE, money_text
from accounts.trading_policy import CURRENCY, product_of, trading_policy
from brokerage.kernel.clock import NS_PER_DAY, SYSTEM_CLOCK
from brokerage.kernel.errors import EngineUnavailableError, RejectedError
from brokerage.kernel.rejects import RejectCode
from brokerage.kernel.units import format_plain
from brokerage.platform.problems import ApiProblem
from brokerage.platform.remembered import AWAY, database_failed, database_paused
from brokerage.platform.valkey import get_valkey
from marketdata.selectors.instruments import InstrumentRef, instrument_by_core
from native.layout import Event
from trading.models import Order
from trading.selectors.projection import projection_reaches
from trading.selectors.shapes import FLAG_REDUCE_ONLY
from trading.services.engine_access import get_engine_client

KEEP_S = 2 * 86_400
WAIT_MS = 1_000
#: An order that an earlier Valkey counted was answered, or is stored, when a new one is this old.
SETTLED_S = 30
ALL = "all"

#: KEYS counter; ARGV value, limit of all, product, its limit (-1: none). Answers {what, left}: 1 counted, 0 too much, -1 no counter.
_RESERVE = """
local used = redis.call('HGET', KEYS[1], 'all')
if not used then return {-1, 0} end
local left = tonumber(ARGV[2]) - tonumber(used)
if tonumber(ARGV[4]) >= 0 then
  local own = tonumber(ARGV[4]) - tonumber(redis.call('HGET', KEYS[1], ARGV[3]) or '0')
  if own < left then left = own end
end
if tonumber(ARGV[1]) > left then return {0, math.max(left, 0)} end
redis.call('HINCRBY', KEYS[1], 'all', ARGV[1])
redis.call('HINCRBY', KEYS[1], ARGV[3], ARGV[1])
return {1, left}
"""
#: KEYS counter; ARGV seconds it is kept, then names and sums. The first one to bring it wins.
_BEGIN = """
if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
redis.call('HSET', KEYS[1], unpack(ARGV, 2))
return redis.call('EXPIRE', KEYS[1], ARGV[1])
"""


@dataclass(slots=True)
class Reservation:
    """A value counted for an order that is on its way; ``value`` is what still counts, in minor units."""

    key: str
    product: str
    value: int

    def settle(self, value: int) -> None:
        """Count ``value`` instead, as the engine's answer has it; 0 gives everything back. Never raises: what cannot be given back counts
        until midnight.
        """
        change = value - self.value
        if not change:
            return
        try:
            pipe = get_valkey().pipeline()
            pipe.hincrby(self.key, ALL, change)
            pipe.hincrby(self.key, self.product, change)
            pipe.execute()
            self.value = value
        except redis.RedisError:
            return


def product_name(instrument: InstrumentRef) -> str:
    """The product class of an instrument."""
    return product_of(instrument.kind, instrument.asset_class)


def leverage_of(instrument: InstrumentRef) -> Decimal:
    """How many times its margin a position is worth; 1 when it is paid in full."""
    return Decimal(1_000_000) / instrument.margin_ppm if not instrument.spot and instrument.margin_ppm else Decimal(1)


def in_limits_currency(instrument: InstrumentRef) -> bool:
    """True when orders in an instrument are worth what limits are counted in: US dollars at their scale."""
    return (instrument.quote.code, instrument.quote.scale) == (CURRENCY, SCALE)


def product_refusal(account: AccountRef, instrument: InstrumentRef) -> RejectedError | None:
    """Why an account may not enter new risk in an instrument, None when it may."""
    rules, product = account.rules, product_name(instrument)
    if rules is None:
        return None
    if rules.banned(product):
        return RejectedError(RejectCode.PRODUCT_BANNED, needed=rules.profile.name)
    if not in_limits_currency(instrument):
        return RejectedError(RejectCode.LIMIT_CURRENCY, needed=CURRENCY, available=instrument.quote.code)
    cap, leverage = rules.profile.leverage_caps.get(product), leverage_of(instrument)
    # Margin rates are whole millionths: 33,333 of them stand for 30:1.
    if cap is not None and round(leverage, 2) > cap:
        return RejectedError(RejectCode.LEVERAGE_CAP, needed=str(cap), available=format_plain(round(leverage, 2)))
    if rules.inappropriate(product):
        policy = trading_policy()
        return RejectedError(
            RejectCode.NOT_APPROPRIATE,
            needed=f"{policy.refuse_below} of {policy.questions}",
            available=str(rules.right_answers) if rules.right_answers is not None else "none yet",
        )
    texts = rules.texts_open(product)
    if texts:
        return ApiProblem(
            RejectCode.DISCLOSURE_NEEDED,
            needed=", ".join(row.title for row in texts),
            next_step=f"Read and accept it at /account/limits?product={product}, then send the order again.",
        )
    return None


def product_demand(account: AccountRef, instrument: InstrumentRef, flags: int) -> None:
    """Refuse new risk that the client's rules do not allow: 7022 to 7025, 7029. What only reduces passes."""
    refusal = None if flags & FLAG_REDUCE_ONLY else product_refusal(account, instrument)
    if refusal is not None:
        raise refusal


def order_value_demand(account: AccountRef, instrument: InstrumentRef, value: int, flags: int) -> None:
    """Refuse an order above what the tier allows for one order in its product (7026)."""
    if account.rules is None or flags & FLAG_REDUCE_ONLY:
        return
    limit = account.rules.limits.product_order_usd.get(product_name(instrument))
    if limit is not None and value > _minor(limit):
        raise RejectedError(
            RejectCode.PRODUCT_ORDER_LIMIT,
            needed=money_text(_minor(limit)),
            available=money_text(value),
        )


def day_reserve(account: AccountRef, instrument: InstrumentRef, value: int, flags: int) -> Reservation | None:
    """Count an order's value against the day before it is sent; None when there is nothing to count.

    7021 with the value and what is left when it is too much; 9013 when it cannot be counted, 9012 when the stored orders are behind.
    """
    if account.rules is None or flags & FLAG_REDUCE_ONLY or value <= 0:
        return None
    product = product_name(instrument)
    limits = account.rules.limits
    own = limits.product_day_usd.get(product)
    key = _key(account)
    arguments = (
        value,
        _minor(limits.order_day_usd),
        product,
        _minor(own) if own is not None else -1,
    )
    try:
        what, left = get_valkey().eval(_RESERVE, 1, key, *arguments)  # type: ignore[misc]
        if what < 0:
            _begin(account, key)
            what, left = get_valkey().eval(_RESERVE, 1, key, *arguments)  # type: ignore[misc]
    except redis.RedisError as error:
        raise _uncounted() from error
    if what != 1:
        raise RejectedError(RejectCode.DAY_LIMIT, needed=money_text(value), available=money_text(int(left)))
    return Reservation(key, product, value)


def day_left(account: AccountRef, product: str) -> tuple[Decimal, Decimal] | None:
    """(limit, what is left of it) of the day for a product in dollars, the tighter of its own and the common one; None without limits."""
    if account.rules is None:
        return None
    limits, used = account.rules.limits, day_used(account)
    bounds = [(limits.order_day_usd, used.get(ALL, Decimal(0)))]
    if product in limits.product_day_usd:
        bounds.append((limits.product_day_usd[product], used.get(product, Decimal(0))))
    return min(((limit, max(limit - spent, Decimal(0))) for limit, spent in bounds), key=lambda pair: pair[1])


def day_used(account: AccountRef) -> dict[str, Decimal]:
    """Value of the owner's orders of the day in dollars, by product and under ``all``; 9013 or 9012 when it is not known."""
    key = _key(account)
    try:
        found: Any = get_valkey().hgetall(key)
        if not found:
            _begin(account, key)
            found = get_valkey().hgetall(key)
    except redis.RedisError as error:
        raise _uncounted() from error
    return {name: Decimal(value).scaleb(-SCALE) for name, value in found.items()}


def cancelled_value(event: Event) -> tuple[int, int]:
    """(instrument, minor units) of what a cancel took out of the book."""
    instrument = instrument_by_core(event.instrument)
    return event.instrument, event.price * event.qty * (instrument.tick_value if instrument is not None else 0)


def day_give_back(
    account: AccountRef, removed: dict[int, tuple[int, int]], rows: dict[int, dict[str, Any]] | None = None
) -> None:
    """Give the value of cancelled rests back: order id -> (instrument, value). ``rows``: the orders where the caller has them, else stored ones.

    Only orders entered today count today; one of which nothing is stored yet, or can be asked, goes on counting.
    """
    if account.rules is None or not removed:
        return
    try:
        known = rows or {
            row["order_id"]: row
            for row in Order.objects.filter(core_account=account.core_account, order_id__in=removed).values(
                "order_id", "created_ns", "flags"
            )
        }
    except AWAY as error:
        database_failed(error)
        return
    by_product: dict[str, int] = {}
    for order_id, row in known.items():
        core_instrument, value = removed[order_id]
        instrument = instrument_by_core(core_instrument)
        if (
            instrument is None
            or not in_limits_currency(instrument)
            or row["flags"] & FLAG_REDUCE_ONLY
            or (row["created_ns"] or 0) < _midnight()
        ):
            continue
        product = product_name(instrument)
        by_product[product] = by_product.get(product, 0) + value
    for product, value in by_product.items():
        Reservation(_key(account), product, value).settle(0)


def _key(account: AccountRef) -> str:
    return _key_of(account.limits_id)


def _key_of(limits_id: Any) -> str:
    return f"dl:{limits_id}:{SYSTEM_CLOCK.now_ns() // NS_PER_DAY}"


def _midnight() -> int:
    return SYSTEM_CLOCK.now_ns() // NS_PER_DAY * NS_PER_DAY


def _uncounted() -> ApiProblem:
    return ApiProblem(RejectCode.OVERLOADED, "The day's limit cannot be counted at the moment.", retry_after=2)


def _begin(account: AccountRef, key: str) -> None:
    """Make the counter from today's stored orders of all the owner's accounts: what traded and what still rests."""
    try:
        reached = get_engine_client().status().cmd_seq
    except EngineUnavailableError as error:
        raise ApiProblem(RejectCode.ENGINE_UNAVAILABLE) from error
    if not projection_reaches(reached, wait_ms=WAIT_MS):
        # Where Valkey knows everybody's orders of the day, an owner without a counter has entered nothing.
        if not (database_paused() and _every_counter_is_there()):
            raise ApiProblem(RejectCode.PROJECTION_STALE)
        _keep(key, {})
        return
    if account.limits_id == account.owner_id:
        whose = Q(owner_id=account.owner_id, entity_tier=None) & Q(Q(parent=None) | Q(parent__entity_tier=None))
    else:
        whose = Q(pk=account.limits_id) | Q(parent_id=account.limits_id)
    _keep(key, _stored_sums(whose).get(account.limits_id, {}))


def _keep(key: str, sums: dict[str, int]) -> None:
    get_valkey().eval(_BEGIN, 1, key, KEEP_S, *[item for pair in ({ALL: 0} | sums).items() for item in pair])


def _stored_sums(whose: Q) -> dict[Any, dict[str, int]]:
    """What today's stored orders of accounts count, by whom it counts for and by product: what traded and what still rests."""
    accounts = TradingAccount.objects.filter(whose).exclude(owner=None)
    rows = list(
        Order.objects.filter(core_account__in=accounts.values("core_account"), created_ns__gte=_midnight())
        .exclude(ord_status=Order.Status.REJECTED)
        .annotate(reduces=F("flags").bitand(FLAG_REDUCE_ONLY))
        .filter(reduces=0)
        .values("core_account", "core_instrument")
        .annotate(traded=Sum("notional_sum"), resting=Sum(F("price") * F("leaves_qty")))
        .order_by()
    )
    traded = accounts.filter(core_account__in={row["core_account"] for row in rows})
    limits_ids = {
        row["core_account"]: row["id"] if row["entity_tier"] is not None
        else row["parent_id"] if row["parent__entity_tier"] is not None
        else row["owner_id"]
        for row in traded.values("core_account", "id", "entity_tier", "parent_id", "parent__entity_tier", "owner_id")
    }  # fmt: skip
    found: dict[Any, dict[str, int]] = {}
    for row in rows:
        instrument = instrument_by_core(row["core_instrument"])
        if instrument is None or not in_limits_currency(instrument):
            continue
        sums = found.setdefault(limits_ids[row["core_account"]], {ALL: 0})
        value = int(row["traded"] + row["resting"]) * instrument.tick_value
        product = product_name(instrument)
        sums[product] = sums.get(product, 0) + value
        sums[ALL] += value
    return found


def day_counters_announce() -> None:
    """Note that Valkey knows everybody's orders of today, after making the counters it does not have, and that it will know tomorrow's from
    their beginning: who then has no counter has entered nothing. Called now and then by the runners; safe to repeat.
    """
    today = SYSTEM_CLOCK.now_ns() // NS_PER_DAY
    with contextlib.suppress(redis.RedisError, EngineUnavailableError):
        mark = _memory_mark()
        if (
            get_valkey().get(f"dl:from:{today}") != mark
            and int(get_valkey().info("server")["uptime_in_seconds"]) > SETTLED_S
        ):
            if not projection_reaches(get_engine_client().status().cmd_seq, wait_ms=WAIT_MS):
                return
            for limits_id, sums in _stored_sums(Q()).items():
                _keep(_key_of(limits_id), sums)
            get_valkey().set(f"dl:from:{today}", mark, ex=KEEP_S)
        get_valkey().set(f"dl:from:{today + 1}", mark, ex=KEEP_S)


def _every_counter_is_there() -> bool:
    return bool(get_valkey().get(f"dl:from:{SYSTEM_CLOCK.now_ns() // NS_PER_DAY}") == _memory_mark())


def _memory_mark() -> str:
    """Which Valkey this is and how much it has forgotten by itself: while both are the same, nothing it counted is lost."""
    info: Any = get_valkey().info()
    return f"{info['run_id']}:{info['evicted_keys']}"


def _minor(usd: Decimal) -> int:
    return int(usd.scaleb(SCALE))
