/**
 * The form of the audit log: one JSON object a line, each with the hash of the line before it, so
 * that nothing can be changed, put in or taken out in the middle unseen. That lines are missing at
 * the end shows only against a head noted elsewhere: `audit verify --expect-head`.
 *
 * `hash` is the SHA-256 of the line without its `hash` member, as it stands in the file.
 *
 * @module
 */
import { createHash, hash } from "node:crypto";
import { join } from "node:path";
import { reasonOf } from "../../service/resilience.ts";

/** What is noted of a signature. */
export interface AuditEntry {
  msgId: string;
  /** Who asked, as the REST API said; `anonymous` without authentication, `unknown` from other programs. */
  actor: string;
  /** Where the answer went. */
  respTopic: string;
  /** SHA-256 of the message, in hex. */
  digest: string;
  algorithm: string;
  /** Null for `base64`, which has no key. */
  keyId: string | null;
}

/** What is noted of a key that was revoked. */
export interface RevocationEntry {
  event: "key-revoked";
  /** Who revoked it. */
  actor: string;
  keyId: string;
  reason: string;
  /** By the clock of whoever did, ISO 8601. */
  revokedAt: string;
}

/** What links a line to the one before it. */
export interface AuditLink {
  /** Counts from 1. */
  seq: number;
  /** The hash of the line before. */
  prev: string;
  /** The line's own hash. */
  hash: string;
}

/** What the first entry has for `prev`. */
export const auditGenesis = "0".repeat(64);

const filePattern = /^audit-\d{12}\.jsonl$/;

/** The file that begins with this entry. */
export function auditFileName(firstSeq: number): string {
  return `audit-${String(firstSeq).padStart(12, "0")}.jsonl`;
}

/** The log's files, oldest first; nothing else in the folder is one. */
export async function auditFiles(folder: string): Promise<string[]> {
  const files: string[] = [];
  for await (const entry of Deno.readDir(folder)) {
    if (filePattern.test(entry.name)) files.push(entry.name);
  }
  return files.sort();
}

/** The line of an entry, with its newline, and the line's hash. */
export function auditLine(
  entry: AuditEntry | RevocationEntry,
  { seq, prev }: Pick<AuditLink, "seq" | "prev">,
  timeMs: number,
): { text: string; hash: string } {
  const what = "event" in entry
    ? {
      event: entry.event,
      actor: entry.actor,
      kid: entry.keyId,
      reason: entry.reason,
      revoked_at: entry.revokedAt,
    }
    : {
      actor: entry.actor,
      digest: entry.digest,
      alg: entry.algorithm,
      kid: entry.keyId,
      msg_id: entry.msgId,
      resp_topic: entry.respTopic,
    };
  const line = JSON.stringify({ seq, time: new Date(timeMs).toISOString(), ...what, prev });
  const head = hash("sha256", line, "hex");
  return { text: `${line.slice(0, -1)},"hash":"${head}"}\n`, hash: head };
}

/**
 * A line's links, if its hash is right.
 *
 * @throws {Error} it is no entry, or was touched
 */
export function checkAuditLine(line: string): AuditLink {
  const match = /^(\{.*),"hash":"([0-9a-f]{64})"\}$/.exec(line);
  if (!match) throw new Error("it is not an entry with a hash at its end");
  const actual = createHash("sha256").update(`${match[1]}}`).digest("hex");
  if (actual !== match[2]) throw new Error("its content does not have the hash that it claims");
  const { seq, prev } = JSON.parse(line) as { seq: unknown; prev: unknown };
  if (typeof seq !== "number" || typeof prev !== "string") throw new Error("it lacks seq or prev");
  return { seq, prev, hash: match[2]! };
}

/** What {@linkcode verifyAuditLog} finds. */
export type AuditVerdict =
  | { ok: true; entries: number; head: string }
  | { ok: false; entries: number; file: string; line: number; problem: string };

/**
 * Reads the whole log and checks every line's hash, number and link to the line before.
 *
 * @param expectHead a hash noted before, which must be in the chain
 *
 * @example
 * ```ts
 * const verdict = await verifyAuditLog("/var/lib/signer/audit");
 * if (!verdict.ok) console.error(`${verdict.file}:${verdict.line}: ${verdict.problem}`);
 * ```
 */
export async function verifyAuditLog(
  folder: string,
  expectHead?: string,
): Promise<AuditVerdict> {
  let prev = auditGenesis;
  let entries = 0;
  let expectedSeen = expectHead === undefined || expectHead === auditGenesis;
  let at = { file: "", line: 0 };
  for (const file of await auditFiles(folder)) {
    at = { file, line: 0 };
    for await (const line of linesOf(join(folder, file))) {
      at.line++;
      try {
        prev = follow(line, { seq: entries + 1, prev }).hash;
      } catch (error) {
        return { ok: false, entries, ...at, problem: reasonOf(error) };
      }
      entries++;
      expectedSeen ||= prev === expectHead;
    }
  }
  return expectedSeen ? { ok: true, entries, head: prev } : {
    ok: false,
    entries,
    ...at,
    problem:
      `the chain is whole, but the expected head ${expectHead} is not in it: entries are missing at the end`,
  };
}

function follow(line: string, expected: Pick<AuditLink, "seq" | "prev">): AuditLink {
  const entry = checkAuditLine(line);
  if (entry.prev !== expected.prev) throw new Error("it does not follow the line before it");
  if (entry.seq !== expected.seq) {
    throw new Error(`its number is ${entry.seq}, not ${expected.seq}`);
  }
  return entry;
}

async function* linesOf(path: string): AsyncGenerator<string> {
  const file = await Deno.open(path);
  let rest = "";
  for await (const text of file.readable.pipeThrough(new TextDecoderStream())) {
    const lines = (rest + text).split("\n");
    rest = lines.pop()!;
    yield* lines;
  }
  if (rest !== "") yield rest;
}
