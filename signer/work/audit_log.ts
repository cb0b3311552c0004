/**
 * The audit log: who had which digest signed with which key, and when. One JSON object a line,
 * appended only, each with the hash of the line before it, so that nothing can be changed, put in
 * or taken out in the middle unseen. That lines are missing at the end shows only against a head
 * noted elsewhere: `audit verify --expect-head`.
 *
 * `hash` is the SHA-256 of the line without its `hash` member, as it stands in the file.
 *
 * @module
 */
import { createHash, hash } from "node:crypto";
import { join } from "node:path";
import { StartError } from "../../service/life_cycle.ts";

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

/** Options of {@linkcode openAuditLog}. */
export interface AuditLogOptions {
  /** Made if it is absent; one process at a time. */
  folder: string;
  /** A new file is begun beyond this size. @default 67_108_864 */
  maxFileBytes?: number;
  /** Waits for the disk, not only for the operating system, before an entry counts. @default false */
  sync?: boolean;
}

/** An open log. */
export interface AuditLog {
  /** Hash of the last entry. */
  readonly head: string;
  /** Entries so far. */
  readonly count: number;
  /** Resolves once the entry is in the file; rejects when it cannot be written. */
  append(entry: AuditEntry): Promise<void>;
  /** Rejects when the log cannot be written any more: nothing may be signed then. */
  readonly failed: Promise<never>;
  /** Writes what is queued and lets the folder go. */
  close(): Promise<void>;
}

/** What the first entry has for `prev`. */
export const auditGenesis = "0".repeat(64);

const filePattern = /^audit-(\d{12})\.jsonl$/;
const encoder = new TextEncoder();

/**
 * Opens the log to go on after its last entry. A last line that a crash has cut is taken away, as
 * nobody was given an answer for it.
 *
 * @throws {StartError} the folder cannot be used, another process has it, or its end is damaged
 */
export async function openAuditLog(options: AuditLogOptions): Promise<AuditLog> {
  const { folder, maxFileBytes = 67_108_864, sync = false } = options;
  let lock: Deno.FsFile;
  let last: LastEntry;
  try {
    await Deno.mkdir(folder, { recursive: true, mode: 0o700 });
    lock = await Deno.open(join(folder, ".lock"), { create: true, write: true, mode: 0o600 });
  } catch (error) {
    throw new StartError(`Cannot keep the audit log in ${folder}: ${messageOf(error)}`);
  }
  if (!await lock.tryLock(true)) {
    lock.close();
    throw new StartError(
      `Cannot keep the audit log in ${folder}: another process writes to it. Give each service a folder of its own with --data-dir.`,
    );
  }
  try {
    last = await lastEntry(folder);
  } catch (error) {
    lock.close();
    throw new StartError(`Cannot go on with the audit log in ${folder}: ${messageOf(error)}`);
  }

  let { seq, head } = last;
  let file: Deno.FsFile | undefined;
  let fileBytes = 0;
  let queue: { text: string; resolve: () => void; reject: (error: unknown) => void }[] = [];
  let writing: Promise<void> | undefined;
  let broken: Error | undefined;
  let giveUp: (error: Error) => void;
  const failed = new Promise<never>((_, reject) => giveUp = reject);
  failed.catch(() => {});

  async function drain(): Promise<void> {
    // At the end of the turn: one write for all that came in it.
    await Promise.resolve();
    while (queue.length > 0) {
      const batch = queue;
      queue = [];
      try {
        await write(batch.map(({ text }) => text).join(""));
        for (const entry of batch) entry.resolve();
      } catch (error) {
        // Half a line may be in the file: nothing may follow it, or the chain would break unseen.
        broken = new Error(`Cannot write the audit log in ${folder}: ${messageOf(error)}`);
        giveUp(broken);
        for (const entry of [...batch, ...queue]) entry.reject(broken);
        queue = [];
      }
    }
    writing = undefined;
  }

  async function write(text: string): Promise<void> {
    if (!file || fileBytes >= maxFileBytes) {
      file?.close();
      file = undefined;
      const first = Number(/"seq":(\d+)/.exec(text)![1]);
      const name = last.file ?? `audit-${String(first).padStart(12, "0")}.jsonl`;
      last = { ...last, file: undefined };
      file = await Deno.open(join(folder, name), { create: true, append: true, mode: 0o600 });
      fileBytes = (await file.stat()).size;
    }
    let bytes = encoder.encode(text);
    fileBytes += bytes.length;
    while (bytes.length > 0) bytes = bytes.subarray(await file.write(bytes));
    if (sync) await file.syncData();
  }

  return {
    failed,
    get head() {
      return head;
    },
    get count() {
      return seq;
    },
    append(entry) {
      if (broken) return Promise.reject(broken);
      const line = JSON.stringify({
        seq: ++seq,
        time: new Date().toISOString(),
        actor: entry.actor,
        digest: entry.digest,
        alg: entry.algorithm,
        kid: entry.keyId,
        msg_id: entry.msgId,
        resp_topic: entry.respTopic,
        prev: head,
      });
      head = hash("sha256", line, "hex");
      const text = `${line.slice(0, -1)},"hash":"${head}"}\n`;
      return new Promise((resolve, reject) => {
        queue.push({ text, resolve, reject });
        writing ??= drain();
      });
    },
    async close() {
      await writing;
      file?.close();
      lock.close();
    },
  };
}

