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
import { pause, reasonOf, timeoutSignal } from "../service/resilience.ts";

/** What the flags say. */
export interface LoadOptions {
  /** The REST API. */
  url: string;
  /** Pause after each message, in milliseconds. */
  intervalMs: number;
  /** How long an answer may take, in milliseconds. */
  timeoutMs: number;
}

/**
 * Begins to send; goes on until it is stopped, whatever comes back.
 *
 * @example
 * ```ts
 * const load = await startLoad(
 *   { url: "http://127.0.0.1:8090", intervalMs: 100, timeoutMs: 6_000 },
 *   context,
 * );
 * ```
 */
export function startLoad(options: LoadOptions, serviceContext: ServiceContext): Promise<Service> {
  const { log } = serviceContext;
  log.info("Sending messages to sign", { url: options.url, intervalMs: options.intervalMs });
  const running = new Load(options, serviceContext).run();
  return Promise.resolve({ stop: () => running });
}

class Load {
  readonly #options: LoadOptions;
  readonly #context: ServiceContext;
  readonly #fetch = tracedFetch("signer-load");
  /** Whether the last message failed: an outage is in the log once. */
  #failing = false;

  constructor(options: LoadOptions, context: ServiceContext) {
    this.#options = options;
    this.#context = context;
  }

  async run(): Promise<void> {
    const { stopping, world } = this.#context;
    for (let number = 1; !stopping.aborted; number++) {
      await this.#sendOne(number);
      await pause(this.#options.intervalMs, { signal: stopping, world });
    }
  }

  async #sendOne(number: number): Promise<void> {
    const { log, stopping, telemetry } = this.#context;
    const span = telemetry.tracer.startSpan("sign and verify");
    try {
      await context.with(trace.setSpan(context.active(), span), () => this.#signAndVerify(number));
      if (this.#failing) log.info("Messages are signed again");
      this.#failing = false;
    } catch (error) {
      if (stopping.aborted) return;
      const reason = reasonOf(error);
      span.setStatus({ code: SpanStatusCode.ERROR, message: reason });
      if (!this.#failing) log.warn("A message was not signed; trying on", { reason });
      this.#failing = true;
    } finally {
      span.end();
    }
  }

  async #signAndVerify(number: number): Promise<void> {
    const message = `message ${number}`;
    const signed = await this.#post("/sign", { message });
    if (!signed.ok) throw new Error(String(signed.json.title));
    const verdict = await this.#post("/verify", { message, ...signed.json });
    if (!verdict.ok || verdict.json.valid !== true) {
      throw new Error(`The signature is not valid: ${verdict.json.reason}`);
    }
  }

  async #post(path: string, body: unknown) {
    const { stopping: signal, world } = this.#context;
    using deadline = timeoutSignal(this.#options.timeoutMs, { signal, world });
    const response = await this.#fetch(new URL(path, this.#options.url), {
      method: "POST",
      body: JSON.stringify(body),
      headers: { "content-type": "application/json" },
      // What is redirected becomes a GET of something else, whose answer says nothing.
      redirect: "manual",
      signal: deadline.signal,
    });
    if (response.status >= 300 && response.status < 400) {
      await response.body?.cancel();
      throw new Error(`${path} is redirected, which is not followed: status ${response.status}`);
    }
    return { ok: response.ok, json: await response.json() as Record<string, unknown> };
  }
}

async function main(): Promise<void> {
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

  await runService(command, startLoad);
}

if (import.meta.main) await main();
