/* The price chart: history by range, the last bar live, own orders as lines that can be dragged, own fills as marks.
   Numbers here are for drawing; a dragged price becomes text on the instrument's tick before it is sent. */
import { CandlestickSeries, createChart, createSeriesMarkers, HistogramSeries, LineStyle, TickMarkType } from "lightweight-charts";
import { get, mine, patch } from "portal/api";
import { $, $$, confirmAct, on, paint, say, setText } from "portal/dom";
import { moment, number, word } from "portal/format";
import { div, mul, parse, round, text, toDraw } from "portal/decimal";
import { market } from "portal/socket";

const SECONDS = { "1m": 60, "5m": 300, "15m": 900, "1h": 3600, "4h": 14400, "1d": 86400 };
const PAGE = 500;

const probe = document.createElement("i");
probe.hidden = true;
document.body.append(probe);
function token(name) {
  probe.style.color = `var(--${name})`;
  return getComputedStyle(probe).color;
}
const zone = () => document.documentElement.dataset.zone || undefined;
function zoned(options) { return new Intl.DateTimeFormat("en-GB", { ...options, timeZone: zone(), hourCycle: "h23" }); }

export class PriceChart {
  constructor(root, { symbol, decimals, tickSize, frame = "1m", canTrade = false, source = "" }) {
    this.root = root;
    this.symbol = symbol;
    this.decimals = decimals;
    this.tick = parse(tickSize);
    this.canTrade = canTrade;
    this.source = source;
    this.frame = frame;
    this.bars = [];
    this.lines = new Map();
    this.fills = new Map();
    this.box = $("[data-chart]", root);
    const daily = zoned({ day: "2-digit", month: "short" });
    const monthly = zoned({ month: "short", year: "numeric" });
    const yearly = zoned({ year: "numeric" });
    const minutes = zoned({ hour: "2-digit", minute: "2-digit" });
    const seconds = zoned({ hour: "2-digit", minute: "2-digit", second: "2-digit" });
    this.chart = createChart(this.box, {
      autoSize: true,
      layout: { attributionLogo: false, fontFamily: getComputedStyle(document.body).fontFamily, fontSize: 12 },
      rightPriceScale: { borderVisible: false, scaleMargins: { top: 0.08, bottom: 0.24 } },
      timeScale: {
        borderVisible: false,
        timeVisible: true,
        rightOffset: 4,
        tickMarkFormatter: (time, type) => {
          const when = new Date(time * 1000);
          if (type === TickMarkType.Year) return yearly.format(when);
          if (type === TickMarkType.Month) return monthly.format(when);
          if (type === TickMarkType.DayOfMonth) return daily.format(when);
          return type === TickMarkType.Time ? minutes.format(when) : seconds.format(when);
        },
      },
      localization: { timeFormatter: (time) => moment(new Date(time * 1000).toISOString()) },
      crosshair: { mode: 0 },
    });
    this.candles = this.chart.addSeries(CandlestickSeries, {
      priceFormat: { type: "custom", minMove: toDraw(tickSize), formatter: (p) => number(p.toFixed(decimals), { decimals }) },
    });
    this.volume = this.chart.addSeries(HistogramSeries, { priceScaleId: "volume", priceFormat: { type: "volume" }, lastValueVisible: false, priceLineVisible: false });
    this.chart.priceScale("volume").applyOptions({ scaleMargins: { top: 0.82, bottom: 0 } });
    this.marks = createSeriesMarkers(this.candles, []);
    this.colours();
    on(window, "themechange", () => requestAnimationFrame(() => this.colours()));
    this.chart.subscribeCrosshairMove((param) => this.legend(param.time ? param.seriesData.get(this.candles) : null, param));
    this.chart.timeScale().subscribeVisibleLogicalRangeChange((range) => { if (range && range.from < 20) this.older(); });
    for (const button of $$("[data-frame]", root)) on(button, "click", () => this.setFrame(button.dataset.frame));
    this.dragging();
    this.setFrame(frame);
  }

  colours() {
    const up = token("up");
    const down = token("down");
    this.chart.applyOptions({
      layout: { background: { type: "solid", color: token("bg-1") }, textColor: token("text-1") },
      grid: { vertLines: { color: token("bg-2") }, horzLines: { color: token("bg-2") } },
      crosshair: { vertLine: { color: token("line-strong"), labelBackgroundColor: token("text-1") }, horzLine: { color: token("line-strong"), labelBackgroundColor: token("text-1") } },
    });
    this.candles.applyOptions({ upColor: up, downColor: down, borderUpColor: up, borderDownColor: down, wickUpColor: up, wickDownColor: down });
    this.volumeUp = token("up-soft");
    this.volumeDown = token("down-soft");
    this.accent = token("accent");
    if (this.bars.length) this.volume.setData(this.bars.map((b) => this.volumePoint(b)));
    this.drawFills();
    const orders = [...this.lines.values()].map((l) => l.order);
    for (const id of [...this.lines.keys()]) this.dropLine(id);
    this.setOrders(orders);
  }

