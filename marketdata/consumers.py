"""``/ws/v1/market``: quotes, books, trades and candles for anybody (docs/streams.md).

Owns the topic names, the caps on them and one client's state: a version per topic and the set of topics with something new. Leaves flow
control and limits of the socket to ``brokerage/platform/sockets.py`` and the data to ``hub.py``.
"""

from __future__ import annotations

from typing import Any

from brokerage.kernel.clock import SYSTEM_CLOCK, rfc3339
from brokerage.platform.policy import TOPICS
from brokerage.platform.sockets import SocketError, StreamSocket
from marketdata.candles import FRAME_SECONDS
from marketdata.hub import Hub, get_hub
from marketdata.topics import NEVER, Topic

#: Kinds of topics, from the table of who may see what: what has no row there cannot be subscribed to.
KINDS = frozenset(TOPICS["ws/v1/market"])
Refusal = dict[str, str]


def parse_topic(name: Any, symbols: frozenset[str]) -> tuple[str, str, str] | Refusal:
    """(kind, symbol, frame) of a topic name, or why it is refused."""
    shown = name if isinstance(name, str) and len(name) <= 64 else "?"
    if not isinstance(name, str):
        return {"topic": shown, "code": "unknown_topic", "detail": "A topic is a text such as quote:BTC-USD."}
    if name == "quotes":
        return "quotes", "", ""
    kind, _, rest = name.partition(":")
    symbol, _, frame = rest.partition(":")
    if not symbol or kind not in KINDS - {"quotes"} or (kind != "candles" and frame):
        detail = "Topics are quotes, quote:SYMBOL, book:SYMBOL, trades:SYMBOL and candles:SYMBOL:FRAME."
        return {"topic": shown, "code": "unknown_topic", "detail": detail}
    if kind == "candles" and frame not in FRAME_SECONDS:
        return {"topic": shown, "code": "unknown_topic", "detail": f"Frames are {', '.join(FRAME_SECONDS)}."}
    if symbol not in symbols:
        return {"topic": shown, "code": "unknown_symbol", "detail": "No instrument has that symbol."}
    return kind, symbol, frame


class MarketConsumer(StreamSocket):
    """One browser or program that watches the market."""

    def __init__(self, *args: Any, hub: Hub | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._hub = hub or get_hub()
        self._have: dict[Topic, int] = {}
        self._dirty: dict[Topic, None] = {}

    def mark(self, topic: Topic) -> None:
        """The hub says that a topic has something new."""
        self._dirty[topic] = None
        self.wake()

    async def hello(self) -> None:
        """Say the time and how often a heartbeat comes."""
        self.reply(
            {"type": "hello", "server_time": rfc3339(SYSTEM_CLOCK.now_ns()), "heartbeat_s": self.limits.heartbeat_s}
        )

    async def on_message(self, message: dict[str, Any]) -> None:
        """Subscribe, unsubscribe or resync."""
        op = message.get("op")
        if op == "subscribe":
            await self._subscribe(self._names(message))
        elif op == "unsubscribe":
            self._unsubscribe(self._names(message))
        elif op == "resync":
            self._resync(message.get("topic"))
        else:
            raise SocketError("unknown_op", "op is subscribe, unsubscribe, resync, ping or hb.")

    def _names(self, message: dict[str, Any]) -> list[Any]:
        names = message.get("topics")
        if not isinstance(names, list):
            raise SocketError("malformed", "topics is a list of texts.")
        return names[: self.limits.topics + 1]

    async def _subscribe(self, names: list[Any]) -> None:
        symbols = await self._hub.symbols()
        refused: list[Refusal] = []
        for name in names:
            parsed = parse_topic(name, symbols)
            if isinstance(parsed, dict):
                refused.append(parsed)
                continue
            if any(topic.name == name for topic in self._have):
                continue
            if len(self._have) >= self.limits.topics:
                refused.append(
                    {
                        "topic": name,
                        "code": "too_many_topics",
                        "detail": f"At most {self.limits.topics} topics a socket.",
                    }
                )
                continue
            if parsed[0] == "book" and sum(topic.name.startswith("book:") for topic in self._have) >= self.limits.books:
                refused.append(
                    {"topic": name, "code": "too_many_books", "detail": f"At most {self.limits.books} books a socket."}
                )
                continue
            topic = self._hub.topic(*parsed)
            self._have[topic] = NEVER
            self._hub.subscribe(topic, self)
            self._dirty[topic] = None
        self._say_subscribed(refused)

    def _unsubscribe(self, names: list[Any]) -> None:
        wanted = {name for name in names if isinstance(name, str)}
        gone = [topic for topic in self._have if topic.name in wanted]
        self._hub.unsubscribe(gone, self)
        for topic in gone:
            del self._have[topic]
            self._dirty.pop(topic, None)
        self._say_subscribed([])

    def _resync(self, name: Any) -> None:
        for topic in self._have:
            if topic.name == name:
                self._have[topic] = NEVER
                self._dirty[topic] = None
                self.wake()
                return
        raise SocketError("not_subscribed", "That topic is not subscribed here.")

    def _say_subscribed(self, refused: list[Refusal]) -> None:
        self.reply({"type": "subscribed", "topics": sorted(topic.name for topic in self._have), "refused": refused})

    async def pump(self) -> None:
        """Bring topic by topic to the present version. Only the newest state is ever encoded, so waiting costs nothing."""
        while self._dirty and self.may_send:
            topic = next(iter(self._dirty))
            del self._dirty[topic]
            have = self._have.get(topic)
            if have is None:
                continue
            frames, self._have[topic] = topic.frames(have)
            for text in frames:
                await self.send_text(text)

    async def on_closed(self) -> None:
        """Leave every topic."""
        self._hub.unsubscribe(self._have, self)
        self._have.clear()
        self._dirty.clear()
