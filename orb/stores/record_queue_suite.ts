/**
 * The part of the record suite that is about the queue: claims, decisions, attempts that fail, and
 * what images are compared by.
 *
 * @module
 */
import assert from "node:assert/strict";
import { ulid } from "ulid";
import { eventually } from "../../service/testing/eventually.ts";
import {
  type Check,
  claim,
  claimNow,
  decide,
  digest,
  find,
  limits,
  signupOf,
  submit,
} from "./test_record_steps.ts";

/** Declares its tests. */
export function checkQueue(check: Check): void {
  checkClaims(check);
  checkDecisions(check);
  checkFailures(check);
  checkFingerprints(check);
}

function checkClaims(check: Check): void {
  check("give a signup to one worker, the oldest first", async ({ backend }) => {
    const ids = [];
    for (let index = 0; index < 4; index++) ids.push((await submit(backend, signupOf(index))).id);
    const first = await claim(backend, 3);
    assert.deepEqual(first.map(({ id }) => id), ids.slice(0, 3));
    assert.ok(
      first.every(({ state, attempts, fence }) =>
        state === "processing" && attempts === 1 && fence === 1
      ),
    );
    assert.deepEqual((await claim(backend)).map(({ id }) => id), ids.slice(3));
    assert.deepEqual(await claimNow(backend), []);
  });

  check("give those that are asked for by their ids, if they wait", async ({ backend }) => {
    const ids: string[] = [];
    for (let index = 0; index < 4; index++) ids.push((await submit(backend, signupOf(index))).id);
    const ask = async (asked: readonly string[], max: number, overdueMs = 0) => {
      const [claimed] = await backend.apply([
        { type: "claim", worker: "w", max, ids: asked, overdueMs, ...limits },
      ]);
      return claimed.map(({ id }) => id);
    };
    assert.deepEqual(await ask([ids[2]!], 5, 3_600_000), [], "it does not wait for so long");
    assert.deepEqual(await ask([ids[2]!, ulid()], 5), [ids[2]]);
    assert.deepEqual(await ask([ids[2]!], 5), [], "it is at work");
    assert.equal((await ask(ids, 2)).length, 2);
  });

  check("give it to another once its lease is over, and the first is out", async ({ backend }) => {
    await submit(backend, signupOf(1));
    const [slow] = await claim(backend, 1, { leaseMs: 1 });
    // Once the lease is over.
    const [fast] = await claim(backend);
    assert.equal(fast!.fence, slow!.fence + 1);
    assert.deepEqual(await decide(backend, slow!), {
      result: "decided",
      decisions: [{ result: "lost" }],
    });
    const reply = await decide(backend, fast!);
    assert.equal(reply.result, "decided");
    assert.equal((await find(backend, fast!.id)).state, "accepted");
    assert.deepEqual(await decide(backend, fast!), {
      result: "decided",
      decisions: [{ result: "lost" }],
    }, "it is decided once");
  });

  check("make a dead letter of what no worker ever answers for", async ({ backend }) => {
    const { id } = await submit(backend, signupOf(1));
    for (let attempt = 0; attempt < limits.maxAttempts; attempt++) {
      await claim(backend, 1, { leaseMs: 1 });
    }
    const dead = await eventually("the dead letter", async () => {
      assert.deepEqual(await claimNow(backend, { leaseMs: 1 }), []);
      const record = await find(backend, id);
      return record.state === "dead_letter" ? record : undefined;
    });
    assert.match(dead.reason!, /no answer from w/);
    const [requeued] = await backend.apply([{ type: "requeue", id }]);
    assert.ok(requeued.result === "changed" && requeued.record.attempts === 0);
    const [claimed] = await claim(backend);
    assert.equal(claimed!.id, id);
    assert.equal((await backend.apply([{ type: "requeue", id }]))[0].result, "lost");
  });
}

