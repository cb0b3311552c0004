import assert from "node:assert/strict";
import { AwsClient } from "aws4fetch";
import { startMinio } from "./minio.ts";
import { testWithStack } from "./test_with_stack.ts";

testWithStack(
  "minio keeps objects for who signs, also over a restart, and for nobody else",
  async () => {
    const runFolder = await Deno.makeTempDir();
    try {
      let secretAccessKey: string;
      {
        await using minio = await startMinio({ runFolder });
        ({ secretAccessKey } = minio);
        const ask = asker(new AwsClient({ ...minio, service: "s3", retries: 0 }));
        const object = `${minio.url}/bucket/some/object`;
        assert.equal((await ask(`${minio.url}/bucket`, { method: "PUT" })).status, 200);
        assert.equal((await ask(object, { method: "PUT", body: "hello" })).status, 200);
        assert.deepEqual(await ask(object), { status: 200, text: "hello" });
        assert.equal((await ask(`${object}2`)).status, 404);

        const plain = await fetch(object);
        assert.equal(plain.status, 403);
        await plain.body?.cancel();
        const stranger = new AwsClient({ ...minio, secretAccessKey: "another-one", service: "s3" });
        assert.equal((await asker(stranger)(object)).status, 403);
      }
      await using minio = await startMinio({ runFolder, secretAccessKey });
      const ask = asker(new AwsClient({ ...minio, service: "s3", retries: 0 }));
      assert.equal((await ask(`${minio.url}/bucket/some/object`)).text, "hello");
    } finally {
      await Deno.remove(runFolder, { recursive: true });
    }
  },
);

function asker(client: AwsClient) {
  return async (url: string, init: RequestInit = {}) => {
    const response = await client.fetch(url, init);
    return { status: response.status, text: await response.text() };
  };
}
