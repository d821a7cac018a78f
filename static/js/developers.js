/* The playground: choose an operation, fill it in, see the request, send it, read the answer. Credentials stay in this page's memory. */
import { $, $$, on, say, setText } from "portal/dom";
import { newKey } from "portal/api";
import { canSign, curl, pythonCode, signedHeaders } from "portal/apisign";
import { socketPane } from "portal/apisocket";
import { address, example, exampleBody, hint, loadSpec, matches, operationsOf, own as valueUnder, shape, textOf, valueOf } from "portal/apispec";

const data = JSON.parse($("#page-data").textContent);
const base = location.origin;
const pane = $("#playground");
let spec = null;
let operations = [];
let chosen = null;
let key = "";
let rejects = null;

const make = (tag, className = "", text = "") => { const el = document.createElement(tag); if (className) el.className = className; if (text) el.textContent = text; return el; };
const kind = () => $("[name=auth]:checked").value;
const secrets = () => ({ token: $("#auth-token").value.trim(), keyId: $("#auth-key").value.trim(), secret: $("#auth-secret").value.trim() });

/* credentials */
function showAuth() {
  for (const el of $$("[data-auth]")) el.hidden = el.dataset.auth !== kind();
  $("[data-f=no-crypto]").hidden = kind() !== "key" || canSign();
  refresh();
}
for (const el of $$("[name=auth]")) on(el, "change", showAuth);
for (const el of $$("#auth-token, #auth-key, #auth-secret")) on(el, "input", () => refresh());
on($("#token-form"), "submit", async (event) => {
  event.preventDefault();
  const out = $("[data-f=token-answer]");
  const body = JSON.stringify({ email: $("#token-email").value, password: $("#token-password").value, ...($("#token-code").value ? { code: $("#token-code").value } : {}) });
  try {
    const response = await fetch("/api/v1/auth/token", { method: "POST", headers: { "Content-Type": "application/json" }, credentials: "omit", body });
    const answer = await response.json();
    if (!response.ok) { setText(out, `${answer.detail} ${answer.next_step}`); return; }
    $("#auth-token").value = answer.access;
    $("#token-password").value = "";
    setText(out, `Signed in. The access token is in the field above and works for ${Math.round(answer.expires_in / 60)} minutes.`);
    refresh();
  } catch { setText(out, "The server could not be reached."); }
});

/* the list of operations */
function drawList() {
  const words = $("#op-search").value;
  const hits = operations.filter((one) => matches(one, words));
  const list = $("#op-list");
  list.replaceChildren();
  let tag = null;
  let group = null;
  for (const one of hits) {
    if (one.tag !== tag) {
      tag = one.tag;
      const section = make("li");
      const title = make("h3", "", tag);
      title.id = `tag-${tag}`;
      group = make("ul");
      group.setAttribute("aria-labelledby", title.id);
      section.append(title, group);
      list.append(section);
    }
    const row = make("li");
    const button = make("button");
    button.type = "button";
    button.dataset.op = one.id;
    button.setAttribute("aria-current", String(one === chosen));
    button.append(make("span", "verb", one.method), make("span", "", one.title));
    button.title = one.path;
    row.append(button);
    group.append(row);
  }
  setText($("[data-f=op-count]"), `${hits.length} of ${operations.length} operations`);
  $("[data-f=op-none]").hidden = hits.length > 0;
}
on($("#op-search"), "input", drawList);
on($("#op-list"), "click", (event) => {
  const button = event.target.closest("[data-op]");
  if (button) choose(button.dataset.op, true);
});
function step(event) {
  const move = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (!move) return;
  const all = $$("[data-op]", $("#op-list"));
  const at = all.indexOf(document.activeElement);
  const next = all[at + move];
  if (!next && at >= 0 && move < 0) { event.preventDefault(); $("#op-search").focus(); return; }
  if (next) { event.preventDefault(); next.focus(); }
}
on($("#op-list"), "keydown", step);
on($("#op-search"), "keydown", (event) => {
  if (event.key === "Enter") { event.preventDefault(); $("[data-op]", $("#op-list"))?.click(); }
  else step(event);
});

