/**
 * The signer in virtual time: the real requester and the real signing workers over the memory bus,
 * with a network that loses, doubles and delays by chance. One seed is one run, to the byte.
 */
import { ROOT_CONTEXT } from "@opentelemetry/api";
import assert from "node:assert/strict";
import { type Bus, BusError, type BusRecord } from "../service/bus/bus.ts";
import { memoryBus } from "../service/bus/memory_bus.ts";
import { pause } from "../service/resilience.ts";
import { testContext } from "../service/testing/context.ts";
import { VirtualWorld } from "../service/world/virtual_world.ts";
import { generateKey, importVerifier } from "./keys/signing.ts";
import type { AuditLog } from "./work/audit_log.ts";
import { type Requester, startRequester } from "./work/requester.ts";
import { SignError } from "./work/sign_error.ts";
import { type SigningWorker, startSigningWorker } from "./work/signing_worker.ts";
import { decodeAnswer, decodeRequest, type SignAnswer, signErrorKinds } from "./work/wire.ts";

const requestTopic = "signer.v1";
const requests = 1_000;
// One key for all runs: its signatures are the same for the same message (RFC 8032, section 5.1.6).
const key = generateKey("ed25519");
const verifier = importVerifier(key.publicJwk);

/** How a run went. */
interface Run {
  /** Every event, a line each, with its virtual time. */
  log: string[];
  /** By request: everything that it ended in. */
  endings: (SignAnswer | SignError)[][];
  elapsedMs: number;
}

type Note = (event: string) => void;

/** One thousand requests under a seed. */
async function run(seed: number): Promise<Run> {
  const world = new VirtualWorld({ seed });
  const log: string[] = [];
  const note: Note = (event) => log.push(`${world.monotonicMs().toFixed(3)} ${event}`);
  const lines = { push: (line: string) => (note(line.trim()), 0) } as unknown as string[];
  const context = testContext({ world, lines });
  const bus = unreliable(memoryBus({ world }), world, note);
  await bus.createTopic(requestTopic, { partitions: 12 });
  const requester = await startRequester({ bus, requestTopic, timeoutMs: 2_000 }, context);
  const worker = (name: string) =>
    startSigningWorker({
      bus,
      requestTopic,
      group: "g",
      algorithm: "ed25519",
      key: () => key,
      audit: unreliableAudit(name, world, note),
      sendTimeoutMs: 1_000,
    }, context);
  const workers = [await worker("first"), await worker("second")];

  const asking = askAll(requester, world, note);
  const changing = changeWorkers(workers, worker, world, note);
  const endings = await world.runUntil(asking);
  await world.runUntil(changing);
  assert.equal(requester.inFlight, 0);
  await world.runUntil(requester.close());
  await world.runUntil(Promise.all(workers.map((one) => one.close(AbortSignal.abort()))));
  await bus.close();
  await world.runUntilIdle();
  assert.equal(world.pendingTimers, 0, "nothing is left running");
  return { log, endings, elapsedMs: world.monotonicMs() };
}

/** Requests at random times; gives what each has ended in. */
async function askAll(requester: Requester, world: VirtualWorld, note: Note) {
  const endings: (SignAnswer | SignError)[][] = [];
  const asked: Promise<void>[] = [];
  for (let number = 0; number < requests; number++) {
    // A Poisson stream, 200 a second.
    await pause(-5 * Math.log(1 - world.random()), { world });
    const ends: (SignAnswer | SignError)[] = [];
    endings.push(ends);
    note(`ask ${number}`);
    asked.push(
      requester.request({ message: messageOf(number) }, ROOT_CONTEXT).then(
        (answer) => {
          note(`answer ${number} ${answer.payload}`);
          ends.push(answer);
        },
        (error) => {
          note(`error ${number} ${error.kind}`);
          ends.push(error);
        },
      ),
    );
  }
  await Promise.all(asked);
  return endings;
}

/** A worker leaves in the midst of its work, another one joins. */
async function changeWorkers(
  workers: SigningWorker[],
  start: (name: string) => Promise<SigningWorker>,
  world: VirtualWorld,
  note: Note,
): Promise<void> {
  await pause(1_000 + 1_000 * world.random(), { world });
  note("the first worker leaves");
  await workers.shift()!.close(AbortSignal.abort());
  await pause(500 * world.random(), { world });
  note("a third worker joins");
  workers.push(await start("third"));
}

