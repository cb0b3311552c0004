/**
 * One virtual orb: a loop that reports how its host is, and a loop that signs up images, at once or
 * by way of a spool on disk, which a third loop empties.
 *
 * @module
 */
import {
  type Counter,
  type Meter,
  type Span,
  SpanStatusCode,
  type Tracer,
} from "@opentelemetry/api";
import { ulid } from "ulid";
import type { Log, LogFields } from "../service/log.ts";
import { pause, reasonOf, timeoutSignal } from "../service/resilience.ts";
import { realWorld, type World } from "../service/world/world.ts";
import type { Delivery } from "./delivery/delivery.ts";
import type { CallResult } from "./delivery/signup_wire.ts";
import type { Spool, SpooledSignup } from "./delivery/spool.ts";
import type { LoopControl } from "./devices/loop_control.ts";
import type { HostUsage } from "./host_usage.ts";
import type { ImageSource } from "./orb_images.ts";

/** What an orb works with; many orbs share it. */
export interface OrbTools {
  /** Gets a line a call. */
  log: Log;
  /** Makes the spans. */
  tracer: Tracer;
  /** Makes the instruments. */
  meter: Meter;
  /** Ends the loops; a call under way is finished. */
  stopping: AbortSignal;
  /** Time and chance. @default the real world */
  world?: World;
}

/** Options of {@linkcode reportTelemetry}. */
export interface TelemetryLoopOptions extends OrbTools {
  /** Makes the calls. */
  fetch: typeof fetch;
  /** How long one call may take, in milliseconds. */
  requestTimeoutMs: number;
  /** Cuts the calls under way. */
  cut: AbortSignal;
  /** Where reports go. */
  url: string;
  /** Reads how busy the host is. */
  readHost: () => HostUsage;
  /** When to report. */
  pace: Pace;
  /** Added to every log line, such as the orb's number in a fleet. @default none */
  fields?: LogFields;
}

/** What the loops of one orb's signups have in common. */
export interface SignupLoopOptions extends OrbTools {
  /** The orb, from 1. */
  orb: number;
  /** Hands signups in. */
  delivery: Delivery;
  /** Gets what comes again and again while a server is away; limited, as a fleet is many. */
  warn: (message: string, fields?: LogFields) => void;
  /** Added to every log line, such as the orb's number in a fleet. @default none */
  fields?: LogFields;
}

/** Options of {@linkcode signUpImages}. */
export interface SignUpImagesOptions extends SignupLoopOptions {
  /** Chooses the image of each signup. */
  nextImage: ImageSource;
  /** When to sign up. */
  pace: Pace;
}

/** Options of {@linkcode sendSpooled}. */
export interface SendSpooledOptions extends SignupLoopOptions {
  /** Where signups wait. */
  spool: Spool;
}

/** Options of {@linkcode spoolImages}. */
export interface SpoolImagesOptions extends Omit<SignUpImagesOptions, "delivery"> {
  /** Where signups wait. */
  spool: Spool;
}

/** When a loop works. An interval counts from the end of the last call. */
export interface Pace {
  /** Before the first call, in milliseconds. */
  delayMs: number;
  /** Between calls, in milliseconds. */
  intervalMs: number;
  /** Every interval is varied by up to this share of itself, 0 to 1. */
  jitter: number;
  /** Takes the interval's place, where the orb is told by its server when to work. @default none does */
  control?: LoopControl;
}

