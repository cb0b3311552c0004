/**
 * For tests: devices that sign up by v2, again and again until each signup is acknowledged, and what
 * must hold of their signups afterwards.
 *
 * @module
 */
import assert from "node:assert/strict";
import { ulid } from "ulid";
import { eventually } from "../../service/testing/eventually.ts";
import { examinedSize, smallPng } from "../test_small_png.ts";
import type { SignupResource } from "./signup_resource.ts";

/** Images that the devices take turns with: some signups are duplicates. */
const repeatEvery = 5;

/** Devices that sign up. */
export class SignupLoad {
  /** Signups that were answered 202, with the number of their image. */
  readonly acknowledged = new Map<string, number>();
  readonly #urls: () => readonly string[];
  #next = 0;

  /** @param urls where servers are at the moment */
  constructor(urls: () => readonly string[]) {
    this.#urls = urls;
  }

  /** Signs up until the signal aborts. What was sent and not acknowledged is sent again, to any server. */
  async run(devices: number, signal: AbortSignal): Promise<void> {
    await Promise.all(Array.from({ length: devices }, () => this.#device(signal)));
  }

  async #device(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const number = this.#next++;
      const image = number % repeatEvery === 0 ? 0 : number;
      const id = ulid();
      while (!await this.#signUp(id, image)) {
        // Not acknowledged: whoever comes next does not count on it.
        if (signal.aborted) return;
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
      this.acknowledged.set(id, image);
    }
  }

  async #signUp(id: string, image: number): Promise<boolean> {
    const urls = this.#urls();
    const url = urls[this.#next % urls.length];
    if (url === undefined) return false;
    let response: Response;
    try {
      response = await fetch(`${url}/v2/signups/${id}`, {
        method: "PUT",
        headers: { "content-type": "application/octet-stream" },
        body: imageOf(image),
        signal: AbortSignal.timeout(10_000),
      });
      await response.body?.cancel();
    } catch {
      return false; // It was killed, or is not there yet.
    }
    // Nothing else may come of a good request; 503 says that it is to come again.
    assert.ok(response.status === 202 || response.status === 503, `status ${response.status}`);
    return response.status === 202;
  }

  /**
   * Waits until every signup is decided, and proves that each was, that every image was accepted
   * once, and that nothing waits any more.
   *
   * @returns every signup that the server knows, those that were not acknowledged among them
   */
  async verify(url: string): Promise<SignupResource[]> {
    const all = await eventually("the end of the queue", async () => {
      const { byState } = await (await fetch(`${url}/v2/queue`)).json();
      return byState.queued + byState.processing === 0 ? await listAll(url) : undefined;
    });
    const byId = new Map(all.map((one) => [one.id, one]));
    for (const [id, image] of this.acknowledged) {
      const signup = byId.get(id);
      assert.ok(signup, `${id} was acknowledged and is not there`);
      assert.ok(["accepted", "duplicate"].includes(signup.state), `${id} is ${signup.state}`);
      assert.equal(signup.image.bytes, imageOf(image).length);
    }
    const accepted = all.filter(({ state }) => state === "accepted");
    const images = new Set(all.map(({ image }) => image.sha256));
    assert.equal(new Set(accepted.map(({ image }) => image.sha256)).size, accepted.length);
    assert.equal(accepted.length, images.size, "each image is accepted by one signup");
    return all;
  }
}

/** Every signup, page by page. */
export async function listAll(url: string): Promise<SignupResource[]> {
  const all: SignupResource[] = [];
  for (let before = "";;) {
    const response = await fetch(`${url}/v2/signups?limit=500${before}`);
    assert.equal(response.status, 200);
    const { signups, next } = await response.json();
    all.push(...signups);
    if (next === undefined) return all;
    before = `&before=${next}`;
  }
}

/** Some a worker has to examine, others are decided with their arrival. */
function imageOf(number: number): Uint8Array<ArrayBuffer> {
  const text = `image ${number} `.padEnd(3_000, "x");
  return number % 3 === 0
    ? new TextEncoder().encode(text)
    : smallPng({ comment: text, ...examinedSize });
}
