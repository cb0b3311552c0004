import assert from "node:assert/strict";
import { testContext } from "../service/testing/context.ts";
import { eventually } from "../service/testing/eventually.ts";
import { testWith } from "../service/testing/permissions.ts";
import { startProgram, type TestProgram } from "../service/testing/program.ts";
import type { ImagesAnswer, ObserveAnswer, StoresAnswer } from "./api.ts";
import { startImageService } from "./image_service.ts";
import { rawServer } from "./stores/test_observatory.ts";

const entry = new URL("./observer.ts", import.meta.url);

/** The observer as a program, on a free port; resolves when it runs. */
async function observer(...args: string[]): Promise<{ program: TestProgram; url: string }> {
  const program = await startProgram(entry, ["--metrics-address", "127.0.0.1:0", ...args]);
  const [, url] = await program.line(/metrics=(\S+)\/metrics/);
  const [, pid] = await program.line(/^Running! Trigger with: kill -s SIGQUIT (\d+)$/);
  assert.equal(Number(pid), program.pid);
  return { program, url: url! };
}

/** The stand-in of the project in this process, on free ports. */
async function imageService() {
  const service = await startImageService(
    { rktPort: 0, criPort: 0, changeIntervalMs: 0 },
    testContext(),
  );
  return { ...service, [Symbol.asyncDispose]: () => service.stop(AbortSignal.abort()) };
}

/** The value of a sample, by its whole text before the space. */
async function scraped(url: string, sample: string): Promise<number | undefined> {
  const text = await (await fetch(`${url}/metrics`)).text();
  const line = text.split("\n").find((line) => line.startsWith(`${sample} `));
  return line === undefined ? undefined : Number(line.slice(sample.length));
}

const needs: Deno.PermissionName[] = ["run", "read", "env"];

testWith(needs, "observer follows SIGQUIT as the original does, until SIGINT", async () => {
  await using service = await imageService();
  const { program, url } = await observer("--endpoint", `rkt=${service.rktAddress}`);
  await using _ = program;
  const first = await fetch(`${url}/metrics`);
  assert.match(first.headers.get("content-type")!, /^text\/plain; version=0\.0\.4/);
  const text = await first.text();
  assert.match(text, /^exp_sigquit_total 0$/m);
  assert.match(text, /^rkt_images_total 0$/m);

  program.kill("SIGQUIT");
  await eventually("the images", async () => await scraped(url, "rkt_images_total") || undefined);
  assert.equal(await scraped(url, "rkt_images_total"), service.images.images.length);
  assert.equal(await scraped(url, "exp_sigquit_total"), 1);

  const missing = await fetch(`${url}/nothing`);
  assert.equal(missing.status, 404);
  await missing.body?.cancel();
  program.kill("SIGINT");
  assert.equal((await program.status).code, 0);
});

testWith(
  needs,
  "observer counts each SIGQUIT while a runtime hangs, and a scrape does not wait for it",
  async () => {
    await using hung = await rawServer((socket) => socket.resume());
    const { program, url } = await observer("--endpoint", `rkt=${hung.address}`, "--timeout", "1h");
    await using _ = program;
    for (let count = 1; count <= 20; count++) {
      program.kill("SIGQUIT");
      await eventually(
        `signal ${count}`,
        async () => await scraped(url, "exp_sigquit_total") === count || undefined,
      );
    }
    assert.equal(hung.connections, 1, "never two calls at once");
    const coalesced =
      `observer_observations_total{runtime="rkt",endpoint="${hung.address}",trigger="sigquit",outcome="coalesced"}`;
    assert.equal(
      await scraped(url, coalesced),
      18,
      "one runs, one waits, the others share that one",
    );
  },
);

testWith(needs, "observer observes at its interval", async () => {
  await using service = await imageService();
  const { program, url } = await observer(
    ...["--endpoint", `cri=${service.criAddress}`, "--interval", "20ms"],
  );
  await using _ = program;
  const sample =
    `observer_observations_total{runtime="cri",endpoint="${service.criAddress}",trigger="interval",outcome="success"}`;
  await eventually("the third", async () => (await scraped(url, sample))! >= 3 || undefined);
});

