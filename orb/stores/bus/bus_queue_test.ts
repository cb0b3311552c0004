import assert from "node:assert/strict";
import { hash } from "node:crypto";
import { join } from "node:path";
import { ulid } from "ulid";
import { type Bus, BusError } from "../../../service/bus/bus.ts";
import { memoryBus } from "../../../service/bus/memory_bus.ts";
import { testContext } from "../../../service/testing/context.ts";
import { eventually } from "../../../service/testing/eventually.ts";
import { testWith } from "../../../service/testing/permissions.ts";
import type { NewSignup } from "../../signups/signup_record.ts";
import type { RecordBackend } from "../record_backend.ts";
import { recordSuite } from "../record_suite.ts";
import { openSqliteBackend } from "../sqlite/sqlite_backend.ts";
import { openBusQueue } from "./bus_queue.ts";
import { Offers } from "./offers.ts";
import { withTempFolder } from "../../../service/testing/temp_folder.ts";

const topic = "orb.v2.queue";
let folder = "";
let opened = 0;

function inFolder(run: () => Promise<void>): () => Promise<void> {
  return () =>
    withTempFolder((temporary) => {
      folder = temporary;
      return run();
    });
}

async function openQueue(
  path: string,
  { bus = memoryBus(), overdueMs = 50 }: { bus?: Bus; overdueMs?: number } = {},
): Promise<RecordBackend & { lines: string[] }> {
  const { log, world, lines } = testContext();
  await bus.createTopic(topic);
  const backend = await openSqliteBackend({ path });
  const queue = openBusQueue({
    ...{ backend, bus, topic, takes: true, log, world },
    ...{ sweepIntervalMs: 20, overdueMs },
  });
  return Object.assign(queue, { lines });
}

recordSuite({
  name: "memory bus over sqlite",
  isShared: false,
  async open() {
    const path = join(folder, `${++opened}.sqlite`);
    const again = () => openQueue(path);
    return { backend: await again(), again };
  },
  test: (name, run) => testWith(["read", "write"], name, inFolder(run)),
});

function someSignup(): NewSignup {
  const id = ulid();
  return {
    ...{ id, sha256: hash("sha256", id, "hex"), imageBytes: 7 },
    ...{ mediaType: "image/png", token: "371dd8e3f2423f4a" },
  };
}

const claim = {
  type: "claim",
  worker: "w",
  max: 10,
  leaseMs: 30_000,
  maxAttempts: 3,
} as const;

testWith(
  ["read", "write"],
  "signups are dealt by the bus, and by the database where the bus is away",
  inFolder(async () => {
    const bus = memoryBus();
    let isAway = false;
    const flaky: Bus = {
      ...bus,
      createTopic: (name) => bus.createTopic(name),
      send: (name, record) =>
        isAway ? Promise.reject(new BusError("unavailable", "no broker")) : bus.send(name, record),
      consume: (options) => bus.consume(options),
      close: () => bus.close(),
    };
    // So long that only the bus can have dealt it.
    const queue = await openQueue(join(folder, "dealt.sqlite"), { bus: flaky, overdueMs: 600_000 });
    const [first, second] = [someSignup(), someSignup()];
    await queue.apply([{ type: "submit", signup: first, maxQueued: 10 }]);
    const [claimed] = await eventually("an offer", async () => {
      const [some] = await queue.apply([claim]);
      return some.length > 0 ? some : undefined;
    });
    assert.equal(claimed!.id, first.id);
    await queue.apply([{ type: "release", id: first.id, fence: claimed!.fence }]);
    await eventually("the offer of what was given back", async () => {
      const [[again]] = await queue.apply([claim]);
      return again && again.id === first.id || undefined;
    });
    isAway = true;
    await queue.apply([{ type: "submit", signup: second, maxQueued: 10 }]);
    await eventually(
      "the word of it",
      () => queue.lines.some((line) => /could not be offered/.test(line)) || undefined,
    );
    await queue.close();

    // It is overdue for a server that begins now.
    const next = await openQueue(join(folder, "dealt.sqlite"), { overdueMs: 0 });
    await eventually("the sweep", async () => {
      const [[found]] = await next.apply([claim]);
      return found && found.id === second.id || undefined;
    });
    await next.close();
  }),
);

testWith(
  ["read", "write"],
  "what is no offer is left out, and what was not claimed is offered again",
  inFolder(async () => {
    const bus = memoryBus();
    await bus.createTopic(topic);
    await bus.send(topic, { headers: [], value: new TextEncoder().encode("../../etc/passwd") });
    const queue = await openQueue(join(folder, "odd.sqlite"), { bus });
    await eventually(
      "the word of it",
      () => queue.lines.some((line) => /no signup's id/.test(line)) || undefined,
    );
    await queue.close();

    const offers = new Offers();
    let settled = false;
    offers.add("a").then(() => settled = true);
    assert.deepEqual(offers.take(5), ["a"]);
    offers.settle(["a"], false);
    assert.equal(settled, false);
    assert.deepEqual(offers.take(5), ["a"]);
    offers.settle(["a"], true);
    await Promise.resolve();
    assert.equal(settled, true);
  }),
);
