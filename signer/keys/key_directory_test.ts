import assert from "node:assert/strict";
import type { Bus, BusRecord } from "../../service/bus/bus.ts";
import { memoryBus } from "../../service/bus/memory_bus.ts";
import { drainMicrotasks } from "../../service/world/virtual_world.ts";
import { type KeyDirectory, openKeyDirectory } from "./key_directory.ts";
import type { PublishedKey } from "./key_files.ts";
import {
  maxReasonLength,
  publishRevocation,
  readRevocation,
  revocationRecord,
  revokedPrefix,
} from "./revocation.ts";
import { generateKey, type PrivateKey, sign } from "./signing.ts";

const topic = "keys";
const text = (value: string) => new TextEncoder().encode(value);
const message = text("message");

interface Scene {
  bus: Bus;
  directory: KeyDirectory;
  warnings: string[];
  revoked: string[];
  /** Sends a record, and waits until it has been read. */
  send(record: Partial<BusRecord>): Promise<void>;
  publish(key: PrivateKey, more?: Record<string, unknown>): Promise<void>;
}

async function scene(maxKeys: number | undefined, run: (scene: Scene) => Promise<void>) {
  const bus = memoryBus();
  const warnings: string[] = [];
  const revoked: string[] = [];
  const directory = await openKeyDirectory({
    ...{ bus, topic, warn: (warning) => warnings.push(warning) },
    onRevoked: ({ kid }) => revoked.push(kid),
    ...maxKeys !== undefined && { maxKeys },
  });
  const send = async (record: Partial<BusRecord>) => {
    await bus.send(topic, { headers: [], value: null, ...record });
    await drainMicrotasks();
  };
  await run({
    ...{ bus, directory, warnings, revoked, send },
    publish: (key, more = {}) => {
      const { kid } = key.publicJwk;
      return send({ key: kid, value: text(JSON.stringify({ ...key.publicJwk, ...more })) });
    },
  });
  await directory.close();
  await bus.close();
}

const made = (state: PublishedKey["state"], created_at: string) => ({
  ...{ state, created_at, version: 3 },
});

Deno.test("a key directory says of each signature whether it counts, and why not", () =>
  scene(undefined, async ({ directory, publish, send }) => {
    const key = generateKey("ed25519");
    const { kid } = key.publicJwk;
    const [good, bad] = [sign(key, message), sign(generateKey("ed25519"), message)];
    const verdict = (signature = good) => directory.verify(message, signature, kid);
    assert.deepEqual(verdict(), { valid: false, reason: "unknown-key" });
    for (const state of ["active", "verify-only"] as const) {
      await publish(key, made(state, "2026"));
      assert.deepEqual(verdict(), { valid: true, keyState: state });
      assert.deepEqual(verdict(bad), { valid: false, reason: "bad-signature" });
      assert.deepEqual(directory.jwks, { keys: [key.publicJwk] });
    }
    await publish(key, made("retired", "2026"));
    assert.deepEqual(verdict(), { valid: false, reason: "retired-key" });
    assert.deepEqual(directory.jwks, { keys: [] });
    assert.equal(directory.keys.length, 1, "it is known");
    await send({ key: kid });
    assert.deepEqual(verdict(), { valid: false, reason: "unknown-key" });
    assert.deepEqual(directory.keys, []);
  }));

Deno.test("a key directory has the newest key first, and takes what is no version or time for none", () =>
  scene(undefined, async ({ directory, publish }) => {
    const [old, newer, odd] = [1, 2, 3].map(() => generateKey("es256"));
    await publish(old!, made("active", "2025"));
    await publish(newer!, made("active", "2026"));
    await publish(odd!, { state: "active", version: 1.5, created_at: 5 });
    assert.deepEqual(
      directory.keys.map(({ kid, version, created_at }) => [kid, version, created_at]),
      [
        [newer!.publicJwk.kid, 3, "2026"],
        [old!.publicJwk.kid, 3, "2025"],
        [odd!.publicJwk.kid, 0, ""],
      ],
    );
  }));

Deno.test("a key directory skips what is no key, with the reason, and what is too many", () =>
  scene(2, async ({ directory, publish, send, warnings }) => {
    const [one, two, three] = [1, 2, 3].map(() => generateKey("ed25519"));
    const long = "k".repeat(200);
    await send({ value: text("{}") });
    await send({ key: "a", value: text("{") });
    await send({ key: long, value: text(JSON.stringify(one!.publicJwk)) });
    await send({ key: one!.publicJwk.kid, value: text(JSON.stringify(two!.publicJwk)) });
    await publish(one!, { state: "asleep" });
    assert.deepEqual(directory.keys, []);
    assert.equal(warnings[0], "A published key without its id is skipped.");
    assert.match(warnings[1]!, /^A published key is skipped: /);
    assert.equal(
      warnings[2],
      `A published key is skipped: '${"k".repeat(100)}' is not the id of its key.`,
    );
    assert.match(warnings[3]!, /is not the id of its key/);
    assert.equal(
      warnings[4],
      `A published key is skipped: The state of '${one!.publicJwk.kid}' is none.`,
    );
    for (const key of [one!, two!, three!]) await publish(key, made("active", "2026"));
    assert.equal(warnings.at(-1), "More than 2 keys are published; the newest is skipped.");
    assert.equal(warnings.length, 6);
    await publish(two!, made("retired", "2026"));
    assert.equal(directory.keys.length, 2);
    assert.equal(directory.jwks.keys.length, 1, "one that is known may change");
  }));

