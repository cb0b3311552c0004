import assert from "node:assert/strict";
import { type ArchivedRecord, decodeRecord, encodeRecord } from "./record_archive.ts";

const fingerprint: ArchivedRecord = {
  kind: "fingerprint",
  fingerprint: { seq: 7, signupId: "01M7YWWF73WJAQYR7RMSPYEYZP", bytes: Uint8Array.of(1, 2, 255) },
};

Deno.test("decodeRecord() gives what encodeRecord() was given", () => {
  const token: ArchivedRecord = { kind: "token", sha256: "a".repeat(64) };
  for (const record of [fingerprint, token]) {
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
