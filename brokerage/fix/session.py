"""The acceptor's side of one FIX 4.4 session: who may speak, in which order, what is sent again. The behaviour and the words are QuickFIX's.

    receive(frame) ──check──> logon, sequence, administration ──> application.on_message ──> send(...)
    tick()         heartbeats, test requests, time limits
    take()         the bytes to write; ``closing`` says that the connection ends after them

A state machine without threads, sockets or a clock of its own: one caller at a time. It is made for a peer that was identified already
(password, address: ``trading/fix_gateway/acceptor.py``). Owns sequence numbers, gaps, duplicates, time limits and wording. Leaves keeping
numbers and messages to its store, orders to the application.
"""

from __future__ import annotations

import logging
from typing import Protocol

from brokerage.fix.codec import BEGIN_STRING, Field, GarbledError, Message, decode, encode
from brokerage.fix.dictionary import (
    APPLICATION,
    BAD_VALUE,
    COMP_ID,
    LAYOUTS,
    MISSING,
    SENDING_TIME,
    FieldError,
    check,
    time_ns,
    time_text,
)
from brokerage.fix.store import MessageStore, Stored
from brokerage.kernel.clock import NS_PER_S, SYSTEM_CLOCK, Clock

log = logging.getLogger(__name__)

#: How far a peer's clock may be from ours.
ACCURACY_NS = 120 * NS_PER_S
#: After our Logout the peer has this long to answer with its own.
LOGOUT_NS = 2 * NS_PER_S
HEARTBEAT_MIN_S, HEARTBEAT_MAX_S = 1, 300
MESSAGE_NOT_AVAILABLE = "Unsupported Message Type"


class Application(Protocol):
    """What stands behind a session."""

    def on_message(self, session: Session, message: Message) -> None:
        """An application message in its turn; answer with ``session.send``."""


