import { create, toBinary } from "@bufbuild/protobuf";
import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import { Code, ConnectError, type ConnectRouter } from "@connectrpc/connect";
import { trace } from "@opentelemetry/api";
import assert from "node:assert/strict";
import type { Log } from "../../service/log.ts";
import { serveGrpc } from "../grpc/grpc_server.ts";
import { expositionText } from "../metrics/exposition.ts";
import { ImageSchema, ImageService, RuntimeService } from "../proto/gen/cri_images_pb.ts";
import { RawImagesSchema } from "../proto/gen/raw_images_pb.ts";
import { ImageSchema as RktImageSchema, PublicAPI } from "../proto/gen/rkt_api_pb.ts";
import { testObservatory } from "./test_observatory.ts";

async function runtime(routes: (router: ConnectRouter) => void) {
  const address = { host: "127.0.0.1", port: 0 };
  const server = await serveGrpc({ address, tracer: trace.getTracer("test"), routes });
  return {
    address: server.address,
    [Symbol.asyncDispose]: () => server.stop(AbortSignal.abort()),
  };
}

const images = [{ id: "sha256:aa", repoTags: ["one:1"], size: 5n }];
const filesystem = (mountpoint: string, bytes: bigint) => ({
  fsId: { mountpoint },
  usedBytes: { value: bytes },
});
const never = () => new Promise<never>(() => {});

/** What a log was warned of. */
function warningKeeper(): { log: Log; warnings: string[] } {
  const warnings: string[] = [];
  const log: Log = {
    ...{ debug() {}, info() {}, error() {} },
    warn: (message, fields) => void warnings.push(`${message} ${JSON.stringify(fields)}`),
  };
  return { log, warnings };
}

function metricsOf(test: ReturnType<typeof testObservatory>): string[] {
  return expositionText(test.observatory.metrics.families(), "prometheus").split("\n");
}

for (
  const [how, imageFsInfo] of [
    ["fails", () => {
      throw new ConnectError("disk on fire", Code.Internal);
    }],
    ["hangs", never],
  ] as const
) {
  Deno.test(`an ImageFsInfo that ${how} costs only itself, and says so`, async () => {
    let broken = false;
    await using server = await runtime((router) => {
      router.service(ImageService, {
        listImages: () => ({ images }),
        imageFsInfo: () => broken ? imageFsInfo() : { imageFilesystems: [filesystem("/a", 7n)] },
      });
    });
    const { log, warnings } = warningKeeper();
    // What hangs is waited for; the rest has time to answer on a machine that is busy.
    const timeoutMs = how === "hangs" ? 2_000 : 30_000;
    await using test = testObservatory([`cri=${server.address}`], { timeoutMs, log });
    const labels = `{runtime="cri",endpoint="${server.address}"}`;
    await test.observatory.trigger("http");
    assert.ok(metricsOf(test).includes(`observer_image_filesystem_up${labels} 1`));
    broken = true;
    for (let look = 0; look < 2; look++) {
      const [observation] = await test.observatory.trigger("http");
      assert.equal(observation!.outcome, "success", observation!.reason);
      assert.equal(observation!.imageCount, 1);
    }
    assert.equal(test.state.up, true);
    // As a failed look's: the values of the last good one, and a state that says that they are old.
    assert.equal(test.state.inventory!.filesystems[0]!.usedBytes, 7);
    const lines = metricsOf(test);
    assert.ok(lines.includes(`observer_up${labels} 1`));
    assert.ok(lines.includes(`observer_images${labels} 1`));
    assert.ok(lines.includes(`observer_image_filesystem_up${labels} 0`));
    assert.match(test.observatory.view().stores[0]!.seen!.problems.join(), /ImageFsInfo/);
    assert.equal(warnings.length, 1, "said once");
    assert.match(warnings[0]!, /ImageFsInfo/);
    broken = false;
    await test.observatory.trigger("http");
    assert.ok(metricsOf(test).includes(`observer_image_filesystem_up${labels} 1`));
  });
}

Deno.test("a runtime that does not say who it is costs the list nothing, however it does not", async () => {
  await using server = await runtime((router) => {
    router.service(ImageService, { listImages: () => ({ images }), imageFsInfo: () => ({}) });
    router.service(RuntimeService, { version: never });
    router.service(PublicAPI, { listImages: () => ({ images: [{ id: "a" }] }), getInfo: never });
  });
  for (const kind of ["cri", "rkt"]) {
    await using test = testObservatory([`${kind}=${server.address}`], { timeoutMs: 1_000 });
    const [observation] = await test.observatory.trigger("http");
    assert.equal(observation!.outcome, "success", observation!.reason);
    assert.equal(observation!.imageCount, 1);
  }
});

