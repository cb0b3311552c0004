/**
 * Whether v2, which takes the image as it is and keeps it, is faster than v1, which takes JSON and
 * keeps a hash: the same images, both durable, two servers in turns as in `orb_signup.ts`. Signups of
 * v2 are decided meanwhile, by the same process.
 *
 * ```sh
 * deno run -A bench/orb_v2.ts
 * ```
 *
 * @module
 */
import { join } from "node:path";
import { compare, sizes, startOrbServer } from "./orb_signup.ts";
import { report } from "./report.ts";

/** A queue that is not full before the end, however fast they come. */
const flags = ["--max-pending-signups", "10000000"];

if (import.meta.main) {
  const folder = await Deno.makeTempDir({ prefix: "orb-v2-bench-" });
  try {
    for (const [name, bytes] of sizes) {
      await using v1 = await startOrbServer(join(folder, `${bytes}-v1`));
      await using v2 = await startOrbServer(join(folder, `${bytes}-v2`), {}, flags);
      const { a, b, ratio } = await compare(bytes, v1.port, v2.port, "v2");
      report({ name: `orb ${name}: v1, signups/s`, measured: a });
      report({ name: `orb ${name}: v2, signups/s`, measured: b });
      report({ name: `orb ${name}: v2, times v1`, measured: ratio, target: { atLeast: 1.5 } });
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}
