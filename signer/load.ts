#!/usr/bin/env -S deno run --allow-net --allow-env=OTEL_*,SIGNER_LOAD_* --ignore-env
/**
 * A small, steady load of sign requests, so that there is something to watch: each message is
 * signed by HTTP and its signature checked. Exports {@linkcode startLoad}; can also be used as a
 * CLI:
 *
 * ```sh
 * signer/load.ts                                   # one message a second
 * signer/load.ts --url http://127.0.0.1:8090 --interval-ms 200
 * ```
 *
 * @module
 */
import { context, SpanStatusCode, trace } from "@opentelemetry/api";
import { commandLine, flag, parseDuration, parseHttpUrl } from "../service/command_line.ts";
import { tracedFetch } from "../service/http_client.ts";
import { runService, type Service, type ServiceContext } from "../service/life_cycle.ts";

/** What the flags say. */
export interface LoadOptions {
  /** The REST API. */
  url: string;
  /** Pause after each message. */
  intervalMs: number;
  /** How long an answer may take. */
  timeoutMs: number;
}

/** Begins to send; goes on until it is stopped, whatever comes back. */
export async function startLoad(
  options: LoadOptions,
  serviceContext: ServiceContext,
): Promise<Service> {
  const { log, telemetry, stopping } = serviceContext;
  const fetch = tracedFetch("signer-load");
  let told = false;

  async function post(path: string, body: unknown): Promise<Response> {
    return await fetch(new URL(path, options.url), {
      method: "POST",
      body: JSON.stringify(body),
      headers: { "content-type": "application/json" },
      signal: AbortSignal.any([stopping, AbortSignal.timeout(options.timeoutMs)]),
    });
  }

  async function signAndVerify(number: number): Promise<void> {
    const message = `message ${number}`;
    const signed = await post("/sign", { message });
    const answer = await signed.json();
    if (!signed.ok) throw new Error(answer.title);
    const verdict = await (await post("/verify", { message, ...answer })).json();
    if (!verdict.valid) throw new Error(`The signature is not valid: ${verdict.reason}`);
  }

  async function run(): Promise<void> {
    for (let number = 1; !stopping.aborted; number++) {
      const span = telemetry.tracer.startSpan("sign and verify");
      try {
        await context.with(trace.setSpan(context.active(), span), () => signAndVerify(number));
        if (told) log.info("Messages are signed again");
        told = false;
      } catch (error) {
        if (stopping.aborted) break;
        const reason = error instanceof Error ? error.message : String(error);
        span.setStatus({ code: SpanStatusCode.ERROR, message: reason });
        if (!told) log.warn("A message was not signed; trying on", { reason });
        told = true;
      } finally {
        span.end();
      }
      await pause(options.intervalMs, stopping);
    }
  }

  log.info("Sending messages to sign", { url: options.url, intervalMs: options.intervalMs });
  const running = run();
  return await Promise.resolve({ stop: () => running });
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      resolve();
    }, { once: true });
  });
}

const command = commandLine({
  name: "signer-load",
  summary: "Has a message signed and its signature checked, again and again.",
  examples: [
    ["deno task signer:load", "one message a second"],
    ["deno task signer:load --interval-ms 100", "ten"],
  ],
})
  .addOption(
    flag("--url <url>", "the REST API").argParser(parseHttpUrl).default("http://127.0.0.1:8090"),
  )
  .addOption(
    flag("--interval-ms <ms>", "pause after each message")
      .argParser(parseDuration({ unit: "ms", minMs: 0, maxMs: 3_600_000 })).default(1_000),
  )
  .addOption(
    flag("--timeout-ms <ms>", "how long an answer may take")
      .argParser(parseDuration({ unit: "ms", minMs: 1, maxMs: 600_000 })).default(6_000),
  );

if (import.meta.main) await runService(command, startLoad);
