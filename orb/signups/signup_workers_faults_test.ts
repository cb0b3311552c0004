/**
 * The queue's core in virtual time: workers that die, leases that end, answers that get lost,
 * signups that are sent again. The real workers, decisions and records (SQLite, in memory); only
 * time, chance and what is between them are the world's.
 */
import assert from "node:assert/strict";
import { hash } from "node:crypto";
import { testContext } from "../../service/testing/context.ts";
import { pause } from "../../service/resilience.ts";
import { VirtualWorld } from "../../service/world/virtual_world.ts";
import { ImageStoreError } from "../stores/image_store.ts";
import type { RecordCommand } from "../stores/record_commands.ts";
import type { RecordStore } from "../stores/record_store.ts";
import { SqliteRecords } from "../stores/sqlite/sqlite_records.ts";
import { StoreError } from "../stores/store_error.ts";
import { type Fingerprint, isSettled, type NewSignup, type SignupRecord } from "./signup_record.ts";
import { SignupWorkers } from "./signup_workers.ts";
import type { Uniqueness } from "./uniqueness.ts";

const seeds = 1_000;
const signups = 6;
/** Fewer than signups: some are the same. Pairs of them look alike. */
const images = 5;

/** Images are alike when their first bytes, halved, are the same. */
class HalvedUniqueness implements Uniqueness {
  readonly #known = new Map<number, string>();

  fingerprint(image: { bytes: Uint8Array }): Promise<Uint8Array> {
    return Promise.resolve(Uint8Array.of(image.bytes[0]! >> 1));
  }

  nearest(fingerprint: Uint8Array) {
    const signupId = this.#known.get(fingerprint[0]!);
    return Promise.resolve(signupId === undefined ? undefined : { signupId, distance: .1 });
  }

  compare(a: Uint8Array, b: Uint8Array): number | undefined {
    return a[0] === b[0] ? .1 : undefined;
  }

  add(fingerprints: readonly Fingerprint[]): void {
    for (const { signupId, bytes } of fingerprints) this.#known.set(bytes[0]!, signupId);
  }

  clear(): void {
    this.#known.clear();
  }
}

/** A server's way to the records: slow, lossy, and cut when the server dies. */
class FaultyStore {
  isDead = false;
  readonly #records: SqliteRecords;
  readonly #world: VirtualWorld;
  readonly #decided: Map<string, number>;

  constructor(records: SqliteRecords, world: VirtualWorld, decided: Map<string, number>) {
    this.#records = records;
    this.#world = world;
    this.#decided = decided;
  }

