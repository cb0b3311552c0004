import assert from "node:assert/strict";
import plugin from "./plugin.ts";

function complaints(code: string): string[] {
  return Deno.lint.runPlugin(plugin, "/orrery/orb/signup_test.ts", code)
    .map(({ message }) => message.split("'")[1]!);
}

Deno.test("the rule finds a sanitizer that is switched off without a reason, however it is", () => {
  const code = `
    Deno.test({ name: "a", sanitizeOps: false, fn });
    Deno.test("b", { sanitizeResources: isLinux, "sanitizeExit": !1 }, fn);
    // No.
    const options = { sanitizeOps: undefined };
    Deno.test.sanitizer({ ops: false });
    Deno.test({
      // This one says why it is so: of the other.
      sanitizeOps: false,

      sanitizeResources: false,
    });
  `;
  assert.deepEqual(complaints(code), [
    "sanitizeOps",
    "sanitizeResources",
    "sanitizeExit",
    "sanitizeOps",
    "Deno.test.sanitizer",
    "sanitizeResources",
  ]);
});

Deno.test("the rule leaves alone what is on, and what says why it is off", () => {
  const code = `
    Deno.test({ name: "a", sanitizeOps: true, sanitizeResources: true, fn });
    Deno.test({
      name: "b",
      // The platform keeps the socket of a container's network open.
      sanitizeResources: false,
      sanitizeOps: false, // Its answer comes a minute after the test.
      fn,
    });
    const { sanitizeOps } = options;
    tap.sanitizer(x);
  `;
  assert.deepEqual(complaints(code), []);
});
