import assert from "node:assert/strict";
import { testContext } from "../../service/testing/context.ts";
import { VirtualWorld } from "../../service/world/virtual_world.ts";
import { type Discovery, type Endpoint, makeEndpoint } from "../grpc/endpoint.ts";
import { StoreSearch, type StoreSearchOptions } from "./store_search.ts";

const containerd = makeEndpoint("cri", "unix:///run/containerd/containerd.sock");
const rkt = makeEndpoint("rkt", "127.0.0.1:15441");
const nothing: Discovery = { found: [], missing: [{ place: "rkt=x", reason: "refused" }] };

function search(options: Partial<StoreSearchOptions> & { answers?: Discovery[] }) {
  const world = new VirtualWorld();
  const { log, lines } = testContext();
  const added: Endpoint[] = [];
  const answers = options.answers ?? [nothing];
  const it = new StoreSearch({
    endpoints: [],
    observatory: { add: (endpoint) => added.push(endpoint) },
    log,
    world,
    discover: () => Promise.resolve(answers.length > 1 ? answers.shift()! : answers[0]!),
    ...options,
  });
  return { it, world, lines, added };
}

Deno.test("StoreSearch takes what is named, and searches only when nothing is", async () => {
  const named = search({ endpoints: [rkt], answers: [{ found: [containerd], missing: [] }] });
  await named.it.start();
  assert.deepEqual(named.added, [rkt]);
  assert.equal(named.world.pendingTimers, 0);

  const found = search({ answers: [{ found: [containerd], missing: [] }] });
  await found.it.start();
  assert.deepEqual(found.added, [containerd]);
  assert.deepEqual(found.lines, []);
  found.it.report();
  assert.match(found.lines.join("\n"), /^INFO Found an image store endpoint="cri=unix/);
  found.it.stop();
  assert.equal(found.world.pendingTimers, 0);
});

Deno.test("StoreSearch goes on searching, and adds and logs a runtime once when it comes", async () => {
  const { it, world, lines, added } = search({
    answers: [nothing, nothing, { found: [containerd], missing: [] }],
  });
  await it.start();
  it.report();
  assert.match(lines.join("\n"), /Found no image store.*refused.*\n.*No image store is there/);
  await world.advance(10_000);
  assert.deepEqual(added, []);
  await world.advance(30_000);
  assert.deepEqual(added, [containerd]);
  assert.equal(lines.filter((line) => line.includes("Found an image store")).length, 1);
  it.stop();
});

Deno.test("StoreSearch waits for containerd where cri is asked for and nothing is there", async () => {
  const { it, lines, added } = search({ runtime: "cri" });
  await it.start();
  assert.deepEqual(added, [containerd]);
  it.report();
  assert.match(lines[0]!, /Observes an image store/);
});
