import assert from "node:assert/strict";
import { join } from "node:path";
import { StartError } from "../../service/life_cycle.ts";
import { eventually } from "../../service/testing/eventually.ts";
import { testWith } from "../../service/testing/permissions.ts";
import { drainMicrotasks, VirtualWorld } from "../../service/world/virtual_world.ts";
import { realWorld } from "../../service/world/world.ts";
import { KeyFiles } from "./key_files.ts";
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
    store.close();
  }
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
        await withStore({ path, algorithm: "ed25519" }, async (other) => {
          const { kid } = await other.rotate();
          await world.advance(1_000);
          await eventually("the new key", () => store.active.publicJwk.kid === kid || undefined);
        });
      });
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
      store.close();
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
      store.close();
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
