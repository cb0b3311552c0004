/**
 * The record store on a back-end whose answers are the test's: what goes into one transaction, who
 * hears what of it, and what becomes of everybody when it fails.
 *
 * @module
 */
import assert from "node:assert/strict";
import { setImmediate } from "node:timers";
import { context, ROOT_CONTEXT, SpanStatusCode, trace } from "@opentelemetry/api";
import { AsyncLocalStorageContextManager } from "@opentelemetry/context-async-hooks";
import { SimpleSpanProcessor, TracerProvider } from "@opentelemetry/sdk-trace";
import { testContext } from "../../service/testing/context.ts";
import { keptMetrics } from "../../service/testing/kept_metrics.ts";
import { KeptSpans } from "../../service/testing/kept_spans.ts";
import { VirtualWorld } from "../../service/world/virtual_world.ts";
import { queued, type SignupRecord } from "../signups/signup_record.ts";
import type { RecordBackend, SignupChange } from "./record_backend.ts";
import type { RecordCommand } from "./record_commands.ts";
import { createRecordStore, type RecordStore, type RecordStoreOptions } from "./record_store.ts";
import { StoreError } from "./store_error.ts";
import { digest, signupOf } from "./test_record_steps.ts";

/** A transaction that the store has asked for. */
interface Transaction {
  commands: readonly RecordCommand[];
  types: string[];
  /** Answers with what the commands themselves would give, or with this. */
  commit(replies?: readonly unknown[]): Promise<void>;
  fail(error: unknown): void;
}

/** What a back-end that has nothing gives. */
function replyTo(command: RecordCommand): unknown {
  switch (command.type) {
    case "addToken":
      return "new";
    case "hasToken":
      return false;
    case "submit":
      return { result: "new", record: queued(command.signup, 1) };
    case "statistics":
      return { tokens: 0 };
    case "decide":
      return { result: "decided", decisions: [] };
    default:
      return null;
  }
}

class ScriptedBackend implements RecordBackend {
  readonly system = "sqlite";
  readonly transactions: Transaction[] = [];
  closed = 0;
  probes = 0;
  probe: () => Promise<void> = () => Promise.resolve();
  change: (change: SignupChange) => void = () => {};
  offer: () => void = () => {};

  constructor(readonly maxParallel = 1) {}

  apply(commands: readonly RecordCommand[]): Promise<never> {
    return new Promise((resolve, reject) => {
      this.transactions.push({
        commands,
        types: commands.map(({ type }) => type),
        async commit(replies = commands.map(replyTo)) {
          resolve(replies as never);
          await turn();
        },
        fail: reject,
      });
    });
  }

  onRemoteChange(listener: (change: SignupChange) => void): void {
    this.change = listener;
  }

  onOffered(listener: () => void): void {
    this.offer = listener;
  }

  close(): Promise<void> {
    this.closed++;
    return Promise.resolve();
  }
}

/** The store begins a transaction behind what has arrived by then. */
async function turn(): Promise<void> {
  for (let round = 0; round < 3; round++) {
    await new Promise<void>((resolve) => void setImmediate(resolve));
  }
}

interface Scene {
  store: RecordStore;
  backend: ScriptedBackend;
  world: VirtualWorld;
  states: string[];
  metrics: ReturnType<typeof keptMetrics>;
  spans: KeptSpans;
  /** Asks within a trace, as a request does. */
  traced<Result>(ask: () => Result): Result;
}

function storeTest(
  name: string,
  run: (scene: Scene) => Promise<void>,
  { maxParallel, ...options }: Partial<RecordStoreOptions> & { maxParallel?: number } = {},
): void {
  Deno.test(`record store: ${name}`, async () => {
    const spans = new KeptSpans();
    const provider = new TracerProvider({
      spanProcessors: [new SimpleSpanProcessor({ exporter: spans })],
    });
    const tracer = provider.getTracer("test");
    context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
    const [backend, world, metrics] = [
      new ScriptedBackend(maxParallel),
      new VirtualWorld(),
      keptMetrics(),
    ];
    const states: string[] = [];
    const store = createRecordStore(backend, {
      ...{ tracer, meter: metrics.meter, world },
      onState: (state) => states.push(state === "ok" ? "ok" : state.message),
      ...options,
    });
    try {
      await run({
        ...{ store, backend, world, states, metrics, spans },
        traced: (ask) => {
          const span = tracer.startSpan("request", {}, ROOT_CONTEXT);
          return context.with(trace.setSpan(ROOT_CONTEXT, span), ask);
        },
      });
      await store.close();
      assert.equal(world.pendingTimers, 0);
      assert.equal(backend.closed, 1);
    } finally {
      context.disable();
    }
  });
}

