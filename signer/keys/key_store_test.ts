import assert from "node:assert/strict";
import { join } from "node:path";
import { StartError } from "../../service/life_cycle.ts";
import { eventually } from "../../service/testing/eventually.ts";
import { testWith } from "../../service/testing/permissions.ts";
import { drainMicrotasks, VirtualWorld } from "../../service/world/virtual_world.ts";
import { realWorld } from "../../service/world/world.ts";
import { KeyFiles, maxKeyFiles } from "./key_files.ts";
import { type KeyStore, type KeyStoreFiles, openKeyFiles, openKeyStore } from "./key_store.ts";
import { exportPrivateJwk, generateKey, importVerifier, type PrivateKey, sign } from "./signing.ts";
import { withTempFolder } from "../../service/testing/temp_folder.ts";

const needs: Deno.PermissionName[] = ["read", "write"];

async function withStore(
  options: Parameters<typeof openKeyStore>[0],
  run: (store: KeyStore) => Promise<void>,
): Promise<void> {
  const store = await openKeyStore(options);
  try {
    await run(store);
  } finally {
    await store.close();
  }
}

/** The id of a key that another process has made the active one. */
async function rotatedElsewhere(path: string): Promise<string> {
  let kid = "";
  await withStore({ path, algorithm: "ed25519" }, async (other) => {
    ({ kid } = await other.rotate());
  });
  return kid;
}

testWith(
  needs,
  "openKeyStore() makes a first key that only its owner can read",
  () =>
    withTempFolder(async (folder) => {
      const path = join(folder, "keys");
      let kid = "";
      await withStore({ path, algorithm: "ed25519" }, async (store) => {
        kid = store.active.publicJwk.kid;
        assert.deepEqual(store.keys.map(({ version, state }) => [version, state]), [[1, "active"]]);
        if (Deno.build.os !== "windows") {
          assert.equal((await Deno.stat(path)).mode! & 0o777, 0o700);
          for await (const { name } of Deno.readDir(path)) {
            assert.equal((await Deno.stat(join(path, name))).mode! & 0o077, 0, name);
          }
        }
      });
      // deno-lint-ignore require-await -- nothing to wait for
      await withStore({ path, algorithm: "ed25519" }, async (store) => {
        assert.equal(store.active.publicJwk.kid, kid);
      });
    }),
);

testWith(
  needs,
  "rotate() signs with a new key, and the one before still verifies",
  () =>
    withTempFolder(async (path) => {
      await withStore({ path, algorithm: "es256" }, async (store) => {
        const before = store.active;
        const changes: number[] = [];
        store.onChange = (keys) => changes.push(keys.length);
        const made = await store.rotate();
        assert.equal(made.version, 2);
        assert.equal(store.active.publicJwk.kid, made.kid);
        assert.notEqual(made.kid, before.publicJwk.kid);
        assert.deepEqual(store.keys.map(({ state }) => state), ["active", "verify-only"]);
        assert.deepEqual(changes, [2]);
        const signature = sign(before, new Uint8Array([1]));
        assert.ok(importVerifier(store.keys[1]!).verify(new Uint8Array([1]), signature));
      });
    }),
);

testWith(
  needs,
  "retire() takes the private part away, and refuses the active key",
  () =>
    withTempFolder(async (path) => {
      await withStore({ path, algorithm: "ed25519" }, async (store) => {
        const { kid } = store.active.publicJwk;
        await assert.rejects(store.retire(kid), /rotate first/);
        await assert.rejects(store.retire("nobody"), /no key/);
        await store.rotate();
        assert.equal((await store.retire(kid)).state, "retired");
        for await (const { name } of Deno.readDir(path)) {
          const text = await Deno.readTextFile(join(path, name));
          if (text.includes(kid)) assert.equal(JSON.parse(text).d, undefined);
        }
      });
    }),
);

testWith(
  needs,
  "openKeyStore() sees what another process has rotated",
  () =>
    withTempFolder(async (path) => {
      const world = new VirtualWorld();
      await withStore({ path, algorithm: "ed25519", world }, async (store) => {
        const kid = await rotatedElsewhere(path);
        await world.advance(1_000);
        await eventually("the new key", () => store.active.publicJwk.kid === kid || undefined);
      });
    }),
);

testWith(
  needs,
  "a key store is closed when its poll has ended, so that nothing of it reads on",
  () =>
    withTempFolder(async (path) => {
      const world = new VirtualWorld();
      const store = await openKeyStore({ path, algorithm: "ed25519", world });
      const kid = await rotatedElsewhere(path);
      await world.advance(1_000);
      await store.close();
      assert.equal(store.active.publicJwk.kid, kid);
      assert.equal(world.pendingTimers, 0);
    }),
);

