/* Calls to the REST API with the page's session. A refusal is thrown as Problem, with the document of the server. */
export class Problem extends Error {
  constructor(document) {
    super(document.detail || document.title || "The request failed.");
    this.problem = document;
  }
}
function csrf() {
  const found = document.cookie.split("; ").find((c) => /^(__Host-)?csrf(token)?=/.test(c));
  return found ? decodeURIComponent(found.slice(found.indexOf("=") + 1)) : document.documentElement.dataset.csrf || "";
}
const AWAY = { title: "No connection", status: 0, detail: "The request may not have arrived.", next_step: "Check your connection; trying again is safe.", code: 0 };

export function newKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(12));
  return `w${[...bytes].map((b) => b.toString(16).padStart(2, "0")).join("")}`;
}

export async function call(method, path, body, { key = null, timeout = 10000, signal } = {}) {
  const headers = { Accept: "application/json" };
  if (method !== "GET") headers["X-CSRFToken"] = csrf();
  if (body !== undefined && body !== null) headers["Content-Type"] = "application/json";
  if (key) headers["Idempotency-Key"] = key;
  const limit = AbortSignal.timeout(timeout);
  let response;
  try {
    response = await fetch(`/api/v1/${path}`, {
      method,
      headers,
      body: body === undefined || body === null ? undefined : JSON.stringify(body),
      credentials: "same-origin",
      signal: signal ? AbortSignal.any([signal, limit]) : limit,
    });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new Problem(AWAY);
  }
  const type = response.headers.get("Content-Type") || "";
  const data = response.status === 204 ? null : type.includes("json") ? await response.json() : null;
  if (response.ok) return data;
  throw new Problem(data || { title: "The server answered with an error", status: response.status, detail: `Status ${response.status}.`, next_step: "Try again; quote the request id to support.", request_id: response.headers.get("X-Request-ID") });
}
const account = () => document.documentElement.dataset.account || "";
/** The body of a write, for the account this page shows. */
export const mine = (body) => (account() ? { account: account(), ...body } : body);
/** Add ?account= for the account this page shows. */
export function own(path) {
  const number = account();
  return number ? `${path}${path.includes("?") ? "&" : "?"}account=${encodeURIComponent(number)}` : path;
}
export const get = (path, options) => call("GET", path, null, options);
export const post = (path, body, options) => call("POST", path, body ?? {}, options);
export const patch = (path, body, options) => call("PATCH", path, body, options);
export const del = (path, options) => call("DELETE", path, null, options);
