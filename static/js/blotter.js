/* The account's own state on a page: open orders, history, fills, positions, balances. Fed by the server's first paint,
   then by the private stream; every object is applied only when it is not older than what is held. */
import { del, get, mine, newKey, own, patch, post } from "portal/api";
import { $, $$, confirmAct, noteFor, on, paint, say, setText } from "portal/dom";
import { clockShort, number, word } from "portal/format";
import { add, parse, parseTyped, text, trim } from "portal/decimal";
import { onQuote, quoteOf } from "portal/quotes";
import { fillBalance, fillExecution, fillMark, fillOrder, fillPosition, newer, revalue, Rows } from "portal/rows";
import { connectPrivate } from "portal/socket";

/** Where a position could be closed now: bid for a long, ask for a short, else the last trade (as the server does it). */
export function markOf(quote, qty) {
  if (!quote) return null;
  return (parse(qty)?.n >= 0n ? quote.bid : quote.ask) || quote.last || null;
}
const OPEN = new Set(["new", "partially_filled"]);

export class Blotter {
  constructor(data, hooks = {}) {
    this.account = data.account;
    this.hooks = hooks;
    this.open = new Rows("open");
    this.closed = new Rows("closed", { max: 50 });
    this.fills = new Rows("fills", { max: 50 });
    this.positions = new Rows("positions", { max: 200 });
    this.balances = new Rows("balances", { max: 200 });
    this.orders = new Map();
    this.seenFills = new Set();
    this.watched = new Set();
    this.load(data, false);
    on(document, "click", (event) => this.click(event));
    this.line = connectPrivate(data.account, {
      order: (m) => this.order(m.order),
      execution: (m) => this.execution(m.execution),
      balance: (m) => this.balance(m.balance),
      position: (m) => this.position(m.position),
      ready: () => { if (this.late) { this.late = null; this.lineState(); this.reload(); for (const el of $$("[data-late-note]")) el.remove(); } },
      resync: () => this.reload(),
      resumed: () => {},
      delayed: (m) => { this.late = m.since; this.lineState(); },
      error: () => {},
    });
    // The first connection resumes from where the page was rendered, so nothing between the two is missed.
    this.line.eid = data.eid ?? null;
    // Made while the records did not answer: read again once the stream, which needs them, is there.
    this.late = data.late || null;
    this.line.onState(() => this.lineState());
  }
  /** What of the account on this page may be old, and since when. */
  lineState() {
    // A page made meanwhile says so at its top.
    const words = this.late && $("[data-late-note]") ? "" : this.late
      ? `Not up to date since ${clockShort(Date.parse(this.late))}. Orders still work.`
      : this.line?.state === "live" ? "" : "Own orders: reconnecting";
    for (const el of $$("[data-private-state]")) {
      setText(el, words);
      el.classList.toggle("late", Boolean(this.late));
      el.classList.toggle("faint", !this.late);
    }
  }

  load(data, draw = true) {
    if (draw) for (const rows of [this.open, this.closed, this.fills]) if (rows.there) rows.clear();
    this.orders.clear();
    for (const o of [...(data.closed || [])].reverse()) this.order(o, draw);
    for (const o of [...(data.open || [])].reverse()) this.order(o, draw);
    for (const e of [...(data.fills || [])].reverse()) this.execution(e, draw);
    for (const b of data.balances || []) this.balance(b, draw);
    for (const p of data.positions || []) this.position(p, draw);
    this.counts();
    this.tell();
  }
  counts() { for (const rows of [this.open, this.closed, this.fills, this.positions, this.balances]) rows.count(); }
  tell() {
    this.hooks.orders?.(this.openOrders());
    this.hooks.balances?.([...this.balances.items.values()]);
    this.hooks.positions?.([...this.positions.items.values()]);
  }
  openOrders() { return [...this.orders.values()].filter((o) => OPEN.has(o.status)); }
  /** After a gap that cannot be replayed: everything again by REST, rows kept where they are the same. */
  async reload() {
    try {
      const [open, closed, fills, balances, positions] = await Promise.all([
        get(own("orders?status=open&limit=200")), get(own("orders?status=closed&limit=50")), get(own("executions?limit=50")), get(own("balances")), get(own("positions")),
      ]);
      this.load({ open: open.results, closed: closed.results, fills: fills.results, balances: balances.results, positions: positions.results });
    } catch {
      setTimeout(() => this.reload(), 3000 + Math.random() * 4000);
    }
  }

