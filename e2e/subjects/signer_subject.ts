/**
 * The signer's real requester, signing workers, key publisher and key directory over a simulated bus,
 * in virtual time: every request ends in exactly one right answer or one clear error, and once the
 * faults have ended every request is answered.
 *
 * @module
 */
import { ROOT_CONTEXT } from "@opentelemetry/api";
import { memoryBus } from "../../service/bus/memory_bus.ts";
import type { ServiceContext } from "../../service/life_cycle.ts";
import { testContext } from "../../service/testing/context.ts";
import { VirtualWorld } from "../../service/world/virtual_world.ts";
import { type KeyDirectory, openKeyDirectory } from "../../signer/keys/key_directory.ts";
import type { PublishedKey } from "../../signer/keys/key_files.ts";
import { type KeyPublisher, publishKeys } from "../../signer/keys/key_publisher.ts";
import type { KeyStore } from "../../signer/keys/key_store.ts";
import { generateKey, type PrivateKey } from "../../signer/keys/signing.ts";
import type { AuditLog } from "../../signer/work/audit_log.ts";
import { type Requester, startRequester } from "../../signer/work/requester.ts";
import { SignError } from "../../signer/work/sign_error.ts";
import { type SigningWorker, startSigningWorker } from "../../signer/work/signing_worker.ts";
import { keysTopic, type SignAnswer, signErrorKinds } from "../../signer/work/wire.ts";
import { Chaos, type SubjectRun } from "./swarm.ts";
import { type UnreliableBus, unreliableBus } from "./unreliable_bus.ts";

const requestTopic = "signer.v1";
/** Requests arrive over this time, in milliseconds. */
const arrivalMs = 3_000;
// Keys are made once: their making is not what is tested, and takes chance from the platform.
const keys = [generateKey("ed25519"), generateKey("ed25519"), generateKey("ed25519")];

/** Options of {@linkcode runSigner}. */
export interface SignerSubjectOptions {
  readonly seed: number;
  /** Requests while there are faults. @default 40 */
  readonly requests?: number;
  /** Changes an answer on its way to whoever asked: for a test that a wrong one is noticed. @default none is */
  readonly tamper?: (answer: SignAnswer, number: number) => SignAnswer;
}

/** What a request has ended in; more than one ending is a violation. */
type Ending = SignAnswer | SignError;

interface Setting {
  readonly world: VirtualWorld;
  readonly chaos: Chaos;
  readonly bus: UnreliableBus;
  readonly context: ServiceContext;
  readonly store: RotatedStore;
  readonly tamper: NonNullable<SignerSubjectOptions["tamper"]>;
}

/** Runs a seed. */
export async function runSigner(options: SignerSubjectOptions): Promise<SubjectRun> {
  const { seed, requests = 40, tamper = (answer) => answer } = options;
  const world = new VirtualWorld({ seed });
  const chaos = new Chaos(world, seed);
  const memory = memoryBus({ world });
  const bus = unreliableBus(memory, chaos, () => world.monotonicMs());
  const context = testContext({ world });
  const setting = { world, chaos, bus, context, store: new RotatedStore(), tamper };
  await memory.createTopic(requestTopic, { partitions: 4 });
  const violations = await world.runUntil(play(setting, requests));
  await memory.close();
  await world.runUntilIdle();
  if (world.pendingTimers > 0) violations.push(`${world.pendingTimers} timers are left behind`);
  const { log, swarm, reached } = chaos;
  return { seed, swarm, violations, log, virtualMs: world.monotonicMs(), reached };
}

async function play(setting: Setting, requests: number): Promise<string[]> {
  const { bus, chaos, context, store, world } = setting;
  const directory = await openKeyDirectory({ bus, topic: keysTopic(requestTopic) });
  const publisher = publishKeys({ bus, topic: keysTopic(requestTopic), store, world });
  const requester = await startRequester({ bus, requestTopic, timeoutMs: 2_000 }, context);
  const crew = new Crew(setting, publisher);
  await crew.hire(1 + Math.floor(3 * chaos.random()));

  const endings: Ending[][] = [];
  const asking = ask(setting, requester, requests, endings);
  const trouble = Promise.all([
    chaos.scatter(chaos.swarm.outages, arrivalMs, async () => {
      const durationMs = chaos.durationMs();
      bus.cut(durationMs, chaos.random() < 0.5);
      await chaos.pause(durationMs);
    }),
    chaos.scatter(chaos.swarm.crashes, arrivalMs, () => crew.lose()),
    chaos.scatter(chaos.random() < 0.5 ? 0 : 2, arrivalMs, async () => {
      chaos.note("rotate");
      await store.rotate();
    }),
  ]);
  await Promise.all([asking, trouble]);
  chaos.heal();
  const after: Ending[][] = [];
  // What waits before them is done first: a worker takes up late what came late.
  await chaos.pause(15_000);
  await ask(setting, requester, 5, after);
  await Promise.all([publisher.published, directory.caughtUp]);
  await chaos.pause(100);
  const violations = judge(endings, directory, "request");
  violations.push(...judge(after, directory, "request after healing"));
  for (const [number, [end]] of after.entries()) {
    if (end instanceof SignError) {
      violations.push(`request after healing ${number} ends in ${end.kind}, with no fault left`);
    }
  }
  if (requester.inFlight !== 0) violations.push(`${requester.inFlight} requests never end`);
  await requester.close();
  await crew.close();
  publisher.stop();
  await directory.close();
  return violations;
}

