import assert from "node:assert/strict";
import { join } from "node:path";
import type { Bus, ReceivedRecord } from "../../service/bus/bus.ts";
import { memoryBus } from "../../service/bus/memory_bus.ts";
import { StartError } from "../../service/life_cycle.ts";
import { type TestContext, testContext } from "../../service/testing/context.ts";
import { eventually } from "../../service/testing/eventually.ts";
import { testWith } from "../../service/testing/permissions.ts";
import { withTempFolder } from "../../service/testing/temp_folder.ts";
import { type KeyStore, KeyStoreError } from "../keys/key_store.ts";
import { type Revocation, revocationRecord } from "../keys/revocation.ts";
import { generateKey } from "../keys/signing.ts";
import { publish } from "../test_signer.ts";
import type { AuditLog } from "./audit_log.ts";
import { openRevocations, type Revocations } from "./revocations.ts";

const topic = "signer.v1.keys";

interface Scene {
  bus: Bus;
  file: string;
  context: TestContext;
  /** What was asked of the store and the audit log, in order. */
  done: unknown[];
  /** What the store says of a key. */
  store: { own: Set<string>; fails?: Error };
  audit: { fails?: Error };
  open(): Promise<Revocations>;
  /** Publishes a key of somebody. */
  key(): Promise<string>;
  /** The kids of all revocations on the topic. */
  published(): Promise<string[]>;
}

function revocationsTest(name: string, run: (scene: Scene) => Promise<void>): void {
  testWith(["read", "write"], `revocations: ${name}`, () =>
    withTempFolder(async (folder) => {
      const bus = memoryBus();
      await bus.createTopic(topic, { compacted: true });
      const done: unknown[] = [];
      const [store, audit] = [{ own: new Set<string>() } as Scene["store"], {} as Scene["audit"]];
      const context = testContext();
      const file = join(folder, "revoked.json");
      const opened: Revocations[] = [];
      const read = async () => {
        const records: ReceivedRecord[] = [];
        const follower = await bus.follow({
          ...{ topic, from: "beginning" },
          handle: (record) => void records.push(record),
        });
        await follower.caughtUp;
        await follower.close();
        return records.map(({ key }) => key!).filter((key) => key.startsWith("revoked:"))
          .map((key) => key.slice("revoked:".length));
      };
      await run({
        ...{ bus, file, context, done, store, audit, published: read },
        async key() {
          const { publicJwk } = generateKey("ed25519");
          const created_at = new Date().toISOString();
          await publish(bus, { ...publicJwk, state: "active", version: 1, created_at });
          return publicJwk.kid;
        },
        async open() {
          const revocations = await openRevocations({
            ...{ bus, topic, file },
            store: {
              revoke(kid: string) {
                done.push(["put away", kid]);
                if (store.fails) return Promise.reject(store.fails);
                return Promise.resolve(store.own.has(kid) ? { kid } : undefined);
              },
            } as unknown as KeyStore,
            audit: {
              append(entry: unknown) {
                done.push(entry);
                return audit.fails ? Promise.reject(audit.fails) : Promise.resolve();
              },
            } as unknown as AuditLog,
          }, context);
          opened.push(revocations);
          return revocations;
        },
      });
      for (const one of opened) await one.close();
      await bus.close();
    }));
}

const revocationOf = (kid: string): Revocation => ({
  ...{ kid, reason: "stolen", revoked_by: "ann", revoked_at: "2026-11-30T00:00:00.000Z" },
});

const noteOf = ({ kid, reason, revoked_by, revoked_at }: Revocation) => ({
  ...{ event: "key-revoked", actor: revoked_by, keyId: kid, reason, revokedAt: revoked_at },
});

revocationsTest(
  "one is published, put away, noted and kept, in this order and once",
  async (scene) => {
    const { done, context, file, store } = scene;
    const kid = await scene.key();
    const revocations = await scene.open();
    await revocations.caughtUp;
    store.own.add(kid);
    const request = { kid, reason: "stolen", actor: "ann" };
    const revocation = await revocations.revoke(request);
    assert.deepEqual({ ...revocation, revoked_at: "" }, { ...revocationOf(kid), revoked_at: "" });
    assert.deepEqual(done, [["put away", kid], noteOf(revocation)]);
    assert.deepEqual(JSON.parse(await Deno.readTextFile(file)), [revocation]);
    assert.equal((await Deno.stat(file)).mode! & 0o777, 0o600);
    assert.deepEqual(
      context.lines.filter((line) => /WARN/.test(line)),
      [`WARN A key is revoked keyId=${kid} reason=stolen actor=ann own=true`],
    );
    assert.deepEqual(await revocations.revoke({ ...request, actor: "bob" }), revocation);
    assert.equal(done.length, 2);
    assert.deepEqual(await scene.published(), [kid]);
    assert.deepEqual([...revocations.all.keys()], [kid]);
  },
);

