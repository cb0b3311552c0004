import assert from "node:assert/strict";
import { aborted, pause } from "../resilience.ts";
import { VirtualWorld } from "../world/virtual_world.ts";
import { assertNothingAddsUp } from "./rounds.ts";

Deno.test("a listener or a timer that each round leaves behind is noticed", async () => {
  const { signal } = new AbortController();
  await assert.rejects(
    assertNothingAddsUp(() => void aborted(signal)),
    /after 50 rounds, against after one/,
  );
  // Not of the first round on.
  await assert.rejects(assertNothingAddsUp((index) => void (index > 3 && aborted(signal))));
  const world = new VirtualWorld();
  await assert.rejects(
    assertNothingAddsUp(() => void pause(1_000, { world }), {
      counts: { timers: () => world.pendingTimers },
    }),
  );
});

Deno.test("what each round takes back, and what only one leaves behind, is none", async () => {
  const { signal } = new AbortController();
  const world = new VirtualWorld();
  await assertNothingAddsUp(async (index) => {
    if (index === 0) aborted(signal);
    aborted(new AbortController().signal);
    const waiting = pause(10, { signal, world });
    await world.advance(10);
    assert.ok(await waiting);
  }, { counts: { timers: () => world.pendingTimers } });
  assert.equal(Object.hasOwn(AbortSignal.prototype, "addEventListener"), false);
});
