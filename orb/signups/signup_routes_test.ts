import assert from "node:assert/strict";
import { encode } from "fast-png";
import { ulid } from "ulid";
import { testContext } from "../../service/testing/context.ts";
import { eventually } from "../../service/testing/eventually.ts";
import { testWith } from "../../service/testing/permissions.ts";
import { type OrbServerOptions, startOrbServer } from "../server.ts";
import { SqliteRecords } from "../stores/sqlite/sqlite_records.ts";
import type { SignupResource } from "./signup_resource.ts";
import { hashToken } from "../hash_token.ts";
import { examinedSize, smallPng } from "../test_small_png.ts";

interface Answer {
  status: number;
  headers: Headers;
  body: SignupResource & { detail?: string; signups?: SignupResource[] };
}

interface Server {
  url: string;
  ask(path: string, init?: RequestInit): Promise<Answer>;
  put(
    id: string,
    image: Uint8Array | string,
    headers?: Record<string, string>,
  ): Promise<Answer>;
  /** The signup once it is settled. */
  settled(id: string): Promise<SignupResource>;
}

function signupTest(
  name: string,
  options: Partial<OrbServerOptions>,
  run: (server: Server) => Promise<void>,
): void {
  testWith(["net", "read", "write"], name, async () => {
    const dataDir = await Deno.makeTempDir();
    const context = testContext();
    const server = await startOrbServer({ orbApiPort: 0, dataDir, ...options }, context);
    const ask = async (path: string, init: RequestInit = {}): Promise<Answer> => {
      const response = await fetch(`${server.url}${path}`, init);
      const text = await response.text();
      const body = text.startsWith("{") ? JSON.parse(text) : {};
      return { status: response.status, headers: response.headers, body };
    };
    try {
      await run({
        url: server.url,
        ask,
        put: (id, image, headers = {}) =>
          ask(`/v2/signups/${id}`, {
            method: "PUT",
            body: image as Uint8Array<ArrayBuffer>,
            headers: { "content-type": "application/octet-stream", ...headers },
          }),
        settled: async (id) =>
          (await ask(`/v2/signups/${id}`, { headers: { prefer: "wait=20" } })).body,
      });
    } finally {
      context.stop();
      await server.stop(AbortSignal.timeout(5_000));
      await Deno.remove(dataDir, { recursive: true });
    }
  });
}

const bytes = (...values: number[]) => Uint8Array.from(values);

signupTest("a signup is queued, decided, and known by its token", {}, async ({ put, settled }) => {
  const id = ulid();
  const image = smallPng(examinedSize);
  const { status, headers, body } = await put(id, image);
  assert.equal(status, 202);
  assert.equal(headers.get("location"), `/v2/signups/${id}`);
  assert.equal(body.id, id);
  assert.ok(["queued", "processing", "accepted"].includes(body.state), body.state);
  const decided = await settled(id);
  assert.equal(decided.state, "accepted");
  assert.equal(decided.token, hashToken(image));
  assert.equal(decided.image.bytes, image.length);
  assert.equal(decided.attempts, 1);
});

signupTest("where there is nothing to examine, a signup is decided with its arrival", {
  uniqueness: "exact",
}, async ({ put, settled }) => {
  const [first, second] = [ulid(), ulid()];
  const { status, body } = await put(first, bytes(1, 2, 3, 4, 5));
  assert.deepEqual([status, body.state, body.token], [202, "accepted", "371dd8e3f2423f4a"]);
  assert.equal(body.attempts, 0);
  assert.deepEqual(await settled(first), body);
  const { body: again } = await put(second, bytes(1, 2, 3, 4, 5));
  assert.deepEqual([again.state, again.duplicateOf], ["duplicate", first]);
});

