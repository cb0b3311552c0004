import assert from "node:assert/strict";
import { ProblemError } from "./problem.ts";
import {
  readBody,
  type ReadBodyOptions,
  readPieces,
  readText,
  releasePieces,
  textOf,
} from "./request_body.ts";
import { listen } from "./http_server.ts";
import { noDeadline } from "./testing/context.ts";
import { Peer } from "./testing/tcp_peer.ts";
import { drainMicrotasks, VirtualWorld } from "./world/virtual_world.ts";

function chunked(...chunks: string[]): Request {
  const body = ReadableStream.from(chunks.map((chunk) => new TextEncoder().encode(chunk)));
  return new Request("http://127.0.0.1/", { method: "POST", body });
}

async function refusal(body: Promise<Uint8Array>): Promise<number> {
  try {
    await body;
  } catch (error) {
    assert.ok(error instanceof ProblemError, String(error));
    return error.status;
  }
  throw new assert.AssertionError({ message: "The body was not refused." });
}

Deno.test("readBody() gives the whole body, however it comes", async () => {
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  assert.equal(text(await readBody(chunked("ab", "cd"), { limitBytes: 4 })), "abcd");
  const declared = new Request("http://127.0.0.1/", {
    method: "POST",
    body: "abcd",
    headers: { "content-length": "4" },
  });
  assert.equal(text(await readBody(declared, { limitBytes: 4 })), "abcd");
  assert.equal((await readBody(new Request("http://127.0.0.1/"), { limitBytes: 4 })).length, 0);
});

Deno.test("readBody() refuses with 413 by the declared length and by what really comes", async () => {
  const declared = new Request("http://127.0.0.1/", {
    method: "POST",
    body: "abcde",
    headers: { "content-length": "5" },
  });
  assert.equal(await refusal(readBody(declared, { limitBytes: 4 })), 413);
  assert.equal(await refusal(readBody(chunked("abc", "de"), { limitBytes: 4 })), 413);
});

Deno.test("readBody() answers a body that never ends with 408", async () => {
  const server = await listen(async (request) => {
    return new Response(
      String(await refusal(readBody(request, { limitBytes: 100, timeoutMs: 20 }))),
    );
  }, { port: 0, portFlag: "--port" });
  const connection = await Deno.connect({ hostname: "127.0.0.1", port: server.port });
  await connection.write(
    new TextEncoder().encode("POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 50\r\n\r\nhalf"),
  );
  const buffer = new Uint8Array(1_000);
  const count = await connection.read(buffer);
  assert.match(new TextDecoder().decode(buffer.subarray(0, count ?? 0)), /\r\n408/);
  connection.close();
  await server.stop(AbortSignal.timeout(1_000));
});

Deno.test("readText() gives the text, however it comes, within the same limits", async () => {
  const declared = (body: BodyInit, length: string) =>
    new Request("http://127.0.0.1/", {
      method: "POST",
      body,
      headers: { "content-length": length },
    });
  assert.equal(await readText(declared("äb", "3"), { limitBytes: 3 }), "äb");
  assert.equal(await readText(chunked("ab", "cd"), { limitBytes: 4 }), "abcd");
  assert.equal(await readText(new Request("http://127.0.0.1/"), { limitBytes: 4 }), "");
  const broken = new Uint8Array([0x61, 0xff]);
  assert.equal(await readText(declared(broken, "2"), { limitBytes: 4 }), "a\ufffd");
  await assert.rejects(readText(declared("abcde", "5"), { limitBytes: 4 }), /at most 4 bytes/);
  await assert.rejects(readText(chunked("abc", "de"), { limitBytes: 4 }), /at most 4 bytes/);
});

Deno.test("every body has its own deadline, and no timer is left of one that has come", async () => {
  const world = new VirtualWorld();
  const slow = (body: ReadableStream<Uint8Array>) =>
    readBody(new Request("http://127.0.0.1/", { method: "POST", body }), {
      limitBytes: 4,
      timeoutMs: 40_000,
      world,
    });
  const never = () => new ReadableStream<Uint8Array>();
  const one = refusal(slow(never()));
  await world.advance(30_000);
  const two = refusal(slow(never()));
  let third!: ReadableStreamDefaultController<Uint8Array>;
  const three = slow(new ReadableStream({ start: (controller) => void (third = controller) }));
  await world.advance(9_999);
  assert.equal(world.pendingTimers, 3);
  await world.advance(1);
  assert.equal(await one, 408);
  third.enqueue(new Uint8Array(2));
  third.close();
  assert.equal((await three).length, 2);
  assert.equal(world.pendingTimers, 1, "the second has 30 s left");
  await world.advance(29_999);
  assert.equal(world.pendingTimers, 1);
  await world.advance(1);
  assert.equal(await two, 408);
  assert.equal(world.pendingTimers, 0);
});

Deno.test("a body that has come with its head is read without a timer", async () => {
  const world = new VirtualWorld();
  let timers = 0;
  const counting = Object.assign(Object.create(world) as VirtualWorld, {
    setTimeout: (...args: Parameters<VirtualWorld["setTimeout"]>) => {
      timers++;
      return world.setTimeout(...args);
    },
  });
  const server = await listen(async (request) => {
    return new Response(await readText(request, { limitBytes: 4, world: counting }));
  }, { port: 0, portFlag: "--port" });
  const peer = await Peer.connect(server.port);
  await peer.send(
    "POST / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: 4\r\n\r\nbody",
  );
  await peer.end();
  assert.match(peer.received, /^HTTP\/1\.1 200 .*body$/s);
  assert.equal(timers, 0);
  peer.close();
  await server.stop(noDeadline);
});

