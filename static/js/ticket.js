/* The order ticket: what is asked for, what it will cost and why it would be refused, one order per intent.

   An intent has one idempotency key. It changes when the form changes or a definite answer came; a lost answer keeps it,
   so that sending again can never place a second order. */
import { mine, newKey, post } from "portal/api";
import { $, $$, noteFor, on, paint, say, setText } from "portal/dom";
import { number, word } from "portal/format";
import { cmp, div, floorTo, isMultiple, mul, parse, parseTyped, round, text, trim } from "portal/decimal";
import { ageSeconds, isStale, onQuote, quoteOf } from "portal/quotes";

const PREVIEW_MS = 250;

export class Ticket {
  constructor(form, { instrument, canTrade, onPlaced }) {
    this.form = form;
    this.instrument = instrument;
    this.canTrade = canTrade;
    this.onPlaced = onPlaced;
    this.lot = parse(instrument.lot_size);
    this.tickSize = parse(instrument.tick_size);
    this.key = newKey();
    this.sending = false;
    this.f = Object.fromEntries(["qty", "notional", "price", "time_in_force", "expire_at", "post_only", "reduce_only"].map((name) => [name, form.elements[name]]));
    this.answer = $("[data-f=answer]", form);
    this.button = $("[type=submit]", form);
    on(form, "input", () => this.changed());
    on(form, "change", () => this.changed());
    on(form, "submit", (event) => { event.preventDefault(); this.send(); });
    for (const el of [this.f.qty, this.f.price, this.f.notional]) {
      on(el, "keydown", (event) => this.step(event, el));
    }
    for (const b of $$("[data-share]", form)) on(b, "click", () => this.share(BigInt(b.dataset.share)));
    for (const b of $$("[data-fill]", form)) on(b, "click", () => this.useQuote(b.dataset.fill));
    onQuote(instrument.symbol, () => this.quoteMoved());
    this.changed(false);
  }
  get side() { return this.form.elements.side.value; }
  get type() { return this.form.elements.type.value; }
  get byNotional() { return this.form.elements.size_in.value === "notional"; }

  set(values) {
    for (const [name, value] of Object.entries(values)) this.form.elements[name].value = value;
    this.changed();
  }
  setSide(side) { this.form.elements.side.value = side; this.changed(); }
  setPrice(price) {
    this.form.elements.type.value = "limit";
    this.f.price.value = price;
    this.changed();
  }
  useQuote(field) {
    const quote = quoteOf(this.instrument.symbol);
    const value = field === "mid" ? this.mid(quote) : quote?.[field];
    if (value) this.setPrice(value);
  }
  mid(quote) {
    const bid = parse(quote?.bid);
    const ask = parse(quote?.ask);
    if (!bid || !ask) return null;
    const middle = div({ n: bid.n * 10n ** BigInt(ask.s) + ask.n * 10n ** BigInt(bid.s), s: bid.s + ask.s }, parse("2"), this.instrument.price_decimals + 1, "floor");
    return text(round(floorTo(middle, this.tickSize), this.instrument.price_decimals));
  }
  /** Arrow up and down move by one increment, with Shift by ten. */
  step(event, el) {
    if (event.key !== "ArrowUp" && event.key !== "ArrowDown") return;
    event.preventDefault();
    const unit = el === this.f.price ? this.tickSize : el === this.f.qty ? this.lot : parse("100");
    const many = event.shiftKey ? 10n : 1n;
    const now = parseTyped(el.value) || { n: 0n, s: 0 };
    const delta = { n: unit.n * many * (event.key === "ArrowUp" ? 1n : -1n), s: unit.s };
    const s = Math.max(now.s, delta.s);
    const n = now.n * 10n ** BigInt(s - now.s) + delta.n * 10n ** BigInt(s - delta.s);
    if (n <= 0n) return;
    el.value = text(trim({ n, s }));
    this.changed();
  }
  /** The price that turns a notional into a quantity: the limit, else the side of the book that would be hit. */
  priceForSize() {
    if (this.type === "limit") return parseTyped(this.f.price.value);
    const quote = quoteOf(this.instrument.symbol);
    return parse(this.side === "buy" ? quote?.ask : quote?.bid) || parse(quote?.last);
  }
  qty() {
    if (!this.byNotional) return parseTyped(this.f.qty.value);
    const amount = parseTyped(this.f.notional.value);
    const price = this.priceForSize();
    if (!amount || !price || price.n <= 0n) return null;
    return floorTo(div(amount, price, 12, "floor"), this.lot);
  }
  /** A share of what is available, in per cent: quote for a buy, the holding for a spot sell. */
  share(percent) {
    const i = this.instrument;
    const selling = this.side === "sell" && i.kind === "spot";
    const have = parse(this.available?.get(selling ? i.base : i.quote));
    if (!have || have.n <= 0n) return;
    let part = div(mul(have, { n: percent, s: 0 }), { n: 100n, s: 0 }, have.s, "floor");
    if (!selling) {
      const price = this.priceForSize();
      if (!price || price.n <= 0n) return;
      if (i.kind === "margin" && i.margin_ppm > 0) part = div(mul(part, parse("1000000")), parse(String(i.margin_ppm)), have.s, "floor");
      // Room for the highest fee, so that "100 %" is not refused for the fee.
      part = div(mul(part, parse("1000000")), { n: 1000000n + BigInt(i.taker_ppm), s: 0 }, have.s, "floor");
      part = div(part, price, 12, "floor");
    }
    this.form.elements.size_in.value = "qty";
    this.f.qty.value = text(trim(floorTo(part, this.lot)));
    this.changed();
  }
  setAvailable(balances) {
    this.available = new Map(balances.map((b) => [b.asset, b.available]));
    const i = this.instrument;
    const asset = this.side === "sell" && i.kind === "spot" ? i.base : i.quote;
    const balance = balances.find((b) => b.asset === asset);
    const shown = balance ? number(balance.available, { decimals: balance.display_decimals, mode: "floor" }) : number("0", { decimals: 2 });
    setText($("[data-f=available]", this.form), `${shown} ${asset}`);
  }

