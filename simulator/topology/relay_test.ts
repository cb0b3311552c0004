import assert from "node:assert/strict";
import { relay } from "./relay.ts";
import { orderStage, outboxRow } from "./settings.ts";
import { message, newWorld } from "./test_part.ts";

Deno.test("a token whose commit was lost is not the relay's own: it is given to another", () => {
  const sent: string[] = [];
  const { loop, store, process, part, settings } = newWorld(({ id }) => void sent.push(id));
  store.load("outbox", outboxRow(part, settings, message("k1", 1), 0));
  loop.spawn(process, relay(part, settings, orderStage));
  // The store crashes while the relay commits that it has taken the shard.
  const isCommitting = () => store.active.some((one) => one.isCommitting);
  while (!isCommitting()) assert.ok(loop.step(1_000));
  store.crash(50, () => false);
  // Meanwhile another relay takes it, and gets the token that the first would have had.
  const [lease] = store.find("leases", "shard-0");
  assert.equal(lease!["token"], 0);
  const untilMs = loop.nowMs + settings.leaseMs;
  const after = { ...lease!, owner: "other", session: "other/0", token: 1, untilMs };
  store.table("leases").apply({ table: "leases", id: lease!.id, before: lease, after });
  loop.runUntil(untilMs - 1);
  assert.deepEqual(sent, [], "it sends what is another's");
  loop.runUntil(untilMs + 2 * settings.leaseMs, () => sent.length > 0);
  assert.deepEqual(sent, ["k1-1"]);
  assert.equal(store.find("leases", "shard-0")[0]!["token"], 2);
});

Deno.test("a relay that is busy keeps its shard, and claims what comes next with what it marks", () => {
  const sent: string[] = [];
  const { loop, store, process, part, settings } = newWorld(({ id }) => void sent.push(id));
  for (let sequence = 1; sequence <= 200; sequence++) {
    store.load("outbox", outboxRow(part, settings, message("k1", sequence), 0));
  }
  let commits = 0;
  const begin = part.store.begin.bind(part.store);
  part.store.begin = function* () {
    commits++;
    return yield* begin();
  };
  const slow = { ...part.link, call: part.link.call };
  slow.call = function* (_point, _subject, perform) {
    yield* loop.sleep(settings.leaseMs / 8, process);
    return yield* perform();
  };
  loop.spawn(process, relay({ ...part, link: slow }, settings, orderStage));
  loop.runUntil(600_000, () => store.count("outbox", "sent") === 200);
  assert.equal(sent.length, 200);
  // One for each batch, and the first claim.
  assert.equal(commits, 200 / settings.batch + 1);
  assert.equal(store.find("leases", "shard-0")[0]!["token"], 1);
});
