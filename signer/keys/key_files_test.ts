import assert from "node:assert/strict";
import { join } from "node:path";
import { testWith } from "../../service/testing/permissions.ts";
import { withTempFolder } from "../../service/testing/temp_folder.ts";
import { realWorld } from "../../service/world/world.ts";
import { KeyFiles, maxKeyFiles, type PublishedKey } from "./key_files.ts";
import { exportPrivateJwk, generateKey, type PrivateKey } from "./signing.ts";

const needs: Deno.PermissionName[] = ["read", "write"];

function publishedOf(key: PrivateKey, more: Partial<PublishedKey> = {}): PublishedKey {
  const created_at = "2026-01-02T03:04:05.000Z";
  return { ...key.publicJwk, state: "active", version: 7, created_at, ...more };
}

/** A folder of keys, and what was said about it. */
function withKeys(
  run: (folder: string, files: KeyFiles, warnings: string[]) => Promise<void>,
): Promise<void> {
  return withTempFolder(async (folder) => {
    const warnings: string[] = [];
    const files = await KeyFiles.open(folder, realWorld, (message) => warnings.push(message));
    await run(folder, files, warnings);
  });
}

testWith(
  needs,
  "KeyFiles keeps the private part of a key that may sign, and of no retired one",
  () =>
    withKeys(async (folder, files) => {
      const key = generateKey("ed25519");
      for (
        const [state, has] of [
          ["active", true],
          ["verify-only", true],
          ["retired", false],
        ] as const
      ) {
        const file = files.fileFor(publishedOf(key));
        assert.equal(file, join(folder, `v0007-${key.publicJwk.kid.slice(0, 8)}.jwk.json`));
        await files.write(file, publishedOf(key, { state }), key);
        const kept = JSON.parse(await Deno.readTextFile(file)) as JsonWebKey;
        assert.equal("d" in kept, has, state);
        const [stored] = await files.read();
        assert.equal(stored!.key !== undefined, has);
        assert.deepEqual(stored!.published, publishedOf(key, { state }));
      }
      const file = files.fileFor(publishedOf(key));
      await files.write(file, publishedOf(key, { state: "verify-only" }), undefined);
      assert.equal("d" in JSON.parse(await Deno.readTextFile(file)), false);
    }),
);

testWith(
  needs,
  "KeyFiles names the file of what claims to be a key and is none, and why",
  () =>
    withKeys(async (folder, files) => {
      const secret = exportPrivateJwk(generateKey("ed25519"));
      const { d: _d, ...open } = secret;
      const file = join(folder, "a.json");
      for (
        const [text, reason] of [
          [" \n", /a\.json: /],
          ["-----BEGIN nonsense", /a\.json: /],
          [
            JSON.stringify({ kty: "RSA", n: "x", e: "AQAB" }),
            /not a JWK of an Ed25519 or P-256 key/,
          ],
          [JSON.stringify({ kty: "oct", crv: "Ed25519", x: "A" }), /not a JWK of an Ed25519/],
          [JSON.stringify(open), /It is active but has no private part/],
          [
            JSON.stringify({ ...secret, state: "asleep" }),
            /state is 'asleep'; it must be active, verify-only or retired/,
          ],
          ['{"kty" : broken', /a\.json: /],
        ] as const
      ) {
        await Deno.writeTextFile(file, text);
        await assert.rejects(files.read(), (error: Error) => {
          assert.match(error.message, reason);
          assert.ok(error.message.startsWith(`${file}: `), error.message);
          return true;
        });
      }
    }),
);

testWith(
  needs,
  "KeyFiles skips what looks like no key, and says so once as long as it is so",
  () =>
    withKeys(async (folder, files, warnings) => {
      const stray = join(folder, "notes.json");
      await Deno.writeTextFile(stray, '{"note": "kty is not here"}');
      for (let i = 0; i < 3; i++) assert.deepEqual(await files.read(), []);
      assert.deepEqual(warnings, [
        `${stray} is skipped: it holds no key. Move what is no key out of the folder.`,
      ]);
      // It becomes a key, and a stray again: that is news.
      await Deno.writeTextFile(stray, JSON.stringify(exportPrivateJwk(generateKey("es256"))));
      assert.equal((await files.read()).length, 1);
      await Deno.writeTextFile(stray, '{"note": 1}');
      await files.read();
      assert.equal(warnings.length, 2);
    }),
);

