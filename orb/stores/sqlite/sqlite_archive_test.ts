import assert from "node:assert/strict";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { testWith } from "../../../service/testing/permissions.ts";
import { withTempFolder } from "../../../service/testing/temp_folder.ts";
import { decided, queued, type SignupRecord } from "../../signups/signup_record.ts";
import { type ArchivedRecord, restored } from "../record_archive.ts";
import { digest, limits, signupOf } from "../test_record_steps.ts";
import { SqliteRecords } from "./sqlite_records.ts";

function archiveTest(name: string, run: (folder: string) => Promise<void>): void {
  testWith(["read", "write"], `sqlite archive: ${name}`, () => withTempFolder(run));
}

function open(path: string, exclusive = true): SqliteRecords {
  return new SqliteRecords({ path, nowMs: () => 5_000, exclusive });
}

async function* sequence(records: readonly ArchivedRecord[]): AsyncIterable<ArchivedRecord> {
  yield* records;
}

/** Every field that a signup may have. */
const duplicate: SignupRecord = {
  ...queued(signupOf("seen", { orbId: "orb-1", uploadId: "u", traceparent: "00-1" }), 1_000),
  ...{ state: "duplicate", attempts: 2, fence: 3, dueMs: 1_500, worker: "w", reason: "why" },
  ...{ duplicateOf: "01M7YWWF73WJAQYR7RMSPYEYZP", distance: 0.25 },
  ...{ updatedMs: 2_000, decidedMs: 3_000 },
};
const waiting = queued(signupOf("waits"), 1_000);
const worked: SignupRecord = { ...queued(signupOf("worked on"), 1_000), state: "processing" };
const accepted = decided(queued(signupOf("fine"), 1_000), { state: "accepted" }, 2_000);

const document = { key: "orb-1", value: { seen: true }, version: 4, updatedMs: 900 };

const records: ArchivedRecord[] = [
  { kind: "token", sha256: digest("a") },
  { kind: "token", sha256: digest("b") },
  ...[duplicate, waiting, worked, accepted].toSorted((a, b) => a.id < b.id ? -1 : 1)
    .map((signup) => ({ kind: "signup", signup }) as const),
  {
    kind: "fingerprint",
    fingerprint: { seq: 7, signupId: accepted.id, bytes: Uint8Array.of(1, 2) },
  },
  { kind: "document", collection: "orbs", document },
];

archiveTest("what is written is there, as it was, and in a store that goes on", async (folder) => {
  const path = join(folder, "orb.sqlite");
  const archive = open(path).archive();
  assert.equal(await archive.isEmpty(), true);
  await archive.write(sequence(records));
  assert.equal(await archive.isEmpty(), false);
  const expected = records.map((one) =>
    one.kind === "signup" ? { ...one, signup: restored(one.signup) } : one
  );
  assert.deepEqual(await Array.fromAsync(archive.read()), expected);
  assert.deepEqual(await archive.faults(), []);
  await archive.close();

  const store = open(path);
  const { replies, tokens } = store.apply(
    Uint8Array.fromHex(digest("b") + digest("c")),
    [
      { type: "statistics" },
      { type: "fingerprints", afterSeq: 6 },
      { type: "claim", worker: "w", max: 9, ...limits },
      { type: "getDocument", collection: "orbs", key: "orb-1" },
    ],
  );
  assert.deepEqual(tokens, ["duplicate", "new"]);
  assert.deepEqual(replies[0], {
    byState: { accepted: 1, dead_letter: 0, duplicate: 1, processing: 0, queued: 2, rejected: 0 },
    oldestWaitMs: 5_000,
    tokens: 3,
  });
  assert.deepEqual((replies[1] as { newestSeq: number }).newestSeq, 7);
  assert.deepEqual(
    (replies[2] as SignupRecord[]).map(({ id }) => id),
    [worked.id, waiting.id],
    "who worked on it is gone",
  );
  assert.deepEqual(replies[3], document);
  store.close();
});

for (const one of [records[0]!, records[2]!, records.at(-1)!]) {
  archiveTest(`a ${one.kind} alone is something`, async (folder) => {
    const archive = open(join(folder, "orb.sqlite")).archive();
    await archive.write(sequence([one]));
    assert.equal(await archive.isEmpty(), false);
    await archive.close();
  });
}

archiveTest("what cannot be written to its end is not written at all", async (folder) => {
  const path = join(folder, "orb.sqlite");
  const archive = open(path).archive();
  const twice = [...records, records.at(-1)!];
  await assert.rejects(archive.write(sequence(twice)), /UNIQUE/);
  assert.equal(await archive.isEmpty(), true);
  async function* breaks() {
    yield records[0]!;
    throw new Error("the backup ends here");
  }
  await assert.rejects(archive.write(breaks()), /the backup ends here/);
  assert.equal(await archive.isEmpty(), true);
  await archive.write(sequence(records));
  await archive.close();
  const store = open(path);
  assert.equal(store.count, 2);
  store.close();
});

archiveTest("a reader sees one moment, and holds up nobody", async (folder) => {
  const path = join(folder, "orb.sqlite");
  const store = open(path);
  store.apply(Uint8Array.fromHex(digest("a")), []);
  const archive = open(path, false).archive();
  const reading = archive.read()[Symbol.asyncIterator]();
  assert.deepEqual((await reading.next()).value, { kind: "token", sha256: digest("a") });
  store.apply(new Uint8Array(), [
    { type: "submit", signup: signupOf("later"), maxQueued: 9 },
    { type: "putDocument", collection: "c", key: "k", value: 1 },
  ]);
  assert.equal((await reading.next()).done, true, "what came later is not there");
  const all = await Array.fromAsync(archive.read());
  assert.deepEqual(all.map(({ kind }) => kind), ["token", "signup", "document"]);
  // One that stops amid it leaves no transaction behind.
  for await (const _ of archive.read()) break;
  await archive.write(sequence([{ kind: "token", sha256: digest("z") }]));
  await archive.close();
  store.close();
});

archiveTest("it says what SQLite finds wrong with the file", async (folder) => {
  const path = join(folder, "orb.sqlite");
  const archive = open(path).archive();
  await archive.write(sequence(records));
  await archive.close();
  const broken = new DatabaseSync(path);
  broken.exec(
    "PRAGMA ignore_check_constraints = ON; UPDATE tokens SET sha256 = x'00' WHERE seq = 1",
  );
  broken.close();
  const damaged = open(path).archive();
  assert.deepEqual(await damaged.faults(), ["CHECK constraint failed in tokens"]);
  await damaged.close();
});