signupTest("so is a small PNG, whatever is in it", {
  uniqueness: "exact",
}, async ({ put }) => {
  const { body } = await put(ulid(), smallPng());
  assert.deepEqual([body.state, body.attempts], ["accepted", 0]);
  // Its header says one pixel, and there are nine; its last pixel is missing; its data are none.
  const wrong = smallPng({ width: 3, height: 3 });
  new DataView(wrong.buffer).setUint32(16, 1);
  new DataView(wrong.buffer).setUint32(20, 1);
  const short = smallPng({ width: 3, height: 3 });
  new DataView(short.buffer).setUint32(20, 4);
  const broken = smallPng({ comment: "broken" });
  broken.fill(7, broken.indexOf(0x78, 60), broken.length - 16);
  for (
    const [image, reason] of [
      [wrong, /inflate to more than the 2 bytes/],
      [short, /inflate to 12 bytes, its size asks for 16/],
      [broken, /data is broken/],
    ] as const
  ) {
    const { body } = await put(ulid(), image);
    assert.equal(body.state, "rejected");
    assert.match(body.reason!, reason);
  }
});

signupTest("a server that decides nothing leaves all to others", {
  signupWorkers: 0,
}, async ({ put }) => {
  const { body } = await put(ulid(), bytes(1, 2, 3, 4, 5));
  assert.equal(body.state, "queued");
});

signupTest("an upload that comes ten times, at once and later, is one signup", {
  deviceBurst: 100,
}, async ({ ask, put, settled }) => {
  const id = ulid();
  const image = new Uint8Array(5_000).fill(9);
  const atOnce = await Promise.all(Array.from({ length: 10 }, () => put(id, image)));
  assert.deepEqual(atOnce.map(({ status }) => status), Array(10).fill(202));
  const first = await settled(id);
  assert.equal(first.state, "accepted");
  for (let replay = 0; replay < 10; replay++) {
    const { status, body } = await put(id, image);
    assert.deepEqual([status, body], [202, first]);
  }
  const { body } = await ask("/v2/queue");
  const { byState } = body as unknown as { byState: Record<string, number> };
  assert.deepEqual([byState.accepted, byState.duplicate, byState.queued], [1, 0, 0]);
});

signupTest("the same image is a duplicate, by v1 and by v2", {}, async ({ ask, put, settled }) => {
  const [first, second, third] = [ulid(), ulid(), ulid()];
  const v1 = (image: Uint8Array) =>
    ask("/api/signup", {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ id: "1", image_base64: image.toBase64() }),
    });
  await put(first, bytes(1));
  assert.equal((await settled(first)).state, "accepted");
  await put(second, bytes(1));
  const duplicate = await settled(second);
  assert.equal(duplicate.state, "duplicate");
  assert.equal(duplicate.duplicateOf, first);
  assert.equal(duplicate.token, undefined);
  assert.equal((await v1(bytes(1))).status, 409);
  assert.equal((await v1(bytes(2))).status, 200);
  await put(third, bytes(2));
  assert.equal((await settled(third)).state, "duplicate");
});

signupTest(
  "the same request again is the same signup, another image under its id is 409",
  {},
  async ({ ask, put, settled }) => {
    const id = ulid();
    const answers = await Promise.all(Array.from({ length: 10 }, () => put(id, bytes(7))));
    assert.deepEqual(new Set(answers.map(({ status }) => status)), new Set([202]));
    assert.equal((await settled(id)).state, "accepted");
    assert.equal((await put(id, bytes(7))).body.state, "accepted");
    assert.equal((await put(id.toLowerCase(), bytes(7))).body.id, id);
    assert.equal((await put(id, bytes(8))).status, 409);
    assert.equal((await put(id, bytes(7), { "orb-id": "orb-1" })).status, 409);
    const { body } = await ask("/v2/queue");
    assert.deepEqual((body as unknown as { byState: Record<string, number> }).byState.accepted, 1);
  },
);

