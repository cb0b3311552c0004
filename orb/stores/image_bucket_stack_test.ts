import assert from "node:assert/strict";
import { AwsClient } from "aws4fetch";
import { startMinio } from "../../stack/minio.ts";
import { sharedComponent } from "../../stack/test_with_stack.ts";
import { openImageBucket } from "./image_bucket.ts";
import { imageSuite } from "./image_suite.ts";

const minio = sharedComponent(startMinio);
let buckets = 0;

async function bucketOptions() {
  const { url: endpoint, region, accessKeyId, secretAccessKey } = await minio.get();
  return { endpoint, region, accessKeyId, secretAccessKey, bucket: `orb-suite-${++buckets}` };
}

imageSuite({
  name: "s3",
  test: minio.test,
  async open({ uploadTimeoutMs }) {
    const options = { ...await bucketOptions(), uploadTimeoutMs };
    const again = () => openImageBucket(options);
    const aws = new AwsClient({ ...options, service: "s3" });
    return {
      images: await again(),
      again,
      async send(url, headers, bytes) {
        const body = bytes as Uint8Array<ArrayBuffer>;
        const response = await fetch(url, { method: "PUT", headers, body });
        await response.body?.cancel();
        return response.status;
      },
      async corrupt(sha256, bytes) {
        const url = `${options.endpoint}/${options.bucket}/images/${sha256}`;
        const response = await aws.fetch(url, {
          method: "PUT",
          body: bytes as Uint8Array<ArrayBuffer>,
        });
        await response.body?.cancel();
        assert.equal(response.status, 200);
      },
    };
  },
});

minio.test(
  "s3 images: S3 itself refuses bytes of another hash, and addresses that were changed",
  async () => {
    const images = await openImageBucket(await bucketOptions());
    await assert.rejects(images.put("0".repeat(64), new Uint8Array([1])), {
      name: "ImageStoreError",
      kind: "corrupt",
    });
    const ticket = await images.openUpload({ maxBytes: 10, mediaType: "image/png" });
    const other = ticket.url.replace(ticket.id, "f".repeat(32));
    const response = await fetch(other, { method: "PUT", headers: ticket.headers, body: "x" });
    await response.body?.cancel();
    assert.equal(response.status, 403);
  },
);

minio.test("s3 images: a wrong key or a store that is away is unavailable", async () => {
  const options = await bucketOptions();
  const maxAttempts = 1;
  await assert.rejects(openImageBucket({ ...options, secretAccessKey: "wrong-key", maxAttempts }), {
    kind: "unavailable",
  });
  using closed = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const endpoint = `http://127.0.0.1:${closed.addr.port}`;
  await assert.rejects(openImageBucket({ ...options, endpoint, maxAttempts, timeoutMs: 300 }), {
    kind: "unavailable",
  });
});
