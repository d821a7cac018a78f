/* The workspace: joins quotes, chart, ladder, tape, ticket and blotter on one page. */
import { Blotter } from "portal/blotter";
import { Ladder, Tape } from "portal/book";
import { PriceChart } from "portal/chart";
import { $, $$, on } from "portal/dom";
import { clock, number } from "portal/format";
import { onQuote, startQuotes, take } from "portal/quotes";
import { typing } from "portal/shell";
import { market } from "portal/socket";
import { Ticket } from "portal/ticket";

const data = JSON.parse($("#page-data").textContent);
const spec = data.instrument;
const { symbol } = spec;
const ws = $("#ws");

startQuotes(data.quotes);
market.subscribe(`quote:${symbol}`, (message) => take(message));

const form = $("#ticket");
const ticket = form ? new Ticket(form, { instrument: spec, canTrade: data.may_trade }) : null;

const chart = new PriceChart($("#chart"), { symbol, decimals: spec.price_decimals, tickSize: spec.tick_size, canTrade: data.may_trade });
const ladder = new Ladder($("#ladder"), {
  symbol, decimals: spec.price_decimals, qtyDecimals: spec.qty_decimals, snapshot: data.book,
  onPrice: (price) => { ticket?.setPrice(price); if (matchMedia("(max-width: 767px)").matches) openSheet(); },
});
new Tape($("#tape"), { symbol, decimals: spec.price_decimals, qtyDecimals: spec.qty_decimals, initial: data.trades, clock });

if (data.account) {
  const blotter = new Blotter(data, {
    orders(orders) {
      const here = orders.filter((o) => o.symbol === symbol && o.price);
      chart.setOrders(here);
      const mine = new Map();
      for (const o of here) mine.set(`${o.side === "buy" ? "bids" : "asks"}:${o.price}`, true);
      ladder.setMine(mine);
    },
    fills: (fills) => chart.addFills(fills),
    balances: (balances) => ticket?.balances(balances),
  });
  if (ticket) {
    ticket.onPlaced = (order) => {
      blotter.order(order);
      for (const e of order.executions || []) blotter.execution(e);
    };
  }
}

onQuote(symbol, (quote) => { if (quote.last) document.title = `${symbol} ${number(quote.last, { decimals: spec.price_decimals })} · Brokerage`; });

/* tabs of the blotter: arrows move, as in every tab list */
const tabs = $$("[role=tab]");
function choose(tab, focus = false) {
  for (const t of tabs) {
    const yes = t === tab;
    t.setAttribute("aria-selected", String(yes));
    t.tabIndex = yes ? 0 : -1;
    document.getElementById(t.getAttribute("aria-controls")).hidden = !yes;
  }
  if (focus) tab.focus();
}
for (const tab of tabs) {
  on(tab, "click", () => choose(tab));
  on(tab, "keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    choose(tabs[(tabs.indexOf(tab) + step + tabs.length) % tabs.length], true);
  });
}

/* phone: one part at a time */
for (const button of $$("[data-tab-to]")) {
  on(button, "click", () => {
    const to = button.dataset.tabTo;
    ws.dataset.tab = to;
    for (const b of $$("[data-tab-to]")) b.setAttribute("aria-pressed", String(b === button));
    if (to === "orders") choose($("#tab-open"));
    if (to === "positions") choose($("#tab-positions"));
  });
}

/* the ticket as a sheet on phones */
const pane = $("#ticket-pane");
let opener = null;
let scrim = null;
function openSheet() {
  if (pane.classList.contains("open")) return;
  opener = document.activeElement;
  scrim = document.createElement("div");
  scrim.className = "scrim";
  on(scrim, "click", closeSheet);
  pane.before(scrim);
  pane.classList.add("open");
  pane.setAttribute("role", "dialog");
  pane.setAttribute("aria-modal", "true");
  $("[data-sheet-close]", pane).focus();
}
function closeSheet() {
  if (!pane.classList.contains("open")) return;
  pane.classList.remove("open");
  pane.removeAttribute("role");
  pane.removeAttribute("aria-modal");
  scrim?.remove();
  opener?.focus();
}
for (const b of $$("[data-sheet]")) on(b, "click", () => { ticket?.setSide(b.dataset.sheet); openSheet(); });
on($("[data-sheet-close]", pane), "click", closeSheet);
on(pane, "keydown", (event) => {
  if (event.key !== "Tab" || !pane.classList.contains("open")) return;
  const stops = $$("button:not(:disabled), input:not(:disabled), select, a[href]", pane).filter((el) => el.offsetParent !== null);
  const edge = event.shiftKey ? stops[0] : stops.at(-1);
  if (document.activeElement === edge) { event.preventDefault(); (event.shiftKey ? stops.at(-1) : stops[0]).focus(); }
});

/* keys: b and s begin an order, Esc leaves the ticket */
on(document, "keydown", (event) => {
  if (event.key === "Escape") {
    closeSheet();
    if (form?.contains(document.activeElement)) document.activeElement.blur();
    return;
  }
  if (typing(event) || !ticket) return;
  if (event.key === "b" || event.key === "s") {
    event.preventDefault();
    ticket.setSide(event.key === "b" ? "buy" : "sell");
    if (matchMedia("(max-width: 767px)").matches) openSheet();
    (ticket.byNotional ? ticket.f.notional : ticket.f.qty).focus();
  }
});
