/**
 * What the orb server is measured against: a `Deno.serve` that parses the same JSON, decodes and
 * SHA-256-hashes it, and does nothing else. With a folder it keeps each hash as the orb server does,
 * in the same store, before it answers: what that costs alone, without the orb server's HTTP, its
 * guard, its log and the token's own hash. Prints its port.
 *
 * ```sh
 * deno run --allow-net bench/orb_bare_server.ts
 * deno run --allow-net --allow-read --allow-write bench/orb_bare_server.ts ./data
 * ```
 *
 * @module
 */
import { hash } from "node:crypto";
import { metrics, trace } from "@opentelemetry/api";
import { createRecordStore } from "../orb/stores/record_store.ts";
import { openSqliteBackend } from "../orb/stores/sqlite/sqlite_backend.ts";

/** Keeps a hash; resolves once it is durable. */
type Keep = (sha256: string) => Promise<unknown>;

async function openKeep(folder: string): Promise<Keep> {
  await Deno.mkdir(folder);
  const store = createRecordStore(await openSqliteBackend({ path: `${folder}/tokens.sqlite` }), {
    ...{ tracer: trace.getTracer("bare"), meter: metrics.getMeter("bare"), onState: () => {} },
  });
  return (sha256) => store.run({ type: "addToken", sha256 });
}

if (import.meta.main) {
  const [folder] = Deno.args;
  const keep = folder === undefined ? undefined : await openKeep(folder);
  Deno.serve({
    hostname: "127.0.0.1",
    port: 0,
    onListen: ({ port }) => Deno.stdout.writeSync(new TextEncoder().encode(`${port}\n`)),
  }, async (request) => {
    const { image_base64: text } = await request.json() as { image_base64: string };
    const sha256 = hash("sha256", Uint8Array.fromBase64(text), "hex");
    await keep?.(sha256);
    return new Response(sha256);
  });
}
