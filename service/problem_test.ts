import assert from "node:assert/strict";
import { Hono } from "hono";
import { HTTPException } from "hono/http-exception";
import type { Log } from "./log.ts";
import { ProblemError, problemNotFound, problemOnError, problemResponse } from "./problem.ts";

function testApp() {
  const logged: unknown[] = [];
  const note = (...record: unknown[]) => void logged.push(record);
  const log: Log = { debug: note, info: note, warn: note, error: note };
  const app = new Hono();
  app.onError(problemOnError(log));
  app.notFound(problemNotFound);
  app.get("/busy", () => {
    throw new ProblemError(503, { title: "Overloaded", detail: "Wait." }, { "retry-after": "2" });
  });
  app.get("/bug", () => {
    throw new TypeError("password=hunter2");
  });
  return { app, logged };
}

Deno.test("problemResponse() is RFC 9457: media type, default type, status, extensions", async () => {
  const response = problemResponse(413, { title: "Body too large", limitBytes: 10 });
  assert.equal(response.headers.get("content-type"), "application/problem+json");
  assert.deepEqual(await response.json(), {
    type: "about:blank",
    title: "Body too large",
    status: 413,
    limitBytes: 10,
  });
});

Deno.test("ProblemError thrown in a handler keeps its status and headers", async () => {
  const { app, logged } = testApp();
  const response = await app.request("/busy");
  assert.equal(response.status, 503);
  assert.equal(response.headers.get("retry-after"), "2");
  assert.equal((await response.json()).detail, "Wait.");
  assert.equal(logged.length, 0);
});

Deno.test("problemOnError() hides an unexpected error from the caller and logs it", async () => {
  const { app, logged } = testApp();
  const response = await app.request("/bug");
  assert.equal(response.status, 500);
  assert.doesNotMatch(await response.text(), /hunter2/);
  assert.equal(logged.length, 1);
});

Deno.test("problemNotFound() names what was asked for", async () => {
  const { app } = testApp();
  const response = await app.request("/nowhere", { method: "POST" });
  assert.equal(response.status, 404);
  assert.match((await response.json()).detail, /POST \/nowhere/);
});

Deno.test("problemOnError() makes a problem of what Hono itself refuses", async () => {
  const { app } = testApp();
  app.get("/malformed", () => {
    throw new HTTPException(400, { message: "Malformed JSON in request body" });
  });
  const response = await app.request("/malformed");
  assert.equal(response.headers.get("content-type"), "application/problem+json");
  assert.deepEqual(await response.json(), {
    type: "about:blank",
    title: "Bad request",
    status: 400,
    detail: "Malformed JSON in request body",
  });
});
