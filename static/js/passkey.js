/* Passkeys: asks the server for options, the browser for an answer, and brings it back. The server decides. */
import { $, $$, on } from "portal/dom";

const say = (text) => { for (const el of $$("[data-f=passkey-error]")) el.textContent = text; };

const bytes = (text) => Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (c) => c.charCodeAt(0));
const text = (buffer) => btoa(String.fromCharCode(...new Uint8Array(buffer))).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");

async function post(path, body) {
  const response = await fetch(path, {
    method: "POST",
    headers: { Accept: "application/json", "Content-Type": "application/json", "X-CSRFToken": document.documentElement.dataset.csrf || "" },
    body: JSON.stringify(body ?? {}),
    credentials: "same-origin",
  });
  if (response.redirected) { location.assign(response.url); return new Promise(() => {}); }
  const type = response.headers.get("Content-Type") || "";
  const data = type.includes("json") ? await response.json() : {};
  if (!response.ok) throw new Error([data.detail, data.next_step].filter(Boolean).join(" ") || "The server refused. Reload the page and try again.");
  return data;
}

const listed = (items) => (items || []).map((item) => ({ ...item, id: bytes(item.id) }));

async function add(name) {
  const options = await post("/security/passkeys/options");
  const made = await navigator.credentials.create({
    publicKey: {
      ...options,
      challenge: bytes(options.challenge),
      user: { ...options.user, id: bytes(options.user.id) },
      excludeCredentials: listed(options.excludeCredentials),
    },
  });
  return post("/security/passkeys", {
    name,
    credential: {
      id: made.id,
      rawId: text(made.rawId),
      type: made.type,
      response: { clientDataJSON: text(made.response.clientDataJSON), attestationObject: text(made.response.attestationObject) },
    },
  });
}

async function use(next) {
  const options = await post("/passkey/options");
  const made = await navigator.credentials.get({
    publicKey: { ...options, challenge: bytes(options.challenge), allowCredentials: listed(options.allowCredentials) },
  });
  const query = next ? `?next=${encodeURIComponent(next)}` : "";
  return post(`/passkey${query}`, {
    credential: {
      id: made.id,
      rawId: text(made.rawId),
      type: made.type,
      response: {
        clientDataJSON: text(made.response.clientDataJSON),
        authenticatorData: text(made.response.authenticatorData),
        signature: text(made.response.signature),
        userHandle: made.response.userHandle ? text(made.response.userHandle) : null,
      },
    },
  });
}

async function run(button, work) {
  say("");
  button.setAttribute("aria-busy", "true");
  button.disabled = true;
  try {
    const answer = await work();
    location.assign(answer.next);
  } catch (error) {
    say(error.name === "NotAllowedError" || error.name === "AbortError" ? "Nothing was confirmed. Try again, or use another way." : error.message);
    button.disabled = false;
    button.removeAttribute("aria-busy");
  }
}

if (window.PublicKeyCredential) {
  for (const box of $$("[data-passkey-box]")) box.hidden = false;
  for (const button of $$("[data-passkey-use]")) on(button, "click", () => run(button, () => use(button.dataset.next)));
  const make = $("[data-passkey-add]");
  if (make) on(make, "click", () => run(make, () => add($("#passkey-name").value)));
} else say("This browser has no passkeys.");
