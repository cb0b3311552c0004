/**
 * The suite that every record back-end must pass: what `record_backend.ts` promises, tried out.
 *
 * @module
 */
import assert from "node:assert/strict";
import { hash } from "node:crypto";
import { ulid } from "ulid";
import { eventually } from "../../service/testing/eventually.ts";
import type { NewSignup, SignupRecord, Verdict } from "../signups/signup_record.ts";
import type { RecordBackend } from "./record_backend.ts";

/** What the suite needs to know of a back-end. */
export interface BackendUnderTest {
  /** Begins each test's name: `sqlite`. */
  name: string;
  /** Opens an empty database; `again` opens the same one anew, beside it where `isShared`. */
  open: () => Promise<{ backend: RecordBackend; again: () => Promise<RecordBackend> }>;
  /** Several may be open at once. */
  isShared: boolean;
  /** `Deno.test`, or one that ignores. */
  test: (name: string, run: () => Promise<void>) => void;
}

interface Opened {
  backend: RecordBackend;
  again: () => Promise<RecordBackend>;
}

/** Declares one test of the suite. */
type Check = (what: string, run: (opened: Opened) => Promise<void>) => void;

const limits = { leaseMs: 30_000, maxAttempts: 3 };

/**
 * Declares the suite's tests.
 *
 * @example
 * ```ts
 * recordSuite({ name: "sqlite", open, isShared: false, test: Deno.test });
 * ```
 */
export function recordSuite(under: BackendUnderTest): void {
  const check: Check = (what, run) =>
    under.test(`${under.name} records ${what}`, async () => {
      const opened = await under.open();
      try {
        await run(opened);
      } finally {
        await opened.backend.close();
      }
    });
  checkTokens(check);
  checkSubmission(check);
  checkClaims(check);
  checkDecisions(check);
  checkFailures(check);
  checkFingerprints(check);
  checkDocuments(check);
  if (under.isShared) checkSharing(check);
}

function digest(name: string | number): string {
  return hash("sha256", String(name), "hex");
}

function signupOf(name: string | number, more: Partial<NewSignup> = {}): NewSignup {
  return {
    id: ulid(),
    sha256: digest(name),
    imageBytes: 7,
    mediaType: "image/png",
    token: "371dd8e3f2423f4a",
    ...more,
  };
}

async function submit(backend: RecordBackend, signup: NewSignup): Promise<SignupRecord> {
  const [reply] = await backend.apply([{ type: "submit", signup, maxQueued: 1_000 }]);
  assert.ok(reply.result === "new" || reply.result === "same", JSON.stringify(reply));
  return reply.record;
}

/** What there is to claim at this moment. */
async function claimNow(
  backend: RecordBackend,
  options: { max?: number; leaseMs?: number } = {},
): Promise<SignupRecord[]> {
  const [claimed] = await backend.apply([
    { type: "claim", worker: "w", max: 10, ...limits, ...options },
  ]);
  return claimed;
}

/** Claims that many: what is queued can be claimed at once, or a little later. */
async function claim(
  backend: RecordBackend,
  count = 1,
  options: { leaseMs?: number } = {},
): Promise<SignupRecord[]> {
  const all: SignupRecord[] = [];
  return await eventually(`${count} signups to claim`, async () => {
    all.push(...await claimNow(backend, { max: count - all.length, ...options }));
    return all.length === count ? all : undefined;
  });
}

async function find(backend: RecordBackend, id: string): Promise<SignupRecord> {
  const [record] = await backend.apply([{ type: "find", id }]);
  assert.ok(record);
  return record;
}

async function decide(
  backend: RecordBackend,
  { id, fence }: { id: string; fence: number },
  verdict: Verdict = { state: "accepted" },
  compared: { comparedSeq: number; epoch: number } = { comparedSeq: 0, epoch: 1 },
) {
  const [reply] = await backend.apply([
    { type: "decide", decisions: [{ id, fence, verdict }], ...compared },
  ]);
  return reply;
}

