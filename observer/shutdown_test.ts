import assert from "node:assert/strict";
import { noDeadline, testContext } from "../service/testing/context.ts";
import { testWith } from "../service/testing/permissions.ts";
import { parseEndpoint } from "./grpc/endpoint.ts";
import { startObserver } from "./observer.ts";
import { slowRuntime } from "./stores/test_observatory.ts";

testWith(
  ["net", "read", "run", "env"],
  "an observer that stops answers who waits for an observation",
  async () => {
    await using runtime = await slowRuntime();
    const context = testContext();
    const observer = await startObserver({
      metricsAddress: { host: "127.0.0.1", port: 0 },
      endpoint: [parseEndpoint(`cri=${runtime.address}`)],
    }, context);
    const answer = fetch(`${observer.url}/observe`, { method: "POST" });
    await runtime.called(1);
    context.stop();
    const stopped = observer.stop(noDeadline);
    const late = await fetch(`${observer.url}/api/stores`);
    assert.equal(late.status, 503);
    await late.body?.cancel();
    runtime.calls[0]!.resolve();
    const response = await answer;
    assert.equal(response.status, 200);
    const { observations } = await response.json();
    assert.equal(observations[0].outcome, "success");
    await stopped;
  },
);
