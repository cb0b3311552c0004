/**
 * The queue in SQLite with the clock in the test's hands: what the suite of all back-ends cannot see,
 * as it waits for a real one.
 *
 * @module
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { testWith } from "../../../service/testing/permissions.ts";
import { withTempFolder } from "../../../service/testing/temp_folder.ts";
import type { NewSignup, SignupRecord, Verdict } from "../../signups/signup_record.ts";
import type { CommandName, RecordCommand, ReplyOf } from "../record_commands.ts";
import { digest, limits, signupOf } from "../test_record_steps.ts";
import { SqliteRecords } from "./sqlite_records.ts";

const startMs = 1_700_000_000_000;

/** A file, the time by its clock, and what is asked of it. */
class Scene {
  nowMs = startMs;
  records: SqliteRecords;

  constructor(readonly path: string) {
    this.records = this.#open();
  }

  #open(): SqliteRecords {
    return new SqliteRecords({ path: this.path, nowMs: () => this.nowMs });
  }

  /** As after a crash, but for the file, which is closed. */
  restart(): void {
    this.records.close();
    this.records = this.#open();
  }

  ask<Command extends RecordCommand>(
    command: Command,
  ): ReplyOf<Command["type"] & CommandName> {
    const { replies } = this.records.apply(new Uint8Array(), [command]);
    return replies[0] as ReplyOf<Command["type"] & CommandName>;
  }

  submit(signup: NewSignup = signupOf("one")): NewSignup {
    this.ask({ type: "submit", signup, maxQueued: 100 });
    return signup;
  }

  claim(more: object = {}): SignupRecord[] {
    return this.ask({ type: "claim", worker: "w", max: 10, ...limits, ...more });
  }

  decide(verdicts: readonly (readonly [SignupRecord, Verdict])[], comparedSeq = 0, epoch = 1) {
    const decisions = verdicts.map(([{ id, fence }, verdict]) => ({ id, fence, verdict }));
    return this.ask({ type: "decide", decisions, comparedSeq, epoch });
  }

  find({ id }: { id: string }): SignupRecord {
    return this.ask({ type: "find", id })!;
  }
}

function queueTest(name: string, run: (scene: Scene) => void): void {
  testWith(["read", "write"], `sqlite queue: ${name}`, () =>
    withTempFolder((folder) => {
      const scene = new Scene(join(folder, "orb.sqlite"));
      run(scene);
      scene.records.close();
      return Promise.resolve();
    }));
}

const fingerprint = (byte: number) => new Uint8Array(8).fill(byte);
const accepted = (byte: number): Verdict => ({ state: "accepted", fingerprint: fingerprint(byte) });
const rejected: Verdict = { state: "rejected", reason: "blurred" };

queueTest(
  "how long the oldest waits is from when it is due, and never less than nothing",
  (scene) => {
    const waits = () => scene.ask({ type: "statistics" }).oldestWaitMs;
    assert.equal(waits(), 0);
    scene.submit();
    assert.equal(waits(), 0);
    scene.nowMs += 700;
    scene.submit(signupOf("two"));
    assert.equal(waits(), 700);
    scene.claim();
    assert.equal(waits(), 0, "both are worked on, until their leases end");
  },
);

queueTest("those that are overdue for long enough are claimed, by their ids too", (scene) => {
  const { id } = scene.submit();
  scene.nowMs += 4_999;
  const overdue = { overdueMs: 5_000 };
  assert.deepEqual([scene.claim(overdue), scene.claim({ ...overdue, ids: [id] })], [[], []]);
  scene.nowMs += 1;
  assert.equal(scene.claim({ ...overdue, ids: [id] }).length, 1);
  scene.nowMs += limits.leaseMs + 4_999;
  assert.deepEqual(scene.claim(overdue), []);
  scene.nowMs += 1;
  assert.equal(scene.claim(overdue).length, 1);
});

queueTest(
  "after a start whoever had a signup is gone, and no wait is longer than an hour",
  (scene) => {
    const worked = scene.submit(signupOf("worked on"));
    const [claimed] = scene.claim({ leaseMs: 9_000_000 });
    assert.equal(claimed!.id, worked.id);
    scene.nowMs += 10_000_000;
    const late = scene.submit(signupOf("from a clock that was fast"));
    scene.nowMs -= 10_000_000;
    const soon = { delayMs: 3_600_000, maxAttempts: 9, reason: "not now" };
    const waiting = scene.submit(signupOf("waits an hour"));
    const [again] = scene.claim({ ids: [waiting.id] });
    scene.ask({ type: "retry", ...again!, ...soon });
    scene.restart();
    assert.equal(scene.find(worked).state, "processing");
    assert.deepEqual(
      scene.claim().map(({ id, attempts }) => [id, attempts]).sort(),
      [[worked.id, 2], [late.id, 1]].sort(),
    );
    assert.equal(scene.find(waiting).dueMs, startMs + 3_600_000);
  },
);