signupTest("an upload is sent, named, and named again", {}, async ({ ask, put, settled }) => {
  const json = { "content-type": "application/json" };
  const { status, body } = await ask("/v2/uploads", {
    method: "POST",
    headers: json,
    body: JSON.stringify({ mediaType: "image/png" }),
  });
  assert.equal(status, 201);
  const { upload, url } = body as unknown as { upload: string; url: string };
  const id = ulid();
  const named = JSON.stringify({ upload });
  assert.equal((await put(id, named, json)).status, 422, "it has not arrived");
  const png = encode({ width: 4, height: 4, data: new Uint8Array(16).fill(9), channels: 1 });
  const sent = await ask(url, { method: "PUT", body: png as Uint8Array<ArrayBuffer> });
  assert.equal(sent.status, 204);
  assert.equal((await put(id, named, json)).status, 202);
  const decided = await settled(id);
  assert.equal(decided.state, "accepted");
  assert.equal(decided.image.mediaType, "image/png");
  assert.equal((await put(id, named, json)).body.state, "accepted", "a lost answer is asked again");
  assert.equal((await put(ulid(), named, json)).status, 422, "an upload is for one signup");
});

signupTest("a signup's states come as events, and the stream ends", {}, async ({ url, put }) => {
  const id = ulid();
  await put(id, bytes(3));
  const response = await fetch(`${url}/v2/signups/${id}/events`);
  assert.equal(response.headers.get("content-type"), "text/event-stream; charset=utf-8");
  const text = await response.text();
  const states = [...text.matchAll(/^event: state\ndata: (.*)$/gm)].map(([, data]) =>
    (JSON.parse(data!) as SignupResource).state
  );
  assert.equal(states.at(-1), "accepted");
});

signupTest("requests that do not fit are refused in words", { maxBody: 1_000 }, async (server) => {
  const { ask, put } = server;
  const png = encode({ width: 2, height: 2, data: new Uint8Array(4), channels: 1 });
  const cases: [string, Promise<Answer>, number, RegExp][] = [
    ["an id that is none", put("not-a-ulid", bytes(1)), 422, /ULID/],
    ["no image", put(ulid(), bytes()), 422, /empty/],
    ["too large", put(ulid(), new Uint8Array(1_001)), 413, /1000 bytes/],
    ["another type", put(ulid(), bytes(1), { "content-type": "text/plain" }), 415, /image\/png/],
    ["no PNG", put(ulid(), bytes(1), { "content-type": "image/png" }), 422, /first bytes/],
    ["a PNG as JPEG", put(ulid(), png, { "content-type": "image/jpeg" }), 422, /first bytes/],
    ["an orb id that is none", put(ulid(), bytes(1), { "orb-id": "../orb" }), 422, /orb-id/],
    ["no JSON", put(ulid(), "{", { "content-type": "application/json" }), 400, /not JSON/],
    ["no upload", put(ulid(), "{}", { "content-type": "application/json" }), 422, /upload/],
    ["an unknown signup", ask(`/v2/signups/${ulid()}`), 404, /no signup/],
    ["an unknown state", ask("/v2/signups?state=lost"), 422, /state/],
    ["a limit beyond it", ask("/v2/signups?limit=501"), 422, /limit/],
    [
      "requeue of what is not there",
      ask(`/v2/signups/${ulid()}/requeue`, { method: "POST" }),
      404,
      /no signup/,
    ],
    ["another method", ask("/v2/queue", { method: "DELETE" }), 405, /GET/],
  ];
  for (const [name, answer, status, detail] of cases) {
    const { status: actual, body, headers } = await answer;
    assert.equal(actual, status, `${name}: ${JSON.stringify(body)}`);
    assert.match(body.detail ?? "", detail, name);
    assert.equal(headers.get("content-type"), "application/problem+json", name);
  }
  const { body } = await ask("/v2/signups");
  assert.deepEqual(body.signups, [], "nothing was kept");
});

