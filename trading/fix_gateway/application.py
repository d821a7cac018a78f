"""What a session's messages do: the same services as REST and the portal, with the same refusals.

An order, cancel or replace that reaches the engine is not answered here: its events are told by ``feed.py``, like everybody's. Answered here is what
the engine never saw, what it refuses about orders that live (OrderCancelReject), repetitions and questions. Owns the ids of cancels and
replaces (``FixRequest``). Leaves fields to ``mapping.py``.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import Error as DatabaseError

from accounts.selectors.access import AccountRef, account_for_user
from brokerage.fix.codec import Field, Message
from brokerage.fix.session import Session
from brokerage.kernel.clock import SYSTEM_CLOCK
from brokerage.kernel.errors import EngineUnavailableError, RejectedError
from brokerage.kernel.rejects import RejectCode, reject_row
from brokerage.platform.problems import ApiProblem
from brokerage.platform.throttling import throttle_demand
from trading.fix_gateway import mapping
from trading.fix_gateway.feed import name_now
from trading.fix_gateway.store import DbStore
from trading.models import FixRequest, Order
from trading.selectors.engine_orders import order_find_by_client_id
from trading.selectors.orders import order_by_client_id, order_get
from trading.selectors.projection import projection_reaches
from trading.services.engine_access import get_engine_client
from trading.services.order_answer import OrderAnswer, Refusal
from trading.services.orders import order_cancel, order_cancel_all, order_place, order_replace

log = logging.getLogger(__name__)
Row = dict[str, Any]

#: Refusals whose commands leave no event of the account: answered here.
_UNTOLD = (RejectCode.UNKNOWN_ACCOUNT, RejectCode.BAD_VERSION)
#: Budgets are REST's: what enters, and twice as much of what takes back.
_BUDGETS = {"D": "orders", "G": "orders", "F": "cancel", "q": "cancel", "H": "read"}


@dataclass(frozen=True, slots=True)
class Peer:
    """Who is logged on, as found at logon."""

    key_id: UUID
    comp_id: str
    user_id: UUID
    account: AccountRef
    trades: bool
    cancel_on_disconnect: bool
    address: str

    @property
    def credential(self) -> str:
        """The name that ends with the key."""
        return f"fix:{self.comp_id}"


class OrderEntry:
    """The application behind one session."""

    def __init__(self, peer: Peer, store: DbStore) -> None:
        self._peer, self._store = peer, store

    def on_message(self, session: Session, message: Message) -> None:
        """Do what one message asks for. What goes wrong on our side is told as such; without the database the connection ends."""
        try:
            self._handle(session, message)
        except DatabaseError:
            raise
        except Exception:
            log.exception("fix session %s: %s could not be handled", self._peer.comp_id, message.type)
            session.business_reject(message, 4, mapping.refusal_text(RejectCode.INTERNAL_ERROR))

    def _handle(self, session: Session, message: Message) -> None:
        kind, peer = message.type, self._peer
        if kind != "H" and not peer.trades:
            text = mapping.refusal_text(RejectCode.PERMISSION_DENIED, "This session may read, not trade.")
            session.business_reject(message, 6, text)
            return
        try:
            throttle_demand(_BUDGETS[kind], peer.credential)
            account = account_for_user(peer.user_id, peer.account.number)
        except RejectedError as error:
            session.business_reject(message, reject_row(error.code).business_reject_reason or 6, _text(error))
            return
        handler = {"D": self._new, "F": self._change, "G": self._change, "H": self._status, "q": self._mass}[kind]
        try:
            if message.get(1) not in ("", account.number):
                raise RejectedError(RejectCode.NOT_FOUND, "This session is for another account.")
            handler(session, message, account)
        except RejectedError as error:
            self._refuse(session, message, account, error)

    def _refuse(self, session: Session, message: Message, account: AccountRef, error: RejectedError) -> None:
        row, now_ns, text = reject_row(error.code), SYSTEM_CLOCK.now_ns(), _text(error)
        kind = message.type
        if row.code >= 9000 or error.code == RejectCode.MISSING_FIELD:
            # Not an answer about the order: it was not sent, nobody knows, or the message is not whole.
            session.business_reject(message, row.business_reject_reason or 4, text)
        elif kind == "D":
            exec_id = f"X{self._store.number}-{self._store.epoch}-{message.get(34)}"
            session.send("8", mapping.refused_report(message, exec_id, error.code, text, now_ns))
        elif kind == "H":
            session.send("8", mapping.unknown_status(message, text, now_ns))
        elif kind == "q":
            session.send("r", _mass_report(message, None, text))
        else:
            known = self._find(account, message.get(41))
            session.send("9", mapping.cancel_reject(message, known, error.code, text, now_ns))

    # ---- entering ---------------------------------------------------------------------------------------------------

    def _new(self, session: Session, message: Message, account: AccountRef) -> None:
        cl_ord_id = mapping.cl_ord_id_of(message)
        if "Y" in (message.get(43), message.get(97)):
            # Sent again: what became of it then is the answer, whatever would be said to it today.
            known = self._find(account, cl_ord_id)
            if known is not None:
                self._tell(session, known, "Sent before.")
                return
        if FixRequest.objects.filter(core_account=account.core_account, cl_ord_id=cl_ord_id).exists():
            raise RejectedError(RejectCode.DUPLICATE_CL_ORD_ID)
        answer = order_place(
            account=account,
            **mapping.order_terms(message),
            cl_ord_id=cl_ord_id,
            source=mapping.source_of(self._store.number),
        )
        if answer.replayed:
            known = self._find(account, cl_ord_id)
            if known is None:
                raise ApiProblem(RejectCode.PROJECTION_STALE)
            self._tell(session, known, "Sent before.")
        elif answer.refusal is not None and (not answer.refusal.cmd_seq or answer.refusal.code in _UNTOLD):
            raise _raised(answer.refusal)

    # ---- changing ---------------------------------------------------------------------------------------------------

    def _change(self, session: Session, message: Message, account: AccountRef) -> None:
        cl_ord_id, orig = mapping.cl_ord_id_of(message), mapping.cl_ord_id_of(message, 41)
        order = self._find(account, orig)
        if order is None:
            raise RejectedError(RejectCode.UNKNOWN_ORDER)
        if not mapping.agrees(message, order):
            raise RejectedError(RejectCode.MALFORMED, "Symbol, Side and OrderID are those of the order.")
        request = self._request(message, account, cl_ord_id, orig, order)
        if request.cmd_seq is not None:
            self._tell(session, order, "Sent before.", cl_ord_id)
            return
        try:
            answer = self._send(message, account, order, cl_ord_id)
        except RejectedError as error:
            if error.code != RejectCode.OUTCOME_UNKNOWN:
                FixRequest.objects.filter(pk=request.pk).update(refused=True)
            raise
        if answer.refusal is not None:
            if message.get(43) == "Y" and order["ord_status"] == 4 and answer.refusal.code == RejectCode.TOO_LATE:
                self._tell(
                    session, order, "Sent before.", cl_ord_id
                )  # its first sending did it; we died before noting so
                return
            FixRequest.objects.filter(pk=request.pk).update(refused=True)
            raise _raised(answer.refusal)
        FixRequest.objects.filter(pk=request.pk).update(cmd_seq=answer.cmd_seq, refused=False)
        if answer.replayed:
            self._tell(session, answer.order or order, "Sent before.", cl_ord_id)

    def _request(self, message: Message, account: AccountRef, cl_ord_id: str, orig: str, order: Row) -> FixRequest:
        """The row of this request, of the first time when it was sent before; 1003 when its id was used for something else."""
        terms = mapping.terms_text(message)
        if order_by_client_id(account.core_account, cl_ord_id) is not None:
            raise RejectedError(RejectCode.DUPLICATE_CL_ORD_ID)
        request, made = FixRequest.objects.get_or_create(
            core_account=account.core_account,
            cl_ord_id=cl_ord_id,
            defaults={"orig_cl_ord_id": orig, "kind": message.type, "order_id": order["order_id"], "terms": terms},
        )
        if not made and (request.kind, request.terms, request.order_id) != (message.type, terms, order["order_id"]):
            raise RejectedError(RejectCode.DUPLICATE_CL_ORD_ID)
        return request

    @staticmethod
    def _send(message: Message, account: AccountRef, order: Row, cl_ord_id: str) -> OrderAnswer:
        if message.type == "F":
            return order_cancel(account=account, order_id=order["order_id"])
        if message.get(40) != str(order["ord_type"]) or message.get(59) not in ("", str(order["time_in_force"])):
            raise RejectedError(RejectCode.UNSUPPORTED, "A replace changes OrderQty (38) and Price (44), nothing else.")
        qty, price = mapping.replace_terms(message)
        return order_replace(account=account, order_id=order["order_id"], qty=qty, price=price, cl_ord_id=cl_ord_id)

    # ---- asking -----------------------------------------------------------------------------------------------------

    def _status(self, session: Session, message: Message, account: AccountRef) -> None:
        order = self._find(account, mapping.cl_ord_id_of(message))
        if order is None:
            raise RejectedError(RejectCode.UNKNOWN_ORDER)
        fields = mapping.status_report(order, message.get(11))
        session.send("8", [*fields, (790, message.get(790))] if message.get(790) else fields)

    def _mass(self, session: Session, message: Message, account: AccountRef) -> None:
        scope = message.get(530)
        if scope not in "17" or (scope == "1") != message.has(55):
            raise RejectedError(RejectCode.UNSUPPORTED, "MassCancelRequestType (530) is 7 (all) or 1 (of Symbol, 55).")
        gone = order_cancel_all(
            account=account,
            instrument=mapping.instrument_of(message) if scope == "1" else None,
            side=mapping.side_of(message) if message.has(54) else None,
        )
        session.send("r", _mass_report(message, len(gone), ""))

    def _find(self, account: AccountRef, cl_ord_id: str) -> Row | None:
        """The order that goes, or once went, by a ClOrdID in this account; None when there is none. Waits for one just entered."""
        replaced = FixRequest.objects.filter(
            core_account=account.core_account, cl_ord_id=cl_ord_id, kind="G", cmd_seq__isnull=False
        ).first()
        if replaced is not None:
            projection_reaches(replaced.cmd_seq or 0)
            return order_get(account.core_account, replaced.order_id)
        try:
            return order_find_by_client_id(account.core_account, cl_ord_id)
        except RejectedError as error:
            if error.code == RejectCode.NOT_FOUND:
                return None
            raise

    def _tell(self, session: Session, order: Row, text: str, name: str = "") -> None:
        now = order_get(self._peer.account.core_account, order["order_id"]) or order
        known_as = name or name_now(now["core_account"], now["order_id"], now["cl_ord_id"])
        session.send("8", mapping.status_report(now, known_as, text))


def _text(error: RejectedError) -> str:
    next_step = getattr(error, "next_step", None) or ""
    if error.code == RejectCode.OUTCOME_UNKNOWN:
        next_step = "Send it again with the same ClOrdID and PossResend (97=Y), or ask with OrderStatusRequest."
    return mapping.refusal_text(error.code, error.detail, error.needed, error.available, next_step)


def _raised(refusal: Refusal) -> ApiProblem:
    return ApiProblem(refusal.code, refusal.detail, needed=refusal.needed, available=refusal.available)


def _mass_report(message: Message, gone: int | None, text: str) -> list[Field]:
    """OrderMassCancelReport; ``gone`` None: refused."""
    fields: list[Field] = [(11, message.get(11)), (37, message.get(11)), (530, message.get(530))]
    fields += [(tag, message.get(tag)) for tag in (54, 55) if message.get(tag)]
    if gone is None:
        return [*fields, (531, "0"), (532, "99"), (58, text)]
    return [*fields, (531, message.get(530)), (533, str(gone))]


def orders_withdraw(account: AccountRef, session_number: int) -> int:
    """Cancel what one FIX session has open: cancel on disconnect. How many went; each is told as its event says."""
    try:
        projection_reaches(int(get_engine_client().status().cmd_seq))
    except EngineUnavailableError:
        log.warning("fix session %d: orders stay, the engine cannot be reached", session_number)
        return 0
    source = mapping.source_of(session_number)
    mine = Order.objects.filter(core_account=account.core_account, ord_status__in=(0, 1), source=source)
    gone = 0
    for order_id in list(mine.values_list("order_id", flat=True)):
        try:
            gone += order_cancel(account=account, order_id=order_id).refusal is None
        except RejectedError as error:
            log.warning("fix session %d: order %d was not cancelled: %s", session_number, order_id, error.detail)
    return gone
