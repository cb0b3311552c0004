import { type Attributes, SpanKind, trace } from "@opentelemetry/api";
import type { ReadableSpan } from "@opentelemetry/sdk-trace";
import assert from "node:assert/strict";
import { contentTypes, expositionText } from "../metrics/exposition.ts";
import { startImageService } from "../image_service.ts";
import { slowRuntime, testObservatory } from "./test_observatory.ts";
import { testContext } from "../../service/testing/context.ts";

const eventNames = [
  "signal counter",
  "TCP socket",
  "HTTP/2.0 connection",
  "gRPC connection",
  "gRPC call",
];

/** The stand-in of the project, on free ports, unchanging. */
async function imageService(options: { images?: number; streaming?: boolean } = {}) {
  const tracer = trace.getTracer("test");
  const service = await startImageService(
    { rktPort: 0, criPort: 0, changeIntervalMs: 0, ...options },
    { ...testContext(), telemetry: { tracer } as never },
  );
  return {
    ...service,
    [Symbol.asyncDispose]: () => service.stop(AbortSignal.abort()),
  };
}

function names(span: ReadableSpan): string[] {
  return span.events.map(({ name }) => name);
}

function times(span: ReadableSpan): number[] {
  return span.events.map(({ time: [seconds, nanoseconds] }) => seconds * 1e3 + nanoseconds / 1e6);
}

for (const kind of ["rkt", "cri"] as const) {
  Deno.test(`each trigger is one trace ${kind}-count-images with the five events in order and a client span`, async () => {
    await using service = await imageService();
    await using test = testObservatory([`${kind}=${service[`${kind}Address`]}`]);
    await test.observatory.trigger("sigquit");
    await test.observatory.trigger("sigquit");

    const roots = test.spans.ended(`${kind}-count-images`);
    assert.equal(roots.length, 2);
    assert.notEqual(roots[0]!.spanContext().traceId, roots[1]!.spanContext().traceId);
    const method = kind === "rkt"
      ? "v1alpha.PublicAPI/ListImages"
      : "runtime.v1.ImageService/StreamImages";
    for (const [index, root] of roots.entries()) {
      assert.equal(root.parentSpanContext, undefined);
      assert.deepEqual(names(root), eventNames);
      assert.deepEqual(times(root), times(root).toSorted((a, b) => a - b));
      assert.equal(root.attributes["observer.images"], 18);
      const reused = kind === "cri" && index === 1 ? true : undefined;
      assert.equal(root.events[1]!.attributes?.["observer.connection.reused"], reused);

      const [call] = test.spans.ended(method).filter((span) =>
        span.spanContext().traceId === root.spanContext().traceId
      );
      assert.equal(call!.kind, SpanKind.CLIENT);
      assert.equal(call!.parentSpanContext!.spanId, root.spanContext().spanId);
      const { host, port } = new URL(`tcp://${service[`${kind}Address`]}`);
      const wanted: Attributes = {
        "rpc.system.name": "grpc",
        "rpc.method": method,
        "rpc.status_code": "OK",
        "server.address": host.split(":")[0]!,
        "server.port": Number(port),
        "network.transport": "tcp",
      };
      assert.deepEqual(call!.attributes, wanted);
    }
  });
}

Deno.test("a failed observation's trace has the events up to where it broke, and the reason", async () => {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr;
  listener.close();
  await using test = testObservatory([`rkt=127.0.0.1:${port}`]);
  await test.observatory.trigger("sigquit");
  const [root] = test.spans.ended("rkt-count-images");
  assert.deepEqual(names(root!), ["signal counter"]);
  assert.equal(root!.attributes["error.type"], "UNAVAILABLE");
  assert.match(root!.status.message!, /nothing listens there/);
});

