import assert from "node:assert/strict";
import { withoutAmbient } from "./ambient_guard.ts";

const uses: Record<string, () => unknown> = {
  "Date.now": () => Date.now(),
  "new Date()": () => new Date(),
  "Date()": () => Date(),
  "random": () => Math.random(),
  "setTimeout": () => setTimeout(() => {}, 0),
  "setInterval": () => setInterval(() => {}, 1),
  "queueMicrotask": () => queueMicrotask(() => {}),
  "fetch": () => fetch("http://localhost"),
  "crypto": () => crypto.randomUUID(),
  "performance": () => performance.now(),
};

for (const [name, use] of Object.entries(uses)) {
  Deno.test(`in a simulation, ${name} throws`, () => {
    assert.throws(
      () => withoutAmbient(use),
      new RegExp(`must not use '${name.replace("()", "\\(\\)")}'`),
    );
  });
}

Deno.test("what reads no clock works in a simulation, and afterwards all is as before", () => {
  const { now } = Date;
  assert.equal(withoutAmbient(() => new Date(0).toISOString()), "1970-01-01T00:00:00.000Z");
  assert.throws(() => withoutAmbient(() => assert.fail("on purpose")));
  assert.throws(
    () =>
      withoutAmbient(() => {
        withoutAmbient(() => assert.throws(() => Date.now()));
        return Date.now();
      }),
    /must not use 'Date.now'/,
    "one within another ends with the outer one",
  );
  assert.equal(Date.now, now);
  assert.ok(Math.random() < 1 && crypto.randomUUID().length === 36 && new Date().getTime() > 0);
});
