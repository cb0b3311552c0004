/**
 * What the orb server is measured against: a server that parses the same JSON, decodes and SHA-256-hashes
 * it, and does nothing else. With a folder it keeps each hash as the orb server does, in the same store,
 * before it answers; and by `PUT` an image with its record, in the same stores: what that costs alone,
 * without the orb server's guard, routes, log, token and status. `serve` is `Deno.serve`, `listen` the
 * HTTP that all servers here have. Prints its port.
 *
 * ```sh
 * deno run --allow-net bench/orb_bare_server.ts serve
 * deno run --allow-net --allow-read --allow-write bench/orb_bare_server.ts listen ./data
 * ```
 *
 * @module
 */
import { hash } from "node:crypto";
import { metrics, trace } from "@opentelemetry/api";
import { openImageFolder } from "../orb/stores/image_folder.ts";
import { createRecordStore } from "../orb/stores/record_store.ts";
import { openSqliteBackend } from "../orb/stores/sqlite/sqlite_backend.ts";
import { listen } from "../service/http_server.ts";

/** Keeps things; each resolves once it is durable. */
interface Keeper {
  hash(sha256: string): Promise<unknown>;
  image(id: string, bytes: Uint8Array): Promise<unknown>;
}

async function openKeeper(folder: string): Promise<Keeper> {
  await Deno.mkdir(folder);
  const store = createRecordStore(await openSqliteBackend({ path: `${folder}/tokens.sqlite` }), {
    ...{ tracer: trace.getTracer("bare"), meter: metrics.getMeter("bare"), onState: () => {} },
  });
  const images = await openImageFolder({ path: folder });
  return {
    hash: (sha256) => store.run({ type: "addToken", sha256 }),
    async image(id, bytes) {
      const sha256 = hash("sha256", bytes, "hex");
      await images.put(sha256, bytes);
      const mediaType = "application/octet-stream";
      await store.run({
        type: "submit",
        signup: { id, sha256, imageBytes: bytes.length, mediaType, token: "" },
        ...{ maxQueued: 1, verdict: { state: "accepted" } },
      });
    },
  };
}

function handlerOf(keeper: Keeper | undefined): (request: Request) => Promise<Response> {
  return async (request) => {
    if (request.method === "PUT" && keeper !== undefined) {
      await keeper.image(request.url.slice(-26), new Uint8Array(await request.arrayBuffer()));
      return new Response("accepted", { status: 202 });
    }
    const { image_base64: text } = await request.json() as { image_base64: string };
    const sha256 = hash("sha256", Uint8Array.fromBase64(text), "hex");
    await keeper?.hash(sha256);
    return new Response(sha256);
  };
}

if (import.meta.main) {
  const [kind, folder] = Deno.args;
  const handler = handlerOf(folder === undefined ? undefined : await openKeeper(folder));
  const { port } = kind === "listen"
    ? await listen(handler, { port: 0, portFlag: "none" })
    : Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, handler).addr;
  Deno.stdout.writeSync(new TextEncoder().encode(`${port}\n`));
}
