/**
 * All records of a back-end as one sequence, as of one moment: what a backup holds, and what a
 * restore puts into an empty database, of whichever kind.
 *
 * @module
 */
import { decodeBase64 } from "../../service/base64.ts";
import type { Fingerprint, SignupRecord } from "../signups/signup_record.ts";
import type { StoredDocument } from "./record_commands.ts";

/** One record of an archive. */
export type ArchivedRecord =
  | { readonly kind: "token"; readonly sha256: string }
  | { readonly kind: "signup"; readonly signup: SignupRecord }
  | { readonly kind: "fingerprint"; readonly fingerprint: Fingerprint }
  | { readonly kind: "document"; readonly collection: string; readonly document: StoredDocument };

/** A database whose records can be read as of one moment, and written into an empty one. */
export interface RecordArchive {
  /** Every record, as of one moment; others go on writing meanwhile. */
  read(): AsyncIterable<ArchivedRecord>;
  /** Whether there is nothing in it. */
  isEmpty(): Promise<boolean>;
  /**
   * Writes records, in one transaction. Signups that were worked on are queued again.
   *
   * @throws the database's reason; then none of them was written
   */
  write(records: AsyncIterable<ArchivedRecord>): Promise<void>;
  /** What the database itself finds wrong with itself, in its own words. */
  faults(): Promise<string[]>;
  close(): Promise<void>;
}

/** An archived record as JSON; bytes in base64. */
export function encodeRecord(record: ArchivedRecord): string {
  if (record.kind !== "fingerprint") return JSON.stringify(record);
  const { bytes, ...rest } = record.fingerprint;
  return JSON.stringify({ kind: "fingerprint", fingerprint: { ...rest, bytes: bytes.toBase64() } });
}

/** @throws {SyntaxError} it is no archived record */
export function decodeRecord(text: string): ArchivedRecord {
  const record = JSON.parse(text) as ArchivedRecord;
  switch (record.kind) {
    case "token":
    case "signup":
    case "document":
      return record;
    case "fingerprint": {
      const { bytes: text, ...rest } = record.fingerprint as unknown as
        & { bytes: unknown }
        & Omit<Fingerprint, "bytes">;
      const bytes = typeof text === "string" ? decodeBase64(text, "base64") : undefined;
      if (bytes === undefined) throw new SyntaxError("A fingerprint's bytes are no base64");
      return { kind: "fingerprint", fingerprint: { ...rest, bytes } };
    }
    default:
      throw new SyntaxError("A line of the backup is of an unknown kind");
  }
}

/** A signup as it is restored: whoever worked on it is gone. */
export function restored(signup: SignupRecord): SignupRecord {
  return signup.state === "processing" ? { ...signup, state: "queued", dueMs: 0 } : signup;
}
