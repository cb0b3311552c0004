import assert from "node:assert/strict";
import { attributeOf, newSpanId, newTraceId, testConsole } from "../test_console.ts";

Deno.test("/api/export gives traces as OTLP's JSON, which makes the same traces when it is sent again", async () => {
  await using viewer = await testConsole();
  const [traceId, root] = [newTraceId(), newSpanId()];
  const any = (value: unknown) => ({ value: value as never });
  await viewer.sendSpans([{
    traceId,
    spanId: root,
    name: "GET /",
    kind: 2,
    traceState: "a=b",
    attributes: [
      attributeOf("text", "grüße"),
      attributeOf("whole", 3),
      attributeOf("large", 2n ** 62n),
      attributeOf("nan", NaN),
      attributeOf("yes", true),
      { key: "bytes", value: any({ case: "bytesValue", value: new Uint8Array([1, 2]) }) },
      {
        key: "list",
        value: any({
          case: "arrayValue",
          value: { values: [any({ case: "intValue", value: 7n })] },
        }),
      },
    ],
    events: [{ name: "e", timeUnixNano: 1_795_000_000_000_001_000n }],
    links: [{ traceId: newTraceId(), spanId: newSpanId(), attributes: [attributeOf("l", "x")] }],
    status: { code: 2, message: "no" },
  }, { traceId, parentSpanId: root, endTimeUnixNano: 0n }], "shop");
  await viewer.sendSpans([{}], "other");
  const read = async () => (await viewer.get(`/api/traces/${traceId.toHex()}`)).data[0];
  const before = await read();

  const exported = await fetch(`${viewer.pageUrl}/api/export?traceID=${traceId.toHex()}`);
  assert.match(
    exported.headers.get("content-disposition")!,
    /attachment; filename="traces\.otlp\.json"/,
  );
  const body = await exported.text();
  const cleared = await fetch(`${viewer.pageUrl}/api/data`, { method: "DELETE" });
  await cleared.body?.cancel();
  const sent = await viewer.send("traces", body, { "content-type": "application/json" });
  assert.equal(await sent.text(), "{}");
  assert.deepEqual(await read(), before);
  assert.equal((await viewer.get("/api/summaries")).held, 1);
});

Deno.test("/api/export gives what a search finds", async () => {
  await using viewer = await testConsole();
  for (const name of ["a", "b", "b"]) await viewer.sendSpans([{ name }]);
  const count = async (query: string) => {
    const { resourceSpans } = await viewer.get(`/api/export?${query}`);
    // deno-lint-ignore no-explicit-any -- OTLP's JSON
    return resourceSpans.flatMap((one: any) => one.scopeSpans.flatMap(({ spans }: any) => spans))
      .length;
  };
  assert.equal(await count(""), 3);
  assert.equal(await count("q=name%3Db"), 2);
  assert.equal(await count("q=name%3Dnone"), 0);
});
