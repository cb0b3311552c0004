import assert from "node:assert/strict";
import { ulid } from "ulid";
import { startProgram } from "../service/testing/program.ts";
import { fillDisk, run, testWithSmallDisk } from "../service/testing/small_disk.ts";
import { eventually } from "../service/testing/eventually.ts";
import { statusOf } from "../service/testing/status.ts";

const entry = new URL("./server.ts", import.meta.url);
testWithSmallDisk(
  "a full disk refuses new images and loses none, and the server goes on when there is space",
  async () => {
    const disk = await Deno.makeTempDir();
    await run("mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk);
    try {
      const args = ["--orb-api-port", "0", "--data-dir", disk];
      const accepted: number[] = [];
      let next = 0;
      let url = "";

      const signUp = async (number: number): Promise<number> => {
        const image = new TextEncoder().encode(`image ${number}`).toBase64();
        const response = await fetch(`${url}/api/signup`, {
          method: "POST",
          headers: { "content-type": "application/json" },
          body: JSON.stringify({ id: String(number), image_base64: image }),
        });
        const body = await response.text();
        if (response.status === 503) assert.match(body, /cannot be written to disk/);
        return response.status;
      };
      const readiness = async (): Promise<[number, string]> => {
        const response = await fetch(`${url}/readyz?verbose`);
        return [response.status, await response.text()];
      };

      {
        await using program = await startProgram(entry, args);
        [, url = ""] = await program.line(/url=(\S+)/);
        for (let count = 0; count < 20; count++) {
          assert.equal(await signUp(next), 200);
          accepted.push(next++);
        }
        assert.equal((await readiness())[0], 200);

        await fillDisk(`${disk}/filler`);
        // Space that the log had taken before may still hold a few.
        await eventually("a refusal", async () => {
          const status = await signUp(next);
          if (status === 200) accepted.push(next);
          else assert.equal(status, 503);
          next++;
          return status === 503 ? true : undefined;
        });
        for (let count = 0; count < 20; count++) assert.equal(await signUp(next++), 503);
        assert.equal(await signUp(accepted[0]!), 409, "known images are still known");
        const [status, report] = await readiness();
        assert.equal(status, 503);
        assert.match(report, /\[-\]tokens .*full/);
        const logged = program.lines.filter((line) => line.includes("Tokens cannot be written"));
        assert.equal(logged.length, 1, logged.join("\n"));

        await Deno.remove(`${disk}/filler`);
        await program.line(/Tokens can be written again/);
        assert.equal((await readiness())[0], 200);
        assert.equal(await signUp(next), 200);
        accepted.push(next++);
        program.kill("SIGKILL");
        await program.status;
      }

      await using program = await startProgram(entry, args);
      [, url = ""] = await program.line(/url=(\S+)/);
      for (const number of accepted) assert.equal(await signUp(number), 409, `image ${number}`);
      for (let number = 0; number < next; number++) {
        if (!accepted.includes(number)) assert.equal(await signUp(number), 200, `image ${number}`);
      }
    } finally {
      await run("umount", disk);
      await Deno.remove(disk);
    }
  },
);

testWithSmallDisk(
  "a disk that is full from the start ends the server with 1 and says so",
  async () => {
    const disk = await Deno.makeTempDir();
    await run("mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", disk);
    try {
      await fillDisk(`${disk}/filler`);
      await using program = await startProgram(entry, ["--orb-api-port=0", `--data-dir=${disk}`]);
      assert.equal((await program.status).code, 1);
      assert.match(program.lines.join("\n"), /Cannot open the tokens .*(full|I\/O).*--data-dir/);
    } finally {
      await run("umount", disk);
      await Deno.remove(disk);
    }
  },
);

testWithSmallDisk(
  "v2 on a full disk: 503, nothing half kept, and on it goes when there is space",
  async () => {
    const disk = await Deno.makeTempDir();
    await run("mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", disk);
    try {
      await using program = await startProgram(entry, ["--orb-api-port", "0", "--data-dir", disk]);
      const [, url] = await program.line(/The orb server is ready url=(\S+)/);
      const acknowledged: string[] = [];
      const signUp = async (): Promise<number> => {
        const id = ulid();
        const response = await fetch(`${url}/v2/signups/${id}`, {
          method: "PUT",
          headers: { "content-type": "application/octet-stream" },
          body: `${id} `.repeat(400),
        });
        const text = await response.text();
        if (response.status === 202) acknowledged.push(id);
        else assert.match(text, /nothing was stored/);
        return response.status;
      };
      for (let count = 0; count < 10; count++) assert.equal(await signUp(), 202);
      await fillDisk(`${disk}/filler`);
      await eventually("a refusal", async () => await signUp() === 503 || undefined);
      for (let count = 0; count < 10; count++) assert.equal(await signUp(), 503);
      assert.equal(await statusOf(fetch(`${url}/readyz`)), 503);

      await Deno.remove(`${disk}/filler`);
      await eventually(
        "readiness",
        async () => await statusOf(fetch(`${url}/readyz`)) === 200 || undefined,
      );
      assert.equal(await signUp(), 202);
      for (const id of acknowledged) {
        const headers = { prefer: "wait=20" };
        const { state } = await (await fetch(`${url}/v2/signups/${id}`, { headers })).json();
        assert.equal(state, "accepted", id);
      }
      assert.deepEqual([...Deno.readDirSync(`${disk}/unfinished`)], []);
      program.kill("SIGTERM");
      await program.status;
    } finally {
      await run("umount", disk);
      await Deno.remove(disk);
    }
  },
);
