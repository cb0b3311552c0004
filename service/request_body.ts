/**
 * Reading a request's body within a size and a time.
 *
 * @module
 */
import { ProblemError } from "./problem.ts";

/** Options of {@linkcode readBody}. */
export interface ReadBodyOptions {
  /** The most bytes that are read; beyond it 413. */
  limitBytes: number;
  /** How long the whole body may take; beyond it 408. @default 30_000 */
  timeoutMs?: number;
}

/**
 * Reads the whole body.
 *
 * @throws {ProblemError} 413 beyond the limit (RFC 9110, section 15.5.14), 408 when the body
 * takes too long (section 15.5.9), 400 when the client went away in the middle of it.
 */
export async function readBody(request: Request, options: ReadBodyOptions): Promise<Uint8Array> {
  const read = isDeclaredWithin(request, options.limitBytes)
    ? request.bytes()
    : readChunks(request.body, options.limitBytes);
  return await inTime(read, options.timeoutMs);
}

/**
 * Reads the whole body as text; bytes that are not UTF-8 become U+FFFD. For text this takes a
 * third less time than {@linkcode readBody} and a decoder.
 *
 * @throws {ProblemError} as {@linkcode readBody}.
 */
export async function readText(request: Request, options: ReadBodyOptions): Promise<string> {
  const read = isDeclaredWithin(request, options.limitBytes)
    ? request.text()
    : readChunks(request.body, options.limitBytes).then((bytes) => new TextDecoder().decode(bytes));
  return await inTime(read, options.timeoutMs);
}

/**
 * True when the body's length is declared: HTTP ends it there, so it may be read in one piece.
 * (`request.body` is not asked here: the mere look makes a stream of it, which costs more than
 * the rest of a small request.)
 */
function isDeclaredWithin(request: Request, limitBytes: number): boolean {
  const declared = request.headers.get("content-length");
  if (declared !== null && Number(declared) > limitBytes) throw tooLarge(limitBytes);
  return declared !== null;
}

function inTime<Body>(read: Promise<Body>, timeoutMs = 30_000): Promise<Body> {
  return new Promise((resolve, reject) => {
    const end = startDeadline(timeoutMs, () => reject(tooSlow(timeoutMs)));
    read.then((body) => {
      end();
      resolve(body);
    }, (error) => {
      end();
      reject(error instanceof ProblemError ? error : incomplete());
    });
  });
}

/**
 * Deadlines of the same length, oldest first. They share a timer: one each costs more than
 * reading a small body.
 */
interface Deadlines {
  pending: Set<{ dueMs: number; expire: () => void }>;
  armed: boolean;
}
const deadlinesByLength = new Map<number, Deadlines>();

/** Calls `expire` after `timeoutMs`, unless the function that it returns is called before. */
function startDeadline(timeoutMs: number, expire: () => void): () => void {
  let deadlines = deadlinesByLength.get(timeoutMs);
  if (deadlines === undefined) {
    deadlines = { pending: new Set(), armed: false };
    deadlinesByLength.set(timeoutMs, deadlines);
  }
  const { pending } = deadlines;
  const deadline = { dueMs: performance.now() + timeoutMs, expire };
  pending.add(deadline);
  if (!deadlines.armed) arm(deadlines, timeoutMs);
  return () => pending.delete(deadline);
}

function arm(deadlines: Deadlines, delayMs: number): void {
  deadlines.armed = true;
  setTimeout(() => {
    deadlines.armed = false;
    const nowMs = performance.now();
    for (const deadline of deadlines.pending) {
      if (deadline.dueMs > nowMs) return arm(deadlines, deadline.dueMs - nowMs);
      deadlines.pending.delete(deadline);
      deadline.expire();
    }
  }, delayMs);
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
  const whole = new Uint8Array(length);
  let offset = 0;
  for (const chunk of chunks) {
    whole.set(chunk, offset);
    offset += chunk.length;
  }
  return whole;
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
