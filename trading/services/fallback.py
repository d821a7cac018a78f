"""Requests to the desk: made by clients who cannot trade themselves, worked on by staff, done by the ordinary services or by hand.

Asking needs the database only. Doing is in two commits with the engine between: first that a command may be on its way (``sent_at``), then what
came of it. The engine knows an attempt by its client order id, so sending it again, after a crash or a lost answer, does nothing twice; and
while an outcome is unknown the request can be sent again or written down by hand, but not refused, released or withdrawn.
Owns every change of a row. Leaves who of the staff may to ``backoffice/services/requests.py``, cancelling and closing to ``orders.py``.
"""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

from django.db import transaction

from accounts.models import TradingAccount, User
from accounts.selectors.access import AccountRef, account_for_user
from brokerage.kernel.clock import utc_now
from brokerage.kernel.errors import RejectedError
from brokerage.kernel.identifiers import is_cl_ord_id, ulid_new
from brokerage.kernel.rejects import RejectCode
from brokerage.kernel.terms import OrderSource, OrdType, Side
from brokerage.kernel.units import from_units
from brokerage.platform.audit import record
from brokerage.platform.locks import alone
from marketdata.selectors.instruments import InstrumentRef, instrument_by_core
from trading.models import FallbackRequest, Order
from trading.selectors.fallback import closable, closable_left, status_word
from trading.selectors.orders import OPEN, order_get
from trading.selectors.shapes import average_text, order_public_id
from trading.services.order_answer import OrderAnswer, Row
from trading.services.order_entry import account_demand, qty_lots
from trading.services.orders import order_cancel, order_place

#: Open requests of one account.
OPEN_MAX = 20
#: The engine remembers client order ids for two days; well before that nothing is sent again.
SENT_MAX = timedelta(hours=20)
#: So long an answer may still be on its way; before that nobody writes down another outcome.
ANSWER_TIME = timedelta(seconds=60)
#: Where the advisory locks of requests begin, clear of the house's other ones.
LOCKS = 0x46_42 << 44
#: After these nobody knows whether the command was done.
_UNKNOWN = (RejectCode.OUTCOME_UNKNOWN, RejectCode.PROJECTION_STALE)
_STATE = FallbackRequest.State


def request_cancel(*, account: AccountRef, user: User, order_id: int, key: str) -> FallbackRequest:
    """Ask the desk to cancel an order of the account. One open request per order: asking again gives it back."""
    account_demand(account, entering=False)
    with transaction.atomic():
        known = _known(account, key, kind=FallbackRequest.Kind.CANCEL, order_id=order_id)
        if known is not None:
            return known
        order = order_get(account.core_account, order_id)
        if order is None:
            raise RejectedError(RejectCode.NOT_FOUND, "There is no such order.")
        asked = FallbackRequest.objects.filter(order_id=order_id, kind="cancel", state__in=FallbackRequest.OPEN).first()
        if asked is not None:
            return asked
        if order["ord_status"] not in OPEN:
            raise RejectedError(
                RejectCode.NOTHING_TO_ASK, needed="an open order", available=status_word(order["ord_status"])
            )
        return _received(
            account, user, key, kind=FallbackRequest.Kind.CANCEL, order_id=order_id, qty=order["leaves_qty"],
            core_instrument=order["core_instrument"], side=order["side"],
        )  # fmt: skip


def request_close(
    *, account: AccountRef, user: User, instrument: InstrumentRef, qty: Decimal, key: str
) -> FallbackRequest:
    """Ask the desk to close ``qty`` of a position. All open requests together ask for no more than there is (7082)."""
    account_demand(account, entering=False)
    lots = qty_lots(qty, instrument)
    if lots <= 0:
        raise RejectedError(RejectCode.BAD_QTY, field="qty")
    with transaction.atomic():
        number = instrument.core_instrument
        known = _known(account, key, kind=FallbackRequest.Kind.CLOSE, core_instrument=number, qty=lots)
        if known is not None:
            return known
        free, side = closable_left(account.id, account.core_account, instrument)
        if lots > free:
            raise RejectedError(
                RejectCode.NOTHING_TO_ASK, needed=instrument.qty(lots), available=instrument.qty(free), field="qty"
            )
        return _received(
            account,
            user,
            key,
            kind=FallbackRequest.Kind.CLOSE,
            order_id=None,
            qty=lots,
            core_instrument=number,
            side=side,
        )


