/**
 * The suite that every record back-end must pass: what `record_backend.ts` promises, tried out.
 *
 * @module
 */
import assert from "node:assert/strict";
import { ulid } from "ulid";
import { eventually } from "../../service/testing/eventually.ts";
import type { NewSignup, SignupRecord } from "../signups/signup_record.ts";
import type { RecordBackend } from "./record_backend.ts";
import { checkQueue } from "./record_queue_suite.ts";
import {
  type Check,
  claim,
  claimNow,
  decide,
  digest,
  find,
  signupOf,
  submit,
} from "./test_record_steps.ts";

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
  checkQueue(check);
  checkDocuments(check);
  if (under.isShared) checkSharing(check);
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

  check("tell the time by their own clock, which does not go back", async ({ backend }) => {
    const [first] = await backend.apply([{ type: "clock" }]);
    const { createdMs } = await submit(backend, signupOf("now"));
    const [last] = await backend.apply([{ type: "clock" }]);
    assert.ok(Number.isSafeInteger(first) && first <= createdMs && createdMs <= last);
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

  check(
    "decide a signup at once that was examined with its arrival, its image once",
    async ({ backend }) => {
      await backend.apply([{ type: "addToken", sha256: digest("v1") }]);
      const before = await submit(backend, signupOf("before"));
      const [first, second, third, known] = [..."aab"].map((name) => signupOf(name))
        .concat(signupOf("v1"));
      const accept = (signup: NewSignup) =>
        ({ type: "submit", signup, maxQueued: 0, verdict: { state: "accepted" } }) as const;
      const verdict = { state: "rejected", reason: "it is a broken PNG" } as const;
      const [refused] = await backend.apply([
        { type: "submit", signup: signupOf("refused"), maxQueued: 0, verdict },
      ]);
      const { record } = refused as Extract<typeof refused, { record: unknown }>;
      assert.deepEqual([record.state, record.reason], ["rejected", verdict.reason]);
      assert.deepEqual(await find(backend, record.id), record);
      const replies = await backend.apply([first!, first!, second!, known!].map(accept));
      assert.deepEqual(replies.map(({ result }) => result), ["new", "same", "new", "new"]);
      const [later, last] = await backend.apply([signupOf("a"), third!].map(accept));
      const all = [...replies, later!, last!].map((reply) =>
        "record" in reply ? reply.record : null
      );
      assert.deepEqual(all.map((one) => one?.state), [
        ...["accepted", "accepted", "duplicate", "duplicate", "duplicate", "accepted"],
      ]);
      assert.deepEqual(all.map((one) => one?.duplicateOf), [
        ...[undefined, undefined, first!.id, undefined, first!.id, undefined],
      ]);
      for (const record of all) {
        assert.equal(record!.decidedMs, record!.createdMs);
        assert.deepEqual(await find(backend, record!.id), record);
      }
      assert.deepEqual((await claim(backend)).map(({ id }) => id), [before.id]);
      assert.deepEqual(await claimNow(backend), [], "there is nothing else to work on");
      const [statistics] = await backend.apply([{ type: "statistics" }]);
      assert.equal(statistics.tokens, 3);
    },
  );

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
