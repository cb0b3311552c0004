import assert from "node:assert/strict";
import { gunzipSync } from "node:zlib";
import { Code, ConnectError, type ConnectRouter } from "@connectrpc/connect";
import { trace } from "@opentelemetry/api";
import { testContext } from "../service/testing/context.ts";
import { assertNothingAddsUp } from "../service/testing/rounds.ts";
import { VirtualWorld } from "../service/world/virtual_world.ts";
import type { ImagesAnswer } from "./api.ts";
import { serveGrpc } from "./grpc/grpc_server.ts";
import { httpApi } from "./http_api.ts";
import { listTable } from "./list.ts";
import { ImageService } from "./proto/gen/cri_images_pb.ts";
import { testObservatory } from "./stores/test_observatory.ts";

const digest = `docker.io/library/busybox@sha256:${"ab".repeat(32)}`;
const images = [
  { id: "sha256:aa", repoTags: ["one:1", "other.example/second:2"], size: 5n },
  { id: "sha256:bb", repoDigests: [digest], size: 7n },
  { id: "sha256:cc", size: 9n },
];

/** An observer's HTTP over a runtime in this process. */
async function observed(routes: (router: ConnectRouter) => void) {
  const address = { host: "127.0.0.1", port: 0 };
  const server = await serveGrpc({ address, tracer: trace.getTracer("test"), routes });
  const test = testObservatory([`cri=${server.address}`], { perImageLimit: 10 });
  await test.observatory.trigger("http");
  const app = httpApi({ observatory: test.observatory, host: "127.0.0.1" }, testContext());
  const store = `cri=${server.address}`;
  return {
    test,
    store,
    ask: (path: string, headers: Record<string, string> = {}) =>
      Promise.resolve(app.request(`http://localhost${path}`, { headers })),
    async [Symbol.asyncDispose]() {
      await test[Symbol.asyncDispose]();
      await server.stop(AbortSignal.abort());
    },
  };
}

const withImages = (router: ConnectRouter) =>
  void router.service(ImageService, { listImages: () => ({ images }) });

Deno.test("an image without a tag is called by its digest, else by its id", async () => {
  await using observer = await observed(withImages);
  const metrics = await (await observer.ask("/metrics")).text();
  for (
    const [name, id] of [["one:1", "sha256:aa"], [digest, "sha256:bb"], ["sha256:cc", "sha256:cc"]]
  ) {
    assert.ok(metrics.includes(`image="${name}",id="${id}"`), `${name} is missing in ${metrics}`);
  }
  const { state } = observer.test;
  const { images } = state.inventory!;
  const [listed] = [{
    id: observer.store,
    up: true,
    simulated: false,
    images,
  }] as unknown as Parameters<
    typeof listTable
  >[0];
  assert.ok(listTable([listed!], 0).includes(digest));
});

Deno.test("images are found by every tag, digest and id", async () => {
  await using observer = await observed(withImages);
  const found = async (q: string) => {
    const query = new URLSearchParams({ store: observer.store, q });
    const answer = await (await observer.ask(`/api/images?${query}`)).json() as ImagesAnswer;
    return answer.images.map(({ id }) => id);
  };
  assert.deepEqual(await found("second:2"), ["sha256:aa"]);
  assert.deepEqual(await found("BUSYBOX@sha256:abab"), ["sha256:bb"]);
  assert.deepEqual(await found("sha256:cc"), ["sha256:cc"]);
});

Deno.test("a scrape is gzip'd for who takes gzip", async () => {
  await using observer = await observed(withImages);
  const plain = await (await observer.ask("/metrics")).text();
  const answer = await observer.ask("/metrics", { "accept-encoding": "gzip" });
  assert.equal(answer.headers.get("content-encoding"), "gzip");
  assert.match(answer.headers.get("vary")!, /accept, accept-encoding/);
  assert.equal(gunzipSync(await answer.bytes()).toString(), plain);
});

Deno.test("a runtime of v1alpha2 alone is said to be that", async () => {
  const unknown = () => {
    throw new ConnectError("unknown service runtime.v1.ImageService", Code.Unimplemented);
  };
  await using observer = await observed((router) => {
    router.service(ImageService, { listImages: unknown, streamImages: unknown });
  });
  const { state } = observer.test;
  assert.equal(state.up, false);
  assert.match(
    state.reason!,
    /no CRI v1, perhaps the older v1alpha2 alone\. Update it: containerd/,
  );
});

Deno.test("live streams that come and go leave nothing behind", async () => {
  const world = new VirtualWorld({ seed: 2 });
  await using test = testObservatory([]);
  const { observatory } = test;
  let subscriptions = 0;
  const counting = Object.create(observatory, {
    subscribe: {
      value: (notify: () => void) => {
        subscriptions++;
        const unsubscribe = observatory.subscribe(notify);
        return () => {
          subscriptions--;
          return unsubscribe();
        };
      },
    },
    metrics: { value: observatory.metrics },
    view: { value: () => observatory.view() },
  });
  const app = httpApi({ observatory: counting, host: "127.0.0.1" }, testContext({ world }));
  await assertNothingAddsUp(async () => {
    const answer = await app.request("http://localhost/api/live");
    const reader = answer.body!.getReader();
    assert.match(new TextDecoder().decode((await reader.read()).value), /event: stores/);
    await reader.cancel();
    const tabs = await app.request("http://localhost/api/streams");
    await tabs.body!.cancel();
    await world.advance(100);
  }, { counts: { timers: () => world.pendingTimers, subscriptions: () => subscriptions } });
  assert.equal(world.pendingTimers, 0);
});