queueTest("what nobody has, or another has, is lost to who asks", (scene) => {
  const { id } = scene.submit();
  const [first] = scene.claim();
  const lost = { result: "lost" } as const;
  const failure = { reason: "no", delayMs: 0, maxAttempts: 9 };
  for (const who of [{ id: signupOf("none").id, fence: 1 }, { id, fence: first!.fence + 1 }]) {
    assert.deepEqual(scene.ask({ type: "retry", ...who, ...failure }), lost);
    assert.deepEqual(scene.ask({ type: "release", ...who }), lost);
    assert.deepEqual(scene.ask({ type: "extend", ...who, leaseMs: 9 }), lost);
    assert.deepEqual(scene.ask({ type: "requeue", id: who.id }), lost);
    assert.deepEqual(scene.decide([[{ ...first!, ...who }, rejected]]), {
      result: "decided",
      decisions: [lost],
    });
  }
  assert.deepEqual(scene.find({ id }), first);
});

queueTest("a lease is prolonged from now on", (scene) => {
  scene.submit();
  const [held] = scene.claim();
  scene.nowMs += 20_000;
  const reply = scene.ask({ type: "extend", ...held!, leaseMs: 7_000 });
  assert.equal(reply.result === "changed" && reply.record.dueMs, startMs + 27_000);
  assert.equal(scene.find(held!).dueMs, startMs + 27_000);
});

queueTest("only what was compared can be stale: by one that is newer, or by a reset", (scene) => {
  for (const name of ["a", "b", "c", "d", "e"]) scene.submit(signupOf(name));
  const [a, b, c, d, e] = scene.claim() as [
    ...[SignupRecord, SignupRecord, SignupRecord, SignupRecord, SignupRecord],
  ];
  assert.equal(scene.decide([[a, accepted(1)]]).result, "decided");
  // Compared with none of those that there are.
  assert.deepEqual(scene.decide([[b, rejected], [c, accepted(2)]]), { result: "stale" });
  assert.equal(scene.find(b).state, "processing");
  assert.equal(scene.decide([[b, rejected]]).result, "decided");
  assert.equal(scene.decide([[c, { state: "accepted" }]]).result, "decided");
  assert.equal(scene.decide([]).result, "decided");
  scene.ask({ type: "reset" });
  assert.deepEqual(scene.decide([[d, accepted(3)]], 1, 1), { result: "stale" });
  assert.equal(scene.decide([[d, accepted(3)]], 1, 2).result, "decided");
  assert.equal(scene.decide([[e, rejected]], 0, 1).result, "decided");
  const { epoch, newestSeq, fingerprints } = scene.ask({ type: "fingerprints", afterSeq: 0 });
  assert.deepEqual([epoch, newestSeq], [2, 2], "numbers are not given again");
  assert.deepEqual(fingerprints, [{ seq: 2, signupId: d.id, bytes: fingerprint(3) }]);
});

queueTest("bytes that are known make a duplicate, which is compared by nothing", (scene) => {
  const [first, second, third] = [signupOf("same"), signupOf("same"), signupOf("v1's")];
  scene.ask({ type: "addToken", sha256: digest("v1's") });
  for (const signup of [first, second, third]) scene.submit(signup);
  const held = scene.claim() as [SignupRecord, SignupRecord, SignupRecord];
  const reply = scene.decide(held.map((record, index) => [record, accepted(index)] as const));
  assert.ok(reply.result === "decided");
  const states = reply.decisions.map((one) =>
    one.result === "decided" && [one.record.state, one.record.duplicateOf]
  );
  assert.deepEqual(states, [
    ["accepted", undefined],
    ["duplicate", first.id],
    ["duplicate", undefined],
  ]);
  for (const one of reply.decisions) {
    assert.ok(one.result === "decided");
    assert.deepEqual(scene.find(one.record), one.record, "what is told is what is kept");
    assert.equal("duplicateOf" in one.record, one.record.id === second.id);
  }
  const { fingerprints } = scene.ask({ type: "fingerprints", afterSeq: 0 });
  assert.deepEqual(fingerprints.map(({ signupId }) => signupId), [first.id]);
});

queueTest("a fingerprint is taken in for what is accepted and of this epoch only", (scene) => {
  const add = (id: string, epoch = 1) =>
    scene.ask({ type: "addFingerprint", id, bytes: fingerprint(1), epoch });
  const signup = scene.submit();
  assert.equal(add(signupOf("none").id), false);
  assert.equal(add(signup.id), false);
  scene.decide(scene.claim().map((record) => [record, { state: "accepted" }] as const));
  assert.equal(add(signup.id, 2), false);
  assert.equal(add(signup.id), true);
  assert.equal(scene.ask({ type: "fingerprints", afterSeq: 0 }).fingerprints.length, 1);
});

queueTest("a list of fingerprints is full at a mebibyte, and goes on behind it", (scene) => {
  const signup = scene.submit();
  scene.decide(scene.claim().map((record) => [record, { state: "accepted" }] as const));
  const bytes = new Uint8Array(1024 ** 2 / 4);
  for (let i = 0; i < 5; i++) {
    scene.ask({ type: "addFingerprint", id: signup.id, bytes, epoch: 1 });
  }
  const page = (afterSeq: number) => scene.ask({ type: "fingerprints", afterSeq });
  assert.deepEqual(page(0).fingerprints.map(({ seq }) => seq), [1, 2, 3, 4]);
  assert.deepEqual(page(4).fingerprints.map(({ seq }) => seq), [5]);
  assert.equal(page(0).newestSeq, 5);
});

