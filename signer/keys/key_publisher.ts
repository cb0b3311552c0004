/**
 * Public keys on their way from the services that hold the private ones to the REST APIs that
 * verify: a compacted topic, one record a key, its `kid` the record's key.
 *
 * @module
 */
import type { Bus, ReaderState } from "../../service/bus/bus.ts";
import { backoffDelayMs, type BackoffOptions, pause, reasonOf } from "../../service/resilience.ts";
import { realWorld, type TimerId, type World } from "../../service/world/world.ts";
import type { PublishedKey } from "./key_files.ts";
import type { KeyStore } from "./key_store.ts";
import { type Revocation, revocationRecord } from "./revocation.ts";
import type { PrivateKey } from "./signing.ts";

/** Puts a store's keys on the topic, now and after every change. */
export interface KeyPublisher {
  /** Resolves when all keys are published, or the publisher was stopped before. */
  readonly published: Promise<void>;
  /** The active key that others know: a new one signs only once it is published. */
  readonly signingKey: PrivateKey;
  stop(): void;
}

/** Options of {@linkcode publishKeys}. */
export interface PublishKeysOptions {
  /** The bus that is used; it stays open. */
  bus: Bus;
  /** The topic of keys; made if it is absent. */
  topic: string;
  /** The keys; its `onChange` is taken. */
  store: KeyStore;
  /** What is revoked, also of others' keys: it goes along, as the topic may be a new one. @default nothing is */
  revocations?: () => Iterable<Revocation>;
  /** Notified when publishing fails or works again. @default nobody is */
  onState?: (state: ReaderState) => void;
  /**
   * How often it is looked whether the topic is still the one that the keys were published on, in
   * milliseconds; one that was removed, or made again, gets them anew.
   *
   * @default 10_000
   */
  reconcileIntervalMs?: number;
  /** Time and chance. @default realWorld */
  world?: World;
}

/** The wait after a failure. A broker that refuses us does so for hours: a line in the log each time. */
const backoff: BackoffOptions = { baseDelayMs: 1_000, maxDelayMs: 10_000, jitter: 0.5 };

/**
 * Begins to publish; what fails is tried again until it works or newer keys take its place.
 *
 * @example
 * ```ts
 * const publisher = publishKeys({ bus, topic: keysTopic("signer.v1"), store });
 * await publisher.published;
 * sign(publisher.signingKey, message);
 * ```
 */
export function publishKeys(options: PublishKeysOptions): KeyPublisher {
  return new StorePublisher(options);
}

class StorePublisher implements KeyPublisher {
  readonly published: Promise<void>;
  readonly #options: PublishKeysOptions;
  readonly #world: World;
  readonly #stopped = new AbortController();
  /** What is still to be published. */
  #wanted: readonly PublishedKey[] | undefined;
  #running: Promise<void> | undefined;
  #signingKey: PrivateKey;
  /** The topic that has all keys, by its id. */
  #publishedOn: string | undefined;
  readonly #timer: TimerId;

  constructor(options: PublishKeysOptions) {
    this.#options = options;
    this.#world = options.world ?? realWorld;
    this.#signingKey = options.store.active;
    this.#wanted = options.store.keys;
    options.store.onChange = (keys) => this.#want(keys);
    this.published = this.#running = this.#run();
    this.#timer = this.#world.setInterval(
      () => void this.#reconcile(),
      options.reconcileIntervalMs ?? 10_000,
    );
  }

  get signingKey(): PrivateKey {
    return this.#signingKey;
  }

  stop(): void {
    this.#world.clearInterval(this.#timer);
    this.#stopped.abort();
  }

  /** What is on the topic may be gone with it: a cluster that was built anew has none of our keys. */
  async #reconcile(): Promise<void> {
    const { bus, topic, store, onState = () => {} } = this.#options;
    if (this.#running) return;
    try {
      const { id } = await bus.describeTopic(topic) ?? {};
      if (this.#running || id === this.#publishedOn) return;
      onState({
        reason: id === undefined
          ? `the topic ${topic} is gone: it is made again`
          : `the topic ${topic} was made again: the keys are published anew`,
      });
      this.#want(store.keys);
    } catch {
      // The bus is away; whoever reads or sends says so, and this is tried again.
    }
  }

  #want(keys: readonly PublishedKey[]): void {
    this.#wanted = keys;
    this.#running ??= this.#run();
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopped;
    let failures = 0;
    while (this.#wanted && !signal.aborted) {
      const keys = this.#wanted;
      this.#wanted = undefined;
      if (await this.#publish(keys)) {
        failures = 0;
      } else {
        this.#wanted ??= keys;
        const delayMs = backoffDelayMs(++failures, backoff, this.#world);
        await pause(delayMs, { signal, world: this.#world });
      }
    }
    this.#running = undefined;
  }

  async #publish(keys: readonly PublishedKey[]): Promise<boolean> {
    const { bus, topic, store, revocations, onState = () => {} } = this.#options;
    const { active } = store;
    try {
      await bus.createTopic(topic, { compacted: true });
      // First, so that no key is there without its revocation.
      for (const revocation of revocations?.() ?? []) {
        await bus.send(topic, revocationRecord(revocation));
      }
      for (const key of keys) {
        const value = new TextEncoder().encode(JSON.stringify(key));
        await bus.send(topic, { key: key.kid, headers: [], value });
      }
    } catch (error) {
      onState({ reason: reasonOf(error) });
      return false;
    }
    this.#publishedOn = (await bus.describeTopic(topic).catch(() => undefined))?.id;
    this.#signingKey = active;
    onState("ok");
    return true;
  }
}