/** Asks at times that are drawn, until each request has ended. */
async function ask(
  { chaos, tamper }: Setting,
  requester: Requester,
  count: number,
  endings: Ending[][],
): Promise<void> {
  await Promise.all(Array.from({ length: count }, async (_, number) => {
    const ends: Ending[] = [];
    endings.push(ends);
    await chaos.pause(chaos.random() * (chaos.isHealed ? 100 : arrivalMs));
    chaos.note("ask", String(number));
    await requester.request({ message: messageOf(number) }, ROOT_CONTEXT).then(
      (answer) => {
        chaos.note("answered", String(number));
        ends.push(tamper(answer, number));
      },
      (error) => {
        chaos.note(`ended-${error.kind}`, String(number));
        ends.push(error);
      },
    );
    // `endings` is in the order of numbers, whenever each is asked.
    endings[number] = ends;
  }));
}

function judge(endings: readonly Ending[][], directory: KeyDirectory, what: string): string[] {
  const violations: string[] = [];
  for (const [number, ends] of endings.entries()) {
    const [end] = ends;
    if (ends.length !== 1) violations.push(`${what} ${number} has ended ${ends.length} times`);
    else if (end instanceof SignError) {
      if (!signErrorKinds.includes(end.kind)) violations.push(`${what} ${number}: ${end.kind}`);
    } else {
      const { payload, keyId = "" } = end as SignAnswer;
      const signature = Uint8Array.fromBase64(payload);
      const verdict = directory.verify(messageOf(number), signature, keyId);
      if (!verdict.valid) violations.push(`${what} ${number}: its answer is ${verdict.reason}`);
    }
  }
  return violations;
}

/** Workers that crash and are replaced. */
class Crew {
  readonly #setting: Setting;
  readonly #publisher: KeyPublisher;
  readonly #workers: SigningWorker[] = [];

  constructor(setting: Setting, publisher: KeyPublisher) {
    this.#setting = setting;
    this.#publisher = publisher;
  }

  async hire(count: number): Promise<void> {
    const { bus, context, chaos } = this.#setting;
    for (let index = 0; index < count; index++) {
      this.#workers.push(
        await startSigningWorker({
          bus,
          requestTopic,
          group: "signers",
          algorithm: "ed25519",
          key: () => this.#publisher.signingKey,
          audit: audit(chaos),
          sendTimeoutMs: 1_000,
        }, context),
      );
    }
  }

  /** One is gone at once; another comes after a while. */
  async lose(): Promise<void> {
    const { chaos } = this.#setting;
    const worker = this.#workers.shift();
    if (worker === undefined) return;
    chaos.note("crash");
    await worker.close(AbortSignal.abort());
    await chaos.pause(chaos.durationMs());
    chaos.note("restart");
    await this.hire(1);
  }

  async close(): Promise<void> {
    await Promise.all(this.#workers.map((worker) => worker.close(AbortSignal.abort())));
  }
}

/** A log on a disk that is slow, and now and then full. */
function audit(chaos: Chaos): AuditLog {
  return {
    head: "",
    count: 0,
    failed: new Promise(() => {}),
    async append() {
      await chaos.pause(chaos.random());
      if (chaos.isHealed || chaos.swarm.rates.refuse === 0) return;
      if (chaos.random() < 0.02) {
        chaos.note("disk-full");
        throw new Error("the disk is full");
      }
    },
    close: () => Promise.resolve(),
  };
}

/** Keys in memory, which change as those of a folder do. */
class RotatedStore implements KeyStore {
  onChange: (keys: readonly PublishedKey[]) => void = () => {};
  readonly failed = new Promise<never>(() => {});
  #count = 1;

  get active(): PrivateKey {
    return keys[this.#count - 1]!;
  }

  get keys(): readonly PublishedKey[] {
    return keys.slice(0, this.#count).toReversed().map(({ publicJwk }, index) => ({
      ...publicJwk,
      state: index === 0 ? "active" : "verify-only",
      version: this.#count - index,
      created_at: "2026-01-01T00:00:00.000Z",
    }));
  }

  rotate(): Promise<PublishedKey> {
    this.#count = Math.min(this.#count + 1, keys.length);
    this.onChange(this.keys);
    return Promise.resolve(this.keys[0]!);
  }

  retire(): Promise<PublishedKey> {
    throw new Error("No key is retired here: a signature under it would count no more");
  }

  revoke(): Promise<PublishedKey> {
    throw new Error("No key is revoked here: a signature under it would count no more");
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}

function messageOf(number: number): Uint8Array {
  return new TextEncoder().encode(`message ${number}`);
}