  order(order, draw = true) {
    const before = this.orders.get(order.order_id);
    if (!newer(order, before)) return;
    this.orders.set(order.order_id, order);
    if (!draw) return;
    paint(`order:${order.order_id}`, () => this.drawOrder(this.orders.get(order.order_id)));
  }
  drawOrder(order) {
    const live = OPEN.has(order.status);
    if (this.open.there) {
      if (live) {
        const row = this.open.upsert(order.order_id, "tpl-order");
        if (!row.classList.contains("editing")) fillOrder(row, order);
        row.classList.remove("gone");
      } else this.open.remove(order.order_id);
    }
    if (this.closed.there && !live) fillOrder(this.closed.upsert(order.order_id, "tpl-order"), order);
    this.counts();
    this.hooks.orders?.(this.openOrders());
  }
  execution(execution, draw = true) {
    if (this.seenFills.has(execution.exec_id)) return;
    this.seenFills.add(execution.exec_id);
    this.hooks.fills?.([execution]);
    if (!draw || !this.fills.there) return;
    paint(`fill:${execution.exec_id}`, () => {
      fillExecution(this.fills.upsert(execution.exec_id, "tpl-fill"), execution);
      this.counts();
    });
  }
  balance(balance, draw = true) {
    if (!newer(balance, this.balances.items.get(balance.asset))) return;
    this.balances.items.set(balance.asset, balance);
    if (!draw) return;
    paint(`balance:${balance.asset}`, () => {
      if (this.balances.there) fillBalance(this.balances.upsert(balance.asset, "tpl-balance", false), this.balances.items.get(balance.asset));
      this.counts();
      this.tell();
    });
  }
  position(position, draw = true) {
    const before = this.positions.items.get(position.symbol);
    if (!newer(position, before)) return;
    const quote = quoteOf(position.symbol);
    const p = revalue({ ...before, ...position, margin_held: position.margin_held ?? before?.margin_held ?? null }, markOf(quote, position.qty) || position.mark_price || before?.mark_price);
    this.positions.items.set(position.symbol, p);
    if (!this.watched.has(position.symbol)) {
      this.watched.add(position.symbol);
      onQuote(position.symbol, (q) => this.mark(q));
    }
    if (!draw) return;
    paint(`position:${position.symbol}`, () => {
      const now = this.positions.items.get(position.symbol);
      if (this.positions.there) {
        if (parse(now.qty)?.n === 0n) this.positions.row(now.symbol)?.remove();
        else fillPosition(this.positions.upsert(now.symbol, "tpl-position", false), now);
      }
      this.counts();
      this.tell();
    });
  }
  mark(quote) {
    const p = this.positions.items.get(quote.symbol);
    const price = p && markOf(quote, p.qty);
    if (!price || p.mark_price === price) return;
    const now = revalue(p, price);
    this.positions.items.set(quote.symbol, now);
    paint(`mark:${quote.symbol}`, () => {
      const row = this.positions.row(quote.symbol);
      if (row) fillMark(row, this.positions.items.get(quote.symbol));
      this.hooks.positions?.([...this.positions.items.values()]);
    });
  }

