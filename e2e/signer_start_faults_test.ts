/**
 * Signers that start before their broker works: one that refuses, and one that accepts and never says
 * a word. They are alive, say why they are not ready, and end with 0 when they are asked to.
 *
 * @module
 */
import assert from "node:assert/strict";
import { testWith } from "../service/testing/permissions.ts";
import { startProgram } from "../service/testing/program.ts";
import { eventually } from "../service/testing/eventually.ts";

const hostname = "127.0.0.1";

function freePort(): number {
  using listener = Deno.listen({ hostname, port: 0 });
  return listener.addr.port;
}

/** Accepts connections and says nothing. */
function silentBroker(): Disposable & { port: number } {
  const listener = Deno.listen({ hostname, port: 0 });
  const open: Deno.Conn[] = [];
  (async () => {
    for await (const connection of listener) open.push(connection);
  })().catch(() => {});
  return {
    port: listener.addr.port,
    [Symbol.dispose]() {
      listener.close();
      for (const connection of open) connection.close();
    },
  };
}

for (const entry of ["rest_api", "service"]) {
  for (const kind of ["absent", "silent"] as const) {
    testWith(
      ["read", "write", "run", "env"],
      `signer/${entry}.ts whose broker is ${kind} is alive, says what it waits for, and ends with 0`,
      async () => {
        using broker = kind === "silent" ? silentBroker() : undefined;
        const folder = await Deno.makeTempDir();
        const port = freePort();
        try {
          await using program = await startProgram(
            new URL(`../signer/${entry}.ts`, import.meta.url),
            [
              ...["--port", String(port), "--data-dir", folder],
              ...["--kafka-brokers", `${hostname}:${broker?.port ?? freePort()}`],
            ],
          );
          const url = `http://${hostname}:${port}`;
          const ask = async (path: string) => {
            try {
              const response = await fetch(url + path);
              return [response.status, await response.text()] as const;
            } catch (error) {
              if (error instanceof TypeError) return undefined;
              throw error;
            }
          };
          const [alive] = await eventually("/livez", () => ask("/livez"));
          assert.equal(alive, 200);
          const [ready, report] = (await ask("/readyz?verbose"))!;
          assert.equal(ready, 503);
          assert.match(report, /starting: waiting for/);
          assert.equal((await ask("/sign"))?.[0], 503);
          program.kill("SIGTERM");
          assert.equal((await program.status).code, 0, program.lines.join("\n"));
        } finally {
          await Deno.remove(folder, { recursive: true });
        }
      },
    );
  }
}
