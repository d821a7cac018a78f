/* Exact decimals over BigInt: {n, s} is n × 10^-s. For money, prices and quantities; nothing here becomes a float.
   Numbers for drawing only (bar widths, chart points) come from ratio() and toDraw(). */
const PLAIN = /^[+-]?\d{1,40}(\.\d{1,24})?$/;
const POW = [1n];
export function pow10(k) {
  for (let i = POW.length; i <= k; i += 1) POW.push(POW[i - 1] * 10n);
  return POW[k];
}
/** Read plain decimal text; null for anything else. */
export function parse(text) {
  if (text === null || text === undefined) return null;
  const t = String(text).trim();
  if (!PLAIN.test(t)) return null;
  const dot = t.indexOf(".");
  if (dot < 0) return { n: BigInt(t), s: 0 };
  return { n: BigInt(t.slice(0, dot) + t.slice(dot + 1)), s: t.length - dot - 1 };
}
/** What a person typed: spaces and grouping commas are allowed, a lone leading dot too. */
export function parseTyped(text) {
  let t = String(text ?? "").replace(/[\s,\u00a0\u2009']/g, "");
  if (t.startsWith(".")) t = `0${t}`;
  if (t.endsWith(".")) t = t.slice(0, -1);
  return parse(t);
}
function level(a, b) {
  if (a.s === b.s) return [a.n, b.n, a.s];
  return a.s > b.s ? [a.n, b.n * pow10(a.s - b.s), a.s] : [a.n * pow10(b.s - a.s), b.n, b.s];
}
export const ZERO = Object.freeze({ n: 0n, s: 0 });
export function add(a, b) { const [x, y, s] = level(a, b); return { n: x + y, s }; }
export function sub(a, b) { const [x, y, s] = level(a, b); return { n: x - y, s }; }
export function mul(a, b) { return { n: a.n * b.n, s: a.s + b.s }; }
export function neg(a) { return { n: -a.n, s: a.s }; }
export function abs(a) { return a.n < 0n ? neg(a) : a; }
export function cmp(a, b) { const [x, y] = level(a, b); return x < y ? -1 : x > y ? 1 : 0; }
export function sign(a) { return a.n > 0n ? 1 : a.n < 0n ? -1 : 0; }
function divide(num, den, mode) {
  let q = num / den;
  const r = num % den;
  if (r === 0n) return q;
  const negative = num < 0n !== den < 0n;
  if (mode === "down") return q;
  if (mode === "floor") return negative ? q - 1n : q;
  if (mode === "ceil") return negative ? q : q + 1n;
  const twice = (r < 0n ? -r : r) * 2n;
  const size = den < 0n ? -den : den;
  if (twice > size || (twice === size && q % 2n !== 0n)) q += negative ? -1n : 1n;
  return q;
}
/** a ÷ b with `scale` decimals; mode: down, floor, ceil, half_even. */
export function div(a, b, scale, mode = "half_even") {
  const shift = scale + b.s - a.s;
  const num = shift >= 0 ? a.n * pow10(shift) : a.n;
  const den = shift >= 0 ? b.n : b.n * pow10(-shift);
  return { n: divide(num, den, mode), s: scale };
}
/** Bring to `scale` decimals. */
export function round(a, scale, mode = "half_even") {
  if (scale >= a.s) return { n: a.n * pow10(scale - a.s), s: scale };
  return { n: divide(a.n, pow10(a.s - scale), mode), s: scale };
}
/** The largest multiple of step that is not above a. */
export function floorTo(a, step) {
  const [x, y, s] = level(a, step);
  return { n: divide(x, y, "floor") * y, s };
}
export function isMultiple(a, step) { const [x, y] = level(a, step); return y !== 0n && x % y === 0n; }
/** Plain text without an exponent; keeps the scale. */
export function text(a) {
  const negative = a.n < 0n;
  const digits = (negative ? -a.n : a.n).toString().padStart(a.s + 1, "0");
  const whole = digits.slice(0, digits.length - a.s);
  return `${negative ? "-" : ""}${whole}${a.s ? `.${digits.slice(-a.s)}` : ""}`;
}
/** Without zeros at the end of the fraction. */
export function trim(a) {
  let { n, s } = a;
  while (s > 0 && n % 10n === 0n) { n /= 10n; s -= 1; }
  return { n, s };
}
/** a ÷ b as a number between 0 and 1, for drawing. */
export function ratio(a, b) {
  const [x, y] = level(a, b);
  return y === 0n ? 0 : Number((x * 10000n) / y) / 10000;
}
/** For chart libraries that want a number; never used in arithmetic of money. */
export function toDraw(value) { return Number(value); }
