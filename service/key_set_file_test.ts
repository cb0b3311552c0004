import assert from "node:assert/strict";
import { join } from "node:path";
import { KeySetFile } from "./key_set_file.ts";
import { testWith } from "./testing/permissions.ts";
import { withTempFolder } from "./testing/temp_folder.ts";

const key = (kid: string, more: object = {}) => ({
  kid,
  kty: "OKP",
  crv: "Ed25519",
  x: kid,
  ...more,
});

testWith(
  ["read", "write"],
  "a key set file is read again when it has changed, and holds what was good",
  async () => {
    const folder = await Deno.makeTempDir();
    const path = join(folder, "keys.json");
    const faults: string[] = [];
    let nowMs = 0;
    const keys = new KeySetFile({
      path,
      onFault: (reason) => faults.push(reason),
      world: { monotonicMs: () => nowMs },
    });
    const write = async (text: string) => {
      await Deno.writeTextFile(`${path}.new`, text);
      await Deno.rename(`${path}.new`, path);
      nowMs += 1_000;
    };
    try {
      assert.equal(await keys.find("a"), undefined);
      await write(JSON.stringify({ keys: [key("a", { d: "secret" }), { kid: 7 }, null] }));
      assert.deepEqual(await keys.find("a"), key("a"), "without its private part");

      nowMs += 500;
      await Deno.remove(path);
      assert.deepEqual(await keys.find("a"), key("a"), "it is looked at once a second");
      nowMs += 600;
      assert.deepEqual(await keys.find("a"), key("a"), "what was good holds");
      await write("{");
      assert.deepEqual(await keys.find("a"), key("a"));
      await write('{"keys": {}}');
      assert.deepEqual(await keys.find("a"), key("a"));
      await write(JSON.stringify({ keys: [key("b")] }));
      assert.equal(await keys.find("a"), undefined);
      assert.deepEqual(await keys.find("b"), key("b"));
      assert.equal(faults.length, 4, faults.join("\n"));
      const isMissing = `${path} is not there`;
      assert.deepEqual([faults[0], faults[1]], [isMissing, isMissing]);
      assert.match(faults[2]!, /keys\.json: .*JSON/);
      assert.equal(faults[3], `${path}: it is no key set: it has no list 'keys'`);
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
);

testWith(
  ["read", "write"],
  "a key set file is looked at once a second, read when it has changed, and no larger than it may be",
  () =>
    withTempFolder(async (folder) => {
      const path = join(folder, "keys.json");
      let nowMs = 0;
      const faults: string[] = [];
      const world = { monotonicMs: () => nowMs };
      const keys = new KeySetFile({ path, world, onFault: (reason) => faults.push(reason) });
      // Nobody has to hear of a fault.
      const quiet = new KeySetFile({ path, world, checkEveryMs: 10 });
      assert.equal(await quiet.find("a"), undefined);
      const rsa = { kid: "r", kty: "RSA", n: "n", e: "e" };
      const secrets = { d: "d", p: "p", q: "q", dp: "dp", dq: "dq", qi: "qi", k: "k" };
      const all = [{ ...rsa, ...secrets }, { kid: "typeless" }, { kty: "OKP" }, key("a")];
      await Deno.writeTextFile(path, JSON.stringify({ keys: all }));
      assert.deepEqual(await keys.find("r"), rsa, "only what is public");
      assert.equal(await keys.find("typeless"), undefined);
      const before = await keys.find("a");
      await Deno.writeTextFile(path, '{"keys":[]}');
      nowMs = 999;
      assert.equal(await keys.find("a"), before, "not yet looked at");
      assert.deepEqual(await quiet.find("a"), undefined);
      nowMs = 1_000;
      assert.equal(await keys.find("a"), undefined);
      await Deno.writeTextFile(path, JSON.stringify({ keys: all }));
      nowMs = 2_000;
      const again = await keys.find("a");
      nowMs = 3_000;
      assert.equal(await keys.find("a"), again, "not read once more");

      for (let looks = 1; looks <= 2; looks++) {
        await Deno.truncate(path, 64 * 1024 ** 2 + 1);
        nowMs += 1_000;
        assert.equal(await keys.find("a"), again, "what was good holds");
        assert.deepEqual(faults, [`${path}: it has more than 67108864 bytes`], "said once");
      }
    }),
);