  point(bar) {
    return { time: bar.time, open: toDraw(bar.open), high: toDraw(bar.high), low: toDraw(bar.low), close: toDraw(bar.close) };
  }
  volumePoint(bar) {
    return { time: bar.time, value: toDraw(bar.volume), color: toDraw(bar.close) >= toDraw(bar.open) ? this.volumeUp : this.volumeDown };
  }

  async setFrame(frame) {
    this.frame = frame;
    for (const b of $$("[data-frame]", this.root)) b.setAttribute("aria-pressed", String(b.dataset.frame === frame));
    this.chart.applyOptions({ timeScale: { timeVisible: frame !== "1d" } });
    const table = $("[data-f=table]", this.root);
    if (table) table.href = `/trade/${encodeURIComponent(this.symbol)}/candles?frame=${frame}`;
    this.stop?.();
    this.early = [];
    this.loading = true;
    this.done = false;
    this.stop = market.subscribe(`candles:${this.symbol}:${frame}`, (message) => this.live(message));
    const token_ = (this.token = {});
    setText($("[data-f=state]", this.root), "Loading history…");
    try {
      const bars = await this.fetch(null);
      if (this.token !== token_) return;
      this.bars = bars;
      this.draw(true);
      setText($("[data-f=state]", this.root), bars.length ? "" : "Nothing has traded here yet. The first trade starts the chart.");
    } catch (error) {
      if (this.token === token_) {
        setText($("[data-f=state]", this.root), `No history: ${error.problem?.detail || "the server did not answer."} Trying again.`);
        // Full jitter, so that a thousand charts do not ask at once when the server is back.
        setTimeout(() => { if (this.token === token_) this.setFrame(frame); }, 3000 + Math.random() * 5000);
      }
      this.bars = [];
    }
    this.loading = false;
    for (const message of this.early) this.live(message);
    this.legend(null);
  }
  async fetch(before) {
    const to = before ? `&to=${encodeURIComponent(new Date(before * 1000).toISOString())}` : "";
    const data = await get(`instruments/${encodeURIComponent(this.symbol)}/candles?frame=${this.frame}&limit=${PAGE}${to}`);
    return data.results || data.candles || [];
  }
  draw(fit) {
    this.candles.setData(this.bars.map((b) => this.point(b)));
    this.volume.setData(this.bars.map((b) => this.volumePoint(b)));
    this.drawFills();
    if (fit) {
      const width = this.box.clientWidth || 600;
      const shown = Math.max(30, Math.min(140, Math.floor(width / 7)));
      this.chart.timeScale().setVisibleLogicalRange({ from: this.bars.length - shown, to: this.bars.length + 4 });
    }
  }
  async older() {
    if (this.loading || this.done || !this.bars.length) return;
    this.loading = true;
    const token_ = this.token;
    try {
      const more = await this.fetch(this.bars[0].time);
      if (this.token !== token_) return;
      if (more.length < PAGE) this.done = true;
      if (more.length) {
        const range = this.chart.timeScale().getVisibleLogicalRange();
        this.bars = [...more.filter((b) => b.time < this.bars[0].time), ...this.bars];
        this.draw(false);
        if (range) this.chart.timeScale().setVisibleLogicalRange({ from: range.from + more.length, to: range.to + more.length });
      }
    } catch { /* the next scroll asks again */ }
    this.loading = false;
    for (const message of this.early.splice(0)) this.live(message);
  }
  live(message) {
    if (this.loading) { this.early.push(message); return; }
    const last = this.bars.at(-1);
    if (last && message.time < last.time) return;
    const bar = { time: message.time, open: message.open, high: message.high, low: message.low, close: message.close, volume: message.volume };
    if (last && last.time === bar.time) this.bars[this.bars.length - 1] = bar;
    else this.bars.push(bar);
    paint("candle", () => {
      const now = this.bars.at(-1);
      setText($("[data-f=state]", this.root), "");
      // Updates in order: a bar may have closed and another begun within one frame.
      for (const b of this.bars.slice(-2)) {
        this.candles.update(this.point(b), b !== now);
        this.volume.update(this.volumePoint(b), b !== now);
      }
      if (!this.hovering) this.legend(null);
    });
  }
  legend(point, param) {
    this.hovering = Boolean(point);
    const bar = point ? this.bars.find((b) => b.time === param.time) : this.bars.at(-1);
    const el = $("[data-f=legend]", this.root);
    if (!bar) { setText(el, ""); return; }
    const f = (v) => number(v, { decimals: this.decimals });
    setText(el, `O ${f(bar.open)}  H ${f(bar.high)}  L ${f(bar.low)}  C ${f(bar.close)}  V ${number(bar.volume)}`);
  }