  run: RecordStore["run"] = (async (command: RecordCommand) => {
    await this.#pass();
    if (this.#world.random() < .05) throw new StoreError("unavailable", "it got lost on its way");
    const before = this.#stateOf(command);
    const [reply] = this.#records.apply(new Uint8Array(), [command]).replies;
    for (const [id, wasSettled] of before) {
      const isNow = isSettled(this.#find(id)!.state);
      if (isNow && !wasSettled) this.#decided.set(id, (this.#decided.get(id) ?? 0) + 1);
      assert.ok(isNow || !wasSettled, "what is decided stays so");
    }
    await this.#pass();
    if (this.#world.random() < .05) throw new StoreError("unavailable", "the answer got lost");
    return reply;
  }) as RecordStore["run"];

  onQueued(): () => void {
    return () => {};
  }

  /** Mostly short, sometimes longer than a lease; for ever once the server is dead. */
  async #pass(): Promise<void> {
    const isSlow = this.#world.random() < .03;
    await pause(this.#world.random() * (isSlow ? 15_000 : 30), { world: this.#world });
    if (this.isDead) await new Promise(() => {});
  }

  #stateOf(command: RecordCommand): [id: string, wasSettled: boolean][] {
    return command.type !== "decide"
      ? []
      : command.decisions.map(({ id }) => [id, isSettled(this.#find(id)!.state)]);
  }

  #find(id: string): SignupRecord | null {
    return this.#records.apply(new Uint8Array(), [{ type: "find", id }]).replies[0] as
      | SignupRecord
      | null;
  }
}

function imageOf(number: number): Uint8Array {
  return Uint8Array.of(number, 1, 2, 3);
}

function signupOf(seed: number, index: number, image: number): NewSignup {
  return {
    // The newest seed has the newest ids.
    id: String(seed * 100 + index).padStart(26, "0"),
    sha256: hash("sha256", imageOf(image), "hex"),
    imageBytes: 4,
    mediaType: "application/octet-stream",
    token: "1",
  };
}

/** One server after the other: each dies after a while, but the last. */
async function runServers(
  name: string,
  world: VirtualWorld,
  newStore: () => FaultyStore,
  until: AbortSignal,
): Promise<void> {
  const context = testContext({ world });
  for (let life = 0; !until.aborted; life++) {
    const store = newStore();
    const workers = new SignupWorkers({
      store,
      images: {
        async get(sha256) {
          await pause(world.random() * (world.random() < .05 ? 8_000 : 50), { world });
          if (world.random() < .05) throw new ImageStoreError("unavailable", "the images are away");
          if (world.random() < .05) throw new Error("an attempt fails");
          return Array.from({ length: images }, (_, number) => imageOf(number))
            .find((image) => hash("sha256", image, "hex") === sha256)!;
        },
      },
      uniqueness: new HalvedUniqueness(),
      ...{ log: context.log, world, name: `${name}.${life}` },
      ...{ tracer: context.telemetry.tracer, meter: context.telemetry.meter },
      concurrency: 3,
      attemptTimeoutMs: 4_000,
      leaseMs: 5_000,
      maxAttempts: 1_000,
      pollIntervalMs: 2_000,
      retryMaxDelayMs: 4_000,
    });
    workers.start();
    await pause(world.random() * 20_000, { world, signal: until });
    store.isDead = true;
    // What is left of it hangs, as a process that is gone; nothing of it reaches the records.
    void workers.stop(AbortSignal.abort());
  }
}

async function runSeed(world: VirtualWorld, records: SqliteRecords): Promise<void> {
  const decided = new Map<string, number>();
  const newStore = () => new FaultyStore(records, world, decided);
  const done = new AbortController();
  const servers = ["a", "b"].map((name) => runServers(name, world, newStore, done.signal));

  /** Sent until it is acknowledged, and once more now and then. */
  const device = async (index: number): Promise<void> => {
    const signup = signupOf(world.seed, index, Math.floor(world.random() * images));
    const store = newStore();
    await pause(world.random() * 10_000, { world });
    for (let isSent = false; !isSent || world.random() < .3;) {
      try {
        const reply = await store.run({ type: "submit", signup, maxQueued: 1_000 });
        assert.ok(reply.result === "new" || reply.result === "same");
        isSent = true;
      } catch (error) {
        assert.ok(error instanceof StoreError);
      }
    }
  };
  const all = (async () => {
    await Promise.all(Array.from({ length: signups }, (_, index) => device(index)));
    for (;;) {
      const [list] = records.apply(new Uint8Array(), [{ type: "list", limit: signups }])
        .replies as [
          SignupRecord[],
        ];
      if (list.every(({ state }) => isSettled(state))) return list;
      await pause(2_000, { world });
    }
  })();
  const list = await world.runUntil(all, { maxTimers: 200_000 });
  done.abort();
  await world.runUntil(Promise.all(servers));

  assert.equal(list.length, signups);
  for (const { id, state } of list) {
    assert.equal(decided.get(id), 1, `${id} was decided ${decided.get(id)} times`);
    assert.ok(state === "accepted" || state === "duplicate", `${id} is ${state}`);
  }
  const accepted = list.filter(({ state }) => state === "accepted");
  const kinds = new Set(accepted.map(({ sha256 }) => kindOf(sha256)));
  assert.equal(kinds.size, accepted.length, "no two that look alike are accepted");
  assert.equal(kinds.size, new Set(list.map(({ sha256 }) => kindOf(sha256))).size);
}

function kindOf(sha256: string): number {
  for (let number = 0; number < images; number++) {
    if (hash("sha256", imageOf(number), "hex") === sha256) return number >> 1;
  }
  throw new Error(`No image has the hash ${sha256}`);
}

Deno.test(`every signup is decided once, whatever breaks: ${seeds} seeds`, async () => {
  let world = new VirtualWorld();
  const records = new SqliteRecords({ path: ":memory:", nowMs: () => world.nowMs() });
  try {
    for (let seed = 1; seed <= seeds; seed++) {
      world = new VirtualWorld({ seed });
      records.apply(new Uint8Array(), [{ type: "reset" }]);
      await runSeed(world, records).catch((cause) => {
        throw new Error(`Seed ${seed} of signup_workers_faults_test.ts fails`, { cause });
      });
    }
  } finally {
    records.close();
  }
});
