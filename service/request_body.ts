/**
 * Reading a request's body, up to a size and for a time.
 *
 * @module
 */
import { piecesOf } from "./http1/incoming_request.ts";
import { joined } from "./http1/request_body.ts";
import { ProblemError } from "./problem.ts";
import { realWorld, type TimerId, type World } from "./world/world.ts";

export { releasePieces } from "./http1/request_body.ts";

/** Options of {@linkcode readBody}. */
export interface ReadBodyOptions {
  /** The most bytes that are read; beyond it 413. */
  limitBytes: number;
  /** Takes a body with a `content-encoding` as it comes; otherwise it is a 415. @default false */
  encoded?: boolean;
  /** How long the whole body may take, in milliseconds; beyond it 408. @default 30_000 */
  timeoutMs?: number;
  /** Whose time it is. @default the real world */
  world?: World;
}

/**
 * Reads the whole body.
 *
 * @throws {ProblemError} 413 beyond the limit (RFC 9110, section 15.5.14), 408 when the body
 * takes too long (section 15.5.9), 415 when it has a content encoding, 400 when the client went away in the middle of it.
 *
 * @example
 * ```ts
 * const bytes = await readBody(c.req.raw, { limitBytes: 1024 ** 2, timeoutMs: 5_000 });
 * ```
 */
export async function readBody(request: Request, options: ReadBodyOptions): Promise<Uint8Array> {
  if (!options.encoded) refuseEncoded(request);
  const read = isDeclaredWithin(request, options.limitBytes)
    ? request.bytes()
    : readChunks(request.body, options.limitBytes);
  return await inTime(read, options);
}

/**
 * Reads the whole body as text; bytes that are not UTF-8 become U+FFFD. For text this takes a
 * third less time than {@linkcode readBody} and a decoder.
 *
 * @throws {ProblemError} as {@linkcode readBody}.
 *
 * @example
 * ```ts
 * const text = await readText(c.req.raw, { limitBytes: 1024 ** 2 });
 * ```
 */
export async function readText(request: Request, options: ReadBodyOptions): Promise<string> {
  if (!options.encoded) refuseEncoded(request);
  const read = isDeclaredWithin(request, options.limitBytes)
    ? request.text()
    : readChunks(request.body, options.limitBytes).then((bytes) => new TextDecoder().decode(bytes));
  return await inTime(read, options);
}

/**
 * Reads the whole body in the pieces in which it came, one of them or many: for who reads a large one
 * piece by piece. They are not to be changed.
 *
 * @throws {ProblemError} as {@linkcode readBody}.
 *
 * @example
 * ```ts
 * for (const piece of await readPieces(c.req.raw, { limitBytes: 1024 ** 2 })) hash.update(piece);
 * ```
 */
export async function readPieces(
  request: Request,
  options: ReadBodyOptions,
): Promise<readonly Uint8Array[]> {
  if (!options.encoded) refuseEncoded(request);
  const read = isDeclaredWithin(request, options.limitBytes)
    ? piecesOf(request)
    : readChunks(request.body, options.limitBytes).then((bytes) => [bytes]);
  return await inTime(read, options);
}

/**
 * Pieces as one text; bytes that are not UTF-8 become U+FFFD.
 *
 * @example
 * ```ts
 * const text = textOf(await readPieces(c.req.raw, { limitBytes: 1024 ** 2 }));
 * ```
 */
export function textOf(pieces: readonly Uint8Array[]): string {
  return new TextDecoder().decode(pieces.length === 1 ? pieces[0] : joined(pieces));
}

/** RFC 9110, section 15.5.16: with what would be understood. */
function refuseEncoded({ headers }: Request): void {
  const encoding = headers.get("content-encoding")?.trim().toLowerCase();
  if (!encoding || encoding === "identity") return;
  throw new ProblemError(415, {
    title: "Unsupported content encoding",
    detail: `The body is ${
      JSON.stringify(encoding.slice(0, 40))
    }, which is not taken here. Send it plain, without content-encoding.`,
  }, { "accept-encoding": "identity" });
}

/**
 * True when the body's length is declared: HTTP ends it there, so it may be read in one piece.
 * (`request.body` is not read here: the mere access makes a stream of it, which costs more than the
 * rest of a small request.)
 */
function isDeclaredWithin(request: Request, limitBytes: number): boolean {
  const declared = request.headers.get("content-length");
  if (declared !== null && Number(declared) > limitBytes) throw tooLarge(limitBytes);
  return declared !== null;
}

/** Most bodies have come with their heads, and are read within fewer microtasks: a timer would cost more than that. */
const microtasksWithoutTimer = 8;

function inTime<Body>(
  read: Promise<Body>,
  { timeoutMs = 30_000, world = realWorld }: ReadBodyOptions,
): Promise<Body> {
  return new Promise((resolve, reject) => {
    let isSettled = false;
    let timer: TimerId | undefined;
    const settle = () => {
      isSettled = true;
      world.clearTimeout(timer);
    };
    read.then((body) => {
      settle();
      resolve(body);
    }, (error) => {
      settle();
      reject(error instanceof ProblemError ? error : incomplete());
    });
    (async () => {
      for (let i = 0; i < microtasksWithoutTimer && !isSettled; i++) await undefined;
      if (isSettled) return;
      timer = world.setTimeout(() => reject(tooSlow(timeoutMs)), timeoutMs);
    })();
  });
}

async function readChunks(
  body: ReadableStream<Uint8Array> | null,
  limitBytes: number,
): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of body ?? []) {
    length += chunk.length;
    if (length > limitBytes) throw tooLarge(limitBytes);
    chunks.push(chunk);
  }
  return joined(chunks);
}

function tooLarge(limitBytes: number): ProblemError {
  return new ProblemError(413, {
    title: "Body too large",
    detail: `The body may have at most ${limitBytes} bytes.`,
    limitBytes,
  });
}

function tooSlow(timeoutMs: number): ProblemError {
  return new ProblemError(408, {
    title: "Body too slow",
    detail: `The whole body must arrive within ${timeoutMs} ms.`,
    timeoutMs,
  }, { connection: "close" });
}

function incomplete(): ProblemError {
  return new ProblemError(400, {
    title: "Body incomplete",
    detail: "The connection ended before the whole body had arrived. Send it again.",
  });
}
