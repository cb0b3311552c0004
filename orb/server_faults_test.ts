import assert from "node:assert/strict";
import { testWith } from "../service/testing/permissions.ts";
import { startProgram, type TestProgram } from "../service/testing/program.ts";

const entry = new URL("./server.ts", import.meta.url);
const permissions = ["net", "read", "write", "run", "env"] as const;

function faultTest(name: string, run: (dataDir: string) => Promise<void>): void {
  testWith([...permissions], name, async () => {
    const dataDir = await Deno.makeTempDir();
    try {
      await run(dataDir);
    } finally {
      await Deno.remove(dataDir, { recursive: true });
    }
  });
}

async function startServer(
  dataDir: string,
  ...more: string[]
): Promise<{ program: TestProgram; url: string }> {
  const program = await startProgram(entry, [
    "--orb-api-port",
    "0",
    "--data-dir",
    dataDir,
    ...more,
  ]);
  const [, url] = await program.line(/The orb server is ready url=(\S+)/);
  return { program, url: url! };
}

/** An image that no other number has. */
function imageOf(number: number): string {
  return new TextEncoder().encode(`image ${number} `.padEnd(300, "x")).toBase64();
}

async function signUp(url: string, number: number): Promise<number> {
  const response = await fetch(`${url}/api/signup`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ id: String(number), image_base64: imageOf(number) }),
  });
  await response.body?.cancel();
  return response.status;
}

faultTest("kill -9 under load loses no token that was acknowledged", async (dataDir) => {
  const acknowledged: number[] = [];
  let next = 0;
  // Twice, so that a log that was recovered once is recovered again.
  for (let life = 0; life < 2; life++) {
    const { program, url } = await startServer(dataDir);
    await using _ = program;
    const enough = Promise.withResolvers<void>();
    const goal = acknowledged.length + 400;

    const keepSigningUp = async (): Promise<void> => {
      for (;;) {
        const number = next++;
        let status: number;
        try {
          status = await signUp(url, number);
        } catch {
          return; // It was killed.
        }
        assert.equal(status, 200);
        acknowledged.push(number);
        if (acknowledged.length >= goal) enough.resolve();
      }
    };
    const clients = Array.from({ length: 16 }, keepSigningUp);
    await Promise.race([enough.promise, Promise.all(clients)]);
    program.kill("SIGKILL");
    assert.equal((await program.status).signal, "SIGKILL");
    await Promise.all(clients);
  }

  assert.ok(acknowledged.length >= 800);
  const { program, url } = await startServer(dataDir);
  await using _ = program;
  for (let at = 0; at < acknowledged.length; at += 50) {
    const statuses = await Promise.all(
      acknowledged.slice(at, at + 50).map((number) => signUp(url, number)),
    );
    assert.ok(statuses.every((status) => status === 409), `of ${at}…: ${statuses}`);
  }
  assert.equal(await signUp(url, next++), 200);
});

faultTest("SIGTERM and SIGINT end it with 0, and its tokens stay", async (dataDir) => {
  for (const [number, signal] of (["SIGTERM", "SIGINT"] as const).entries()) {
    const { program, url } = await startServer(dataDir);
    await using _ = program;
    assert.equal(await signUp(url, number), 200);
    if (number > 0) assert.equal(await signUp(url, number - 1), 409);
    program.kill(signal);
    assert.equal((await program.status).code, 0);
  }
});

faultTest("a taken port ends it with 1 and says so", async (dataDir) => {
  using taken = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const port = String(taken.addr.port);
  await using program = await startProgram(entry, ["--orb-api-port", port, "--data-dir", dataDir]);
  assert.equal((await program.status).code, 1);
  assert.match(program.lines.join("\n"), /port is in use.*--orb-api-port/);
});

faultTest("a bad flag ends it with 2 and says so", async (dataDir) => {
  for (const flag of ["--orb-api-port=70000", "--max-body=lots", "--nonsense"]) {
    await using program = await startProgram(entry, ["--data-dir", dataDir, flag]);
    assert.equal((await program.status).code, 2, flag);
    assert.match(program.lines.join("\n"), /Try 'orb-server --help'/);
  }
});

faultTest("a data folder that cannot be used ends it with 1 and says so", async (dataDir) => {
  const file = `${dataDir}/file`;
  await Deno.writeTextFile(file, "");
  await using program = await startProgram(entry, ["--orb-api-port", "0", "--data-dir", file]);
  assert.equal((await program.status).code, 1);
  assert.match(program.lines.join("\n"), /Cannot keep data in .*--data-dir/);
});

faultTest("a file of tokens that is broken ends it with 1 and says so", async (dataDir) => {
  await Deno.writeTextFile(`${dataDir}/tokens.sqlite`, "no database at all. ".repeat(300));
  await using program = await startProgram(entry, ["--orb-api-port", "0", "--data-dir", dataDir]);
  assert.equal((await program.status).code, 1);
  assert.match(program.lines.join("\n"), /Cannot open the tokens .*not a database.*--data-dir/);
});

faultTest("a data folder that another server uses ends it with 1 and says so", async (dataDir) => {
  const { program: first, url } = await startServer(dataDir);
  await using _ = first;
  await using second = await startProgram(entry, ["--orb-api-port", "0", "--data-dir", dataDir]);
  assert.equal((await second.status).code, 1);
  assert.match(second.lines.join("\n"), /Cannot open the tokens .*locked/);
  assert.equal(await signUp(url, 1), 200);
});

faultTest("beyond loopback it listens only by an explicit flag", async (dataDir) => {
  const args = ["--orb-api-port", "0", "--data-dir", dataDir, "--host", "0.0.0.0"];
  await using refused = await startProgram(entry, args);
  assert.equal((await refused.status).code, 1);
  assert.match(refused.lines.join("\n"), /--allow-remote-without-auth/);
});
