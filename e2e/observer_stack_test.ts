import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import type { ObserveAnswer, StoresAnswer } from "../observer/api.ts";
import { parseEndpoint } from "../observer/grpc/endpoint.ts";
import { startObserver } from "../observer/observer.ts";
import { testContext } from "../service/testing/context.ts";
import { eventually } from "../service/testing/eventually.ts";
import { startProgram } from "../service/testing/program.ts";
import { startContainerd } from "../stack/containerd.ts";
import { startPrometheus } from "../stack/prometheus.ts";
import { promtool } from "../stack/promtool.ts";
import { startRktApiService } from "../stack/rkt_api_service.ts";
import { startTelemetryStack } from "../stack/telemetry_stack.ts";
import { testWithStack } from "../stack/test_with_stack.ts";
import type { JaegerTrace } from "./demo_program.ts";

const entry = new URL("../observer/observer.ts", import.meta.url);

/** The observer in this process, which may open any socket. */
async function observer(...endpoints: string[]) {
  const service = await startObserver(
    {
      endpoint: endpoints.map(parseEndpoint),
      metricsAddress: { host: "127.0.0.1", port: 0 },
      perImage: 10,
    },
    testContext(),
  );
  return {
    ...service,
    async observe() {
      const answer = await fetch(`${service.url}/observe`, { method: "POST" });
      const { observations }: ObserveAnswer = await answer.json();
      return observations[0]!;
    },
    async store() {
      const { stores }: StoresAnswer = await (await fetch(`${service.url}/api/stores`)).json();
      return stores[0]!;
    },
    [Symbol.asyncDispose]: () => service.stop(AbortSignal.abort()),
  };
}

function image(name: string) {
  return { name, files: { "etc/name": new TextEncoder().encode(name) } };
}

/** The value of a sample, by its whole text before the space. */
async function scraped(url: string, sample: string): Promise<number | undefined> {
  const text = await (await fetch(`${url}/metrics`)).text();
  const line = text.split("\n").find((line) => line.startsWith(`${sample} `));
  return line === undefined ? undefined : Number(line.slice(sample.length));
}

testWithStack(
  "observer's numbers follow what a real containerd imports and removes, and its end and return",
  async () => {
    const runFolder = await Deno.makeTempDir({ prefix: "observer-containerd-" });
    try {
      let containerd = await startContainerd({ runFolder });
      await using _containerd = { [Symbol.asyncDispose]: () => containerd.stop() };
      await using test = await observer(`cri=${containerd.endpoint}`);
      const labels = `{runtime="cri",endpoint="${containerd.endpoint}"}`;
      /** containerd's CRI hears of an image a moment after it is there. */
      const until = (images: number) =>
        eventually(`${images} images`, async () => {
          const { imageCount, reason } = await test.observe();
          assert.notEqual(imageCount, undefined, reason);
          return imageCount === images || undefined;
        });

      await until(0);
      await containerd.importImage(image("orrery.invalid/one:1"));
      await containerd.importImage(image("orrery.invalid/two:1"));
      await until(2);
      assert.equal(await scraped(test.url, `observer_images${labels}`), 2);
      assert.equal(await scraped(test.url, `observer_images_pinned${labels}`), 0);
      assert.ok((await scraped(test.url, `observer_images_size_bytes${labels}`))! > 0);
      const store = await test.store();
      assert.equal(store.runtime!.name, "containerd");
      assert.equal(store.simulated, false);
      assert.match(store.seen!.filesystems[0]!.mountpoint, /native/);
      // containerd measures its file system every ten seconds.
      await eventually("the file system's use", async () => {
        await test.observe();
        return (await test.store()).seen!.filesystems[0]!.usedBytes > 0 || undefined;
      });
      const listed = await (await fetch(
        `${test.url}/api/images?store=${encodeURIComponent(store.id)}&q=two`,
      )).json();
      assert.deepEqual(listed.images[0].tags, ["orrery.invalid/two:1"]);
      assert.match(listed.images[0].id, /^sha256:[0-9a-f]{64}$/);

      await containerd.removeImage("orrery.invalid/one:1");
      await until(1);
      assert.equal(await scraped(test.url, `observer_images${labels}`), 1);

      await containerd.stop();
      await eventually(
        "the loss",
        async () => await scraped(test.url, `observer_up${labels}`) === 0 || undefined,
      );
      assert.equal((await test.observe()).outcome, "unreachable");
      assert.equal(
        await scraped(test.url, `observer_images${labels}`),
        1,
        "the last that was seen",
      );

      containerd = await startContainerd({ runFolder });
      await until(1);
      assert.equal(await scraped(test.url, `observer_up${labels}`), 1);
    } finally {
      await Deno.remove(runFolder, { recursive: true });
    }
  },
  { root: true },
);

testWithStack("observer takes 20,000 images from a gRPC server in Go", async () => {
  await using rkt = await startRktApiService();
  await using test = await observer(`rkt=${rkt.address}`);
  assert.equal((await test.observe()).imageCount, 0);
  const images = Array.from({ length: 20_000 }, (_, number) => ({
    id: `sha512-${number.toString(16).padStart(64, "0")}`,
    name: `orrery.invalid/team-${number % 100}/service-${number}`,
    version: "1.0.0",
    size: 1_000 + number,
    importTimestamp: 1_700_000_000,
  }));
  await rkt.setImages(images);
  const observation = await test.observe();
  assert.equal(observation.imageCount, 20_000, observation.reason);
  assert.deepEqual(observation.changed, { added: 20_000, removed: 0 });
  const { seen } = await test.store();
  assert.equal(seen!.sizeBytes, images.reduce((sum, { size }) => sum + size, 0));
});