function checkTokens(check: Check): void {
  check("tell a new token from a known one, in one batch as well", async ({ backend }) => {
    const add = (name: string) => ({ type: "addToken", sha256: digest(name) }) as const;
    assert.deepEqual(await backend.apply([add("a"), add("b"), add("a")]), [
      ...["new", "new", "duplicate"],
    ]);
    assert.deepEqual(await backend.apply([add("b"), add("c")]), ["duplicate", "new"]);
    assert.deepEqual(
      await backend.apply([
        { type: "hasToken", sha256: digest("c") },
        { type: "hasToken", sha256: digest("d") },
      ]),
      [true, false],
    );
  });

  check("forget every token when they are reset", async ({ backend }) => {
    const add = { type: "addToken", sha256: digest(1) } as const;
    await backend.apply([add]);
    const [, , after] = await backend.apply([{ type: "reset" }, add, { type: "statistics" }]);
    assert.equal(after.tokens, 1);
  });

  check("are there again after a restart", async ({ backend, again }) => {
    const signup = signupOf("kept", { orbId: "orb-1", traceparent: "00-a-b-01" });
    await backend.apply([{ type: "addToken", sha256: digest("token") }]);
    const before = await submit(backend, signup);
    await backend.close();
    const reopened = await again();
    assert.deepEqual(await find(reopened, signup.id), before);
    assert.deepEqual(before.orbId, "orb-1");
    assert.deepEqual(await reopened.apply([{ type: "addToken", sha256: digest("token") }]), [
      "duplicate",
    ]);
    await reopened.close();
  });
}

