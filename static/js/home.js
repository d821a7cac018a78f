/* Home, portfolio and landing: live totals, own orders and positions, prices. */
import { Blotter, totals } from "portal/blotter";
import { $, paint, setDirection, setText } from "portal/dom";
import { number, signed } from "portal/format";
import { add, mul, parse, ratio, sign, sub, ZERO } from "portal/decimal";
import { onQuote, quoteOf, startQuotes } from "portal/quotes";

const data = JSON.parse($("#page-data").textContent);
startQuotes(data.quotes);
const box = $("[data-totals]");
if (box && data.account) {
  const state = { balances: [], positions: [] };
  const pricing = new Map(Object.entries(data.pricing));
  const priceOf = (asset) => { const q = quoteOf(pricing.get(asset)); return q?.bid || q?.last || null; };
  /* What is held now times its price change over 24 hours. */
  const dayChange = () => {
    let sum = ZERO;
    const moved = (price, quote) => (price && quote?.open_24h ? sub(parse(price), parse(quote.open_24h)) : ZERO);
    for (const b of state.balances) {
      if (b.asset === data.currency) continue;
      const quote = quoteOf(pricing.get(b.asset));
      sum = add(sum, mul(parse(b.total), moved(quote?.bid || quote?.last, quote)));
    }
    for (const p of state.positions) if (p.kind === "margin" && p.mark_price) sum = add(sum, mul(parse(p.qty), moved(p.mark_price, quoteOf(p.symbol))));
    return sum;
  };
  const draw = () => paint("totals", () => {
    const t = totals(state.balances, state.positions, data.currency, priceOf);
    const set = (name, value) => setText($(`[data-t=${name}]`, box), value);
    const floor = { decimals: 2, mode: "floor" };
    set("total", number(t.total, floor));
    set("available", number(t.available, floor));
    set("held", number(t.held, floor));
    set("holdings", number(t.holdings, floor));
    set("unrealised", signed(t.unrealised, { decimals: 2 }));
    setDirection($("[data-t=unrealised]", box), sign(t.unrealised));
    const day = dayChange();
    set("day", signed(day, { decimals: 2 }));
    setDirection($("[data-t=day]", box), sign(day));
    const missing = $("[data-t=missing]", box);
    missing.hidden = !t.missing.length;
    setText(missing, `without ${t.missing.join(", ")}: no price`);
    const whole = add(add(t.available, t.held), t.holdings);
    const parts = $("[data-split]").children;
    [t.available, t.held, t.holdings].forEach((value, i) => parts[i].style.setProperty("--w", sign(value) > 0 && sign(whole) > 0 ? ratio(value, whole) * 100 : 0));
  });
  new Blotter(data, {
    balances(list) { state.balances = list; draw(); },
    positions(list) { state.positions = list; draw(); },
  });
  for (const symbol of pricing.values()) onQuote(symbol, draw);
}
