import assert from "node:assert/strict";
import { context, ROOT_CONTEXT, trace, TraceFlags } from "@opentelemetry/api";
import { AsyncLocalStorageContextManager } from "@opentelemetry/context-async-hooks";
import { createLineWriter, createLog, type LogOptions } from "./log.ts";

const spanContext = {
  traceId: "4bf92f3577b34da6a3ce929d0e0e4736",
  spanId: "00f067aa0ba902b7",
  traceFlags: TraceFlags.SAMPLED,
};

function collect(options: Partial<LogOptions> = {}) {
  const lines: string[] = [];
  const log = createLog({
    name: "orb-server",
    write: (line) => lines.push(line),
    world: { nowMs: () => new Date(2026, 10, 21, 9, 5, 7, 42).getTime() },
    ...options,
  });
  return { lines, log };
}

function inSpan(run: () => void): void {
  context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
  try {
    context.with(trace.setSpanContext(ROOT_CONTEXT, spanContext), run);
  } finally {
    context.disable();
  }
}

Deno.test("createLog() writes the original's line and nothing else for a bare message", () => {
  const { lines, log } = collect();
  log.info("📩 New Signup request Id: X");
  assert.deepEqual(lines, [
    "2026-11-21 09:05:07,042 INFO [orb-server] 📩 New Signup request Id: X",
  ]);
});

Deno.test("createLog() adds fields and, inside a span, the trace id", () => {
  const { lines, log } = collect();
  inSpan(() => log.warn("late", { ms: 12, why: "a b", gone: undefined }));
  assert.equal(
    lines[0],
    `2026-11-21 09:05:07,042 WARN [orb-server] late ms=12 why="a b" trace_id=${spanContext.traceId}`,
  );
});

Deno.test("createLog() in JSON gives one object a line with trace and span id", () => {
  const { lines, log } = collect({ format: "json" });
  inSpan(() => log.error("broken\nline", { part: "store" }));
  assert.equal(lines.length, 1);
  const { time, ...rest } = JSON.parse(lines[0]!);
  assert.ok(!Number.isNaN(Date.parse(time)));
  assert.deepEqual(rest, {
    level: "error",
    name: "orb-server",
    message: "broken\nline",
    trace_id: spanContext.traceId,
    span_id: spanContext.spanId,
    fields: { part: "store" },
  });
});

Deno.test("createLog() lets no text from outside forge a line or steer a terminal", () => {
  const { lines, log } = collect();
  log.info("id: x\n2026-11-21 ERROR [forged]", { agent: "\u001b[31mred\u2028" });
  assert.equal(lines.length, 1);
  assert.match(lines[0]!, /id: x\\u000a2026/);
  assert.match(lines[0]!, /agent=\\u001b\[31mred\\u2028$/);
});

Deno.test("createLog() leaves out what is below its level", () => {
  const { lines, log } = collect({ level: "warn" });
  log.debug("no");
  log.info("no");
  log.warn("yes");
  assert.equal(lines.length, 1);
});

Deno.test("createLineWriter() makes one write of a burst, and survives short writes", async () => {
  const writes: string[] = [];
  const writer = createLineWriter({
    write(bytes) {
      const taken = Math.min(bytes.length, 5);
      writes.push(new TextDecoder().decode(bytes.subarray(0, taken)));
      return Promise.resolve(taken);
    },
  }, { maxQueuedLines: 10 });
  writer.write("abc");
  writer.write("defg");
  await writer.flush();
  assert.deepEqual(writes, ["abc\nd", "efg\n"]);
});

Deno.test("createLineWriter() writes the first line at once and gathers those that follow", async () => {
  const writes: string[] = [];
  const first = Promise.withResolvers<void>();
  const writer = createLineWriter({
    write(bytes) {
      writes.push(new TextDecoder().decode(bytes));
      first.resolve();
      return Promise.resolve(bytes.length);
    },
  }, { maxQueuedLines: 10, gatherMs: 60_000 });
  writer.write("1");
  await first.promise;
  for (const line of ["2", "3", "4"]) {
    writer.write(line);
    await new Promise((resolve) => setTimeout(resolve));
  }
  await writer.flush();
  assert.deepEqual(writes, ["1\n", "2\n3\n4\n"]);
  writer.write("5");
  await writer.flush();
  assert.equal(writes.at(-1), "5\n");
});

Deno.test("createLineWriter() drops and counts beyond its limit while the reader sleeps", async () => {
  const { promise: awake, resolve: wake } = Promise.withResolvers<void>();
  let written = "";
  const writer = createLineWriter({
    async write(bytes) {
      await awake;
      written += new TextDecoder().decode(bytes);
      return bytes.length;
    },
  }, { maxQueuedLines: 2 });
  for (const line of ["1", "2", "3"]) writer.write(line);
  assert.equal(writer.dropped, 1);
  wake();
  await writer.flush();
  assert.equal(written, "1\n2\n");
});

Deno.test("createLineWriter() holds no more bytes than its limit, however long lines are", async () => {
  const { promise: awake, resolve: wake } = Promise.withResolvers<void>();
  let written = "";
  const writer = createLineWriter({
    async write(bytes) {
      await awake;
      written += new TextDecoder().decode(bytes);
      return bytes.length;
    },
  }, { maxQueuedBytes: 4_000, gatherMs: 0 });
  const long = "ä".repeat(1_500);
  for (const line of [long, long, "short", "y".repeat(5_000)]) writer.write(line);
  assert.equal(writer.dropped, 2);
  wake();
  await writer.flush();
  assert.equal(written, `${long}\nshort\n`);
});

Deno.test("createLineWriter() counts every line of a batch that is lost, but those that were written", async () => {
  let left = 3;
  const writer = createLineWriter({
    write(bytes) {
      const taken = Math.min(bytes.length, left);
      left -= taken;
      return taken > 0 ? Promise.resolve(taken) : Promise.reject(new Error("broken pipe"));
    },
  }, { gatherMs: 0 });
  // Of "a\nbc\nd\n" three bytes are written: the first line and half of the second.
  for (const line of ["a", "bc", "d"]) writer.write(line);
  await writer.flush();
  assert.equal(writer.dropped, 2);
  writer.write("e");
  await writer.flush();
  assert.equal(writer.dropped, 3);
});
