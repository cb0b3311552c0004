/** The outage that takes its time: among the stack tests only because of that. */
import assert from "node:assert/strict";
import { eventually } from "../service/testing/eventually.ts";
import { testWithStack } from "../stack/test_with_stack.ts";
import { startTestServer } from "./test_server.ts";
import { startUdpRelay } from "./test_udp_relay.ts";

testWithStack("a network that is dark for 60 s loses no ping in either stream mode", async () => {
  await using server = await startTestServer();
  await Promise.all((["bidi", "uni"] as const).map(async (mode) => {
    const relay = startUdpRelay(server.port);
    const running = server.ping({
      port: relay.port,
      mode,
      pingCount: 500,
      intervalMs: 5,
      quiet: true,
      connectTimeoutMs: 1_000,
    });
    await eventually("some pings", () => relay.counts.passed > 100 || undefined);
    relay.faults.blackhole = true;
    await new Promise((resolve) => setTimeout(resolve, 60_000));
    relay.faults.blackhole = false;
    const { exitCode, lines, runs } = await running;
    relay.close();
    assert.equal(exitCode, 0, lines.join("\n"));
    const { sent, received, recovered } = runs[0]!.run.statistics.summary();
    assert.deepEqual({ sent, received }, { sent: 500, received: 500 });
    assert.ok(recovered >= 1, "the ping that was under way was sent again");
  }));
});