signupTest("paths and headers that would lead elsewhere lead nowhere", {}, async ({ ask, put }) => {
  for (
    const path of [
      "/v2/signups/..%2f..%2ftokens.sqlite",
      "/v2/signups/%2e%2e/%2e%2e/tokens.sqlite/image",
      "/v2/uploads/..%2f..%2ftokens.sqlite",
      `/v2/signups/${ulid()}%0d%0ax-injected:%201`,
    ]
  ) {
    for (const method of ["GET", "PUT"]) {
      const { status, headers } = await ask(path, {
        method,
        ...(method === "PUT" && { body: "x", headers: { "content-type": "image/png" } }),
      });
      assert.ok(status >= 404 && status <= 422, `${method} ${path}: ${status}`);
      assert.equal(headers.get("x-injected"), null);
    }
  }
  const id = ulid();
  const { headers } = await put(id, bytes(1), { prefer: 'wait="0", x="\u00e9"' });
  assert.equal(headers.get("preference-applied"), "wait=0");
});

signupTest("images that would burst are refused, with bounds", {}, async ({ put, settled }) => {
  // One row of 50,000 pixels: its header says so.
  const wide = encode({ width: 50_000, height: 1, data: new Uint8Array(50_000), channels: 1 });
  const refused = await put(ulid(), wide, { "content-type": "image/png" });
  assert.equal(refused.status, 422);
  assert.match(refused.body.detail!, /50000 × 1 pixels/);

  // A header of 8 x 8 pixels, and 64 MiB of zeros behind it.
  const bomb = bombOf(encode({ width: 8, height: 8, data: new Uint8Array(64), channels: 1 }), 64);
  const id = ulid();
  assert.equal((await put(id, await bomb, { "content-type": "image/png" })).status, 202);
  const rejected = await settled(id);
  assert.equal(rejected.state, "rejected");
  assert.match(rejected.reason!, /inflate to more than the \d+ bytes/);
});

/** The PNG's header, then data that inflates to so many MiB. */
async function bombOf(png: Uint8Array, mebibytes: number): Promise<Uint8Array> {
  const zeros = new Blob(Array.from({ length: mebibytes }, () => new Uint8Array(1024 ** 2)));
  const deflated = await new Response(zeros.stream().pipeThrough(new CompressionStream("deflate")))
    .bytes();
  const chunk = (name: string, data: Uint8Array) => {
    const whole = new Uint8Array(12 + data.length);
    new DataView(whole.buffer).setUint32(0, data.length);
    whole.set(new TextEncoder().encode(name), 4);
    whole.set(data, 8);
    return whole;
  };
  return new Uint8Array(
    await new Blob([
      png.slice(0, 33),
      chunk("IDAT", deflated),
      chunk("IEND", new Uint8Array()),
    ]).arrayBuffer(),
  );
}

signupTest("a device that signs up too often is told when to come again", {
  deviceRate: .5,
  deviceBurst: 2,
}, async ({ put }) => {
  const device = { "orb-id": "orb-7" };
  const [first, second, third] = [
    await put(ulid(), bytes(1), device),
    await put(ulid(), bytes(2), device),
    await put(ulid(), bytes(3), device),
  ];
  assert.equal(first.status, 202);
  assert.equal(first.headers.get("ratelimit"), '"signups";r=1;t=0');
  assert.equal(first.headers.get("ratelimit-policy"), '"signups";q=2;w=4');
  assert.equal(second.status, 202);
  assert.equal(third.status, 429);
  assert.equal(third.headers.get("retry-after"), "2");
  assert.match(third.headers.get("ratelimit")!, /r=0/);
  assert.equal((await put(ulid(), bytes(4), { "orb-id": "orb-8" })).status, 202, "another device");
});

signupTest("a full queue refuses, also before it reads the body", {
  maxPendingSignups: 2,
  signupWorkers: 0,
}, async ({ put }) => {
  await put(ulid(), bytes(1));
  await put(ulid(), bytes(2));
  for (let attempt = 0; attempt < 2; attempt++) {
    const { status, headers, body } = await put(ulid(), bytes(3));
    assert.equal(status, 503);
    assert.equal(headers.get("retry-after"), "2");
    assert.match(body.detail!, /same id/);
  }
});