testWith(
  needs,
  "openKeyStore() keeps the keys it knows while the folder is unreadable, and says so",
  () =>
    withTempFolder(async (path) => {
      const warnings: string[] = [];
      const warn = (message: string) => warnings.push(message);
      const world = new VirtualWorld();
      await withStore({ path, algorithm: "ed25519", world, warn }, async (store) => {
        const { kid } = store.active.publicJwk;
        await Deno.writeTextFile(join(path, "broken.json"), "{");
        await world.advance(1_000);
        await eventually("the warning", () => warnings.length > 0 || undefined);
        assert.match(warnings[0]!, /broken\.json/);
        assert.equal(store.active.publicJwk.kid, kid);
      });
    }),
);

testWith(
  needs,
  "openKeyStore() takes a PEM of yours in a folder, and a newer key goes before it",
  () =>
    withTempFolder(async (path) => {
      const mine = generateKey("ed25519");
      const pem = mine.object.export({ type: "pkcs8", format: "pem" }) as string;
      await Deno.writeTextFile(join(path, "mine.pem"), pem, { mode: 0o600 });
      await withStore({ path, algorithm: "ed25519" }, async (store) => {
        assert.equal(store.active.publicJwk.kid, mine.publicJwk.kid);
        await store.rotate();
        assert.deepEqual(store.keys.map(({ version, state }) => [version, state]), [
          [1, "active"],
          [0, "verify-only"],
        ]);
      });
      assert.equal(await Deno.readTextFile(join(path, "mine.pem")), pem, "yours stays as it is");
    }),
);

testWith(
  needs,
  "openKeyStore() takes a single file, which cannot be rotated",
  () =>
    withTempFolder(async (folder) => {
      const path = join(folder, "key.pem");
      const mine = generateKey("ed25519");
      const pem = mine.object.export({ type: "pkcs8", format: "pem" }) as string;
      await Deno.writeTextFile(path, pem, { mode: 0o644 });
      const warnings: string[] = [];
      const warn = (message: string) => warnings.push(message);
      await withStore({ path, algorithm: "ed25519", warn }, async (store) => {
        assert.equal(store.active.publicJwk.kid, mine.publicJwk.kid);
        await assert.rejects(store.rotate(), /use a folder/);
        await assert.rejects(store.retire(mine.publicJwk.kid), /use a folder/);
      });
      if (Deno.build.os !== "windows") assert.match(warnings.join(), /chmod 600/);
      await assert.rejects(openKeyStore({ path, algorithm: "es256" }), StartError);
    }),
);

testWith(
  needs,
  "openKeyStore() cannot start on a damaged key, and names its file",
  () =>
    withTempFolder(async (path) => {
      await Deno.writeTextFile(join(path, "v1.jwk.json"), '{"kty":"RSA"}');
      await assert.rejects(
        openKeyStore({ path, algorithm: "ed25519" }),
        (error: Error) =>
          error instanceof StartError && /v1\.jwk\.json/.test(error.message) &&
          /--keys/.test(error.message),
      );
    }),
);

testWith(
  needs,
  "rotate() by two processes at once makes two keys, one of them active",
  () =>
    withTempFolder(async (path) => {
      await withStore({ path, algorithm: "ed25519" }, async (first) => {
        await withStore({ path, algorithm: "ed25519" }, async (second) => {
          await Promise.all([first.rotate(), second.rotate()]);
        });
      });
      // deno-lint-ignore require-await -- nothing to wait for
      await withStore({ path, algorithm: "ed25519" }, async (store) => {
        assert.deepEqual(store.keys.map(({ version, state }) => [version, state]), [
          [3, "active"],
          [2, "verify-only"],
          [1, "verify-only"],
        ]);
      });
    }),
);

testWith(
  needs,
  "a poll that began before a rotation does not undo it",
  () =>
    withTempFolder(async (path) => {
      const world = new VirtualWorld();
      const files = await KeyFiles.open(path, world);
      let readEnds: Promise<void> | undefined;
      const reads: Promise<unknown>[] = [];
      const slow: KeyStoreFiles = {
        isSingle: false,
        read() {
          // What a slow disk does: the files' content of now, much later.
          const ends = readEnds;
          const read = files.read().then(async (stored) => {
            await ends;
            return stored;
          });
          reads.push(read);
          return read;
        },
        write: (...args) => files.write(...args),
        fileFor: (key) => files.fileFor(key),
        locked: (work) => files.locked(work),
      };
      const store = await openKeyFiles(slow, { path, algorithm: "ed25519", world });
      const { promise, resolve } = Promise.withResolvers<void>();
      readEnds = promise;
      await world.advance(1_000);
      const polled = reads.at(-1)!;
      readEnds = undefined;
      const { kid } = await store.rotate();
      assert.equal(store.active.publicJwk.kid, kid);
      let changes = 0;
      store.onChange = () => changes++;
      resolve();
      await polled;
      await drainMicrotasks();
      assert.equal(store.active.publicJwk.kid, kid);
      assert.equal(changes, 0);
      await store.close();
    }),
);