Deno.test("a revocation is the last word on a key, whatever is published after it", () =>
  scene(2, async ({ bus, directory, publish, send, warnings, revoked }) => {
    const key = generateKey("ed25519");
    const { kid } = key.publicJwk;
    const signature = sign(key, message);
    const world = { nowMs: () => 1_795_000_000_000 };
    const place = { bus, topic, directory, world };
    const asked = { kid, reason: "the disk was stolen", actor: "ann" };
    await assert.rejects(publishRevocation(place, { ...asked, kid: "k".repeat(200) }), {
      kind: "unknown-key",
      message: `No service has published a key '${"k".repeat(100)}' on keys.`,
    });
    await publish(key, made("active", "2026"));
    const longest = "r".repeat(maxReasonLength);
    await assert.rejects(publishRevocation(place, { kid: "x", reason: longest, actor: "ann" }), {
      kind: "unknown-key",
    });
    for (const reason of ["", " ", "two\nlines", "r".repeat(maxReasonLength + 1)]) {
      await assert.rejects(publishRevocation(place, { ...asked, reason }), {
        kind: "invalid-reason",
        message: "The reason must be a line of 1 to 500 characters.",
      });
    }
    const revocation = await publishRevocation(place, asked);
    await drainMicrotasks();
    const revoked_at = new Date(world.nowMs()).toISOString();
    assert.deepEqual(revocation, {
      ...{ kid, reason: asked.reason, revoked_at, revoked_by: "ann" },
    });
    assert.deepEqual(revoked, [kid]);
    assert.deepEqual(directory.verify(message, signature, kid), {
      ...{ valid: false, reason: "revoked-key", revokedAt: revoked_at },
      revokedBecause: asked.reason,
    });
    assert.deepEqual(directory.jwks, { keys: [] });

    // The first stands: asked again, published again, or removed by whoever may write.
    assert.equal((await publishRevocation(place, { ...asked, actor: "bob" })).revoked_by, "ann");
    await send(revocationRecord({ ...revocation, revoked_by: "bob" }));
    await send({ key: `${revokedPrefix}${kid}` });
    await send({ key: `${revokedPrefix}nobody's` });
    assert.deepEqual(warnings, [`Somebody removed the revocation of '${kid}': it stands.`]);
    assert.equal(directory.revocations.get(kid)!.revoked_by, "ann");
    assert.deepEqual(revoked, [kid], "it is told once");

    await send({ key: `${revokedPrefix}x`, value: text("{}") });
    assert.match(warnings.at(-1)!, /^A revocation is skipped: It is not of the key 'x'\.$/);
    await send(revocationRecord({ ...revocation, kid: "two" }));
    await send(revocationRecord({ ...revocation, kid: "three" }));
    assert.equal(warnings.at(-1), "More than 2 keys are revoked; the newest is skipped.");
    assert.deepEqual([...directory.revocations.keys()], [kid, "two"]);
  }));

Deno.test("readRevocation() makes up for all but the key", () => {
  const none = { reason: "", revoked_at: "", revoked_by: "" };
  assert.deepEqual(readRevocation("k", '{"kid":"k","reason":7}'), { kid: "k", ...none });
  const reason = "r".repeat(600);
  assert.equal(
    readRevocation("k", JSON.stringify({ kid: "k", reason })).reason,
    "r".repeat(maxReasonLength),
  );
  for (const json of ["null", "7", '"k"', '{"kid":"other"}']) {
    assert.throws(() => readRevocation("k".repeat(150), json), {
      name: "TypeError",
      message: `It is not of the key '${"k".repeat(100)}'.`,
    });
  }
});

Deno.test("openKeyDirectory() makes its topic, tells its state, and refuses to keep no key", async () => {
  const bus = memoryBus();
  const states: unknown[] = [];
  const directory = await openKeyDirectory({ bus, topic, onState: (state) => states.push(state) });
  assert.deepEqual(states, ["ok"]);
  // What it has made keeps the last word on each key: no other topic is for followers alone.
  await assert.rejects(
    bus.consume({ topic, group: "g", handle: () => Promise.resolve() }),
    /A compacted topic is for followers/,
  );
  await directory.caughtUp;
  // Nobody hears its warnings.
  await bus.send(topic, { headers: [], value: null });
  for (const key of ["k", `${revokedPrefix}k`]) {
    await bus.send(topic, { key, headers: [], value: text("{") });
  }
  await drainMicrotasks();
  await directory.close();
  await bus.close();
  await assert.rejects(openKeyDirectory({ bus, topic, maxKeys: 0 }), {
    name: "RangeError",
    message: /Cannot open a key directory.*maxKeys/,
  });
});
