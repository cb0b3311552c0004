import assert from "node:assert/strict";
import { DataOutput, DataOutputError } from "./data_output.ts";

/** A sink that takes what it is let take. */
function gate() {
  let text = "";
  const permits: PromiseWithResolvers<number | Error>[] = [Promise.withResolvers()];
  return {
    text: () => text,
    /** Lets the next write take so many bytes, or fail. */
    let(bytes: number | Error) {
      permits.at(-1)!.resolve(bytes);
      permits.push(Promise.withResolvers());
    },
    async write(bytes: Uint8Array): Promise<number> {
      const taken = await permits[0]!.promise;
      permits.shift();
      if (taken instanceof Error) throw taken;
      const count = Math.min(taken, bytes.length);
      text += new TextDecoder().decode(bytes.subarray(0, count));
      return count;
    },
  };
}

Deno.test("DataOutput keeps every line for a slow reader, and asks to wait", async () => {
  const sink = gate();
  const output = new DataOutput(sink, { maxQueuedLines: 3 });
  output.write("a");
  await Promise.resolve();
  await Promise.resolve();
  assert.equal(output.room(), undefined, "the first is being written");
  for (const line of ["b", "c", "d"]) output.write(line);
  const room = output.room();
  assert.ok(room);
  let free = false;
  void room.then(() => free = true);
  sink.let(1);
  await Promise.resolve();
  assert.equal(free, false, "half a line is no room");
  sink.let(100);
  await room;
  sink.let(100);
  await output.flush();
  assert.equal(sink.text(), "a\nb\nc\nd\n");
  assert.equal(output.error, undefined);
});

Deno.test("DataOutput ends when its reader does, and nobody waits for room any more", async () => {
  for (
    const [error, kind, exitCode] of [
      [new Deno.errors.BrokenPipe("Broken pipe (os error 32)"), "closed", 141],
      [new Error("No space left on device (os error 28)"), "failed", 2],
    ] as const
  ) {
    const sink = gate();
    const output = new DataOutput(sink, { maxQueuedLines: 1 });
    output.write("a");
    await Promise.resolve();
    await Promise.resolve();
    output.write("b");
    const room = output.room();
    sink.let(error);
    await room;
    await output.flush();
    assert.equal(output.ended.aborted, true);
    assert.ok(output.error instanceof DataOutputError);
    assert.deepEqual([output.error.kind, output.error.exitCode], [kind, exitCode]);
    output.write("c");
    assert.equal(output.room(), undefined);
    await output.flush();
  }
});