/** Reports until `stopping`. An answer other than 2xx is a failure. */
export async function reportTelemetry(options: TelemetryLoopOptions): Promise<void> {
  const { log, tracer, url, fields, world = realWorld } = options;
  const reports = options.meter.createCounter("orb.client.reports", {
    description: "Reports of the host's usage, by outcome.",
    unit: "{report}",
  });

  await repeat(options, () =>
    tracer.startActiveSpan("report telemetry", async (span) => {
      const usage = options.readHost();
      try {
        const status = await post(options, url, {
          cpu_usage: usage.cpu,
          memory_usage: usage.memory,
          disk_space: usage.disk,
          timestamp: Math.floor(world.nowMs() / 1_000),
        });
        if (status < 200 || status > 299) throw new Error(`the answer has status ${status}`);
        reports.add(1, { outcome: "sent" });
        log.info("📡 Telemetry sent", fields);
      } catch (error) {
        const reason = reasonOf(error);
        reports.add(1, { outcome: "failed" });
        span.setStatus({ code: SpanStatusCode.ERROR, message: reason });
        log.error(`📡 Unable to send telemetry error: ${reason}`, fields);
      } finally {
        span.end();
      }
    }));
}

/**
 * Signs up one image after the other until `stopping`, each until the server has decided or the
 * budget is spent: while the server is away the image is the same.
 */
export async function signUpImages(options: SignUpImagesOptions): Promise<void> {
  const { tracer, delivery, orb } = options;
  const signups = signupCounter(options.meter);
  await repeat(options, () =>
    tracer.startActiveSpan("sign up", async (span) => {
      const id = newId(options);
      span.setAttribute("orb.signup.id", id);
      const readImage = options.nextImage();
      const result = await delivery.deliver({ id, orb, readImage }, onRetry(options));
      endSpan(span, result);
      // It was not its turn yet: nothing has failed.
      if (result.kind === "no_image" && options.stopping.aborted) return;
      report(result, options);
      signups.add(1, { outcome: outcomeOf(result) });
    }));
}

/** Puts one image after the other into the spool until `stopping`; {@linkcode sendSpooled} sends them. */
export async function spoolImages(options: SpoolImagesOptions): Promise<void> {
  const { log, spool, orb, fields } = options;
  const signups = signupCounter(options.meter);
  await repeat(options, async () => {
    let image: Uint8Array;
    try {
      image = await options.nextImage()();
    } catch (error) {
      if (options.stopping.aborted) return;
      report({ kind: "no_image", reason: reasonOf(error) }, options);
      signups.add(1, { outcome: "no_image" });
      return;
    }
    try {
      if (await spool.add({ id: newId(options), orb, image })) return;
      log.error("error: ❌️ Signup not taken: the spool is full", fields);
      signups.add(1, { outcome: "spool_full" });
    } catch (error) {
      log.error(`error: ❌️ Signup not taken: ${reasonOf(error)}`, fields);
      signups.add(1, { outcome: "spool_failed" });
    }
  });
}

/** Sends an orb's signups from the spool, in order, each until it is decided. */
export async function sendSpooled(options: SendSpooledOptions): Promise<void> {
  const { spool, stopping, orb } = options;
  const signups = signupCounter(options.meter);
  let failures = 0;
  while (!stopping.aborted) {
    const signup = spool.oldest(orb);
    if (signup === undefined) {
      await spool.whenAny(orb, stopping);
      continue;
    }
    const isSent = await sendOne(signup, options, signups);
    failures = isSent ? 0 : failures + 1;
    // The spool's own disk refuses; the server would be asked again at once.
    if (!isSent) await pause(Math.min(30_000, 1_000 * 2 ** failures), options);
  }
}

/** False when the signup is still in the spool. */
async function sendOne(
  signup: SpooledSignup,
  options: SendSpooledOptions,
  signups: Counter,
): Promise<boolean> {
  const { tracer, spool, delivery, orb } = options;
  return await tracer.startActiveSpan("sign up", async (span) => {
    span.setAttributes({ "orb.signup.id": signup.id, "orb.signup.spooled": true });
    const readImage = () => Promise.resolve(spool.readImage(signup.seq));
    const result = await delivery.deliver({ id: signup.id, orb, readImage }, onRetry(options));
    endSpan(span, result);
    // Undecided: the client stops, or the spool cannot be read. It goes on from there.
    if (result.kind === "later" || result.kind === "unusable") return true;
    report(result, options);
    if (result.kind === "no_image") return false;
    signups.add(1, { outcome: outcomeOf(result) });
    try {
      await spool.remove(signup);
      return true;
    } catch (error) {
      options.warn(
        `A signup that was decided stays in the spool: ${reasonOf(error)}`,
        options.fields,
      );
      return false;
    }
  });
}

