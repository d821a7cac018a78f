/* The OpenAPI document as the playground needs it: operations in order, schemas without references, examples, text to values. */

export async function loadSpec() {
  const response = await fetch("/api/schema", { headers: { Accept: "application/vnd.oai.openapi+json" }, credentials: "omit" });
  if (!response.ok) throw new Error(`The API description could not be read (status ${response.status}).`);
  return response.json();
}

/** The value under a name that comes from outside; what every object inherits is not one. */
export const own = (object, name) => (object && Object.hasOwn(object, name) ? object[name] : undefined);

/** A schema without $ref and allOf; nested ones stay as they are until they are asked for. */
export function shape(spec, schema) {
  let found = schema || {};
  for (let depth = 0; found.$ref && depth < 8; depth += 1) {
    const name = found.$ref.split("/").pop();
    const { $ref: _, ...rest } = found;
    found = { ...own(spec.components.schemas, name), ...rest };
  }
  if (found.allOf) found = Object.assign({}, ...found.allOf.map((part) => shape(spec, part)), found, { allOf: undefined });
  if (found.oneOf) {
    const parts = found.oneOf.map((part) => shape(spec, part));
    found = { ...(parts.find((part) => part.enum?.some((one) => one !== null && one !== "")) || parts[0]), ...found, oneOf: undefined };
  }
  return found;
}

const METHODS = ["get", "post", "put", "patch", "delete"];

/** Every operation: {id, method, path, tag, title, text, inputs, body, media, open}. */
export function operationsOf(spec) {
  const list = [];
  for (const [path, methods] of Object.entries(spec.paths)) {
    for (const method of METHODS) {
      const one = methods[method];
      if (!one) continue;
      const media = Object.keys(one.requestBody?.content || {})[0] || "";
      list.push({
        id: one.operationId,
        method: method.toUpperCase(),
        path,
        tag: one.tags?.[0] || "other",
        title: one.summary || one.operationId,
        text: one.description || "",
        inputs: (one.parameters || []).filter((p) => p.name !== "Idempotency-Key").map((p) => ({ ...p, schema: shape(spec, p.schema) })),
        idempotent: (one.parameters || []).some((p) => p.name === "Idempotency-Key"),
        body: media ? shape(spec, one.requestBody.content[media].schema) : null,
        media,
        open: !one.security,
        answers: Object.entries(one.responses || {}).map(([status, row]) => [status, row.description || "Done"]),
      });
    }
  }
  return list.sort((a, b) => a.tag.localeCompare(b.tag) || a.path.localeCompare(b.path) || METHODS.indexOf(a.method.toLowerCase()) - METHODS.indexOf(b.method.toLowerCase()));
}

/** Search: every word must be somewhere in method, path, title or tag. */
export function matches(operation, words) {
  const text = `${operation.method} ${operation.path} ${operation.title} ${operation.tag} ${operation.id}`.toLowerCase();
  return words.toLowerCase().split(/\s+/).filter(Boolean).every((word) => text.includes(word));
}

const BY_NAME = { __proto__: null, symbol: "BTC-USD", qty: "0.01", price: "50000", networks: ["203.0.113.7"], email: "you@example.com", name: "my program" };
/** An example of a value; null when there is nothing sensible to offer. */
export function example(spec, schema, name) {
  const one = shape(spec, schema);
  if (name in BY_NAME) return BY_NAME[name];
  if (one.example !== undefined) return one.example;
  const choices = one.enum?.filter((choice) => choice !== null && choice !== "");
  if (choices?.length) return choices[0];
  if (one.type === "boolean") return one.default ?? false;
  if (one.type === "integer" || one.type === "number") return one.default ?? one.minimum ?? 1;
  if (one.type === "array") { const item = example(spec, one.items, ""); return item === null ? [] : [item]; }
  if (one.type === "object") return one.properties ? exampleBody(spec, one) : {};
  return one.default ?? "";
}
/** The fields a body must have, with examples. */
export function exampleBody(spec, body) {
  const made = Object.create(null);
  for (const name of body.required || []) made[name] = example(spec, own(body.properties, name), name);
  if (made.type === "market" && body.properties?.price) { made.type = "limit"; made.price = BY_NAME.price; }
  if (made.type === "limit" && body.properties?.price) made.price ??= BY_NAME.price;
  return made;
}

/** What a field takes, in a few words. */
export function hint(schema) {
  const words = [];
  const range = [schema.minimum, schema.maximum];
  if (range[0] !== undefined && range[1] !== undefined) words.push(`${range[0]} to ${range[1]}`);
  if (schema.pattern?.startsWith("^-?[0-9]")) words.push("exact decimal as text");
  if (schema.format === "date-time") words.push("RFC 3339, UTC");
  if (schema.default !== undefined && schema.default !== null) words.push(`default ${schema.default}`);
  const said = (schema.description || "").split("\n* ")[0].trim();
  if (said && !said.startsWith("* ")) words.unshift(said);
  return words.join("; ");
}

/** The value of a field's text, by its schema; undefined when it is left out. Text that does not fit is sent as it is: the API says what is wrong. */
export function valueOf(schema, text) {
  if (text === "") return undefined;
  if (schema.type === "boolean") return text === "true";
  if (schema.type === "integer" && /^-?\d{1,15}$/.test(text)) return Number(text);
  if (schema.type === "array") return text.split(",").map((part) => part.trim()).filter(Boolean);
  if (schema.type === "object") { try { return JSON.parse(text); } catch { return text; } }
  return text;
}
export function textOf(schema, value) {
  if (value === undefined || value === null) return "";
  if (Array.isArray(value)) return value.join(", ");
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

/** Path and query as they are sent. Each byte that a URL keeps for itself is escaped, so that what is signed is what arrives. */
export function address(operation, given) {
  const escape = (text) => encodeURIComponent(text).replace(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`);
  const path = operation.path.replace(/\{(\w+)\}/g, (_, name) => escape(own(given, name) || `{${name}}`));
  const query = operation.inputs.filter((p) => p.in === "query" && own(given, p.name)).map((p) => `${escape(p.name)}=${escape(own(given, p.name))}`);
  return { path, query: query.join("&"), missing: operation.inputs.filter((p) => p.in === "path" && !own(given, p.name)).map((p) => p.name) };
}