def _known(account: AccountRef, key: str, **same: Any) -> FallbackRequest | None:
    """The request of this key; 1015 when it was used for another. Locks the account, so that requests of one are counted one by one."""
    if not is_cl_ord_id(key):
        raise RejectedError(RejectCode.MISSING_FIELD, "The form's own key is missing.", needed="key", field="key")
    TradingAccount.objects.select_for_update(of=("self",)).get(pk=account.id)
    row = FallbackRequest.objects.filter(account_id=account.id, key=key).first()
    if row is not None and any(getattr(row, name) != value for name, value in same.items()):
        raise RejectedError(RejectCode.IDEMPOTENCY_KEY_REUSED)
    return row


def _received(account: AccountRef, user: User, key: str, **what: Any) -> FallbackRequest:
    if FallbackRequest.objects.filter(account_id=account.id, state__in=FallbackRequest.OPEN).count() >= OPEN_MAX:
        raise RejectedError(RejectCode.REQUESTS_OPEN, needed=str(OPEN_MAX))
    row = FallbackRequest.objects.create(
        account_id=account.id, requested_by=user, key=key, uid=ulid_new(), created_at=utc_now(), **what
    )
    _record(
        "received",
        row,
        after={"account": account.number, "kind": row.kind, "instrument": row.core_instrument, "qty": row.qty},
    )
    return row


def _record(what: str, row: FallbackRequest, *, after: dict[str, Any] | None = None, reason: str = "") -> None:
    record(
        f"fallback_request.{what}", object_type="fallback_request", object_id=row.pk, subject=row.requested_by_id,
        after=after or {}, reason=reason,
    )  # fmt: skip


def request_withdraw(*, account: AccountRef, number: int) -> FallbackRequest:
    """Take a request of the account back while nobody works on it; 2014 when it is not the account's. Again changes nothing."""
    account_demand(account, entering=False)
    with transaction.atomic():
        row = _locked(number, account_id=account.id)
        if row.state == _STATE.WITHDRAWN:
            return row
        _state_demand(row, _STATE.RECEIVED)
        _decide(row, _STATE.WITHDRAWN)
        _record("withdrawn", row)
    return row


def _locked(number: int, **more: Any) -> FallbackRequest:
    row = (
        FallbackRequest.objects.select_for_update(of=("self",))
        .select_related("account")
        .filter(pk=number, **more)
        .first()
    )
    if row is None:
        raise RejectedError(RejectCode.NOT_FOUND, "There is no such request.")
    return row


def _state_demand(row: FallbackRequest, state: FallbackRequest.State, staff: User | None = None) -> None:
    """Refuse (7080) a request in another state, or that a colleague works on."""
    if row.state != state:
        raise RejectedError(
            RejectCode.REQUEST_STATE, needed=state.label.lower(), available=_STATE(row.state).label.lower()
        )
    if staff is not None and row.claimed_by_id != staff.pk:
        raise RejectedError(RejectCode.REQUEST_STATE, needed="claimed by you", available="claimed by a colleague")


def _settled_demand(row: FallbackRequest) -> None:
    if row.sent_at is not None:
        raise RejectedError(
            RejectCode.REQUEST_STATE, "A command of this request may have been done by the engine.",
            needed="a known outcome", available="sent",
        )  # fmt: skip


def _decide(
    row: FallbackRequest, state: FallbackRequest.State, *, staff: User | None = None, message: str = "", **more: Any
) -> None:
    row.state, row.message, row.decided_by, row.decided_at, row.sent_at = state, message, staff, utc_now(), None
    for name, value in more.items():
        setattr(row, name, value)
    row.save()