function signupCounter(meter: Meter): Counter {
  return meter.createCounter("orb.client.signups", {
    description: "Signups by outcome.",
    unit: "{signup}",
  });
}

function newId({ world = realWorld }: Pick<OrbTools, "world">): string {
  return ulid(world.nowMs(), () => world.random());
}

function onRetry({ warn, fields }: Pick<SignupLoopOptions, "warn" | "fields">) {
  return function warnOfRetry(failure: CallResult, delayMs: number): void {
    const reason = "reason" in failure ? failure.reason : failure.kind;
    warn(`Signup not decided yet, the same image is sent again: ${reason}`, {
      ...fields,
      delay_ms: Math.round(delayMs),
    });
  };
}

/** The outcome of a signup as metrics and spans name it. */
export type SignupOutcome =
  | "accepted"
  | "duplicate"
  | "rejected"
  | "failed"
  | "no_image"
  | "unreachable";

function outcomeOf(result: CallResult): SignupOutcome {
  switch (result.kind) {
    case "refused":
    case "unusable":
      return "failed";
    case "later":
      return result.status === undefined ? "unreachable" : "failed";
    default:
      return result.kind;
  }
}

function endSpan(span: Span, result: CallResult): void {
  const outcome = outcomeOf(result);
  span.setAttribute("orb.outcome", outcome);
  if (outcome !== "accepted" && outcome !== "duplicate") {
    span.setStatus({ code: SpanStatusCode.ERROR });
  }
  span.end();
}

/** What became of a signup, in the original's words. */
function report(
  result: CallResult,
  { log, fields }: Pick<SignupLoopOptions, "log" | "fields">,
): void {
  switch (result.kind) {
    case "accepted":
      return log.info(
        `✅ Signup request successful! Unique Image Hash Token ${result.token ?? "-"}`,
        fields,
      );
    case "duplicate":
      return log.error("error: ❌ Signup request conflict - Image is already used", fields);
    case "no_image":
      return log.error(`error: ❌️ Signup has no image ${result.reason}`, fields);
    case "rejected":
      return log.error("error: ❌️ Signup request rejected", { ...fields, reason: result.reason });
    case "later":
      if (result.status === undefined) {
        return log.error(`error: ❌️ Signup unable to connect ${result.reason}`, fields);
      }
  }
  const { status, reason } = result as { status?: number; reason: string };
  log.error("error: ❌️ Signup request failed", { ...fields, status, reason });
}

/** Posts JSON and gives the answer's status; what it says is not read. */
async function post(tools: TelemetryLoopOptions, url: string, body: unknown): Promise<number> {
  const { world = realWorld, cut, requestTimeoutMs } = tools;
  using deadline = timeoutSignal(requestTimeoutMs, { signal: cut, world });
  const response = await tools.fetch(url, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
    // What is redirected comes as a GET without a body, whose 200 says nothing.
    redirect: "manual",
    signal: deadline.signal,
  });
  await response.body?.cancel();
  return response.status;
}

/** Works, waits, works … until `stopping`. */
async function repeat(
  { pace, stopping, world = realWorld }: Pick<OrbTools, "stopping" | "world"> & { pace: Pace },
  work: () => Promise<void>,
): Promise<void> {
  const options = { signal: stopping, world };
  await (pace.control?.delay(pace.delayMs, options) ?? pause(pace.delayMs, options));
  while (!stopping.aborted) {
    await work();
    const varied = 1 + pace.jitter * (2 * world.random() - 1);
    await (pace.control?.rest(varied, options) ?? pause(pace.intervalMs * varied, options));
  }
}