  body() {
    const qty = this.qty();
    const market = this.type === "market";
    const tif = this.f.time_in_force.value;
    const body = {
      symbol: this.instrument.symbol,
      side: this.side,
      type: this.type,
      time_in_force: market ? (tif === "fok" ? "fok" : "ioc") : tif,
      qty: qty ? text(trim(qty)) : "",
    };
    if (!market) body.price = text(trim(parseTyped(this.f.price.value) || { n: 0n, s: 0 }));
    if (!market && this.f.post_only.checked && !["ioc", "fok"].includes(tif)) body.post_only = true;
    if (this.f.reduce_only.checked) body.reduce_only = true;
    if (body.time_in_force === "gtd") {
      const when = new Date(this.f.expire_at.value);
      body.expire_at = Number.isNaN(when.getTime()) ? "" : when.toISOString();
    }
    return body;
  }
  /** What can be said without asking the server; null when the form is complete and well-formed. */
  problem(body) {
    const i = this.instrument;
    if (this.byNotional && !parseTyped(this.f.notional.value)) return { field: "notional", quiet: !this.f.notional.value, text: `Enter an amount in ${i.quote}.` };
    if (!this.byNotional && !parseTyped(this.f.qty.value)) return { field: "qty", quiet: !this.f.qty.value, text: "Enter a quantity, digits with a decimal point." };
    if (this.type === "limit" && !parseTyped(this.f.price.value)) return { field: "price", quiet: !this.f.price.value, text: "Enter a price, digits with a decimal point." };
    const qty = parse(body.qty);
    if (!qty) return { field: "notional", text: "There is no price to work out a quantity with. Enter a quantity, or a limit price." };
    if (qty.n <= 0n) return { field: this.byNotional ? "notional" : "qty", text: this.byNotional ? `That is less than one lot of ${number(i.lot_size)}.` : "The quantity must be above zero." };
    if (!isMultiple(qty, this.lot)) return { field: "qty", text: `The quantity must be a multiple of ${number(i.lot_size)}. Nearest below: ${number(text(trim(floorTo(qty, this.lot))))}.` };
    if (cmp(qty, parse(i.min_qty)) < 0) return { field: "qty", text: `The minimum is ${number(i.min_qty)}.` };
    if (this.type === "limit") {
      const price = parse(body.price);
      if (price.n <= 0n) return { field: "price", text: "The price must be above zero." };
      if (!isMultiple(price, this.tickSize)) return { field: "price", text: `The price must be a multiple of ${number(i.tick_size)}. Nearest below: ${number(text(round(floorTo(price, this.tickSize), i.price_decimals)))}.` };
    }
    if (body.time_in_force === "gtd" && !body.expire_at) return { field: "expire_at", quiet: !this.f.expire_at.value, text: "Choose until when the order stays." };
    return null;
  }

