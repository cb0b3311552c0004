import assert from "node:assert/strict";
import type { Surroundings } from "./ports.ts";
import { HandlerError, processor } from "./processor.ts";
import { orderStage } from "./settings.ts";
import { inboxRow, message, newWorld } from "./test_part.ts";

for (const ordering of ["sequence", "queue"] as const) {
  Deno.test(`what follows a message is claimed with it, and waits where it fails (${ordering})`, () => {
    const batch = 8;
    const { loop, store, process, part, settings } = newWorld(() => {}, { ordering, batch });
    for (let sequence = 1; sequence <= 4; sequence++) {
      store.load("inbox", inboxRow(message("k1", sequence)));
    }
    const handled: string[] = [];
    let failures = 1;
    const work = function* (_part: Surroundings, _consumer: string, id: string) {
      yield* loop.sleep(1, process);
      handled.push(id);
      if (id === "k1-2" && failures-- > 0) throw new HandlerError("Not this time");
    };
    loop.spawn(process, processor(part, settings, orderStage, work));
    loop.runUntil(600_000, () => store.count("inbox", "done") === 4);
    assert.deepEqual(handled, ["k1-1", "k1-2", "k1-2", "k1-3", "k1-4"]);
    // Not for as long as their leases would have lasted.
    assert.ok(loop.nowMs < settings.leaseMs / 2, `${loop.nowMs} ms`);
    const tokens = store.find("inbox", "done").map(({ token }) => token);
    assert.deepEqual(tokens, [1, 2, 2, 2], "claimed together, and again after the failure");
  });
}

Deno.test("what a processor has claimed stays its own for as long as it works at what comes before", () => {
  const { loop, store, process, part, settings } = newWorld(() => {}, { batch: 8 });
  for (let sequence = 1; sequence <= 8; sequence++) {
    store.load("inbox", inboxRow(message("k1", sequence)));
  }
  const notes: string[] = [];
  const noting = { ...part, note: (event: string) => void notes.push(event) };
  const work = function* () {
    yield* loop.sleep(settings.leaseMs / 3, process);
  };
  loop.spawn(process, processor(noting, settings, orderStage, work));
  loop.spawn(process, processor({ ...noting, name: "other" }, settings, orderStage, work));
  loop.runUntil(600_000, () => store.count("inbox", "done") === 8);
  assert.deepEqual(notes.filter((note) => note === "lease-over" || note === "fenced"), []);
  assert.deepEqual(store.find("inbox", "done").map(({ token }) => token), Array(8).fill(1));
});
