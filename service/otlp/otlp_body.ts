/**
 * Bodies on their way in: read and decompressed as they come, each byte accounted for when it is
 * there and not before. When there is no more room, whoever has been silent for longest gives up
 * its own; nobody waits for a sender that has stalled.
 *
 * @module
 */
import type { Readable } from "node:stream";
import { createGunzip, createInflate } from "node:zlib";
import { readBody } from "../request_body.ts";
import { realWorld, type World } from "../world/world.ts";
import { Refused } from "./refused.ts";

/** Compressions that are read. */
export type Compression = "gzip" | "deflate";

/** Options of {@linkcode BodiesUnderWay}. */
export interface BodiesUnderWayOptions {
  /** Bytes held at once, of bodies as they came and decompressed. @default 128 MiB */
  maxBytes?: number | undefined;
  /** A body without a new byte for so long gives up its place when another needs it, in milliseconds. @default 1_000 */
  stalledMs?: number | undefined;
  /** Time. @default the real world */
  world?: World | undefined;
}

/** A body, as it came where that is wanted, and decompressed. */
export interface OtlpBody {
  /** As it came; empty unless `keepRaw`. */
  readonly raw: Uint8Array<ArrayBuffer>;
  readonly plain: Uint8Array<ArrayBuffer>;
  /** Bytes as they came. */
  readonly length: number;
}

/** Options of {@linkcode readOtlpBody}. */
export interface OtlpBodyOptions {
  account: BodyAccount;
  /** How it is compressed. @default not at all */
  compression?: Compression | undefined;
  /** The most bytes as they come; beyond it 413. */
  maxBodyBytes: number;
  /** The most bytes once decompressed; beyond it 413. */
  maxDecompressedBytes: number;
  /** How long it may take to arrive, in milliseconds; beyond it 408. */
  timeoutMs: number;
  /** Keeps it as it came. @default false */
  keepRaw?: boolean;
  /** Time. @default the real world */
  world?: World | undefined;
}

/**
 * The bytes of all bodies under way.
 *
 * @example
 * ```ts
 * const underWay = new BodiesUnderWay({ maxBytes: 128 * 1024 ** 2 });
 * using account = underWay.open();
 * account.take(chunk.length); // throws a 503 if there is no room and nobody has stalled
 * ```
 */
export class BodiesUnderWay {
  readonly #maxBytes: number;
  readonly #stalledMs: number;
  readonly #world: World;
  readonly #accounts = new Set<BodyAccount>();
  #bytes = 0;

  constructor(options: BodiesUnderWayOptions = {}) {
    this.#maxBytes = options.maxBytes ?? 128 * 1024 ** 2;
    this.#stalledMs = options.stalledMs ?? 1_000;
    this.#world = options.world ?? realWorld;
  }

  /** Bytes held now. */
  get bytes(): number {
    return this.#bytes;
  }

  /** An account for one body; it gives all back when it is disposed of. */
  open(): BodyAccount {
    const account: BodyAccount = {
      bytes: 0,
      lastMs: this.#world.monotonicMs(),
      failure: undefined,
      take: (bytes) => this.#take(account, bytes),
      cut: undefined,
      [Symbol.dispose]: () => this.#close(account),
    };
    this.#accounts.add(account);
    return account;
  }