class Session:
    """One logged-on peer, or one about to be."""

    def __init__(
        self, *, ours: str, theirs: str, store: MessageStore, application: Application, clock: Clock = SYSTEM_CLOCK
    ) -> None:
        self.ours, self.theirs, self.store = ours, theirs, store
        self.application, self.clock = application, clock
        self.logged_on = False
        self.closing = False
        #: Counts resets in this object's life.
        self.resets = 0
        self.heartbeat_s = 0
        self._out: list[bytes] = []
        self._heard_ns = self._sent_ns = clock.now_ns()
        self._tests = 0
        self._logout_ns: int | None = None
        self._resend_to = 0  # a resend up to here was asked for and has not come

    # ---- for the owner ----------------------------------------------------------------------------------------------

    def take(self) -> bytes:
        """The bytes to write, once; what they stand for must be kept before."""
        data = b"".join(self._out)
        self._out.clear()
        return data

    def receive(self, frame: bytes) -> None:
        """One frame of the peer."""
        if self.closing:
            return
        try:
            message = decode(frame)
        except GarbledError:
            self.closing = self.closing or not self.logged_on
            return
        self._heard_ns, self._tests = self.clock.now_ns(), 0
        if not self.logged_on and message.type != "A":
            self.closing = True
            return
        if self._logout_ns is not None and message.type != "5":
            return  # goodbye was said: what comes now has not been taken, and is asked for at the next logon
        if message.begin != BEGIN_STRING:
            self._end("Incorrect BeginString" if self.logged_on else "")
            return
        if not (message.get(34).isascii() and message.get(34).isdigit() and len(message.get(34)) <= 18):
            self._end("Required tag missing" if self.logged_on else "")
            return
        try:
            check(message)
        except FieldError as error:
            self._refuse(message, error)
            if not self.logged_on:
                self._end(error.text)
            return
        self._dispatch(message)

    def tick(self) -> None:
        """What time asks for."""
        now_ns = self.clock.now_ns()
        if self._logout_ns is not None:
            self.closing = self.closing or now_ns - self._logout_ns >= LOGOUT_NS
            return
        if not self.logged_on or self.closing:
            return
        beat_ns = self.heartbeat_s * NS_PER_S
        silent_ns = now_ns - self._heard_ns
        if silent_ns * 10 >= 24 * beat_ns:
            log.warning("fix session %s: nothing heard for %d s, closed", self.theirs, silent_ns // NS_PER_S)
            self.closing = True
        elif silent_ns * 10 >= 12 * beat_ns * (self._tests + 1):
            self._tests += 1
            self._send("1", ((112, "TEST"),))
        elif now_ns - self._sent_ns >= beat_ns:
            self._send("0")

    def due(self) -> bool:
        """True when ``tick`` would do something: asked often, and cheap."""
        now_ns = self.clock.now_ns()
        if self._logout_ns is not None:
            return now_ns - self._logout_ns >= LOGOUT_NS
        beat_ns = self.heartbeat_s * NS_PER_S
        silent = (now_ns - self._heard_ns) * 10 >= 12 * beat_ns * (self._tests + 1)
        return self.logged_on and (silent or now_ns - self._sent_ns >= beat_ns)

    def send(self, msg_type: str, body: tuple[Field, ...] | list[Field]) -> int:
        """Send an application message; its number. It is kept and sent again when the peer asks."""
        seq, now_ns = self.store.next_out, self.clock.now_ns()
        self.store.append(Stored(seq, msg_type, tuple(body), now_ns))
        self._send(msg_type, body)
        return seq

    def logout(self, text: str) -> None:
        """Say goodbye; the connection ends with the peer's answer, or LOGOUT_NS later."""
        if self.logged_on and self._logout_ns is None and not self.closing:
            self._send("5", ((58, text),) if text else ())
            self._logout_ns = self.clock.now_ns()

    def business_reject(self, message: Message, reason: int, text: str, tag: int = 0) -> None:
        """Answer an application message with BusinessMessageReject."""
        body: list[Field] = [(45, message.get(34)), (58, text), (372, message.type), (380, str(reason))]
        if tag:
            body.append((371, str(tag)))
        if message.get(11):
            body.append((379, message.get(11)))
        self.send("j", body)

    # ---- messages ---------------------------------------------------------------------------------------------------

    def _dispatch(self, message: Message) -> None:
        kind = message.type
        if kind == "A":
            self._on_logon(message)
        elif kind == "2":
            self._on_resend_request(message)
        elif kind == "4":
            self._on_sequence_reset(message)
        elif kind == "5":
            self._on_logout(message)
        elif self._in_turn(message):
            self.store.next_in += 1
            if kind == "1":
                self._send("0", ((112, message.get(112)),))
            elif kind not in LAYOUTS and kind in APPLICATION:
                self.business_reject(message, 3, MESSAGE_NOT_AVAILABLE)
            elif kind in APPLICATION:
                self.application.on_message(self, message)

    def _on_logon(self, message: Message) -> None:
        reset = message.get(141) == "Y"
        if self.logged_on and not reset:
            if self._in_turn(message):
                self._end("Already logged on")
            return
        if not self._genuine(message):
            return
        beat = int(message.get(108))
        if not HEARTBEAT_MIN_S <= beat <= HEARTBEAT_MAX_S:
            self._end(f"HeartBtInt must be {HEARTBEAT_MIN_S} to {HEARTBEAT_MAX_S} seconds")
            return
        if reset:
            self._reset()
        seq, expected = int(message.get(34)), self.store.next_in
        if seq < expected:
            self._too_low(message, seq, expected)
            if self.closing or self._logout_ns is not None:
                return
        self.heartbeat_s, self.logged_on = beat, True
        body: list[Field] = [(98, "0"), (108, str(beat))]
        self._send("A", [*body, (141, "Y")] if reset else body)
        if seq > expected:
            self._ask_again(seq, expected)
        elif seq == expected:
            self.store.next_in += 1

    def _reset(self) -> None:
        self.store.reset()
        self.resets += 1
        self._resend_to = 0

    def _on_logout(self, message: Message) -> None:
        if not self._genuine(message):
            return
        if int(message.get(34)) == self.store.next_in:
            self.store.next_in += 1
        if self._logout_ns is None:
            self._send("5")
        self.closing = True

    def _on_resend_request(self, message: Message) -> None:
        # Answered whatever its own number: two gaps at once would else wait for each other for ever.
        if not self._genuine(message):
            return
        first, last = int(message.get(7)), int(message.get(16))
        if int(message.get(34)) == self.store.next_in:
            self.store.next_in += 1
        newest = self.store.next_out - 1
        self._send_again(max(1, first), newest if last == 0 or last > newest else last)

    def _send_again(self, first: int, last: int) -> None:
        """Application messages as they were; what is not kept and all administration as one gap."""
        at = first
        for kept in self.store.between(first, last):
            if kept.seq > at:
                self._gap_fill(at, kept.seq)
            again = ((43, "Y"), (122, time_text(kept.sent_ns)))
            self._write(kept.msg_type, kept.seq, kept.body, again)
            at = kept.seq + 1
        if at <= last:
            self._gap_fill(at, last + 1)

    def _gap_fill(self, seq: int, new_seq: int) -> None:
        again = ((43, "Y"), (122, time_text(self.clock.now_ns())))
        self._write("4", seq, ((36, str(new_seq)), (123, "Y")), again)

    def _on_sequence_reset(self, message: Message) -> None:
        fills = message.get(123) == "Y"
        if not (self._in_turn(message) if fills else self._genuine(message)):
            return
        new, expected = int(message.get(36)), self.store.next_in
        if new > expected:
            self.store.next_in = new
        elif new < expected:
            self._refuse(message, FieldError(BAD_VALUE, 36), counts=False)

    # ---- checks -----------------------------------------------------------------------------------------------------

    def _genuine(self, message: Message) -> bool:
        """Time and names are right; else the peer was told and is logged out."""
        sent = time_ns(message.get(52))
        if sent is None or abs(self.clock.now_ns() - sent) > ACCURACY_NS:
            self._refuse(message, FieldError(SENDING_TIME, 52))
            self._end(FieldError(SENDING_TIME).text)
            return False
        if message.get(49) != self.theirs or message.get(56) != self.ours:
            self._refuse(message, FieldError(COMP_ID, 49 if message.get(49) != self.theirs else 56))
            self._end(FieldError(COMP_ID).text)
            return False
        return True

    def _in_turn(self, message: Message) -> bool:
        """Genuine and the one that was expected; a gap is asked for, an old one passed over or fatal."""
        if not self._genuine(message):
            return False
        seq, expected = int(message.get(34)), self.store.next_in
        if seq > expected:
            self._ask_again(seq, expected)
            return False
        if seq < expected:
            self._too_low(message, seq, expected)
            return False
        return True

    def _ask_again(self, seq: int, expected: int) -> None:
        if self._resend_to >= expected:
            return  # it is on its way, and up to the newest
        self._resend_to = seq
        self._send("2", ((7, str(expected)), (16, "0")))

    def _too_low(self, message: Message, seq: int, expected: int) -> None:
        if message.get(43) != "Y":
            self._end(f"MsgSeqNum too low, expecting {expected} but received {seq}")
            return
        if message.type == "4":
            return
        original = time_ns(message.get(122))
        if original is None:
            self._refuse(message, FieldError(MISSING, 122), counts=False)
        elif original > (time_ns(message.get(52)) or 0):
            self._refuse(message, FieldError(SENDING_TIME, 122), counts=False)
            self._end(FieldError(SENDING_TIME).text)

    def _refuse(self, message: Message, error: FieldError, *, counts: bool = True) -> None:
        """Reject a message; in its turn it still uses up its number."""
        if not self.logged_on:
            return
        if counts and message.type != "4" and int(message.get(34)) == self.store.next_in:
            self.store.next_in += 1
        body: list[Field] = [(45, message.get(34)), (58, error.text), (372, message.type), (373, str(error.reason))]
        self._send("3", [*body, (371, str(error.tag))] if error.tag else body)

    def _end(self, text: str) -> None:
        """End at once: with a Logout that says why, or without a word."""
        if text:
            self._send("5", ((58, text),))
        self.closing = True

    # ---- writing ----------------------------------------------------------------------------------------------------

    def _send(self, msg_type: str, body: tuple[Field, ...] | list[Field] = ()) -> None:
        seq = self.store.next_out
        self.store.next_out += 1
        self._write(msg_type, seq, body, ())

    def _write(self, msg_type: str, seq: int, body: tuple[Field, ...] | list[Field], more: tuple[Field, ...]) -> None:
        self._sent_ns = self.clock.now_ns()
        header = ((35, msg_type), (34, str(seq)), (49, self.ours), (52, time_text(self._sent_ns)), (56, self.theirs))
        self._out.append(encode((*header, *more), body))
