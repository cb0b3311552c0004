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

Deno.test("a problem's error has its detail as message, or its title, and its own name", () => {
  const problem = { title: "Overloaded", detail: "Wait." };
  assert.equal(new ProblemError(503, problem).message, "Wait.");
  assert.equal(new ProblemError(503, { title: "Overloaded" }).message, "Overloaded");
  const error = new ProblemError(503, problem);
  assert.deepEqual([error.name, error.status, error.problem], ["ProblemError", 503, problem]);
});

Deno.test("problemOnError() logs what, with its stack, and tells the caller where to look", async () => {
  const { app, logged } = testApp();
  for (const status of [400, 418] as const) {
    app.get(`/${status}`, () => {
      throw new HTTPException(status, { message: "why" });
    });
  }
  app.get("/own", () => {
    throw new HTTPException(401, { res: new Response("own", { status: 401 }) });
  });
  assert.deepEqual(await (await app.request("/bug")).json(), {
    ...{ type: "about:blank", title: "Internal error", status: 500 },
    detail: "The request failed on our side; the log has the cause.",
  });
  const [[message, fields]] = logged as [[string, Record<string, string>]];
  assert.equal(message, "Unexpected error in a request handler");
  assert.equal(fields["exception.type"], "TypeError");
  assert.equal(fields["exception.message"], "password=hunter2");
  assert.match(fields["exception.stacktrace"]!, /problem_test\.ts/);
  assert.deepEqual(await (await app.request("/nowhere")).json(), {
    ...{ type: "about:blank", title: "Not found", status: 404 },
    detail: "There is nothing at GET /nowhere.",
  });
  for (const [status, title] of [[400, "Bad request"], [418, "Request refused"]] as const) {
    const answer = await (await app.request(`/${status}`)).json();
    assert.deepEqual([answer.title, answer.detail], [title, "why"]);
  }
  assert.equal(await (await app.request("/own")).text(), "own");
  assert.deepEqual(
    await problemResponse(400, { title: "t", type: "https://errors.example/t" }).json(),
    { type: "https://errors.example/t", title: "t", status: 400 },
  );
});