  #take(account: BodyAccount, bytes: number): void {
    if (account.failure !== undefined) throw account.failure;
    account.lastMs = this.#world.monotonicMs();
    // One alone is always read: its own limits hold.
    while (this.#bytes > account.bytes && this.#bytes + bytes > this.#maxBytes) {
      const stalled = this.#longestSilent(account);
      if (stalled === undefined) {
        throw new Refused(503, "Too much telemetry is under way. Send it again later.", {
          "retry-after": "1",
        });
      }
      stalled.failure = new Refused(
        408,
        `No byte came for ${
          Math.round(account.lastMs - stalled.lastMs)
        } ms, and others needed the room. Send it again.`,
        { connection: "close" },
      );
      this.#close(stalled);
      stalled.cut?.();
    }
    account.bytes += bytes;
    this.#bytes += bytes;
  }

  #longestSilent(but: BodyAccount): BodyAccount | undefined {
    let found: BodyAccount | undefined;
    for (const one of this.#accounts) {
      if (one === but || one.bytes === 0 || one.cut === undefined) continue;
      if (but.lastMs - one.lastMs < this.#stalledMs) continue;
      if (found === undefined || one.lastMs < found.lastMs) found = one;
    }
    return found;
  }

  #close(account: BodyAccount): void {
    this.#bytes -= account.bytes;
    account.bytes = 0;
    this.#accounts.delete(account);
  }
}

/** What one body holds. */
export interface BodyAccount extends Disposable {
  bytes: number;
  /** When its last byte came. */
  lastMs: number;
  /** Why it has to end. */
  failure: Error | undefined;
  /** Ends its reading, while it can be ended. */
  cut: (() => void) | undefined;
  /** Counts bytes that have come. */
  take(bytes: number): void;
}

/** Bodies up to here are read in one piece, which costs a third; there are at most as many as requests. */
const smallBytes = 64 * 1024;

/**
 * Reads a body.
 *
 * @throws {Refused | ProblemError} it is too large, too slow, cut, or no such compression
 */
export async function readOtlpBody(request: Request, options: OtlpBodyOptions): Promise<OtlpBody> {
  const { account, compression, maxBodyBytes, timeoutMs, keepRaw = false } = options;
  const declared = Number(request.headers.get("content-length") ?? Infinity);
  if (declared <= smallBytes || (declared > maxBodyBytes && declared !== Infinity)) {
    const raw = await readBody(request, {
      limitBytes: maxBodyBytes,
      timeoutMs,
      encoded: true,
    }) as Uint8Array<ArrayBuffer>;
    account.take(raw.length);
    const plain = compression === undefined ? raw : await inflated(raw, compression, options);
    return { raw, plain, length: raw.length };
  }
  const raw = new Pieces();
  const inflater = compression === undefined ? undefined : new Inflater(compression, options);
  let length = 0;
  for await (const chunk of chunksOf(request, options)) {
    length += chunk.length;
    if (length > maxBodyBytes) {
      inflater?.stop();
      throw new Refused(413, `The body may have at most ${maxBodyBytes} bytes.`);
    }
    if (inflater === undefined || keepRaw) {
      account.take(chunk.length);
      raw.add(chunk);
    }
    await inflater?.write(chunk);
  }
  const whole = raw.whole();
  return { raw: whole, plain: inflater === undefined ? whole : await inflater.end(), length };
}

/**
 * Reads what a stream of Node's brings, such as a call of gRPC.
 *
 * @throws {Refused} it is too large, too slow, or cut
 */
export function readNodeStream(
  stream: Readable,
  { account, maxBodyBytes, timeoutMs, world = realWorld }: OtlpBodyOptions,
): Promise<Uint8Array<ArrayBuffer>> {
  const pieces = new Pieces();
  return new Promise((resolve, reject) => {
    const end = (failure?: Error) => {
      account.cut = undefined;
      world.clearTimeout(timer);
      stream.off("data", take);
      if (failure === undefined) resolve(pieces.whole());
      else reject(failure);
    };
    const take = (piece: Uint8Array) => {
      try {
        account.take(piece.length);
        if (pieces.length + piece.length > maxBodyBytes) {
          throw new Refused(413, `The message may have at most ${maxBodyBytes} bytes.`);
        }
        pieces.add(piece);
      } catch (error) {
        end(error as Error);
      }
    };
    const timer = world.setTimeout(
      () => end(new Refused(408, `The whole message must arrive within ${timeoutMs} ms.`)),
      timeoutMs,
    );
    account.cut = () => end(account.failure);
    stream.on("data", take);
    stream.on("end", () => end());
    stream.on("close", () => end(new Refused(400, "The call ended before its message had come.")));
  });
}

