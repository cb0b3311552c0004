import assert from "node:assert/strict";
import { join } from "node:path";
import { KeySetFile } from "./key_set_file.ts";
import { testWith } from "./testing/permissions.ts";

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
      assert.match(faults[3]!, /keys\.json: .*no list 'keys'/);
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
);
