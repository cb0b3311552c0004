/**
 * A backup: one tar file with every record and every image, as of one moment, whichever stores they
 * are in. So it also moves an orb from SQLite and a folder to PostgreSQL and S3.
 *
 * In it: `orb-backup.json` (what it is), `records/<n>.jsonl`, `images/<sha256>`, and last
 * `end.json` with the counts: a backup without it is cut off.
 *
 * Library: `modern-tar`, which streams and has no dependency.
 *
 * @module
 */
import { hash } from "node:crypto";
import { createTarDecoder, createTarPacker, type TarPackController } from "modern-tar";
import { reasonOf } from "../../service/resilience.ts";
import type { ImageStore } from "../stores/image_store.ts";
import {
  type ArchivedRecord,
  decodeRecord,
  encodeRecord,
  type RecordArchive,
} from "../stores/record_archive.ts";

/** What is in a backup. */
export interface BackupCounts {
  tokens: number;
  signups: number;
  fingerprints: number;
  documents: number;
  images: number;
}

/** A backup that cannot be used; its message says why. */
export class BackupError extends Error {
  override name = "BackupError";
}

const format = "orrery-orb-backup";
const formatVersion = 1;
/** About the most bytes of one file of records: each is read as a whole. */
const recordFileBytes = 1024 ** 2;
const maxEntryBytes = 64 * 1024 ** 2;
const encoder = new TextEncoder();
const decoder = new TextDecoder();

const countOf = {
  token: "tokens",
  signup: "signups",
  fingerprint: "fingerprints",
  document: "documents",
} as const satisfies Record<ArchivedRecord["kind"], keyof BackupCounts>;

/**
 * Writes a backup. Records are read as of one moment; images never change, so those that it names
 * are read afterwards.
 *
 * @throws {BackupError} an image is missing or broken: then there is no whole backup
 *
 * @example
 * ```ts
 * await writeBackup({ records, images }, (await Deno.create("orb.tar")).writable);
 * ```
 */
export async function writeBackup(
  { records, images }: { records: RecordArchive; images: ImageStore },
  target: WritableStream<Uint8Array>,
): Promise<BackupCounts> {
  const { readable, controller } = createTarPacker();
  const writing = readable.pipeTo(target);
  // Its failure is awaited at the end, or comes up while something is added.
  writing.catch(() => {});
  const counts: BackupCounts = { tokens: 0, signups: 0, fingerprints: 0, documents: 0, images: 0 };
  try {
    await addFile(
      controller,
      "orb-backup.json",
      JSON.stringify({ format, version: formatVersion }),
    );
    const sha256s = await addRecords(controller, records, counts);
    for (const sha256 of sha256s) {
      const image = await images.get(sha256).catch((cause) => {
        throw new BackupError(`${cause.message}: mend it first, 'check' names all`, { cause });
      });
      await addFile(controller, `images/${sha256}`, image);
      counts.images++;
    }
    await addFile(controller, "end.json", JSON.stringify(counts));
  } catch (error) {
    controller.error(error);
    throw error;
  }
  controller.finalize();
  await writing;
  return counts;
}

/** @returns the images that they name */
async function addRecords(
  controller: TarPackController,
  records: RecordArchive,
  counts: BackupCounts,
): Promise<Set<string>> {
  const sha256s = new Set<string>();
  let lines: string[] = [];
  let length = 0;
  let files = 0;
  const flush = async () => {
    if (lines.length === 0) return;
    await addFile(controller, `records/${String(++files).padStart(6, "0")}.jsonl`, lines.join(""));
    lines = [];
    length = 0;
  };
  for await (const record of records.read()) {
    counts[countOf[record.kind]]++;
    if (record.kind === "signup") sha256s.add(record.signup.sha256);
    const line = `${encodeRecord(record)}\n`;
    lines.push(line);
    length += line.length;
    if (length >= recordFileBytes) await flush();
  }
  await flush();
  return sha256s;
}

async function addFile(
  controller: TarPackController,
  name: string,
  content: string | Uint8Array,
): Promise<void> {
  const bytes = typeof content === "string" ? encoder.encode(content) : content;
  const writer = controller.add({ name, size: bytes.length, mode: 0o600 }).getWriter();
  await writer.write(bytes);
  await writer.close();
}

