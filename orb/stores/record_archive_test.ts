import assert from "node:assert/strict";
import { queued } from "../signups/signup_record.ts";
import { type ArchivedRecord, decodeRecord, encodeRecord, restored } from "./record_archive.ts";
import { signupOf } from "./test_record_steps.ts";

const fingerprint: ArchivedRecord = {
  kind: "fingerprint",
  fingerprint: { seq: 7, signupId: "01M7YWWF73WJAQYR7RMSPYEYZP", bytes: Uint8Array.of(1, 2, 255) },
};

Deno.test("decodeRecord() gives what encodeRecord() was given", () => {
  const token: ArchivedRecord = { kind: "token", sha256: "a".repeat(64) };
  const document: ArchivedRecord = {
    kind: "document",
    collection: "orbs",
    document: { key: "orb-1", value: { seen: true }, version: 4, updatedMs: 900 },
  };
  const signup: ArchivedRecord = { kind: "signup", signup: queued(signupOf("one"), 1_000) };
  for (const record of [fingerprint, token, document, signup]) {
    assert.deepEqual(decodeRecord(encodeRecord(record)), record);
  }
});

Deno.test("decodeRecord() refuses what is no record, and bytes that are no base64", () => {
  for (const bytes of ["A QL/", "AQL_", "AQ=", "AR==", 7, null]) {
    const line = JSON.stringify({ kind: "fingerprint", fingerprint: { seq: 1, bytes } });
    assert.throws(() => decodeRecord(line), /no base64/, String(bytes));
  }
  assert.throws(() => decodeRecord(`{"kind":"other"}`), /unknown kind/);
  assert.throws(() => decodeRecord("{"), SyntaxError);
});

Deno.test("restored() queues again what was worked on, at once, and leaves all else", () => {
  const waiting = queued(signupOf("one"), 1_000);
  const worked = { ...waiting, state: "processing", dueMs: 9_000, attempts: 2 } as const;
  assert.deepEqual(restored(worked), { ...worked, state: "queued", dueMs: 0 });
  assert.equal(restored(waiting), waiting);
});
