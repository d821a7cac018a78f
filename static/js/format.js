/* How numbers and times look: the twin of the template filters in brokerage/platform/templatetags/portal.py. */
import { parse, round, text, sign, abs } from "portal/decimal";

const DASH = "–";
const MINUS = "−";

/** "64012.5" → "64,012.50". Options: decimals (fixed), min (at least), plus (show the sign), mode. */
export function number(value, { decimals = null, min = null, plus = false, mode = "half_even" } = {}) {
  let d = value && typeof value === "object" ? value : parse(value);
  if (d === null) return DASH;
  if (decimals !== null) d = round(d, decimals, mode);
  else if (min !== null && d.s < min) d = round(d, min);
  const s = sign(d);
  const [whole, fraction] = text(abs(d)).split(".");
  const grouped = whole.replace(/\B(?=(\d{3})+(?!\d))/g, ",");
  return `${s < 0 ? MINUS : plus && s > 0 ? "+" : ""}${grouped}${fraction === undefined ? "" : `.${fraction}`}`;
}
export function signed(value, options = {}) { return number(value, { ...options, plus: true }); }
export function percent(value) { const t = number(value, { decimals: 2, plus: true }); return t === DASH ? t : `${t} %`; }
export function direction(value) { const d = value && typeof value === "object" ? value : parse(value); return d === null ? 0 : sign(d); }

const zone = () => document.documentElement.dataset.zone || undefined;
const parts = new Map();
function formatter(name, options) {
  const key = `${name}|${zone()}`;
  if (!parts.has(key)) parts.set(key, new Intl.DateTimeFormat("en-GB", { ...options, timeZone: zone() }));
  return parts.get(key);
}
const CLOCK = { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" };
export function clock(iso) { return iso ? formatter("clock", CLOCK).format(new Date(iso)) : DASH; }
export function clockShort(ms) { return formatter("clock", CLOCK).format(new Date(ms)); }
/** "21 Nov 2026, 14:03:21": date only when it is not today. */
export function moment(iso) {
  if (!iso) return DASH;
  const when = new Date(iso);
  const day = formatter("day", { year: "numeric", month: "short", day: "2-digit" });
  const d = day.format(when);
  return d === day.format(new Date()) ? clock(iso) : `${d}, ${clock(iso)}`;
}
export function zoneName() {
  const found = new Intl.DateTimeFormat("en-GB", { timeZone: zone(), timeZoneName: "short" }).formatToParts(new Date());
  return found.find((p) => p.type === "timeZoneName")?.value || "UTC";
}
export function utc(iso) { return iso ? `${String(iso).replace("T", " ").replace("Z", "")} UTC` : ""; }
export function age(seconds) {
  if (seconds < 60) return `${Math.max(0, Math.floor(seconds))} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h`;
  return `${Math.floor(seconds / 86400)} d`;
}

// Without a prototype: a name from outside finds what is written here and nothing else.
const WORDS = {
  __proto__: null,
  new: "Open", partially_filled: "Part filled", filled: "Filled", canceled: "Cancelled", rejected: "Refused", expired: "Expired",
  buy: "Buy", sell: "Sell", market: "Market", limit: "Limit",
  gtc: "GTC", day: "Day", ioc: "IOC", fok: "FOK", gtd: "GTD", maker: "Maker", taker: "Taker",
  active: "Open", reduce_only: "Reduce only", halted: "Halted", closed: "Closed",
};
export function word(name) { return WORDS[name] || (name ? String(name).replaceAll("_", " ") : DASH); }
export const STATUS_KIND = { __proto__: null, new: "ok", partially_filled: "ok", filled: "", canceled: "", rejected: "bad", expired: "warn" };
