import { trace } from "@opentelemetry/api";
import assert from "node:assert/strict";
import { assertNothingAddsUp } from "../../service/testing/rounds.ts";
import { VirtualWorld } from "../../service/world/virtual_world.ts";
import { parseEndpoint } from "../grpc/endpoint.ts";
import { ObservationError } from "../grpc/failure.ts";
import type { ImageStore, StoreSnapshot } from "./image_store.ts";
import { StoreWatch } from "./store_watch.ts";
import { silentLog } from "./test_observatory.ts";

const snapshot: StoreSnapshot = {
  images: [],
  unreadable: 0,
  filesystems: [],
  filesystemsUp: true,
  problems: [],
  runtime: undefined,
};

/** Rejects when it is cut, as a call does. */
function cut(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) =>
    signal.addEventListener("abort", () => reject(signal.reason), { once: true })
  );
}

Deno.test("observations that are good, fail or take too long leave nothing behind, nor their history more than so much", async () => {
  const world = new VirtualWorld({ seed: 4 });
  let polls = 0;
  const store: ImageStore = {
    poll: ({ signal }) => {
      switch (polls++ % 3) {
        case 0:
          return cut(signal);
        case 1:
          return Promise.reject(new ObservationError("unreachable", "UNAVAILABLE", "gone"));
        default:
          return Promise.resolve(snapshot);
      }
    },
    stop() {},
  };
  const outcomes: string[] = [];
  const watch = new StoreWatch({
    endpoint: parseEndpoint("cri=127.0.0.1:1"),
    makeStore: () => store,
    timeoutMs: 1_000,
    tracer: trace.getTracer("test"),
    log: silentLog,
    onOutcome: (_, __, outcome) => void outcomes.push(outcome),
    onChange() {},
    maxHistory: 3,
    world,
  });
  await assertNothingAddsUp(async () => {
    const three = ["interval", "http", "sigquit"].map(async (trigger) => {
      await watch.trigger(trigger as "interval");
    });
    await world.runUntil(Promise.all(three));
    await world.runUntil(watch.trigger("http"));
  }, {
    counts: {
      timers: () => world.pendingTimers,
      history: () => watch.state.history.length,
    },
  });
  assert.deepEqual(outcomes.slice(0, 4), ["coalesced", "timeout", "unreachable", "success"]);
  await watch.stop(new AbortController().signal);
  assert.equal(world.pendingTimers, 0);
});