  changed(fresh = true) {
    const market = this.type === "market";
    const tif = this.f.time_in_force.value;
    $("[data-only=limit]", this.form).hidden = market;
    for (const el of $$("[data-only=limit-tif]", this.form)) el.hidden = market;
    $("[data-only=gtd]", this.form).hidden = market || tif !== "gtd";
    $("[data-only=qty]", this.form).hidden = this.byNotional;
    $("[data-only=notional]", this.form).hidden = !this.byNotional;
    for (const option of this.f.time_in_force.options) option.hidden = option.disabled = market && !["ioc", "fok"].includes(option.value);
    if (market && !["ioc", "fok"].includes(tif)) this.f.time_in_force.value = "ioc";
    else if (!market && this.wasMarket) this.f.time_in_force.value = "gtc";
    this.wasMarket = market;
    const takes = ["ioc", "fok"].includes(this.f.time_in_force.value);
    this.f.post_only.disabled = market || takes;
    if (this.f.post_only.disabled) this.f.post_only.checked = false;
    this.form.dataset.side = this.side;
    if (fresh && !this.sending) { this.key = newKey(); this.answer.replaceChildren(); }
    if (this.lastBalances) this.setAvailable(this.lastBalances);
    this.refresh();
  }
  balances(list) { this.lastBalances = list; this.setAvailable(list); }