  /* own fills as marks */
  addFills(fills) {
    for (const fill of fills) if (fill.symbol === this.symbol) this.fills.set(fill.exec_id, fill);
    this.drawFills();
  }
  drawFills() {
    if (!this.marks || !this.bars.length) return;
    const first = this.bars[0].time;
    const size = SECONDS[this.frame];
    const marks = [];
    for (const fill of this.fills.values()) {
      const time = Math.floor(Date.parse(fill.time) / 1000 / size) * size;
      if (time < first) continue;
      const buy = fill.side === "buy";
      marks.push({ time, position: buy ? "belowBar" : "aboveBar", shape: buy ? "arrowUp" : "arrowDown", color: this.accent, size: 1 });
    }
    marks.sort((a, b) => a.time - b.time);
    this.marks.setMarkers(marks);
  }

  /* own orders as lines */
  dropLine(id) {
    const line = this.lines.get(id);
    if (!line) return;
    this.candles.removePriceLine(line.handle);
    this.lines.delete(id);
  }
  setOrders(orders) {
    const wanted = new Map(orders.filter((o) => o.symbol === this.symbol && o.price).map((o) => [o.order_id, o]));
    for (const id of [...this.lines.keys()]) if (!wanted.has(id)) this.dropLine(id);
    for (const [id, order] of wanted) {
      const title = `${word(order.side)} ${number(order.leaves_qty)}`;
      const options = { price: toDraw(order.price), color: token(order.side === "buy" ? "up" : "down"), lineStyle: LineStyle.Dashed, lineWidth: 1, axisLabelVisible: true, title };
      const line = this.lines.get(id);
      if (line) { line.order = order; if (this.drag?.id !== id) line.handle.applyOptions(options); }
      else this.lines.set(id, { order, handle: this.candles.createPriceLine(options) });
    }
  }
  onTick(price) {
    const d = parse(price.toFixed(Math.min(12, this.decimals + 2)));
    return text(round(mul(div(d, this.tick, 0), this.tick), this.decimals));
  }
  near(y) {
    let best = null;
    for (const [id, line] of this.lines) {
      const at = this.candles.priceToCoordinate(toDraw(line.order.price));
      if (at !== null && Math.abs(at - y) < 7 && (!best || Math.abs(at - y) < best.off)) best = { id, off: Math.abs(at - y) };
    }
    return best?.id || null;
  }
  dragging() {
    if (!this.canTrade) return;
    const where = (event) => event.clientY - this.box.getBoundingClientRect().top;
    on(this.box, "pointermove", (event) => {
      if (this.drag) {
        const price = this.candles.coordinateToPrice(where(event));
        if (price === null || price <= 0) return;
        this.drag.price = this.onTick(price);
        this.lines.get(this.drag.id)?.handle.applyOptions({ price: toDraw(this.drag.price) });
      } else if (event.pointerType === "mouse") this.box.classList.toggle("grab", this.near(where(event)) !== null);
    });
    on(this.box, "pointerdown", (event) => {
      const id = this.near(where(event));
      if (!id) return;
      this.drag = { id, price: this.lines.get(id).order.price };
      this.chart.applyOptions({ handleScroll: false, handleScale: false });
      this.box.setPointerCapture?.(event.pointerId);
      event.preventDefault();
    }, { capture: true });
    const end = async () => {
      if (!this.drag) return;
      const { id, price } = this.drag;
      this.drag = null;
      this.chart.applyOptions({ handleScroll: true, handleScale: true });
      const line = this.lines.get(id);
      if (!line) return;
      const { order } = line;
      const back = () => this.lines.get(id)?.handle.applyOptions({ price: toDraw(this.lines.get(id).order.price) });
      if (price === order.price) { back(); return; }
      const yes = await confirmAct({
        title: "Move this order?",
        text: `${word(order.side)} ${number(order.leaves_qty)} ${order.symbol}: from ${number(order.price)} to ${number(price)}. It goes to the back of the queue at the new price.`,
        action: `Move to ${number(price)}`,
      });
      if (!yes) { back(); return; }
      try {
        await patch(`orders/${id}`, mine({ price, expected_version: order.version }));
        say(`Order moved to ${price}`);
      } catch (error) {
        back();
        setText($("[data-f=state]", this.root), `Not moved: ${error.problem?.detail || error.message} ${error.problem?.next_step || ""}`);
        say(`Not moved: ${error.problem?.detail || error.message}`);
      }
    };
    on(this.box, "pointerup", end);
    on(this.box, "pointercancel", end);
  }
}
