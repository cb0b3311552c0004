import assert from "node:assert/strict";
import type { RunningProcess } from "../service/supervisor.ts";
import { VirtualWorld } from "../service/world/virtual_world.ts";
import { KeptProgram } from "./kept_program.ts";

/** A program whose starts and ends the test decides. */
function scripted() {
  const world = new VirtualWorld({ seed: 7 });
  const said: string[] = [];
  const starts: { atMs: number; end(status: Partial<Deno.CommandStatus>): void }[] = [];
  const signals: Deno.Signal[] = [];
  let stops = 0;
  let failing = false;
  const stopping = new AbortController();
  const kept = new KeptProgram({
    name: "orb-server",
    world,
    say: (text) => said.push(text),
    stopping: stopping.signal,
    start: () => {
      const exited = Promise.withResolvers<Deno.CommandStatus>();
      const end = (status: Partial<Deno.CommandStatus>) =>
        exited.resolve({ success: false, code: 0, signal: null, ...status });
      starts.push({ atMs: world.monotonicMs(), end });
      if (failing) return Promise.reject(new Error("The port is in use."));
      const stop = () => {
        stops++;
        end({ success: true });
        return Promise.resolve();
      };
      const process: Partial<RunningProcess> = {
        exited: exited.promise,
        logFile: "orb-server.log",
        signal: (signal) => signals.push(signal) > 0,
        stop,
      };
      return Promise.resolve(process as RunningProcess);
    },
  });
  return {
    ...{ world, said, starts, signals, kept, stopping },
    stops: () => stops,
    failStarts: (fail: boolean) => failing = fail,
  };
}

Deno.test("KeptProgram starts again who ends unasked, says how, and waits longer each time", async () => {
  const { world, said, starts, kept } = scripted();
  await kept.start();
  assert.equal(kept.up, true);
  const waits: number[] = [];
  for (let round = 0; round < 4; round++) {
    const endedMs = world.monotonicMs();
    starts.at(-1)!.end({ signal: "SIGKILL" });
    await world.advance(0);
    assert.equal(kept.up, false);
    await world.advance(30_000);
    assert.equal(kept.up, true, "it is up again");
    waits.push(starts.at(-1)!.atMs - endedMs);
  }
  for (const [round, waitMs] of waits.entries()) {
    const longestMs = 1_000 * 2 ** round;
    assert.ok(waitMs > longestMs / 2 && waitMs <= longestMs, `${round}: ${waitMs}`);
  }
  assert.match(said[0]!, /^orb-server has ended unasked \(by SIGKILL\); orb-server\.log says why/);
  assert.match(said[1]!, /^orb-server is started again in 0\.\d s\./);
  assert.equal(said[2], "orb-server is up again.");
  await kept[Symbol.asyncDispose]();
});

Deno.test("KeptProgram counts failures anew after a minute without one", async () => {
  const { world, starts, kept } = scripted();
  await kept.start();
  for (let round = 0; round < 5; round++) {
    starts.at(-1)!.end({ code: 1 });
    await world.advance(30_000);
  }
  await world.advance(60_000);
  const endedMs = world.monotonicMs();
  starts.at(-1)!.end({ code: 1 });
  await world.advance(30_000);
  assert.ok(starts.at(-1)!.atMs - endedMs <= 1_000);
  await kept[Symbol.asyncDispose]();
});

Deno.test("KeptProgram sends a signal to who is up, and to nobody else", async () => {
  const { world, starts, signals, kept } = scripted();
  kept.signal("SIGUSR2");
  await kept.start();
  kept.signal("SIGUSR2");
  starts.at(-1)!.end({ code: 1 });
  await world.advance(0);
  // Who is being started again may not listen yet, and would be ended by it.
  kept.signal("SIGUSR2");
  assert.deepEqual(signals, ["SIGUSR2"]);
  await world.advance(30_000);
  kept.signal("SIGUSR2");
  assert.equal(signals.length, 2);
  await kept[Symbol.asyncDispose]();
});

Deno.test("KeptProgram tries again when a start fails, and says why", async () => {
  const { world, said, starts, kept, failStarts } = scripted();
  await kept.start();
  failStarts(true);
  starts.at(-1)!.end({ code: 3 });
  await world.advance(10_000);
  assert.ok(starts.length > 2);
  assert.match(said.join("\n"), /with code 3/);
  assert.match(said.join("\n"), /orb-server does not start\. The port is in use/);
  failStarts(false);
  await world.advance(30_000);
  assert.equal(kept.up, true);
  await kept[Symbol.asyncDispose]();
});

Deno.test("KeptProgram that is to end is not started again", async () => {
  for (const waiting of [false, true]) {
    const { world, starts, kept, stopping, stops } = scripted();
    await kept.start();
    if (waiting) {
      starts[0]!.end({ code: 1 });
      await world.advance(1);
    }
    stopping.abort();
    await kept[Symbol.asyncDispose]();
    await world.advance(60_000);
    assert.equal(starts.length, 1);
    assert.equal(stops(), 1);
  }
});
