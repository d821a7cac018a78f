/* Rows of orders, positions, fills and balances: made from the page's templates, filled by name, updated in place. */
import { $, $$, clone, fill, setDirection, setFlash, setText, setTime } from "portal/dom";
import { direction, number, signed, STATUS_KIND, word } from "portal/format";
import { mul, parse, sub, text } from "portal/decimal";

/** Keep newest: rows by key in a tbody, with an empty state and a count. */
export class Rows {
  constructor(name, { max = 100 } = {}) {
    this.table = $(`[data-table=${name}]`);
    this.body = this.table?.tBodies[0];
    this.name = name;
    this.max = max;
    this.items = new Map();
  }
  get there() { return Boolean(this.body); }
  row(key) { return this.body?.querySelector(`tr[data-key="${CSS.escape(key)}"]`) || null; }
  /** Find or make the row of a key; new ones go on top. */
  upsert(key, template, first = true) {
    let row = this.row(key);
    if (!row) {
      row = clone(template);
      row.dataset.key = key;
      if (first) this.body.prepend(row); else this.body.append(row);
      while (this.body.rows.length > this.max) this.body.rows[this.body.rows.length - 1].remove();
    }
    return row;
  }
  remove(key) { this.row(key)?.remove(); this.items.delete(key); }
  clear() { this.body.replaceChildren(); this.items.clear(); }
  count() {
    const n = this.body ? this.body.rows.length : this.items.size;
    for (const el of $$(`[data-count=${this.name}]`)) setText(el, String(n));
    // Without a table of this name on the page, an empty state of that name is not about us.
    if (this.table) for (const el of $$(`[data-empty=${this.name}]`)) el.hidden = n > 0;
    if (this.table) this.table.closest("[data-has]")?.toggleAttribute("hidden", n === 0);
  }
}

function side(el, value) {
  if (!el) return;
  setText(el, word(value));
  el.className = `side-word ${value === "buy" ? "up" : "down"}`;
}
export function typeText(order) {
  const flags = [word(order.type), word(order.time_in_force)];
  if (order.post_only) flags.push("post-only");
  if (order.reduce_only) flags.push("reduce-only");
  return flags.join(" · ");
}
export function fillOrder(row, order) {
  row.dataset.key = order.order_id;
  fill(row, {
    type: typeText(order),
    qty: number(order.qty),
    filled: number(order.filled_qty),
    price: order.price ? number(order.price) : word("market"),
    avg: order.avg_price ? number(order.avg_price) : "–",
  });
  side($("[data-s=side]", row), order.side);
  const link = $("[data-s=link]", row);
  if (link) link.href = `/orders/${order.order_id}`;
  const symbol = $("[data-s=symbol]", row);
  if (symbol) { symbol.href = `/trade/${encodeURIComponent(order.symbol)}`; setText(symbol, order.symbol); }
  setTime($("time", row), order.created_at);
  const status = $("[data-s=status]", row);
  if (status) {
    setText(status, word(order.status));
    status.className = `badge ${STATUS_KIND[order.status] || ""}`;
    status.title = order.reject?.detail || order.cancel_text || "";
  }
  const bar = $("[data-s=bar]", row);
  if (bar) {
    const qty = parse(order.qty);
    const done = parse(order.filled_qty);
    bar.style.setProperty("--f", qty && done && qty.n > 0n ? Number((done.n * 1000n * 10n ** BigInt(qty.s)) / (qty.n * 10n ** BigInt(done.s))) / 10 : 0);
  }
  const open = order.status === "new" || order.status === "partially_filled";
  for (const el of $$("[data-act]", row)) {
    el.hidden = !open;
    el.dataset.id = order.order_id;
  }
}
export function fillExecution(row, e) {
  row.dataset.key = e.exec_id;
  fill(row, { qty: number(e.qty), price: number(e.price), notional: number(e.notional, { min: 2 }), fee: `${number(e.fee)} ${e.fee_asset ?? ""}`, liquidity: word(e.liquidity) });
  side($("[data-s=side]", row), e.side);
  const symbol = $("[data-s=symbol]", row);
  if (symbol) { symbol.href = `/trade/${encodeURIComponent(e.symbol)}`; setText(symbol, e.symbol); }
  const link = $("[data-s=link]", row);
  if (link) link.href = `/orders/${e.order_id}`;
  setTime($("time", row), e.time);
}
export function fillBalance(row, b) {
  row.dataset.key = b.asset;
  const decimals = { decimals: b.display_decimals, mode: "floor" };
  fill(row, { asset: b.asset });
  for (const name of ["available", "held", "total"]) setFlash($(`[data-f=${name}]`, row), number(b[name], decimals), 0);
}
/** Value and profit of a position at a price, exact; nothing when there is no price. */
export function revalue(p, mark) {
  if (!mark) return p;
  const qty = parse(p.qty);
  const cost = parse(p.cost);
  const value = mul(qty, parse(mark));
  return { ...p, mark_price: mark, market_value: text(value), unrealised_pnl: text(sub(value, cost)) };
}
export function fillPosition(row, p) {
  row.dataset.key = p.symbol;
  const long = direction(p.qty);
  const money = { decimals: 2 };
  fill(row, { qty: signed(p.qty), avg: p.avg_price ? number(p.avg_price) : "–", currency: p.currency });
  setText($("[data-s=long]", row), long > 0 ? "Long" : long < 0 ? "Short" : "Flat");
  const symbol = $("[data-s=symbol]", row);
  if (symbol) { symbol.href = `/trade/${encodeURIComponent(p.symbol)}`; setText(symbol, p.symbol); }
  fillMark(row, p);
  const realised = $("[data-f=realised]", row);
  setText(realised, signed(p.realised_pnl, money));
  setDirection(realised, direction(p.realised_pnl));
  for (const el of $$("[data-act]", row)) { el.hidden = long === 0; el.dataset.symbol = p.symbol; }
}
/** Only what a new price changes. */
export function fillMark(row, p) {
  const money = { decimals: 2 };
  setText($("[data-f=mark]", row), p.mark_price ? number(p.mark_price) : "–");
  setText($("[data-f=value]", row), number(p.market_value, money));
  const el = $("[data-f=unrealised]", row);
  setText(el, signed(p.unrealised_pnl, money));
  setDirection(el, direction(p.unrealised_pnl));
}
export const newer = (now, before) => !before || BigInt(now.seq ?? 0) >= BigInt(before.seq ?? 0);
