import assert from "node:assert/strict";
import { eventually } from "../../service/testing/eventually.ts";
import { testWith } from "../../service/testing/permissions.ts";
import { startProgram, type TestProgram } from "../../service/testing/program.ts";
import { openImageFolder } from "../stores/image_folder.ts";
import { SignupLoad } from "./test_signup_load.ts";

const entry = new URL("../server.ts", import.meta.url);

function faultTest(name: string, run: (dataDir: string) => Promise<void>): void {
  testWith(["net", "read", "write", "run", "env"], name, async () => {
    const dataDir = await Deno.makeTempDir();
    try {
      await run(dataDir);
    } finally {
      await Deno.remove(dataDir, { recursive: true });
    }
  });
}

async function startServer(dataDir: string): Promise<{ program: TestProgram; url: string }> {
  const program = await startProgram(entry, ["--orb-api-port", "0", "--data-dir", dataDir]);
  const [, url] = await program.line(/The orb server is ready url=(\S+)/, 60_000);
  return { program, url: url! };
}

/** The hashes of the images on disk. */
async function imagesOnDisk(dataDir: string): Promise<string[]> {
  const images = await openImageFolder({ path: dataDir, cleans: false });
  return (await Array.fromAsync(images.list())).map(({ sha256 }) => sha256).sort();
}

faultTest(
  "kill -9 in a loop under load: every acknowledged signup is decided once, and has its image",
  async (dataDir) => {
    let urls: string[] = [];
    const load = new SignupLoad(() => urls);
    const done = new AbortController();
    const running = load.run(8, done.signal);
    for (let life = 1; life <= 4; life++) {
      const { program, url } = await startServer(dataDir);
      await using _ = program;
      urls = [url];
      await eventually("signups", () => load.acknowledged.size >= life * 100 || undefined);
      program.kill("SIGKILL");
      assert.equal((await program.status).signal, "SIGKILL");
      urls = [];
    }
    done.abort();
    await running;

    const { program, url } = await startServer(dataDir);
    await using _ = program;
    const all = await load.verify(url);
    assert.ok(load.acknowledged.size >= 400);
    const expected = [...new Set(all.map(({ image }) => image.sha256))].sort();
    await eventually("the removal of images without a signup", async () => {
      const onDisk = await imagesOnDisk(dataDir);
      for (const sha256 of expected) assert.ok(onDisk.includes(sha256), `${sha256} is missing`);
      return onDisk.length === expected.length || undefined;
    });
  },
);

for (const how of ["deleted", "replaced"] as const) {
  faultTest(
    `a database file that is ${how} under a running server: not ready, and nothing is acknowledged`,
    async (dataDir) => {
      const { program, url } = await startServer(dataDir);
      await using _ = program;
      const v1 = (number: number) =>
        ask(`${url}/api/signup`, {
          method: "POST",
          headers: { "content-type": "application/json" },
          body: JSON.stringify({ id: "1", image_base64: btoa(`image ${number}`) }),
        });
      const v2 = (number: number) =>
        ask(`${url}/v2/signups/${"0".repeat(25)}${number}`, {
          method: "PUT",
          headers: { "content-type": "application/octet-stream" },
          body: `other image ${number}`,
        });
      assert.deepEqual([await v1(1), await v2(1)], [200, 202]);
      const path = `${dataDir}/tokens.sqlite`;
      if (how === "deleted") await Deno.remove(path);
      else {
        await Deno.copyFile(path, `${path}.copy`);
        await Deno.rename(`${path}.copy`, path);
      }
      for (let number = 2; number < 6; number++) {
        assert.deepEqual([await v1(number), await v2(number)], [503, 503]);
      }
      assert.equal(await ask(`${url}/readyz`), 503);
      const report = await (await fetch(`${url}/readyz?verbose`)).text();
      assert.match(report, new RegExp(`\\[-\\]tokens .*was ${how}`));
      assert.equal(await ask(`${url}/livez`), 200);
      const told = program.lines.filter((line) => line.includes("Tokens cannot be written"));
      assert.equal(told.length, 1, told.join("\n"));
    },
  );
}

async function ask(url: string, init: RequestInit = {}): Promise<number> {
  const response = await fetch(url, init);
  await response.body?.cancel();
  return response.status;
}