for (const kind of ["rkt", "cri"] as const) {
  Deno.test(`triggers while a ${kind} store is asked share one observation after it, linked both ways`, async () => {
    await using runtime = await slowRuntime();
    await using test = testObservatory([`${kind}=${runtime.address}`]);
    const all = Array.from({ length: 50 }, () => test.observatory.trigger("sigquit"));
    await runtime.called(1);
    runtime.calls[0]!.resolve();
    await runtime.called(2);
    runtime.calls[1]!.resolve();
    await Promise.all(all);

    assert.equal(runtime.calls.length, 2);
    assert.equal(runtime.mostOpen, 1, "never two calls at once");
    assert.equal(test.observatory.metrics.signals, 50, "every one is counted");
    const { samples } = test.observatory.metrics.families()
      .find(({ name }) => name === "observer_observations_total")!;
    const counted = Object.fromEntries(
      samples.map((sample) => [sample.labels.trigger + " " + sample.labels.outcome, sample]),
    ) as Record<string, { value: number }>;
    assert.equal(counted["sigquit success"]!.value, 2);
    assert.equal(counted["sigquit coalesced"]!.value, 48);

    const roots = test.spans.ended(`${kind}-count-images`);
    assert.equal(roots.length, 50);
    const second = roots.at(-1)!;
    assert.equal(second.attributes["observer.coalesced_triggers"], 48);
    const coalesced = roots.filter((span) => span.attributes["observer.outcome"] === "coalesced");
    assert.deepEqual(
      second.links.map(({ context }) => context.spanId).toSorted(),
      coalesced.map((span) => span.spanContext().spanId).toSorted(),
    );
    for (const span of coalesced) {
      assert.deepEqual(span.links.map(({ context }) => context), [second.spanContext()]);
    }
  });
}

Deno.test("rkt gets a new connection for each event, CRI keeps one", async () => {
  const ports = { rkt: new Set(), cri: new Set() };
  await using service = await imageService();
  await using test = testObservatory([`rkt=${service.rktAddress}`, `cri=${service.criAddress}`]);
  for (let i = 0; i < 3; i++) await test.observatory.trigger("sigquit");
  for (const kind of ["rkt", "cri"] as const) {
    for (const root of test.spans.ended(`${kind}-count-images`)) {
      const port = root.events[1]!.attributes?.["network.local.port"];
      if (port !== undefined) ports[kind].add(port);
    }
  }
  assert.equal(ports.rkt.size, 3);
  assert.equal(ports.cri.size, 1);
});

for (const streaming of [true, false]) {
  Deno.test(`CRI images are taken by ${streaming ? "StreamImages" : "ListImages where there is no StreamImages"}, and the file system's use`, async () => {
    await using service = await imageService({ images: 1_234, streaming });
    await using test = testObservatory([`cri=${service.criAddress}`]);
    for (let i = 0; i < 2; i++) {
      const [observation] = await test.observatory.trigger("http");
      assert.equal(observation!.imageCount, 1_234);
    }
    const { images, filesystems, runtime } = test.state.inventory!;
    const [first] = service.images.images;
    assert.deepEqual(images[0], {
      id: `sha256:${first!.digest}`,
      tags: ["example.com/pause:3.10"],
      digests: [`example.com/pause@sha256:${first!.digest}`],
      sizeBytes: first!.sizeBytes,
      importedAtMs: undefined,
      pinned: true,
    });
    assert.deepEqual(filesystems, [{
      mountpoint: "/var/lib/simulated",
      usedBytes: service.images.usage.bytes,
      inodesUsed: service.images.usage.inodes,
    }]);
    assert.equal(runtime!.name, "orrery-image-service (simulated)");
    const calls = (name: string) => test.spans.ended(`runtime.v1.ImageService/${name}`).length;
    assert.equal(calls("StreamImages"), streaming ? 2 : 1, "asked once a connection");
    assert.equal(calls("ListImages"), streaming ? 0 : 2);
    for (const root of test.spans.ended("cri-count-images")) {
      assert.deepEqual(names(root), eventNames);
    }
  });
}

