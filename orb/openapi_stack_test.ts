/**
 * That `/openapi.json` is true, by somebody else: Schemathesis draws requests of it, good ones and
 * bad ones, and holds every answer against it.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { startProgram, type TestProgram } from "../service/testing/program.ts";
import { runSchemathesis } from "../stack/schemathesis.ts";
import { testWithStack } from "../stack/test_with_stack.ts";

/** No 5xx, and nothing that the document does not name: status, media type, headers, form. */
const checks = [
  ...["not_a_server_error", "status_code_conformance", "content_type_conformance"],
  ...["response_headers_conformance", "response_schema_conformance"],
];

async function startServer(
  folder: string,
  ...more: string[]
): Promise<{ program: TestProgram; url: string }> {
  const args = ["--orb-api-port", "0", "--data-dir", join(folder, "data"), ...more];
  const program = await startProgram(new URL("./server.ts", import.meta.url), args);
  const [, url] = await program.line(/The orb server is ready url=(\S+)/);
  return { program, url: url! };
}

async function withServer(
  flags: (folder: string) => Promise<string[]>,
  run: (server: { url: string; folder: string; lines: readonly string[] }) => Promise<void>,
): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    const { program, url } = await startServer(folder, ...await flags(folder));
    await using _ = program;
    await run({ url, folder, lines: program.lines });
    // It is there still, and nothing was a surprise to it.
    const ready = await fetch(`${url}/readyz`);
    await ready.body?.cancel();
    assert.equal(ready.status, 200);
    assert.deepEqual(program.lines.filter((line) => / ERROR /.test(line)), []);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

testWithStack("no answer of the API is a 5xx, or one that openapi.json does not name", async () => {
  // Signups are answered, not refused: a device that may do little is the next test's.
  const plenty = ["--device-rate", "100000", "--device-burst", "100000"];
  await withServer(() => Promise.resolve(plenty), async ({ url, folder }) => {
    const { success, printed } = await runSchemathesis({
      ...{ url: `${url}/openapi.json`, seed: 13, checks, folder },
    });
    assert.ok(success, printed);
  });
});

testWithStack("nor for a caller without a token, or a device that asks too often", async () => {
  const flags = async (folder: string) => {
    const deviceKeys = join(folder, "devices.jwks.json");
    await Deno.writeTextFile(deviceKeys, JSON.stringify({ keys: [] }));
    return ["--device-keys", deviceKeys];
  };
  await withServer(flags, async ({ url, folder }) => {
    const { success, printed } = await runSchemathesis({
      ...{ url: `${url}/openapi.json`, seed: 13, checks, folder, maxExamples: 5 },
    });
    assert.ok(success, printed);
  });
  const little = ["--device-rate", "0.1", "--device-burst", "1"];
  await withServer(() => Promise.resolve(little), async ({ url, folder }) => {
    const { success, printed } = await runSchemathesis({
      ...{ url: `${url}/openapi.json`, seed: 14, checks, folder, maxExamples: 5 },
    });
    assert.ok(success, printed);
  });
});
