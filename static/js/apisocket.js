/* The playground's WebSocket pane: connect, subscribe, watch frames. Heartbeats are answered, as docs/streams.md demands. */
import { $, $$, on, setText } from "portal/dom";

const SHOWN_MAX = 300;

/** `ask(path, body)` asks the API with the chosen credentials: for a ticket. `closes`: words of close codes. */
export function socketPane(root, { ask, closes, frameMax }) {
  const list = $("[data-f=frames]", root);
  const state = $("[data-f=ws-state]", root);
  const form = $("[data-f=ws-form]", root);
  const kind = () => $("[name=ws-kind]:checked", root).value;
  let socket = null;
  let count = 0;
  const say = (text, dot) => { setText($("span:last-child", state), text); $(".dot", state).className = `dot ${dot}`; };
  const buttons = () => {
    const open = socket?.readyState === WebSocket.OPEN;
    $("[data-act=ws-open]", root).hidden = Boolean(socket);
    $("[data-act=ws-close]", root).hidden = !socket;
    for (const el of $$("[data-needs-open]", root)) el.disabled = !open;
    for (const el of $$("[data-market]", root)) el.hidden = kind() !== "market";
    for (const el of $$("[data-private]", root)) el.hidden = kind() !== "private";
    for (const el of $$("[name=ws-kind]", root)) el.disabled = Boolean(socket);
  };
  const show = (direction, text) => {
    if ($("[name=ws-hb]", root).checked === false && /"(type|op)":\s*"(hb)"/.test(text)) return;
    count += 1;
    const row = document.createElement("li");
    const head = document.createElement("b");
    head.textContent = direction === "out" ? "sent" : direction === "in" ? "received" : "note";
    head.className = direction === "out" ? "badge" : direction === "in" ? "badge ok" : "badge warn";
    const when = document.createElement("span");
    when.className = "faint";
    when.textContent = new Date().toISOString().slice(11, 23);
    const body = document.createElement("code");
    body.textContent = text.length > 4000 ? `${text.slice(0, 4000)}… (${text.length} characters)` : text;
    row.append(head, when, body);
    list.prepend(row);
    while (list.children.length > SHOWN_MAX) list.lastElementChild.remove();
    setText($("[data-f=ws-count]", root), `${count} frames${count > SHOWN_MAX ? `, the last ${SHOWN_MAX} shown` : ""}`);
    $("[data-f=ws-none]", root).hidden = true;
  };
  const send = (text) => { socket.send(text); show("out", text); };

  async function open() {
    const chosen = kind();
    let hello = null;
    say("connecting", "warn");
    if (chosen === "private") {
      const body = {};
      const account = $("[name=ws-account]", root).value.trim();
      const resume = $("[name=ws-resume]", root).value.trim();
      if (account) body.account = account;
      const answer = await ask("/api/v1/ws-ticket", body);
      if (!answer.ok) { say("no ticket", "bad"); show("note", `no ticket: ${answer.status} ${answer.data?.detail || ""} ${answer.data?.next_step || ""}`); return; }
      hello = { op: "auth", ticket: answer.data.ticket, ...body };
      if (resume) hello.resume = resume;
    }
    const made = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/ws/v1/${chosen}`);
    socket = made;
    buttons();
    on(made, "open", () => {
      say("connected", "ok");
      buttons();
      // The ticket is good once and used by this very message, so it may be shown.
      if (hello) send(JSON.stringify(hello));
    });
    on(made, "message", (event) => {
      show("in", event.data);
      let message = null;
      try { message = JSON.parse(event.data); } catch { return; }
      if (message.type === "hb") send(JSON.stringify({ op: "hb", n: message.n }));
    });
    on(made, "close", (event) => {
      const words = closes[String(event.code)] || (event.code === 1000 || event.code === 1005 ? "closed by you" : "refused or the connection was lost");
      show("note", `closed with ${event.code}: ${words}`);
      say(`closed (${event.code})`, "");
      socket = null;
      buttons();
    });
  }
  const topics = () => $("[name=ws-topics]", root).value.split(/[\s,]+/).filter(Boolean);
  on(root, "click", (event) => {
    const act = event.target.closest("[data-act]")?.dataset.act;
    if (act === "ws-open") open();
    else if (act === "ws-close") socket?.close(1000);
    else if (act === "ws-subscribe") send(JSON.stringify({ op: "subscribe", topics: topics() }));
    else if (act === "ws-unsubscribe") send(JSON.stringify({ op: "unsubscribe", topics: topics() }));
    else if (act === "ws-clear") { list.replaceChildren(); count = 0; setText($("[data-f=ws-count]", root), ""); $("[data-f=ws-none]", root).hidden = false; }
  });
  on(form, "submit", (event) => {
    event.preventDefault();
    const text = $("[name=ws-raw]", form).value;
    if (text.length > frameMax) { show("note", `not sent: a message has at most ${frameMax} characters`); return; }
    send(text);
  });
  for (const el of $$("[name=ws-kind]", root)) on(el, "change", buttons);
  buttons();
  say("not connected", "");
}