/* one operation */
function field(name, schema, { required = false, value = "", part }) {
  const box = make("div", "field");
  const id = `in-${part}-${name}`;
  const label = make("label", "", name);
  label.htmlFor = id;
  if (required) label.append(make("span", "faint", "required"));
  let input;
  const choices = schema.enum?.filter((one) => one !== null && one !== "") || (schema.type === "boolean" ? ["true", "false"] : null);
  if (choices) {
    input = make("select");
    if (!required) input.append(new Option("left out", ""));
    for (const one of choices) input.append(new Option(one, one));
  } else if (schema.format === "binary") {
    input = make("input");
    input.type = "file";
  } else {
    input = make("input");
    input.type = name.includes("password") ? "password" : "text";
    input.autocomplete = "off";
    input.spellcheck = false;
    if (schema.maxLength) input.maxLength = schema.maxLength;
  }
  input.id = id;
  input.name = name;
  input.dataset.part = part;
  if (schema.format !== "binary") input.value = value;
  box.append(label, input);
  const text = hint(schema);
  if (text) {
    const help = make("div", "hint", text);
    help.id = `${id}-hint`;
    input.setAttribute("aria-describedby", help.id);
    box.append(help);
  }
  return box;
}
function choose(id, focus = false) {
  chosen = operations.find((one) => one.id === id) || operations[0];
  for (const el of $$("[data-op]")) el.setAttribute("aria-current", String(el.dataset.op === chosen.id));
  history.replaceState(null, "", `#${chosen.id}`);
  setText($("[data-f=op-title]"), chosen.title);
  setText($("[data-f=op-line]"), `${chosen.method} ${chosen.path}`);
  setText($("[data-f=op-text]"), chosen.text);
  const row = data.operations[`${chosen.method} ${chosen.path}`];
  const budget = row && data.budgets[row.budget];
  const may = !row ? "" : row.scope === data.public ? "Needs no credentials." : row.scope === data.person ? "For people: a session or the token of a sign-in; no API key may do it." : `An API key needs the scope “${row.scope}”.`;
  setText($("[data-f=op-needs]"), `${may}${budget ? ` Counts in the budget “${row.budget}”: ${budget.limit} in ${budget.window} s.` : ""}`);
  const inputs = $("[data-f=op-inputs]");
  inputs.replaceChildren(...chosen.inputs.map((p) => {
    const must = Boolean(p.required);
    const text = must ? textOf(p.schema, example(spec, p.schema, p.name)) : "";
    return field(p.name, { ...p.schema, description: p.description || p.schema.description }, { required: must, value: text, part: p.in });
  }));
  const body = $("[data-f=op-body]");
  body.hidden = !chosen.body;
  const fields = $("[data-f=body-fields]");
  fields.replaceChildren();
  const json = $("#body-json");
  json.value = "";
  $("[data-f=body-json-box]").hidden = chosen.media !== "application/json";
  if (chosen.body) {
    const start = exampleBody(spec, chosen.body);
    for (const [name, raw] of Object.entries(chosen.body.properties || {})) {
      const schema = shape(spec, raw);
      fields.append(field(name, schema, { required: chosen.body.required?.includes(name), value: textOf(schema, start[name]), part: "body" }));
    }
    json.value = JSON.stringify(start, null, 2);
  }
  $("[data-f=op-key]").hidden = !chosen.idempotent;
  key = newKey();
  $("#op-idempotency").value = key;
  $("[data-f=answer]").hidden = true;
  $("[data-f=answer-none]").hidden = false;
  refresh();
  if (focus) $("[data-f=op-title]").focus();
}
/* fields and JSON are two views of one body: the JSON is what is sent */
on($("[data-f=body-fields]"), "input", (event) => {
  if (chosen.media !== "application/json") return;
  let made = {};
  try { made = JSON.parse($("#body-json").value || "{}"); } catch { made = {}; }
  const schema = shape(spec, valueUnder(chosen.body.properties, event.target.name));
  const value = valueOf(schema, event.target.value);
  if (value === undefined) delete made[event.target.name];
  else made[event.target.name] = value;
  $("#body-json").value = JSON.stringify(made, null, 2);
});
on($("#body-json"), "input", () => {
  let made;
  try { made = JSON.parse($("#body-json").value); } catch { return; }
  for (const el of $$("[data-part=body]")) if (document.activeElement !== el) el.value = textOf({}, made[el.name]);
});

