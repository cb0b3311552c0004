/** What an S3 does to a server on bad days: it answers 503, is slow, or is gone in the middle of an image. */
import assert from "node:assert/strict";
import { hash } from "node:crypto";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { testWith } from "../../service/testing/permissions.ts";
import { openImageBucket } from "./image_bucket.ts";

const image = new Uint8Array(200_000).fill(7);
const sha256 = hash("sha256", image, "hex");

/** What becomes of the uploads, one after the other; after the last all are taken. */
type Fault = "503" | "slow" | "cut";

async function withBucket(
  faults: Fault[],
  run: (tools: {
    put: () => Promise<unknown>;
    uploads: () => number;
  }) => Promise<void>,
): Promise<void> {
  let uploads = 0;
  const answer = (request: IncomingMessage, response: ServerResponse) => {
    if (request.method !== "PUT" || !request.url!.includes(sha256)) {
      request.resume();
      return response.writeHead(request.method === "HEAD" ? 404 : 200).end();
    }
    uploads++;
    switch (faults.shift()) {
      case "503":
        request.resume();
        return response.writeHead(503).end("<Error><Code>SlowDown</Code></Error>");
      case "cut":
        return request.once("data", () => request.socket.destroy());
      case "slow":
        // It takes the image and says nothing more.
        return request.resume();
      default:
        return request.resume().once("end", () => response.writeHead(200).end());
    }
  };
  const server = createServer(answer);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  try {
    const images = await openImageBucket({
      ...{ endpoint: `http://127.0.0.1:${port}`, bucket: "orb", region: "us-east-1" },
      ...{ accessKeyId: "orb", secretAccessKey: "secret", timeoutMs: 2_000, maxAttempts: 3 },
    });
    await run({ put: () => images.put(sha256, image), uploads: () => uploads });
  } finally {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
}

for (const fault of ["503", "slow", "cut"] as const) {
  testWith(
    ["net"],
    `s3 images: an upload that meets '${fault}' comes again, and is kept`,
    async () => {
      await withBucket([fault], async ({ put, uploads }) => {
        await put();
        assert.equal(uploads(), 2);
      });
    },
  );

  testWith(["net"], `s3 images: a store that goes on with '${fault}' is unavailable`, async () => {
    await withBucket(Array(6).fill(fault), async ({ put, uploads }) => {
      await assert.rejects(put(), { name: "ImageStoreError", kind: "unavailable" });
      // A connection that is lost `fetch` makes anew by itself, once.
      assert.ok(uploads() >= 3 && uploads() <= 4, `${uploads()} uploads`);
    });
  });
}
