import assert from "node:assert/strict";
import { BusError } from "../../service/bus/bus.ts";
import { StartError } from "../../service/life_cycle.ts";
import { unlessStopped } from "./start_step.ts";

const running = new AbortController().signal;

Deno.test("unlessStopped() gives what the step gives, and throws what it throws", async () => {
  assert.equal(await unlessStopped("it was", Promise.resolve(7), running), 7);
  await assert.rejects(
    unlessStopped("it was", Promise.reject(new TypeError("a bug")), running),
    TypeError,
  );
});

Deno.test("unlessStopped() says what the bus could not do, and what to do, instead of an unexpected error", async () => {
  const failed = Promise.reject(new BusError("unavailable", "Cannot read signer.v1.keys: not now"));
  await assert.rejects(
    unlessStopped("requests were read", failed, running),
    (error: Error) =>
      error instanceof StartError &&
      /before requests were read: Cannot read signer\.v1\.keys: not now\. Start it again/
        .test(error.message),
  );
});

Deno.test("unlessStopped() ends with the stop", async () => {
  const stopping = new AbortController();
  const waiting = unlessStopped("it was", new Promise(() => {}), stopping.signal);
  stopping.abort();
  await assert.rejects(waiting, /asked to stop before it was/);
  await assert.rejects(unlessStopped("it was", new Promise(() => {}), stopping.signal), StartError);
});