def request_claim(*, number: int, staff: User) -> FallbackRequest:
    """Work on it; a colleague's claim stands (7080). Claiming one's own again changes nothing."""
    with transaction.atomic():
        row = _locked(number)
        if row.state == _STATE.CLAIMED and row.claimed_by_id == staff.pk:
            return row
        _state_demand(row, _STATE.RECEIVED)
        row.state, row.claimed_by, row.claimed_at = _STATE.CLAIMED, staff, utc_now()
        row.save(update_fields=["state", "claimed_by", "claimed_at"])
        _record("claimed", row)
    return row


def request_release(*, number: int, staff: User) -> FallbackRequest:
    """Put it back into the queue, at its old place."""
    with transaction.atomic():
        row = _locked(number)
        _state_demand(row, _STATE.CLAIMED, staff)
        _settled_demand(row)
        row.state, row.claimed_by, row.claimed_at = _STATE.RECEIVED, None, None
        row.save(update_fields=["state", "claimed_by", "claimed_at"])
        _record("released", row)
    return row


def request_refuse(*, number: int, staff: User, reason: str) -> FallbackRequest:
    """Say no; the client reads the reason."""
    with transaction.atomic():
        row = _locked(number)
        _state_demand(row, _STATE.CLAIMED, staff)
        _settled_demand(row)
        _decide(row, _STATE.REFUSED, staff=staff, message=reason)
        _record("refused", row, reason=reason)
    return row


def request_done_by_hand(*, number: int, staff: User, outcome: str) -> FallbackRequest:
    """Write down what was done outside of the platform; the client reads it."""
    with transaction.atomic():
        row = _locked(number)
        _state_demand(row, _STATE.CLAIMED, staff)
        if row.sent_at is not None and utc_now() - row.sent_at < ANSWER_TIME:
            _settled_demand(row)
        _decide(row, _STATE.DONE, staff=staff, message=outcome, by_hand=True)
        _record("done_by_hand", row, reason=outcome)
    return row


def request_execute(*, number: int, staff: User) -> FallbackRequest:
    """Do it through the engine. 9010 when that is away and 9011 when its answer is lost: the request stays and can be sent again.

    A refusal of the engine, or nothing to trade with, raises its number and leaves the request with its dealer. One try at a time: what one
    learns of the engine must not be undone by what another does not know.
    """
    with alone(LOCKS + number) as mine:
        if not mine:
            raise RejectedError(RejectCode.REQUEST_STATE, needed="no other try under way", available="being done now")
        return _execute(number, staff)


def _execute(number: int, staff: User) -> FallbackRequest:
    row, again = _begin(number, staff)
    account = account_for_user(row.account.owner_id, row.account.number)  # type: ignore[arg-type]
    try:
        if row.kind == FallbackRequest.Kind.CANCEL:
            return _cancelled(row, staff, account, order_cancel(account=account, order_id=row.order_id or 0))
        return _closed(row, staff, _place(row, account))
    except RejectedError as problem:
        # Nothing was sent now; whether something was before is known only to the answer that was lost.
        if problem.code not in _UNKNOWN and not again:
            FallbackRequest.objects.filter(pk=row.pk, state=_STATE.CLAIMED).update(sent_at=None)
        raise


def _begin(number: int, staff: User) -> tuple[FallbackRequest, bool]:
    """Note that a command may be on its way; tells whether one was already."""
    with transaction.atomic():
        row = _locked(number)
        _state_demand(row, _STATE.CLAIMED, staff)
        again = row.sent_at is not None
        if row.sent_at is not None and utc_now() - row.sent_at > SENT_MAX:
            raise RejectedError(
                RejectCode.REQUEST_STATE, "It was sent so long ago that the engine may not know it any more: look, and write the outcome down.",
                needed="sent within 20 hours", available="older",
            )  # fmt: skip
        if not again:
            row.sent_at, row.sent_qty = utc_now(), _qty_now(row)
            row.save(update_fields=["sent_at", "sent_qty"])
            _record("sent", row, after={"attempt": row.attempt, "qty": row.sent_qty})
    return row, again