function checkDecisions(check: Check): void {
  check("accept an image once, with v1's tokens and in one batch too", async ({ backend }) => {
    await backend.apply([{ type: "addToken", sha256: digest("v1") }]);
    for (const name of ["a", "a", "v1", "b"]) await submit(backend, signupOf(name));
    const claimed = await claim(backend, 4);
    const [reply] = await backend.apply([{
      type: "decide",
      comparedSeq: 0,
      epoch: 1,
      decisions: claimed.map(({ id, fence }) => ({ id, fence, verdict: { state: "accepted" } })),
    }]);
    assert.ok(reply.result === "decided");
    const records = reply.decisions.map((one) => one.result === "decided" ? one.record : undefined);
    assert.deepEqual(records.map((one) => one?.state), [
      ...["accepted", "duplicate", "duplicate", "accepted"],
    ]);
    assert.equal(records[1]!.duplicateOf, claimed[0]!.id);
    assert.equal(records[2]!.duplicateOf, undefined);
    assert.ok(records.every((one) => one!.decidedMs! >= one!.createdMs));
    const [statistics, known] = await backend.apply([
      { type: "statistics" },
      { type: "hasToken", sha256: digest("b") },
    ]);
    assert.equal(known, true);
    assert.equal(statistics.byState.queued + statistics.byState.processing, 0);
  });

  check("keep why something is a duplicate or rejected", async ({ backend }) => {
    for (const name of [1, 2]) await submit(backend, signupOf(name));
    const [near, broken] = await claim(backend, 2);
    const duplicateOf = ulid();
    await decide(backend, near!, { state: "duplicate", duplicateOf, distance: .125 });
    await decide(backend, broken!, { state: "rejected", reason: "no image" });
    const [first, second] = [await find(backend, near!.id), await find(backend, broken!.id)];
    assert.deepEqual([first.state, first.duplicateOf, first.distance], [
      ...["duplicate", duplicateOf, .125],
    ]);
    assert.deepEqual([second.state, second.reason], ["rejected", "no image"]);
    const known = await backend.apply([{ type: "hasToken", sha256: digest(1) }]);
    assert.deepEqual(known, [false], "only what is accepted is known");
  });

  check("say which images have a signup", async ({ backend }) => {
    await submit(backend, signupOf(1));
    assert.deepEqual(
      await backend.apply([{ type: "referenced", sha256s: [digest(1), digest(2)] }]),
      [[digest(1)]],
    );
  });
}

function checkFailures(check: Check): void {
  check("put back what failed, for later, until the attempts are used up", async ({ backend }) => {
    const { id } = await submit(backend, signupOf(1));
    for (let attempt = 1; attempt <= limits.maxAttempts; attempt++) {
      const [claimed] = await claim(backend);
      const failure = { reason: `failure ${attempt}`, delayMs: 0, maxAttempts: limits.maxAttempts };
      const [reply] = await backend.apply([{
        type: "retry",
        id,
        fence: claimed!.fence,
        ...failure,
      }]);
      assert.ok(reply.result === "changed");
      assert.equal(
        reply.record.state,
        attempt < limits.maxAttempts ? "queued" : "dead_letter",
      );
    }
    assert.equal((await find(backend, id)).reason, "failure 3");
  });

  check(
    "wait before the next attempt, and count none that was no fault of it",
    async ({ backend }) => {
      const { id } = await submit(backend, signupOf(1));
      const [claimed] = await claim(backend);
      const failure = { reason: "away", delayMs: 3_600_000, maxAttempts: 1, counts: false };
      const [reply] = await backend.apply([{
        type: "retry",
        id,
        fence: claimed!.fence,
        ...failure,
      }]);
      assert.ok(reply.result === "changed" && reply.record.state === "queued");
      assert.equal(reply.record.attempts, 0);
      assert.deepEqual(await claimNow(backend), []);
    },
  );

  check("give back and prolong what a worker has", async ({ backend }) => {
    const { id } = await submit(backend, signupOf(1));
    const [first] = await claim(backend);
    const { fence } = first!;
    const [longer] = await backend.apply([{ type: "extend", id, fence, leaseMs: 90_000 }]);
    assert.ok(longer.result === "changed" && longer.record.dueMs > first!.dueMs);
    await backend.apply([{ type: "release", id, fence }]);
    assert.equal((await decide(backend, first!)).result, "decided");
    assert.equal((await find(backend, id)).state, "queued", "the fence is an old one");
    const [second] = await claim(backend);
    assert.deepEqual([second!.attempts, second!.fence], [1, fence + 1]);
  });
}

