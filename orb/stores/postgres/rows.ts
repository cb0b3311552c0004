/**
 * Signups as rows of PostgreSQL.
 *
 * @module
 */
import type { SignupRecord } from "../../signups/signup_record.ts";

/** A row of `orb_signups`. */
export interface SignupRow {
  id: string;
  sha256: Uint8Array;
  image_bytes: number;
  media_type: SignupRecord["mediaType"];
  token: string;
  orb_id: string | null;
  upload_id: string | null;
  traceparent: string | null;
  state: SignupRecord["state"];
  attempts: number;
  fence: number;
  due_ms: number;
  worker: string | null;
  reason: string | null;
  duplicate_of: string | null;
  distance: number | null;
  created_ms: number;
  updated_ms: number;
  decided_ms: number | null;
}

/** What a row says. */
export function recordOf(row: SignupRow): SignupRecord {
  return {
    id: row.id,
    sha256: row.sha256.toHex(),
    imageBytes: row.image_bytes,
    mediaType: row.media_type,
    token: row.token,
    ...(row.orb_id !== null && { orbId: row.orb_id }),
    ...(row.upload_id !== null && { uploadId: row.upload_id }),
    ...(row.traceparent !== null && { traceparent: row.traceparent }),
    state: row.state,
    attempts: row.attempts,
    fence: row.fence,
    dueMs: row.due_ms,
    ...(row.worker !== null && { worker: row.worker }),
    ...(row.reason !== null && { reason: row.reason }),
    ...(row.duplicate_of !== null && { duplicateOf: row.duplicate_of }),
    ...(row.distance !== null && { distance: row.distance }),
    createdMs: row.created_ms,
    updatedMs: row.updated_ms,
    ...(row.decided_ms !== null && { decidedMs: row.decided_ms }),
  };
}

/** A record for `jsonb_to_recordset`: the image's hash in hex. */
export function jsonRowOf(record: SignupRecord): Record<string, unknown> {
  return {
    id: record.id,
    sha256: record.sha256,
    image_bytes: record.imageBytes,
    media_type: record.mediaType,
    token: record.token,
    orb_id: record.orbId,
    upload_id: record.uploadId,
    traceparent: record.traceparent,
    state: record.state,
    attempts: record.attempts,
    fence: record.fence,
    due_ms: record.dueMs,
    worker: record.worker,
    reason: record.reason,
    duplicate_of: record.duplicateOf,
    distance: record.distance,
    created_ms: record.createdMs,
    updated_ms: record.updatedMs,
    decided_ms: record.decidedMs,
  };
}
