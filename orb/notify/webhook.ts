/**
 * Notices to a chat, by an incoming webhook as Slack, Mattermost and others take it: `{"text": …}`.
 * Notices of a kind that come together are one message; messages have a distance; what looks like a
 * secret is masked; what cannot be sent is tried again for a while, then dropped and counted.
 *
 * @module
 */
import type { Counter, Meter } from "@opentelemetry/api";
import type { Log } from "../../service/log.ts";
import { backoffDelayMs, pause, reasonOf, timeoutSignal } from "../../service/resilience.ts";
import { realWorld, type World } from "../../service/world/world.ts";
import { masked } from "./mask.ts";

/** Something that a person wants to hear of. */
export interface Notice {
  /** Its kind: notices of one kind are grouped. */
  kind: string;
  /** In words, the same for all of its kind. */
  text: string;
  /** How bad it is. */
  level: "info" | "warn" | "error";
  /** What differs. */
  fields?: Readonly<Record<string, unknown>>;
}

/** Options of {@linkcode startWebhook}. */
export interface WebhookOptions {
  /** The webhook's address, which is a secret: who has it may write. */
  url: string;
  /** Who writes, such as the program's name. */
  sender: string;
  /** Time that notices are gathered before a message, and between two messages, in milliseconds. @default 5_000 */
  groupMs?: number;
  /** Examples of a kind in a message; the rest is counted. @default 5 */
  maxExamples?: number;
  /** Kinds that may wait; a further one is dropped and counted. @default 100 */
  maxKinds?: number;
  /** How often a message is sent at most. @default 6 */
  maxAttempts?: number;
  /** How long one call may take, in milliseconds. @default 10_000 */
  timeoutMs?: number;
  /** Makes the calls. @default the platform's, without a span: its URL is a secret */
  fetch?: typeof fetch;
  /** Says what could not be sent, without the URL. */
  log: Log;
  /** Makes the instruments. */
  meter: Meter;
  /** Time and chance. @default the real world */
  world?: World;
}

/** Sends notices. */
export interface Webhook {
  /** Takes a notice; never waits and never fails. */
  send(notice: Notice): void;
  /** Sends what is gathered, until `deadline`; then no more. */
  stop(deadline: AbortSignal): Promise<void>;
}

interface Group {
  notice: Notice;
  examples: string[];
  count: number;
}

/** Messages in a chat have a size; Slack cuts at 40,000 characters. */
const maxTextLength = 3_000;

/**
 * Starts sending.
 *
 * @example
 * ```ts
 * const webhook = startWebhook({ url, sender: "orb-server", log, meter });
 * webhook.send({ kind: "orb.silent", level: "warn", text: "An orb is silent", fields: { orb: "orb-1" } });
 * await webhook.stop(deadline);
 * ```
 */
export function startWebhook(options: WebhookOptions): Webhook {
  return new GroupedWebhook(options);
}

class GroupedWebhook implements Webhook {
  readonly #options: WebhookOptions;
  readonly #world: World;
  readonly #messages: Counter;
  #groups = new Map<string, Group>();
  #dropped = 0;
  #sending: Promise<void> | undefined;
  readonly #flushing = new AbortController();
  readonly #cut = new AbortController();