testWith(
  needs,
  "rotate() writes the new key before it puts the old one away: what fails in between costs nobody a key",
  () =>
    withTempFolder(async (path) => {
      const files = await KeyFiles.open(path, realWorld);
      const written: string[] = [];
      let failsAt = Infinity;
      const faulty: KeyStoreFiles = {
        isSingle: false,
        read: () => files.read(),
        async write(file, published, key) {
          written.push(`v${published.version} ${published.state}`);
          if (written.length === failsAt) throw new Error("no space left on device");
          await files.write(file, published, key);
        },
        fileFor: (key) => files.fileFor(key),
        locked: (work) => files.locked(work),
      };
      const options = { path, algorithm: "ed25519" as const };
      const store = await openKeyFiles(faulty, options);
      const first = store.active.publicJwk.kid;
      await store.rotate();
      assert.deepEqual(written, ["v1 active", "v2 active", "v1 verify-only"]);
      const second = store.active.publicJwk.kid;
      for (const [failing, expected] of [[4, second], [6, undefined]] as const) {
        failsAt = failing;
        await assert.rejects(store.rotate(), /no space left/);
        // After a restart as well there is one that signs, and the ones before still verify.
        await withStore(options, (after) => {
          const { kid } = after.active.publicJwk;
          if (expected) assert.equal(kid, expected);
          else assert.notEqual(kid, second);
          const states = new Map(after.keys.map((key) => [key.kid, key.state]));
          for (const before of [first, second]) {
            assert.equal(states.get(before), before === kid ? "active" : "verify-only");
          }
          return Promise.resolve();
        });
      }
      await store.close();
    }),
);

testWith(
  needs,
  "KeyFiles reads again what has changed, and nothing else",
  () =>
    withTempFolder(async (path) => {
      const longAgo = new Date(Date.now() - 60_000);
      const [first, second] = [generateKey("ed25519"), generateKey("ed25519")];
      const file = join(path, "mine.json");
      const write = async (key: PrivateKey, time: Date) => {
        await Deno.writeTextFile(file, JSON.stringify(exportPrivateJwk(key)));
        await Deno.utime(file, time, time);
      };
      const files = await KeyFiles.open(path, realWorld);
      const kidNow = async () => (await files.read())[0]!.published.kid;
      await write(first, longAgo);
      assert.equal(await kidNow(), first.publicJwk.kid);
      // Of the same size at the same time it looks as if nothing had happened.
      await write(second, longAgo);
      assert.equal(await kidNow(), first.publicJwk.kid);
      await write(second, new Date(longAgo.getTime() + 1_000));
      assert.equal(await kidNow(), second.publicJwk.kid);
      // What has just been written may be written again in the same tick of the disk's clock.
      const justNow = new Date();
      await write(first, justNow);
      assert.equal(await kidNow(), first.publicJwk.kid);
      await write(second, justNow);
      assert.equal(await kidNow(), second.publicJwk.kid);
    }),
);

testWith(
  needs,
  "a file that is no key is skipped with one warning; a key that cannot be read still counts",
  () =>
    withTempFolder(async (path) => {
      const warnings: string[] = [];
      const options = {
        ...{ path, algorithm: "ed25519", pollIntervalMs: 20 } as const,
        warn: (message: string) => void warnings.push(message),
      };
      await withStore(options, async (store) => {
        await Deno.writeTextFile(join(path, "notes.json"), '{"todo": "rotate on Monday"}');
        await eventually("the warning", () => warnings[0]);
        assert.match(warnings[0]!, /notes\.json is skipped: it holds no key/);
        const { version } = await store.rotate();
        assert.equal(version, 2);
        assert.equal(warnings.length, 1);
        await Deno.writeTextFile(join(path, "broken.json"), '{"kty": "OKP", "crv": "Ed25519"}');
        await eventually("the next warning", () => warnings[1]);
        assert.match(warnings[1]!, /broken\.json/);
      });
    }),
);

