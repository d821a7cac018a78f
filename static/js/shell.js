/* What every page has: theme, hidden amounts, search, menus, times, the connection strip, dismissed notices. */
import { $, $$, localTimes, on, paint, setCookie, setText } from "portal/dom";
import { clockShort } from "portal/format";
import { market } from "portal/socket";
import { get } from "portal/api";

const root = document.documentElement;
localTimes();
for (const bar of $$("[data-pct]")) bar.style.setProperty("--f", bar.dataset.pct);
for (const el of $$("[data-submit]")) on(el, "change", () => el.form.submit());
const first = $("[data-focus]") || $("form [aria-invalid=true]");
if (first) first.focus();

on(document, "click", (event) => {
  const theme = event.target.closest("[data-set-theme]");
  if (theme) {
    root.dataset.theme = theme.dataset.setTheme;
    setCookie("theme", theme.dataset.setTheme);
    for (const b of $$("[data-set-theme]")) b.setAttribute("aria-pressed", String(b.dataset.setTheme === theme.dataset.setTheme));
    dispatchEvent(new Event("themechange"));
  }
  const density = event.target.closest("[data-set-density]");
  if (density) {
    root.dataset.density = density.dataset.setDensity;
    setCookie("density", density.dataset.setDensity);
    for (const b of $$("[data-set-density]")) b.setAttribute("aria-pressed", String(b.dataset.setDensity === density.dataset.setDensity));
  }
  if (event.target.closest("[data-toggle-hide]")) {
    const hidden = root.dataset.hide !== "1";
    root.dataset.hide = hidden ? "1" : "0";
    setCookie("hide", hidden ? "1" : "0");
    for (const b of $$("[data-toggle-hide]")) b.setAttribute("aria-pressed", String(hidden));
  }
  for (const menu of $$("details.menu[open]")) if (!menu.contains(event.target)) menu.open = false;
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => dispatchEvent(new Event("themechange")));

/* connection: a word at the foot, a strip only when it is lost for more than two seconds */
const strip = $("#conn-strip");
let wait = null;
let since = null;
market.onState((state, line) => {
  const live = state === "live";
  root.classList.toggle("is-offline", state === "reconnecting");
  paint("conn", () => {
    for (const el of $$("[data-conn]")) {
      // Pages without live prices have no connection to speak of.
      el.hidden = state === "closed";
      setText($("[data-conn-word]", el), live ? "Live" : state === "connecting" ? "Connecting" : "Reconnecting");
      $(".dot", el).className = `dot ${live ? "ok" : "warn"}`;
    }
  });
  clearTimeout(wait);
  if (live) { since = null; if (strip) strip.hidden = true; return; }
  if (state !== "reconnecting" || !strip) return;
  since ??= line.lastMessageMs || Date.now();
  wait = setTimeout(() => {
    setText($("[data-f=text]", strip), `Reconnecting. Prices are from ${clockShort(since)}; orders still work when the page can reach the server.`);
    strip.hidden = false;
  }, 2000);
});

/* search: "/" goes there, arrows choose, Enter opens */
const box = $("#search");
if (box) {
  const list = $("#search-list");
  let instruments = null;
  let chosen = -1;
  const close = () => { list.hidden = true; box.setAttribute("aria-expanded", "false"); box.removeAttribute("aria-activedescendant"); chosen = -1; };
  const mark = () => {
    [...list.children].forEach((el, i) => el.setAttribute("aria-selected", String(i === chosen)));
    if (chosen >= 0) box.setAttribute("aria-activedescendant", list.children[chosen].id);
  };
  const draw = () => {
    const words = box.value.trim().toLowerCase();
    const hits = (instruments || []).filter((i) => !words || `${i.symbol} ${i.name} ${i.asset_class}`.toLowerCase().includes(words)).slice(0, 12);
    list.replaceChildren(...hits.map((i, n) => {
      const li = document.createElement("li");
      li.id = `hit-${n}`;
      li.setAttribute("role", "option");
      const a = document.createElement("a");
      a.href = `/trade/${encodeURIComponent(i.symbol)}`;
      a.tabIndex = -1;
      const b = document.createElement("b");
      b.textContent = i.symbol;
      const name = document.createElement("small");
      name.textContent = i.name;
      a.append(b, name);
      li.append(a);
      return li;
    }));
    if (!hits.length) {
      const li = document.createElement("li");
      li.className = "search-none";
      li.setAttribute("role", "option");
      li.id = "hit-none";
      li.textContent = instruments ? "No instrument has that name." : "Loading…";
      list.append(li);
    }
    chosen = hits.length && words ? 0 : -1;
    list.hidden = false;
    box.setAttribute("aria-expanded", "true");
    mark();
  };
  on(box, "focus", async () => {
    if (!instruments) {
      draw();
      try { instruments = (await get("instruments")).results; } catch { instruments = []; }
      if (document.activeElement !== box) return;
    }
    draw();
  });
  on(box, "input", draw);
  on(box, "keydown", (event) => {
    const links = $$("a", list);
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      if (!links.length) return;
      chosen = (chosen + (event.key === "ArrowDown" ? 1 : -1) + links.length) % links.length;
      mark();
    } else if (event.key === "Enter" && links[chosen]) { event.preventDefault(); links[chosen].click(); }
    else if (event.key === "Escape") { close(); box.blur(); event.stopPropagation(); }
  });
  on(document, "pointerdown", (event) => { if (!event.target.closest(".search")) close(); });
  on(box.closest(".search"), "focusout", (event) => { if (!event.relatedTarget?.closest?.(".search")) setTimeout(close, 150); });
}

export function typing(event) {
  const t = event.target;
  return event.ctrlKey || event.metaKey || event.altKey || t.isContentEditable || (t.matches?.("input, select, textarea") && !t.matches("[type=radio], [type=checkbox]"));
}
on(document, "keydown", (event) => {
  if (event.key === "Escape") {
    for (const menu of $$("details.menu[open]")) { menu.open = false; $("summary", menu).focus(); }
  }
  if (typing(event)) return;
  if (event.key === "/" && box) { event.preventDefault(); box.focus(); box.select(); }
});

/* the zone of this device, so that the first paint of the next page is right too */
if (!root.dataset.zone) {
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  if (zone && document.cookie.indexOf(`zone=${encodeURIComponent(zone)}`) < 0) setCookie("zone", encodeURIComponent(zone));
}
