/** A console that is killed, and what its store has then. */
import assert from "node:assert/strict";
import { eventually } from "../../service/testing/eventually.ts";
import { testWith } from "../../service/testing/permissions.ts";
import { startReadyProgram } from "../../service/testing/program.ts";
import { tracesRequest } from "../test_console.ts";

testWith(
  ["run", "read", "write", "net", "env"],
  "killed with -9, a console has again what was acknowledged before the last sync, and its file opens",
  async () => {
    const folder = await Deno.makeTempDir();
    const args = [
      ...["--otlp-port", "0", "--page-port", "0", "--store", `${folder}/console.sqlite`],
      ...["--store-sync-interval", "50ms"],
    ];
    try {
      let acknowledged = 0;
      for (let life = 0; life < 3; life++) {
        await using viewer = await startReadyProgram("console/server.ts", args);
        const stats = async () => await (await fetch(`${viewer.fields.page}/api/stats`)).json();
        const { traces } = await stats();
        assert.ok(traces.held >= acknowledged, `${traces.held} of ${acknowledged}`);
        acknowledged = traces.held;
        const send = async () => {
          const sent = await fetch(`${viewer.fields.otlp}/v1/traces`, {
            method: "POST",
            headers: { "content-type": "application/x-protobuf" },
            body: tracesRequest([{}, {}, {}]),
          });
          await sent.body?.cancel();
          assert.equal(sent.status, 200);
        };
        for (let i = 0; i < 20; i++) await send();
        acknowledged += 60;
        await eventually("a sync", async () => (await stats()).store.written >= 20 || undefined);
        // Killed in the middle of writing.
        const more = Promise.allSettled(Array.from({ length: 20 }, send));
        viewer.kill("SIGKILL");
        await Promise.all([more, viewer.status]);
      }
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
);
