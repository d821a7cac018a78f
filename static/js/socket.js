/* Two sockets: public market data and the private stream. Reconnect with full jitter, resume, tell the page.

   market.subscribe(topic, handler) → function that ends it. Handlers get the messages of contracts in docs/streams.md.
   connectPrivate(handlers) delivers order, execution, balance and position; after a gap that cannot be replayed, `resync`. */
import { post } from "portal/api";

const BASE_MS = 500;
const MAX_MS = 30000;
/** Full jitter: anywhere between nothing and an exponential ceiling, so that a thousand pages do not come back at once. */
export function backoff(attempt, random = Math.random) {
  return Math.floor(random() * Math.min(MAX_MS, BASE_MS * 2 ** Math.min(attempt, 10)));
}

class Line {
  constructor(path) {
    this.path = path;
    this.attempt = 0;
    this.socket = null;
    this.timer = null;
    this.silence = null;
    this.state = "closed";
    this.lastMessageMs = null;
    this.listeners = new Set();
    this.stopped = false;
  }
  onState(listener) { this.listeners.add(listener); listener(this.state, this); }
  setState(state) {
    if (state === this.state) return;
    this.state = state;
    for (const listener of this.listeners) listener(state, this);
  }
  open() {
    if (this.stopped || this.socket) return;
    clearTimeout(this.timer);
    this.setState(this.attempt ? "reconnecting" : "connecting");
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    const socket = new WebSocket(`${scheme}://${location.host}${this.path}`);
    this.socket = socket;
    this.watch();
    socket.addEventListener("open", () => this.opened());
    socket.addEventListener("message", (event) => {
      this.lastMessageMs = Date.now();
      this.watch();
      let message;
      try { message = JSON.parse(event.data); } catch { return; }
      this.received(message);
    });
    socket.addEventListener("close", (event) => {
      if (this.socket !== socket) return;
      // 4003: not allowed, 4009: we misbehaved. Coming back would change neither.
      if (event.code === 4003 || event.code === 4009) this.stopped = true;
      this.lost();
    });
  }
  /** Nothing heard for 40 s (heartbeats come every 15): the line is dead although nobody said so. */
  watch() {
    clearTimeout(this.silence);
    this.silence = setTimeout(() => this.drop(), 40000);
  }
  drop() {
    const socket = this.socket;
    if (!socket) return;
    this.lost();
    socket.close();
  }
  lost(waitMs = null) {
    clearTimeout(this.silence);
    this.socket = null;
    if (this.stopped) { this.setState("closed"); return; }
    this.setState("reconnecting");
    const wait = waitMs ?? backoff(this.attempt);
    this.attempt += 1;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.open(), wait);
  }
  live() { this.attempt = 0; this.setState("live"); }
  send(message) {
    if (this.socket?.readyState === WebSocket.OPEN) { this.socket.send(JSON.stringify(message)); return true; }
    return false;
  }
  stop() { this.stopped = true; clearTimeout(this.timer); this.drop(); }
  /** Try at once when the machine wakes up or the network comes back. */
  nudge() {
    if (this.stopped || this.state === "live") return;
    clearTimeout(this.timer);
    if (!this.socket) this.open();
  }
  common(message) {
    if (message.type === "hb") this.send({ op: "hb", n: message.n });
    else if (message.type === "bye") {
      const socket = this.socket;
      this.lost(Math.floor(Math.random() * 1000 * (message.retry_after_s || 2)));
      socket?.close();
    } else return false;
    return true;
  }
}

class MarketLine extends Line {
  constructor() {
    super("/ws/v1/market");
    this.topics = new Map();
    this.queue = new Set();
    this.queued = false;
    this.clockOffsetMs = 0;
  }
  subscribe(topic, handler) {
    let handlers = this.topics.get(topic);
    if (!handlers) {
      handlers = new Set();
      this.topics.set(topic, handlers);
      this.later(topic);
    }
    handlers.add(handler);
    this.open();
    return () => {
      handlers.delete(handler);
      if (!handlers.size && this.topics.get(topic) === handlers) {
        this.topics.delete(topic);
        this.send({ op: "unsubscribe", topics: [topic] });
      }
    };
  }
  later(topic) {
    this.queue.add(topic);
    if (this.queued) return;
    this.queued = true;
    queueMicrotask(() => {
      this.queued = false;
      const topics = [...this.queue].filter((t) => this.topics.has(t));
      if (topics.length && this.state === "live" && this.send({ op: "subscribe", topics })) this.queue.clear();
    });
  }
  resync(topic) { this.send({ op: "resync", topic }); }
  opened() {}
  received(message) {
    if (this.common(message)) return;
    const { type, symbol } = message;
    if (type === "hello") {
      if (message.server_time) this.clockOffsetMs = Date.parse(message.server_time) - Date.now();
      this.live();
      this.queue.clear();
      const topics = [...this.topics.keys()];
      if (topics.length) this.send({ op: "subscribe", topics });
    } else if (type === "quotes") this.give("quotes", message);
    else if (type === "quote") this.give(`quote:${symbol}`, message);
    else if (type === "book") this.give(`book:${symbol}`, message);
    else if (type === "trades") this.give(`trades:${symbol}`, message);
    else if (type === "candle") this.give(`candles:${symbol}:${message.frame}`, message);
  }
  give(topic, message) { for (const handler of this.topics.get(topic) || []) handler(message); }
  /** Server time now, in milliseconds. */
  now() { return Date.now() + this.clockOffsetMs; }
}

class PrivateLine extends Line {
  constructor(account, handlers) {
    super("/ws/v1/private");
    this.account = account;
    this.handlers = handlers;
    this.eid = null;
    this.seen = false;
  }
  async opened() {
    const socket = this.socket;
    try {
      const { ticket } = await post("ws-ticket", this.account ? { account: this.account } : {});
      const hello = { op: "auth", ticket };
      if (this.account) hello.account = this.account;
      if (this.eid) hello.resume = this.eid;
      if (this.socket === socket) this.send(hello);
    } catch (error) {
      // Signed out meanwhile, here or elsewhere: what is on the page is no longer for who sits before it, so it is asked for again.
      if (error.problem?.status === 401) { this.stop(); location.reload(); }
      else if (error.problem?.status === 403) this.stop();
      else this.drop();
    }
  }
  received(message) {
    if (this.common(message)) return;
    if (message.eid && (this.eid === null || BigInt(message.eid) > BigInt(this.eid))) this.eid = message.eid;
    if (message.type === "ready") {
      const again = this.seen;
      this.seen = true;
      this.live();
      this.handlers.ready?.(again);
      return;
    }
    if (Object.hasOwn(this.handlers, message.type)) this.handlers[message.type](message);
  }
}

export const market = new MarketLine();
export function connectPrivate(account, handlers) {
  const line = new PrivateLine(account, handlers);
  line.open();
  lines.add(line);
  return line;
}
const lines = new Set([market]);
const nudgeAll = () => { for (const line of lines) if (line !== market || market.topics.size) line.nudge(); };
addEventListener("online", nudgeAll);
document.addEventListener("visibilitychange", () => { if (!document.hidden) nudgeAll(); });
addEventListener("offline", () => { for (const line of lines) line.drop(); });