/* the request as it will be sent */
function request() {
  const given = Object.fromEntries($$("[data-f=op-inputs] [data-part]").map((el) => [el.name, el.value.trim()]));
  const where = address(chosen, given);
  let body = chosen.media === "application/json" ? $("#body-json").value : "";
  let broken = "";
  // Whitespace of the editor is not worth sending; text that is not JSON goes as it is, to see what the API says.
  let own = false;
  try {
    const parsed = body ? JSON.parse(body) : null;
    if (body) body = JSON.stringify(parsed);
    // A client_order_id is the same promise; the API takes one of the two.
    own = Boolean(parsed?.client_order_id);
  } catch (error) { broken = error.message; }
  const idempotency = chosen.idempotent && !own ? $("#op-idempotency").value.trim() : "";
  return { method: chosen.method, ...where, body, broken, idempotency };
}
function refresh() {
  if (!chosen) return;
  const one = request();
  const open = data.operations[`${chosen.method} ${chosen.path}`]?.scope === data.public && kind() === "session";
  const how = open ? "none" : kind();
  const { keyId } = secrets();
  setText($("#code-curl code"), curl(base, one, how, data.version, keyId, one.idempotency));
  setText($("#code-python code"), pythonCode(base, one, how, data.version, keyId, one.idempotency));
  $("[data-f=multipart]").hidden = !chosen.media.startsWith("multipart/");
  setText($("[data-f=body-error]"), one.broken ? `Not JSON: ${one.broken}` : "");
  setText($("[data-f=missing]"), one.missing.length ? `Fill in ${one.missing.join(", ")} first.` : "");
}
on($("#op-form"), "input", refresh);
on($("#op-form"), "change", refresh);

async function send(one, { how, form = null }) {
  const headers = { Accept: "application/json" };
  if (one.body) headers["Content-Type"] = "application/json";
  if (one.idempotency) headers["Idempotency-Key"] = one.idempotency;
  const { token, keyId, secret } = secrets();
  if (how === "bearer" && token) headers.Authorization = `Bearer ${token}`;
  if (how === "key") {
    if (!canSign()) throw new Error("This browser signs only on https or on localhost.");
    if (!keyId || !secret) throw new Error("Fill in the key and its secret first.");
    Object.assign(headers, await signedHeaders(data.version, one, keyId, secret));
  }
  if (how === "session" && one.method !== "GET") {
    const cookie = document.cookie.split("; ").find((c) => /^(__Host-)?csrf(token)?=/.test(c));
    headers["X-CSRFToken"] = cookie ? decodeURIComponent(cookie.slice(cookie.indexOf("=") + 1)) : document.documentElement.dataset.csrf;
  }
  const started = performance.now();
  const response = await fetch(`${one.path}${one.query ? `?${one.query}` : ""}`, {
    method: one.method, headers, body: form || one.body || undefined, credentials: how === "session" ? "same-origin" : "omit", signal: AbortSignal.timeout(20000),
  });
  const text = await response.text();
  const ms = performance.now() - started;
  let parsed = null;
  if ((response.headers.get("Content-Type") || "").includes("json")) { try { parsed = JSON.parse(text); } catch { parsed = null; } }
  return { status: response.status, ok: response.ok, headers: [...response.headers], text, data: parsed, ms };
}

