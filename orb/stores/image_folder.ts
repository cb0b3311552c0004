/**
 * Images in a folder: in its `segments/` (`segments/image_segments.ts`), and under their hashes in
 * `images/ab/cdef…`, where they were kept before there were segments; those are only read, and removed.
 *
 * Uploads come through this server; each has a ticket. What is uploaded is a file, written beside its
 * place, synced, and renamed, and the folder that names it is synced: it is there whole or not at all.
 *
 * @module
 */
import { hash } from "node:crypto";
import { join } from "node:path";
import { reasonOf } from "../../service/resilience.ts";
import { syncFolder } from "../../service/whole_file.ts";
import { realWorld, type World } from "../../service/world/world.ts";
import { ImageSegments, segmentsFolder } from "./segments/image_segments.ts";
import {
  type ImageStore,
  ImageStoreError,
  type StoredImage,
  type UploadTicket,
} from "./image_store.ts";

/** Options of {@linkcode openImageFolder}. */
export interface ImageFolderOptions {
  /** The folder; made if need be. */
  path: string;
  /** How long an upload may take, from its ticket to its signup, in milliseconds. @default 900_000 */
  uploadTimeoutMs?: number;
  /** Uploads that may be open at once; one more is refused. @default 1_000 */
  maxUploads?: number;
  /** Removes what a crash left half written: only for who is alone with the folder. @default true */
  cleans?: boolean;
  /** Time and chance. @default the real world */
  world?: World;
}

/** Where a ticket's upload is sent: this server's own route. */
export const uploadPath = "/v2/uploads";

/**
 * Opens the folder.
 *
 * @throws {ImageStoreError} `unavailable`: it cannot be made or written.
 *
 * @example
 * ```ts
 * const images = await openImageFolder({ path: "./orb-data" });
 * await images.put(hash("sha256", bytes, "hex"), bytes);
 * ```
 */
export async function openImageFolder(options: ImageFolderOptions): Promise<ImageStore> {
  const folder = new ImageFolder({
    uploadTimeoutMs: 900_000,
    maxUploads: 1_000,
    cleans: true,
    world: realWorld,
    ...options,
  });
  await folder.open();
  return folder;
}

interface Ticket {
  maxBytes: number;
  expiresMs: number;
}

class ImageFolder implements ImageStore {
  readonly system = "folder";
  readonly #options: Required<ImageFolderOptions>;
  readonly #images: string;
  readonly #uploads: string;
  /** What is being written, and what is being removed. A crash leaves it; a start empties it. */
  readonly #unfinished: string;
  readonly #segments: ImageSegments;
  /** Whether there are images from before there were segments: where not, none is looked for. */
  #hasOld = false;
  readonly #tickets = new Map<string, Ticket>();

  constructor(options: Required<ImageFolderOptions>) {
    this.#options = options;
    this.#images = join(options.path, "images");
    this.#uploads = join(options.path, "uploads");
    this.#unfinished = join(options.path, "unfinished");
    const { path, world, cleans: owns } = options;
    this.#segments = new ImageSegments({ path: segmentsFolder(path), world, owns });
  }