Deno.test("an inventory tells what came and went since the look before", async () => {
  await using service = await imageService();
  await using test = testObservatory([`rkt=${service.rktAddress}`]);
  await test.observatory.trigger("http");
  assert.equal(test.state.inventory!.changes, undefined);
  const added = [];
  const removed = [];
  for (let i = 0; i < 6; i++) {
    const change = service.images.change(Date.now());
    if (change.added) added.push(change.added);
    if (change.removed && !added.includes(change.removed)) removed.push(change.removed);
  }
  const stayed = added.filter((image) => service.images.images.includes(image));
  assert.ok(stayed.length > 0 && removed.length > 0, "the seed gives both");
  const [observation] = await test.observatory.trigger("http");
  const ids = (images: readonly { digest: string }[]) =>
    images.map(({ digest }) => `sha512-${digest}${digest}`).toSorted();
  const { changes } = test.state.inventory!;
  assert.deepEqual(changes!.added.map(({ id }) => id).toSorted(), ids(stayed));
  assert.deepEqual(changes!.removed.map(({ id }) => id).toSorted(), ids(removed));
  assert.deepEqual(observation!.changed, { added: stayed.length, removed: removed.length });
});

Deno.test("metrics show the original's two at 0 from the first scrape on, and the counts after it", async () => {
  await using service = await imageService();
  await using test = testObservatory(
    [`rkt=${service.rktAddress}`, `cri=${service.criAddress}`],
    { perImageLimit: 2 },
  );
  const text = () => expositionText(test.observatory.metrics.families(), "prometheus");
  const first = text();
  assert.match(
    first,
    /# HELP exp_sigquit_total Total number of signals received\.\n# TYPE exp_sigquit_total counter\nexp_sigquit_total 0\n/,
  );
  assert.match(
    first,
    /# HELP rkt_images_total Total number of images in rkt store\.\n# TYPE rkt_images_total gauge\nrkt_images_total 0\n/,
  );
  assert.doesNotMatch(first, /^observer_images\{/m, "no value that nobody has seen");

  await test.observatory.trigger("sigquit");
  const labels = `{runtime="cri",endpoint="${service.criAddress}"}`;
  const { usage } = service.images;
  for (
    const line of [
      "exp_sigquit_total 1",
      "rkt_images_total 18",
      `observer_up${labels} 1`,
      `observer_images${labels} 18`,
      `observer_images_size_bytes${labels} ${usage.bytes}`,
      `observer_images_pinned${labels} 1`,
      `observer_image_filesystem_used_bytes${
        labels.replace("}", ',mountpoint="/var/lib/simulated"}')
      } ${usage.bytes}`,
      `observer_image_series_omitted${labels} 16`,
    ]
  ) {
    assert.ok(text().split("\n").includes(line), line);
  }
  assert.equal(text().match(/^observer_image_size_bytes\{runtime="cri"/gm)!.length, 2);
});

Deno.test("OpenMetrics carries the trace of the last observation as exemplar", async () => {
  await using service = await imageService();
  await using test = testObservatory([`rkt=${service.rktAddress}`]);
  await test.observatory.trigger("sigquit");
  const text = expositionText(test.observatory.metrics.families(), "openMetrics");
  const { traceId } = test.spans.ended("rkt-count-images")[0]!.spanContext();
  assert.match(text, new RegExp(`^exp_sigquit_total 1 # \\{trace_id="${traceId}",span_id=`, "m"));
  assert.match(
    text,
    new RegExp(
      `^observer_observation_duration_seconds_bucket\\{.*\\} 1 # \\{trace_id="${traceId}"`,
      "m",
    ),
  );
  assert.ok(text.endsWith("\n# EOF\n"));
  assert.ok(contentTypes.openMetrics.startsWith("application/openmetrics-text; version=1.0.0"));
});

Deno.test("a store of 20,000 images comes in one answer", async () => {
  await using service = await imageService({ images: 20_000, streaming: false });
  await using test = testObservatory([`rkt=${service.rktAddress}`, `cri=${service.criAddress}`]);
  for (const { imageCount, reason } of await test.observatory.trigger("http")) {
    assert.equal(imageCount, 20_000, reason);
  }
});
