import assert from "node:assert/strict";
import { startContainerd } from "./containerd.ts";
import { testWithStack } from "./test_with_stack.ts";

const hello = {
  name: "orrery.invalid/hello:1",
  files: { "etc/hello": new TextEncoder().encode("hello\n") },
};

testWithStack("containerd keeps an image, forgets it, and leaves nothing behind", async () => {
  await using containerd = await startContainerd();
  assert.deepEqual(await containerd.imageNames(), []);

  await containerd.importImage(hello);
  assert.deepEqual(await containerd.imageNames(), [hello.name]);

  await containerd.removeImage(hello.name);
  assert.deepEqual(await containerd.imageNames(), []);
  await assert.rejects(
    containerd.removeImage(hello.name),
    /^StackError: Cannot remove image 'orrery\.invalid\/hello:1' from containerd: it is not there$/,
  );

  await containerd.stop();
  assert.notEqual((await containerd.exited).signal, "SIGKILL");
  assert.throws(() => Deno.kill(containerd.pid, "SIGCONT"), Deno.errors.NotFound);
  await assert.rejects(Deno.stat(containerd.socketPath), Deno.errors.NotFound);
}, { root: true });

testWithStack("containerd's images cannot be asked for once it is gone", async () => {
  await using containerd = await startContainerd();
  Deno.kill(containerd.pid, "SIGKILL");
  await containerd.exited;

  await assert.rejects(containerd.imageNames(), {
    name: "StackError",
    message: /^Cannot do 'ctr images list': .*connection refused/,
  });
}, { root: true });
