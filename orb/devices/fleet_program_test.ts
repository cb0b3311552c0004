import assert from "node:assert/strict";
import { eventually } from "../../service/testing/eventually.ts";
import { testWith } from "../../service/testing/permissions.ts";
import { startReadyProgram } from "../../service/testing/program.ts";

const needs = ["net", "read", "write", "run", "env", "sys"] as const;

testWith(
  [...needs],
  "a fleet reports to its server, obeys it, and is missed when it is gone",
  async () => {
    const folder = await Deno.makeTempDir();
    try {
      await using server = await startReadyProgram("orb/server.ts", [
        ...["--orb-api-port", "0", "--data-dir", folder],
      ]);
      const url = server.fields.url!;
      const get = async (path: string) => await (await fetch(`${url}${path}`)).json();
      await using client = await startReadyProgram("orb/client.ts", [
        ...["--orb-server", url, "--orb-signup-interval", "3600", "--images", "fresh"],
        ...["--telemetry-url", `${url}/t`, "--telemetry-interval", "0"],
        ...["--orbs", "3", "--api", "v2", "--status-interval", "0.5"],
      ], { anyLine: true });

      const orbs = await eventually("three orbs", async () => {
        const { orbs } = await get("/v2/orbs");
        return orbs.length === 3 ? orbs as { id: string; state: string }[] : undefined;
      });
      const { id } = orbs[1]!;
      const signups = async () => (await get(`/v2/signups?orbId=${id}`)).signups.length as number;
      assert.equal(await signups(), 0, "the second orb's turn comes in 20 minutes");

      const told = await fetch(`${url}/v2/orbs/${id}/commands`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ type: "set_interval", signup_interval_sec: 1 }),
      });
      assert.equal(told.status, 202);
      await told.body?.cancel();
      await eventually("what came of it", async () => {
        const { commands } = await get(`/v2/orbs/${id}`);
        return commands[0].state === "done" || undefined;
      });

      await client.stop();
      await eventually("silence", async () => {
        const { counts } = await get("/v2/orbs");
        return counts.silent === 3 || undefined;
      });
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
);