signupTest(
  "a long poll is answered when its time is up",
  { signupWorkers: 0 },
  async ({ ask, put }) => {
    const id = ulid();
    await put(id, bytes(1));
    const { body, headers } = await ask(`/v2/signups/${id}`, { headers: { prefer: "wait=1" } });
    assert.equal(body.state, "queued");
    assert.equal(headers.get("preference-applied"), "wait=1");
  },
);

signupTest("what is queued is decided by the next server, and lists go on page by page", {
  signupWorkers: 0,
}, async ({ ask, put }) => {
  const ids: string[] = [];
  for (let index = 0; index < 5; index++) {
    ids.push(ulid(1_700_000_000_000 + index));
    await put(ids[index]!, bytes(index));
  }
  const first = await ask("/v2/signups?limit=3");
  const { next } = first.body as unknown as { next: string };
  const second = await ask(`/v2/signups?limit=3&before=${next}&state=queued`);
  const listed = [...first.body.signups!, ...second.body.signups!].map(({ id }) => id);
  assert.deepEqual(listed, ids.toReversed());
});

testWith(
  ["net", "read", "write"],
  "a server that starts decides what was left, and removes images without a signup",
  async () => {
    const dataDir = await Deno.makeTempDir();
    const id = ulid();
    try {
      for (const signupWorkers of [0, 2]) {
        const context = testContext();
        const server = await startOrbServer({ orbApiPort: 0, dataDir, signupWorkers }, context);
        const path = `${server.url}/v2/signups/${id}`;
        if (signupWorkers === 0) {
          const response = await fetch(path, {
            method: "PUT",
            body: bytes(1),
            headers: { "content-type": "application/octet-stream" },
          });
          assert.equal(response.status, 202);
          await response.body?.cancel();
          await Deno.mkdir(`${dataDir}/images/ab`, { recursive: true });
          await Deno.writeFile(`${dataDir}/images/ab/${"c".repeat(62)}`, bytes(9));
          await Deno.utime(`${dataDir}/images/ab/${"c".repeat(62)}`, new Date(0), new Date(0));
        } else {
          const response = await fetch(path, { headers: { prefer: "wait=20" } });
          assert.equal((await response.json()).state, "accepted");
          await eventually(
            "the removal",
            async () =>
              await Deno.stat(`${dataDir}/images/ab/${"c".repeat(62)}`).catch(() => undefined) ===
                undefined || undefined,
          );
        }
        context.stop();
        await server.stop(AbortSignal.timeout(5_000));
      }
    } finally {
      await Deno.remove(dataDir, { recursive: true });
    }
  },
);

testWith(
  ["net", "read", "write"],
  "a server that stops decides what its workers have taken before its stores close",
  async () => {
    const dataDir = await Deno.makeTempDir();
    const context = testContext();
    const server = await startOrbServer({ orbApiPort: 0, dataDir, signupWorkers: 4 }, context);
    const answers = await Promise.all(
      Array.from({ length: 40 }, (_, index) =>
        fetch(`${server.url}/v2/signups/${ulid()}`, {
          method: "PUT",
          body: smallPng({ comment: `image ${index}`, ...examinedSize }),
          headers: { "content-type": "image/png" },
        })),
    );
    for (const answer of answers) await answer.body?.cancel();
    context.stop();
    await server.stop(AbortSignal.timeout(60_000));
    const bad = context.lines.filter((line) => /^(WARN|ERROR)/.test(line));
    assert.deepEqual(bad, []);
    const path = `${dataDir}/tokens.sqlite`;
    const records = new SqliteRecords({ path, nowMs: () => Date.now(), exclusive: false });
    const { byState } = records.apply(new Uint8Array(), [{ type: "statistics" }])
      .replies[0] as { byState: Record<string, number> };
    records.close();
    assert.equal(byState.processing, 0, JSON.stringify(byState));
    assert.equal(byState.accepted! + byState.queued!, 40, JSON.stringify(byState));
    await Deno.remove(dataDir, { recursive: true });
  },
);
