/**
 * Waiting for a signup's decision: long polls and event streams.
 *
 * @module
 */
import type { EventClient } from "../../service/event_client.ts";
import { EventStreamHub } from "../../service/event_stream.ts";
import { pause } from "../../service/resilience.ts";
import type { World } from "../../service/world/world.ts";
import type { RecordStore } from "../stores/record_store.ts";
import { isSettled, type SignupRecord } from "./signup_record.ts";
import { signupResource } from "./signup_resource.ts";

/** Options of {@linkcode SignupWaiters}. */
export interface SignupWaitersOptions {
  store: Pick<RecordStore, "run" | "follow">;
  stopping: AbortSignal;
  world: World;
  /** Long polls at once; one more is answered at once. @default 512 */
  maxLongPolls?: number;
  /** Event streams at once; one more is answered 503. @default 256 */
  maxStreams?: number;
}

/** A change may be missed when a connection was lost, or made by an operator's tool: so it is asked again. */
const askAgainMs = 1_000;

/** Who waits for signups. */
export class SignupWaiters {
  readonly #options: SignupWaitersOptions;
  readonly #hub: EventStreamHub<undefined>;
  readonly #followed = new Map<EventClient<undefined>, () => void>();
  #longPolls = 0;

  constructor(options: SignupWaitersOptions) {
    this.#options = options;
    const { stopping, world, maxStreams = 256 } = options;
    this.#hub = new EventStreamHub({ maxClients: maxStreams, stopping, world });
  }

  /**
   * Waits until it is settled, for at most `waitMs`, or until the server stops.
   *
   * @returns it as it is then; at once if too many wait already
   */
  async untilSettled(record: SignupRecord, waitMs: number): Promise<SignupRecord> {
    const { store, stopping, world, maxLongPolls = 512 } = this.#options;
    if (waitMs <= 0 || isSettled(record.state) || this.#longPolls >= maxLongPolls) return record;
    this.#longPolls++;
    const settled = new AbortController();
    const ended = AbortSignal.any([stopping, settled.signal]);
    let latest = record;
    const see = (now: SignupRecord) => {
      // What was read before may arrive after the news.
      if (settled.signal.aborted) return;
      latest = now;
      if (isSettled(now.state)) settled.abort();
    };
    const unfollow = store.follow(record.id, see);
    try {
      const untilMs = world.monotonicMs() + waitMs;
      while (!ended.aborted && world.monotonicMs() < untilMs) {
        // What happened before it was followed, or was missed.
        see(await store.run({ type: "find", id: record.id }) ?? record);
        const leftMs = untilMs - world.monotonicMs();
        await pause(Math.max(0, Math.min(askAgainMs, leftMs)), { signal: ended, world });
      }
    } finally {
      unfollow();
      this.#longPolls--;
    }
    return latest;
  }

  /**
   * Streams its states: the one it has, each that follows, and an end once it is settled.
   *
   * @throws {ProblemError} 503: too many streams
   */
  async stream(id: string): Promise<Response> {
    const { store } = this.#options;
    this.#forgetLeft();
    let mine: EventClient<undefined> | undefined;
    const response = this.#hub.open({ state: undefined, greet: (client) => mine = client });
    const client = mine!;
    let lastSent = "";
    const send = (record: SignupRecord) => {
      const data = signupResource(record);
      const text = JSON.stringify(data);
      // The state that it had may be told by who follows it as well.
      if (text === lastSent) return;
      lastSent = text;
      if (!client.send({ name: "state", data }) || isSettled(record.state)) this.#end(client);
    };
    this.#followed.set(client, store.follow(id, send));
    try {
      const record = await store.run({ type: "find", id });
      if (record !== null) send(record);
    } catch (error) {
      this.#end(client);
      throw error;
    }
    return response;
  }

  #end(client: EventClient<undefined>): void {
    this.#followed.get(client)?.();
    this.#followed.delete(client);
    client.close("closed");
  }

  /** Clients that went away without a word; as many as there were streams at most. */
  #forgetLeft(): void {
    const open = new Set(this.#hub.clients);
    for (const client of this.#followed.keys()) if (!open.has(client)) this.#end(client);
  }
}
