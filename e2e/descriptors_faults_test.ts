/**
 * Programs whose file descriptors are used up by connections that ask nothing: they go on, answer
 * others meanwhile, and say so once. Each is really started with a limit and really flooded.
 *
 * @module
 */
import assert from "node:assert/strict";
import { testWith } from "../service/testing/permissions.ts";
import { eventually } from "../service/testing/eventually.ts";
import { startReadyProgram } from "../service/testing/program.ts";

const maxDescriptors = 256;
const connections = 300;

/** How each is started, and which field of its first line says where it listens. */
const programs = [
  { entry: "orb/server.ts", args: ["--orb-api-port", "0", "--data-dir", "$folder"], field: "url" },
  { entry: "console/server.ts", args: ["--page-port", "0", "--otlp-port", "0"], field: "otlp" },
  { entry: "console/server.ts", args: ["--page-port", "0", "--otlp-port", "0"], field: "page" },
  { entry: "signer/rest_api.ts", args: ["--port", "0", "--data-dir", "$folder"], field: undefined },
  { entry: "observer/observer.ts", args: ["--metrics-address", "127.0.0.1:0"], field: "page" },
  { entry: "simulator/server.ts", args: ["--web-port", "0", "--port", "0"], field: "page" },
  {
    entry: "pingpong/server.ts",
    args: [
      ...["--port", "0", "--page-port", "0", "--https-port", "0", "--generate-certificate"],
      ...["--certificate-path", "$folder/cert.pem", "--key-path", "$folder/key.pem"],
    ],
    field: undefined,
  },
] as const;

async function flood(hostname: string, port: number): Promise<Deno.TcpConn[]> {
  const open: Deno.TcpConn[] = [];
  for (let i = 0; i < connections; i++) open.push(await Deno.connect({ hostname, port }));
  return open;
}

async function isAlive(url: string): Promise<true | undefined> {
  try {
    const response = await fetch(new URL("/livez", url), { signal: AbortSignal.timeout(2_000) });
    await response.body?.cancel();
    // The receiver has no health of its own: 404 is an answer, too.
    return response.status < 500 || undefined;
  } catch {
    return undefined;
  }
}

for (const { entry, args, field } of programs) {
  testWith(
    ["read", "write", "run", "env"],
    `${entry} goes on when its descriptors are used up${field ? ` (${field})` : ""}`,
    async () => {
      const folder = await Deno.makeTempDir();
      try {
        await using program = await startReadyProgram(
          entry,
          args.map((arg) => arg.replace("$folder", folder)),
          { maxDescriptors, anyLine: field === undefined },
        );
        const url = field === undefined
          ? (await program.line(/(?:WebSocket at |"url":")(http:[^"\s]+)/))[1]!
          : program.fields[field]!;
        const held = await flood("127.0.0.1", Number(new URL(url).port));
        await program.line(/no file descriptor left/);
        await eventually("an answer while they are held", () => isAlive(url));
        for (const connection of held) connection.close();
        await eventually("an answer after they have gone", () => isAlive(url));
        const said = program.lines.filter((line) => line.includes("no file descriptor left"));
        assert.equal(said.length, 1, said.join("\n"));
        program.kill("SIGTERM");
        assert.equal((await program.status).code, 0, program.lines.join("\n"));
      } finally {
        await Deno.remove(folder, { recursive: true });
      }
    },
  );
}