testWith(
  needs,
  "KeyFiles reads only what is named as a key is, and no folder",
  () =>
    withKeys(async (folder, files) => {
      const text = JSON.stringify(exportPrivateJwk(generateKey("ed25519")));
      for (const name of [".a.json", "a.json.bak", "a.jsonx", "a.txt", "json"]) {
        await Deno.writeTextFile(join(folder, name), text);
      }
      await Deno.mkdir(join(folder, "b.json"));
      assert.deepEqual(await files.read(), []);
      await Deno.writeTextFile(join(folder, "c.jwk"), text);
      assert.deepEqual((await files.read()).map(({ file }) => file), [join(folder, "c.jwk")]);
    }),
);

testWith(
  needs,
  "KeyFiles takes a key made by hand as active, as old as its file, the newest first",
  () =>
    withKeys(async (folder, files) => {
      const made = new Date("2025-06-07T08:09:10.000Z");
      const byHand = exportPrivateJwk(generateKey("ed25519"));
      // White space before it is JSON, too.
      for (const name of ["z.json", "a.json"]) {
        await Deno.writeTextFile(join(folder, name), `\n ${JSON.stringify(byHand)}`);
        await Deno.utime(join(folder, name), made, made);
      }
      const odd = { ...byHand, version: 1.5, created_at: 7 };
      await Deno.writeTextFile(join(folder, "m.json"), JSON.stringify(odd));
      await Deno.utime(join(folder, "m.json"), made, made);
      const newer = generateKey("ed25519");
      await files.write(join(folder, "v.json"), publishedOf(newer), newer);
      const read = await files.read();
      assert.deepEqual(
        read.map(({ file, published: { state, version, created_at } }) => [
          ...[file.slice(folder.length + 1), state, version, created_at],
        ]),
        [
          ["v.json", "active", 7, "2026-01-02T03:04:05.000Z"],
          ...["a.json", "m.json", "z.json"].map((
            name,
          ) => [name, "active", 0, "2025-06-07T08:09:10.000Z"]),
        ],
      );
    }),
);

testWith(
  needs,
  "KeyFiles parses again only what has changed, or may just have",
  () =>
    withKeys(async (folder, files) => {
      const path = join(folder, "a.json");
      const write = async (mtime: Date): Promise<void> => {
        const text = JSON.stringify(exportPrivateJwk(generateKey("ed25519")));
        await Deno.writeTextFile(path, text);
        await Deno.utime(path, mtime, mtime);
      };
      const kidRead = async () => (await files.read())[0]!.published.kid;
      // Long settled: a rewrite that leaves time, length and inode alike is not noticed, and need not be.
      await write(new Date("2025-01-01"));
      const first = await kidRead();
      const parsed = (await files.read())[0];
      assert.equal((await files.read())[0], parsed, "the very same, not parsed again");
      await write(new Date("2025-01-02"));
      assert.notEqual(await kidRead(), first);
      // This moment's may change again within the clock's grain.
      const now = new Date();
      await write(now);
      const second = await kidRead();
      await write(now);
      assert.notEqual(await kidRead(), second);
    }),
);

testWith(
  needs,
  "KeyFiles refuses a folder of more files than it may have",
  () =>
    withKeys(async (folder, files) => {
      const names = Array.from({ length: maxKeyFiles }, (_, number) => `${number}.json`);
      await Promise.all(names.map((name) => Deno.writeTextFile(join(folder, name), "{}")));
      assert.deepEqual(await files.read(), []);
      await Deno.writeTextFile(join(folder, "one-more.json"), "{}");
      await assert.rejects(files.read(), { message: "There are more than 1000 key files." });
    }),
);

testWith(
  needs,
  "KeyFiles says of a path that it cannot look at why",
  () =>
    withTempFolder(async (folder) => {
      const file = join(folder, "file");
      await Deno.writeTextFile(file, "");
      await assert.rejects(KeyFiles.open(join(file, "keys"), realWorld), Deno.errors.NotADirectory);
      assert.equal((await KeyFiles.open(file, realWorld)).isSingle, true);
    }),
);