/** An image with one more name that is not UTF-8, as a field of this number. */
function withBadText(bytes: Uint8Array, field: number): Uint8Array {
  const bad = new BinaryWriter().tag(field, WireType.LengthDelimited)
    .bytes(new Uint8Array([0x62, 0xff, 0xfe])).finish();
  return new Uint8Array([...bytes, ...bad]);
}

Deno.test("a tag that is not UTF-8 loses only itself, an id that is not only its image", async () => {
  const good = toBinary(ImageSchema, create(ImageSchema, images[0]!));
  const other = toBinary(
    ImageSchema,
    create(ImageSchema, { id: "sha256:bb", repoTags: ["two:1"], size: 3n }),
  );
  const nameless = toBinary(ImageSchema, create(ImageSchema, { repoTags: ["three:1"] }));
  const cut = new Uint8Array([0x0a, 0x7f]);
  await using server = await runtime((router) => {
    router.rpc(
      { ...ImageService.method.listImages, output: RawImagesSchema },
      () => ({ images: [withBadText(good, 2), withBadText(nameless, 1), other, cut] }),
    );
    router.rpc(ImageService.method.imageFsInfo, () => ({}));
    const rkt = create(RktImageSchema, { id: "sha512-aa", version: "1", size: 9n });
    router.rpc(
      { ...PublicAPI.method.listImages, output: RawImagesSchema },
      // The field `name` of rkt's image.
      () => ({ images: [withBadText(toBinary(RktImageSchema, rkt), 3)] }),
    );
  });
  const { log, warnings } = warningKeeper();
  await using test = testObservatory([`cri=${server.address}`, `rkt=${server.address}`], { log });
  for (let look = 0; look < 2; look++) await test.observatory.trigger("http");
  const [cri, rkt] = test.observatory.states();
  assert.deepEqual(
    cri!.inventory!.images.map(({ id, tags, sizeBytes }) => ({ id, tags, sizeBytes })),
    [
      { id: "sha256:aa", tags: ["one:1"], sizeBytes: 5 },
      { id: "sha256:bb", tags: ["two:1"], sizeBytes: 3 },
    ],
  );
  assert.deepEqual(
    rkt!.inventory!.images.map(({ id, sizeBytes }) => ({ id, sizeBytes })),
    [{ id: "sha512-aa", sizeBytes: 9 }],
  );
  const lines = metricsOf(test);
  const labels = (kind: string) => `{runtime="${kind}",endpoint="${server.address}"}`;
  assert.ok(lines.includes(`observer_up${labels("cri")} 1`));
  assert.ok(lines.includes(`observer_images_unreadable${labels("cri")} 3`));
  assert.ok(lines.includes(`observer_images_unreadable${labels("rkt")} 1`));
  assert.equal(warnings.length, 2, warnings.join("\n"));
  assert.match(warnings.join(), /sha256:aa.*repo_tags.*UTF-8/);
});

Deno.test("an image or a mount point listed twice is one series", async () => {
  const twice = [
    { id: "sha256:aa", repoTags: ["one:1"], size: 5n },
    { id: "sha256:aa", repoTags: ["one:2"], size: 5n, pinned: true },
  ];
  await using server = await runtime((router) => {
    router.service(ImageService, {
      listImages: () => ({ images: twice }),
      imageFsInfo: () => ({ imageFilesystems: [filesystem("/a", 7n), filesystem("/a", 8n)] }),
    });
  });
  const { log, warnings } = warningKeeper();
  await using test = testObservatory([`cri=${server.address}`], { perImageLimit: 10, log });
  const [observation] = await test.observatory.trigger("http");
  assert.equal(observation!.imageCount, 1);
  const { images: [image] } = test.state.inventory!;
  assert.deepEqual(image!.tags, ["one:1", "one:2"]);
  assert.equal(image!.pinned, true);
  const series = metricsOf(test).filter((line) => line !== "" && !line.startsWith("#"))
    .map((line) => line.replace(/ \S+$/, ""));
  assert.deepEqual(series, [...new Set(series)]);
  assert.match(warnings.join(), /image.*twice.*mount point.*twice/);
});