testWithStack(
  "a SIGQUIT is one trace in Jaeger with the five events in order, and its numbers are in Prometheus by OTLP",
  async () => {
    await using stack = await startTelemetryStack();
    await using rkt = await startRktApiService();
    await rkt.setImages([1, 2, 3].map((number) => ({
      id: `sha512-${number}`,
      name: "orrery.invalid/hello",
      version: String(number),
    })));
    await using program = await startProgram(
      entry,
      ["--endpoint", `rkt=${rkt.address}`, "--metrics-address", "127.0.0.1:0"],
      {
        OTEL_SDK_DISABLED: "false",
        OTEL_EXPORTER_OTLP_ENDPOINT: stack.collector.otlpHttpUrl,
        OTEL_METRIC_EXPORT_INTERVAL: "500",
      },
    );
    await program.line(/^Running! Trigger with: kill -s SIGQUIT \d+$/);
    program.kill("SIGQUIT");

    const found = await eventually("the trace", async () => {
      const query = "service=observer&operation=rkt-count-images&limit=10";
      const answer = await fetch(`${stack.jaeger.queryUrl}/api/traces?${query}`);
      const { data }: { data: JaegerTrace[] } = await answer.json();
      return data?.find(({ spans }) => spans.length === 2);
    });
    const root = found.spans.find(({ operationName }) => operationName === "rkt-count-images")!;
    const call = found.spans.find((span) => span !== root)!;
    assert.equal(call.operationName, "v1alpha.PublicAPI/ListImages");
    assert.equal(call.references[0]!.spanID, root.spanID);
    const events = (root as typeof root & { logs: { timestamp: number; fields: Field[] }[] }).logs
      .toSorted((a, b) => a.timestamp - b.timestamp)
      .map(({ fields }) => fields.find(({ key }) => key === "event")!.value);
    assert.deepEqual(events, [
      "signal counter",
      "TCP socket",
      "HTTP/2.0 connection",
      "gRPC connection",
      "gRPC call",
    ]);

    for (
      const [name, wanted] of [["exp_sigquit_total", 1], ["rkt_images_total", 3], [
        "observer_images",
        3,
      ]] as const
    ) {
      await eventually(`${name} = ${wanted} in Prometheus`, async () => {
        const answer = await fetch(`${stack.prometheus.url}/api/v1/query?query=${name}`);
        const { data } = await answer.json();
        return Number(data.result[0]?.value[1]) === wanted || undefined;
      });
    }
  },
);

interface Field {
  key: string;
  value: unknown;
}

testWithStack("a real Prometheus scrapes the observer, and promtool has one remark", async () => {
  await using rkt = await startRktApiService();
  await using test = await observer(`rkt=${rkt.address}`);
  await test.observe();
  await using prometheus = await startPrometheus({
    // What it scrapes as programs is the observer itself.
    programsAddress: new URL(test.url).host,
    collectorAddress: new URL(test.url).host,
    scrapeIntervalMs: 500,
  });
  await eventually("the scrape", async () => {
    const answer = await fetch(`${prometheus.url}/api/v1/query?query=observer_up`);
    const { data } = await answer.json();
    return Number(data.result[0]?.value[1]) === 1 || undefined;
  });
  const targets = await eventually("the scrape of every target", async () => {
    const { data } = await (await fetch(`${prometheus.url}/api/v1/targets`)).json();
    const known = (data.activeTargets as { health: string; lastError: string }[])
      .filter(({ health }) => health !== "unknown");
    return known.length === 2 ? known : undefined;
  });
  for (const { health, lastError } of targets) assert.deepEqual([health, lastError], ["up", ""]);

  const text = await (await fetch(`${test.url}/metrics`)).text();
  const remarks = await promtool(["check", "metrics"], text);
  assert.equal(remarks, 'rkt_images_total non-counter metrics should not have "_total" suffix');
});

testWithStack(
  "the observer's rules pass promtool, and rules and panels name its metrics only",
  async () => {
    const folder = new URL("../deploy/", import.meta.url);
    const file = (path: string) => fileURLToPath(new URL(path, folder));
    const rules = file("prometheus/rules/observer.yaml");
    assert.match(
      await promtool(["check", "rules", "--lint=all", rules]),
      /SUCCESS: \d+ rules found$/,
    );
    assert.match(
      await promtool(["test", "rules", file("prometheus/tests/observer.yaml")]),
      /SUCCESS$/,
    );

    await using rkt = await startRktApiService();
    await using test = await observer(`rkt=${rkt.address}`);
    const text = await (await fetch(`${test.url}/metrics`)).text();
    const names = new Set(Array.from(text.matchAll(/^# TYPE (\S+)/gm), ([, name]) => name!));
    const panels = await Deno.readTextFile(file("grafana/dashboards/observer.json"));
    const used = new Set(
      `${await Deno.readTextFile(rules)}${panels}`.match(/\bobserver_[a-z_]+\b/g),
    );
    assert.ok(used.size >= 8);
    for (const name of used) {
      assert.ok(names.has(name.replace(/_bucket$/, "")), `the observer has no ${name}`);
    }
  },
);