/**
 * Puts a backup into empty stores. Records are written in one transaction, once everything has
 * arrived whole and every image is stored.
 *
 * @throws {BackupError} the stores are not empty, or the backup is none, cut off or broken: then
 * there are no records, and at most images that nobody names.
 *
 * @example
 * ```ts
 * await restoreBackup((await Deno.open("orb.tar")).readable, { records, images });
 * ```
 */
export async function restoreBackup(
  source: ReadableStream<Uint8Array>,
  { records, images }: { records: RecordArchive; images: ImageStore },
): Promise<BackupCounts> {
  if (!await records.isEmpty()) {
    throw new BackupError("there are records already; restore into an empty folder or database");
  }
  const reading = new BackupReader(images);
  await records.write(reading.records(source));
  return reading.counts;
}

/** Reads a backup from its beginning to its end, once. */
class BackupReader {
  readonly counts: BackupCounts = {
    ...{ tokens: 0, signups: 0, fingerprints: 0, documents: 0, images: 0 },
  };
  readonly #images: ImageStore;
  readonly #missing = new Set<string>();

  constructor(images: ImageStore) {
    this.#images = images;
  }

  /** Its records; at its end all must have been there. */
  async *records(source: ReadableStream<Uint8Array>): AsyncIterable<ArchivedRecord> {
    let isFirst = true;
    let end: string | undefined;
    for await (const { name, bytes } of entriesOf(source)) {
      if (isFirst) checkBeginning(name, bytes);
      else if (name.startsWith("records/")) yield* this.#recordsOf(bytes);
      else if (name.startsWith("images/")) await this.#keepImage(name, bytes);
      else if (name === "end.json") end = decoder.decode(bytes);
      else throw new BackupError(`'${name}' in it is unknown`);
      isFirst = false;
    }
    if (isFirst) throw new BackupError("it is empty, or no backup of an orb server");
    if (end === undefined) throw new BackupError("it is cut off: its end is missing");
    if (end !== JSON.stringify(this.counts)) {
      throw new BackupError(`it is not whole: it should have ${end}`);
    }
    const [missing] = this.#missing;
    if (missing !== undefined) throw new BackupError(`image ${missing} is missing in it`);
  }

  *#recordsOf(bytes: Uint8Array): Iterable<ArchivedRecord> {
    for (const line of decoder.decode(bytes).split("\n")) {
      if (line === "") continue;
      const record = recordOf(line);
      this.counts[countOf[record.kind]]++;
      if (record.kind === "signup") this.#missing.add(record.signup.sha256);
      yield record;
    }
  }

  async #keepImage(name: string, bytes: Uint8Array): Promise<void> {
    const sha256 = name.slice("images/".length);
    if (hash("sha256", bytes, "hex") !== sha256) {
      throw new BackupError(`image ${sha256} in it is broken`);
    }
    await this.#images.put(sha256, bytes);
    this.#missing.delete(sha256);
    this.counts.images++;
  }
}

function recordOf(line: string): ArchivedRecord {
  try {
    return decodeRecord(line);
  } catch (error) {
    throw new BackupError(`a record in it is broken: ${reasonOf(error)}`, { cause: error });
  }
}

/** The files in it, each as a whole. */
async function* entriesOf(
  source: ReadableStream<Uint8Array>,
): AsyncIterable<{ name: string; bytes: Uint8Array }> {
  const entries = source.pipeThrough(createTarDecoder()).getReader();
  try {
    for (;;) {
      const { done, value } = await entries.read();
      if (done) return;
      const { name, size } = value.header;
      if (size > maxEntryBytes) throw new BackupError(`'${name}' in it is too large`);
      yield { name, bytes: await new Response(value.body).bytes() };
    }
  } catch (error) {
    if (error instanceof BackupError) throw error;
    throw new BackupError(`it is cut off or no tar file: ${reasonOf(error)}`, { cause: error });
  } finally {
    await entries.cancel().catch(() => {});
  }
}

function checkBeginning(name: string, bytes: Uint8Array): void {
  let beginning: { format?: unknown; version?: unknown } = {};
  try {
    beginning = JSON.parse(decoder.decode(bytes));
  } catch {
    // Then it is none.
  }
  if (name !== "orb-backup.json" || beginning.format !== format) {
    throw new BackupError("it is no backup of an orb server");
  }
  if (beginning.version !== formatVersion) {
    throw new BackupError(
      `it is of version ${beginning.version} and this program knows ${formatVersion}; use the newer one`,
    );
  }
}