const token = (name: string) => ({ type: "addToken", sha256: digest(name) }) as const;
const submit = (name: string) =>
  ({ type: "submit", signup: signupOf(name), maxQueued: 9 }) as const;
const full = () => new StoreError("disk", "disk full", { code: 13 });

storeTest(
  "what comes meanwhile is the next transaction: tokens first, a reset alone",
  async (scene) => {
    const { store, backend } = scene;
    const asked = [
      store.run({ type: "clock" }),
      store.run(token("a")),
      store.run(submit("one")),
      store.run(token("b")),
      store.run({ type: "reset" }),
      store.run(token("c")),
    ];
    await turn();
    assert.deepEqual(backend.transactions.map(({ types }) => types), [
      ["addToken", "addToken", "clock", "submit"],
    ]);
    const late = store.run(token("d"));
    const signup = backend.transactions[0]!.commands[3]!;
    await backend.transactions[0]!.commit(["new", "duplicate", 77, replyTo(signup)]);
    assert.deepEqual(await Promise.all(asked.slice(0, 4)), [
      77,
      "new",
      replyTo(signup),
      "duplicate",
    ]);
    await backend.transactions[1]!.commit();
    assert.deepEqual(backend.transactions[1]!.types, ["reset"]);
    assert.deepEqual(backend.transactions[2]!.types, ["addToken", "addToken"]);
    await backend.transactions[2]!.commit();
    assert.deepEqual(await Promise.all([asked[5], late]), ["new", "new"]);
  },
);

storeTest("a transaction has no more commands than it may", async ({ store, backend }) => {
  const asked = Array.from({ length: 7 }, (_, number) => store.run(token(`${number}`)));
  await turn();
  for (const size of [3, 3, 1]) {
    const last = backend.transactions.at(-1)!;
    assert.equal(last.types.length, size);
    await last.commit();
  }
  assert.equal(new Set(await Promise.all(asked)).size, 1);
}, { maxBatch: 3 });

storeTest("nor more bytes than 4 MiB, and one command at least", async ({ store, backend }) => {
  const list = (limit: number) => store.run({ type: "list", limit });
  // 2,048 bytes a record: exactly 4 MiB together, and then one more.
  const asked = [list(1_024), list(1_024), list(1), list(9_000), list(1)];
  await turn();
  for (const size of [2, 1, 1, 1]) {
    const last = backend.transactions.at(-1)!;
    assert.equal(last.types.length, size);
    await last.commit(last.types.map(() => []));
  }
  await Promise.all(asked);
});

storeTest(
  "as many transactions are under way as the back-end can do",
  async ({ store, backend }) => {
    const first = store.run(token("a"));
    await turn();
    const second = store.run(token("b"));
    await turn();
    const third = store.run(token("c"));
    await turn();
    assert.equal(backend.transactions.length, 2);
    const closing = store.close();
    await backend.transactions[1]!.commit();
    assert.equal(await second, "new");
    await turn();
    assert.equal(backend.transactions.length, 3);
    await backend.transactions[2]!.commit();
    assert.equal(backend.closed, 0, "not before the last one is done");
    await backend.transactions[0]!.commit();
    assert.deepEqual(await Promise.all([first, third]), ["new", "new"]);
    await closing;
  },
  { maxParallel: 2 },
);

storeTest(
  "more than may wait are refused, while the rest goes on",
  async ({ store, backend, metrics }) => {
    const asked = [store.run(token("a")), store.run(token("b"))];
    assert.equal(await metrics.sum("orb.store.queue"), 2);
    await assert.rejects(store.run(token("c")), {
      ...{ name: "StoreError", kind: "busy" },
      message: "2 signups wait for the disk already",
    });
    await turn();
    assert.equal(await metrics.sum("orb.store.queue"), 0);
    await backend.transactions[0]!.commit();
    await Promise.all(asked);
    const closing = store.close();
    await assert.rejects(store.run(token("d")), {
      ...{ kind: "closing", message: "The store is being closed" },
    });
    await closing;
  },
  { maxQueued: 2 },
);

storeTest(
  "how long a transaction takes, and of how many commands it is, is measured",
  async (scene) => {
    const { store, backend, world, metrics } = scene;
    const asked = [store.run(token("a")), store.run({ type: "clock" })];
    await turn();
    await world.advance(250);
    await backend.transactions[0]!.commit(["new", 7]);
    await Promise.all(asked);
    for (const [name, sum] of [["duration", 0.25], ["size", 2]] as const) {
      const [one] = (await metrics.series(`orb.store.commit.${name}`))!;
      assert.deepEqual({ ...(one!.value as { sum: number; count: number }) }.sum, sum, name);
    }
  },
);