queueTest("a probe writes, and changes nothing", (scene) => {
  scene.submit();
  const size = () => Deno.statSync(`${scene.path}-wal`).size;
  const before = size();
  scene.records.probe();
  assert.ok(size() > before, "or it would prove nothing of the disk");
  assert.equal(scene.records.count, 0);
});

queueTest("a transaction of which one command cannot be done does nothing", (scene) => {
  const signup = signupOf("one");
  const bad = { ...signupOf("bad"), id: "too short" };
  assert.throws(() =>
    scene.records.apply(Uint8Array.fromHex(digest("token")), [
      { type: "submit", signup, maxQueued: 9 },
      { type: "reset" },
      { type: "submit", signup: bad, maxQueued: 9 },
    ]), /CHECK/);
  assert.deepEqual(scene.ask({ type: "statistics" }).byState, {
    ...{ queued: 0, processing: 0, accepted: 0, duplicate: 0, rejected: 0, dead_letter: 0 },
  });
  assert.equal(scene.ask({ type: "find", id: signup.id }), null);
  assert.equal(scene.records.count, 0);
  scene.submit(signup);
  scene.restart();
  assert.equal(scene.ask({ type: "statistics" }).byState.queued, 1);
  assert.equal(scene.ask({ type: "fingerprints", afterSeq: 0 }).epoch, 1);
});

testWith(["read"], "sqlite queue: in memory there is no file, nor a lock", () => {
  const records = new SqliteRecords({ path: ":memory:", nowMs: () => startMs });
  const { tokens } = records.apply(Uint8Array.fromHex(digest("a")), []);
  assert.deepEqual([tokens, records.count], [["new"], 1]);
  records.probe();
  records.close();
  assert.throws(() => Deno.statSync(":memory:.lock"), Deno.errors.NotFound);
});

queueTest(
  "counts are those of this transaction too, and stay so after many and a restart",
  (scene) => {
    const counted = () => {
      const { queued, processing, rejected } = scene.ask({ type: "statistics" }).byState;
      return [queued, processing, rejected];
    };
    const [one, two, three] = [signupOf("one"), signupOf("two"), signupOf("three")];
    const submitting = (signup: NewSignup, maxQueued: number) =>
      ({ type: "submit", signup, maxQueued }) as const;
    const claim = { type: "claim", worker: "w", max: 1, ...limits } as const;
    const { replies } = scene.records.apply(new Uint8Array(), [
      submitting(one, 9),
      claim,
      { type: "statistics" },
      // One is worked on: with it the queue has as many as it may.
      submitting(two, 1),
      submitting(two, 2),
    ]);
    assert.deepEqual(
      (replies[2] as ReplyOf<"statistics">).byState,
      { queued: 0, processing: 1, accepted: 0, duplicate: 0, rejected: 0, dead_letter: 0 },
    );
    assert.deepEqual(replies[3], { result: "full", depth: 1 });
    assert.equal((replies[4] as { result: string }).result, "new");
    assert.deepEqual(counted(), [1, 1, 0]);
    assert.deepEqual(scene.ask(submitting(three, 2)), { result: "full", depth: 2 });
    scene.decide([[scene.find(one), rejected]]);
    assert.deepEqual(counted(), [1, 0, 1]);
    scene.restart();
    assert.deepEqual(counted(), [1, 0, 1]);
    const list = scene.ask({ type: "list", states: ["queued", "rejected"], limit: 9 });
    assert.deepEqual(list.map(({ id }) => id), [two.id, one.id]);
    assert.deepEqual(scene.ask({ type: "list", states: ["accepted"], limit: 9 }), []);
  },
);

queueTest("an operator's tool beside the server takes nobody's signups away", (scene) => {
  scene.submit();
  scene.claim();
  const tool = new SqliteRecords({ path: scene.path, nowMs: () => scene.nowMs, exclusive: false });
  tool.close();
  assert.deepEqual(scene.claim(), []);
});

queueTest("a list of documents is full at a mebibyte, and has one at least", (scene) => {
  const put = (key: string, characters: number) =>
    // With its quotes.
    scene.ask({ type: "putDocument", collection: "c", key, value: "x".repeat(characters - 2) });
  const list = (after?: string) =>
    scene.ask({ type: "listDocuments", collection: "c", limit: 99, ...(after && { after }) })
      .map(({ key }) => key);
  put("A", 1024 ** 2 - 100);
  put("b", 100);
  put("c", 10);
  put("d", 2 * 1024 ** 2);
  put("e", 10);
  assert.deepEqual(list(), ["A", "b"]);
  assert.deepEqual(list("b"), ["c"]);
  assert.deepEqual(list("c"), ["d"]);
  assert.deepEqual(list("d"), ["e"]);
});
