/**
 * One virtual orb: a loop that reports how its host is, and a loop that signs up images.
 *
 * @module
 */
import { type Meter, SpanStatusCode, type Tracer } from "@opentelemetry/api";
import { ulid } from "ulid";
import type { Log, LogFields } from "../service/log.ts";
import { pause, reasonOf, timeoutSignal } from "../service/resilience.ts";
import { realWorld, type World } from "../service/world/world.ts";
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
  /** Makes the calls. */
  fetch: typeof fetch;
  /** How long one call may take, in milliseconds. */
  requestTimeoutMs: number;
  /** Ends the loops; a call under way is finished. */
  stopping: AbortSignal;
  /** Cuts the calls under way. */
  cut: AbortSignal;
  /** Time and chance. @default the real world */
  world?: World;
}

/** Options of {@linkcode reportTelemetry}. */
export interface TelemetryLoopOptions extends OrbTools {
  /** Where reports go. */
  url: string;
  /** Reads how busy the host is. */
  readHost: () => HostUsage;
  /** When to report. */
  pace: Pace;
  /** Added to every log line, such as the orb's number in a fleet. @default none */
  fields?: LogFields;
}

/** Options of {@linkcode signUpImages}. */
export interface SignupLoopOptions extends OrbTools {
  /** The signup's address, made by {@linkcode signupUrl}. */
  url: string;
  /** Gives the image of each signup. */
  nextImage: ImageSource;
  /** When to sign up. */
  pace: Pace;
  /** Added to every log line, such as the orb's number in a fleet. @default none */
  fields?: LogFields;
}

/** When a loop works. An interval counts from the end of the last call. */
export interface Pace {
  /** Before the first call, in milliseconds. */
  delayMs: number;
  /** Between calls, in milliseconds. */
  intervalMs: number;
  /** Every interval is varied by up to this share of itself, 0 to 1. */
  jitter: number;
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
        const { status } = await post(options, url, {
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

/** Signs up one image after the other until `stopping`. */
export async function signUpImages(options: SignupLoopOptions): Promise<void> {
  const { tracer, world = realWorld } = options;
  const signups = options.meter.createCounter("orb.client.signups", {
    description: "Signups sent, by outcome.",
    unit: "{signup}",
  });

  await repeat(options, () =>
    tracer.startActiveSpan("sign up", async (span) => {
      const id = ulid(world.nowMs(), () => world.random());
      span.setAttribute("orb.signup.id", id);
      const outcome = await signUp(id, options);
      span.setAttribute("orb.outcome", outcome);
      if (outcome !== "accepted" && outcome !== "duplicate") {
        span.setStatus({ code: SpanStatusCode.ERROR });
      }
      span.end();
      signups.add(1, { outcome });
    }));
}

type Outcome = "accepted" | "duplicate" | "failed" | "no_image" | "unreachable";

async function signUp(id: string, options: SignupLoopOptions): Promise<Outcome> {
  const { log, url, fields } = options;
  let image: Uint8Array;
  try {
    image = await options.nextImage();
  } catch (error) {
    log.error(`error: ❌️ Signup has no image ${reasonOf(error)}`, fields);
    return "no_image";
  }
  let answer: { status: number; text: string };
  try {
    answer = await post(options, url, { id, image_base64: image.toBase64() });
  } catch (error) {
    log.error(`error: ❌️ Signup unable to connect ${reasonOf(error)}`, fields);
    return "unreachable";
  }
  switch (answer.status) {
    case 200:
      log.info(`✅ Signup request successful! Unique Image Hash Token ${answer.text}`, fields);
      return "accepted";
    case 409:
      log.error("error: ❌ Signup request conflict - Image is already used", fields);
      return "duplicate";
    default:
      log.error("error: ❌️ Signup request failed", { ...fields, status: answer.status });
      return "failed";
  }
}

/**
 * The signup's address on a server. `http://host:4242` and `http://host:4242/orb` are bases; an
 * address that ends with `/api/signup` is taken as it is.
 *
 * @example
 * ```ts
 * signupUrl("http://127.0.0.1:4242"); // "http://127.0.0.1:4242/api/signup"
 * ```
 */
export function signupUrl(server: string): string {
  const url = new URL(server);
  const path = url.pathname.replace(/\/+$/, "");
  url.pathname = path.endsWith("/api/signup") ? path : `${path}/api/signup`;
  return url.href;
}

/** The most bytes of an answer that are kept: a token has 16. */
const maxAnswerBytes = 1_024;

/** Posts JSON and reads the answer's beginning. */
async function post(
  tools: OrbTools,
  url: string,
  body: unknown,
): Promise<{ status: number; text: string }> {
  const { world = realWorld, cut, requestTimeoutMs } = tools;
  using deadline = timeoutSignal(requestTimeoutMs, { signal: cut, world });
  const response = await tools.fetch(url, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
    signal: deadline.signal,
  });
  let text = "";
  let length = 0;
  const decoder = new TextDecoder();
  for await (const chunk of response.body ?? []) {
    text += decoder.decode(chunk, { stream: true });
    length += chunk.length;
    // Leaving the loop drops the rest, and the connection with it.
    if (length > maxAnswerBytes) break;
  }
  return { status: response.status, text: text.slice(0, maxAnswerBytes) };
}

/** Works, waits, works … until `stopping`. */
async function repeat(
  { pace, stopping, world = realWorld }: Pick<OrbTools, "stopping" | "world"> & { pace: Pace },
  work: () => Promise<void>,
): Promise<void> {
  const options = { signal: stopping, world };
  await pause(pace.delayMs, options);
  while (!stopping.aborted) {
    await work();
    const varied = 1 + pace.jitter * (2 * world.random() - 1);
    await pause(pace.intervalMs * varied, options);
  }
}