/** Loses, doubles, delays, and loses acknowledgements, as brokers and networks do. */
function unreliable(bus: Bus, world: VirtualWorld, note: Note): Bus {
  return {
    ...bus,
    async send(topic, record, timeoutMs) {
      const chance = world.random();
      const delayMs = chance < 0.02 ? 1_500 + 1_500 * world.random() : 10 * world.random();
      const about = `${topic === requestTopic ? "request" : "answer"} ${idOf(topic, record)}`;
      await pause(delayMs, { world });
      if (chance > 0.99) {
        note(`lost ${about}`);
        throw new BusError("unavailable", "the broker is away");
      }
      note(`sent ${about}`);
      await bus.send(topic, record, timeoutMs);
      if (chance > 0.97) {
        note(`doubled ${about}`);
        await bus.send(topic, record, timeoutMs);
      } else if (chance > 0.95) {
        note(`unacknowledged ${about}`);
        throw new BusError("unavailable", "the acknowledgement is lost");
      }
    },
  };
}

function idOf(topic: string, record: BusRecord): string {
  const received = { topic, partition: 0, offset: 0n, key: undefined, ...record };
  if (topic === requestTopic) return decodeRequest(received, []).msgId ?? "none";
  const answer = decodeAnswer(received);
  return typeof answer === "string" ? answer : answer.msgId;
}

/** An audit log whose disk is slow at times, and at times full. */
function unreliableAudit(name: string, world: VirtualWorld, note: Note): AuditLog {
  return {
    head: "",
    count: 0,
    failed: new Promise(() => {}),
    async append(entry) {
      if ("event" in entry) return;
      const { msgId } = entry;
      const chance = world.random();
      await pause(chance < 0.01 ? 3_000 * world.random() : world.random(), { world });
      if (chance > 0.98) throw new Error("the disk is full");
      note(`${name} notes ${msgId}`);
    },
    close: () => Promise.resolve(),
  };
}

function messageOf(number: number): Uint8Array {
  return new TextEncoder().encode(`message ${number}`);
}

Deno.test("the signer in virtual time: a seed is a run, to the byte, and another seed another run", async () => {
  const first = await run(1);
  const again = await run(1);
  const other = await run(2);
  assert.equal(again.log.join("\n"), first.log.join("\n"));
  assert.notEqual(other.log.join("\n"), first.log.join("\n"));
});

Deno.test("the signer in virtual time: every request ends in one answer of its own or one clear error", async () => {
  for (const seed of [3, 4]) {
    const { endings, log, elapsedMs } = await run(seed);
    assert.equal(endings.length, requests);
    const errors = new Map<string, number>();
    for (const [number, ends] of endings.entries()) {
      assert.equal(ends.length, 1, `request ${number} of seed ${seed}`);
      const [end] = ends;
      if (end instanceof SignError) {
        assert.ok(signErrorKinds.includes(end.kind), end.kind);
        errors.set(end.kind, (errors.get(end.kind) ?? 0) + 1);
      } else {
        const signature = Uint8Array.fromBase64(end!.payload);
        assert.ok(verifier.verify(messageOf(number), signature), `${number} of seed ${seed}`);
      }
    }
    // The network did its worst, and was not more than the signer can take.
    assert.deepEqual([...errors.keys()].sort(), ["timeout", "unavailable"], `seed ${seed}`);
    const failed = errors.values().reduce((sum, count) => sum + count, 0);
    assert.ok(failed > 10 && failed < requests / 5, `${failed} failed with seed ${seed}`);
    for (const happened of ["lost", "doubled", "unacknowledged", "came twice", "timed out"]) {
      assert.ok(log.some((line) => line.includes(happened)), `${happened} with seed ${seed}`);
    }
    assert.ok(elapsedMs > 5_000, `${elapsedMs} ms have passed`);
  }
});

Deno.test("the signer in virtual time takes no time and no chance from the platform", async () => {
  const taken: string[] = [];
  const undo: (() => void)[] = [];
  function watch<T extends object>(owner: T, name: keyof T & string): void {
    const original = owner[name] as (...args: unknown[]) => unknown;
    owner[name] = function watched(this: unknown, ...args: unknown[]) {
      taken.push(name);
      return original.apply(this, args);
    } as T[typeof name];
    undo.push(() => owner[name] = original as T[typeof name]);
  }
  watch(globalThis, "setTimeout");
  watch(globalThis, "setInterval");
  watch(Math, "random");
  watch(performance, "now");
  watch(crypto, "randomUUID");
  watch(crypto, "getRandomValues");
  try {
    await run(5);
  } finally {
    undo.forEach((restore) => restore());
  }
  assert.deepEqual(taken, []);
});
