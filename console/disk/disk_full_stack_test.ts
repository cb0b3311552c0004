/** A store on a disk that is full. */
import assert from "node:assert/strict";
import { eventually } from "../../service/testing/eventually.ts";
import { startReadyProgram } from "../../service/testing/program.ts";
import { fillDisk, run, testWithSmallDisk } from "../../service/testing/small_disk.ts";
import { tracesRequest } from "../test_console.ts";

testWithSmallDisk(
  "a full disk costs no telemetry that is shown, is said, and is written once there is space",
  async () => {
    const disk = await Deno.makeTempDir();
    await run("mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk);
    try {
      const args = [
        ...["--otlp-port", "0", "--page-port", "0", "--store", `${disk}/console.sqlite`],
        ...["--store-sync-interval", "50ms"],
      ];
      {
        await using viewer = await startReadyProgram("console/server.ts", args);
        const stats = async () => await (await fetch(`${viewer.fields.page}/api/stats`)).json();
        const send = async () => {
          const body = tracesRequest([{ name: "x".repeat(4_000) }]);
          const headers = { "content-type": "application/x-protobuf" };
          const sent = await fetch(`${viewer.fields.otlp}/v1/traces`, {
            method: "POST",
            headers,
            body,
          });
          await sent.body?.cancel();
          assert.equal(sent.status, 200);
        };
        await send();
        await eventually(
          "it is written",
          async () => (await stats()).store.written === 1 || undefined,
        );
        await fillDisk(`${disk}/filler`);
        let sent = 1;
        await eventually("the disk refuses", async () => {
          await send();
          sent++;
          return (await stats()).store.lastError?.includes("full") || undefined;
        });
        await viewer.line(/The store does not take telemetry/);
        const full = await stats();
        assert.equal(full.traces.held, sent);
        assert.ok(full.store.waiting > 0);
        await Deno.remove(`${disk}/filler`);
        await eventually("all is written", async () => {
          const { store } = await stats();
          return (store.written === sent && store.lastError === null) || undefined;
        });
        assert.equal((await stats()).store.dropped, 0);
        await viewer.line(/The store takes telemetry again/);
        await viewer.stop();
        await using again = await startReadyProgram("console/server.ts", args);
        const { traces } = await (await fetch(`${again.fields.page}/api/stats`)).json();
        assert.equal(traces.held, sent);
      }
    } finally {
      await run("umount", disk);
      await Deno.remove(disk);
    }
  },
);
