"""The session layer, conversation by conversation, in the groups of QuickFIX's acceptance scripts (names of the scripts in brackets)."""

from __future__ import annotations

from typing import Any

import pytest

from brokerage.fix.codec import FrameReader, Message, decode, encode
from brokerage.fix.dictionary import time_text
from brokerage.fix.session import LOGOUT_NS, Session
from brokerage.fix.store import MemoryStore
from brokerage.kernel.clock import NS_PER_S, ManualClock

START_NS = 1_790_000_000 * NS_PER_S


class Echo:
    """An application that sends NewOrderSingles back, as the scripts expect of theirs."""

    def __init__(self) -> None:
        self.heard: list[Message] = []

    def on_message(self, session: Session, message: Message) -> None:
        self.heard.append(message)
        session.send("8", [(11, message.get(11)), (17, f"e{message.get(34)}")])


class Desk:
    """Both ends: what the client says goes in, what the session answers comes out as dicts."""

    def __init__(self, next_in: int = 1, next_out: int = 1) -> None:
        self.clock = ManualClock(START_NS)
        self.store = MemoryStore(next_in, next_out)
        self.echo = Echo()
        self.session = Session(ours="ISLD", theirs="TW", store=self.store, application=self.echo, clock=self.clock)

    def say(self, kind: str, seq: int, *body: tuple[int, Any], **over: Any) -> list[dict[int, str]]:
        header: list[tuple[int, str]] = [(35, kind)]
        values = {34: str(seq), 49: "TW", 52: time_text(self.clock.now_ns()), 56: "ISLD"} | over.pop("header", {})
        header += [(tag, value) for tag, value in values.items() if value is not None]
        data = encode(header, [(tag, str(value)) for tag, value in body])
        return self.hear(data)

    def hear(self, data: bytes) -> list[dict[int, str]]:
        for frame in FrameReader().feed(data):
            self.session.receive(frame)
        return self.said()

    def said(self) -> list[dict[int, str]]:
        return [dict(decode(frame)) for frame in FrameReader().feed(self.session.take())]

    def logon(self, seq: int = 1, *more: tuple[int, Any]) -> list[dict[int, str]]:
        return self.say("A", seq, (98, 0), (108, 30), *more)

    def order(self, seq: int, name: str = "id", **over: Any) -> list[dict[int, str]]:
        return self.say("D", seq, *order(name), **over)

    def after(self, seconds: float) -> list[dict[int, str]]:
        self.clock.advance(int(seconds * 10) * NS_PER_S // 10)
        self.session.tick()
        return self.said()


def order(name: str) -> list[tuple[int, Any]]:
    return [(11, name), (40, 1), (54, 1), (55, "INTC"), (60, time_text(START_NS)), (38, 1)]


def kinds(answers: list[dict[int, str]]) -> list[str]:
    return [answer[35] for answer in answers]


@pytest.fixture
def desk() -> Desk:
    made = Desk()
    assert kinds(made.logon()) == ["A"]
    return made


# ---- logon, identity (1a, 1b, 1c, 1d, 1e, 2k, 13b, AlreadyLoggedOn, SessionReset) ---------------------------------


def test_a_logon_is_answered_with_its_heartbeat() -> None:
    [answer] = Desk().logon()
    assert (answer[34], answer[98], answer[108], answer[49], answer[56]) == ("1", "0", "30", "ISLD", "TW")


@pytest.mark.parametrize(
    ("_case", "kind", "body", "text"),
    [
        ("not a logon (1e)", "0", (), None),
        ("an order first", "D", order("x"), None),
        ("no heartbeat", "A", ((98, 0),), "Required tag missing"),
        ("heartbeat zero", "A", ((98, 0), (108, 0)), "HeartBtInt must be 1 to 300 seconds"),
        ("heartbeat negative", "A", ((98, 0), (108, -1)), "HeartBtInt must be 1 to 300 seconds"),
        ("encrypted", "A", ((98, 1), (108, 30)), "Value is incorrect (out of range) for this tag"),
    ],
)
def test_what_is_no_good_logon_ends_the_connection(_case: str, kind: str, body: Any, text: str | None) -> None:
    desk = Desk()
    answers = desk.say(kind, 1, *body)
    assert [answer.get(58) for answer in answers] == ([text] if text else [])
    assert desk.session.closing
    assert not desk.session.logged_on


def test_a_garbled_first_message_ends_the_connection() -> None:
    desk = Desk()
    desk.hear(encode([(35, "A"), (34, "1")], []).replace(b"34=1", b"3x=1").replace(b"10=", b"10="))
    desk.session.receive(b"8=FIX.4.4\x019=5\x0134=1\x0110=000\x01")
    assert desk.session.closing


def test_a_logon_with_a_low_number_is_told_which_was_expected() -> None:
    desk = Desk(next_in=5, next_out=9)
    [answer] = desk.logon(2)
    assert (answer[35], answer[58]) == ("5", "MsgSeqNum too low, expecting 5 but received 2")
    assert desk.session.closing


def test_a_logon_with_a_high_number_is_answered_and_the_gap_asked_for() -> None:
    desk = Desk(next_in=5, next_out=9)
    answers = desk.logon(8)
    assert kinds(answers) == ["A", "2"]
    assert (answers[1][7], answers[1][16]) == ("5", "0")
    # The gap is filled, and the next one is in its turn.
    assert desk.say("4", 5, (36, 9), (123, "Y"), header={43: "Y", 122: time_text(START_NS)}) == []
    assert kinds(desk.order(9)) == ["8"]


def test_reset_begins_again_at_one_before_and_within_a_session(desk: Desk) -> None:
    other = Desk(next_in=50, next_out=70)
    [answer] = other.logon(1, (141, "Y"))
    assert (answer[34], answer[141], other.store.next_in) == ("1", "Y", 2)
    desk.order(2)
    [again] = desk.logon(1, (141, "Y"))
    assert (again[34], desk.store.next_in, desk.store.kept) == ("1", 2, {})


def test_a_second_logon_without_reset_is_refused(desk: Desk) -> None:
    [answer] = desk.logon(2)
    assert (answer[35], answer[58]) == ("5", "Already logged on")


@pytest.mark.parametrize(("header", "tag"), [({49: "OTHER"}, "49"), ({56: "OTHER"}, "56")])
def test_another_comp_id_is_rejected_and_logged_out(desk: Desk, header: dict[int, str], tag: str) -> None:
    answers = desk.say("0", 2, header=header)
    assert [(answer[35], answer[58]) for answer in answers] == [("3", "CompID problem"), ("5", "CompID problem")]
    assert (answers[0][373], answers[0][371]) == ("9", tag)
    assert desk.session.closing


def test_a_logout_is_answered_and_the_connection_ends(desk: Desk) -> None:
    assert kinds(desk.say("5", 2)) == ["5"]
    assert desk.session.closing
    assert desk.store.next_in == 3


# ---- sequence, resend, reset, gap fill (2a, 2b, 2c, 2e, 10, 11, RejectResentMessage, 8_*) --------------------------


def test_numbers_that_match_go_through(desk: Desk) -> None:
    assert desk.say("0", 2) == []
    assert kinds(desk.order(3)) == ["8"]


def test_a_gap_is_asked_for_once_and_what_is_beyond_is_not_taken(desk: Desk) -> None:
    [asked] = desk.order(5, "late")
    assert (asked[35], asked[7], asked[16]) == ("2", "2", "0")
    assert desk.order(6, "later") == []
    again = {43: "Y", 122: time_text(START_NS)}
    for seq, name in ((2, "a"), (3, "b"), (4, "c"), (5, "late"), (6, "later")):
        desk.order(seq, name, header=again)
    assert [message.get(11) for message in desk.echo.heard] == ["a", "b", "c", "late", "later"]
    # A new gap is asked for anew.
    [asked] = desk.order(9, "gap")
    assert asked[7] == "7"


def test_a_gap_fill_jumps_and_a_new_gap_after_it_is_asked_for(desk: Desk) -> None:
    desk.order(9)
    assert desk.say("4", 2, (36, 20), (123, "Y"), header={43: "Y", 122: time_text(START_NS)}) == []
    [asked] = desk.order(25)
    assert (asked[35], asked[7]) == ("2", "20")


def test_a_low_number_is_fatal_without_poss_dup(desk: Desk) -> None:
    [answer] = desk.say("0", 1)
    assert (answer[35], answer[58]) == ("5", "MsgSeqNum too low, expecting 2 but received 1")
    assert desk.session.closing


def test_a_duplicate_is_passed_over_if_its_time_is_right(desk: Desk) -> None:
    desk.order(2)
    assert desk.order(2, header={43: "Y", 122: time_text(START_NS)}) == []
    assert len(desk.echo.heard) == 1
    [missing] = desk.order(2, header={43: "Y"})
    assert (missing[35], missing[58], missing[371], missing[373]) == ("3", "Required tag missing", "122", "1")
    answers = desk.order(2, header={43: "Y", 122: time_text(START_NS + 5 * NS_PER_S)})
    assert [(answer[35], answer[58]) for answer in answers] == [
        ("3", "SendingTime accuracy problem"),
        ("5", "SendingTime accuracy problem"),
    ]


def test_a_resend_is_the_applications_messages_and_gaps_for_the_rest(desk: Desk) -> None:
    desk.order(2, "a")  # our 2
    desk.say("1", 3, (112, "hello"))  # our 3, a heartbeat
    desk.order(4, "b")  # our 4
    desk.say("1", 5, (112, "again"))  # our 5
    desk.clock.advance(3 * NS_PER_S)
    answers = desk.say("2", 6, (7, 1), (16, 0))
    assert [(answer[34], answer[35], answer.get(36)) for answer in answers] == [
        ("1", "4", "2"),
        ("2", "8", None),
        ("3", "4", "4"),
        ("4", "8", None),
        ("5", "4", "6"),
    ]
    assert {answer[43] for answer in answers} == {"Y"}
    assert answers[1][122] == time_text(START_NS)
    assert answers[1][52] == time_text(desk.clock.now_ns())
    assert [answer[11] for answer in answers if answer[35] == "8"] == ["a", "b"]
    # A part of it, and more than there is.
    assert [answer[34] for answer in desk.say("2", 7, (7, 2), (16, 2))] == ["2"]
    assert [answer[34] for answer in desk.say("2", 8, (7, 4), (16, 999))] == ["4", "5"]
    assert desk.say("2", 9, (7, 50), (16, 0)) == []
    assert kinds(desk.order(10)) == ["8"]


def test_a_resend_request_beyond_a_gap_is_answered_all_the_same(desk: Desk) -> None:
    desk.order(2)
    answers = desk.say("2", 9, (7, 2), (16, 0))
    assert kinds(answers) == ["8"]
    assert desk.store.next_in == 3


def test_sequence_reset_moves_forward_only(desk: Desk) -> None:
    assert desk.say("4", 2, (36, 10)) == []
    assert desk.store.next_in == 10
    assert desk.say("4", 3, (36, 10)) == []
    [answer] = desk.say("4", 10, (36, 4))
    assert (answer[35], answer[58], answer[371], answer[373]) == (
        "3", "Value is incorrect (out of range) for this tag", "36", "5",
    )  # fmt: skip
    assert desk.store.next_in == 10


# ---- malformed, time, BeginString (2i, 2o, 2q, 2t, 2d, 2m, 3b, 3c) -------------------------------------------------


def test_another_begin_string_is_logged_out(desk: Desk) -> None:
    good = encode([(35, "0"), (34, "2"), (49, "TW"), (52, time_text(START_NS)), (56, "ISLD")], [])
    [answer] = desk.hear(_summed(good.replace(b"FIX.4.4", b"FIX.4.2")))
    assert (answer[35], answer[58]) == ("5", "Incorrect BeginString")
    assert desk.session.closing


def _summed(frame: bytes) -> bytes:
    return frame[:-7] + b"10=%03d\x01" % (sum(frame[:-7]) % 256)


def test_a_garbled_message_is_passed_over_and_shows_as_a_gap(desk: Desk) -> None:
    good = encode([(35, "0"), (34, "2"), (49, "TW"), (52, time_text(START_NS)), (56, "ISLD")], [])
    assert desk.hear(good[:-4] + b"999\x01"[-4:]) == []
    assert kinds(desk.order(3)) == ["2"]


@pytest.mark.parametrize("offset", [-121, 121])
def test_a_clock_that_is_off_is_rejected_and_logged_out(desk: Desk, offset: int) -> None:
    answers = desk.say("0", 2, header={52: time_text(START_NS + offset * NS_PER_S)})
    assert [(answer[35], answer[58]) for answer in answers] == [
        ("3", "SendingTime accuracy problem"),
        ("5", "SendingTime accuracy problem"),
    ]
    assert answers[0][373] == "10"


@pytest.mark.parametrize("offset", [-119, 119])
def test_a_clock_within_two_minutes_is_right(desk: Desk, offset: int) -> None:
    assert desk.say("0", 2, header={52: time_text(START_NS + offset * NS_PER_S)}) == []


def test_a_message_without_a_number_is_fatal(desk: Desk) -> None:
    [answer] = desk.say("0", 2, header={34: None})
    assert (answer[35], answer[58]) == ("5", "Required tag missing")
    assert desk.session.closing


# ---- the dictionary (14a to 14h, 2r) -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("_case", "body", "reason", "tag"),
    [
        ("14a no such tag", [*order("x"), (999, "HI")], "0", "999"),
        ("14a of one's own", [*order("x"), (5000, "HI")], "2", "5000"),
        ("14b missing", order("x")[1:], "1", "11"),
        ("14c not of this message", [*order("x"), (41, "HI")], "2", "41"),
        ("14d without a value", [*order("x")[:-1], (38, "")], "4", "38"),
        ("14e out of range", [(11, "x"), (40, 1), (54, "Z"), (55, "I"), (60, time_text(START_NS))], "5", "54"),
        ("14f no number", [*order("x")[:-1], (38, "+200")], "6", "38"),
        ("14f no time", [(11, "x"), (40, 1), (54, 1), (55, "I"), (60, "20261322-00:00:00")], "6", "60"),
        ("14h twice", [*order("x"), (40, 2)], "13", "40"),
    ],
)
def test_what_the_dictionary_refuses_is_rejected_and_uses_its_number(
    desk: Desk, _case: str, body: list[tuple[int, Any]], reason: str, tag: str
) -> None:
    [answer] = desk.say("D", 2, *body)
    assert (answer[35], answer[373], answer[371], answer[372], answer[45]) == ("3", reason, tag, "D", "2")
    assert desk.echo.heard == []
    assert kinds(desk.order(3)) == ["8"]