  refresh() {
    const body = this.body();
    const problem = this.problem(body);
    for (const el of $$("[aria-invalid]", this.form)) el.removeAttribute("aria-invalid");
    const own_ = $("[data-f=problem]", this.form);
    if (problem && !problem.quiet) {
      this.form.elements[problem.field]?.setAttribute?.("aria-invalid", "true");
      setText(own_, problem.text);
      own_.hidden = false;
    } else { setText(own_, ""); own_.hidden = true; }
    this.label(body, problem);
    const shown = JSON.stringify(body);
    if (problem || !this.canTrade) {
      this.forget();
      return;
    }
    if (shown === this.previewFor) return;
    this.previewFor = shown;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.preview(body, shown), PREVIEW_MS);
  }
  forget() {
    clearTimeout(this.timer);
    this.abort?.abort();
    this.previewFor = null;
    this.show(null);
  }
  /** A market order's cost moves with the book: ask again, not more than once a second. */
  quoteMoved() {
    paint("ticket", () => {
      if (this.byNotional && this.type === "market") this.refresh();
      else this.label(this.body(), this.problem(this.body()));
      if (this.previewFor && !this.sending && Date.now() - (this.previewedMs || 0) > 1500 && !document.hidden) {
        this.previewFor = null;
        this.refresh();
      }
    });
  }
  label(body, problem) {
    const i = this.instrument;
    const unit = i.kind === "spot" ? i.base : i.symbol;
    const what = `${word(this.side)} ${body.qty && body.qty !== "0" ? `${number(body.qty)} ` : ""}${unit}`;
    let at = this.type === "market" ? " at market" : body.price && body.price !== "0" ? ` @ ${number(body.price, { min: i.price_decimals })}` : "";
    if (this.type === "market" && !body.qty) at = " at market";
    if (!this.sending) setText($("[data-f=label]", this.button), `${what}${at}`);
    this.button.className = `btn big block ${this.side}`;
    const blocked = this.blocked();
    this.button.disabled = this.sending || Boolean(problem) || Boolean(blocked) || !this.canTrade;
    const why = $("[data-f=blocked]", this.form);
    setText(why, blocked || "");
    why.hidden = !blocked;
  }
  /** Why the button is off although the form is right. */
  blocked() {
    const quote = quoteOf(this.instrument.symbol);
    const state = quote?.state && quote.state !== "stale" ? quote.state : this.instrument.state;
    if (state === "closed") return "The market is closed. Open orders can still be cancelled.";
    if (state === "halted") return `Trading in ${this.instrument.symbol} is halted. Open orders can still be cancelled.`;
    if (this.type === "market" && isStale(this.instrument.symbol)) {
      const seconds = ageSeconds(quote);
      return seconds === null ? "There is no price yet, so a market order would be blind. A limit order is possible." : `The last price is ${Math.floor(seconds)} s old, so a market order would be blind. A limit order is possible.`;
    }
    return null;
  }

  async preview(body, shown) {
    this.abort?.abort();
    this.abort = new AbortController();
    this.previewedMs = Date.now();
    try {
      const answer = await post("orders/preview", mine(body), { signal: this.abort.signal });
      if (this.previewFor === shown) this.show(answer);
    } catch (error) {
      if (error.name === "AbortError") return;
      if (this.previewFor === shown) this.show(null, error.problem);
    }
  }
  show(p, problem = null) {
    const box = $("[data-f=preview]", this.form);
    box.classList.toggle("faded", !p);
    const i = this.instrument;
    const trades = p && parse(p.fill_qty)?.n > 0n;
    const rows = {
      fills: p ? (trades ? `${number(p.fill_qty)} in ${p.fills} ${p.fills === 1 ? "fill" : "fills"}` : "nothing") : "–",
      rests: p ? number(p.rest_qty) : "–",
      average: trades ? number(p.avg_price, { min: i.price_decimals }) : "–",
      worst: trades && p.worst_price ? number(p.worst_price, { min: i.price_decimals }) : "–",
      fee: p ? `${number(p.fee, { min: 2 })} ${p.currency}` : "–",
      cost: p ? `${number(p.cost, { min: 2 })} ${p.currency}` : "–",
      hold: p ? `${number(p.hold, { min: 2 })} ${p.hold_asset}` : "–",
      left: p?.day_left ? `${number(p.day_left, { min: 2, decimals: 2, mode: "floor" })} of ${number(p.day_limit)} ${p.currency}` : "–",
    };
    for (const [name, value] of Object.entries(rows)) setText($(`[data-p=${name}]`, box), value);
    const why = p?.reject || problem;
    const note = $("[data-f=would]", this.form);
    if (why) note.replaceChildren(noteFor({ ...why, title: problem ? why.title : "Would be refused" }, "warn"));
    else note.replaceChildren();
  }

  async send() {
    if (this.sending || !this.canTrade) return;
    const body = this.body();
    const problem = this.problem(body);
    if (problem) {
      const own_ = $("[data-f=problem]", this.form);
      setText(own_, problem.text);
      own_.hidden = false;
      this.form.elements[problem.field]?.focus?.();
      return;
    }
    if (this.blocked()) return;
    this.sending = true;
    this.button.disabled = true;
    this.button.setAttribute("aria-busy", "true");
    setText($("[data-f=label]", this.button), "Sending…");
    this.answer.replaceChildren();
    let definite = true;
    try {
      const order = await post("orders", mine(body), { key: this.key, timeout: 15000 });
      this.placed(order);
    } catch (error) {
      const p = error.problem || { title: "Not placed", detail: error.message, next_step: "Sending again is safe.", status: 0 };
      // No answer, or one that says the outcome is unknown: keep the key, so that trying again is the same order.
      definite = p.status >= 400 && p.status < 500;
      const title = p.status === 504 ? "Not known yet" : definite ? "Not placed" : p.title;
      const step = definite ? p.next_step : `${p.next_step || ""} Press the button again: it is the same order, it cannot be placed twice.`;
      this.answer.replaceChildren(noteFor({ ...p, title, next_step: step }, "bad"));
      say(`${title}: ${p.detail || ""} ${step || ""}`);
    }
    this.sending = false;
    this.button.removeAttribute("aria-busy");
    if (definite) this.key = newKey();
    this.previewFor = null;
    this.refresh();
  }
  placed(order) {
    const i = this.instrument;
    const what = `${word(order.side)} ${number(order.qty)} ${i.symbol}`;
    let line;
    if (order.status === "filled") line = `Filled: ${what} at ${number(order.avg_price)} on average, fee ${number(order.fee)} ${order.fee_asset}.`;
    else if (order.status === "partially_filled") line = `Part filled: ${number(order.filled_qty)} of ${number(order.qty)} at ${number(order.avg_price)}; ${number(order.leaves_qty)} rests at ${number(order.price)}.`;
    else if (order.status === "new") line = `Resting: ${what} at ${number(order.price)}.`;
    else if (order.filled_qty && parse(order.filled_qty)?.n) line = `${number(order.filled_qty)} of ${number(order.qty)} filled at ${number(order.avg_price)}. ${order.cancel_text || ""}`;
    else line = `${word(order.status)}: ${what}. ${order.cancel_text || ""}`;
    const el = document.createElement("div");
    el.className = "note ok";
    const box = document.createElement("div");
    const link = document.createElement("a");
    link.href = `/orders/${order.order_id}`;
    link.textContent = "Details";
    box.append(`${line} `, link);
    el.append(box);
    this.answer.replaceChildren(el);
    say(line);
    this.onPlaced?.(order);
  }
}
