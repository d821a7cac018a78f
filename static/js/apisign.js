/* Signing with an API key in the browser (WebCrypto), and the same request as a shell or Python program. The secret never leaves this page:
   the programs read it from their environment. */

export const canSign = () => Boolean(globalThis.crypto?.subtle);
const bytes = (text) => new TextEncoder().encode(text);
const hex = (buffer) => [...new Uint8Array(buffer)].map((b) => b.toString(16).padStart(2, "0")).join("");

export async function sha256(text) { return hex(await crypto.subtle.digest("SHA-256", bytes(text))); }
export async function hmac(secret, text) {
  const key = await crypto.subtle.importKey("raw", bytes(secret), { name: "HMAC", hash: "SHA-256" }, false, ["sign"]);
  return hex(await crypto.subtle.sign("HMAC", key, bytes(text)));
}
export async function canonical(version, request, stamp, nonce) {
  return [version, request.method, request.path, request.query, stamp, nonce, await sha256(request.body || "")].join("\n");
}
export function newNonce() { return hex(crypto.getRandomValues(new Uint8Array(16))); }

/** The four headers of a signed request. */
export async function signedHeaders(version, request, keyId, secret, nowMs = Date.now(), nonce = newNonce()) {
  const stamp = String(Math.floor(nowMs));
  const signature = await hmac(secret, await canonical(version, request, stamp, nonce));
  return { "X-Api-Key": keyId, "X-Api-Timestamp": stamp, "X-Api-Nonce": nonce, "X-Api-Signature": signature };
}

const quoted = (text) => `'${text.replaceAll("'", `'\\''`)}'`;
/** A Python literal: JSON's escapes are Python's too, but for characters beyond sixteen bits. */
const python = (text) => JSON.stringify(text).replace(/[^\x20-\x7e]/gu, (c) => `\\U${c.codePointAt(0).toString(16).padStart(8, "0")}`);
const url = (base, request) => `${base}${request.path}${request.query ? `?${request.query}` : ""}`;

/** A shell program. `kind`: none, session, bearer or key. */
export function curl(base, request, kind, version, keyId, key) {
  const lines = [];
  const send = [`curl -sS -i -X ${request.method} ${quoted(url(base, request))}`];
  if (request.body) send.push(`-H 'Content-Type: application/json'`);
  if (key) send.push(`-H ${quoted(`Idempotency-Key: ${key}`)}`);
  if (kind === "bearer" || kind === "session") send.push(`-H "Authorization: Bearer $BROKERAGE_TOKEN"`);
  if (request.body && kind !== "key") send.push(`--data-binary ${quoted(request.body)}`);
  if (kind === "key") {
    lines.push(
      `# export BROKERAGE_SECRET=…   the key's secret`,
      `body=${quoted(request.body || "")}`,
      `stamp=$(date +%s%3N) nonce=$(openssl rand -hex 16)`,
      `hash=$(printf %s "$body" | openssl dgst -sha256 -r | cut -d' ' -f1)`,
      `sign=$(printf '%s\\n%s\\n%s\\n%s\\n%s\\n%s\\n%s' ${version} ${request.method} ${quoted(request.path)} ${quoted(request.query)} "$stamp" "$nonce" "$hash" |`,
      `  openssl dgst -sha256 -hmac "$BROKERAGE_SECRET" -r | cut -d' ' -f1)`,
    );
    send.push(`-H ${quoted(`X-Api-Key: ${keyId || "bk_…"}`)}`, `-H "X-Api-Timestamp: $stamp"`, `-H "X-Api-Nonce: $nonce"`, `-H "X-Api-Signature: $sign"`);
    if (request.body) send.push(`--data-binary "$body"`);
  } else if (kind === "bearer" || kind === "session") lines.push("# export BROKERAGE_TOKEN=…   an access token (POST /api/v1/auth/token)");
  return [...lines, send.join(" \\\n  ")].join("\n");
}

/** A Python program of the standard library alone. */
export function pythonCode(base, request, kind, version, keyId, key) {
  const headers = [];
  if (request.body) headers.push(`"Content-Type": "application/json",`);
  if (key) headers.push(`"Idempotency-Key": ${python(key)},`);
  if (kind === "bearer" || kind === "session") headers.push(`"Authorization": "Bearer " + os.environ["BROKERAGE_TOKEN"],`);
  if (kind === "key") headers.push(`"X-Api-Key": ${python(keyId || "bk_…")},`, `"X-Api-Timestamp": stamp,`, `"X-Api-Nonce": nonce,`, `"X-Api-Signature": signature,`);
  const signing = kind === "key" ? [
    `stamp, nonce = str(time.time_ns() // 1_000_000), secrets.token_hex(16)`,
    `text = "\\n".join((${[version, request.method, request.path, request.query].map(python).join(", ")}, stamp, nonce, hashlib.sha256(body).hexdigest()))`,
    `signature = hmac.new(os.environ["BROKERAGE_SECRET"].encode(), text.encode(), hashlib.sha256).hexdigest()`,
  ] : [];
  const modules = kind === "key" ? ["hashlib", "hmac", "os", "secrets", "time"] : kind === "none" ? [] : ["os"];
  return [
    ...modules.map((name) => `import ${name}`),
    "import urllib.error",
    "import urllib.request",
    "",
    `body = ${request.body ? `${python(request.body)}.encode()` : `b""`}`,
    ...signing,
    "headers = {",
    ...headers.map((line) => `    ${line}`),
    "}",
    `request = urllib.request.Request(${python(url(base, request))}, data=${request.body ? "body" : "None"}, headers=headers, method=${python(request.method)})`,
    "try:",
    "    answer = urllib.request.urlopen(request)",
    "except urllib.error.HTTPError as refusal:",
    "    answer = refusal",
    `print(answer.status, answer.headers["RateLimit-Remaining"])`,
    "print(answer.read().decode())",
  ].join("\n");
}