storeTest("options that are out of range are refused, each by its name", async () => {
  const make = (options: Partial<RecordStoreOptions>) => () => {
    const { tracer, meter } = testContext().telemetry;
    createRecordStore(new ScriptedBackend(), { tracer, meter, onState: () => {}, ...options });
  };
  for (const name of ["maxQueued", "maxBatch", "probeIntervalMs"] as const) {
    for (const wrong of [0, 1.5, -1, NaN]) {
      assert.throws(make({ [name]: wrong }), {
        name: "RangeError",
        message: `Cannot open a record store as '${name}' must be a positive integer${
          name === "maxBatch" ? " of at most 1024" : ""
        }: current value is ${wrong}`,
      });
    }
    make({ [name]: 1 })();
  }
  make({ maxBatch: 1_024, maxQueued: 1_000_000 })();
  assert.throws(make({ maxBatch: 1_025 }), /of at most 1024: current value is 1025/);
  await Promise.resolve();
});

storeTest(
  "a signup's own trace has its waiting and its transaction, others' spans are linked",
  async (scene) => {
    const { store, backend, spans, traced } = scene;
    const asked = [
      store.run({ type: "clock" }),
      traced(() => store.run(token("a"))),
      traced(() => store.run(token("b"))),
      traced(() => store.run({ type: "clock" })),
      store.run(token("in the background")),
    ];
    await turn();
    await backend.transactions[0]!.commit(["new", "duplicate", "new", 1, 1]);
    await Promise.all(asked);
    const [commit, first, second, ...more] = spans.getFinishedSpans();
    assert.deepEqual(more, []);
    assert.deepEqual([commit!.name, first!.name, second!.name], [
      ...["commit tokens", "store token", "store token"],
    ]);
    const facts = {
      "db.system.name": "sqlite",
      "db.collection.name": "tokens",
      "db.operation.name": "INSERT",
    };
    assert.equal(commit!.kind, 2, "CLIENT");
    assert.deepEqual(commit!.attributes, { ...facts, "db.operation.batch.size": 2 });
    assert.equal(commit!.parentSpanContext!.spanId, first!.spanContext().spanId);
    assert.deepEqual(first!.attributes, { ...facts, "orb.result": "new", "orb.batch.size": 2 });
    assert.equal(second!.attributes["orb.result"], "duplicate");
    assert.deepEqual(first!.links, []);
    assert.deepEqual(second!.links.map(({ context }) => context.spanId), [
      commit!.spanContext().spanId,
    ]);
  },
);

storeTest(
  "a signup and a decision are so called in their traces",
  async ({ store, backend, spans, traced }) => {
    const asked = [
      traced(() => store.run({ type: "decide", decisions: [], comparedSeq: 0, epoch: 1 })),
      traced(() => store.run(submit("one"))),
    ];
    await turn();
    await backend.transactions[0]!.commit();
    await Promise.all(asked);
    assert.deepEqual(
      spans.getFinishedSpans().map(({ name, attributes }) => [
        ...[name, attributes["db.operation.name"], attributes["db.collection.name"]],
        attributes["orb.result"],
      ]),
      [
        ["commit signups", "UPDATE", "signups", undefined],
        ["store decision", "UPDATE", "signups", "decided"],
        ["store signup", "INSERT", "signups", "new"],
      ],
    );
  },
);

storeTest("a failure is in the traces, with the database's own code", async (scene) => {
  const { store, backend, spans, traced } = scene;
  const asked = [traced(() => store.run(submit("one"))), traced(() => store.run(token("a")))];
  await turn();
  backend.transactions[0]!.fail(full());
  await assert.rejects(asked[0]!, { kind: "disk" });
  await backend.transactions[1]!.commit([false]);
  assert.equal(await asked[1], "failed");
  const [commit, signup, stored] = spans.getFinishedSpans();
  assert.equal(commit!.attributes["error.type"], "13");
  assert.equal(commit!.attributes["db.response.status_code"], "13");
  assert.deepEqual(commit!.status, { code: SpanStatusCode.ERROR, message: "disk full" });
  assert.deepEqual(signup!.status, { code: SpanStatusCode.ERROR, message: "disk full" });
  assert.deepEqual(stored!.status, { code: SpanStatusCode.ERROR });
  assert.deepEqual(
    [stored!.attributes["orb.result"], stored!.attributes["orb.batch.size"]],
    ["failed", 2],
  );
  spans.reset();
  const unreachable = traced(() => store.run(submit("two")));
  await turn();
  backend.transactions[2]!.fail(new StoreError("unavailable", "no answer"));
  await assert.rejects(unreachable, { kind: "unavailable" });
  assert.equal(spans.getFinishedSpans()[0]!.attributes["error.type"], "unavailable");
});

