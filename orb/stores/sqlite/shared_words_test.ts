import assert from "node:assert/strict";
import { eventually } from "../../../service/testing/eventually.ts";
import { testWith } from "../../../service/testing/permissions.ts";
import { waitWhileAsync } from "./shared_words.ts";

/** Notifies whoever waits for the word, without a change of it, once there is somebody. */
function notifyLate(words: Int32Array<SharedArrayBuffer>): Promise<number> {
  return eventually("somebody who waits", () => Atomics.notify(words, 0) || undefined);
}

Deno.test("who waits for a word is not woken by what came late of the change before", async () => {
  const words = new Int32Array(new SharedArrayBuffer(4));
  let done = false;
  const waiting = waitWhileAsync(words, 0, 0).then(() => done = true);
  for (let round = 0; round < 3; round++) await notifyLate(words);
  assert.equal(done, false);
  Atomics.store(words, 0, 1);
  Atomics.notify(words, 0);
  // Deno does not stay for who waits for a word only.
  await eventually("the change", () => done || undefined);
  await waiting;
  await waitWhileAsync(words, 0, 0);
});

testWith(
  ["read"],
  "a thread that waits for a word is not woken by what came late, either",
  async () => {
    const words = new Int32Array(new SharedArrayBuffer(4));
    const module = new URL("./shared_words.ts", import.meta.url).href;
    const code = `import { waitWhile } from "${module}";
    onmessage = ({ data }) => { waitWhile(data, 0, 0); postMessage(Atomics.load(data, 0)); };`;
    const worker = new Worker(`data:text/javascript,${encodeURIComponent(code)}`, {
      type: "module",
    });
    try {
      const { promise, resolve, reject } = Promise.withResolvers<number>();
      worker.onmessage = ({ data }) => resolve(data);
      worker.onerror = (event) => (event.preventDefault(), reject(new Error(event.message)));
      worker.postMessage(words);
      for (let round = 0; round < 3; round++) await Promise.race([notifyLate(words), promise]);
      Atomics.store(words, 0, 7);
      Atomics.notify(words, 0);
      assert.equal(await promise, 7, "it went on without a change");
    } finally {
      worker.terminate();
    }
  },
);