/** Files in a folder, and a world whose time the test moves. */
async function withPolled(
  run: (scene: {
    files: KeyFiles;
    world: VirtualWorld;
    folder: string;
    open(files?: KeyStoreFiles): Promise<KeyStore>;
    warnings: string[];
  }) => Promise<void>,
): Promise<void> {
  await withTempFolder(async (folder) => {
    const world = new VirtualWorld();
    const warnings: string[] = [];
    const files = await KeyFiles.open(folder, realWorld);
    const stores: KeyStore[] = [];
    await run({
      ...{ files, world, folder, warnings },
      async open(own = files) {
        const warn = (message: string) => warnings.push(message);
        const options = { path: folder, algorithm: "ed25519" as const, world, warn };
        const store = await openKeyFiles(own, options);
        stores.push(store);
        return store;
      },
    });
    for (const store of stores) await store.close();
    assert.equal(world.pendingTimers, 0, "no timer is left behind");
  });
}

/** Parts of `files`, and of the test's own. */
function filesWith(files: KeyFiles, own: Partial<KeyStoreFiles>): KeyStoreFiles {
  return {
    isSingle: files.isSingle,
    read: () => files.read(),
    write: (...args) => files.write(...args),
    fileFor: (published) => files.fileFor(published),
    locked: (work) => files.locked(work),
    ...own,
  };
}

testWith(
  needs,
  "revoke() ends a key, makes another where it signed, and leaves the rest alone",
  () =>
    withPolled(async ({ files, open }) => {
      const store = await open();
      const told: string[] = [];
      store.onChange = (keys) => told.push(keys.map(({ state }) => state).join(" "));
      assert.equal(await store.revoke("nobody's"), undefined);
      assert.deepEqual(told, []);
      const first = store.active.publicJwk.kid;
      const revoked = await store.revoke(first);
      assert.deepEqual([revoked?.kid, revoked?.state], [first, "retired"]);
      assert.notEqual(store.active.publicJwk.kid, first);
      assert.deepEqual(told, ["active retired"]);
      assert.equal(store.keys[0]!.version, 2);

      const second = store.active.publicJwk.kid;
      await store.rotate();
      assert.equal((await store.revoke(second))?.state, "retired");
      const third = store.active.publicJwk.kid;
      assert.deepEqual(told.slice(1), ["active verify-only retired", "active retired retired"]);
      // Once more: nothing is written, nothing is said.
      const before = (await files.read()).map(({ file }) => Deno.statSync(file).mtime?.getTime());
      assert.equal((await store.revoke(second))?.state, "retired");
      assert.deepEqual(
        (await files.read()).map(({ file }) => Deno.statSync(file).mtime?.getTime()),
        before,
      );
      assert.equal(told.length, 3);
      assert.equal(store.active.publicJwk.kid, third);
    }),
);

testWith(
  needs,
  "a single file is neither rotated, retired nor revoked, and must have a key of its kind",
  () =>
    withTempFolder(async (folder) => {
      const path = join(folder, "key.json");
      await Deno.writeTextFile(path, JSON.stringify(exportPrivateJwk(generateKey("es256"))));
      await assert.rejects(openKeyStore({ path, algorithm: "ed25519" }), {
        name: "StartError",
        message:
          `Cannot sign with ed25519: ${path} has no ed25519 key. Give another file with --keys, or another --algorithm.`,
      });
      await withStore({ path, algorithm: "es256" }, async (store) => {
        const { kid } = store.active.publicJwk;
        const single = { name: "KeyStoreError", kind: "single-file" };
        for (
          const [asked, message] of [
            [() => store.rotate(), "A single key file cannot be rotated: use a folder."],
            [() => store.retire(kid), "A single key file cannot be retired: use a folder."],
            [
              () => store.revoke(kid),
              `The key '${kid}' in ${path} is revoked and may not sign: give another with --keys.`,
            ],
          ] as const
        ) await assert.rejects(asked, { ...single, message });
        assert.equal(await store.revoke("nobody's"), undefined);
      });
    }),
);

testWith(
  needs,
  "retire() says which key it does not know, and that the active one stays",
  () =>
    withPolled(async ({ open }) => {
      const store = await open();
      await assert.rejects(store.retire("k".repeat(200)), {
        kind: "unknown-key",
        message: `There is no key '${"k".repeat(100)}'.`,
      });
      await assert.rejects(store.retire(store.active.publicJwk.kid), {
        kind: "active-key",
        message: "The active key cannot be retired: rotate first.",
      });
    }),
);

