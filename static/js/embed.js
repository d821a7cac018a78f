/* The portfolio in a partner's frame. The page around it, and only the one it was served for, hands over a token by postMessage:
     we → parent   {type: "brokerage:ready"}                    ask for a token; again when the pass has run out
     parent → we   {type: "brokerage:token", token: "…"}
     we → parent   {type: "brokerage:shown"} or {type: "brokerage:refused", code}
   The pass lives in this module and nowhere else: no cookie, no storage. */
const root = document.documentElement;
const { partner, origin, mark } = root.dataset;
const $ = (name) => document.querySelector(`[data-f="${name}"]`);
const EVERY_MS = 5000;
let pass = "";
let timer = null;

const tell = (message) => { if (parent !== window) parent.postMessage(message, origin); };
const state = (text) => { document.getElementById("state").textContent = text; };
const cell = (text, className) => { const td = document.createElement("td"); td.textContent = text ?? "–"; if (className) td.className = className; return td; };
function rows(name, list) {
  $(name).replaceChildren(...list.map((cells) => {
    const tr = document.createElement("tr");
    tr.append(...cells.map((text, n) => cell(text, n ? "num" : "")));
    return tr;
  }));
  $(name).closest(".table-wrap").hidden = !list.length;
}
function over(text) {
  pass = "";
  clearTimeout(timer);
  document.getElementById("shown").hidden = true;
  state(text);
}
async function read() {
  let response;
  try {
    response = await fetch(`/embed/${partner}/portfolio/data`, { headers: { Authorization: `Bearer ${pass}` }, credentials: "omit", cache: "no-store" });
  } catch { state("The server cannot be reached; trying again."); timer = setTimeout(read, EVERY_MS); return; }
  if (response.status === 401 || response.status === 404) { over("Signed out. Waiting for the page around this one."); tell({ type: "brokerage:ready" }); return; }
  if (!response.ok) { state("Not up to date; trying again."); timer = setTimeout(read, EVERY_MS); return; }
  const data = await response.json();
  $("account").textContent = data.account;
  $("time").textContent = `As of ${new Date().toLocaleTimeString()}.`;
  rows("balances", data.balances.map((b) => [b.asset, b.available, b.held]));
  rows("positions", data.positions.map((p) => [p.symbol, p.qty, p.mark_price, p.unrealised_pnl]));
  $("none").hidden = data.balances.length + data.positions.length > 0;
  document.getElementById("shown").hidden = false;
  state("");
  timer = setTimeout(read, EVERY_MS);
}
async function exchange(token) {
  const body = JSON.stringify({ token, mark });
  let response;
  try {
    response = await fetch(`/embed/${partner}/portfolio/session`, { method: "POST", headers: { "Content-Type": "application/json" }, credentials: "omit", body });
  } catch { over("The server cannot be reached."); tell({ type: "brokerage:refused", code: 0 }); return; }
  const answer = await response.json();
  if (!response.ok) { over(`Not signed in. ${answer.detail || ""}`); tell({ type: "brokerage:refused", code: answer.code }); return; }
  clearTimeout(timer);
  pass = answer.pass;
  await read();
  tell({ type: "brokerage:shown" });
}
addEventListener("message", (event) => {
  // Both, because another window of the same origin is not the page around this one.
  if (event.origin !== origin || event.source !== parent) return;
  const said = event.data;
  if (said && typeof said === "object" && said.type === "brokerage:token" && typeof said.token === "string" && said.token.length < 2000) exchange(said.token);
});
tell({ type: "brokerage:ready" });
