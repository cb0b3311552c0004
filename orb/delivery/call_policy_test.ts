import assert from "node:assert/strict";
import { eventually } from "../../service/testing/eventually.ts";
import { testContext } from "../../service/testing/context.ts";
import { createCallPolicy } from "./call_policy.ts";
import type { CallResult } from "./signup_wire.ts";

const down: CallResult = { kind: "later", reason: "connection refused" };
const accepted: CallResult = { kind: "accepted" };

function testPolicy(maxCalls = 4, maxWaiting = 4) {
  const { log, lines, telemetry: { meter } } = testContext();
  const breaker = { minimumCalls: 4, windowMs: 10_000, cooldownMs: 50 };
  return { lines, policy: createCallPolicy({ maxCalls, maxWaiting, breaker, log, meter }) };
}

Deno.test("the circuit opens when calls fail, tries one later, and closes", async () => {
  const { policy, lines } = testPolicy();
  let calls = 0;
  const call = (result: CallResult) => {
    calls++;
    return Promise.resolve(result);
  };
  for (let count = 0; count < 4; count++) await policy.run(() => call(down));
  assert.equal(policy.state, "open");
  const result = await policy.run(() => call(accepted));
  assert.equal(result.kind, "later");
  assert.match((result as { reason: string }).reason, /circuit is open/);
  assert.equal(calls, 4, "an open circuit makes no call");

  // One that fails opens it again, one that does not closes it.
  await eventually("a try", async () => {
    await policy.run(() => call(down));
    return calls > 4 || undefined;
  });
  assert.equal(policy.state, "open");
  await eventually("a success", async () => {
    const { kind } = await policy.run(() => call(accepted));
    return kind === "accepted" || undefined;
  });
  assert.equal(policy.state, "closed");
  assert.match(
    lines.join("\n"),
    /WARN The orb server fails.*cooldown_ms=50[^]*INFO The orb server works again/,
  );
});

Deno.test("polite refusals and decisions do not open the circuit", async () => {
  const { policy } = testPolicy();
  const polite: CallResult[] = [
    { kind: "later", status: 503, afterMs: 1_000, reason: "busy" },
    { kind: "later", status: 429, reason: "too many" },
    { kind: "duplicate" },
    { kind: "refused", status: 422, reason: "" },
    { kind: "unusable", status: 401, reason: "" },
    { kind: "later", status: 202, handedIn: true, reason: "queued" },
  ];
  for (const result of [...polite, ...polite]) await policy.run(() => Promise.resolve(result));
  assert.equal(policy.state, "closed");
});

Deno.test("the bulkhead bounds calls under way and those that wait, and gives places back", async () => {
  const { policy } = testPolicy(2, 1);
  const calls: (() => void)[] = [];
  const call = () => new Promise<CallResult>((resolve) => calls.push(() => resolve(accepted)));
  const results = [policy.run(call), policy.run(call), policy.run(call)];
  assert.equal(calls.length, 2);
  const refused = await policy.run(call);
  const reason = "too many calls wait already";
  assert.deepEqual(refused, { kind: "later", reason, notCalled: true });
  calls[0]!();
  assert.deepEqual(await results[0], accepted);
  await eventually("its turn", () => calls.length === 3 || undefined);
  calls[1]!();
  calls[2]!();
  assert.deepEqual(await Promise.all(results), [accepted, accepted, accepted]);
});