testWith(
  needs,
  "rotate() makes the last key that a folder may hold, and no more",
  () =>
    withPolled(async ({ files, open }) => {
      let count = maxKeyFiles - 1;
      await open();
      const [one] = await files.read();
      const full = await open(filesWith(files, {
        read: () => Promise.resolve(Array.from({ length: count }, () => one!)),
      }));
      await full.rotate();
      count++;
      await assert.rejects(full.rotate(), {
        kind: "too-many-keys",
        message: "There are 1000 keys already: remove files of retired ones.",
      });
    }),
);

testWith(
  needs,
  "a store gives up when its folder is unreadable for a minute, and said so at once and once",
  () =>
    withPolled(async ({ files, open, world, warnings, folder }) => {
      let broken: "not" | "empty" | "unreadable" = "not";
      let reads = 0;
      const store = await open(filesWith(files, {
        read: async () => {
          reads++;
          if (broken === "unreadable") throw new Error("the disk is away");
          return broken === "empty" ? [] : await files.read();
        },
      }));
      const failures: string[] = [];
      store.failed.catch((error: Error) => failures.push(error.message));
      const polls = async (count: number) => {
        for (const until = reads + count; reads < until;) {
          await world.advance(1_000);
          await new Promise((resolve) => setTimeout(resolve, 0));
        }
        await drainMicrotasks();
      };
      broken = "empty";
      await polls(3);
      assert.deepEqual(warnings, [
        `Cannot read the keys in ${folder}: There is no active ed25519 key.`,
      ]);
      assert.equal(store.keys.length, 1, "what it knew it knows");
      broken = "not";
      await polls(1);
      for (let i = 0; i < 100 && warnings.length === 1; i++) {
        broken = "unreadable";
        await polls(1);
      }
      await polls(59);
      assert.deepEqual(failures, []);
      assert.equal(warnings.length, 2);
      await polls(2);
      assert.deepEqual(failures, [`The keys in ${folder} stay unreadable: the disk is away`]);
    }),
);

testWith(
  needs,
  "a poll begins when the one before has ended",
  () =>
    withPolled(async ({ files, open, world }) => {
      const held: PromiseWithResolvers<void>[] = [];
      let isHeld = false;
      await open(filesWith(files, {
        read: async () => {
          if (isHeld) {
            const hold = Promise.withResolvers<void>();
            held.push(hold);
            await hold.promise;
          }
          return await files.read();
        },
      }));
      isHeld = true;
      await world.advance(5_000);
      assert.equal(held.length, 1);
      held[0]!.resolve();
      await eventually("the next poll", async () => {
        await world.advance(1_000);
        return held.length === 2 || undefined;
      });
      held[1]!.resolve();
    }),
);

testWith(
  needs,
  "a store warns of a private key that others may read, and of no other file",
  async () => {
    if (Deno.build.os === "windows") return;
    await withPolled(async ({ files, open, warnings }) => {
      const store = await open();
      await store.rotate();
      await store.rotate();
      await store.retire(store.keys[2]!.kid);
      const [newest, older, retired] = (await files.read()).map(({ file }) => file);
      await Deno.chmod(newest!, 0o640);
      await Deno.chmod(retired!, 0o644);
      await open();
      assert.deepEqual(warnings, [
        `${newest} holds a private key and others may read it (mode 640): chmod 600 it.`,
      ]);
      await Deno.chmod(older!, 0o601);
      await open();
      assert.match(warnings.at(-1)!, /mode 601/);
    });
  },
);

testWith(
  needs,
  "of several active keys the newest of each algorithm counts",
  () =>
    withPolled(async ({ files, folder, open }) => {
      const names = { ed25519: ["a", "b"], es256: ["c", "d"] } as const;
      for (const algorithm of ["ed25519", "es256"] as const) {
        for (const name of names[algorithm]) {
          const text = JSON.stringify(exportPrivateJwk(generateKey(algorithm)));
          await Deno.writeTextFile(join(folder, `${name}.json`), text);
        }
      }
      const store = await open();
      assert.deepEqual(store.keys.map(({ alg, state }) => [alg, state]), [
        ...[["EdDSA", "active"], ["EdDSA", "verify-only"]],
        ...[["ES256", "active"], ["ES256", "verify-only"]],
      ]);
      const [first] = await files.read();
      assert.equal(store.active.publicJwk.kid, first!.published.kid);
    }),
);

Deno.test("openKeyStore() refuses to poll at no interval", async () => {
  const options = { path: "nowhere", algorithm: "ed25519", pollIntervalMs: 0 } as const;
  await assert.rejects(openKeyStore(options), {
    name: "RangeError",
    message: /Cannot open keys.*pollIntervalMs/,
  });
});
