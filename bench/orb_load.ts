/**
 * A load generator for `POST /api/signup`, in a process of its own: keep-alive sockets, one request
 * at a time on each, every image unique. A request is a buffer of which a few characters change, so
 * that making it costs next to nothing.
 *
 * stdin: one JSON line a run, {@linkcode LoadRun}, such as `{"ports": [4242], "seconds": 2}`; stdout: one
 * JSON line an answer, {@linkcode LoadResult}.
 *
 * ```sh
 * deno run --allow-net=127.0.0.1 bench/orb_load.ts <image bytes> <connections>
 * ```
 *
 * @module
 */

import { crc32 } from "node:zlib";
import { examinedSize, smallPng } from "../orb/test_small_png.ts";

/** What to load, and how. */
export interface LoadRun {
  /** Servers, which the connections are shared out among. */
  ports: readonly number[];
  seconds: number;
  /** By `POST /api/signup` or `PUT /v2/signups/{ULID}`. @default "v1" */
  api?: "v1" | "v2";
  /**
   * Random bytes; a PNG, which v2 examines with its arrival; or one at least as long whose 525 kB
   * (`examined`) or 4.2 MB (`large`) of black pixels a worker has to. @default "bytes"
   */
  image?: "bytes" | "png" | "examined" | "large";
  /** Begins so many a second, however long they take. @default as many as are answered */
  perSecond?: number;
}

/** What one run came to. */
export interface LoadResult {
  requests: number;
  accepted: number;
  seconds: number;
  /** Of the times from when a request was to begin to its whole answer, in milliseconds. */
  p50Ms: number;
  p99Ms: number;
}

const counterLength = 16;
const manyPixels = { examined: examinedSize, large: { width: 2_048, height: 2_049 } };
const encoder = new TextEncoder();
/** Unique to this process, so that images of two generators differ. */
const base = crypto.getRandomValues(new Uint32Array(1))[0]! % 2 ** 16 * 2 ** 36;
let issued = 0;

/** A request whose image, and for v2 its id, ends or begins with a counter that {@linkcode renew} raises. */
class SignupRequestBytes {
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** Where counters are. */
  readonly #at: number[];
  /** The chunk with the counter, where the image is a PNG. */
  readonly #chunk: Uint8Array | undefined;

  constructor(
    port: number,
    imageBytes: number,
    { api, kind }: { api: "v1" | "v2"; kind: NonNullable<LoadRun["image"]> },
  ) {
    const [image, comment] = kind === "bytes"
      ? [randomBytes(imageBytes), ""]
      : kind === "png"
      ? pngOf(imageBytes)
      : blackPng(imageBytes, manyPixels[kind]);
    if (api === "v2") {
      const path = "PUT /v2/signups/01M7YWWNWK";
      const head = `${path}${
        "0".repeat(counterLength)
      } HTTP/1.1\r\nhost: 127.0.0.1:${port}\r\ncontent-type: application/octet-stream\r\ncontent-length: ${image.length}\r\n\r\n`;
      this.bytes = new Uint8Array(head.length + image.length);
      this.bytes.set(encoder.encode(head));
      this.bytes.set(image, head.length);
      // In a PNG in the comment, behind its name: 33 bytes of header, and 8 of length and type before them.
      const inImage = kind === "bytes" ? head.length : head.length + 33 + 8 + "Comment\0".length;
      this.#at = [path.length, inImage];
      if (kind !== "bytes") {
        this.#chunk = this.bytes.subarray(head.length + 33 + 4, inImage + comment.length + 4);
      }
      return;
    }
    // The counter is 16 base64 characters, which are 12 bytes of the image.
    const json = `{"id":"01M7YWWNWK4KEATZ9G1TVJ76Y4","image_base64":"${image.toBase64()}"}`;
    const head =
      `POST /api/signup HTTP/1.1\r\nhost: 127.0.0.1:${port}\r\ncontent-type: application/json\r\ncontent-length: ${json.length}\r\n\r\n`;
    this.bytes = encoder.encode(head + json);
    this.#at = [head.length + json.indexOf('base64":"') + 'base64":"'.length];
  }

