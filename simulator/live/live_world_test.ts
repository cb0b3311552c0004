import assert from "node:assert/strict";
import { eventually } from "../../service/testing/eventually.ts";
import { LiveError } from "./live_world.ts";
import { assertAppliedOnce, liveTest, testLive } from "./test_live.ts";

liveTest("an order goes through both backends and comes back, in one trace", async () => {
  await using test = await testLive();
  const { id, trace, state } = await test.live.placeOrder({ key: "k1" });
  assert.equal(state, "placed");
  await test.confirmed(1);
  assert.equal((await test.live.findOrder(id))!.state, "confirmed");
  await assertAppliedOnce(test, 1);
  await eventually(
    "the last step",
    () => test.steps.find(({ detail }) => detail === "confirmation"),
  );
  const traces = new Set(test.steps.map((step) => step.trace).filter((one) => one !== undefined));
  assert.deepEqual([...traces], [trace.split("-")[1]]);
  const points = test.steps.filter(({ event }) => event === "call").map(({ point }) => point);
  for (const point of [1, 2, 4, 5, 6, 8] as const) assert.ok(points.includes(point), `${point}`);
});

liveTest("to ask for an order again is harmless, and ids and keys are checked", async () => {
  await using test = await testLive();
  const first = await test.live.placeOrder({ id: "o-mine", key: "k2" });
  assert.deepEqual(await test.live.placeOrder({ id: "o-mine", key: "k2" }), {
    ...first,
    trace: first.trace,
  });
  await test.confirmed(1);
  assert.equal(test.live.state().counters.placed, 1);
  for (const order of [{ id: "17" }, { id: "o17" }, { id: "o-" }, { key: "k9" }]) {
    await assert.rejects(
      test.live.placeOrder(order),
      (error) => error instanceof LiveError && error.kind === "invalid",
    );
  }
});