function checkSubmission(check: Check): void {
  check("take a signup once, and the same again", async ({ backend }) => {
    const signup = signupOf(1);
    const again = { ...signup, uploadId: "f".repeat(32) };
    const other = { ...signup, sha256: digest(2) };
    const another = { ...signup, orbId: "orb-2" };
    const replies = await backend.apply(
      [signup, again, other, another].map((one) =>
        ({ type: "submit", signup: one, maxQueued: 10 }) as const
      ),
    );
    assert.deepEqual(replies.map(({ result }) => result), ["new", "same", "conflict", "conflict"]);
    const [later] = await backend.apply([{ type: "submit", signup, maxQueued: 0 }]);
    assert.equal(later.result, "same", "also while the queue is full");
  });

  check("refuse more signups than may wait", async ({ backend }) => {
    const replies = await backend.apply(
      [1, 2, 3].map((name) => ({ type: "submit", signup: signupOf(name), maxQueued: 2 }) as const),
    );
    assert.deepEqual(replies.map(({ result }) => result), ["new", "new", "full"]);
  });

  check("list signups by state and device, newest first, page by page", async ({ backend }) => {
    const ids: string[] = [];
    for (let index = 0; index < 4; index++) {
      const id = ulid(1_700_000_000_000 + index);
      ids.push(id);
      await submit(backend, signupOf(index, { id, orbId: `orb-${index % 2}` }));
    }
    const [all, first, rest, ofOne, accepted] = await backend.apply([
      { type: "list", limit: 10 },
      { type: "list", limit: 3, states: ["queued"] },
      { type: "list", limit: 3, before: ids[1]! },
      { type: "list", limit: 3, orbId: "orb-1" },
      { type: "list", limit: 3, states: ["accepted"] },
    ]);
    const idsOf = (records: readonly SignupRecord[]) => records.map(({ id }) => id);
    assert.deepEqual(idsOf(all), ids.toReversed());
    assert.deepEqual(idsOf(first), ids.toReversed().slice(0, 3));
    assert.deepEqual(idsOf(rest), [ids[0]]);
    assert.deepEqual(idsOf(ofOne), [ids[3], ids[1]]);
    assert.deepEqual(accepted, []);
  });
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

function checkDocuments(check: Check): void {
  check("keep small documents, with versions", async ({ backend }) => {
    const at = { collection: "devices", key: "orb-1" };
    const [first, second, none] = await backend.apply([
      { type: "putDocument", ...at, value: { battery: 80 } },
      { type: "putDocument", ...at, value: { battery: 79 }, ifVersion: 1 },
      { type: "putDocument", ...at, value: { battery: 1 }, ifVersion: 1 },
    ]);
    assert.deepEqual([first!.version, second!.version, none], [1, 2, null]);
    const [fresh, taken] = await backend.apply([
      { type: "putDocument", collection: "devices", key: "orb-0", value: "ü", ifVersion: 0 },
      { type: "putDocument", ...at, value: null, ifVersion: 0 },
    ]);
    assert.deepEqual([fresh!.version, taken], [1, null]);
    const [list, rest, other, found] = await backend.apply([
      { type: "listDocuments", collection: "devices", limit: 10 },
      { type: "listDocuments", collection: "devices", limit: 10, after: "orb-0" },
      { type: "listDocuments", collection: "other", limit: 10 },
      { type: "getDocument", ...at },
    ]);
    assert.deepEqual(list.map(({ key, value }) => [key, value]), [
      ["orb-0", "ü"],
      ["orb-1", { battery: 79 }],
    ]);
    assert.deepEqual(rest.map(({ key }) => key), ["orb-1"]);
    assert.deepEqual([other, found!.value], [[], { battery: 79 }]);
    assert.deepEqual(
      await backend.apply([{ type: "deleteDocument", ...at }, { type: "deleteDocument", ...at }]),
      [true, false],
    );
  });
}

/** What only several servers at once show. */
function checkSharing(check: Check): void {
  check("deal signups to several servers, each to one", async ({ backend, again }) => {
    const other = await again();
    try {
      for (let index = 0; index < 60; index++) await submit(backend, signupOf(index % 20));
      const decided: string[] = [];
      const work = (mine: RecordBackend) =>
        eventually("the last decision", async () => {
          for (const record of await claimNow(mine, { max: 3 })) {
            const reply = await decide(mine, record);
            assert.ok(reply.result === "decided" && reply.decisions[0]!.result === "decided");
            decided.push(record.id);
          }
          return decided.length >= 60 || undefined;
        });
      await Promise.all([work(backend), work(other), work(backend), work(other)]);
      assert.equal(decided.length, 60);
      assert.equal(new Set(decided).size, 60);
      const [list] = await other.apply([{ type: "list", limit: 100, states: ["accepted"] }]);
      assert.equal(list.length, 20);
      assert.equal(new Set(list.map(({ sha256 }) => sha256)).size, 20);
    } finally {
      await other.close();
    }
  });

  check("let one of many servers have an image", async ({ backend, again }) => {
    const other = await again();
    try {
      const results = await Promise.all(
        Array.from({ length: 40 }, async (_, index) => {
          const names = index % 2 === 0 ? ["x", "y", "z"] : ["z", "y", "x"];
          return await (index % 4 < 2 ? backend : other).apply(
            names.map((name) => ({ type: "addToken", sha256: digest(name) }) as const),
          );
        }),
      );
      assert.equal(results.flat().filter((result) => result === "new").length, 3);
    } finally {
      await other.close();
    }
  });

  check("tell other servers what has changed", async ({ backend, again }) => {
    const other = await again();
    try {
      const heard: string[] = [];
      other.onRemoteChange(({ id, state }) => heard.push(`${id} ${state}`));
      backend.onRemoteChange(({ id }) => heard.push(`own ${id}`));
      const { id } = await submit(backend, signupOf(1));
      await eventually("the news", () => heard.includes(`${id} queued`) || undefined);
      const [claimed] = await claim(backend);
      await decide(backend, claimed!);
      await eventually("the decision", () => heard.includes(`${id} accepted`) || undefined);
      assert.deepEqual(heard, [`${id} queued`, `${id} accepted`]);
    } finally {
      await other.close();
    }
  });
}