def _qty_now(row: FallbackRequest) -> int:
    """What to close: never more than there is. It stays the same however often the attempt is sent."""
    if row.kind == FallbackRequest.Kind.CANCEL:
        return row.qty
    instrument = instrument_by_core(row.core_instrument)
    there, side = closable(row.account.core_account, instrument) if instrument is not None else (0, 0)
    if instrument is None or not there or side != row.side:
        raise RejectedError(RejectCode.NOTHING_TO_ASK, needed="an open position on that side", available="none")
    return min(row.qty, there)


def _place(row: FallbackRequest, account: AccountRef) -> OrderAnswer:
    instrument = _instrument(row)
    return order_place(
        account=account, instrument=instrument, side=Side(row.side), ord_type=OrdType.MARKET, time_in_force=None,
        qty=from_units(row.sent_qty, instrument.lot_size), reduce_only=True, cl_ord_id=row.cl_ord_id, source=OrderSource.DESK,
    )  # fmt: skip


def _instrument(row: FallbackRequest) -> InstrumentRef:
    instrument = instrument_by_core(row.core_instrument)
    if instrument is None:
        raise RejectedError(RejectCode.UNKNOWN_INSTRUMENT)
    return instrument


def _again(row: FallbackRequest, answer: OrderAnswer) -> RejectedError:
    """The engine has answered and nothing was done: the next attempt has an id of its own. Returns why, to be raised."""
    changed = FallbackRequest.objects.filter(pk=row.pk, state=_STATE.CLAIMED, attempt=row.attempt)
    changed.update(sent_at=None, attempt=row.attempt + 1)
    refusal = answer.refusal
    if refusal is None:
        return RejectedError(RejectCode.NO_LIQUIDITY)
    return RejectedError(refusal.code, needed=refusal.needed, available=refusal.available)


def _cancelled(row: FallbackRequest, staff: User, account: AccountRef, answer: OrderAnswer) -> FallbackRequest:
    name = f"Order {order_public_id(row.order_id or 0)}"
    if answer.order is not None:
        gone = max(0, (answer.order["order_qty"] or 0) - (answer.order["cum_qty"] or 0))
        return _end(row, staff, _STATE.DONE, f"{name} is cancelled.", done_qty=gone)
    if answer.refusal is not None and answer.refusal.code in (RejectCode.TOO_LATE, RejectCode.UNKNOWN_ORDER):
        stored = order_get(account.core_account, row.order_id or 0)
        if stored is not None and stored["ord_status"] not in OPEN:
            filled = stored["ord_status"] == Order.Status.FILLED
            text = f"{name} was {'filled' if filled else status_word(stored['ord_status'])} before the desk came to it."
            return _end(row, staff, _STATE.REFUSED if filled else _STATE.DONE, text)
    raise _again(row, answer)


def _closed(row: FallbackRequest, staff: User, answer: OrderAnswer) -> FallbackRequest:
    if answer.order is None:
        raise _again(row, answer)
    order: Row = answer.order
    if not order["cum_qty"]:
        raise _again(row, answer)
    instrument = _instrument(row)
    filled, asked = instrument.qty(order["cum_qty"]), instrument.qty(row.qty)
    average = average_text(order["notional_sum"], order["cum_qty"], instrument) if order["notional_sum"] else None
    text = f"Closed {filled} of {asked} {instrument.symbol}{f' at {average} on average' if average else ''}."
    return _end(row, staff, _STATE.DONE, text, done_qty=order["cum_qty"])


def _end(
    row: FallbackRequest, staff: User, state: FallbackRequest.State, message: str, *, done_qty: int = 0
) -> FallbackRequest:
    with transaction.atomic():
        current = _locked(row.pk)
        # The same answer came twice, to two requests of one dealer: the first has written it.
        if current.state == _STATE.CLAIMED:
            _decide(current, state, staff=staff, message=message, done_qty=done_qty)
            _record(
                "executed" if state == _STATE.DONE else "too_late", current, after={"qty": done_qty}, reason=message
            )
    return current