testWith(needs, "observer says what to do when its port is taken, and ends with 1", async () => {
  using taken = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  await using program = await startProgram(entry, [
    ...["--endpoint", "rkt=127.0.0.1:1"],
    ...["--metrics-address", `127.0.0.1:${taken.addr.port}`],
  ]);
  await program.line(/the port is in use.*--metrics-address/);
  assert.equal((await program.status).code, 1);
});

testWith(needs, "observer refuses wrong flags with 2 and says what is right", async () => {
  for (
    const [args, reason] of [
      [["--endpoint", "docker=x:1"], /KIND=ADDRESS/],
      [["--interval", "soon"], /duration such as 30s/],
      [["--timeout", "0"], /at least 1ms/],
      [["--metrics-address", "33333"], /host:port/],
      [["--runtime", "docker"], /rkt, cri, auto/],
    ] as const
  ) {
    await using program = await startProgram(entry, args);
    await program.line(reason);
    assert.equal((await program.status).code, 2);
  }
});

testWith(needs, "observer refuses to listen beyond loopback", async () => {
  await using program = await startProgram(entry, ["--metrics-address", "0.0.0.0:0"]);
  await program.line(/Refuses to listen on 0\.0\.0\.0/);
  assert.equal((await program.status).code, 1);
});

testWith(needs, "POST /observe observes; pages of other origins may not", async () => {
  await using service = await imageService();
  const { program, url } = await observer(
    ...["--endpoint", `rkt=${service.rktAddress}`, "--endpoint", `cri=${service.criAddress}`],
  );
  await using _ = program;
  const post = (headers: HeadersInit = {}) => fetch(`${url}/observe`, { method: "POST", headers });

  const foreign: [string, HeadersInit][] = [
    ["another origin", { origin: "http://evil.example" }],
    ["no origin", { origin: "null" }],
    ["another site", { "sec-fetch-site": "cross-site" }],
    ["another port", { "sec-fetch-site": "same-site" }],
  ];
  for (const [what, headers] of foreign) {
    const answer = await post(headers);
    assert.equal(answer.status, 403, what);
    assert.equal((await answer.json()).title, "Foreign origin");
  }
  assert.equal((await rebound(url)).status, 403, "a foreign name for this address");
  const stores: StoresAnswer = await (await fetch(`${url}/api/stores`)).json();
  assert.deepEqual(stores.stores.map(({ history }) => history), [[], []], "none was carried out");

  const answer: ObserveAnswer = await (await post({ origin: url })).json();
  assert.deepEqual(
    answer.observations.map(({ store, outcome, imageCount }) => [store, outcome, imageCount]),
    [[`rkt=${service.rktAddress}`, "success", 18], [`cri=${service.criAddress}`, "success", 18]],
  );
});

/** A request whose `Host` is a stranger's: `fetch` does not let one say so. */
async function rebound(url: string): Promise<{ status: number }> {
  const { hostname, port } = new URL(url);
  const connection = await Deno.connect({ hostname, port: Number(port) });
  const request =
    "POST /observe HTTP/1.1\r\nhost: evil.example\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
  await connection.write(new TextEncoder().encode(request));
  const answer = await new Response(connection.readable).text();
  return { status: Number(answer.split(" ")[1]) };
}

testWith(
  needs,
  "the page's API gives stores, images by text and part, and a live stream",
  async () => {
    await using service = await imageService();
    const store = `cri=${service.criAddress}`;
    const { program, url } = await observer("--endpoint", store);
    await using _ = program;
    const live = await fetch(`${url}/api/live`);
    const events = live.body!.pipeThrough(new TextDecoderStream()).getReader();
    async function next(): Promise<StoresAnswer> {
      let text = "";
      while (!text.endsWith("\n\n")) text += (await events.read()).value!;
      return JSON.parse(text.match(/^data: (.*)$/m)![1]!);
    }
    const [before] = (await next()).stores;
    assert.equal(before!.up, false);
    assert.equal(before!.seen, undefined);

    await (await fetch(`${url}/observe`, { method: "POST" })).body?.cancel();
    const [after] = (await next()).stores;
    assert.equal(after!.up, true);
    assert.equal(after!.simulated, true);
    assert.equal(after!.seen!.images, 18);
    assert.equal(after!.seen!.pinned, 1);
    await events.cancel();

    const images = async (query: string): Promise<ImagesAnswer> =>
      (await fetch(`${url}/api/images?store=${encodeURIComponent(store)}${query}`)).json();
    assert.equal((await images("")).images.length, 18);
    const part = await images("&offset=10&limit=3");
    assert.deepEqual([part.total, part.images.length], [18, 3]);
    const found = await images("&q=PAUSE");
    assert.deepEqual(found.images.map(({ tags }) => tags), [["example.com/pause:3.10"]]);
    for (
      const [query, status] of [["store=none", 404], [`store=${store}&limit=-1`, 400]] as const
    ) {
      const answer = await fetch(`${url}/api/images?${query}`);
      assert.equal(answer.status, status);
      assert.match(answer.headers.get("content-type")!, /problem\+json/);
      await answer.body?.cancel();
    }
  },
);

