#!/usr/bin/env -S deno run --allow-net=127.0.0.1,0.0.0.0 --allow-read --allow-write --allow-env --allow-run=npx
/**
 * Makes `api/gen/openapi.ts`, the types of the API's client, from what a server says of itself at
 * `/openapi.json`: `deno task orb:generate-client` (needs Node's npx). A test says when it is out of
 * date.
 *
 * @module
 */
import { metrics, trace } from "@opentelemetry/api";
import { join } from "node:path";
import { Health } from "../service/health.ts";
import type { ServiceContext } from "../service/life_cycle.ts";
import { createLog } from "../service/log.ts";
import { realWorld } from "../service/world/world.ts";
import { generatedClient, generatedHeader } from "./api/generated_client.ts";
import { startOrbServer } from "./server.ts";

/** Kept, and without a dependency at run time. */
const generator = "openapi-typescript@7.13.0";

/** What a server with every route says of itself. */
export async function completeOpenApi(): Promise<object> {
  const folder = await Deno.makeTempDir();
  try {
    const deviceKeys = join(folder, "devices.jwks.json");
    // With it the routes are there by which devices get tokens.
    await Deno.writeTextFile(deviceKeys, JSON.stringify({ keys: [] }));
    const server = await startOrbServer(
      { orbApiPort: 0, dataDir: join(folder, "data"), deviceKeys, signupWorkers: 0 },
      quietContext(),
    );
    try {
      return await (await fetch(`${server.url}/openapi.json`)).json();
    } finally {
      await server.stop(AbortSignal.timeout(10_000));
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** For a server that is asked one thing only. */
function quietContext(): ServiceContext {
  const [tracer, meter] = [trace.getTracer("orb-server"), metrics.getMeter("orb-server")];
  return {
    log: createLog({ name: "orb-server", level: "warn" }),
    health: new Health(),
    telemetry: { enabled: false, tracer, meter, shutdown: () => Promise.resolve() },
    stopping: new AbortController().signal,
    world: realWorld,
  };
}

async function generate(): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    const [document, types] = [join(folder, "openapi.json"), join(folder, "openapi.ts")];
    const openApi = await completeOpenApi();
    await Deno.writeTextFile(document, JSON.stringify(openApi));
    const packages = ["-p", generator, "-p", "typescript@5.9.3"];
    const { success } = await new Deno.Command("npx", {
      args: ["-y", ...packages, "openapi-typescript", document, "-o", types],
      stdout: "inherit",
      stderr: "inherit",
    }).output();
    if (!success) Deno.exit(1);
    // OpenAPI has no bytes, so the generator makes strings of them.
    const text = (await Deno.readTextFile(types)).replaceAll(
      /("(?:image\/\w+|application\/octet-stream)": )string;/g,
      "$1Uint8Array;",
    );
    await Deno.writeTextFile(generatedClient, generatedHeader(openApi, text) + text);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

if (import.meta.main) await generate();
