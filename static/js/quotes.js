/* Live quotes on a page. Cells say what they show: data-q="BTC-USD" data-k="last". Every price has an age:
   unmarked while fresh, dimmed with its age later, badged as stale after that. */
import { $$, paint, setDirection, setFlash, setText } from "portal/dom";
import { age, direction, number, percent, word } from "portal/format";
import { cmp, parse, sub, text } from "portal/decimal";
import { market } from "portal/socket";

const DIM_S = 15;
const STALE_S = 120;
const quotes = new Map();
const listeners = new Map();
const decimals = new Map();
let cells = new Map();

export const quoteOf = (symbol) => quotes.get(symbol) || null;
export function onQuote(symbol, listener) {
  if (!listeners.has(symbol)) listeners.set(symbol, new Set());
  listeners.get(symbol).add(listener);
}
/** Prices of a symbol are shown with this many decimals; read from data-d of its cells. */
export const decimalsOf = (symbol) => decimals.get(symbol) ?? null;

export function spreadText(quote) {
  const bid = parse(quote.bid);
  const ask = parse(quote.ask);
  return bid && ask ? text(sub(ask, bid)) : null;
}

/** Look for quote cells again, after rows were added. */
export function scan(root = document) {
  cells = new Map();
  for (const el of $$("[data-q]", root === document ? document : document)) {
    const { q, d } = el.dataset;
    if (!cells.has(q)) cells.set(q, []);
    cells.get(q).push(el);
    if (d) decimals.set(q, Number(d));
  }
}

function show(symbol) {
  const quote = quotes.get(symbol);
  const d = decimals.get(symbol) ?? null;
  for (const el of cells.get(symbol) || []) {
    const key = el.dataset.k;
    if (key === "age") continue;
    if (key === "state") { setState(el, quote.state); continue; }
    if (key === "change_pct_24h") {
      setText(el, percent(quote.change_pct_24h));
      setDirection(el, direction(quote.change_pct_24h));
    } else if (key === "spread") setText(el, number(spreadText(quote), { decimals: d }));
    else if (key === "bid_qty" || key === "ask_qty" || key === "volume_24h") setText(el, number(quote[key]));
    else {
      const moved = quote.before?.[key] && quote[key] ? cmp(parse(quote[key]), parse(quote.before[key])) : 0;
      setFlash(el, number(quote[key], { decimals: d }), moved);
    }
  }
}
function setState(el, state) {
  const say = state && state !== "active";
  el.hidden = !say;
  if (!say) return;
  setText(el, word(state));
  el.className = `badge ${state === "halted" || state === "stale" ? "bad" : "warn"}`;
}

export function take(quote) {
  const old = quotes.get(quote.symbol);
  if (old && old.seq && quote.seq && Number(quote.seq) < Number(old.seq) && quote.epoch === old.epoch) return;
  quote.before = old;
  if (old) old.before = null;
  quotes.set(quote.symbol, quote);
  paint(`q:${quote.symbol}`, () => show(quote.symbol));
  for (const listener of listeners.get(quote.symbol) || []) listener(quote);
}

export function ageSeconds(quote) { return quote?.ts ? (market.now() - Date.parse(quote.ts)) / 1000 : null; }
function tick() {
  for (const [symbol, els] of cells) {
    const quote = quotes.get(symbol);
    if (!quote) continue;
    const seconds = ageSeconds(quote);
    const offline = market.state !== "live";
    const open = !quote.state || quote.state === "active" || quote.state === "stale";
    const old = seconds !== null && (seconds > DIM_S || offline || quote.state === "stale");
    for (const el of els) {
      if (el.dataset.k === "age") {
        const stale = open && (seconds > STALE_S || quote.state === "stale");
        const label = seconds === null ? "" : stale ? `stale ${age(seconds)}` : old ? age(seconds) : "";
        setText(el, label);
        el.className = stale ? "badge bad" : "faint small";
        el.hidden = !label;
      } else if (el.dataset.k !== "state") el.classList.toggle("aged", old);
    }
  }
}
export function isStale(symbol) {
  const quote = quotes.get(symbol);
  const seconds = ageSeconds(quote);
  return !quote || seconds === null || seconds > STALE_S || quote.state === "stale";
}

/** Begin: initial quotes of the page, then the conflated stream of all of them. */
export function startQuotes(initial = []) {
  scan();
  for (const quote of initial) if (quote?.symbol) { quotes.set(quote.symbol, quote); for (const l of listeners.get(quote.symbol) || []) l(quote); }
  market.subscribe("quotes", (message) => { for (const quote of message.quotes) take(quote); });
  setInterval(tick, 1000);
  tick();
}