Deno.test("readBody() and readText() refuse an encoded body with 415 and a hint, unless it is wanted so", async () => {
  const encoded = (encoding: string) =>
    new Request("http://x/", {
      method: "POST",
      body: "{}",
      headers: { "content-encoding": encoding },
    });
  for (const read of [readBody, readText]) {
    const error = await read(encoded("gzip"), { limitBytes: 10 }).catch((error) => error);
    assert.equal(error.status, 415);
    assert.match(error.problem.detail, /gzip.*without content-encoding/);
    assert.equal(error.getResponse().headers.get("accept-encoding"), "identity");
    assert.equal((await read(encoded("identity"), { limitBytes: 10 })).length, 2);
    assert.equal((await read(encoded("gzip"), { limitBytes: 10, encoded: true })).length, 2);
  }
});

Deno.test("releasePieces() gives back what is nobody else's, and leaves the rest", () => {
  const whole = Uint8Array.of(1, 2, 3);
  const shared = Uint8Array.of(1, 2, 3, 4);
  const part = shared.subarray(0, 2);
  releasePieces([whole, part]);
  assert.equal(whole.length, 0);
  assert.deepEqual([...part, ...shared], [1, 2, 1, 2, 3, 4]);
});

Deno.test("readPieces() gives the body in pieces, within the same limits, and textOf() their text", async () => {
  const options: ReadBodyOptions = { limitBytes: 4 };
  const declared = (body: string, more: Record<string, string> = {}) =>
    new Request("http://127.0.0.1/", {
      ...{ method: "POST", body },
      headers: { "content-length": String(body.length), ...more },
    });
  for (const request of [chunked("a", "bcd"), declared("abcd")]) {
    assert.equal(textOf(await readPieces(request, options)), "abcd");
  }
  assert.equal(textOf(await readPieces(new Request("http://127.0.0.1/"), options)), "");
  for (const request of [chunked("abc", "de"), declared("abcde")]) {
    await assert.rejects(readPieces(request, options), { status: 413 });
  }
  const encoded = () => declared("abcd", { "content-encoding": "gzip" });
  await assert.rejects(readPieces(encoded(), options), { status: 415 });
  assert.equal(textOf(await readPieces(encoded(), { ...options, encoded: true })), "abcd");
  // A character may be cut by a piece's end; what is no UTF-8 is shown as such.
  assert.equal(textOf([new Uint8Array([0xc3]), new Uint8Array([0xa9])]), "é");
  assert.equal(textOf([new Uint8Array([0xff])]), "\ufffd");
  assert.equal(textOf([]), "");
});

Deno.test("a body that is refused is told why, how much it may be, and what to do", async () => {
  const problemOf = async (read: Promise<unknown>) => {
    const error = await read.then(() => undefined, (error) => error);
    assert.ok(error instanceof ProblemError, String(error));
    return { problem: error.problem, headers: Object.fromEntries(error.getResponse().headers) };
  };
  const tooLarge = await problemOf(readBody(chunked("abc"), { limitBytes: 2 }));
  assert.deepEqual(tooLarge.problem, {
    ...{ title: "Body too large", detail: "The body may have at most 2 bytes.", limitBytes: 2 },
  });

  const world = new VirtualWorld();
  const never = new Request("http://127.0.0.1/", {
    ...{ method: "POST", body: new ReadableStream({ pull: () => new Promise(() => {}) }) },
  });
  const slow = problemOf(readBody(never, { limitBytes: 2, world }));
  await drainMicrotasks();
  await world.advance(29_999);
  assert.equal(world.pendingTimers, 1, "half a minute unless told otherwise");
  await world.advance(1);
  const { problem, headers } = await slow;
  assert.deepEqual(problem, {
    title: "Body too slow",
    detail: "The whole body must arrive within 30000 ms.",
    timeoutMs: 30_000,
  });
  assert.equal(headers.connection, "close");

  const torn = new Request("http://127.0.0.1/", {
    ...{ method: "POST", body: new ReadableStream({ start: (stream) => stream.error("gone") }) },
  });
  const cut = await problemOf(readBody(torn, { limitBytes: 2 }));
  assert.deepEqual(cut.problem, {
    title: "Body incomplete",
    detail: "The connection ended before the whole body had arrived. Send it again.",
  });

  const encoding = "Z".repeat(60);
  const zipped = new Request("http://127.0.0.1/", {
    ...{ method: "POST", body: "x", headers: { "content-encoding": ` ${encoding}` } },
  });
  const { problem: unsupported, headers: wanted } = await problemOf(
    readBody(zipped, { limitBytes: 2 }),
  );
  assert.deepEqual(unsupported, {
    title: "Unsupported content encoding",
    detail: `The body is "${
      "z".repeat(40)
    }", which is not taken here. Send it plain, without content-encoding.`,
  });
  assert.equal(wanted["accept-encoding"], "identity");
});
