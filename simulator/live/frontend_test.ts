import assert from "node:assert/strict";
import { testContext } from "../../service/testing/context.ts";
import { VirtualWorld } from "../../service/world/virtual_world.ts";
import { done } from "../topology/step.ts";
import { Frontend, type FrontendSources, trickleMs } from "./frontend.ts";
import { LiveRecorder } from "./live_recorder.ts";
import { usualSettings } from "./live_settings.ts";

Deno.test("orders come at their rate, however late the timer is, and not as a flood after a stop", async () => {
  let orders = 0;
  const world = new VirtualWorld({ seed: 1 });
  class Counter extends LiveRecorder {
    override ordered() {
      orders++;
    }
  }
  const frontend = new Frontend({
    ...{ keys: ["k1"], settings: { ...usualSettings, pattern: "outbox" }, world },
    ...{ recorder: new Counter(), log: testContext().log, apis: () => [] },
    links: { connect: () => ({ call: () => done(undefined) }) },
    surround: () => ({ note: () => {} }),
  } as unknown as FrontendSources);
  frontend.rate = 500;
  for (let i = 0; i < 100; i++) {
    await world.advance(trickleMs * 1.5);
    frontend.trickle();
  }
  assert.equal(orders, 500 * trickleMs * 1.5 / 1_000 * 100);
  orders = 0;
  await world.advance(60_000);
  frontend.trickle();
  assert.equal(orders, 500);
});