function checkFingerprints(check: Check): void {
  check("accept only what was compared with all that there is", async ({ backend }) => {
    for (const name of [1, 2]) await submit(backend, signupOf(name));
    const [first, second] = await claim(backend, 2);
    const verdictOf = (byte: number) =>
      ({ state: "accepted", fingerprint: new Uint8Array(64).fill(byte) }) as const;
    const [before] = await backend.apply([{ type: "fingerprints", afterSeq: 0 }]);
    assert.deepEqual(before.fingerprints, []);
    const { epoch } = before;
    const start = { comparedSeq: 0, epoch };
    assert.equal((await decide(backend, first!, verdictOf(1), start)).result, "decided");
    assert.equal((await decide(backend, second!, verdictOf(2), start)).result, "stale");
    const [after] = await backend.apply([{ type: "fingerprints", afterSeq: 0 }]);
    assert.equal(after.fingerprints.length, 1);
    const [one] = after.fingerprints;
    assert.deepEqual([one!.signupId, [...one!.bytes]], [first!.id, Array(64).fill(1)]);
    assert.equal(after.newestSeq, one!.seq);
    const now = { comparedSeq: one!.seq, epoch };
    assert.equal((await decide(backend, second!, verdictOf(2), now)).result, "decided");

    await backend.apply([{ type: "reset" }]);
    const [empty] = await backend.apply([{ type: "fingerprints", afterSeq: 0 }]);
    assert.deepEqual(empty.fingerprints, []);
    assert.notEqual(empty.epoch, epoch);
  });

  check("take in a fingerprint of what was accepted without one", async ({ backend }) => {
    for (const name of [1, 2]) await submit(backend, signupOf(name));
    const [accepted, other] = await claim(backend, 2);
    await decide(backend, accepted!);
    const [{ epoch }] = await backend.apply([{ type: "fingerprints", afterSeq: 0 }]);
    const add = (id: string, ofEpoch = epoch) =>
      ({ type: "addFingerprint", id, bytes: new Uint8Array(9).fill(1), epoch: ofEpoch }) as const;
    assert.deepEqual(
      await backend.apply([add(accepted!.id), add(other!.id), add(accepted!.id, epoch + 1)]),
      [true, false, false],
    );
    const verdict = { state: "accepted", fingerprint: new Uint8Array(9).fill(2) } as const;
    const reply = await decide(backend, other!, verdict, { comparedSeq: 0, epoch });
    assert.equal(reply.result, "stale", "who decides meanwhile compares with it");
    const [{ fingerprints }] = await backend.apply([{ type: "fingerprints", afterSeq: 0 }]);
    assert.deepEqual(fingerprints.map(({ signupId }) => signupId), [accepted!.id]);
  });

  check("list many fingerprints page by page", async ({ backend }) => {
    const count = 150;
    const commands = Array.from(
      { length: count },
      (_, index) => ({ type: "submit", signup: signupOf(index), maxQueued: 1_000 }) as const,
    );
    await backend.apply(commands);
    const claimed = await claim(backend, count);
    const [{ epoch }] = await backend.apply([{ type: "fingerprints", afterSeq: 0 }]);
    const [reply] = await backend.apply([{
      type: "decide",
      comparedSeq: 0,
      epoch,
      decisions: claimed.map(({ id, fence }, index) => ({
        id,
        fence,
        verdict: { state: "accepted", fingerprint: new Uint8Array(8_192).fill(index) },
      })),
    }]);
    assert.equal(reply.result, "decided");
    const seqs: number[] = [];
    for (;;) {
      const [page] = await backend.apply([{ type: "fingerprints", afterSeq: seqs.at(-1) ?? 0 }]);
      assert.ok(page.fingerprints.length > 0 && page.fingerprints.length < count);
      seqs.push(...page.fingerprints.map(({ seq }) => seq));
      if (seqs.at(-1) === page.newestSeq) break;
    }
    assert.deepEqual(seqs, seqs.toSorted((a, b) => a - b));
    assert.equal(new Set(seqs).size, count);
  });
}