interface LastEntry {
  seq: number;
  head: string;
  /** The file to go on with. */
  file: string | undefined;
}

async function lastEntry(folder: string): Promise<LastEntry> {
  const file = (await auditFiles(folder)).at(-1);
  if (!file) return { seq: 0, head: auditGenesis, file: undefined };
  const path = join(folder, file);
  const text = await Deno.readTextFile(path);
  const whole = text.slice(0, text.lastIndexOf("\n") + 1);
  if (whole.length < text.length) {
    await Deno.truncate(path, encoder.encode(whole).length);
  }
  if (whole === "") {
    // Nothing whole in it: go on after the file before it.
    await Deno.remove(path);
    return await lastEntry(folder);
  }
  const line = whole.slice(whole.lastIndexOf("\n", whole.length - 2) + 1, -1);
  const { seq, hash } = checkLine(line);
  return { seq, head: hash, file };
}

/** What {@linkcode verifyAuditLog} finds. */
export type AuditVerdict =
  | { ok: true; entries: number; head: string }
  | { ok: false; entries: number; file: string; line: number; problem: string };

/** Reads the whole log and checks every line's hash, number and link to the line before. */
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
        const entry = checkLine(line);
        if (entry.prev !== prev) throw new Error("it does not follow the line before it");
        if (entry.seq !== entries + 1) {
          throw new Error(`its number is ${entry.seq}, not ${entries + 1}`);
        }
        prev = entry.hash;
        entries++;
        expectedSeen ||= prev === expectHead;
      } catch (error) {
        return { ok: false, entries, ...at, problem: messageOf(error) };
      }
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

/** A line's links, if its hash is right. */
function checkLine(line: string): { seq: number; prev: string; hash: string } {
  const match = /^(\{.*),"hash":"([0-9a-f]{64})"\}$/.exec(line);
  if (!match) throw new Error("it is not an entry with a hash at its end");
  const actual = createHash("sha256").update(`${match[1]}}`).digest("hex");
  if (actual !== match[2]) throw new Error("its content does not have the hash that it claims");
  const { seq, prev } = JSON.parse(line) as { seq: unknown; prev: unknown };
  if (typeof seq !== "number" || typeof prev !== "string") throw new Error("it lacks seq or prev");
  return { seq, prev, hash: match[2]! };
}

async function auditFiles(folder: string): Promise<string[]> {
  const files: string[] = [];
  for await (const entry of Deno.readDir(folder)) {
    if (filePattern.test(entry.name)) files.push(entry.name);
  }
  return files.sort();
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

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
