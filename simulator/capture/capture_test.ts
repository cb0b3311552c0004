import assert from "node:assert/strict";
import { testWith } from "../../service/testing/permissions.ts";
import { testContext } from "../../service/testing/context.ts";
import { drainMicrotasks, VirtualWorld } from "../../service/world/virtual_world.ts";
import { EventLog, type LoggedEvent } from "../events/event_log.ts";
import { Recorder } from "../events/recorder.ts";
import { CaptureError, captureText, readCapture } from "./capture_file.ts";
import { CaptureWriter } from "./capture_writer.ts";
import { playCapture } from "./player.ts";

const needs: Deno.PermissionName[] = ["read", "write"];

/** A server's inside: what goes in, what comes out, in virtual time. */
function inside(seed = 1) {
  const world = new VirtualWorld({ seed });
  const log = new EventLog({ world });
  const recorder = new Recorder({ log, world });
  const events: LoggedEvent[] = [];
  log.subscribe((batch) => events.push(...batch));
  return { world, log, recorder, events };
}

function line(event: string, traceId = "t", more = ""): string {
  return `{"traceId":"${traceId}","name":"n","event":"${event}","timeUnixNano":1795798574686000001${more}}`;
}

async function withFile(run: (path: string) => Promise<void>): Promise<void> {
  const path = await Deno.makeTempFile({ suffix: ".ndjson" });
  try {
    await run(path);
  } finally {
    await Deno.remove(path);
  }
}

testWith(
  needs,
  "a capture keeps every event digit for digit, with its time and client",
  async () => {
    await withFile(async (path) => {
      const { world, log, recorder, events } = inside();
      const writer = await CaptureWriter.open({ path, events: log, log: testContext().log });
      const source = recorder.source();
      recorder.take(line("processStarted"), source);
      await world.advance(40);
      recorder.take(line("e", "t", ',"odd" : [9007199254740993, 1e400, "\\ud800"]'), source);
      await drainMicrotasks();
      await writer.close();
      assert.equal(await Deno.readTextFile(path), captureText(events));
      const read = await Array.fromAsync(readCapture(path));
      assert.deepEqual(
        read,
        events.map(({ atMs, client, json }) => ({ atMs, client, json })),
      );
    });
  },
);

testWith(
  needs,
  "a capture is played in its order, at its distances divided by the speed",
  async () => {
    await withFile(async (path) => {
      const recorded = inside();
      const [a, b] = [recorded.recorder.source(), recorded.recorder.source()];
      recorded.recorder.take(line("processStarted", "a"), a);
      await recorded.world.advance(1_000);
      recorded.recorder.take(line("processStarted", "b"), b);
      recorded.recorder.take(line("processingPerformed", "of both"), a);
      await recorded.world.advance(500);
      recorded.recorder.take(line("processingPerformed", "of both"), b);
      b.end();
      await drainMicrotasks();
      await Deno.writeTextFile(path, captureText(recorded.events));

      const { world, recorder, events } = inside(2);
      const playing = playCapture({
        path,
        speed: 2,
        recorder,
        signal: new AbortController().signal,
        world,
      });
      // The file is read in real time, what it holds is played in virtual time.
      const played = await untilDone(world, playing);
      assert.equal(played, 4);
      assert.deepEqual(
        events.map(({ client, event, atMs }) => [client, event.event, atMs - events[0]!.atMs]),
        [
          [1, "processStarted", 0],
          [2, "processStarted", 500],
          [1, "processingPerformed", 500],
          [2, "processingPerformed", 750],
          [0, "clientLost", 750],
          [0, "clientLost", 750],
        ],
        "the first client never stopped: at the capture's end it is lost too",
      );
    });
  },
);

/** Lets real time pass for the file and virtual time for the pauses, until the promise settles. */
async function untilDone<T>(world: VirtualWorld, promise: Promise<T>): Promise<T> {
  let done = false;
  const finished = promise.finally(() => done = true);
  for (let turns = 0; !done && turns < 1_000; turns++) {
    await new Promise((resolve) => setTimeout(resolve, 1));
    await world.runUntilIdle();
  }
  return await finished;
}

testWith(needs, "what is no capture is refused with what to do", async () => {
  const read = async (text: string) => {
    let error: unknown;
    await withFile(async (path) => {
      await Deno.writeTextFile(path, text);
      error = await Array.fromAsync(readCapture(path)).catch((error) => error);
    });
    assert.ok(error instanceof CaptureError);
    return `${error.kind}: ${error.message}`;
  };
  assert.match(await read(""), /^no-capture: .*is empty/);
  assert.match(await read("hello\n"), /^no-capture: .*its first line must be/);
  assert.match(await read(`${captureText([])}{"atMs":1}\n`), /^broken-line: Line 2 of/);
  await assert.rejects(Array.fromAsync(readCapture("/nowhere/x")), /Cannot read the capture/);
  const { recorder, world } = inside();
  const options = { path: "x", recorder, world, signal: AbortSignal.abort() };
  await assert.rejects(playCapture({ ...options, speed: 0.05 }), /'speed' must be from 0.1 to 100/);
});

testWith(
  needs,
  "a capture that would be too large ends with a word, and stays readable",
  async () => {
    await withFile(async (path) => {
      const { log, recorder } = inside();
      const { log: programLog, lines } = testContext();
      const writer = await CaptureWriter.open({
        path,
        events: log,
        log: programLog,
        maxBytes: 300,
      });
      const source = recorder.source();
      for (let i = 0; i < 5; i++) {
        recorder.take(line("e"), source);
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
      await writer.close();
      assert.match(lines.join("\n"), /ERROR The capture ends here.*larger than 300 bytes/);
      assert.ok((await Array.fromAsync(readCapture(path))).length > 0);
    });
  },
);
