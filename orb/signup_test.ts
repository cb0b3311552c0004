import assert from "node:assert/strict";
import { ProblemError } from "../service/problem.ts";
import { createSignup, decodeBase64, parseSignup } from "./signup.ts";
import { testContext } from "../service/testing/context.ts";
import { BodyBudget } from "./overload/body_budget.ts";
import type { TokenResult } from "./stores/record_commands.ts";
import type { RecordStore } from "./stores/record_store.ts";
import { StoreError } from "./stores/store_error.ts";

function status(body: string): number {
  try {
    parseSignup(body);
  } catch (error) {
    assert.ok(error instanceof ProblemError, String(error));
    return error.status;
  }
  return 200;
}

Deno.test("parseSignup() takes a signup and ignores other fields", () => {
  assert.deepEqual(parseSignup('{"x":[1],"image_base64":"AQID","id":"01J"}'), {
    id: "01J",
    imageBase64: "AQID",
  });
});

Deno.test("parseSignup() refuses what is not JSON with 400 and a wrong field with 422", () => {
  for (const body of ["", " ", "{", "{'id':1}", '{"id":"\ufffd","image_base64":""}']) {
    assert.equal(status(body), 400, body);
  }
  const wrong = [
    "null",
    "[]",
    '"text"',
    "12",
    "{}",
    '{"id":"1"}',
    '{"image_base64":"AQID"}',
    '{"id":1,"image_base64":"AQID"}',
    '{"id":null,"image_base64":"AQID"}',
    '{"id":"","image_base64":"AQID"}',
    '{"id":"1","image_base64":null}',
    '{"id":"1","image_base64":["AQID"]}',
    `{"id":"${"x".repeat(129)}","image_base64":"AQID"}`,
  ];
  for (const body of wrong) assert.equal(status(body), 422, body);
});

Deno.test("decodeBase64() takes standard base64 with its padding, nothing else", () => {
  assert.deepEqual(decodeBase64("AQIDBAU="), new Uint8Array([1, 2, 3, 4, 5]));
  assert.deepEqual(decodeBase64("+/8="), new Uint8Array([251, 255]));
  assert.deepEqual(decodeBase64(""), new Uint8Array());
  for (
    const text of [
      "AQIDBAU", // no padding
      "AQIDBAV=", // bits left over
      "-_8=", // the URL alphabet
      "AQID BAU=",
      "AQIDBAU=\n",
      "AQIDBAU==",
      "A",
      "=",
      "!!!!",
      "ÄQID",
    ]
  ) {
    assert.throws(() => decodeBase64(text), SyntaxError, text);
  }
});

function post(image: string): Request {
  const body = JSON.stringify({ id: "1", image_base64: image });
  return new Request("http://127.0.0.1/api/signup", {
    method: "POST",
    body,
    headers: { "content-length": String(body.length) },
  });
}

function storeThat(addToken: () => Promise<TokenResult>): Pick<RecordStore, "run"> {
  return { run: addToken as unknown as RecordStore["run"] };
}

Deno.test("signup() answers 503 with Retry-After when the store is full or the disk refuses", async () => {
  const { log, telemetry: { tracer, meter } } = testContext();
  const busy = storeThat(() => Promise.reject(new StoreError("busy", "512 signups wait")));
  const failing = storeThat(() => Promise.resolve("failed"));
  for (const store of [busy, failing]) {
    const response = await createSignup({ store, log, tracer, meter })(post("AQID"));
    assert.equal(response.status, 503);
    assert.match(response.headers.get("retry-after") ?? "", /^\d+$/);
    assert.equal(response.headers.get("content-type"), "application/problem+json");
    await response.body?.cancel();
  }
});

Deno.test("signup() refuses a body that would make all bodies too large together", async () => {
  const { log, telemetry: { tracer, meter } } = testContext();
  const stored = Promise.withResolvers<"new">();
  const signup = createSignup({
    store: storeThat(() => stored.promise),
    log,
    tracer,
    meter,
    budget: new BodyBudget(60),
  });
  const first = signup(post("AQID"));
  await assert.rejects(signup(post("AQID")), { name: "ProblemError", status: 503 });
  stored.resolve("new");
  assert.equal((await first).status, 200);
  assert.equal((await signup(post("AQID"))).status, 200);
});

Deno.test("signup() logs an id as one line, whatever is in it", async () => {
  const { log, lines, telemetry: { tracer, meter } } = testContext();
  const store = storeThat(() => Promise.resolve("new"));
  const body = '{"id":"a\\nb\\u001b[2J","image_base64":"AQID"}';
  const request = new Request("http://127.0.0.1/", { method: "POST", body });
  assert.equal((await createSignup({ store, log, tracer, meter })(request)).status, 200);
  assert.equal(lines.length, 1);
  // deno-lint-ignore no-control-regex -- exactly these must not be there
  assert.doesNotMatch(lines[0]!, /[\n\x1b]/);
});