  async open(): Promise<void> {
    try {
      for (const folder of [this.#images, this.#uploads, this.#unfinished]) {
        await Deno.mkdir(folder, { recursive: true, mode: 0o700 });
      }
      if (this.#options.cleans) await this.#removeUnfinished();
      await this.#readTickets();
      await this.#segments.open();
      for await (const _ of Deno.readDir(this.#images)) this.#hasOld = true;
    } catch (error) {
      throw unavailable("opened", error);
    }
  }

  async put(sha256: string, bytes: Uint8Array): Promise<"new" | "present"> {
    const path = this.#pathOf(sha256);
    try {
      return this.#hasOld && await this.#touch(path, bytes.length)
        ? "present"
        : await this.#segments.put(sha256, bytes);
    } catch (error) {
      throw unavailable("written", error);
    }
  }

  async get(sha256: string): Promise<Uint8Array> {
    const path = this.#pathOf(sha256);
    const bytes = await this.#segments.get(sha256).catch((error) => {
      throw unavailable("read", error);
    }) ?? await read(path, `image ${sha256}`);
    if (hash("sha256", bytes, "hex") !== sha256) {
      throw new ImageStoreError(
        "corrupt",
        `Image ${sha256} on disk has other bytes than it should`,
      );
    }
    return bytes;
  }

  async has(sha256: string): Promise<boolean> {
    const path = this.#pathOf(sha256);
    return await this.#segments.size(sha256) !== undefined ||
      this.#hasOld && await sizeOf(path) !== undefined;
  }

  async *list(): AsyncIterable<StoredImage> {
    yield* this.#segments.list();
    for await (const { name: head, isDirectory } of Deno.readDir(this.#images)) {
      if (!isDirectory) continue;
      const folder = join(this.#images, head);
      for await (const { name } of Deno.readDir(folder)) {
        const info = await statOf(join(folder, name));
        // It was removed meanwhile, or is none of ours.
        if (info === undefined || !/^[0-9a-f]{64}$/.test(head + name)) continue;
        yield { sha256: head + name, bytes: info.size, putMs: info.mtime?.getTime() ?? 0 };
      }
    }
  }

  /** Out of the way first: who puts it meanwhile writes it anew, or finds that it is gone. */
  async remove(sha256: string, isUnused: () => Promise<boolean>): Promise<boolean> {
    const path = this.#pathOf(sha256);
    const fromSegments = await this.#segments.remove(sha256, isUnused).catch((error) => {
      throw unavailable("removed", error);
    });
    if (fromSegments !== undefined) return fromSegments;
    const aside = this.#newUnfinished();
    try {
      await Deno.rename(path, aside);
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return false;
      throw unavailable("removed", error);
    }
    const remove = await isUnused().catch(() => false);
    try {
      if (remove) await Deno.remove(aside);
      else await Deno.rename(aside, path);
    } catch (error) {
      throw unavailable("removed", error);
    }
    return remove;
  }

  async openUpload({ maxBytes }: { maxBytes: number }): Promise<UploadTicket> {
    const { world, uploadTimeoutMs, maxUploads } = this.#options;
    if (this.#tickets.size >= maxUploads) {
      throw new ImageStoreError("full", `${this.#tickets.size} uploads are open already`);
    }
    const id = world.randomBytes(16).toHex();
    const ticket = { maxBytes, expiresMs: world.nowMs() + uploadTimeoutMs };
    this.#tickets.set(id, ticket);
    try {
      await this.#write(this.#ticketPath(id), new TextEncoder().encode(JSON.stringify(ticket)));
    } catch (error) {
      this.#tickets.delete(id);
      throw unavailable("written", error);
    }
    return { id, url: `${uploadPath}/${id}`, headers: {}, expiresMs: ticket.expiresMs };
  }

  async receiveUpload(id: string, bytes: Uint8Array): Promise<void> {
    const ticket = this.#ticketOf(id);
    if (bytes.length > ticket.maxBytes) throw tooLarge(id, ticket.maxBytes);
    try {
      await this.#write(this.#uploadedPath(id), bytes);
    } catch (error) {
      throw unavailable("written", error);
    }
  }

  async readUpload(id: string, maxBytes: number): Promise<Uint8Array> {
    this.#ticketOf(id);
    const path = this.#uploadedPath(id);
    if ((await sizeOf(path) ?? 0) > maxBytes) throw tooLarge(id, maxBytes);
    return await read(path, `upload ${id}`);
  }

  async removeUpload(id: string): Promise<void> {
    this.#tickets.delete(id);
    for (const path of [this.#uploadedPath(id), this.#ticketPath(id)]) await removeFile(path);
  }

  async tidy(signal?: AbortSignal): Promise<void> {
    await this.#segments.tidy(signal).catch((error) => {
      throw unavailable("written", error);
    });
  }

  async removeExpiredUploads(): Promise<number> {
    const nowMs = this.#options.world.nowMs();
    const expired = [...this.#tickets].filter(([, { expiresMs }]) => expiresMs <= nowMs);
    for (const [id] of expired) await this.removeUpload(id);
    return expired.length;
  }

  async probe(): Promise<void> {
    const path = this.#newUnfinished();
    try {
      await writeSynced(path, new Uint8Array([1]));
    } catch (error) {
      // On a full disk it may be there, empty. That it cannot be removed either is not what is told.
      await removeFile(path).catch(() => {});
      throw unavailable("written", error);
    }
    await removeFile(path);
  }

  #pathOf(sha256: string): string {
    // It becomes a path: nothing but a hash may.
    if (!/^[0-9a-f]{64}$/.test(sha256)) {
      throw new ImageStoreError("missing", "What is asked for is no SHA-256 in hex");
    }
    return join(this.#images, sha256.slice(0, 2), sha256.slice(2));
  }

  #ticketOf(id: string): Ticket {
    const ticket = this.#tickets.get(id);
    if (ticket === undefined || ticket.expiresMs <= this.#options.world.nowMs()) {
      throw new ImageStoreError("missing", "There is no such upload, or its time is up");
    }
    return ticket;
  }

  /** Ids come from outside, but only those of a ticket get so far. */
  #ticketPath(id: string): string {
    return join(this.#uploads, `${id}.json`);
  }

  #uploadedPath(id: string): string {
    return join(this.#uploads, `${id}.image`);
  }

  #newUnfinished(): string {
    return join(this.#unfinished, this.#options.world.randomUuid());
  }

  /** Whoever removes unused images goes by when they were put last. */
  async #touch(path: string, length: number): Promise<boolean> {
    if (await sizeOf(path) !== length) return false;
    const now = new Date(this.#options.world.nowMs());
    try {
      await Deno.utime(path, now, now);
      return true;
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return false;
      throw error;
    }
  }

  async #write(path: string, bytes: Uint8Array): Promise<void> {
    const unfinished = this.#newUnfinished();
    try {
      await writeSynced(unfinished, bytes);
      await Deno.rename(unfinished, path);
    } catch (error) {
      // What is half written takes space; on a full disk that is what is missing.
      await removeFile(unfinished).catch(() => {});
      throw error;
    }
    await syncFolder(join(path, ".."));
  }

  async #removeUnfinished(): Promise<void> {
    for await (const { name } of Deno.readDir(this.#unfinished)) {
      await Deno.remove(join(this.#unfinished, name));
    }
  }

  async #readTickets(): Promise<void> {
    for await (const { name } of Deno.readDir(this.#uploads)) {
      const [, id] = /^([0-9a-f]{32})\.json$/.exec(name) ?? [];
      if (id === undefined) continue;
      this.#tickets.set(id, readTicket(await Deno.readTextFile(join(this.#uploads, name))));
    }
  }
}

/** One that cannot be read costs its own upload only: its time is up, and it goes with the next ones. */
function readTicket(text: string): Ticket {
  try {
    const { maxBytes, expiresMs } = JSON.parse(text) as Ticket;
    if (Number.isFinite(maxBytes) && Number.isFinite(expiresMs)) return { maxBytes, expiresMs };
  } catch {
    // As below.
  }
  return { maxBytes: 0, expiresMs: 0 };
}

async function writeSynced(path: string, bytes: Uint8Array): Promise<void> {
  using file = await Deno.open(path, { createNew: true, write: true, mode: 0o600 });
  for (let written = 0; written < bytes.length;) {
    written += await file.write(bytes.subarray(written));
  }
  await file.syncData();
}

async function read(path: string, what: string): Promise<Uint8Array> {
  try {
    return await Deno.readFile(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) {
      throw new ImageStoreError("missing", `There is no ${what}`);
    }
    throw unavailable("read", error);
  }
}

async function statOf(path: string): Promise<Deno.FileInfo | undefined> {
  try {
    return await Deno.stat(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw unavailable("read", error);
  }
}

async function sizeOf(path: string): Promise<number | undefined> {
  return (await statOf(path))?.size;
}

async function removeFile(path: string): Promise<void> {
  try {
    await Deno.remove(path);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw unavailable("removed", error);
  }
}

function tooLarge(id: string, maxBytes: number): ImageStoreError {
  return new ImageStoreError("too-large", `Upload ${id} has more than ${maxBytes} bytes`);
}

function unavailable(what: string, error: unknown): ImageStoreError {
  if (error instanceof ImageStoreError) return error;
  return new ImageStoreError("unavailable", `Images cannot be ${what}: ${reasonOf(error)}`, error);
}
