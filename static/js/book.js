/* The order book ladder: snapshot and deltas with sequence, rows made once and reused, depth as bars, click = price. */
import { $, $$, on, paint, setText } from "portal/dom";
import { number } from "portal/format";
import { add, parse, pow10, ratio, sub, text, ZERO } from "portal/decimal";
import { market } from "portal/socket";

/** Price text → BigInt at a fixed scale, so that levels sort exactly. */
function keyOf(price, decimals) {
  const d = parse(price);
  return d.s <= decimals ? d.n * pow10(decimals - d.s) : d.n / pow10(d.s - decimals);
}

/** The state of one book; pure, so that it can be tested without a page. */
export class BookState {
  constructor(decimals) { this.decimals = decimals; this.clear(); }
  clear() { this.seq = null; this.epoch = null; this.sides = { bids: new Map(), asks: new Map() }; this.sorted = { bids: null, asks: null }; }
  /** Apply a message; false when a delta does not follow what we have. */
  apply(message) {
    if (message.prev === null || message.prev === undefined) {
      for (const side of ["bids", "asks"]) {
        this.sides[side] = new Map(message[side].map(([price, qty]) => [price, qty]));
        this.sorted[side] = null;
      }
    } else {
      if (this.seq === null || String(message.prev) !== String(this.seq) || message.epoch !== this.epoch) return false;
      for (const side of ["bids", "asks"]) {
        for (const [price, qty] of message[side] || []) {
          if (parse(qty).n === 0n) this.sides[side].delete(price);
          else this.sides[side].set(price, qty);
        }
        if (message[side]?.length) this.sorted[side] = null;
      }
    }
    this.seq = message.seq;
    this.epoch = message.epoch;
    return true;
  }
  /** The best n levels of a side, best first: {price, qty, total}. */
  top(side, n) {
    if (!this.sorted[side]) {
      const rows = [...this.sides[side]].map(([price, qty]) => ({ key: keyOf(price, this.decimals), price, qty }));
      rows.sort((a, b) => (a.key === b.key ? 0 : a.key > b.key === (side === "bids") ? -1 : 1));
      this.sorted[side] = rows;
    }
    let total = ZERO;
    return this.sorted[side].slice(0, n).map((row) => {
      total = add(total, parse(row.qty));
      return { price: row.price, qty: row.qty, total };
    });
  }
}

export class Ladder {
  constructor(root, { symbol, decimals, qtyDecimals, snapshot, onPrice }) {
    this.root = root;
    this.symbol = symbol;
    this.decimals = decimals;
    this.qtyDecimals = qtyDecimals;
    this.state = new BookState(decimals);
    this.mine = new Map();
    this.rows = { bids: $$("[data-side=bids] button", root), asks: $$("[data-side=asks] button", root) };
    on(root, "click", (event) => {
      const button = event.target.closest("button[data-price]");
      if (button?.dataset.price) onPrice(button.dataset.price, button.closest("[data-side]").dataset.side);
    });
    on(root, "keydown", (event) => {
      if (event.key !== "ArrowDown" && event.key !== "ArrowUp") return;
      const all = $$("button[data-price]", root).filter((b) => b.dataset.price);
      const at = all.indexOf(event.target);
      if (at < 0) return;
      event.preventDefault();
      all[at + (event.key === "ArrowDown" ? 1 : -1)]?.focus();
    });
    if (snapshot) { this.state.apply({ ...snapshot, prev: null }); this.state.seq = null; this.draw(); }
    market.subscribe(`book:${symbol}`, (message) => this.take(message));
  }
  take(message) {
    if (!this.state.apply(message)) { market.resync(`book:${this.symbol}`); return; }
    paint(`book:${this.symbol}`, () => this.draw());
  }
  /** Own resting quantities by price text and side, shown as a mark beside the level. */
  setMine(mine) { this.mine = mine; paint(`book:${this.symbol}`, () => this.draw()); }
  draw() {
    const top = { bids: this.state.top("bids", this.rows.bids.length), asks: this.state.top("asks", this.rows.asks.length) };
    let most = ZERO;
    for (const side of ["bids", "asks"]) {
      const last = top[side].at(-1);
      if (last && sub(last.total, most).n > 0n) most = last.total;
    }
    for (const side of ["bids", "asks"]) {
      this.rows[side].forEach((row, i) => {
        const level = top[side][i];
        const price = level ? level.price : "";
        if (row.dataset.price !== price) {
          row.dataset.price = price;
          setText(row.children[0], level ? number(price, { decimals: this.decimals }) : "");
          row.disabled = !level;
        }
        const mine = level && this.mine.get(`${side}:${price}`);
        row.classList.toggle("mine", Boolean(mine));
        setText(row.children[1], level ? number(level.qty, { decimals: this.qtyDecimals }) : "");
        setText(row.children[2], level ? number(level.total, { decimals: this.qtyDecimals }) : "");
        row.style.setProperty("--d", level && most.n > 0n ? ratio(level.total, most) : 0);
        row.title = mine ? "One of these orders is yours" : "";
      });
    }
    const bid = top.bids[0];
    const ask = top.asks[0];
    const middle = $("[data-f=spread]", this.root);
    if (middle) setText(middle, bid && ask ? number(text(sub(parse(ask.price), parse(bid.price))), { decimals: this.decimals }) : "–");
    $("[data-f=empty]", this.root)?.toggleAttribute("hidden", Boolean(bid || ask));
  }
  best() {
    return { bid: this.state.top("bids", 1)[0]?.price || null, ask: this.state.top("asks", 1)[0]?.price || null };
  }
}

/** The tape: last prints, newest first, a fixed number of rows reused. */
export class Tape {
  constructor(root, { symbol, decimals, qtyDecimals, initial, clock }) {
    this.list = $("tbody", root);
    this.decimals = decimals;
    this.qtyDecimals = qtyDecimals;
    this.clock = clock;
    this.max = 40;
    this.trades = [];
    this.ids = new Set();
    this.add(initial || [], true);
    market.subscribe(`trades:${symbol}`, (message) => {
      if (message.snapshot) { this.trades = []; this.ids = new Set(); }
      this.add(message.trades);
    });
  }
  add(trades) {
    for (const trade of trades) {
      if (this.ids.has(trade.id)) continue;
      this.ids.add(trade.id);
      this.trades.push(trade);
    }
    this.trades.sort((a, b) => (BigInt(a.id) < BigInt(b.id) ? 1 : -1));
    for (const gone of this.trades.splice(this.max)) this.ids.delete(gone.id);
    paint("tape", () => this.draw());
  }
  draw() {
    const rows = this.list.rows;
    while (rows.length < Math.min(this.trades.length, this.max)) {
      const row = this.list.insertRow();
      for (let i = 0; i < 3; i += 1) row.insertCell();
      row.cells[0].className = "num";
      row.cells[1].className = "num";
      row.cells[2].className = "num faint";
    }
    this.trades.forEach((trade, i) => {
      const row = rows[i];
      if (row.dataset.id === trade.id) return;
      row.dataset.id = trade.id;
      const buy = trade.side === "buy";
      row.cells[0].className = `num ${buy ? "up" : "down"}`;
      setText(row.cells[0], `${buy ? "▲" : "▼"} ${number(trade.price, { decimals: this.decimals })}`);
      setText(row.cells[1], number(trade.qty, { decimals: this.qtyDecimals }));
      setText(row.cells[2], this.clock(trade.ts));
    });
  }
}
