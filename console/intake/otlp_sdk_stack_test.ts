/** What the SDKs of other languages send is there, whole. */
import assert from "node:assert/strict";
import { javaSdkProgram, pythonSdkProgram, type SdkProgram } from "../../stack/otel_sdks.ts";
import type { JaegerSpan } from "../page_api/jaeger_api.ts";
import { testWithStack } from "../../stack/test_with_stack.ts";
import { testConsole } from "../test_console.ts";

async function run({ command, args, env }: SdkProgram, url: string): Promise<void> {
  const { success, stdout, stderr } = await new Deno.Command(command, {
    args: [...args, url],
    env,
    stdout: "piped",
    stderr: "piped",
  }).output();
  const said = new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr);
  assert.ok(success, said);
  // An SDK whose export fails says so and ends well.
  assert.doesNotMatch(said, /fail|error|warn/i, said);
}

async function assertWhole(service: string, program: SdkProgram): Promise<void> {
  await using viewer = await testConsole();
  await run(program, viewer.otlpUrl);
  const { data: [trace] } = await viewer.get(`/api/traces?service=${service}`);
  const spans: Record<string, JaegerSpan> = Object.fromEntries(
    trace.spans.map((span: JaegerSpan) => [span.operationName, span]),
  );
  assert.deepEqual(Object.keys(spans).sort(), ["part", "work"]);
  assert.equal(spans.part!.references[0]!.spanID, spans.work!.spanID);
  const tagsOf = (span: JaegerSpan) =>
    Object.fromEntries(span.tags.map((tag) => [tag.key, tag.value]));
  assert.equal(tagsOf(spans.work!).size, 3);
  assert.equal(tagsOf(spans.work!)["otel.scope.version"], "1.0");
  assert.equal(tagsOf(spans.part!)["otel.status_code"], "ERROR");
  const names = (span: JaegerSpan) => span.logs.map((log) => log.fields[0]!.value);
  assert.deepEqual([names(spans.work!), names(spans.part!)], [["begun"], ["exception"]]);

  const jobs = await viewer.get(`/api/metrics?name=jobs&service=${service}`);
  assert.deepEqual([jobs.type, jobs.unit, jobs.data[0].points.at(-1).value], ["sum", "{job}", 3]);
  const durations = await viewer.get(`/api/metrics?name=job.duration&service=${service}`);
  const point = durations.data[0].points.at(-1);
  assert.deepEqual([point.count, point.sum], [1, 0.25]);
  const { logs: [record, ...more] } = await viewer.get(`/api/logs?traceId=${trace.traceID}`);
  assert.deepEqual(more, []);
  assert.deepEqual(
    [record.body, record.severityNumber, record.service, record.spanId, record.attributes.attempt],
    ["no luck with part", 17, service, spans.part!.spanID, 2],
  );
  const stats = await viewer.get("/api/stats");
  assert.deepEqual(stats.requests.refused, {});
  assert.deepEqual([stats.traces.refused, stats.logs.refused], [{}, {}]);
}

testWithStack("what Python's SDK sends is there, whole", async () => {
  await assertWhole("python-program", await pythonSdkProgram());
});

testWithStack("what Java's SDK sends by Java's own HTTP client is there, whole", async () => {
  await assertWhole("java-program", await javaSdkProgram());
});