/** Decompresses a message that is there whole. */
export async function inflated(
  body: Uint8Array<ArrayBuffer>,
  compression: Compression,
  options: OtlpBodyOptions,
): Promise<Uint8Array<ArrayBuffer>> {
  const inflater = new Inflater(compression, options);
  await inflater.write(body);
  return await inflater.end();
}

/** What comes, until its end, its deadline, or the account's. */
async function* chunksOf(
  request: Request,
  { account, timeoutMs, world = realWorld }: OtlpBodyOptions,
): AsyncGenerator<Uint8Array> {
  if (request.body === null) return;
  const reader = request.body.getReader();
  const end = (failure?: Error) => {
    if (failure !== undefined) account.failure ??= failure;
    reader.cancel().catch(() => {});
  };
  account.cut = () => end();
  const timer = world.setTimeout(
    () =>
      end(
        new Refused(408, `The whole body must arrive within ${timeoutMs} ms.`, {
          connection: "close",
        }),
      ),
    timeoutMs,
  );
  try {
    while (true) {
      const { done, value } = await reader.read();
      // A reader that was cancelled says that it is done.
      if (account.failure !== undefined) throw account.failure;
      if (done) return;
      yield value;
    }
  } catch (error) {
    if (error instanceof Refused) throw error;
    throw new Refused(
      400,
      "The connection ended before the whole body had arrived. Send it again.",
    );
  } finally {
    account.cut = undefined;
    world.clearTimeout(timer);
    reader.cancel().catch(() => {});
  }
}

/** Pieces that become one. */
class Pieces {
  readonly #pieces: Uint8Array[] = [];
  length = 0;

  add(piece: Uint8Array): void {
    this.#pieces.push(piece);
    this.length += piece.length;
  }

  whole(): Uint8Array<ArrayBuffer> {
    const whole = new Uint8Array(this.length);
    let offset = 0;
    for (const piece of this.#pieces) {
      whole.set(piece, offset);
      offset += piece.length;
    }
    return whole;
  }
}

const inflaters = { gzip: createGunzip, deflate: createInflate };

/** Decompresses piece by piece: what a few bytes unfold to is never there at once. */
class Inflater {
  readonly #stream: ReturnType<typeof createGunzip>;
  readonly #pieces = new Pieces();
  readonly #ended: Promise<void>;

  constructor(compression: Compression, { account, maxDecompressedBytes }: OtlpBodyOptions) {
    const stream = inflaters[compression]({ chunkSize: 64 * 1024 });
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#stream = stream;
    this.#ended = promise;
    // Whoever writes hears of it, too.
    promise.catch(() => {});
    stream.on("data", (piece: Uint8Array) => {
      if (this.#pieces.length + piece.length > maxDecompressedBytes) {
        stream.destroy(
          new Refused(413, `The decompressed body may have at most ${maxDecompressedBytes} bytes.`),
        );
        return;
      }
      try {
        account.take(piece.length);
        this.#pieces.add(piece);
      } catch (error) {
        stream.destroy(error as Error);
      }
    });
    stream.on("end", resolve);
    stream.on("error", (error: Error) =>
      reject(
        error instanceof Refused
          ? error
          : new Refused(400, `The body is not whole ${compression}: ${error.message}`),
      ));
  }

  /** Resolves when the piece has been unfolded. */
  async write(piece: Uint8Array): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#stream.write(piece, () => resolve());
    await Promise.race([promise, this.#ended]);
  }

  async end(): Promise<Uint8Array<ArrayBuffer>> {
    this.#stream.end();
    await this.#ended;
    return this.#pieces.whole();
  }

  stop(): void {
    this.#stream.destroy();
  }
}
