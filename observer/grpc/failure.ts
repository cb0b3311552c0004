/**
 * Why an observation failed, in a word for metrics and a sentence for people.
 *
 * @module
 */
import { Code, ConnectError } from "@connectrpc/connect";
import { fileURLToPath } from "node:url";
import type { Endpoint } from "./endpoint.ts";

/** The kinds of failure: few, as they are a label's values. */
export type FailureKind = "unreachable" | "timeout" | "protocol" | "refused" | "too_large";

/** A failed observation. */
export class ObservationError extends Error {
  override name = "ObservationError";
  /** What kind of failure it is. */
  readonly kind: FailureKind;
  /** The status of the call in gRPC's spelling, such as `UNAVAILABLE`; for `error.type` of spans. */
  readonly status: string;

  constructor(kind: FailureKind, status: string, message: string, cause?: unknown) {
    super(message, { cause });
    this.kind = kind;
    this.status = status;
  }
}

/** The deadline of an observation has passed. */
export function timedOut(endpoint: Endpoint, doing: string, timeoutMs: number): ObservationError {
  return new ObservationError(
    "timeout",
    grpcStatus(Code.DeadlineExceeded),
    `${endpoint.address} did not answer within ${timeoutMs} ms (${doing}). Is it hung? Give it longer with --timeout.`,
  );
}

/** Turns what the socket or the HTTP/2 session says into an {@linkcode ObservationError}. */
export function connectFailure(endpoint: Endpoint, error: unknown): ObservationError {
  const { code = "", message } = error as Error & { code?: string };
  const fail = (kind: FailureKind, text: string) =>
    new ObservationError(kind, grpcStatus(Code.Unavailable), `${endpoint.address}: ${text}`, error);
  if (error instanceof Deno.errors.NotCapable || message?.startsWith("Requires ")) {
    const path = "path" in endpoint.target ? endpoint.target.path : endpoint.address;
    return fail("unreachable", `Deno may not open it. ${commandFor(path)}`);
  }
  switch (code) {
    case "ENOENT":
      return fail("unreachable", "there is no such socket. Is the runtime running?");
    case "ECONNREFUSED":
      return fail("unreachable", "nothing listens there. Is the runtime running?");
    case "EACCES":
    case "EPERM":
      return fail(
        "unreachable",
        "no permission to open the socket. Run the observer as a user that may.",
      );
    case "ERR_HTTP2_ERROR":
    case "ERR_HTTP2_SESSION_ERROR":
      return fail("protocol", `it does not speak HTTP/2 in clear text (${message}).`);
    case "":
      return fail("protocol", message || "the connection broke without a reason.");
    default:
      return fail("unreachable", `the connection broke (${message}).`);
  }
}

/** How to start this program so that it may open a socket elsewhere than where runtimes have theirs. */
function commandFor(path: string): string {
  if (Deno.build.standalone) {
    return "What this binary may open is fixed: start the observer.js of its release by Deno instead.";
  }
  const permissions = [
    "-N",
    `-R=dist/pages,${path}`,
    `-W=${path}`,
    "-E=OTEL_*,OBSERVER_*",
  ];
  const words = ["deno", "run", ...permissions, fileURLToPath(Deno.mainModule), ...Deno.args];
  return `Start it as: ${words.map(shellWord).join(" ")}`;
}

/** A word as a POSIX shell takes it for itself. */
function shellWord(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}

/** Turns a failed call into an {@linkcode ObservationError}. */
export function callFailure(endpoint: Endpoint, method: string, error: unknown): ObservationError {
  if (error instanceof ObservationError) return error;
  const cause = ConnectError.from(error);
  const system = systemError(cause);
  if (system !== undefined) return connectFailure(endpoint, system);
  const status = grpcStatus(cause.code);
  const fail = (kind: FailureKind, text: string) =>
    new ObservationError(kind, status, `${endpoint.address}: ${method} ${text}`, error);
  if (cause.code === Code.DeadlineExceeded) return fail("timeout", "did not answer in time.");
  if (isTooLarge(cause)) {
    return fail(
      "too_large",
      `answered with too large a message (${cause.rawMessage}). Raise --max-message-bytes.`,
    );
  }
  if (
    cause.code === Code.Unimplemented && /unknown service runtime\.v1\./i.test(cause.rawMessage)
  ) {
    return fail(
      "refused",
      `is not there: the runtime has no CRI v1, perhaps the older v1alpha2 alone. Update it: containerd has v1 from 1.6 on, CRI-O from 1.20 on.`,
    );
  }
  if (/stream closed with error code/i.test(cause.rawMessage)) {
    return fail(
      "unreachable",
      `broke off, the connection was closed or reset (${cause.rawMessage}).`,
    );
  }
  return fail("refused", `failed with ${status}: ${cause.rawMessage}`);
}

/** The operating system's reason, when a call ended with its connection. */
function systemError(error: ConnectError): Error | undefined {
  for (let cause: unknown = error; cause instanceof Error; cause = cause.cause) {
    if (/^E[A-Z]+$/.test((cause as Error & { code?: unknown }).code as string)) return cause;
  }
  return undefined;
}

function isTooLarge(error: ConnectError): boolean {
  return error.code === Code.ResourceExhausted && /larger than configured/.test(error.rawMessage);
}

/** A status code as gRPC's documents spell it: `NOT_FOUND`. */
export function grpcStatus(code: Code | 0): string {
  if (code === 0) return "OK";
  if (code === Code.Canceled) return "CANCELLED";
  // A peer may send any number.
  const name = Code[code] as string | undefined;
  return name?.replace(/(?<=[a-z])(?=[A-Z])/g, "_").toUpperCase() ?? `CODE_${code}`;
}