testWith(
  needs,
  "observer list prints the images of all stores, and ends with 1 when one cannot be read",
  async () => {
    await using service = await imageService();
    {
      await using program = await startProgram(entry, [
        ...["list", "--endpoint", `rkt=${service.rktAddress},cri=${service.criAddress}`],
      ]);
      assert.equal((await program.status).code, 0);
      const text = program.lines.join("\n");
      assert.match(text, /^rkt=.*\[simulated\]$/m);
      assert.match(
        text,
        /^ {2}example\.com\/pause:3\.10 +sha256:[0-9a-f]{12} +293\.0 KiB +- +pinned$/m,
      );
      assert.match(text, /^ {2}18 images, /m);
    }
    await using program = await startProgram(entry, [
      ...["list", "--json", "--endpoint", `cri=${service.criAddress}`],
      ...["--endpoint", "rkt=127.0.0.1:1"],
    ]);
    assert.equal((await program.status).code, 1);
    const stores = JSON.parse(program.lines.join("\n"));
    assert.equal(stores[0].images.length, 18);
    assert.match(stores[1].reason, /nothing listens there/);
  },
);

testWith(
  [...needs, "write"],
  "observer says so when it may not open a socket, by Deno's permissions or the system's",
  async () => {
    const folder = await Deno.makeTempDir();
    const path = `${folder}/closed.sock`;
    const socket = Deno.listen({ transport: "unix", path });
    try {
      const args = ["list", "--endpoint", `cri=unix://${path}`, "--timeout", "200ms"];
      await using program = await startProgram(entry, args);
      const [, command] = await program.line(/Deno may not open it\. Start it as: (.*)$/);
      assert.equal((await program.status).code, 1);
      // What it says is a command that works: the socket is open then, and nobody answers.
      const { stdout, stderr } = await new Deno.Command("sh", {
        args: ["-c", command!],
        env: { OTEL_SDK_DISABLED: "true", NO_COLOR: "1" },
        stdin: "null",
      }).output();
      const said = new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr);
      assert.match(said, /did not answer within 200 ms/);

      await Deno.chmod(path, 0);
      await Deno.chmod(folder, 0o755);
      const reason = await asNobody(folder, path);
      assert.match(reason, /no permission to open the socket/);
    } finally {
      socket.close();
      await Deno.remove(folder, { recursive: true });
    }
  },
);

/** What `observer list` says of a socket when it runs as somebody who may not open it; root may open any. */
async function asNobody(folder: string, path: string): Promise<string> {
  const bundle = `${folder}/observer.js`;
  const bundled = await new Deno.Command("deno", {
    args: ["bundle", "--quiet", "--platform", "deno", "--output", bundle, entry.pathname],
  }).output();
  assert.ok(bundled.success, new TextDecoder().decode(bundled.stderr));
  await Deno.mkdir(`${folder}/cache`);
  await Deno.chmod(`${folder}/cache`, 0o777);
  const root = Deno.uid() === 0;
  // Where root keeps its Deno nobody else may look.
  const deno = root ? `${folder}/deno` : Deno.execPath();
  if (root) await Deno.copyFile(Deno.execPath(), deno);
  const { stdout, stderr } = await new Deno.Command(deno, {
    args: ["run", "-A", "--no-prompt", bundle, "list", "--endpoint", `cri=unix://${path}`],
    cwd: folder,
    env: { DENO_DIR: `${folder}/cache`, HOME: folder, NO_COLOR: "1" },
    ...(root && { uid: 65_534, gid: 65_534 }),
  }).output();
  return new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr);
}