storeTest(
  "who follows a signup, or all, hears of each change; queues of what waits",
  async (scene) => {
    const { store, backend } = scene;
    const heard: string[] = [];
    const command = submit("one");
    const { id } = command.signup;
    const endOne = store.follow(id, ({ state }) => void heard.push(`one ${state}`));
    const endAll = store.follow(undefined, ({ state }) => void heard.push(`all ${state}`));
    const endQueued = store.onQueued((where) => void heard.push(where));
    const submitting = store.run(command);
    await turn();
    await backend.transactions[0]!.commit();
    await submitting;
    assert.deepEqual(heard.splice(0), ["all queued", "one queued", "here"]);
    const claiming = store.run({ type: "claim", worker: "w", max: 1, leaseMs: 9, maxAttempts: 3 });
    await turn();
    const record: SignupRecord = { ...queued(command.signup, 1), state: "processing" };
    await backend.transactions[1]!.commit([[record]]);
    assert.deepEqual(await claiming, [record]);
    assert.deepEqual(heard.splice(0), ["all processing", "one processing"]);
    // Another server's changes: it is read again, and a queued one is work elsewhere.
    backend.change({ id, state: "accepted" });
    await turn();
    assert.deepEqual(heard, []);
    assert.deepEqual(backend.transactions[2]!.commands, [{ type: "find", id }]);
    await backend.transactions[2]!.commit([{ ...record, state: "accepted" }]);
    assert.deepEqual(heard.splice(0), ["all accepted", "one accepted"]);
    endOne();
    endAll();
    backend.change({ id, state: "queued" });
    backend.offer();
    assert.deepEqual(heard.splice(0), ["elsewhere", "here"]);
    endQueued();
    backend.offer();
    await turn();
    assert.deepEqual([heard, backend.transactions.length], [[], 3]);
  },
);

storeTest("while the disk fails reads are answered, and what is known is said", async (scene) => {
  const { store, backend, states } = scene;
  const asked = {
    known: store.run(token("known")),
    unknown: store.run(token("unknown")),
    signup: store.run(submit("one")),
    time: store.run({ type: "clock" }),
  };
  await turn();
  backend.transactions[0]!.fail(full());
  await assert.rejects(asked.signup, { ...{ name: "StoreError", kind: "disk", code: "13" } });
  assert.deepEqual(backend.transactions[1]!.commands, [
    { type: "hasToken", sha256: digest("known") },
    { type: "hasToken", sha256: digest("unknown") },
    { type: "clock" },
  ]);
  await backend.transactions[1]!.commit([true, false, 5]);
  assert.deepEqual(await Promise.all([asked.known, asked.unknown, asked.time]), [
    ...["duplicate", "failed", 5],
  ]);
  assert.deepEqual(states, ["disk full"]);
  // Not even reading works.
  const again = [store.run(token("known")), store.run({ type: "clock" })];
  const refused = assert.rejects(again[1]!, { kind: "disk" });
  await turn();
  backend.transactions[2]!.fail(full());
  await turn();
  backend.transactions[3]!.fail(full());
  await refused;
  assert.equal(await again[0], "failed");
  // What only writes is not read again.
  const writing = store.run({ type: "requeue", id: "x" });
  await turn();
  backend.transactions[4]!.fail(full());
  await assert.rejects(writing, { kind: "disk" });
  assert.equal(backend.transactions.length, 5);
  assert.deepEqual(states, ["disk full"], "said once");
});

const unproven: readonly (readonly [RecordCommand, unknown])[] = [
  [token("a"), "duplicate"],
  [{ type: "clock" }, 7],
  [submit("one"), { result: "same", record: queued(signupOf("one"), 1) }],
  [{ type: "claim", worker: "w", max: 1, leaseMs: 1, maxAttempts: 1 }, []],
];
const proof: readonly (readonly [RecordCommand, unknown])[] = [
  [token("a"), "new"],
  [{ type: "reset" }, null],
  [submit("one"), replyTo(submit("one"))],
  [
    { type: "claim", worker: "w", max: 1, leaseMs: 1, maxAttempts: 1 },
    [queued(signupOf("one"), 1)],
  ],
];