  constructor(options: WebhookOptions) {
    this.#options = options;
    this.#world = options.world ?? realWorld;
    this.#messages = options.meter.createCounter("orb.notifications", {
      description: "Messages to the chat, by what became of them; notices that were dropped.",
      unit: "{message}",
    });
  }

  send(notice: Notice): void {
    const { maxExamples = 5, maxKinds = 100 } = this.#options;
    let group = this.#groups.get(notice.kind);
    if (group === undefined) {
      if (this.#groups.size >= maxKinds || this.#cut.signal.aborted) {
        this.#dropped++;
        this.#messages.add(1, { outcome: "dropped" });
        return;
      }
      group = { notice, examples: [], count: 0 };
      this.#groups.set(notice.kind, group);
    }
    group.count++;
    const example = exampleOf(notice);
    if (example !== "" && group.examples.length < maxExamples) group.examples.push(example);
    this.#sending ??= this.#sendAll().finally(() => this.#sending = undefined);
  }

  async stop(deadline: AbortSignal): Promise<void> {
    this.#flushing.abort();
    const onDeadline = () => this.#cut.abort();
    if (deadline.aborted) onDeadline();
    else deadline.addEventListener("abort", onDeadline, { once: true });
    await this.#sending;
    deadline.removeEventListener("abort", onDeadline);
    this.#cut.abort();
  }

  /** As long as there is something: gathers, then sends one message. */
  async #sendAll(): Promise<void> {
    const { groupMs = 5_000, sender } = this.#options;
    while (this.#groups.size > 0) {
      await pause(groupMs, { signal: this.#flushing.signal, world: this.#world });
      const groups = [...this.#groups.values()];
      const dropped = this.#dropped;
      this.#groups = new Map();
      this.#dropped = 0;
      await this.#deliver(messageOf(sender, groups, dropped));
    }
  }

  async #deliver(text: string): Promise<void> {
    const { maxAttempts = 6, log } = this.#options;
    for (let attempt = 1;; attempt++) {
      const { reason, afterMs, isFinal } = await this.#post(text);
      if (reason === undefined) return this.#messages.add(1, { outcome: "sent" });
      if (isFinal || attempt >= maxAttempts || this.#cut.signal.aborted) {
        this.#messages.add(1, { outcome: "failed" });
        // Not as an error: that would be a notice, of a notice that cannot be sent.
        return log.warn("A notification could not be sent", { reason, attempts: attempt });
      }
      const ownMs = backoffDelayMs(
        attempt,
        { baseDelayMs: 1_000, maxDelayMs: 60_000 },
        this.#world,
      );
      const delayMs = Math.min(Math.max(afterMs ?? 0, ownMs), 600_000);
      await pause(delayMs, { signal: this.#cut.signal, world: this.#world });
    }
  }

  async #post(text: string): Promise<{ reason?: string; afterMs?: number; isFinal?: boolean }> {
    const { url, timeoutMs = 10_000, fetch = globalThis.fetch } = this.#options;
    using deadline = timeoutSignal(timeoutMs, { signal: this.#cut.signal, world: this.#world });
    try {
      const response = await fetch(url, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ text }),
        redirect: "manual",
        signal: deadline.signal,
      });
      await response.body?.cancel();
      const { status } = response;
      if (status >= 200 && status < 300) return {};
      const seconds = Number(response.headers.get("retry-after") ?? NaN);
      return {
        reason: `the webhook answered ${status}`,
        isFinal: status < 500 && status !== 429 && status !== 408,
        ...(Number.isFinite(seconds) && { afterMs: seconds * 1_000 }),
      };
    } catch (error) {
      // The platform's words may have the address in them.
      return {
        reason: reasonOf(error).replaceAll(url, "the webhook").replaceAll(
          new URL(url).pathname,
          "…",
        ),
      };
    }
  }
}

const signs = { info: "ℹ️", warn: "⚠️", error: "🛑" };

function messageOf(sender: string, groups: readonly Group[], dropped: number): string {
  const lines = groups.flatMap(({ notice: { text, level }, examples, count }) => {
    const times = count > 1 ? ` (${count} times)` : "";
    const more = count - examples.length;
    return [
      `${signs[level]} *${escaped(sender)}*: ${escaped(masked(text))}${times}`,
      ...examples.map((example) => `  • ${escaped(masked(example))}`),
      ...(more > 0 && examples.length > 0 ? [`  • and ${more} more`] : []),
    ];
  });
  if (dropped > 0) lines.push(`… and ${dropped} notices of other kinds that were dropped`);
  return lines.join("\n").slice(0, maxTextLength);
}

function exampleOf({ fields = {} }: Notice): string {
  return Object.entries(fields).filter(([, value]) => value !== undefined)
    .map(([name, value]) => `${name}=${value}`).join(" ").slice(0, 300);
}

/** Slack's three: so no text from outside can mention a channel or make a link. */
function escaped(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}