  renew(): void {
    const digits = (base + issued++).toString(16).toUpperCase()
      .padStart(counterLength, "0");
    for (const at of this.#at) {
      for (let index = 0; index < counterLength; index++) {
        this.bytes[at + index] = digits.charCodeAt(index);
      }
    }
    if (this.#chunk === undefined) return;
    const { buffer, byteOffset, length } = this.#chunk;
    new DataView(buffer, byteOffset).setUint32(length - 4, crc32(this.#chunk.subarray(0, -4)));
  }
}

function randomBytes(length: number): Uint8Array {
  const rest = crypto.getRandomValues(new Uint8Array(Math.min(length, 65_536)));
  return new Uint8Array(length).map((_, index) => rest[index % rest.length]!);
}

/** About as long; the counter is its comment. */
function pngOf(length: number): [image: Uint8Array<ArrayBuffer>, comment: string] {
  const comment = "0".repeat(counterLength);
  const width = length < 4_096 ? 32 : 512;
  const height = Math.max(1, Math.floor((length - 120) / (width + 1)));
  return [smallPng({ comment, width, height, isRandom: true }), comment];
}

/** At least as long; the comment, which begins with the counter, is what is missing. */
function blackPng(
  length: number,
  size: { width: number; height: number },
): [image: Uint8Array<ArrayBuffer>, comment: string] {
  const missing = length - smallPng({ comment: "", ...size }).length;
  const comment = "0".repeat(Math.max(counterLength, missing));
  return [smallPng({ comment, ...size }), comment];
}

async function connection(
  { ports, api = "v1", image: kind = "bytes", perSecond }: LoadRun,
  { imageBytes, start, until, index, connections }: {
    imageBytes: number;
    start: number;
    until: number;
    index: number;
    connections: number;
  },
): Promise<{ accepted: number; timesMs: number[] }> {
  const port = ports[index % ports.length]!;
  const socket = await Deno.connect({ hostname: "127.0.0.1", port });
  socket.setNoDelay(true);
  const request = new SignupRequestBytes(port, imageBytes, { api, kind });
  const buffer = new Uint8Array(16_384);
  const decoder = new TextDecoder("latin1");
  const timesMs: number[] = [];
  let accepted = 0;
  for (let turn = index;; turn += connections) {
    const dueMs = perSecond === undefined ? performance.now() : start + 1_000 * turn / perSecond;
    const waitMs = dueMs - performance.now();
    if (waitMs > 0) await new Promise((resolve) => setTimeout(resolve, waitMs));
    if (performance.now() >= until) break;
    request.renew();
    for (let sent = 0; sent < request.bytes.length;) {
      sent += await socket.write(request.bytes.subarray(sent));
    }
    let answer = "";
    let end = -1;
    while (end < 0 || answer.length < end) {
      const length = await socket.read(buffer);
      if (length === null) throw new Error("the server closed the connection");
      answer += decoder.decode(buffer.subarray(0, length));
      const head = answer.indexOf("\r\n\r\n");
      const declared = /content-length: (\d+)/i.exec(answer);
      if (head >= 0 && declared) end = head + 4 + Number(declared[1]);
    }
    timesMs.push(performance.now() - dueMs);
    if (answer.startsWith(api === "v1" ? "HTTP/1.1 200" : "HTTP/1.1 202")) accepted++;
  }
  socket.close();
  return { accepted, timesMs };
}

async function load(run: LoadRun, imageBytes: number, connections: number): Promise<LoadResult> {
  const start = performance.now();
  const results = await Promise.all(
    Array.from(
      { length: connections },
      (_, index) =>
        connection(run, {
          ...{ imageBytes, start, until: start + run.seconds * 1_000, index, connections },
        }),
    ),
  );
  const seconds = (performance.now() - start) / 1_000;
  const timesMs = Float64Array.from(results.flatMap((result) => result.timesMs)).sort();
  const quantile = (share: number) => timesMs[Math.floor(timesMs.length * share)] ?? NaN;
  return {
    requests: timesMs.length,
    accepted: results.reduce((total, result) => total + result.accepted, 0),
    seconds,
    ...{ p50Ms: quantile(.5), p99Ms: quantile(.99) },
  };
}

if (import.meta.main) {
  const [imageBytes = 1024, connections = 32] = Deno.args.map(Number);
  const lines = Deno.stdin.readable.pipeThrough(new TextDecoderStream());
  let text = "";
  for await (const chunk of lines) {
    text += chunk;
    for (let end = text.indexOf("\n"); end >= 0; end = text.indexOf("\n")) {
      const run = JSON.parse(text.slice(0, end)) as LoadRun;
      text = text.slice(end + 1);
      const result = await load(run, imageBytes, connections);
      await Deno.stdout.write(encoder.encode(`${JSON.stringify(result)}\n`));
    }
  }
}