def test_a_header_field_in_the_body_is_rejected(desk: Desk) -> None:
    inner = f"35=0\x0134=2\x0149=TW\x0152={time_text(START_NS)}\x01112=hi\x0156=ISLD\x01".encode()
    head = b"8=FIX.4.4\x019=%d\x01" % len(inner) + inner
    [answer] = desk.hear(head + b"10=%03d\x01" % (sum(head) % 256))
    assert (answer[373], answer[371], answer[58]) == ("14", "56", "Tag specified out of required order")


def test_types_that_are_unknown_and_types_that_are_not_served_differ(desk: Desk) -> None:
    [unknown] = desk.say("*", 2)
    assert (unknown[35], unknown[373], unknown[58]) == ("3", "11", "Invalid MsgType")
    [refused] = desk.say("8", 3, (37, "x"))
    assert (refused[35], refused[380], refused[372], refused[45]) == ("j", "3", "8", "3")
    [refused] = desk.say("AE", 4)
    assert refused[380] == "3"


# ---- heartbeats (4a, 4b, 6, 7) -------------------------------------------------------------------------------------


def test_time_brings_heartbeats_test_requests_and_the_end(desk: Desk) -> None:
    assert desk.after(29.9) == []
    assert kinds(desk.after(0.1)) == ["0"]
    [test] = desk.after(6)
    assert (test[35], test[112]) == ("1", "TEST")
    assert kinds(desk.after(30)) == ["0"]
    desk.after(6)
    assert desk.session.closing


def test_an_answer_to_a_test_request_keeps_the_session(desk: Desk) -> None:
    desk.after(36)
    desk.say("0", 2, (112, "TEST"))
    desk.after(35)
    assert not desk.session.closing


def test_a_test_request_is_answered_with_its_words(desk: Desk) -> None:
    [answer] = desk.say("1", 2, (112, "HELLO"))
    assert (answer[35], answer[112]) == ("0", "HELLO")


def test_a_reject_is_taken_as_read(desk: Desk) -> None:
    assert desk.say("3", 2, (45, 1)) == []
    assert desk.store.next_in == 3


def test_our_goodbye_waits_for_the_answer_and_takes_no_more_orders(desk: Desk) -> None:
    desk.session.logout("The key has ended")
    [bye] = desk.said()
    assert (bye[35], bye[58]) == ("5", "The key has ended")
    assert desk.order(2) == []
    assert desk.echo.heard == []
    desk.clock.advance(LOGOUT_NS)
    desk.session.tick()
    assert desk.session.closing
    assert desk.store.next_in == 2