storeTest(
  "only what was written proves that the disk is mended",
  async ({ store, backend, states }) => {
    for (const [command, reply] of proof) {
      const failing = store.run(submit("fails"));
      await turn();
      backend.transactions.at(-1)!.fail(full());
      await assert.rejects(failing, { kind: "disk" });
      for (const [command, reply] of unproven) {
        const asked = store.run(command);
        await turn();
        await backend.transactions.at(-1)!.commit([reply]);
        assert.deepEqual(await asked, reply);
        assert.deepEqual(states, ["disk full"], command.type);
      }
      // One of several is enough.
      const asked = [store.run(command)];
      if (command.type !== "reset") asked.push(store.run({ type: "clock" }));
      await turn();
      const last = backend.transactions.at(-1)!;
      await last.commit(last.types.map((type) => type === command.type ? reply : 7));
      await Promise.all(asked);
      assert.deepEqual(states.splice(0), ["disk full", "ok"], command.type);
    }
  },
);

storeTest("a store that fails is probed until it works, as often as it was told", async (scene) => {
  const { store, backend, world, states } = scene;
  let error: unknown = full();
  backend.probe = () => {
    backend.probes++;
    return error ? Promise.reject(error) : Promise.resolve();
  };
  const failing = store.run(submit("fails"));
  await turn();
  backend.transactions[0]!.fail(full());
  await assert.rejects(failing, { kind: "disk" });
  for (const probes of [1, 2]) {
    await world.advance(499);
    assert.equal(backend.probes, probes - 1);
    await world.advance(1);
    assert.equal(backend.probes, probes);
    await turn();
  }
  error = undefined;
  await world.advance(500);
  await turn();
  assert.deepEqual(states, ["disk full", "ok"]);
  await world.advance(60_000);
  assert.equal(backend.probes, 3);
}, { probeIntervalMs: 500 });

storeTest("a store that works by the time it would be probed is not", async (scene) => {
  const { store, backend, world, states } = scene;
  backend.probe = () => {
    backend.probes++;
    return Promise.resolve();
  };
  const failing = store.run(submit("fails"));
  await turn();
  backend.transactions[0]!.fail(full());
  await assert.rejects(failing);
  const writing = store.run(token("a"));
  await turn();
  await backend.transactions[1]!.commit();
  await writing;
  await world.advance(60_000);
  assert.deepEqual([backend.probes, states], [0, ["disk full", "ok"]]);
});

for (
  const [what, error, message] of [
    ["a worker that died", new StoreError("worker", "it died"), "it died"],
    ["a mistake of ours", new TypeError("oops"), "Nothing can be stored any more"],
  ] as const
) {
  storeTest(`a probe that ends in ${what} is the end`, async ({ store, backend, world }) => {
    backend.probe = () => Promise.reject(error);
    const failing = store.run(submit("fails"));
    await turn();
    backend.transactions[0]!.fail(full());
    await assert.rejects(failing, { kind: "disk" });
    const died = assert.rejects(store.died, error);
    await world.advance(1_000);
    await died;
    await assert.rejects(store.run(submit("late")), { kind: "worker", message });
    assert.equal(await store.run(token("late")), "failed");
    assert.equal(backend.transactions.length, 1, "nothing is asked any more");
  });
}

storeTest(
  "a back-end that forgets a reply can be trusted no more, and nobody is left waiting",
  async (scene) => {
    const { store, backend, spans, traced } = scene;
    const asked = [
      store.run(token("a")),
      traced(() => store.run(submit("one"))),
      store.run(submit("two")),
    ];
    await turn();
    const later = [store.run(token("b")), traced(() => store.run(submit("three")))];
    const reason = {
      ...{ name: "StoreError", kind: "worker" },
      message: "Nothing can be stored any more",
    };
    const refused = [asked[1]!, asked[2]!, later[1]!].map((one) => assert.rejects(one, reason));
    const died = assert.rejects(store.died, /^Error: The back-end forgot command 1 of a batch$/);
    await backend.transactions[0]!.commit(["new"]);
    await Promise.all([...refused, died]);
    assert.equal(await asked[0], "new", "of what was told before");
    assert.equal(await later[0], "failed");
    const failed = spans.getFinishedSpans().filter(({ name }) => name === "store signup");
    assert.deepEqual(
      failed.map(({ status }) => status),
      Array(2).fill({
        code: SpanStatusCode.ERROR,
        message: "Nothing can be stored any more",
      }),
    );
  },
);
