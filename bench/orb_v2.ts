/**
 * Whether v2, which takes the image as it is and keeps it, is faster than v1, which takes JSON and
 * keeps a hash of 32 bytes: the same images, both durable, two servers in turns as in
 * `orb_signup.ts`. Random bytes and small PNGs are decided with their arrival; large PNGs are queued,
 * examined and decided meanwhile, by the same process. Beside it, what of the disk's own speed that is: the same images
 * appended to one file by nobody but this program, with a sync after each half of the connections.
 *
 * ```sh
 * deno run -A bench/orb_v2.ts
 * ```
 *
 * @module
 */
import { join } from "node:path";
import { startHelper, startOrbServer } from "./orb_programs.ts";
import { compareWithTime, connections, sizes } from "./orb_signup.ts";
import { report } from "./report.ts";

/** A queue that is not full before the end, however fast they come. */
const flags = ["--max-pending-signups", "10000000"];
const diskSeconds = 3;

/** Images of this size that the disk takes a second, with nothing else to do. */
async function measureDisk(folder: string, bytes: number): Promise<number> {
  const group = new Uint8Array(bytes * connections / 2);
  for (let at = 0; at < group.length; at += 65_536) {
    crypto.getRandomValues(group.subarray(at, at + 65_536));
  }
  using file = await Deno.open(join(folder, `disk-${bytes}`), { createNew: true, write: true });
  const start = performance.now();
  let images = 0;
  for (; performance.now() - start < 1_000 * diskSeconds; images += connections / 2) {
    for (let written = 0; written < group.length;) {
      written += file.writeSync(group.subarray(written));
    }
    file.syncDataSync();
  }
  return images / (performance.now() - start) * 1_000;
}

if (import.meta.main) {
  const folder = await Deno.makeTempDir({ prefix: "orb-v2-bench-" });
  try {
    for (const size of sizes) {
      const [name, bytes] = size;
      const disk = await measureDisk(folder, bytes);
      report({
        name: `orb ${name}: the disk alone, appended and synced, images/s`,
        measured: disk,
      });
      for (const image of ["bytes", "png"] as const) {
        const kind = `orb ${name}, ${image === "png" ? "PNGs" : image}`;
        await using v1 = await startOrbServer(join(folder, `${bytes}-${image}-v1`));
        await using v2 = await startOrbServer(join(folder, `${bytes}-${image}-v2`), {}, flags);
        const { a, b, ratio } = await compareWithTime(size, [["v1", v1], [`v2, ${image}`, v2]], {
          ...{ api: "v2", image },
        });
        report({ name: `${kind}: v1, signups/s`, measured: a });
        report({ name: `${kind}: v2, signups/s`, measured: b });
        report({ name: `${kind}: v2, share of the disk alone`, measured: b / disk });
        report({ name: `${kind}: v2, times v1`, measured: ratio, target: { atLeast: 1.5 } });
        const args = ["listen"];
        await using bare = await startHelper(
          "orb_bare_server.ts",
          args,
          join(folder, `${bytes}-${image}-bare`),
        );
        const floor = await compareWithTime(size, [["v1", v1], ["bare that keeps images", bare]], {
          ...{ api: "v2", image },
        });
        report({
          name: `${kind}: a bare server in the same stores, times v1`,
          measured: floor.ratio,
        });
      }
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}
