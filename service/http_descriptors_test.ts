/**
 * What servers do when no descriptor is left, in virtual time. With none left for real:
 * `e2e/descriptors_faults_test.ts`.
 *
 * @module
 */
import assert from "node:assert/strict";
import type { Server } from "node:net";
import { resumeAccepting, watchDescriptors } from "./http_descriptors.ts";
import { testContext } from "./testing/context.ts";
import { VirtualWorld } from "./world/virtual_world.ts";

/** Runs where listening fails by what `codeOf()` gives, or works. */
async function withListen(
  codeOf: () => string | undefined,
  test: (asked: Deno.TcpListenOptions[]) => Promise<void>,
): Promise<void> {
  const { listen } = Deno;
  const asked: Deno.TcpListenOptions[] = [];
  let open = 0;
  Deno.listen = ((options: Deno.TcpListenOptions) => {
    asked.push(options);
    const code = codeOf();
    if (code !== undefined) throw Object.assign(new Error(code), { code });
    open++;
    return { close: () => open-- } as unknown as Deno.TcpListener;
  }) as typeof Deno.listen;
  try {
    await test(asked);
    assert.equal(open, 0, "each is given back");
  } finally {
    Deno.listen = listen;
  }
}

Deno.test("without a descriptor idle connections are closed, and one line says so", async () => {
  let code: string | undefined;
  const world = new VirtualWorld();
  const { log, lines } = testContext();
  const counts: number[] = [];
  let resumed = 0;
  const user = {
    ...{ host: "192.0.2.1", world },
    closeIdle: (count: number) => counts.push(count),
    resume: () => void resumed++,
  };
  await withListen(() => code, async (asked) => {
    const silent = watchDescriptors({ ...user, closeIdle: () => 10 });
    const unwatch = watchDescriptors({ ...user, host: "192.0.2.2", log });
    await world.advance(249);
    assert.equal(asked.length, 0);
    await world.advance(1);
    assert.deepEqual(asked, [{ hostname: "192.0.2.1", port: 0 }]);
    assert.deepEqual([counts, lines, resumed], [[], [], 2]);
    code = "EADDRINUSE";
    await world.advance(250);
    assert.deepEqual([counts, lines], [[], []], "that is another fault");
    for (code of ["EMFILE", "ENFILE"]) await world.advance(250);
    assert.deepEqual(counts, [32, 32]);
    assert.deepEqual(lines, [
      "WARN The process has no file descriptor left: accepting waits, and what has been idle for longest is closed. Raise the limit (ulimit -n), or lower the number of clients closed=11",
    ]);
    code = undefined;
    await world.advance(30_000);
    assert.equal(lines.length, 1, "not yet news");
    await world.advance(250);
    assert.deepEqual(lines.slice(1), ["INFO There are file descriptors again closed=23"]);
    await world.advance(60_000);
    assert.equal(lines.length, 2);
    code = "EMFILE";
    await world.advance(250);
    assert.equal(lines.length, 3);
    silent();
    assert.equal(world.pendingTimers, 1);
    unwatch();
    assert.equal(world.pendingTimers, 0);
    unwatch();
    // The next server's shortage is one of its own.
    const later = watchDescriptors({ ...user, log });
    await world.advance(250);
    assert.equal(lines.length, 4);
    later();
  });
});

Deno.test("a shortage that nobody is told of is none the less dealt with", async () => {
  const world = new VirtualWorld();
  const counts: number[] = [];
  let isShort = true;
  await withListen(() => isShort ? "EMFILE" : undefined, async () => {
    const unwatch = watchDescriptors({
      ...{ host: "192.0.2.1", world, resume() {} },
      closeIdle: (count) => counts.push(count),
    });
    await world.advance(250);
    isShort = false;
    await world.advance(31_000);
    assert.deepEqual(counts, [32]);
    unwatch();
  });
});

Deno.test("resumeAccepting() listens again on the handle of a server that listens", () => {
  const backlogs: number[] = [];
  const handle = { listen: (backlog: number) => backlogs.push(backlog) };
  const server = (parts: object) => parts as Server;
  resumeAccepting(server({ listening: true, _handle: handle }));
  assert.deepEqual(backlogs, [511]);
  resumeAccepting(server({ listening: false, _handle: handle }));
  for (const _handle of [null, undefined, {}]) {
    resumeAccepting(server({ listening: true, _handle }));
  }
  assert.deepEqual(backlogs, [511]);
});