revocationsTest("one of another's comes by the topic", async (scene) => {
  const { done, context, bus } = scene;
  const [first, second] = [await scene.key(), await scene.key()];
  const revocations = await scene.open();
  for (const kid of [first, second]) await bus.send(topic, revocationRecord(revocationOf(kid)));
  await eventually(
    "its line",
    () => context.lines.some((line) => line.includes(second)) || undefined,
  );
  assert.deepEqual(
    done,
    [first, second].flatMap((kid) => [
      ["put away", kid],
      noteOf(revocationOf(kid)),
    ]),
  );
  assert.ok(context.lines.some((line) => /A key is revoked .* own=false$/.test(line)));
  assert.deepEqual(JSON.parse(await Deno.readTextFile(scene.file)).length, 2);
  assert.deepEqual([...revocations.all.keys()], [first, second]);
});

revocationsTest(
  "what is kept holds at once, is noted no second time, and goes to a topic that lost it",
  async (scene) => {
    const { done, file, bus } = scene;
    const [lost, there] = [await scene.key(), await scene.key()];
    await Deno.writeTextFile(file, JSON.stringify([lost, there].map(revocationOf)));
    await bus.send(topic, revocationRecord(revocationOf(there)));
    const revocations = await scene.open();
    assert.deepEqual(done, [["put away", lost], ["put away", there]]);
    assert.deepEqual(revocations.all.get(lost), revocationOf(lost));
    await revocations.caughtUp;
    assert.deepEqual(await scene.published(), [there, lost], "each once");
    assert.equal(done.length, 2);
  },
);

revocationsTest("what is kept and cannot be read, or put away, ends the start", async (scene) => {
  const { file, store } = scene;
  await Deno.writeTextFile(file, "[{");
  await assert.rejects(scene.open(), (error) => {
    assert.ok(error instanceof StartError);
    assert.match(
      error.message,
      /^Cannot read the revoked keys in .*revoked\.json: .*JSON.* Mend it; without it, they are those on the keys topic\.$/,
    );
    return true;
  });
  await Deno.writeTextFile(file, JSON.stringify([revocationOf("k")]));
  store.fails = new Error("disk full");
  await assert.rejects(scene.open(), {
    name: "StartError",
    message: "Cannot put the revoked key 'k' away: disk full",
  });
  store.fails = new KeyStoreError("single-file", "It cannot be replaced: name a folder.");
  await assert.rejects(scene.open(), {
    name: "StartError",
    message: "It cannot be replaced: name a folder.",
  });
});

revocationsTest(
  "a key that cannot be put away is noted all the same, and the service gives up",
  async (scene) => {
    const { done, store, file } = scene;
    const kid = await scene.key();
    const revocations = await scene.open();
    store.fails = new Error("disk full");
    const why = { message: `Cannot put the revoked key '${kid}' away: disk full` };
    await assert.rejects(revocations.revoke({ kid, reason: "stolen", actor: "ann" }), why);
    await assert.rejects(revocations.failed, why);
    assert.equal((done[1] as { event: string }).event, "key-revoked");
    assert.equal(JSON.parse(await Deno.readTextFile(file))[0].kid, kid);
    assert.equal(scene.context.lines.some((line) => /A key is revoked/.test(line)), false);
  },
);

revocationsTest(
  "one that cannot be noted ends a start that catches up, with the reason",
  async (scene) => {
    const { audit, bus } = scene;
    const kid = await scene.key();
    await bus.send(topic, revocationRecord(revocationOf(kid)));
    audit.fails = new Error("the audit log is full");
    const revocations = await scene.open();
    await assert.rejects(revocations.caughtUp, {
      name: "StartError",
      message: "the audit log is full",
    });
    await assert.rejects(revocations.failed, audit.fails);
  },
);

revocationsTest(
  "a topic that cannot be read for good is a failure, one that is away is not ready",
  async (scene) => {
    const { bus, context } = scene;
    const why = new Error("away for too long");
    const { follow } = bus;
    const failing = Promise.withResolvers<never>();
    failing.promise.catch(() => {});
    bus.follow = async (options) => {
      const follower = await follow(options);
      options.onState!({ reason: "broker 7 is down" });
      return {
        close: () => follower.close(),
        caughtUp: follower.caughtUp,
        failed: failing.promise,
      } as typeof follower;
    };
    const revocations = await scene.open();
    assert.ok(context.lines.includes(
      'WARN The bus does not work; trying again part=revocations reason="broker 7 is down"',
    ));
    failing.reject(why);
    await assert.rejects(revocations.failed, why);
    bus.follow = follow;
  },
);

revocationsTest("what is no revocation is said, and holds nobody up", async (scene) => {
  const { bus, context } = scene;
  const revocations = await scene.open();
  await bus.send(topic, { key: "revoked:k", headers: [], value: new TextEncoder().encode("{}") });
  await eventually(
    "a line",
    () => context.lines.some((line) => /^WARN .*k/.test(line)) || undefined,
  );
  assert.equal(revocations.all.size, 0);
});

revocationsTest("after a close nothing is taken any more", async (scene) => {
  const revocations = await scene.open();
  await revocations.close();
  await scene.bus.send(topic, revocationRecord(revocationOf(await scene.key())));
  assert.equal((await scene.published()).length, 1);
  assert.deepEqual([scene.done, revocations.all.size], [[], 0]);
});
