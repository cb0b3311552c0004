/**
 * For tests: holds what really goes over the wire against `openapi.json` and `asyncapi.json`.
 *
 * @module
 */
import assert from "node:assert/strict";
import { Ajv2020 } from "ajv/dist/2020.js";
import asyncapi from "./asyncapi.json" with { type: "json" };
import type { ReceivedRecord } from "../service/bus/bus.ts";
import openapi from "./openapi.json" with { type: "json" };

const ajv = new Ajv2020({ strict: false, allErrors: true, validateFormats: false });
ajv.addSchema(openapi, "openapi");
ajv.addSchema(asyncapi, "asyncapi");

/** Fails unless the value is as the schema at the document's path says. */
function assertFits(document: "openapi" | "asyncapi", path: string[], value: unknown): void {
  const pointer = path.map((part) =>
    encodeURIComponent(part.replaceAll("~", "~0").replaceAll("/", "~1"))
  ).join("/");
  const fits = ajv.validate({ $ref: `${document}#/${pointer}` }, value);
  assert.ok(
    fits,
    `${JSON.stringify(value)} is not as ${document} says at ${pointer}: ${ajv.errorsText()}`,
  );
}

interface Operation {
  responses: Record<
    string,
    { content?: Record<string, unknown>; headers?: Record<string, unknown> }
  >;
}

const paths = openapi.paths as unknown as Record<string, Record<string, Operation>>;

/** A `fetch` whose every answer must be as OpenAPI says; `seen` gathers `POST /sign 200`. */
export function documentedFetch(origin: string, seen: Set<string>) {
  return async function fetchChecked(path: string, init: RequestInit = {}): Promise<Response> {
    const response = await fetch(`${origin}${path}`, init);
    const template = Object.keys(paths).find((one) =>
      new RegExp(`^${one.replace(/\{\w+\}/g, "[^/]+")}$`).test(path.split("?")[0]!)
    );
    assert.ok(template, `${path} is not in openapi.json`);
    const method = (init.method ?? "GET").toLowerCase();
    const status = String(response.status);
    const documented = paths[template]![method]?.responses[status];
    assert.ok(
      documented,
      `${method} ${template} answers ${status}, which openapi.json does not say`,
    );
    seen.add(`${method.toUpperCase()} ${template} ${status}`);
    const at = ["paths", template, method, "responses", status];
    for (const name of Object.keys(documented.headers ?? {})) {
      assertFits("openapi", [...at, "headers", name, "schema"], response.headers.get(name));
    }
    const type = response.headers.get("content-type")?.split(";")[0] ?? "";
    const copy = response.clone();
    if (!documented.content) {
      assert.equal((await copy.bytes()).length, 0, `${method} ${template} ${status} has a body`);
      return response;
    }
    assert.ok(type in documented.content, `${method} ${template} ${status} is ${type}`);
    const body = type.endsWith("json") ? await copy.json() : await copy.text();
    assertFits("openapi", [...at, "content", type, "schema"], body);
    return response;
  };
}

/** Every operation of the document, as `POST /sign`. */
export const operations: readonly string[] = Object.entries(paths).flatMap(([path, methods]) =>
  Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`)
);

/** Names of AsyncAPI's messages. */
export type MessageName = keyof typeof asyncapi.components.messages;

/** Fails unless the payload is as AsyncAPI says of the message. */
export function assertPayload(name: MessageName, payload: unknown): void {
  assertFits("asyncapi", ["components", "messages", name, "payload"], payload);
}

/** Fails unless the record, headers and all, is as AsyncAPI says of the message. */
export function assertRecord(name: MessageName, record: ReceivedRecord): void {
  assert.ok(record.value);
  const decoder = new TextDecoder();
  const text = decoder.decode(record.value);
  assertPayload(name, name === "publicKey" || name === "revocation" ? JSON.parse(text) : text);
  if (name === "publicKey" || name === "revocation") {
    const prefix = name === "revocation" ? "revoked:" : "";
    assert.equal(record.key, `${prefix}${JSON.parse(text).kid}`);
    return;
  }
  assert.equal(record.key, undefined, "requests and answers have no key");
  const headers = record.headers.map(([header, value]) => [header, decoder.decode(value)] as const);
  const first = name === "request" ? ["msg_id", "resp_topic"] : ["msg_id", "resp_id"];
  assert.deepEqual(headers.slice(0, 2).map(([header]) => header), first);
  assert.equal(new Set(headers.map(([header]) => header)).size, headers.length, "no header twice");
  const path = ["components", "messages", name, "headers"];
  assertFits("asyncapi", path, Object.fromEntries(headers));
  const known = name === "request"
    ? asyncapi.components.schemas.RequestHeaders.properties
    : asyncapi.components.schemas.AnswerHeaders.properties;
  for (const [header] of headers) assert.ok(header in known, `${header} is not in asyncapi.json`);
}