  /* row actions */
  async click(event) {
    const button = event.target.closest("[data-act]");
    if (!button || button.disabled) return;
    const { act, id, symbol } = button.dataset;
    if (act === "cancel") await this.cancel(button, id);
    else if (act === "edit") this.edit(id);
    else if (act === "cancel-all") await this.cancelAll(symbol || null);
    else if (act === "close") await this.close(button, symbol);
  }
  note(row, problem, lead) {
    row.nextElementSibling?.classList.contains("row-note") && row.nextElementSibling.remove();
    if (!problem) return;
    const tr = document.createElement("tr");
    tr.className = "row-note";
    const td = tr.insertCell();
    td.colSpan = row.cells.length;
    td.className = "wide bare";
    td.append(noteFor({ ...problem, title: lead }, "bad"));
    row.after(tr);
    say(`${lead}: ${problem.detail || ""} ${problem.next_step || ""}`);
    setTimeout(() => tr.remove(), 12000);
  }
  async cancel(button, id) {
    const row = button.closest("tr");
    button.disabled = true;
    button.setAttribute("aria-busy", "true");
    try {
      const order = await del(own(`orders/${id}`));
      if (order?.order_id) this.order(order);
      say("Order cancelled");
    } catch (error) {
      this.note(row, error.problem || { detail: error.message }, "Not cancelled");
      if (error.problem?.status === 404 || error.problem?.status === 409) this.reload();
    }
    button.disabled = false;
    button.removeAttribute("aria-busy");
  }
  edit(id) {
    const row = this.open.row(id);
    const order = this.orders.get(id);
    if (!row || !order || row.classList.contains("editing")) return;
    row.classList.add("editing");
    const cell = $("[data-s=edit]", row);
    const normal = [...cell.childNodes];
    const form = document.createElement("form");
    form.className = "inline-edit";
    form.noValidate = true;
    const input = (name, label, value) => {
      const el = document.createElement("input");
      el.name = name;
      el.inputMode = "decimal";
      el.autocomplete = "off";
      el.setAttribute("aria-label", `${label} of the order, ${order.symbol}`);
      el.value = text(trim(parse(value)));
      return el;
    };
    const qty = input("qty", "New total quantity", order.qty);
    const price = input("price", "New price", order.price);
    const at = document.createElement("span");
    at.textContent = "@";
    const save = Object.assign(document.createElement("button"), { className: "btn small primary", textContent: "Save" });
    const stop = Object.assign(document.createElement("button"), { className: "btn small quiet", textContent: "Back", type: "button" });
    form.append(qty, at, price, save, stop);
    cell.replaceChildren(form);
    price.focus();
    price.select();
    const end = () => {
      row.classList.remove("editing");
      cell.replaceChildren(...normal);
      const now = this.orders.get(id);
      if (now) this.drawOrder(now);
      $("[data-act=edit]", row)?.focus();
    };
    on(stop, "click", end);
    on(form, "keydown", (event) => { if (event.key === "Escape") { event.stopPropagation(); end(); } });
    const key = newKey();
    on(form, "submit", async (event) => {
      event.preventDefault();
      const q = parseTyped(qty.value);
      const p = parseTyped(price.value);
      if (!q || !p) { (q ? price : qty).setAttribute("aria-invalid", "true"); (q ? price : qty).focus(); return; }
      save.disabled = true;
      save.setAttribute("aria-busy", "true");
      try {
        const now = await patch(`orders/${id}`, mine({ qty: text(trim(q)), price: text(trim(p)), expected_version: order.version }), { key });
        if (now?.order_id) this.order(now);
        say(`Order changed: ${number(qty.value)} at ${number(price.value)}`);
        end();
      } catch (error) {
        this.note(row, error.problem || { detail: error.message }, "Not changed");
        save.disabled = false;
        save.removeAttribute("aria-busy");
        if (error.problem?.status === 404 || error.problem?.status === 409) { end(); this.reload(); }
      }
    });
  }
  async cancelAll(symbol) {
    const orders = this.openOrders().filter((o) => !symbol || o.symbol === symbol);
    if (!orders.length) return;
    // Held amounts come from the engine; with a symbol only the orders themselves can be named.
    const held = symbol ? "" : [...this.balances.items.values()].filter((b) => parse(b.held)?.n > 0n).map((b) => `${number(b.held, { decimals: b.display_decimals })} ${b.asset}`).join(", ");
    const yes = await confirmAct({
      title: symbol ? `Cancel all open orders in ${symbol}?` : "Cancel all open orders?",
      text: `Cancels ${orders.length} order${orders.length === 1 ? "" : "s"}.${held ? ` What they hold becomes available again; held now: ${held}.` : ""} Fills that already happened stay.`,
      action: `Cancel ${orders.length} order${orders.length === 1 ? "" : "s"}`,
      kind: "danger solid",
    });
    if (!yes) return;
    try {
      const answer = await post("orders/cancel-all", mine(symbol ? { symbol } : {}), { key: newKey() });
      say(`${answer.canceled} orders cancelled`);
    } catch (error) {
      const el = $("[data-f=table-note]");
      if (el) { el.replaceChildren(noteFor({ ...error.problem, title: "Not cancelled" })); setTimeout(() => el.replaceChildren(), 12000); }
      say(`Not cancelled: ${error.problem?.detail || error.message}`);
    }
  }
  async close(button, symbol) {
    const p = this.positions.items.get(symbol);
    const qty = parse(p?.qty);
    if (!qty || qty.n === 0n) return;
    const sell = qty.n > 0n;
    const size = text(trim(sell ? qty : { n: -qty.n, s: qty.s }));
    const quote = quoteOf(symbol);
    const price = sell ? quote?.bid : quote?.ask;
    const yes = await confirmAct({
      title: `Close ${symbol}?`,
      text: `${sell ? "Sells" : "Buys"} ${number(size)} ${symbol} at market${price ? `, best ${sell ? "bid" : "ask"} now ${number(price)}` : ""}. Open result now: ${number(p.unrealised_pnl, { decimals: 2, plus: true })} ${p.currency}.`,
      action: `${sell ? "Sell" : "Buy"} ${number(size)} at market`,
      kind: sell ? "sell" : "buy",
    });
    if (!yes) return;
    const row = button.closest("tr");
    button.disabled = true;
    button.setAttribute("aria-busy", "true");
    try {
      const body = { symbol, side: sell ? "sell" : "buy", type: "market", time_in_force: "ioc", qty: size };
      // Reduce-only belongs to margin positions; a spot holding cannot go below zero anyway.
      if (p.kind === "margin") body.reduce_only = true;
      const order = await post("orders", mine(body), { key: newKey(), timeout: 15000 });
      this.order(order);
      say(`${word(order.status)}: ${number(order.filled_qty)} of ${number(order.qty)} ${symbol}`);
    } catch (error) {
      this.note(row, error.problem || { detail: error.message }, "Not closed");
    }
    button.disabled = false;
    button.removeAttribute("aria-busy");
  }
}

/** Totals in one currency at the last prices: cash, value of what is held, result. Nothing is guessed: a holding without a
    price makes the total incomplete, and that is said. */
export function totals(balances, positions, currency, priceOf) {
  let cash = parse("0");
  let held = parse("0");
  let available = parse("0");
  let holdings = parse("0");
  let unrealised = parse("0");
  const missing = [];
  for (const b of balances) {
    if (b.asset === currency) {
      cash = parse(b.total);
      held = parse(b.held);
      available = parse(b.available);
    } else if (parse(b.total)?.n !== 0n) {
      const price = priceOf(b.asset);
      if (price) holdings = add(holdings, { n: parse(b.total).n * parse(price).n, s: parse(b.total).s + parse(price).s });
      else missing.push(b.asset);
    }
  }
  for (const p of positions) {
    if (parse(p.qty)?.n === 0n || p.currency !== currency) continue;
    if (p.unrealised_pnl === null) { missing.push(p.symbol); continue; }
    if (p.kind === "margin") unrealised = add(unrealised, parse(p.unrealised_pnl));
  }
  return { cash, held, available, holdings, unrealised, total: add(add(cash, holdings), unrealised), missing: [...new Set(missing)] };
}
