import assert from "node:assert/strict";
import { janitor, redrive } from "./janitor.ts";
import { OldestRows } from "./oldest_rows.ts";
import { LinkError, type Row, type Surroundings } from "./ports.ts";
import { processor } from "./processor.ts";
import { relay } from "./relay.ts";
import { orderStage, outboxRow } from "./settings.ts";
import { done, toPromise } from "./step.ts";
import { inboxRow, message, newWorld } from "./test_part.ts";

Deno.test("a relay sends what lies behind thousands of rows whose key waits", () => {
  const sent: string[] = [];
  const world = newWorld((message) => {
    if (message.key === "k1") throw new LinkError("refused", "Not this key");
    sent.push(message.id);
  });
  const { loop, store, process, part, settings } = world;
  for (let sequence = 1; sequence <= 1_000; sequence++) {
    store.load("outbox", outboxRow(part, settings, message("k1", sequence), 0));
  }
  for (let sequence = 1; sequence <= 3; sequence++) {
    store.load("outbox", outboxRow(part, settings, message("k2", sequence), 0));
  }
  loop.spawn(process, relay(part, settings, orderStage));
  loop.runUntil(60_000, () => sent.length === 3);
  assert.deepEqual(sent, ["k2-1", "k2-2", "k2-3"]);
});

for (const ordering of ["sequence", "queue"] as const) {
  Deno.test(`a processor handles what lies behind a parked message and its successors (${ordering})`, () => {
    const { loop, store, process, part, settings } = newWorld(() => {}, { ordering });
    store.load("inbox", inboxRow(message("k1", 1), "parked"));
    for (let sequence = 2; sequence <= 1_000; sequence++) {
      store.load("inbox", inboxRow(message("k1", sequence)));
    }
    for (let sequence = 1; sequence <= 3; sequence++) {
      store.load("inbox", inboxRow(message("k2", sequence)));
    }
    const handled: string[] = [];
    const work = (_part: Surroundings, _consumer: string, id: string) => {
      handled.push(id);
      return done(undefined);
    };
    loop.spawn(process, processor(part, settings, orderStage, work));
    loop.runUntil(60_000, () => handled.length === 3);
    assert.deepEqual(handled, ["k2-1", "k2-2", "k2-3"]);
  });
}

Deno.test("a relay reads a few rows for each that it sends, however full its box is", () => {
  const sent: string[] = [];
  const world = newWorld(({ id }) => void sent.push(id));
  const { loop, store, process, part, counts, settings } = world;
  for (let sequence = 1; sequence <= 600; sequence++) {
    store.load("outbox", outboxRow(part, settings, message("k1", sequence), 0));
  }
  loop.spawn(process, relay(part, settings, orderStage));
  loop.runUntil(600_000, () => sent.length === 600);
  assert.deepEqual(sent, Array.from({ length: 600 }, (_, index) => `k1-${index + 1}`));
  assert.ok(counts.rows <= 600 * 12, `${counts.rows} rows read`);
  // Four batches of the oldest, beside the one that is being marked.
  assert.ok(counts.largest <= 10, `${counts.largest} rows at once`);
});

Deno.test("a processor looks behind its first rows once in a poll's time, not at each turn", () => {
  const { loop, store, process, part, counts, settings } = newWorld(() => {});
  for (let sequence = 1; sequence <= 600; sequence++) {
    store.load("inbox", inboxRow(message("k1", sequence)));
  }
  let handled = 0;
  const work = () => {
    handled++;
    return done(undefined);
  };
  loop.spawn(process, processor(part, settings, orderStage, work));
  loop.runUntil(600_000, () => handled === 600);
  assert.equal(handled, 600);
  // One key is in the box, of two that could be: whether the other is behind it is asked for now and then.
  const looks = loop.nowMs / settings.pollMs + 1;
  const limit = 600 * 12 + looks * 1_200;
  assert.ok(counts.rows <= limit, `${counts.rows} rows read, not at most ${limit}`);
});

Deno.test("more is read once in a poll's time, and from then on where it has helped", async () => {
  const all = Array.from({ length: 40 }, (_, index) => ({ id: index + 1 })) as unknown as Row[];
  let nowMs = 0;
  let limits: number[] = [];
  const clock = { nowMs: () => nowMs, sleep: () => done(undefined) };
  const box = new OldestRows(clock, { batch: 2, pollMs: 200 });
  /** @param needed so many rows are enough @param first nothing before this one can be taken */
  const look = async (needed: number, first = 1) => {
    limits = [];
    const { found, limit } = await toPromise(box.read(
      (limit) => {
        limits.push(limit);
        return done({ rows: all.slice(0, limit) });
      },
      {
        takeable: ({ rows }) => rows.filter(({ id }) => id >= first).length,
        isEnough: ({ rows }) => rows.length >= needed,
      },
    ));
    return { length: found.rows.length, limit, limits };
  };
  assert.deepEqual(await look(8), { length: 8, limit: 8, limits: [8] });
  assert.deepEqual(await look(30, 20), { length: 32, limit: 32, limits: [8, 32] });
  nowMs = 199;
  assert.deepEqual(await look(30, 20), { length: 32, limit: 32, limits: [32] });
  nowMs = 200;
  assert.deepEqual(await look(8), { length: 8, limit: 8, limits: [8] });
  assert.deepEqual(await look(100, 50), { length: 8, limit: 8, limits: [8, 32, 128] });
  assert.deepEqual(await look(100, 50), { length: 8, limit: 8, limits: [8] }, "it has not helped");
  nowMs = -5_000;
  assert.deepEqual(await look(100, 50), { length: 8, limit: 8, limits: [8, 32, 128] });
});

Deno.test("what is parked is redriven, and what is old removed, however much it is", () => {
  const { loop, store, process, part, settings } = newWorld(() => {}, { windowMs: 1_000 });
  for (let sequence = 1; sequence <= 1_300; sequence++) {
    store.load("inbox", inboxRow(message("k1", sequence), "parked"));
    store.load("outbox", {
      ...outboxRow(part, settings, message("k2", sequence), 0),
      ...{ queue: "sent", state: "sent" },
    });
  }
  loop.spawn(process, redrive(part, settings));
  loop.spawn(process, janitor(part, settings));
  const count = (state: string) =>
    store.find("inbox", "open").filter((row) => row["state"] === state);
  loop.runUntil(60_000, () => count("parked").length === 0 && store.count("outbox", "sent") === 0);
  assert.equal(count("pending").length, 1_300);
  assert.equal(store.count("outbox", "sent"), 0);
});
