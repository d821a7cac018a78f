/* Touching the page: batched writes, cells filled by name, toasts, copying. */
import { clock, moment, utc, zoneName } from "portal/format";

export const $ = (selector, root = document) => root.querySelector(selector);
export const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];
export const on = (target, type, handler, options) => target?.addEventListener(type, handler, options);

/** One write per key and animation frame; the last one wins. */
const pending = new Map();
let asked = false;
function flush() {
  asked = false;
  const jobs = [...pending.values()];
  pending.clear();
  for (const job of jobs) job();
}
export function paint(key, job) {
  pending.set(key, job);
  if (asked) return;
  asked = true;
  // A hidden tab has no frames; a timer keeps its state right without any drawing.
  if (document.hidden) setTimeout(flush, 250);
  else requestAnimationFrame(flush);
}

export function setText(el, value) {
  if (el && el.textContent !== value) { el.textContent = value; return true; }
  return false;
}
const FLASH = ["flash-up", "flash-down"];
/** Write a value; when it changed, colour its cell for 300 ms by direction. */
export function setFlash(el, value, direction) {
  if (!el) return;
  const before = el.textContent;
  if (!setText(el, value) || before.trim() === "" || before === "–" || !direction) return;
  el.classList.remove(...FLASH);
  void el.offsetWidth;
  el.classList.add(direction > 0 ? FLASH[0] : FLASH[1]);
}
on(document, "animationend", (event) => event.target.classList?.remove?.(...FLASH));

export function setDirection(el, direction) {
  el?.classList.toggle("up", direction > 0);
  el?.classList.toggle("down", direction < 0);
}

/** Fill the cells of a row: {name: text} goes to [data-f="name"]. */
export function fill(root, values) {
  for (const el of root.querySelectorAll("[data-f]")) {
    const value = values[el.dataset.f];
    if (value !== undefined) setText(el, value);
  }
}
export function clone(id) { return document.getElementById(id).content.firstElementChild.cloneNode(true); }

/** Times are written in UTC by the server; here they move into the reader's zone, the UTC text goes into the tooltip. */
export function localTimes(root = document) {
  for (const el of root.querySelectorAll("time[datetime]")) {
    const iso = el.getAttribute("datetime");
    if (el.dataset.done === iso) continue;
    setText(el, el.dataset.form === "clock" ? clock(iso) : moment(iso));
    el.title = utc(iso);
    el.dataset.done = iso;
  }
  for (const el of root.querySelectorAll("[data-zone-name]")) setText(el, zoneName());
}
export function setTime(el, iso) {
  if (!el) return;
  el.setAttribute("datetime", iso || "");
  setText(el, el.dataset.form === "clock" ? clock(iso) : moment(iso));
  el.title = utc(iso);
  el.dataset.done = iso;
}

export function say(message) {
  const live = document.getElementById("live");
  if (!live) return;
  live.textContent = "";
  setTimeout(() => { live.textContent = message; }, 30);
}
export function toast(message) {
  const box = document.getElementById("toasts");
  if (!box) return;
  const el = document.createElement("div");
  el.className = "toast";
  el.textContent = message;
  box.append(el);
  setTimeout(() => el.remove(), 6000);
}

export function setCookie(name, value) {
  document.cookie = `${name}=${value}; path=/; max-age=31536000; samesite=lax${location.protocol === "https:" ? "; secure" : ""}`;
}
on(document, "click", (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  navigator.clipboard?.writeText(button.dataset.copy).then(() => say("Copied"), () => {});
});

/** The one way to confirm: a native dialog with the consequence in words. Resolves to true or false. */
export function confirmAct({ title, text, action, kind = "primary" }) {
  const dialog = document.getElementById("confirm");
  setText($("h2", dialog), title);
  setText($("[data-f=text]", dialog), text);
  const go = $("[value=yes]", dialog);
  go.className = `btn ${kind}`;
  setText(go, action);
  dialog.returnValue = "";
  dialog.showModal();
  go.focus();
  return new Promise((resolve) => on(dialog, "close", () => resolve(dialog.returnValue === "yes"), { once: true }));
}

/** Show a refusal: what is wrong, the number needed, what to do, and the request id. */
export function noteFor(problem, kind = "bad") {
  const el = document.createElement("div");
  el.className = `note ${kind}`;
  const body = document.createElement("div");
  const head = document.createElement("b");
  head.textContent = problem.title ? `${problem.title}. ` : "";
  // Pages named in the words are links; nothing but our own addresses is.
  const words = `${problem.detail || ""} ${problem.next_step || ""}`.trim().split(/(\/(?:onboarding|account\/limits)[a-z_/?=]*)/);
  body.append(head, ...words.map((text, i) => {
    if (i % 2 === 0) return text;
    const link = document.createElement("a");
    link.href = text;
    link.textContent = text;
    return link;
  }));
  if (problem.request_id && (problem.status >= 500 || !problem.code)) {
    const rid = document.createElement("div");
    rid.className = "rid mono";
    rid.append(`Request ${problem.request_id} `);
    const copy = document.createElement("button");
    copy.type = "button";
    copy.className = "linklike";
    copy.dataset.copy = problem.request_id;
    copy.textContent = "copy";
    rid.append(copy);
    body.append(rid);
  }
  el.append(body);
  return el;
}