/* the answer */
const FIRST = ["ratelimit-limit", "ratelimit-remaining", "ratelimit-reset", "retry-after", "x-request-id"];
async function rejectRow(code) {
  if (!rejects) {
    try { rejects = (await (await fetch("/api/v1/errors", { credentials: "omit" })).json()).results || []; } catch { return null; }
  }
  return rejects.find((row) => row.code === code) || null;
}
async function showAnswer(answer) {
  // Asked first, so that an answer appears whole.
  const explained = !answer.ok && answer.data?.code !== undefined;
  const row = explained ? await rejectRow(answer.data.code) : null;
  const box = $("[data-f=answer]");
  const badge = $("[data-f=status]");
  badge.className = `badge ${answer.ok ? "ok" : answer.status >= 500 ? "bad" : "warn"}`;
  setText(badge, `${answer.status} ${answer.ok ? "done" : answer.status >= 500 ? "fault" : "refused"}`);
  setText($("[data-f=timing]"), `${answer.ms.toFixed(0)} ms, ${new Blob([answer.text]).size.toLocaleString("en")} bytes`);
  const got = Object.fromEntries(answer.headers);
  setText($("[data-f=rate]"), got["ratelimit-limit"] ? `${got["ratelimit-remaining"]} of ${got["ratelimit-limit"]} left in this budget; a new window in ${got["ratelimit-reset"]} s` : "");
  const rows = answer.headers.sort(([a], [b]) => (FIRST.indexOf(b) >= 0) - (FIRST.indexOf(a) >= 0) || a.localeCompare(b));
  $("[data-f=headers]").replaceChildren(...rows.map(([name, value]) => {
    const row = make("tr");
    const head = make("th", "", name);
    head.scope = "row";
    row.append(head, make("td", "mono", value));
    return row;
  }));
  setText($("[data-f=body] code"), answer.data ? JSON.stringify(answer.data, null, 2) : answer.text.slice(0, 20000) || "(empty)");
  const problem = $("[data-f=problem]");
  problem.replaceChildren();
  problem.hidden = !explained;
  if (explained) {
    const list = make("dl", "kv left");
    const pairs = [
      ["Code", `${answer.data.code} ${answer.data.slug}`], ["Rule", answer.data.rule || row?.rule], ["What was said", answer.data.detail],
      ["Needed", answer.data.needed], ["There was", answer.data.available], ["Field", answer.data.field], ["Next step", answer.data.next_step],
      ["In the table", row ? `${row.title} (HTTP ${row.status}, refused by the ${row.source === "core" ? "matching core" : "edge"})` : ""], ["Request", answer.data.request_id],
    ];
    for (const [name, value] of pairs) if (value) list.append(make("dt", "", name), make("dd", "", String(value)));
    problem.append(list);
  }
  box.hidden = false;
  $("[data-f=answer-none]").hidden = true;
  say(`Answer ${answer.status}`);
}
on($("#op-form"), "submit", async (event) => {
  event.preventDefault();
  const button = $("#op-send");
  if (button.getAttribute("aria-busy") === "true") return;
  const one = request();
  if (one.missing.length) { $(`[data-part=path][name="${one.missing[0]}"]`)?.focus(); return; }
  button.setAttribute("aria-busy", "true");
  button.disabled = true;
  let form = null;
  if (chosen.media.startsWith("multipart/")) {
    form = new FormData();
    for (const el of $$("[data-part=body]")) if (el.type === "file" ? el.files.length : el.value) form.append(el.name, el.type === "file" ? el.files[0] : el.value);
  }
  const error = $("[data-f=send-error]");
  setText(error, "");
  try {
    await showAnswer(await send(one, { how: kind(), form }));
  } catch (failure) {
    setText(error, failure.name === "TimeoutError" ? "No answer within 20 s. The request may have arrived: repeat it with the same Idempotency-Key." : failure.message || "The server could not be reached.");
  }
  button.removeAttribute("aria-busy");
  button.disabled = false;
});
on($("#new-key"), "click", () => { $("#op-idempotency").value = newKey(); refresh(); });
on(pane, "click", async (event) => {
  const which = event.target.closest("[data-copy-code]")?.dataset.copyCode;
  if (!which) return;
  try { await navigator.clipboard.writeText($(`#${which} code`).textContent); say("Copied"); } catch { say("Copying is not allowed here"); }
});
const tabs = $$("[role=tab]", $("#code-tabs"));
const showTab = (tab) => {
  for (const one of tabs) {
    one.setAttribute("aria-selected", String(one === tab));
    one.tabIndex = one === tab ? 0 : -1;
    $(`#${one.getAttribute("aria-controls")}`).hidden = one !== tab;
  }
};
for (const tab of tabs) {
  on(tab, "click", () => showTab(tab));
  on(tab, "keydown", (event) => {
    if (event.key !== "ArrowLeft" && event.key !== "ArrowRight") return;
    const next = tabs[(tabs.indexOf(tab) + 1) % tabs.length];
    showTab(next);
    next.focus();
  });
}
async function begin() {
  $("[data-f=loading]").hidden = false;
  $("[data-f=failed]").hidden = true;
  try {
    spec = await loadSpec();
    operations = operationsOf(spec);
    $("[data-f=loading]").hidden = true;
    $("[data-f=ready]").hidden = false;
    drawList();
    choose(location.hash.slice(1) || "orders_place");
  } catch (error) {
    $("[data-f=loading]").hidden = true;
    $("[data-f=failed]").hidden = false;
    setText($("[data-f=failed-text]"), error.message);
  }
}
on($("#try-again"), "click", begin);
socketPane($("#streams"), {
  ask: (path, body) => send({ method: "POST", path, query: "", body: JSON.stringify(body) }, { how: kind() }),
  closes: data.closes,
  frameMax: data.frame_max,
});
showAuth();
begin();
