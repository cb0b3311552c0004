import assert from "node:assert/strict";
import { join } from "node:path";
import { testContext } from "../../service/testing/context.ts";
import { testWith } from "../../service/testing/permissions.ts";
import { openSpool, SpoolError, type SpoolOptions } from "./spool.ts";

const { meter } = testContext().telemetry;
const image = (byte: number, length = 1_000) => new Uint8Array(length).fill(byte);

function spoolTest(name: string, run: (options: SpoolOptions) => Promise<void>): void {
  testWith(["read", "write"], name, async () => {
    const folder = await Deno.makeTempDir();
    try {
      await run({ folder, maxBytes: 1e6, meter });
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  });
}

spoolTest("what was kept is there again after a restart, each orb's in order", async (options) => {
  {
    const spool = await openSpool(options);
    const kept = ["a", "b", "c", "d"].map((id, index) =>
      spool.add({ id, orb: index % 2 + 1, image: image(index) })
    );
    assert.deepEqual(await Promise.all(kept), [true, true, true, true]);
    assert.deepEqual(spool.size, { signups: 4, bytes: 4_000 });
    assert.equal(spool.countOf(1), 2);
    spool.close();
  }
  const spool = await openSpool(options);
  assert.deepEqual(spool.orbs, [1, 2]);
  assert.deepEqual(spool.size, { signups: 4, bytes: 4_000 });
  const first = spool.oldest(1)!;
  assert.equal(first.id, "a");
  assert.deepEqual(spool.readImage(first.seq), image(0));
  await spool.remove(first);
  assert.equal(spool.oldest(1)!.id, "c");
  assert.equal(spool.oldest(2)!.id, "b");
  spool.close();
  const again = await openSpool(options);
  assert.deepEqual(again.size, { signups: 3, bytes: 3_000 });
  assert.equal(again.oldest(1)!.id, "c");
  again.close();
});

spoolTest(
  "a full spool takes nothing, counting what is on its way, and room is given back",
  async (options) => {
    const spool = await openSpool({ ...options, maxBytes: 2_500 });
    const kept = await Promise.all(
      ["a", "b", "c"].map((id) => spool.add({ id, orb: 1, image: image(1) })),
    );
    assert.deepEqual(kept, [true, true, false]);
    await spool.remove(spool.oldest(1)!);
    assert.equal(await spool.add({ id: "d", orb: 1, image: image(1) }), true);
    spool.close();
    const few = await openSpool({ ...options, maxSignups: 2 });
    assert.equal(await few.add({ id: "e", orb: 1, image: image(1) }), false);
    few.close();
  },
);

spoolTest("who waits for a signup is woken by it, or by the stop", async (options) => {
  const spool = await openSpool(options);
  const stop = new AbortController();
  const woken = spool.whenAny(1, stop.signal);
  await spool.add({ id: "a", orb: 2, image: image(1) });
  await spool.add({ id: "b", orb: 1, image: image(1) });
  await woken;
  await spool.whenAny(1, stop.signal);
  const stopped = spool.whenAny(3, stop.signal);
  stop.abort();
  await stopped;
  spool.close();
});

spoolTest("an image is gone from the disk once it was sent", async (options) => {
  const spool = await openSpool(options);
  for await (const { name } of Deno.readDir(options.folder)) {
    assert.equal((await Deno.stat(join(options.folder, name))).mode! & 0o077, 0, name);
  }
  const mark = new TextEncoder().encode("an iris that nobody else may see ".repeat(40));
  await spool.add({ id: "a", orb: 1, image: mark });
  await spool.remove(spool.oldest(1)!);
  spool.close();
  const file = new TextDecoder("latin1").decode(
    await Deno.readFile(join(options.folder, "spool.sqlite")),
  );
  assert.ok(!file.includes("nobody else may see"));
});

spoolTest(
  "a second client, another's file and a newer one are refused with the flag",
  async (options) => {
    const spool = await openSpool(options);
    await assert.rejects(openSpool(options), /Cannot open the spool .*locked.*--spool-dir/);
    spool.close();
    await Deno.writeTextFile(join(options.folder, "spool.sqlite"), "no database. ".repeat(300));
    await assert.rejects(openSpool(options), /Cannot open the spool .*not a database.*--spool-dir/);
  },
);

spoolTest("an id that is there already costs only what came with it", async (options) => {
  const spool = await openSpool(options);
  await spool.add({ id: "a", orb: 1, image: image(1) });
  await assert.rejects(spool.add({ id: "a", orb: 1, image: image(1) }), SpoolError);
  assert.deepEqual(spool.size, { signups: 1, bytes: 1_000 });
  assert.equal(await spool.add({ id: "b", orb: 1, image: image(1) }), true);
  spool.close();
});
