/**
 * A Kafka that is lost with all its data and built anew at the same address, under programs that run
 * on: topics and published keys come back by themselves, and readiness says what is missing meanwhile.
 *
 * @module
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { choosePorts } from "../service/ports.ts";
import { eventually } from "../service/testing/eventually.ts";
import { startProgram, type TestProgram } from "../service/testing/program.ts";
import { startKafka } from "../stack/kafka.ts";
import { testWithStack } from "../stack/test_with_stack.ts";

interface Part extends AsyncDisposable {
  program: TestProgram;
  url: string;
}

async function start(entry: string, folder: string, args: readonly string[]): Promise<Part> {
  const [port] = choosePorts(undefined);
  const program = await startProgram(new URL(`../signer/${entry}.ts`, import.meta.url), [
    ...["--port", String(port), "--data-dir", join(folder, entry), ...args],
  ]);
  await program.line(/Listening/);
  return {
    program,
    url: `http://127.0.0.1:${port}`,
    [Symbol.asyncDispose]: () => program[Symbol.asyncDispose](),
  };
}

async function readiness({ url }: Part): Promise<{ status: number; report: string }> {
  const response = await fetch(`${url}/readyz?verbose`);
  return { status: response.status, report: await response.text() };
}

/** The status of a signature's verification, the signature made now. */
async function signedAndVerified({ url }: Part): Promise<boolean | undefined> {
  const post = (path: string, body: unknown) =>
    fetch(url + path, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(body),
    });
  const signed = await post("/sign", { message: "hello" });
  const { signature, keyId } = await signed.json();
  if (signed.status !== 200) return undefined;
  const { valid } = await (await post("/verify", { message: "hello", signature, keyId })).json();
  return valid || undefined;
}

testWithStack(
  "a cluster that is built anew gets its topics and keys back, and readiness says what is missing",
  async () => {
    const [port, controllerPort] = choosePorts(undefined, undefined);
    const address = { port: port!, controllerPort: controllerPort! };
    const folder = await Deno.makeTempDir({ prefix: "signer-rebuilt-" });
    await using undo = new AsyncDisposableStack();
    undo.defer(() => Deno.remove(folder, { recursive: true }));
    let kafka = await startKafka(address);
    undo.defer(() => kafka.stop());
    const brokers = ["--kafka-brokers", kafka.bootstrapServer];
    const service = undo.use(await start("service", folder, brokers));
    const api = undo.use(await start("rest_api", folder, brokers));
    assert.equal(await signedAndVerified(api), true);

    await kafka.stop();
    for (const part of [service, api]) {
      const { report } = await eventually("no readiness", async () => {
        const now = await readiness(part);
        return now.status === 503 ? now : undefined;
      });
      assert.match(report, /the bus is not reachable|missing: signer\.v1/);
    }

    // Another one, with nothing in it, and whose broker has another id.
    kafka = await startKafka({ ...address, nodeId: 7 });
    for (const part of [service, api]) {
      await eventually(
        "readiness",
        async () => (await readiness(part)).status === 200 || undefined,
        120_000,
      );
    }
    await eventually("a signature that is verified", () => signedAndVerified(api), 120_000);
    const { keys } = await (await fetch(`${api.url}/.well-known/jwks.json`)).json();
    assert.equal(keys.length, 1, "the key is published anew");
    assert.ok(
      [...service.program.lines, ...api.program.lines].some((line) =>
        /A topic was missing, it is made again/.test(line)
      ),
      "it is in a log that topics were made again",
    );
  },
);
